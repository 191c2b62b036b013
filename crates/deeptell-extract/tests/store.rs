//! An output folder, with a face detector of a few lines.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking, in its helper functions too")]

use std::path::Path;
use std::sync::LazyLock;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use deeptell_data::{Sample, read_dataset, read_manifest};
use deeptell_extract::{
    CropStorage, Event, ExtractError, Format, Settings, Store, StoreContext, Summary, recorded_face_detector,
};
use deeptell_face::{Face, FaceDetector, FaceDetectorFn, Rect, RgbImage};
use deeptell_video::{Limits, VideoCodec, VideoReader, VideoWriter, WriterOptions};

type Middle = FaceDetectorFn<fn(&RgbImage) -> Vec<Face>>;

/// Takes the middle of every image that is not black for a face.
fn middle_as(name: &str) -> Middle {
    FaceDetectorFn::new(name, |image| {
        let whole = Rect::new(0.0, 0.0, image.width() as f32, image.height() as f32);
        let is_black = image.as_raw().iter().all(|value| *value == 0);
        if is_black { Vec::new() } else { vec![Face::frontal(whole.scaled(0.5), 1.0)] }
    })
}

static MIDDLE: LazyLock<Middle> = LazyLock::new(|| middle_as("middle"));

fn settings() -> Settings {
    let mut settings = Settings::default();
    settings.crop.size = 32;
    (settings.frames, settings.min_face, settings.min_probability) = (4, 20.0, 0.5);
    settings
}

fn settings_with(change: impl FnOnce(&mut Settings)) -> Settings {
    let mut settings = settings();
    change(&mut settings);
    settings
}

/// Crops and failures.
fn counts(summary: Option<Summary>) -> Option<(usize, usize)> {
    summary.map(|summary| (summary.crops, summary.failures))
}

fn open<'a>(
    folder: &Path,
    settings: Settings,
    detector: &'a dyn FaceDetector,
) -> Result<Store<'a>, ExtractError> {
    let context = StoreContext::new(detector, VideoReader::options()).tar_bytes(1 << 20);
    Store::open(&folder.join("out"), &folder.join("set"), settings, context)
}

/// Four pictures: two with a face, one without, one damaged.
fn data_set(folder: &Path) -> Vec<Sample> {
    let save = |name: &str, value: u8| {
        let path = folder.join("set").join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        RgbImage::from_pixel(96, 64, image::Rgb([value; 3])).save(path).unwrap();
    };
    for (name, value) in [("real/a.png", 90), ("real/black.png", 0), ("fake/a.png", 200)] {
        save(name, value);
    }
    std::fs::write(folder.join("set/fake/damaged.png"), "no picture").unwrap();
    read_dataset(folder.join("set")).unwrap()
}

#[test]
fn finished_files_are_kept_and_failed_ones_are_tried_again() {
    let folder = tempfile::tempdir().unwrap();
    let samples = data_set(folder.path());
    let run = |stop: bool| {
        let store = open(folder.path(), settings(), &*MIDDLE).unwrap();
        let events = Mutex::new(Vec::new());
        let summary = store.run(&samples, &AtomicBool::new(stop), |event| {
            let line = match event {
                Event::Started { waiting, inputs } => format!("{waiting} of {inputs}"),
                Event::Done { sample } => format!("done {}", sample.path.display()),
                Event::Failed { sample, error } => format!("{}: {error}", sample.path.display()),
                _ => String::new(),
            };
            events.lock().unwrap().push(line);
        });
        (summary.unwrap(), events.into_inner().unwrap())
    };
    assert_eq!(run(true), (None, vec!["4 of 4".to_owned()]), "stopped before the first");
    let (summary, events) = run(false);
    assert_eq!(counts(summary), Some((2, 2)));
    assert_eq!(events.iter().filter(|event| event.starts_with("done ")).count(), 2);
    assert!(events.iter().any(|event| event.contains("black.png: no face found in 1 frames")), "{events:?}");
    let (summary, events) = run(false);
    assert_eq!((counts(summary), events[0].as_str()), (Some((2, 2)), "2 of 4"));

    let rows = read_manifest(folder.path().join("out/manifest.jsonl")).unwrap();
    assert_eq!(rows.len(), 2);
    for row in rows {
        assert_eq!(row.face_detector.as_deref(), Some("middle"));
        assert_eq!(image::image_dimensions(&row.path).unwrap(), (32, 32));
    }
    let failures = std::fs::read_to_string(folder.path().join("out/failures.jsonl")).unwrap();
    assert_eq!(failures.lines().count(), 2);
    assert!(failures.contains(r#""file":"fake/damaged.png""#), "{failures}");
}

#[test]
fn only_failures_of_the_chosen_reasons_are_tried_again() {
    let folder = tempfile::tempdir().unwrap();
    let samples = data_set(folder.path());
    let run = |redo: &str, stop: &AtomicBool| {
        let store = open(folder.path(), settings(), &*MIDDLE).unwrap().redo(redo.parse().unwrap());
        let (kept, tried) = (Mutex::new(0), Mutex::new(Vec::new()));
        let summary = store.run(&samples, stop, |event| match event {
            Event::Kept { failures } => *kept.lock().unwrap() = failures,
            Event::Done { sample } | Event::Failed { sample, .. } => {
                let mut tried = tried.lock().unwrap();
                tried.push(sample.path.file_name().unwrap().to_str().unwrap().to_owned());
                tried.sort();
            }
            _ => {}
        });
        (counts(summary.unwrap()), kept.into_inner().unwrap(), tried.into_inner().unwrap())
    };
    let go = AtomicBool::new(false);
    let failures = || std::fs::read_to_string(folder.path().join("out/failures.jsonl")).unwrap();
    assert_eq!(run("none", &go).2.len(), 4, "nothing has failed before");
    let first = failures();
    assert!(
        first.contains(r#""reason":"no-face""#) && first.contains(r#""reason":"unsupported""#),
        "{first}"
    );
    let whole = Some((2, 2));
    assert_eq!(run("none", &go), (whole, 2, Vec::new()));
    assert_eq!(failures(), first, "they stay listed");
    assert_eq!(run("no-face,limit", &go), (whole, 1, vec!["black.png".to_owned()]));
    assert_eq!(run("all", &go).2, ["black.png", "damaged.png"]);
    // Another file of the same name has not failed.
    std::fs::copy(folder.path().join("set/real/a.png"), folder.path().join("set/fake/damaged.png")).unwrap();
    let repaired = Some((3, 1));
    assert_eq!(run("none", &go), (repaired, 1, vec!["damaged.png".to_owned()]));
    assert!(!failures().contains("damaged.png"));
}

/// A failure is known from the moment on at which it happens, whatever happens to the run.
#[test]
fn failures_of_a_run_that_was_stopped_are_known_to_the_next() {
    let folder = tempfile::tempdir().unwrap();
    let mut samples = data_set(folder.path());
    samples.retain(|sample| sample.path.ends_with("damaged.png"));
    let stop = AtomicBool::new(false);
    let store = open(folder.path(), settings(), &*MIDDLE).unwrap();
    let stopped = store.run(&samples, &stop, |event| {
        if matches!(event, Event::Failed { .. }) {
            stop.store(true, Ordering::Relaxed);
        }
    });
    assert_eq!(stopped.unwrap(), None);
    drop(store);
    let store = open(folder.path(), settings(), &*MIDDLE).unwrap().redo("none".parse().unwrap());
    let summary = store.run(&samples, &AtomicBool::new(false), |event| {
        assert!(
            matches!(event, Event::Kept { failures: 1 } | Event::Started { waiting: 0, .. }),
            "{event:?}"
        );
    });
    assert_eq!(counts(summary.unwrap()), Some((0, 1)));
}

#[test]
fn hashing_an_endless_file_ends_at_the_deadline_or_on_request() {
    let folder = tempfile::tempdir().unwrap();
    let clip = folder.path().join("set/real/long.mp4");
    std::fs::create_dir_all(clip.parent().unwrap()).unwrap();
    let options = WriterOptions::default().codec(VideoCodec::Mpeg4);
    let mut writer = VideoWriter::create(&clip, 96, 64, &options).unwrap();
    for _ in 0..8 {
        writer.write(&RgbImage::from_pixel(96, 64, image::Rgb([90; 3]))).unwrap();
    }
    writer.finish().unwrap();
    // After the video comes a hole that takes hours to read.
    std::fs::File::options().write(true).open(&clip).unwrap().set_len(1 << 43).unwrap();
    let samples = read_dataset(folder.path().join("set")).unwrap();
    let limits = Limits::default().deadline(Duration::from_secs(2));
    let context = StoreContext::new(&*MIDDLE, VideoReader::options().limits(limits)).tar_bytes(1 << 20);
    let store =
        Store::open(&folder.path().join("out"), &folder.path().join("set"), settings(), context).unwrap();

    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            std::thread::sleep(Duration::from_millis(300));
            stop.store(true, Ordering::Relaxed);
        });
        assert_eq!(store.run(&samples, &stop, |_| {}).unwrap(), None);
    });
    let summary = store.run(&samples, &AtomicBool::new(false), |_| {}).unwrap();
    assert_eq!(counts(summary), Some((4, 0)));
    let row = &read_manifest(folder.path().join("out/manifest.jsonl")).unwrap()[0];
    assert!(row.extra.get("file_sha256").is_none());
    assert!(row.extra.get("warnings").unwrap()[0].as_str().unwrap().contains("too long to be hashed"));
}

#[test]
fn a_folder_holds_crops_of_one_kind_and_has_one_writer() {
    let folder = tempfile::tempdir().unwrap();
    let samples = data_set(folder.path());
    let store = open(folder.path(), settings(), &*MIDDLE).unwrap();
    let second = open(folder.path(), settings(), &*MIDDLE);
    assert!(matches!(second.err(), Some(ExtractError::Lock(_))));
    store.run(&samples, &AtomicBool::new(false), |_| {}).unwrap();
    drop(store);

    let other = open(folder.path(), settings(), &middle_as("other")).err().unwrap();
    assert!(matches!(other, ExtractError::OtherFaceDetector { .. }), "{other}");
    assert!(other.to_string().contains("found by middle, and not by other"), "{other}");

    let rows = read_manifest(folder.path().join("out/manifest.jsonl")).unwrap();
    let crops = || rows.iter().map(|row| row.path.as_path());
    assert_eq!(recorded_face_detector(crops()), Some(MIDDLE.id()));
    assert_eq!(recorded_face_detector(crops().chain([Path::new("elsewhere.png")])), None);
    assert_eq!(recorded_face_detector([]), None);

    for changed in [
        settings_with(|settings| settings.format = Format::Jpeg),
        settings_with(|settings| settings.store = CropStorage::Tar),
        settings_with(|settings| settings.min_face = 30.0),
    ] {
        let refused = open(folder.path(), changed, &*MIDDLE).err().unwrap();
        assert!(matches!(refused, ExtractError::OtherSettings { .. }), "{refused}");
    }
    assert!(matches!(
        open(folder.path(), settings_with(|settings| settings.frames = 0), &*MIDDLE).err(),
        Some(ExtractError::Setting { setting: "frames", .. })
    ));
    open(folder.path(), settings(), &*MIDDLE).unwrap();
}

#[test]
fn a_stopped_run_keeps_finished_files() {
    let folder = tempfile::tempdir().unwrap();
    let samples = data_set(folder.path());
    let stop = AtomicBool::new(false);
    let store = open(folder.path(), settings(), &*MIDDLE).unwrap();
    let done = Mutex::new(0);
    let summary = store.run(&samples, &stop, |event| {
        if matches!(event, Event::Done { .. }) {
            *done.lock().unwrap() += 1;
            stop.store(true, Ordering::Relaxed);
        }
    });
    assert_eq!(summary.unwrap(), None);
    let done = done.into_inner().unwrap();
    assert!(!folder.path().join("out/manifest.jsonl").exists());
    let waiting = samples.iter().filter(|sample| !store.is_done(sample).unwrap()).count();
    assert_eq!(waiting, samples.len() - done);
}

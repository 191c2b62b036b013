//! Decoding in separate processes: the same frames, and a sandbox that holds.

#![cfg(unix)]
#![expect(clippy::unwrap_used, reason = "a test fails by panicking, in its helper functions too")]

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use deeptell_video::{
    DecoderProcess, Frame, Limits, Sampling, VideoCodec, VideoError, VideoReader, VideoWriter, Warning,
    WriterOptions,
};
use image::{Rgb, RgbImage};

/// Kills a decoding process at any system call that decoding does not need: what is decoded here
/// has opened no second file and no socket, or it would have died.
fn strict() -> DecoderProcess {
    DecoderProcess::new(env!("CARGO_BIN_EXE_deeptell-decoder")).arg("--strict")
}

fn write(path: &Path, frames: u32, codec: VideoCodec, (width, height): (u32, u32)) {
    let options = WriterOptions::default().codec(codec).keyframe_interval(12);
    let mut writer = VideoWriter::create(path, width, height, &options).unwrap();
    for number in 0..frames {
        let image = RgbImage::from_fn(width, height, |x, y| {
            let texture = (x * 7 + number * 5) ^ (y * 3 + number);
            Rgb([texture as u8, (x + y + number) as u8, (y * 2) as u8])
        });
        writer.write(&image).unwrap();
    }
    writer.finish().unwrap();
}

type Outcome = (Result<Vec<Frame>, String>, Vec<Warning>);

fn outcome(path: &Path, decoder: Option<&DecoderProcess>) -> Outcome {
    let mut options = VideoReader::options().limits(Limits::untrusted());
    if let Some(decoder) = decoder {
        options = options.isolated_by(decoder);
    }
    match options.open(path) {
        Ok(mut reader) => {
            let frames = reader.sample(Sampling::Uniform(9)).collect::<Result<_, _>>();
            (frames.map_err(|error| error.to_string()), reader.warnings().to_vec())
        }
        Err(error) => (Err(error.to_string()), Vec::new()),
    }
}

/// Random numbers, the same in each run.
fn noise(seed: u64) -> impl Iterator<Item = u64> {
    let mut random = fastrand::Rng::with_seed(seed);
    std::iter::repeat_with(move || random.u64(..))
}

const KINDS: [(&str, VideoCodec); 5] = [
    ("a.mp4", VideoCodec::H264),
    ("b.mkv", VideoCodec::H264),
    ("c.ts", VideoCodec::H264),
    ("d.avi", VideoCodec::Mpeg4),
    ("e.mkv", VideoCodec::Mpeg4),
];

#[test]
fn another_process_gives_the_same_and_opens_nothing_else() {
    let folder = tempfile::tempdir().unwrap();
    let decoder = strict();
    for (name, codec) in KINDS {
        let path = folder.path().join(name);
        write(&path, 40, codec, (98, 66));
        let whole = fs::read(&path).unwrap();
        let mut holed = whole.clone();
        for (byte, noise) in holed[whole.len() / 2..].iter_mut().take(700).zip(noise(5)) {
            *byte = noise as u8;
        }
        for bytes in [&whole[..], &whole[..whole.len() * 2 / 3], &holed, &whole[..3], b"#EXTM3U\nb.mkv\n"] {
            fs::write(&path, bytes).unwrap();
            let here = outcome(&path, None);
            assert!(outcome(&path, Some(&decoder)) == here, "{name}, {} bytes: {:?}", bytes.len(), here.1);
        }
        fs::write(&path, whole).unwrap();
    }
}

#[test]
fn every_kind_of_clip_decodes_in_the_sandbox() {
    let clips = Path::new(env!("CARGO_MANIFEST_DIR")).join("goldens/clips");
    let decoder = strict();
    let mut decoded = 0;
    for clip in fs::read_dir(clips).unwrap() {
        let path = clip.unwrap().path();
        let here = outcome(&path, None);
        decoded += usize::from(here.0.is_ok());
        assert!(outcome(&path, Some(&decoder)) == here, "{}", path.display());
    }
    assert!(decoded >= 30, "{decoded} clips");
}

#[test]
fn a_list_of_other_files_opens_none_of_them() {
    let folder = tempfile::tempdir().unwrap();
    let real = folder.path().join("real.ts");
    write(&real, 10, VideoCodec::H264, (64, 64));
    let real = real.display();
    let decoder = strict();
    let lists = [
        format!("#EXTM3U\n#EXT-X-TARGETDURATION:10\n#EXTINF:6,\n{real}\n#EXTINF:6,\nhttp://127.0.0.1:9/x\n#EXT-X-ENDLIST\n"),
        format!("ffconcat version 1.0\nfile '{real}'\n"),
        "v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nt=0 0\nm=video 5004 RTP/AVP 96\na=rtpmap:96 H264/90000\n".to_owned(),
        format!("<?xml version=\"1.0\"?><MPD xmlns=\"urn:mpeg:dash:schema:mpd:2011\" type=\"static\" mediaPresentationDuration=\"PT6S\"><Period><AdaptationSet mimeType=\"video/mp4\"><Representation id=\"1\" bandwidth=\"1\"><BaseURL>file://{real}</BaseURL></Representation></AdaptationSet></Period></MPD>"),
    ];
    for list in lists {
        let path = folder.path().join("list.mp4");
        fs::write(&path, &list).unwrap();
        // One that had opened anything would have died at that call: another error.
        let error = VideoReader::options().isolated_by(&decoder).open(&path).unwrap_err();
        assert!(matches!(error, VideoError::Unsupported { .. }), "{list}: {error:?}");
    }
}

#[test]
fn sampling_again_and_stopping_early_both_work() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("clip.mp4");
    write(&path, 60, VideoCodec::H264, (320, 240));
    let decoder = strict();
    let mut reader = VideoReader::options().isolated_by(&decoder).open(&path).unwrap();
    let mut there = |sampling, count| {
        reader.sample(sampling).take(count).collect::<Result<Vec<_>, _>>().map_err(|error| error.to_string())
    };
    let mut reader_here = VideoReader::open(&path).unwrap();
    let mut here = |sampling, count| {
        reader_here
            .sample(sampling)
            .take(count)
            .collect::<Result<Vec<_>, _>>()
            .map_err(|error| error.to_string())
    };
    for (sampling, count) in [
        (Sampling::Uniform(20), 3),
        (Sampling::Uniform(5), 99),
        (Sampling::Keyframes(4), 99),
        (Sampling::EverySeconds(f64::NAN), 99),
        (Sampling::EverySeconds(0.5), 2),
        (Sampling::Uniform(0), 1),
        (Sampling::EverySeconds(0.7), 99),
    ] {
        assert!(there(sampling, count) == here(sampling, count), "{sampling:?}");
    }
}

#[test]
fn files_are_read_side_by_side() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("clip.mp4");
    write(&path, 40, VideoCodec::Mpeg4, (160, 96));
    let (decoder, here) = (strict(), outcome(&path, None));
    std::thread::scope(|scope| {
        for _ in 0..6 {
            scope.spawn(|| {
                for _ in 0..3 {
                    assert!(outcome(&path, Some(&decoder)) == here);
                }
            });
        }
    });
}

/// Numbers of the processes whose parent is `parent`.
#[cfg(target_os = "linux")]
fn children(parent: u32) -> Vec<i32> {
    let path = format!("/proc/{parent}/task/{parent}/children");
    fs::read_to_string(path)
        .unwrap_or_default()
        .split_whitespace()
        .map(|word| word.parse().unwrap())
        .collect()
}

#[cfg(target_os = "linux")]
fn kill(process: i32) {
    signal(process, "-ILL");
}

#[cfg(target_os = "linux")]
fn signal(process: i32, signal: &str) {
    let status = std::process::Command::new("kill").args([signal, &process.to_string()]).status();
    assert!(status.unwrap().success());
}

/// The kernel ends them a moment after what they wait for.
#[cfg(target_os = "linux")]
fn wait_for_the_end_of(processes: &[i32]) {
    let is_over = |process: &i32| {
        let stat = fs::read_to_string(format!("/proc/{process}/stat")).unwrap_or_default();
        // The state follows the name, which may hold anything.
        stat.rsplit_once(") ").is_none_or(|(_, rest)| rest.starts_with('Z'))
    };
    let began = Instant::now();
    while !processes.iter().all(is_over) {
        assert!(began.elapsed() < Duration::from_secs(10), "{processes:?} live on");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// The launcher of a decoder that has the folder's unique name as a further argument.
#[cfg(target_os = "linux")]
fn launcher(mark: &Path) -> i32 {
    let is_marked = |process: &PathBuf| {
        let line = fs::read(process.join("cmdline")).unwrap_or_default();
        String::from_utf8_lossy(&line).contains(mark.to_str().unwrap())
    };
    let launcher =
        fs::read_dir("/proc").unwrap().filter_map(|entry| Some(entry.ok()?.path())).find(is_marked);
    launcher.unwrap().file_name().unwrap().to_str().unwrap().parse().unwrap()
}

#[cfg(target_os = "linux")]
#[test]
fn a_dead_process_loses_only_its_file() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("clip.mp4");
    // Frames larger than the channel holds: the process waits with the second one.
    write(&path, 40, VideoCodec::Mpeg4, (640, 480));
    let decoder = strict().arg(folder.path());
    let mut reader = VideoReader::options().isolated_by(&decoder).open(&path).unwrap();
    let mut other = VideoReader::options().isolated_by(&decoder).open(&path).unwrap();
    let launcher = launcher(folder.path());
    {
        let mut frames = reader.sample(Sampling::Uniform(20));
        frames.next().unwrap().unwrap();
        kill(children(launcher as u32)[0]);
        let error = frames.find_map(Result::err).unwrap();
        assert!(matches!(error, VideoError::DecoderDied { .. }), "{error:?}");
        let message = error.to_string();
        assert!(message.contains("clip.mp4") && message.contains("crashed (signal 4)"), "{message}");
        assert!(frames.next().is_none());
    }
    assert_eq!(other.sample(Sampling::Uniform(3)).flatten().count(), 3);
    assert_eq!(reader.sample(Sampling::Uniform(3)).flatten().count(), 3, "a new process");

    // The launcher dies, and its workers with it; the next file gets a new one.
    let workers = children(launcher as u32);
    assert!(!workers.is_empty());
    kill(launcher);
    wait_for_the_end_of(&workers);
    let error = other.sample(Sampling::Uniform(3)).find_map(Result::err).unwrap();
    assert!(matches!(error, VideoError::DecoderKilled { .. }), "{error:?}");
    assert!(outcome(&path, Some(&decoder)).0.is_ok());
}

/// As schedulers do, and the kernel when memory runs out.
#[cfg(target_os = "linux")]
#[test]
fn signals_from_outside_are_not_blamed_on_the_file() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("clip.mp4");
    write(&path, 40, VideoCodec::Mpeg4, (640, 480));
    let decoder = strict().arg(folder.path());
    let mut reader = VideoReader::options().isolated_by(&decoder).open(&path).unwrap();
    let launcher = launcher(folder.path());
    let mut frames = reader.sample(Sampling::Uniform(20));
    frames.next().unwrap().unwrap();
    let worker = children(launcher as u32)[0];
    for process in [launcher, worker] {
        signal(process, "-TERM");
        signal(process, "-HUP");
    }
    frames.next().unwrap().unwrap();
    signal(worker, "-KILL");
    let error = frames.find_map(Result::err).unwrap();
    assert!(matches!(error, VideoError::DecoderKilled { .. }), "{error:?}");
    let message = error.to_string();
    assert!(message.contains("was killed (signal 9)") && !message.contains("damaged"), "{message}");
}

#[cfg(target_os = "linux")]
#[test]
fn no_process_or_file_is_left_behind() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("clip.mp4");
    write(&path, 40, VideoCodec::Mpeg4, (640, 480));
    let decoder = strict().arg(folder.path());
    let mut reader = VideoReader::options().isolated_by(&decoder).open(&path).unwrap();
    assert!(reader.sample(Sampling::Uniform(20)).next().unwrap().is_ok());
    let launcher = launcher(folder.path());
    assert_eq!(children(launcher as u32), [] as [i32; 0], "an abandoned sampling ends its process");
    assert!(reader.sample(Sampling::Uniform(2)).next().unwrap().is_ok());
    drop((reader, decoder));
    assert!(!Path::new(&format!("/proc/{launcher}")).exists());
}

/// Every call that the wall is there for, made by the decoder itself, locked in as for a file.
#[cfg(target_os = "linux")]
#[test]
fn a_decoder_can_make_no_forbidden_call() {
    use deeptell_video::{CallOutcome, ForbiddenCall};

    let program = env!("CARGO_BIN_EXE_deeptell-decoder");
    let (usual, strict) = (DecoderProcess::new(program), strict());
    for call in ForbiddenCall::ALL {
        let outcome = usual.attempt(call).unwrap();
        match call {
            // Calls that only an intruder makes.
            ForbiddenCall::Exec | ForbiddenCall::Socket | ForbiddenCall::Trace | ForbiddenCall::Signal => {
                assert_eq!(outcome, CallOutcome::Killed, "{call}");
            }
            _ => assert_eq!(outcome, CallOutcome::Refused(1), "{call}"),
        }
        assert_eq!(strict.attempt(call).unwrap(), CallOutcome::Killed, "{call}");
    }
}

#[cfg(target_os = "linux")]
#[test]
fn a_decoder_inherits_no_secret() {
    use std::os::fd::AsFd;

    let folder = tempfile::tempdir().unwrap();
    let secret = fs::File::create(folder.path().join("secret.txt")).unwrap();
    rustix::io::fcntl_setfd(secret.as_fd(), rustix::io::FdFlags::empty()).unwrap();
    assert!(std::env::var_os("CARGO_MANIFEST_DIR").is_some(), "a variable to be left out");

    let found = DecoderProcess::new(env!("CARGO_BIN_EXE_deeptell-decoder")).confinement().unwrap();
    assert_eq!(found.descriptors, 5, "the standard streams, the file and the channel");
    let kept = ["GLIBC_TUNABLES", "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH", "TZ"];
    assert!(found.variables.iter().all(|name| kept.contains(&name.as_str())), "{:?}", found.variables);
    assert!(found.has_no_capabilities);
}

/// After a process exited abnormally, the next one comes from a program that was started again, with other addresses.
#[cfg(target_os = "linux")]
#[test]
fn a_crash_is_followed_by_a_new_launcher() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("clip.mp4");
    write(&path, 40, VideoCodec::Mpeg4, (640, 480));
    let decoder = strict().arg(folder.path());
    let open = || VideoReader::options().isolated_by(&decoder).open(&path).unwrap();
    let (mut reader, mut other) = (open(), open());
    let before = launcher(folder.path());
    kill(children(before as u32)[0]);
    assert!(reader.sample(Sampling::Uniform(20)).find_map(Result::err).is_some());
    drop(reader);
    let mut next = open();
    assert_eq!(next.sample(Sampling::Uniform(3)).flatten().count(), 3);
    // The other process may finish its file, and the old launcher ends with it.
    assert!(Path::new(&format!("/proc/{before}")).exists());
    assert_eq!(other.sample(Sampling::Uniform(3)).flatten().count(), 3);
    drop(other);
    assert!(!Path::new(&format!("/proc/{before}")).exists());
    assert_ne!(launcher(folder.path()), before);
}

#[cfg(target_os = "linux")]
#[test]
fn a_stopped_launcher_is_killed() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("clip.mp4");
    write(&path, 4, VideoCodec::Mpeg4, (64, 64));
    let decoder = strict().arg(folder.path());
    assert!(outcome(&path, Some(&decoder)).0.is_ok());
    let launcher = launcher(folder.path());
    signal(launcher, "-STOP");
    let start = Instant::now();
    drop(decoder);
    assert!(!Path::new(&format!("/proc/{launcher}")).exists());
    assert!(start.elapsed() < Duration::from_secs(5), "{:?}", start.elapsed());
}

#[test]
fn isolated_pictures_match_those_in_process() {
    let folder = tempfile::tempdir().unwrap();
    let image = RgbImage::from_fn(300, 200, |x, y| Rgb([x as u8, y as u8, (x ^ y) as u8]));
    let decoder = strict();
    for name in ["a.png", "a.jpg", "a.webp", "a.bmp"] {
        let path = folder.path().join(name);
        image.save(&path).unwrap();
        let here = VideoReader::options().limits(Limits::untrusted());
        let there = here.clone().isolated_by(&decoder);
        let picture = here.clone().read_picture(&path).unwrap();
        assert!(there.clone().read_picture(&path).unwrap() == picture, "{name}");
        assert_eq!(picture.image.dimensions(), (300, 200));
        let small = there.clone().max_side(60).read_picture(&path).unwrap();
        assert!(small == here.max_side(60).read_picture(&path).unwrap(), "{name}");
        assert_eq!((small.image.dimensions(), small.full_size), ((60, 40), (300, 200)));

        let bytes = fs::read(&path).unwrap();
        fs::write(&path, &bytes[..bytes.len() / 2]).unwrap();
        let error = there.read_picture(&path).unwrap_err();
        assert!(matches!(error, VideoError::Picture { .. }) && error.to_string().contains(name), "{error:?}");
    }
}

/// Pictures that unfold to more than they may, and some at the limit.
#[cfg(target_os = "linux")]
#[test]
fn pictures_are_bounded_in_the_decoder_process() {
    use deeptell_video::PictureError;
    use image::{GrayImage, ImageBuffer, Rgba};

    let folder = tempfile::tempdir().unwrap();
    let decoder = DecoderProcess::new(env!("CARGO_BIN_EXE_deeptell-decoder"));
    let read = |path: &Path| {
        let options = VideoReader::options().limits(Limits::untrusted()).max_side(640);
        options.isolated_by(&decoder).read_picture(path)
    };
    let at = |name: &str| folder.path().join(name);
    GrayImage::new(8192, 8192).save(at("large.png")).unwrap();
    let error = read(&at("large.png")).unwrap_err();
    let is_right = matches!(error, VideoError::Picture { source: PictureError::TooLarge { .. }, .. });
    assert!(is_right, "{error:?}");
    GrayImage::new(8000, 5000).save(at("grey.png")).unwrap();
    assert_eq!(read(&at("grey.png")).unwrap().full_size, (8000, 5000));
    let deep: ImageBuffer<Rgba<u16>, _> = ImageBuffer::new(8000, 5000);
    deep.save(at("deep.png")).unwrap();
    let error = read(&at("deep.png")).unwrap_err();
    let is_right = matches!(error, VideoError::Picture { source: PictureError::TooMuchMemory { .. }, .. });
    assert!(is_right, "{error:?}");
    fs::File::create(at("long.png")).unwrap().set_len(65 << 20).unwrap();
    let mut long = fs::OpenOptions::new().write(true).open(at("long.png")).unwrap();
    std::io::Write::write_all(&mut long, &fs::read(at("grey.png")).unwrap()[..64]).unwrap();
    let error = read(&at("long.png")).unwrap_err();
    let is_right = matches!(error, VideoError::Picture { source: PictureError::FileTooLarge { .. }, .. });
    assert!(is_right, "{error:?}");
}

#[test]
fn reading_stops_when_the_caller_says_so() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("clip.mkv");
    write(&path, 24, VideoCodec::H264, (320, 240));
    // A terabyte of nothing, which takes longer to read than the deadline allows.
    fs::File::options().write(true).open(&path).unwrap().set_len(1 << 40).unwrap();
    for options in [VideoReader::options(), VideoReader::options().isolated_by(&strict())] {
        let stop = Arc::new(AtomicBool::new(false));
        let options = options.limits(Limits::untrusted()).stop(&stop);
        let start = Instant::now();
        let error = std::thread::scope(|scope| {
            scope.spawn(|| {
                std::thread::sleep(Duration::from_millis(300));
                stop.store(true, Ordering::Relaxed);
            });
            let frames = options
                .open(&path)
                .and_then(|mut reader| reader.sample(Sampling::Uniform(9)).collect::<Result<Vec<_>, _>>());
            frames.map(|frames| frames.len()).unwrap_err()
        });
        assert!(matches!(error, VideoError::Stopped { .. }), "{error:?}");
        assert!(start.elapsed() < Duration::from_secs(2), "{:?}", start.elapsed());
    }
}

#[test]
fn the_deadline_is_enforced_in_the_sandbox() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("clip.mp4");
    write(&path, 200, VideoCodec::H264, (320, 240));
    let limits = Limits::untrusted().deadline(Duration::from_millis(20));
    let start = Instant::now();
    let reader = VideoReader::options().limits(limits).isolated_by(&strict()).open(&path);
    let error = match reader {
        Ok(mut reader) => reader.sample(Sampling::Uniform(200)).find_map(Result::err).unwrap(),
        Err(error) => error,
    };
    assert!(matches!(error, VideoError::Timeout { .. }), "{error:?}");
    assert!(start.elapsed() < Duration::from_secs(5), "{:?}", start.elapsed());
}

#[cfg(target_os = "linux")]
#[test]
fn memory_limits_are_enforced() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("clip.mp4");
    write(&path, 12, VideoCodec::Mpeg4, (1920, 1080));
    let with = |megabytes: u64| {
        let limits = Limits::untrusted().memory_bytes(megabytes << 20);
        let mut reader = VideoReader::options().limits(limits).isolated_by(&strict()).open(&path)?;
        reader.sample(Sampling::Uniform(4)).collect::<Result<Vec<_>, _>>()
    };
    assert_eq!(with(600).unwrap().len(), 4);
    // Wherever the memory ends, the error says so.
    for megabytes in [20, 32, 40, 48, 56] {
        match with(megabytes) {
            Ok(frames) => assert_eq!(frames.len(), 4),
            Err(VideoError::OutOfMemory { .. } | VideoError::DecoderDied { .. }) => {}
            Err(error) => panic!("{megabytes} MiB: {error:?}"),
        }
    }
    assert!(with(32).is_err());
}

#[cfg(target_os = "linux")]
#[test]
fn running_out_of_memory_is_not_reported_as_damage() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("clip.mp4");
    // Noise at the best quality: the packets, which are kept, are what takes the memory.
    let options = WriterOptions::default().codec(VideoCodec::Mpeg4).quality(Some(1)).keyframe_interval(1);
    let mut writer = VideoWriter::create(&path, 640, 480, &options).unwrap();
    for seed in 0..72 {
        let mut noise = noise(seed);
        let image = RgbImage::from_fn(640, 480, |_, _| {
            let draw = noise.next().unwrap();
            Rgb([draw as u8, (draw >> 8) as u8, (draw >> 16) as u8])
        });
        writer.write(&image).unwrap();
    }
    writer.finish().unwrap();
    let size = fs::metadata(&path).unwrap().len();
    assert!(size > 24 << 20, "{size} bytes are too few to prove anything");
    for megabytes in [12, 16, 20, 24] {
        let limits = Limits::untrusted().memory_bytes(megabytes << 20);
        let reader = VideoReader::options().limits(limits).isolated_by(&strict()).open(&path);
        let error = reader.map(|reader| reader.warnings().to_vec()).unwrap_err();
        assert!(
            matches!(error, VideoError::OutOfMemory { .. } | VideoError::DecoderDied { .. }),
            "{megabytes} MiB: {error:?}"
        );
    }
}

#[test]
fn programs_that_are_not_decoders_are_named_in_the_error() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("clip.mp4");
    write(&path, 2, VideoCodec::Mpeg4, (64, 64));
    for program in ["/nonexistent/program", "true"] {
        let decoder = DecoderProcess::new(program);
        let error = VideoReader::options().isolated_by(&decoder).open(&path).unwrap_err();
        assert!(matches!(error, VideoError::NoDecoderProcess { .. }), "{error:?}");
        assert!(error.to_string().contains(program), "{error}");
    }
}

#[test]
fn decoders_that_are_killed_while_they_start_are_not_called_wrong_programs() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("clip.mp4");
    write(&path, 2, VideoCodec::Mpeg4, (64, 64));
    let decoder = DecoderProcess::new("sh").arg("-c").arg("kill -KILL $$");
    let error = VideoReader::options().isolated_by(&decoder).open(&path).unwrap_err();
    assert!(matches!(error, VideoError::DecoderKilled { .. }), "{error:?}");
}

/// Two thousand damaged files: none may crash FFmpeg or us, call the kernel for anything but
/// decoding, outlast the deadline or outgrow the memory limit. All but the last would show as
/// `DecoderDied`; the kernel keeps the last.
#[test]
fn two_thousand_damaged_files_never_panic_or_hang() {
    let folder = tempfile::tempdir().unwrap();
    let limits = Limits::untrusted().deadline(Duration::from_secs(5));
    let originals = KINDS.map(|(name, codec)| {
        let path = folder.path().join(name);
        write(&path, 25, codec, (96, 64));
        (name, fs::read(path).unwrap())
    });
    let decoder = strict();
    let next = std::sync::atomic::AtomicU64::new(0);
    let tally = std::sync::Mutex::new([0_u32; 2]);
    let examine = |seed: u64| {
        let (name, original) = &originals[(seed % KINDS.len() as u64) as usize];
        let path = folder.path().join(format!("{seed}-{name}"));
        let mut bytes = original.clone();
        let mut draws = noise(seed + 1);
        let mut draw = |below: usize| (draws.next().unwrap() % below as u64) as usize;
        // Every second one in the header, which is at the end of MP4 files as written here.
        let is_header = (seed / KINDS.len() as u64).is_multiple_of(2);
        let (from, length) = match (is_header, *name) {
            (true, "a.mp4") => (bytes.len() - 1300, 1300),
            (true, _) => (0, 700),
            (false, _) => (0, bytes.len()),
        };
        for _ in 0..=draw(8) {
            bytes[from + draw(length)] = draw(256) as u8;
        }
        fs::write(&path, bytes).unwrap();
        let reader = VideoReader::options().limits(limits.clone()).isolated_by(&decoder).open(&path);
        let ended =
            reader.and_then(|mut reader| reader.sample(Sampling::Uniform(6)).collect::<Result<Vec<_>, _>>());
        fs::remove_file(&path).unwrap();
        if let Err(VideoError::DecoderDied { .. } | VideoError::NoDecoderProcess { .. }) = ended {
            panic!("seed {seed}, {name}: {}", ended.unwrap_err());
        }
        tally.lock().unwrap()[usize::from(ended.is_ok())] += 1;
    };
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                while let seed @ 0..2000 = next.fetch_add(1, Ordering::Relaxed) {
                    examine(seed);
                }
            });
        }
    });
    let [refused, decoded] = tally.into_inner().unwrap();
    assert_eq!(refused + decoded, 2000);
    assert!(refused > 100 && decoded > 500, "{refused} refused, {decoded} decoded");
}

use std::ops::ControlFlow;

use deeptell::{
    Calibration, Error, Input, InputFrame, InputKind, Reason, Report, SCHEMA_VERSION, VERSION, Verdict,
    Warning,
};
use deeptell_video::{Sampling, VideoReader};
use tempfile::TempDir;

use crate::{DETECTOR, detector_with, landscape_clip, options, portrait, portrait_clip, portrait_path};

#[test]
fn a_video_with_a_face_gets_a_whole_report() {
    let folder = TempDir::new().unwrap();
    let clip = folder.path().join("portrait.mp4");
    portrait_clip(&clip);
    let scan = DETECTOR.scan(&clip, &options().evidence(true)).unwrap();
    let report = scan.report;

    assert_eq!((report.schema_version, report.deeptell_version.as_str()), (SCHEMA_VERSION, VERSION));
    assert_eq!(report.frames.len(), 5);
    assert!(
        report.frames.iter().all(|f| (f.width, f.height, f.faces) == (320, 240, 1)),
        "{:?}",
        report.frames
    );
    assert!(report.frames.is_sorted_by(|a, b| a.pts_seconds < b.pts_seconds));
    assert_eq!((report.people.len(), report.observations.len()), (1, 5));
    assert_eq!(report.decisive_person, Some(0));
    assert!(report.warnings.is_empty(), "{:?}", report.warnings);

    let person = report.decisive().unwrap();
    let mean = report.observations.iter().map(|o| o.fake_probability).sum::<f64>() / 5.0;
    assert!((person.score - mean).abs() < 1e-6);
    assert_eq!((report.score, report.verdict), (Some(person.score), person.verdict));
    assert!(person.judgeable && person.frames == 5);
    for (i, o) in report.observations.iter().enumerate() {
        assert_eq!((o.frame, o.person), (i, 0));
        assert!((0.0..=1.0).contains(&o.fake_probability) && o.detection_probability > 0.9);
        // The crop is 1.2 times the longer side of the box.
        assert!((o.crop_width - 1.2 * o.bbox.width().max(o.bbox.height())).abs() < 0.01);
        assert!(o.bbox.contains(o.landmarks.nose), "{o:?}");
    }

    let bytes = std::fs::metadata(&clip).unwrap().len();
    assert_eq!((report.input.kind, report.input.bytes), (InputKind::Video, Some(bytes)));
    assert_eq!((report.input.name.as_str(), report.input.codec.as_deref()), ("portrait.mp4", Some("mpeg4")));
    assert_eq!(report.input.duration_seconds, Some(1.0));
    assert_eq!(report.input.sha256.as_ref().map(String::len), Some(64));
    let evidence = scan.evidence.unwrap();
    assert_eq!((evidence.frames.len(), evidence.faces.len(), evidence.heat.len()), (5, 5, 5));
    // Without it, the report is the same.
    let plain = DETECTOR.scan(&clip, &options()).unwrap();
    assert_eq!(plain.evidence, None);
    let mut report = report;
    report.options.evidence = false;
    assert_eq!(plain.report, report);
}

#[test]
fn reports_survive_json_and_scans_repeat_themselves_on_any_thread() {
    let folder = TempDir::new().unwrap();
    let clip = folder.path().join("portrait.mp4");
    portrait_clip(&clip);
    let scan = || DETECTOR.scan(&clip, &options()).unwrap().report;
    let (one, two) = std::thread::scope(|scope| {
        let (one, two) = (scope.spawn(scan), scope.spawn(scan));
        (one.join().unwrap(), two.join().unwrap())
    });
    assert_eq!(one, two);

    let json = serde_json::to_string_pretty(&one).unwrap();
    assert_eq!(Report::from_json(json.as_bytes()).unwrap(), one);
}

#[test]
fn a_video_without_a_face_has_no_score() {
    let folder = TempDir::new().unwrap();
    let clip = folder.path().join("landscape.mp4");
    landscape_clip(&clip);
    let report = DETECTOR.scan(&clip, &options()).unwrap().report;
    assert_eq!((report.verdict, report.score, report.decisive_person), (Verdict::NoFace, None, None));
    assert!(report.observations.is_empty() && report.people.is_empty());
    assert_eq!(report.reasons, [Reason::NoFace { sampled: 5 }]);
    let json: serde_json::Value = serde_json::to_value(&report).unwrap();
    assert_eq!((&json["verdict"], &json["score"]), (&"no_face".into(), &serde_json::Value::Null));
}

#[test]
fn the_verdict_follows_the_calibrated_score() {
    // The random network's logits are near zero, so the intercept decides.
    for (intercept, verdict, code) in [
        (4.0, Verdict::LikelyFake, "score_high"),
        (0.0, Verdict::Inconclusive, "score_between"),
        (-4.0, Verdict::LikelyReal, "score_low"),
    ] {
        let detector = detector_with(Calibration { slope: 1.0, intercept });
        let report = detector.scan(&portrait_path(), &options()).unwrap().report;
        assert_eq!((report.verdict, report.reasons[0].code()), (verdict, code));
        assert_eq!(report.input.kind, InputKind::Image);
        assert_eq!(report.input.container.as_deref(), Some("png"));
    }
}

#[test]
fn pictures_from_a_file_from_memory_and_as_a_frame_agree() {
    let from_file = DETECTOR.scan(&portrait_path(), &options()).unwrap().report;
    let from_memory = DETECTOR.scan(Input::picture("portrait", &portrait()), &options()).unwrap().report;
    let frame = InputFrame::new(portrait(), 0.0);
    let as_frame = DETECTOR.scan(Input::frames("portrait", [frame]), &options()).unwrap().report;
    assert_eq!(from_file.observations.len(), 1);
    assert_eq!(from_file.observations, from_memory.observations);
    assert_eq!(from_file.observations, as_frame.observations);
    assert_eq!((from_memory.input.sha256, from_memory.input.width), (None, Some(512)));
    assert_eq!(as_frame.input.kind, InputKind::Frames);
}

#[test]
fn the_stages_alone_give_what_the_scan_gives() {
    let folder = TempDir::new().unwrap();
    let clip = folder.path().join("portrait.mp4");
    portrait_clip(&clip);
    let options = options();
    let report = DETECTOR.scan(&clip, &options).unwrap().report;

    let mut reader = VideoReader::open(&clip).unwrap();
    let mut probabilities = Vec::new();
    for frame in reader.sample(Sampling::Uniform(options.frames)) {
        let frame = frame.unwrap();
        let faces = DETECTOR.find_faces(&frame.image, &options).unwrap();
        let crop = DETECTOR.crop(&frame.image, &faces[0]).unwrap();
        probabilities.extend(DETECTOR.classify(&[crop]).unwrap());
    }
    assert_eq!(probabilities.len(), report.observations.len());
    for (alone, o) in probabilities.iter().zip(&report.observations) {
        assert!((alone - o.fake_probability).abs() < 1e-4, "{alone} {}", o.fake_probability);
    }
    let judged = DETECTOR.model().card().levels.person.judge(&report.observations, report.frames.len());
    assert_eq!((judged.score, judged.people), (report.score, report.people));
}

#[test]
fn a_short_video_is_not_scanned_twice() {
    let folder = TempDir::new().unwrap();
    let clip = folder.path().join("short.mp4");
    let portrait = portrait();
    crate::write_clip(&clip, 2, |_| portrait.clone());
    let report = DETECTOR.scan(&clip, &options()).unwrap().report;
    assert_eq!((report.frames.len(), report.observations.len()), (2, 2));
}

#[test]
fn large_pictures_are_scaled_down_and_crowds_are_cut_short() {
    let portrait = portrait();
    let mut pair = deeptell_face::RgbImage::new(1024, 512);
    image::imageops::overlay(&mut pair, &portrait, 0, 0);
    image::imageops::overlay(&mut pair, &portrait, 512, 0);
    let both = DETECTOR.scan(Input::picture("pair", &pair), &options()).unwrap().report;
    assert_eq!((both.observations.len(), both.people.len()), (2, 2));
    assert!(both.warnings.is_empty());

    let one = options().max_faces_per_frame(1).max_side(Some(768));
    let report = DETECTOR.scan(Input::picture("pair", &pair), &one).unwrap().report;
    assert_eq!((report.frames[0].width, report.frames[0].height), (768, 384));
    assert_eq!((report.frames[0].faces, report.observations.len()), (2, 1));
    assert_eq!(report.warnings, [Warning::CrowdedFrames { frames: 1, sampled: 1, max_faces: 1 }]);
    assert_eq!(report.input.width, Some(1024));
}

#[test]
fn progress_counts_up_and_break_cancels() {
    let folder = TempDir::new().unwrap();
    let clip = folder.path().join("portrait.mp4");
    portrait_clip(&clip);
    let mut seen = Vec::new();
    let report = DETECTOR.scan_with(&clip, &options(), |progress| {
        assert_eq!(progress.frames_total, Some(5));
        seen.push((progress.frames_done, progress.faces));
        ControlFlow::Continue(())
    });
    assert!(report.is_ok());
    assert_eq!(seen, [(0, 0), (1, 1), (2, 2), (3, 3), (4, 4), (5, 5)]);

    let cancelled = DETECTOR.scan_with(&clip, &options(), |progress| {
        if progress.frames_done < 2 { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
    });
    assert!(matches!(cancelled, Err(Error::Cancelled)), "{cancelled:?}");
}

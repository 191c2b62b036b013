use burn::tensor::Device;
use deeptell::{Detector, Manifest, ReasonCode, Report, Verdict};
use deeptell_face::RgbImage;
use deeptell_video::WriterOptions;
use tempfile::TempDir;

use crate::{options, portrait, portrait_at, write_clip_as};

#[test]
fn the_shipped_detector_is_trained_and_is_the_file_of_the_manifest() {
    let detector = Detector::shipped(&Device::flex()).unwrap();
    let info = detector.model().info();
    let manifest = Manifest::parse(deeptell_models::MANIFEST).unwrap();
    let shipped = deeptell_models::DEEPTELL_MNV3S;
    let entry = manifest.models.iter().find(|entry| entry.file == shipped.file).unwrap();
    assert_eq!(entry.sha256, info.sha256);

    let auc = info.card.measures.iter().find(|measure| measure.name.contains("AUC")).unwrap();
    assert!(auc.value > 0.8 && auc.value < 1.0, "{auc:?}");
    assert!(!info.card.limits.is_empty());

    let report = detector.scan_rgb("portrait", &portrait(), &options()).unwrap();
    assert_eq!(report.observations.len(), 1);
}

/// The same performance, ever worse shown: at some point the detector must say that it cannot judge, and why.
#[test]
fn blurred_compressed_and_small_faces_are_inconclusive() {
    let detector = Detector::shipped(&Device::flex()).unwrap();
    let folder = TempDir::new().unwrap();
    let portrait = portrait();
    let scan = |name: &str, quality: u8, change: &dyn Fn(RgbImage) -> RgbImage| -> Report {
        let path = folder.path().join(format!("{name}.mp4"));
        let writing = WriterOptions { quality: Some(quality), ..WriterOptions::default() };
        write_clip_as(&path, &writing, 25, |i| change(portrait_at(&portrait, i)));
        let options = deeptell::ScanOptions { min_face: 20.0, ..options() };
        detector.scan_video(&path, &options).unwrap()
    };
    let good = scan("good", 18, &|frame| frame);
    let good = good.decisive().unwrap();
    assert!(good.judgeable, "{:?}", good.reasons);

    let blurred = scan("blurred", 18, &|frame| image::imageops::blur(&frame, 4.0));
    let compressed = scan("compressed", 47, &|frame| frame);
    let small = scan("small", 18, &|frame| image::imageops::thumbnail(&frame, 88, 66));
    for (report, code) in [
        (&blurred, ReasonCode::BlurredFace),
        (&compressed, ReasonCode::BlurredFace),
        (&small, ReasonCode::SmallFace),
    ] {
        let name = &report.input.name;
        let track = report.decisive().unwrap_or_else(|| panic!("{name}: no face"));
        assert_eq!(report.verdict, Verdict::Inconclusive, "{name}");
        assert!(track.reasons.iter().any(|reason| reason.code == code), "{name}: {:?}", track.reasons);
        assert!(track.median_blur > good.median_blur, "{name}");
    }
}

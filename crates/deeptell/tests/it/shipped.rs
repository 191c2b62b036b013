use burn::tensor::Device;
use deeptell::{Detector, Manifest};

use crate::{options, portrait};

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

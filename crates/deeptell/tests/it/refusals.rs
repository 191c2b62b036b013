use burn::tensor::Device;
use deeptell::{
    Architecture, Calibration, Detector, Error, Input, InputError, InputFrame, Model, ModelError, ModelFile,
    Scan,
};
use deeptell_face::RgbImage;
use deeptell_network::{NetworkConfig, StoredDtype};
use tempfile::TempDir;

use crate::{DETECTOR, card, options, random_model};

fn refused(result: Result<Scan, Error>) -> InputError {
    match result {
        Err(Error::Input { source, .. }) => source,
        other => panic!("{other:?}"),
    }
}

fn unusable(result: Result<Detector, Error>) -> ModelError {
    match result {
        Err(Error::Model { source, .. }) => source,
        other => panic!("{:?}", other.map(|_| "a detector")),
    }
}

#[test]
fn inputs_that_cannot_be_scanned_are_typed_errors() {
    let folder = TempDir::new().unwrap();
    let text = folder.path().join("notes.mp4");
    std::fs::write(&text, "not a video at all").unwrap();
    assert!(matches!(refused(DETECTOR.scan(&text, &options())), InputError::Video(_)));
    let cut = folder.path().join("cut.png");
    std::fs::write(&cut, &std::fs::read(crate::portrait_path()).unwrap()[..100]).unwrap();
    assert!(matches!(refused(DETECTOR.scan(&cut, &options())), InputError::Picture(_)));
    assert!(matches!(refused(DETECTOR.scan(folder.path(), &options())), InputError::NotAFile));
    let missing = folder.path().join("missing.mp4");
    assert!(matches!(refused(DETECTOR.scan(&missing, &options())), InputError::Read(_)));
    let error = DETECTOR.scan(&missing, &options()).unwrap_err();
    assert!(error.to_string().contains("missing.mp4"), "{error}");
}

#[test]
fn unusable_frames_are_refused() {
    assert!(matches!(refused(DETECTOR.scan(Input::frames("none", []), &options())), InputError::NoFrames));
    let frame = |width, pts_seconds| InputFrame::new(RgbImage::new(width, 8), pts_seconds);
    let empty = DETECTOR.scan(Input::frames("empty", [frame(8, 0.0), frame(0, 1.0)]), &options());
    assert!(matches!(refused(empty), InputError::Frame { frame: 1, width: 0, .. }));
    let timeless = DETECTOR.scan(Input::frames("timeless", [frame(8, f64::NAN)]), &options());
    assert!(matches!(refused(timeless), InputError::Frame { frame: 0, .. }));
}

#[test]
fn options_are_checked_before_anything_is_read() {
    let wrong = options().frames(0);
    let result = DETECTOR.scan("/no/such/file", &wrong);
    assert!(matches!(result, Err(Error::Option { option: "frames", .. })), "{result:?}");
}

#[test]
fn model_files_that_cannot_be_used_are_typed_errors() {
    let folder = TempDir::new().unwrap();
    let device = Device::flex();
    let load = |path: &std::path::Path| unusable(Detector::load(path, &device));

    assert!(matches!(load(&folder.path().join("missing.safetensors")), ModelError::File(_)));

    let path = random_model(folder.path(), &card(Calibration::default()));
    let whole = std::fs::read(&path).unwrap();
    std::fs::write(&path, &whole[..whole.len() / 2]).unwrap();
    assert!(matches!(load(&path), ModelError::Weights(_)));

    let small = |classes| NetworkConfig::new(Architecture::MobileNetV3Small, classes).init(&device);
    let network = small(1);
    let mut weights = network.weights().unwrap();
    weights.write(&path, StoredDtype::F16).unwrap();
    assert!(matches!(load(&path), ModelError::NoCard { .. }));

    weights.metadata.insert(ModelFile::CARD_KEY.to_owned(), "{\"name\": 3}".to_owned());
    weights.write(&path, StoredDtype::F16).unwrap();
    assert!(matches!(load(&path), ModelError::Card(_)));

    let mut wrong = card(Calibration::default());
    wrong.levels.person.thresholds.high = 0.1;
    assert!(matches!(
        ModelFile::new(&network, wrong.clone()),
        Err(Error::Model { source: ModelError::CardValue(_), .. })
    ));
    weights.metadata.insert(ModelFile::CARD_KEY.to_owned(), serde_json::to_string(&wrong).unwrap());
    weights.write(&path, StoredDtype::F16).unwrap();
    assert!(matches!(load(&path), ModelError::CardValue(_)));

    let thousand = ModelFile::new(&small(1000), card(Calibration::default())).unwrap();
    thousand.write(&path, StoredDtype::F16).unwrap();
    assert!(matches!(load(&path), ModelError::Weights(_)));

    // The weights are of one network, the card of another.
    let mut other = card(Calibration::default());
    other.architecture = Architecture::MobileNetV3Large;
    assert!(matches!(
        ModelFile::new(&network, other.clone()),
        Err(Error::Model { source: ModelError::OtherArchitecture { .. }, .. })
    ));
    weights.metadata.insert(ModelFile::CARD_KEY.to_owned(), serde_json::to_string(&other).unwrap());
    weights.write(&path, StoredDtype::F16).unwrap();
    let error = load(&path);
    assert!(error.to_string().contains("MobileNetV3-Large"), "{error}");

    // What only a newer deeptell knows.
    for (key, value) in [("format_version", serde_json::json!(9)), ("architecture", serde_json::json!("vit"))]
    {
        let mut newer = serde_json::to_value(card(Calibration::default())).unwrap();
        newer[key] = value;
        weights.metadata.insert(ModelFile::CARD_KEY.to_owned(), newer.to_string());
        weights.write(&path, StoredDtype::F16).unwrap();
        let error = load(&path);
        assert!(matches!(error, ModelError::FormatVersion { .. } | ModelError::Architecture(_)), "{error}");
        assert!(error.to_string().contains("newer deeptell"), "{error}");
    }
}

#[cfg(unix)]
#[test]
fn an_endless_device_is_not_read_as_a_model() {
    let error = unusable(Detector::load("/dev/zero", &Device::flex()));
    assert!(format!("{error:?}").contains("not a regular file"), "{error:?}");
    let error = deeptell::Weights::read("/dev/zero").unwrap_err();
    assert!(format!("{error:?}").contains("not a regular file"), "{error:?}");
}

#[test]
fn a_model_that_differs_from_the_manifest_beside_it_is_refused() {
    let folder = TempDir::new().unwrap();
    let path = random_model(folder.path(), &card(Calibration::default()));
    let sha256 = Model::load(&path, &Device::flex()).unwrap().info().sha256.clone();
    let write = |sha256: &str| {
        let text = format!("[[model]]\nfile = \"random.safetensors\"\nsha256 = \"{sha256}\"\n");
        std::fs::write(folder.path().join("manifest.toml"), text).unwrap();
    };
    write(&sha256);
    assert_eq!(Model::load(&path, &Device::flex()).unwrap().info().sha256, sha256);
    write(&"0".repeat(64));
    let error = unusable(Detector::load(&path, &Device::flex()));
    assert!(matches!(&error, ModelError::Sha256 { found, .. } if *found == sha256), "{error}");
}

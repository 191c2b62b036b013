use burn::tensor::Device;
use deeptell_face::{FaceDetector, RgbImage};
use deeptell_weights::{Weights, WeightsError};
use deeptell_yunet::{YuNetConfig, YuNetError, YuNetWeights};

use crate::onnx_file::Structure;

fn read(structure: &Structure) -> Result<YuNetWeights, YuNetError> {
    YuNetWeights::from_bytes(&structure.file(1), "random.onnx")
}

#[test]
fn files_of_both_structures_are_read_and_written_again() {
    let folder = tempfile::tempdir().unwrap();
    let frame = RgbImage::from_fn(70, 40, |x, y| image::Rgb([(x * y) as u8, (3 * x) as u8, (5 * y) as u8]));
    // Weight and bias of the stem, and of both convolutions of 29 or 26 units.
    for (structure, tensors) in [(Structure::n(), 118), (Structure::s(), 106)] {
        let weights = read(&structure).unwrap();
        assert_eq!(weights.weights().tensors.len(), tensors);
        let config = YuNetConfig::default().threshold(0.2);
        let yunet = config.init(&weights, &Device::flex()).unwrap();
        let path = folder.path().join("yunet.safetensors");
        weights.write(&path).unwrap();
        let again = YuNetWeights::read(&path).unwrap();
        assert_eq!(again, weights);
        let again = config.init(&again, &Device::flex()).unwrap();
        assert_eq!(again.id(), yunet.id());
        assert_eq!(again.detect(&frame).unwrap(), yunet.detect(&frame).unwrap());
    }
}

#[test]
fn the_id_depends_on_settings_and_weights_and_not_on_the_file() {
    let device = Device::flex();
    let id = |config: &YuNetConfig, weights: &YuNetWeights| config.init(weights, &device).unwrap().id();
    let (default, weights) = (YuNetConfig::default(), read(&Structure::n()).unwrap());
    let first = id(&default, &weights);
    assert_eq!((first.name.as_str(), first.settings["weights"].len()), ("yunet", 64));
    for other in [
        default.clone().min_face(40.0),
        default.clone().max_side(Some(640)),
        default.clone().threshold(0.8),
        default.clone().overlap(0.5),
        default.clone().limit(9),
    ] {
        assert_ne!(id(&other, &weights), first, "{other:?}");
    }
    let others = YuNetWeights::from_bytes(&Structure::n().file(2), "other.onnx").unwrap();
    assert_ne!(id(&default, &others), first);
    let set = default.init(&weights, &device).unwrap().with_min_face(40.0).unwrap().unwrap();
    assert_eq!(set.id(), id(&default.min_face(40.0), &weights));
}

#[test]
fn another_network_is_refused_with_the_place_where_it_differs() {
    for (tensor, operator) in [("cls_8", "Softmax"), ("bbox_16", "Sigmoid"), ("3", "LeakyRelu")] {
        let structure = Structure { instead: Some((tensor, operator)), ..Structure::s() };
        let error = read(&structure).unwrap_err();
        let YuNetError::OtherNetwork { found, .. } = &error else { panic!("{operator}: {error:?}") };
        assert!(found == operator || *tensor == *"bbox_16", "{error}");
    }
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("file");
    assert!(!YuNetWeights::recognizes(&path));
    for (content, is_yunet) in [(Structure::n().file(1), true), (b"a text".to_vec(), false)] {
        std::fs::write(&path, content).unwrap();
        assert_eq!(YuNetWeights::recognizes(&path), is_yunet);
    }
    let structure = Structure { instead: Some(("cls_8", "Sigmoid")), ..Structure::n() };
    assert!(read(&structure).is_ok());
}

#[test]
fn damaged_files_are_errors() {
    let bytes = Structure::s().file(1);
    for length in (0..bytes.len()).step_by(97) {
        assert!(YuNetWeights::from_bytes(&bytes[..length], "cut.onnx").is_err(), "{length}");
    }
    let error = YuNetWeights::from_bytes(b"a text", "text.onnx").unwrap_err();
    assert!(matches!(error, YuNetError::Weights(WeightsError::UnknownFormat { .. })), "{error}");
}

#[test]
fn weights_that_do_not_fit_each_other_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let device = Device::flex();
    let good = read(&Structure::n()).unwrap().weights().clone();
    let init = |weights: &Weights| {
        let path = folder.path().join("changed.safetensors");
        weights.write(&path, deeptell_weights::StoredDtype::F32).unwrap();
        YuNetConfig::default().init(&YuNetWeights::read(&path).unwrap(), &device)
    };
    assert!(init(&good).is_ok());
    // A network is complete: without any one of its tensors it is refused, by the name of the tensor.
    for tensor in &good.tensors {
        let mut changed = good.clone();
        changed.tensors.retain(|other| other.name != tensor.name);
        match init(&changed) {
            Err(YuNetError::Weights(WeightsError::MissingTensor { name, .. })) => {
                assert_eq!(name, tensor.name);
            }
            other => panic!("{}: {:?}", tensor.name, other.map(|_| ())),
        }
    }
    for tensor in 0..good.tensors.len() {
        let mut changed = good.clone();
        let wrong = &mut changed.tensors[tensor];
        wrong.shape.push(2);
        wrong.values = wrong.values.iter().chain(wrong.values.iter()).copied().collect();
        let error = init(&changed).unwrap_err();
        assert!(matches!(error, YuNetError::Weights(WeightsError::Shape { .. })), "{error:?}");
    }
}

#[test]
fn a_file_too_large_for_weights_is_not_read() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("large.onnx");
    let file = std::fs::File::create(&path).unwrap();
    file.set_len(YuNetWeights::MAX_FILE + 1).unwrap();
    let error = YuNetWeights::read(&path).unwrap_err();
    assert!(
        matches!(error, YuNetError::TooLarge { bytes, .. } if bytes == YuNetWeights::MAX_FILE + 1),
        "{error}"
    );
}

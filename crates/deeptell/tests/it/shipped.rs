use burn::tensor::Device;
use deeptell::{Detector, Error, HeatMapMethod, Input, ModelError, ModelFile, Report, StoredDtype, Verdict};
use deeptell_face::RgbImage;
use deeptell_network::Weights;
use deeptell_video::WriterOptions;
use tempfile::TempDir;

use crate::{here, options, portrait, portrait_at, write_clip_as};

#[test]
fn shipped_detector_is_the_file_of_the_manifest() {
    let detector = Detector::shipped(&Device::flex()).unwrap();
    let info = detector.model().info();
    let manifest: toml::Table = deeptell_models::MANIFEST.parse().unwrap();
    let shipped = deeptell_models::DEEPTELL_MNV3S;
    let models = manifest["model"].as_array().unwrap();
    let entry = models.iter().find(|entry| entry["file"].as_str() == Some(shipped.file)).unwrap();
    assert_eq!(entry["sha256"].as_str(), Some(info.sha256.as_str()));

    assert!(!info.card.limits.is_empty());
    let report = detector.scan(Input::picture("portrait", &portrait()), &options()).unwrap().report;
    assert_eq!(report.observations.len(), 1);
}

#[test]
fn the_shipped_file_is_of_the_newest_format() {
    let shipped = deeptell_models::DEEPTELL_MNV3S;
    let notes = Weights::notes(&shipped.bytes(), shipped.file).unwrap();
    let card: serde_json::Value = serde_json::from_str(&notes[ModelFile::CARD_KEY]).unwrap();
    assert_eq!(card["format_version"], 2);
    assert_eq!(card["architecture"], "mobilenet-v3-small");
    assert_eq!(card["face_detector"]["name"], "mtcnn");
    assert_eq!(card["normalization"]["mean"][0], 0.485);
    assert!(card["levels"]["crop"]["calibration"]["slope"].is_f64());
    assert!(card["levels"]["person"]["thresholds"]["high"].is_f64());
}

/// A file as programs before format 2 wrote it scores the same, to the bit, and so does what is written from it.
#[test]
fn a_file_of_format_1_scores_as_before_and_is_brought_up_to_date_by_writing_it() {
    let shipped = ModelFile::shipped().unwrap();
    let card = serde_json::to_value(shipped.card()).unwrap();
    let person = &card["levels"]["person"];
    let old = serde_json::json!({
        "name": card["name"], "summary": card["summary"], "trained_on": card["trained_on"],
        "crop": card["crop"], "views": card["views"],
        "calibration": card["levels"]["crop"]["calibration"],
        "criteria": {
            "low": person["thresholds"]["low"], "high": person["thresholds"]["high"], "aggregation": "mean",
            "min_frames": person["min_frames"], "min_crop_width": person["min_crop_width"],
            "max_blur": person["max_blur"],
        },
        "measures": card["measures"], "limits": card["limits"],
    });
    let mut weights = shipped.weights().clone();
    weights.metadata.insert(ModelFile::CARD_KEY.to_owned(), old.to_string());
    let old = ModelFile::from_bytes(&weights.to_bytes(StoredDtype::F16).unwrap(), "old").unwrap();
    let thresholds = old.card().levels.person.thresholds;
    assert_eq!(old.card().levels.crop.thresholds, thresholds);
    assert_eq!(old.card().levels.crop.calibration, shipped.card().levels.crop.calibration);

    let folder = TempDir::new().unwrap();
    let path = folder.path().join("new.safetensors");
    let sha256 = old.write(&path, StoredDtype::F16).unwrap();
    let new = ModelFile::read(&path).unwrap();
    assert_eq!((new.sha256(), new.card()), (sha256.as_str(), old.card()));
    let crops = [image::imageops::resize(&portrait(), 224, 224, image::imageops::FilterType::Triangle)];
    let [shipped, old, new] = [shipped, old, new].map(|file| {
        let model = file.load(&Device::flex()).unwrap();
        model.logits(&crops).unwrap()
    });
    assert_eq!(old, shipped);
    assert_eq!(new, shipped);
}

#[test]
fn a_model_of_the_training_data_travels_in_the_file_in_full_precision() {
    let shipped = ModelFile::shipped().unwrap();
    let channels = shipped.card().architecture.embedding();
    let mean: Vec<f32> = (0..channels).map(|i| 1e-3 * i as f32).collect();
    let dtype = vec![1e5; channels];
    let file = shipped.with_familiarity(&mean, &dtype, &vec![0.5; 2 * channels], 40.0).unwrap();
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("familiar.safetensors");
    file.write(&path, StoredDtype::F16).unwrap();
    let back = ModelFile::read(&path).unwrap();
    assert_eq!(back.card().out_of_distribution.unwrap().rank, 2);
    let [before, after] = [file, back].map(|file| {
        let model = file.load(&Device::flex()).unwrap();
        let readings = model.readings(&[RgbImage::new(224, 224)]).unwrap();
        model.distance(&readings[0]).unwrap()
    });
    assert!(before > 0.0);
    assert_eq!(before, after);
    // The network alone is exported.
    let onnx = ModelFile::read(&path).unwrap().to_onnx().unwrap();
    let has = |name: &[u8]| onnx.windows(name.len()).any(|bytes| bytes == name);
    assert!(has(b"classifier.3.weight") && !has(b"ood."));
    let plain = ModelFile::shipped().unwrap().load(&Device::flex()).unwrap();
    assert_eq!(plain.distance(&plain.readings(&[RgbImage::new(224, 224)]).unwrap()[0]), None);
}

#[test]
fn a_localization_layer_changes_heat_maps_and_no_score() {
    let device = Device::flex();
    let shipped = ModelFile::shipped().unwrap();
    let mut card = shipped.card().clone();
    card.heat_maps = HeatMapMethod::ClassActivation;
    // A card without the entry, as files before it have, means class activation.
    let json = serde_json::to_value(&card).unwrap();
    assert!(json.get("heat_maps").is_none(), "{json}");
    let plain = shipped.with_card(card).unwrap();
    let channels = plain.card().architecture.embedding();
    let mut weight = vec![0.0; channels];
    weight[3] = 1.5;
    let with_layer = plain.clone().with_localization(&weight, -0.5).unwrap();
    assert_eq!(with_layer.card().heat_maps, HeatMapMethod::Localization);

    // It travels in the file, and goes when a card does not name it.
    let bytes = with_layer.encode(StoredDtype::F16).unwrap();
    let back = ModelFile::from_bytes(&bytes, "with-layer").unwrap();
    let dropped = back.clone().with_card(plain.card().clone()).unwrap();
    assert!(dropped.clone().with_card(back.card().clone()).is_err(), "the layer is gone");
    let crops = [image::imageops::resize(&portrait(), 224, 224, image::imageops::FilterType::Triangle)];
    let of = |file: &ModelFile| {
        let model = file.load(&device).unwrap();
        (model.logits(&crops).unwrap(), model.heat_maps(&crops).unwrap().remove(0).values)
    };
    let [plain, with_layer, back, dropped] = [&plain, &with_layer, &back, &dropped].map(of);
    assert_eq!(back.1, with_layer.1);
    assert_eq!(dropped.1, plain.1);
    for other in [&with_layer, &back, &dropped] {
        assert_eq!(other.0, plain.0, "scores do not depend on it");
    }
    assert_ne!(with_layer.1, plain.1);
    // The sigmoid of -0.5 is the least that a weight on features of hard swish, from -0.375, leaves but for 1.5 * 0.375.
    assert!(with_layer.1.iter().all(|value| (0.25..=1.0).contains(value)), "{:?}", with_layer.1);

    for wrong in [ModelFile::shipped().unwrap().with_localization(&weight[1..], 0.0), {
        ModelFile::shipped().unwrap().with_localization(&weight, f32::NAN)
    }] {
        assert!(matches!(wrong, Err(Error::Model { source: ModelError::Localization(_), .. })));
    }
}

/// The same performance, ever worse shown: at some point the detector must say that it cannot judge, and why.
#[test]
fn blurred_compressed_and_small_faces_are_inconclusive_where_the_card_limits_them() {
    // The shipped card sets no limit on blur or width: its risk curves do not ask for one.
    let file = ModelFile::shipped().unwrap();
    let mut card = file.card().clone();
    card.levels.person.max_blur = 0.635;
    card.levels.person.min_crop_width = 48.0;
    let model = file.with_card(card).unwrap().load(&Device::flex()).unwrap();
    let detector = here(Detector::new(model).unwrap());
    let folder = TempDir::new().unwrap();
    let portrait = portrait();
    let scan = |name: &str, quality: u8, change: &dyn Fn(RgbImage) -> RgbImage| -> Report {
        let path = folder.path().join(format!("{name}.mp4"));
        let writing = WriterOptions::default().quality(Some(quality));
        write_clip_as(&path, &writing, 25, |i| change(portrait_at(&portrait, i)));
        let options = options().min_face(20.0);
        detector.scan(&path, &options).unwrap().report
    };
    let good = scan("good", 18, &|frame| frame);
    let good = good.decisive().unwrap();
    assert!(good.judgeable, "{:?}", good.reasons);

    let blurred = scan("blurred", 18, &|frame| image::imageops::blur(&frame, 4.0));
    let compressed = scan("compressed", 47, &|frame| frame);
    let small = scan("small", 18, &|frame| image::imageops::thumbnail(&frame, 88, 66));
    for (report, code) in [(&blurred, "blurred_face"), (&compressed, "blurred_face"), (&small, "small_face")]
    {
        let name = &report.input.name;
        let person = report.decisive().unwrap_or_else(|| panic!("{name}: no face"));
        assert_eq!(report.verdict, Verdict::Inconclusive, "{name}");
        assert!(person.reasons.iter().any(|reason| reason.code() == code), "{name}: {:?}", person.reasons);
        assert!(person.median_blur > good.median_blur, "{name}");
    }
}

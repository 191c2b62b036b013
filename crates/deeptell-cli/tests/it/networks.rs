//! A network other than the one that ships, through the program: trained, exported, scanned with.

use std::fs;

use deeptell::{Architecture, ModelFile};
use deeptell_network::Weights;
use serde_json::Value;

use super::training::crops;
use super::{clip, path, succeeds};

#[test]
fn mobilenet_v3_large_trains_exports_and_scans() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    let split = crops(folder.path(), false);
    let (config, out) = (at("train.toml"), at("run"));
    let settings = fs::read_to_string(&config).unwrap();
    fs::write(&config, format!("architecture = \"mobilenet-v3-large\"\n{settings}")).unwrap();
    let train = ["--threads", "1", "train", path(&split), "--config", path(&config), "--epochs", "2"];
    succeeds(&[&train[..], &["--init", "scratch", "--name", "large", "--out", path(&out)]].concat());

    let model = out.join("detector.safetensors");
    let file = ModelFile::read(&model).unwrap();
    assert_eq!(
        (file.card().name.as_str(), file.card().architecture),
        ("large", Architecture::MobileNetV3Large)
    );

    let onnx = at("large.onnx");
    succeeds(&["export", "--format", "onnx", "--model", path(&model), "--out", path(&onnx)]);
    let exported = Weights::read(&onnx).unwrap();
    for tensor in file.weights().tensors.iter().filter(|tensor| tensor.name.starts_with("classifier")) {
        assert_eq!(exported.tensor(&tensor.name).unwrap().values, tensor.values, "{}", tensor.name);
    }

    let real = clip("real/nasa-collins.mp4");
    let printed = succeeds(&["scan", path(&real), "--frames", "3", "--model", path(&model), "--json", "-"]);
    let document: Value = serde_json::from_str(&printed).unwrap();
    let score = document["reports"][0]["score"].as_f64();
    assert!(score.is_some_and(|score| (0.0..=1.0).contains(&score)), "{printed}");
    assert!(printed.contains(file.sha256()), "the report names the model file that it is by");
    let shipped: Value =
        serde_json::from_str(&succeeds(&["scan", path(&real), "--frames", "3", "--json", "-"])).unwrap();
    assert_ne!(shipped["reports"][0]["score"].as_f64(), score, "another network gives another score");
}

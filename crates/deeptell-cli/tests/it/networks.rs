//! A network other than the one that ships, through the program: trained, exported, scanned with.

use std::fs;

use burn::tensor::Device;
use deeptell::{Architecture, HeatMapMethod, ModelFile, StoredDtype};
use deeptell_network::{NetworkConfig, Weights};
use serde_json::Value;

use super::training::crops;
use super::{clip, deeptell, path, succeeds};

const LARGE: &str = "architecture = \"mobilenet-v3-large\"\nbatch_size = 6\nepochs = 1\n";

#[test]
fn mobilenet_v3_large_trains_exports_and_scans() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    let split = crops(folder.path(), false);
    let (config, out) = (at("large.toml"), at("run"));
    fs::write(&config, LARGE).unwrap();
    let train = ["--threads", "1", "train", path(&split), "--config", path(&config)];
    let said = deeptell(&[&train[..], &["--init", "scratch", "--out", path(&out)]].concat());
    // Two steps from random weights need not learn anything; the training ends all the same, with weights.
    let messages = String::from_utf8_lossy(&said.stderr);
    let has_ended = said.status.success() || messages.contains("cannot be calibrated");
    let trained = out.join("best.safetensors");
    assert!(has_ended && trained.is_file(), "{messages}");

    let mut network = NetworkConfig::new(Architecture::MobileNetV3Large, 1).init(&Device::flex());
    network.load(&Weights::read(&trained).unwrap()).unwrap();
    let mut card = ModelFile::shipped().unwrap().card().clone();
    card.name = "large".into();
    card.architecture = Architecture::MobileNetV3Large;
    card.out_of_distribution = None;
    card.heat_maps = HeatMapMethod::ClassActivation;
    let model = at("large.safetensors");
    let digest = ModelFile::new(&network, card).unwrap().write(&model, StoredDtype::F32).unwrap();

    let onnx = at("large.onnx");
    succeeds(&["export", "--format", "onnx", "--model", path(&model), "--out", path(&onnx)]);
    let exported = Weights::read(&onnx).unwrap();
    let weights = network.weights().unwrap();
    for tensor in weights.tensors.iter().filter(|tensor| tensor.name.starts_with("classifier")) {
        assert_eq!(exported.tensor(&tensor.name).unwrap().values, tensor.values, "{}", tensor.name);
    }

    let real = clip("real/nasa-collins.mp4");
    let printed = succeeds(&["scan", path(&real), "--frames", "3", "--model", path(&model), "--json", "-"]);
    let document: Value = serde_json::from_str(&printed).unwrap();
    let score = document["reports"][0]["score"].as_f64();
    assert!(score.is_some_and(|score| (0.0..=1.0).contains(&score)), "{printed}");
    assert!(printed.contains(&digest), "the report names the model file that it is by");
    let shipped: Value =
        serde_json::from_str(&succeeds(&["scan", path(&real), "--frames", "3", "--json", "-"])).unwrap();
    assert_ne!(shipped["reports"][0]["score"].as_f64(), score, "another network gives another score");
}

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;

use burn::tensor::Device;
use deeptell_mobilenet::{MobileNetV3Config, Variant, to_onnx};
use deeptell_weights::onnx::Options;
use deeptell_weights::{NamedTensor, StoredDtype, Weights, WeightsError};
use onnx_ir::{GraphProto, Message as _, ModelProto, NodeProto, TensorProto};

use crate::pth::{pth, row_major};
use crate::{generated, generated_of, input, relative_error, values};

/// Loads `file` as a backbone and compares embeddings with the network it was made from.
fn assert_same_backbone(file: &Path, tolerance: f32) {
    let device = Device::flex();
    let source = generated(5, &device);
    let mut network = MobileNetV3Config::new(Variant::Small, 1).init(&device);
    network.load_backbone(&Weights::read(file).unwrap()).unwrap();
    let x = input([1, 3, 64, 64], &device);
    let error = relative_error(&values(network.embed(x.clone())), &values(source.embed(x)));
    assert!(error <= tolerance, "relative error {error:e}");
}

fn bytes(values: &[f32]) -> Vec<u8> {
    values.iter().flat_map(|v| v.to_le_bytes()).collect()
}

fn node(operator: &str, input: &str, output: &str) -> NodeProto {
    NodeProto {
        op_type: operator.into(),
        input: vec![input.into()],
        output: vec![output.into()],
        ..NodeProto::default()
    }
}

/// An ONNX file as torch.onnx writes it: initializers under torchvision's names, byte-identical
/// ones stored once and passed on through Identity nodes.
fn onnx(weights: &Weights, batch_norm: bool) -> Vec<u8> {
    let mut graph = GraphProto { node: vec![node("Conv", "input", "features")], ..GraphProto::default() };
    if batch_norm {
        graph.node.push(node("BatchNormalization", "features", "normed"));
    }
    let mut stored: HashMap<(Vec<usize>, Vec<u8>), String> = HashMap::new();
    for (i, tensor) in weights.tensors.iter().filter(|t| t.name.starts_with("features.")).enumerate() {
        let raw = bytes(&tensor.values);
        if let Some(first) = stored.get(&(tensor.shape.clone(), raw.clone())) {
            graph.node.push(node("Identity", first, &tensor.name));
            continue;
        }
        stored.insert((tensor.shape.clone(), raw.clone()), tensor.name.clone());
        let mut initializer = TensorProto {
            name: tensor.name.clone(),
            data_type: 1,
            dims: tensor.shape.iter().map(|&d| d as i64).collect(),
            ..TensorProto::default()
        };
        // Both ways to store floats occur.
        if i % 2 == 0 {
            initializer.raw_data = raw.into();
        } else {
            initializer.float_data = tensor.values.to_vec();
        }
        graph.initializer.push(initializer);
    }
    graph.initializer.push(TensorProto {
        name: "onnx::Reshape_1".into(),
        data_type: 7,
        dims: vec![2],
        int64_data: vec![1, -1],
        ..TensorProto::default()
    });
    let model = ModelProto { ir_version: 8, graph: Some(graph).into(), ..ModelProto::default() };
    model.write_to_bytes().unwrap()
}

fn backbone() -> Weights {
    generated(5, &Device::flex()).weights().unwrap()
}

#[test]
fn onnx_initializers_load_as_trainable_backbone() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("network.onnx");
    let mut weights = backbone();
    // Make two tensors byte-identical, so that one is only reachable through its alias.
    let twin = weights.tensors.iter().find(|t| t.name == "features.4.block.0.1.bias").unwrap().values.clone();
    let shape_of = |w: &Weights, name: &str| w.tensors.iter().find(|t| t.name == name).unwrap().shape.clone();
    assert_eq!(
        shape_of(&weights, "features.4.block.1.1.bias"),
        shape_of(&weights, "features.4.block.0.1.bias")
    );
    weights.tensors.iter_mut().find(|t| t.name == "features.4.block.1.1.bias").unwrap().values = twin;
    std::fs::write(&path, onnx(&weights, true)).unwrap();
    let read = Weights::read(&path).unwrap();
    let features = weights.tensors.iter().filter(|t| t.name.starts_with("features.")).count();
    assert_eq!(read.tensors.len(), features);
    for tensor in &read.tensors {
        let original = weights.tensors.iter().find(|t| t.name == tensor.name).unwrap();
        assert_eq!(tensor, original);
    }
}

#[test]
fn load_rejects_onnx_with_folded_batch_norm() {
    let error = Weights::from_bytes(&onnx(&backbone(), false), "folded.onnx").unwrap_err();
    assert!(matches!(error, WeightsError::Folded { .. }));
    assert!(error.to_string().contains("Fine-tuning needs BatchNorm"), "{error}");
}

#[test]
fn safetensors_round_trip() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("network.safetensors");
    let mut weights = backbone();
    weights.metadata.insert("trained_on".into(), "nothing, \"really\" 💤".into());
    weights.write(&path, StoredDtype::F32).unwrap();
    assert_eq!(Weights::read(&path).unwrap(), weights);
    assert_same_backbone(&path, 1e-6);
    weights.write(&path, StoredDtype::F16).unwrap();
    assert_eq!(Weights::read(&path).unwrap().metadata, weights.metadata);
    assert_same_backbone(&path, 2e-2);
    assert!(std::fs::metadata(&path).unwrap().len() < 3_300_000);
}

#[test]
fn encoding_is_deterministic() {
    let folder = tempfile::tempdir().unwrap();
    let mut weights = backbone();
    weights.tensors.truncate(2);
    for key in ["a", "b", "c", "d \"e\"", "é"] {
        weights.metadata.insert(key.into(), format!("note {key}"));
    }
    let written: Vec<Vec<u8>> = (0..12)
        .map(|i| {
            let path = folder.path().join(format!("{i}.safetensors"));
            weights.write(&path, StoredDtype::F32).unwrap();
            std::fs::read(path).unwrap()
        })
        .collect();
    assert!(written.iter().all(|bytes| *bytes == written[0]));
    assert_eq!(Weights::from_bytes(&written[0], "memory").unwrap(), weights);
}

#[test]
fn torchvision_pth_loads_as_backbone_for_any_classes() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("network.pth");
    pth(&backbone().tensors, &path, row_major);
    assert_same_backbone(&path, 1e-6);
    // Five classes do not fit a network of one as a whole.
    let mut network = MobileNetV3Config::new(Variant::Small, 1).init(&Device::flex());
    let error = network.load(&Weights::read(&path).unwrap()).unwrap_err();
    assert!(matches!(error, WeightsError::Shape { .. }), "{error}");
}

#[test]
fn load_names_missing_and_unknown_tensors() {
    let mut network = MobileNetV3Config::new(Variant::Small, 5).init(&Device::flex());
    let mut weights = backbone();
    weights.tensors.retain(|t| t.name != "features.7.block.1.1.running_mean");
    let error = network.load_backbone(&weights).unwrap_err();
    assert!(
        matches!(&error, WeightsError::MissingTensor { name, .. } if name == "features.7.block.1.1.running_mean")
    );
    let mut weights = backbone();
    weights.tensors[0].name = "layer1.0.conv1.weight".into();
    assert!(matches!(network.load(&weights), Err(WeightsError::UnknownTensor { .. })));
}

#[test]
fn read_distinguishes_unknown_from_damaged_files() {
    let unknown = |bytes: &[u8]| Weights::from_bytes(bytes, "x").unwrap_err();
    assert!(matches!(unknown(b""), WeightsError::UnknownFormat { .. }));
    assert!(matches!(unknown(b"hello, world"), WeightsError::UnknownFormat { .. }));
    assert!(matches!(Weights::read("no/such/file"), Err(WeightsError::Io { .. })));

    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("w.safetensors");
    backbone().write(&path, StoredDtype::F32).unwrap();
    let whole = std::fs::read(&path).unwrap();
    assert!(matches!(
        unknown(&whole[..whole.len() / 2]),
        WeightsError::Damaged { format: "safetensors", .. }
    ));
    let whole = onnx(&backbone(), true);
    assert!(matches!(unknown(&whole[..whole.len() / 2]), WeightsError::Damaged { format: "ONNX", .. }));
    pth(&backbone().tensors[..3], &path, row_major);
    let whole = std::fs::read(&path).unwrap();
    assert!(matches!(unknown(&whole), WeightsError::NeedsFile { .. }));
    std::fs::write(&path, &whole[..whole.len() / 2]).unwrap();
    assert!(matches!(Weights::read(&path), Err(WeightsError::Damaged { format: "PyTorch", .. })));
}

#[test]
fn load_rejects_nan_and_names_the_tensor() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("w.safetensors");
    let mut weights = backbone();
    Arc::make_mut(&mut weights.tensors[3].values)[2] = f32::NAN;
    let name = weights.tensors[3].name.clone();
    weights.write(&path, StoredDtype::F32).unwrap();
    let error = Weights::read(&path).unwrap_err();
    assert!(matches!(&error, WeightsError::NotFinite { name: n, at: 2, .. } if *n == name), "{error}");
}

#[test]
fn weights_of_folded_network_are_an_error() {
    let folded = generated(1, &Device::flex()).folded();
    assert!(matches!(folded.weights(), Err(WeightsError::Folded { .. })));
}

#[test]
fn exported_onnx_round_trips() {
    let device = Device::flex();
    let network = generated(1, &device);
    let weights = network.weights().unwrap();
    let mut options = Options::default();
    options.name = "test".into();
    (options.size, options.calibration) = (Some([64, 64]), Some([2.0, -0.5]));
    options.metadata = vec![("preprocessing".into(), "as ImageNet".into())];
    let bytes = to_onnx(Variant::Small, &weights, &options).unwrap();

    // Our own reader finds every tensor again, and the network they make is the same.
    let read = Weights::from_bytes(&bytes, "exported.onnx").unwrap();
    let mut again = MobileNetV3Config::new(Variant::Small, 1).init(&device);
    again.load(&read).unwrap();
    let x = input([2, 3, 64, 64], &device);
    assert_eq!(values(again.forward(x.clone())), values(network.forward(x)));

    // The graph is whole: every input of a node is made before it is used.
    let model = ModelProto::parse_from_bytes(&bytes).unwrap();
    assert_eq!((model.ir_version, model.opset_import[0].version), (8, 17));
    assert_eq!(model.metadata_props[0].value, "as ImageNet");
    let graph = model.graph.unwrap();
    let mut known: std::collections::HashSet<&str> =
        graph.initializer.iter().map(|tensor| tensor.name.as_str()).collect();
    assert!(known.insert(&graph.input[0].name));
    for node in &graph.node {
        for input in &node.input {
            assert!(known.contains(input.as_str()), "{} reads {input}, which nobody makes", node.name);
        }
        assert!(known.insert(&node.output[0]), "{} is made twice", node.output[0]);
    }
    let outputs: Vec<&str> = graph.output.iter().map(|output| output.name.as_str()).collect();
    assert_eq!(outputs, ["logits", "probabilities"]);
    assert!(outputs.iter().all(|output| known.contains(output)));
    // Repeated integers stand one by one: `strides` of 2, 2 as two varints of field 8, not packed.
    let pattern = [8 << 3, 2, 8 << 3, 2];
    assert!(bytes.windows(4).any(|window| window == pattern));
    // 34 convolutions with a normalization, and two in each of nine gates.
    let count = |operator: &str| graph.node.iter().filter(|node| node.op_type == operator).count();
    assert_eq!((count("Conv"), count("BatchNormalization"), count("HardSigmoid")), (34 + 18, 34, 9));
    // OpenCV computes something else where the default of `beta` is spelled out.
    let gates = graph.node.iter().filter(|node| node.op_type == "HardSigmoid");
    for gate in gates {
        assert!(gate.attribute.iter().all(|attribute| attribute.name != "beta"), "{}", gate.name);
    }
    let shape = &graph.input[0].type_.tensor_type().shape.dim;
    assert_eq!((shape.len(), shape[0].dim_param()), (4, "batch"));
    for (side, length) in shape.iter().zip([0, 3, 64, 64]) {
        assert_eq!(side.dim_value(), length);
    }
}

#[test]
fn export_rejects_incomplete_networks() {
    let mut weights = generated(1, &Device::flex()).weights().unwrap();
    let extra = NamedTensor { name: "extra".into(), shape: vec![1], values: vec![0.0].into() };
    weights.tensors.push(extra);
    let refused = to_onnx(Variant::Small, &weights, &Options::default());
    assert!(matches!(refused, Err(WeightsError::UnknownTensor { name, .. }) if name == "extra"));
    weights.tensors.pop();
    let gone = weights.tensors.pop().unwrap();
    let refused = to_onnx(Variant::Small, &weights, &Options::default());
    assert!(matches!(refused, Err(WeightsError::MissingTensor { name, .. }) if name == gone.name));
    weights.tensors.push(NamedTensor { shape: vec![gone.values.len(), 1, 1, 1, 1], ..gone });
    assert!(matches!(
        to_onnx(Variant::Small, &weights, &Options::default()),
        Err(WeightsError::Shape { .. })
    ));
}

/// Asserts that `weights` load as the network they are of, whatever stands before their names.
fn assert_loads(weights: &Weights) {
    let device = Device::flex();
    let mut network = MobileNetV3Config::new(Variant::Small, 5).init(&device);
    network.load_backbone(weights).unwrap();
    network.load(weights).unwrap();
    assert_eq!(network.weights().unwrap().tensors, backbone().tensors);
    assert_eq!(
        weights.of_network(&deeptell_mobilenet::names(Variant::Small)).unwrap().tensors,
        backbone().tensors
    );
}

#[test]
fn checkpoints_load_with_any_name_prefix() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("checkpoint.pth");
    for prefix in ["module.", "backbone.", "model_state_dict.", "state_dict.module.model."] {
        let mut tensors = backbone().tensors;
        for tensor in &mut tensors {
            tensor.name = format!("{prefix}{}", tensor.name);
        }
        // The state of an optimizer lies beside the network.
        tensors.push(NamedTensor {
            name: "optimizer_state_dict.state.0.exp_avg".into(),
            shape: vec![2],
            values: vec![1.0, 2.0].into(),
        });
        pth(&tensors, &path, row_major);
        assert_loads(&Weights::read(&path).unwrap());
    }
}

#[test]
fn load_rejects_checkpoint_with_two_copies() {
    let mut weights = Weights::default();
    for prefix in ["model.", "model_ema."] {
        weights.tensors.extend(
            backbone().tensors.into_iter().map(|t| NamedTensor { name: format!("{prefix}{}", t.name), ..t }),
        );
    }
    let mut network = MobileNetV3Config::new(Variant::Small, 5).init(&Device::flex());
    let error = network.load_backbone(&weights).unwrap_err();
    assert!(matches!(error, WeightsError::TwoNetworks { .. }), "{error}");
    for word in ["`model.`", "`model_ema.`"] {
        assert!(error.to_string().contains(word), "{error}");
    }
    // A copy under the plain names is the one that is meant.
    weights.tensors.extend(backbone().tensors);
    network.load_backbone(&weights).unwrap();
}

#[test]
fn load_rejects_negative_variance() {
    let mut weights = backbone();
    let tensor = weights.tensors.iter_mut().find(|t| t.name == "features.0.1.running_var").unwrap();
    Arc::make_mut(&mut tensor.values)[3] = -0.5;
    let mut network = MobileNetV3Config::new(Variant::Small, 5).init(&Device::flex());
    let error = network.load(&weights).unwrap_err();
    assert!(
        matches!(&error, WeightsError::NegativeVariance { name, at: 3 } if name == "features.0.1.running_var")
    );
}

#[test]
fn load_rejects_weights_of_other_variant() {
    let device = Device::flex();
    let large = generated_of(Variant::Large, 1, &device).weights().unwrap();
    let mut small = MobileNetV3Config::new(Variant::Small, 1).init(&device);
    let error = small.load(&large).unwrap_err();
    assert!(error.to_string().contains("MobileNetV3-Small"), "{error}");
    assert!(small.load_backbone(&large).is_err());
}

#[test]
fn exported_onnx_of_large_round_trips() {
    let device = Device::flex();
    let network = generated_of(Variant::Large, 1, &device);
    let bytes = to_onnx(Variant::Large, &network.weights().unwrap(), &Options::default()).unwrap();
    let mut again = MobileNetV3Config::new(Variant::Large, 1).init(&device);
    again.load(&Weights::from_bytes(&bytes, "large.onnx").unwrap()).unwrap();
    let x = input([1, 3, 64, 64], &device);
    assert_eq!(values(again.forward(x.clone())), values(network.forward(x)));
    let model = ModelProto::parse_from_bytes(&bytes).unwrap();
    let graph = model.graph.unwrap();
    let count = |operator: &str| graph.node.iter().filter(|node| node.op_type == operator).count();
    assert_eq!((count("Conv"), count("BatchNormalization"), count("HardSigmoid")), (46 + 16, 46, 8));
}

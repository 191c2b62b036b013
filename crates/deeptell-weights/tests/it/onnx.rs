use std::path::Path;
use std::sync::Arc;

use deeptell_weights::{Weights, WeightsError};

use crate::{little, tensor};

/// A varint.
fn number(mut value: u64) -> Vec<u8> {
    let mut bytes = Vec::new();
    while value >= 128 {
        bytes.push(value as u8 | 128);
        value >>= 7;
    }
    bytes.push(value as u8);
    bytes
}

fn varint(field: u64, value: u64) -> Vec<u8> {
    [number(field << 3), number(value)].concat()
}

fn bytes(field: u64, value: &[u8]) -> Vec<u8> {
    [number(field << 3 | 2), number(value.len() as u64), value.to_vec()].concat()
}

/// `TensorProto` with its axes one by one.
fn proto(name: &str, data_type: u64, shape: &[u64], rest: &[u8]) -> Vec<u8> {
    let axes: Vec<u8> = shape.iter().flat_map(|&side| varint(1, side)).collect();
    [axes, varint(2, data_type), bytes(8, name.as_bytes()), rest.to_vec()].concat()
}

fn node(operator: &str, inputs: &[&str], output: &str, attributes: &[u8]) -> Vec<u8> {
    let inputs: Vec<u8> = inputs.iter().flat_map(|input| bytes(1, input.as_bytes())).collect();
    [inputs, bytes(2, output.as_bytes()), bytes(4, operator.as_bytes()), attributes.to_vec()].concat()
}

fn model(initializers: &[Vec<u8>], nodes: &[Vec<u8>]) -> Vec<u8> {
    let nodes = nodes.iter().flat_map(|node| bytes(1, node));
    let graph: Vec<u8> = nodes.chain(initializers.iter().flat_map(|tensor| bytes(5, tensor))).collect();
    [varint(1, 8), bytes(7, &graph)].concat()
}

pub(crate) fn floats(values: &[f32]) -> Vec<u8> {
    values.iter().flat_map(|value| value.to_le_bytes()).collect()
}

/// The tensors of [`little`], in the ways that exporters store floats.
pub(crate) fn little_model() -> Vec<u8> {
    let packed_axes = bytes(1, &[2, 1, 1, 1].map(number).concat());
    let weight =
        [packed_axes, varint(2, 1), bytes(8, b"features.0.0.weight"), bytes(9, &floats(&[1.0, 0.25]))]
            .concat();
    // 0.5 and -2 as the bits of half floats, in `int32_data`.
    let bias = proto("features.0.0.bias", 10, &[2], &bytes(5, &[0x3800, 0xc000].map(number).concat()));
    model(&[weight, bias], &[])
}

fn read(model: &[u8]) -> Result<Weights, WeightsError> {
    Weights::from_bytes(model, "network.onnx")
}

#[test]
fn onnx_floats_are_read_from_each_field() {
    assert_eq!(read(&little_model()).unwrap(), little());
    let double: Vec<u8> = [1.0_f64, 0.25].iter().flat_map(|value| value.to_le_bytes()).collect();
    let ways = [
        proto("a.weight", 1, &[2], &bytes(4, &floats(&[1.0, 0.25]))),
        proto(
            "a.weight",
            1,
            &[2],
            &[vec![4 << 3 | 5], floats(&[1.0]), vec![4 << 3 | 5], floats(&[0.25])].concat(),
        ),
        proto("a.weight", 11, &[2], &bytes(10, &double)),
        proto("a.weight", 11, &[2], &bytes(9, &double)),
        proto("a.weight", 16, &[2], &bytes(9, &[0x80, 0x3f, 0x80, 0x3e])),
        proto("a.weight", 16, &[2], &[varint(5, 0x3f80), varint(5, 0x3e80)].concat()),
    ];
    for way in ways {
        let weights = read(&model(std::slice::from_ref(&way), &[])).unwrap();
        assert_eq!(weights.tensors, [tensor("a.weight", &[2], &[1.0, 0.25])], "{way:?}");
    }
}

#[test]
fn constants_and_identities_count_as_initializers() {
    let value = proto("", 1, &[1], &bytes(9, &floats(&[3.0])));
    let constant =
        node("Constant", &[], "a.bias", &bytes(5, &[bytes(1, b"value"), bytes(5, &value)].concat()));
    let stored = proto("a.weight", 1, &[1], &bytes(9, &floats(&[2.0])));
    let shape = proto("onnx::Reshape_1", 7, &[1], &bytes(7, &[1]));
    let alias = node("Identity", &["a.weight"], "b.weight", &[]);
    let weights = read(&model(&[stored, shape], &[constant, alias])).unwrap();
    let expected = [("a.bias", 3.0), ("a.weight", 2.0), ("b.weight", 2.0)];
    assert_eq!(weights.tensors, expected.map(|(name, value)| tensor(name, &[1], &[value])));
}

#[test]
fn aliased_tensors_are_kept_once() {
    let stored = proto("a.weight", 1, &[100_000], &bytes(9, &floats(&vec![1.0; 100_000])));
    let mut nodes = Vec::new();
    for step in 0..500 {
        let from = if step == 0 { "a.weight".to_owned() } else { format!("i{}", step - 1) };
        nodes.push(node("Identity", &[&from], &format!("i{step}"), &[]));
        nodes.push(node("Identity", &[&from], &format!("b{step}.weight"), &[]));
    }
    let weights = read(&model(&[stored], &nodes)).unwrap();
    assert_eq!(weights.tensors.len(), 501);
    assert!(weights.tensors.iter().all(|t| Arc::ptr_eq(&t.values, &weights.tensors[0].values)));
}

/// A tensor of `count` floats that lies in another file.
fn outside(name: &str, count: u64, location: &str, offset: u64) -> Vec<u8> {
    let entry =
        |key: &str, text: &str| bytes(13, &[bytes(1, key.as_bytes()), bytes(2, text.as_bytes())].concat());
    let offset = offset.to_string();
    proto(name, 1, &[count], &[entry("location", location), entry("offset", &offset), varint(14, 1)].concat())
}

#[test]
fn external_data_is_read() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("network.onnx");
    std::fs::create_dir(folder.path().join("data")).unwrap();
    std::fs::write(folder.path().join("data/network.bin"), floats(&[9.0, 1.0, 2.0, 3.0])).unwrap();
    let tensors =
        [outside("a.weight", 2, "data/network.bin", 4), outside("b.weight", 1, "./data/network.bin", 12)];
    std::fs::write(&path, model(&tensors, &[])).unwrap();
    let expected = [tensor("a.weight", &[2], &[1.0, 2.0]), tensor("b.weight", &[1], &[3.0])];
    assert_eq!(Weights::read(&path).unwrap().tensors, expected);
}

/// The reason why a model whose weights lie in another file cannot be read.
fn refused(folder: &Path, tensors: &[Vec<u8>]) -> String {
    let path = folder.join("network.onnx");
    std::fs::write(&path, model(tensors, &[])).unwrap();
    let error = Weights::read(&path).unwrap_err();
    assert!(matches!(error, WeightsError::ExternalData { .. }), "{error}");
    assert!(!error.to_string().contains("damaged"), "{error}");
    error.to_string()
}

#[test]
fn external_data_is_read_beside_the_model_once() {
    let folder = tempfile::tempdir().unwrap();
    let inside = folder.path().join("inside");
    std::fs::create_dir(&inside).unwrap();
    std::fs::write(folder.path().join("secret"), floats(&[1.0])).unwrap();
    std::fs::write(inside.join("data"), floats(&[1.0, 2.0])).unwrap();

    let missing = refused(&inside, &[outside("a.weight", 1, "network.onnx.data", 0)]);
    assert!(
        missing.contains("network.onnx.data") && missing.contains("put that file beside it"),
        "{missing}"
    );
    let absolute = folder.path().join("secret").display().to_string();
    for elsewhere in ["../secret", absolute.as_str(), "/dev/zero", ""] {
        refused(&inside, &[outside("a.weight", 1, elsewhere, 0)]);
    }
    refused(&inside, &[outside("a.weight", 1, ".", 0)]);
    refused(&inside, &[outside("a.weight", 3, "data", 0)]);
    refused(&inside, &[outside("a.weight", 1, "data", 8)]);
    refused(&inside, &[outside("a.weight", 1, "data", u64::MAX)]);
    refused(&inside, &[outside("a.weight", 1 << 60, "data", 0)]);
    // Many tensors of the same bytes would make a large network of a small file.
    let many: Vec<Vec<u8>> = (0..100).map(|i| outside(&format!("t{i}.weight"), 2, "data", 0)).collect();
    refused(&inside, &many);
    // Without a folder there is nothing beside it.
    let error = read(&model(&[outside("a.weight", 1, "data", 0)], &[])).unwrap_err();
    assert!(matches!(error, WeightsError::ExternalData { .. }), "{error}");
}

#[test]
fn impossible_shapes_are_rejected() {
    let raw = |count: usize| bytes(9, &vec![0; count]);
    let damaged = [
        proto("a.weight", 1, &[3], &raw(8)),
        proto("a.weight", 1, &[u64::MAX], &raw(4)),
        proto("a.weight", 1, &[1 << 40, 1 << 40], &raw(4)),
        proto("a.weight", 1, &[1; 9], &raw(4)),
        proto("a.weight", 1, &[1], &raw(3)),
        proto("a.weight", 1, &[], &[]),
        proto("nothing", 1, &[1], &raw(4)),
    ];
    for tensor in damaged {
        let error = read(&model(&[tensor], &[])).unwrap_err();
        assert!(matches!(error, WeightsError::Damaged { format: "ONNX", .. }), "{error}");
    }
}

use std::io::Write as _;
use std::path::Path;

use deeptell_weights::{NamedTensor, Weights, WeightsError};

use crate::little;
use crate::onnx::floats;

/// A `.pth` as `torch.save(state_dict)` writes it: a zip of a pickle and raw storages. `strides` gives
/// those of each tensor.
pub(crate) fn pth(tensors: &[NamedTensor], path: &Path, strides: impl Fn(&NamedTensor) -> Vec<usize>) {
    let mut pickle: Vec<u8> = vec![0x80, 2, b'}', b'('];
    let unicode = |pickle: &mut Vec<u8>, text: &str| {
        pickle.push(b'X');
        pickle.extend((text.len() as u32).to_le_bytes());
        pickle.extend(text.as_bytes());
    };
    let integer = |pickle: &mut Vec<u8>, value: usize| {
        pickle.push(b'J');
        pickle.extend((value as i32).to_le_bytes());
    };
    for (key, tensor) in tensors.iter().enumerate() {
        unicode(&mut pickle, &tensor.name);
        pickle.extend(b"ctorch._utils\n_rebuild_tensor_v2\n((");
        unicode(&mut pickle, "storage");
        pickle.extend(b"ctorch\nFloatStorage\n");
        unicode(&mut pickle, &key.to_string());
        unicode(&mut pickle, "cpu");
        integer(&mut pickle, tensor.values.len());
        pickle.extend(b"tQ");
        integer(&mut pickle, 0);
        pickle.push(b'(');
        tensor.shape.iter().for_each(|&d| integer(&mut pickle, d));
        pickle.extend(b"t(");
        for stride in strides(tensor) {
            integer(&mut pickle, stride);
        }
        pickle.push(b't');
        pickle.extend([0x89, b'N', b't', b'R']);
    }
    pickle.extend(b"u.");

    let mut archive = zip::ZipWriter::new(std::fs::File::create(path).unwrap());
    let stored = zip::write::SimpleFileOptions::default().compression_method(zip::CompressionMethod::Stored);
    let mut file = |name: String, content: &[u8]| {
        archive.start_file(name, stored).unwrap();
        archive.write_all(content).unwrap();
    };
    file("network/data.pkl".into(), &pickle);
    file("network/byteorder".into(), b"little");
    for (key, tensor) in tensors.iter().enumerate() {
        file(format!("network/data/{key}"), &floats(&tensor.values));
    }
    file("network/version".into(), b"3\n");
    archive.finish().unwrap();
}

/// Those of a tensor without gaps.
pub(crate) fn row_major(tensor: &NamedTensor) -> Vec<usize> {
    (0..tensor.shape.len()).map(|axis| tensor.shape[axis + 1..].iter().product()).collect()
}

#[test]
fn what_a_checkpoint_holds_besides_parameters_stays_behind() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("checkpoint.pth");
    let mut tensors = little().tensors;
    for name in ["optimizer.state.0.exp_avg", "epoch"] {
        tensors.push(NamedTensor { name: name.into(), shape: vec![1], values: vec![1.0].into() });
    }
    pth(&tensors, &path, row_major);
    assert_eq!(Weights::read(&path).unwrap(), little());
}

#[test]
fn views_that_are_far_larger_than_the_file_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("bomb.pth");
    // A million values that are all the same stored one.
    let bomb = NamedTensor { name: "a.weight".into(), shape: vec![1000, 1000], values: vec![1.0].into() };
    pth(&[bomb], &path, |_| vec![0, 0]);
    let error = Weights::read(&path).unwrap_err();
    assert!(matches!(error, WeightsError::Damaged { format: "PyTorch", .. }), "{error}");
    assert!(error.to_string().contains("larger than the file"), "{error}");
}

//! A writer of PyTorch checkpoints, for the tests of this crate and of `deeptell-mobilenet`.

use std::io::Write as _;
use std::path::Path;

use deeptell_weights::NamedTensor;

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
        let floats: Vec<u8> = tensor.values.iter().flat_map(|value| value.to_le_bytes()).collect();
        file(format!("network/data/{key}"), &floats);
    }
    file("network/version".into(), b"3\n");
    archive.finish().unwrap();
}

/// Those of a tensor without gaps.
pub(crate) fn row_major(tensor: &NamedTensor) -> Vec<usize> {
    (0..tensor.shape.len()).map(|axis| tensor.shape[axis + 1..].iter().product()).collect()
}

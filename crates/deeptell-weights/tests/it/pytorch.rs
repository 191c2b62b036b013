use deeptell_weights::{NamedTensor, Weights, WeightsError};

use crate::little;
use crate::pth::{pth, row_major};

#[test]
fn optimizer_state_is_skipped() {
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
fn oversized_views_are_rejected() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("bomb.pth");
    // A million values that are all the same stored one.
    let bomb = NamedTensor { name: "a.weight".into(), shape: vec![1000, 1000], values: vec![1.0].into() };
    pth(&[bomb], &path, |_| vec![0, 0]);
    let error = Weights::read(&path).unwrap_err();
    assert!(matches!(error, WeightsError::Damaged { format: "PyTorch", .. }), "{error}");
    assert!(error.to_string().contains("larger than the file"), "{error}");
}

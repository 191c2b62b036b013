//! Whole runs on a handful of tiny pictures.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking, in its helper functions too")]

use std::path::Path;
use std::sync::atomic::AtomicBool;

use burn::tensor::Device;
use deeptell_data::{Augmentation, Label, Sample, Split};
use deeptell_mobilenet::Weights;
use deeptell_train::{Run, Sampling, Schedule, Start, TrainConfig, train};
use image::{Rgb, RgbImage};

/// Four pictures to train on and four to validate on, half of them fakes.
fn samples(folder: &Path) -> Vec<Sample> {
    (0..8_usize)
        .map(|number| {
            let path = folder.join(format!("{number}.png"));
            let value = |x: u32, y: u32, by: u32| ((x * 37 + y * 91 + x * y * by) % 251) as u8;
            RgbImage::from_fn(40, 40, |x, y| {
                Rgb([value(x, y, number as u32), value(y, x, 3), value(x, x, number as u32 + 5)])
            })
            .save(&path)
            .unwrap();
            let label = if number % 2 == 0 { Label::Real } else { Label::Fake };
            let split = if number < 4 { Split::Train } else { Split::Validation };
            Sample { split: Some(split), ..Sample::new(path, label, format!("s{}", number / 2)) }
        })
        .collect()
}

fn config() -> TrainConfig {
    let mut config = TrainConfig {
        epochs: 1,
        batch_size: 4,
        sampling: Sampling::Shuffled,
        warmup: 0.0,
        weight_decay: 0.0,
        average_decay: None,
        augmentation: Augmentation::none(),
        ..TrainConfig::default()
    };
    config.crop.size = 32;
    config
}

fn run(config: &TrainConfig, folder: &Path) -> (Run, Weights) {
    let (never, out) = (AtomicBool::new(false), tempfile::tempdir_in(folder).unwrap());
    let out = out.path().join("run");
    let run = train(config, &samples(folder), Start::Scratch, &Device::flex(), &out, &never, |_| {}).unwrap();
    (run, Weights::read(out.join("best.safetensors")).unwrap())
}

fn apart(a: &Weights, b: &Weights, name: &str) -> f32 {
    let [a, b] = [a, b].map(|weights| &weights.tensors.iter().find(|t| t.name == name).unwrap().values);
    a.iter().zip(b).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max)
}

#[test]
fn without_progress_a_run_ends_when_patience_does() {
    let folder = tempfile::tempdir().unwrap();
    // At this rate nothing changes, and so no epoch is better than the first.
    let still = TrainConfig { epochs: 9, learning_rate: 1e-12, ..config() };
    let (patient, _) = run(&TrainConfig { patience: Some(2), ..still.clone() }, folder.path());
    assert_eq!((patient.history.len(), patient.best.unwrap().0, patient.finished), (3, 1, true));
    let (all, _) = run(&TrainConfig { epochs: 4, ..still }, folder.path());
    assert_eq!(all.history.len(), 4);
}

#[test]
fn layers_far_from_the_output_move_less() {
    let folder = tempfile::tempdir().unwrap();
    let (stem, classifier) = ("features.0.0.weight", "classifier.3.weight");
    let (_, start) = run(&TrainConfig { learning_rate: 1e-12, ..config() }, folder.path());
    let quick = TrainConfig { learning_rate: 1e-3, schedule: Schedule::FlatThenLinear, ..config() };
    let (_, even) = run(&quick, folder.path());
    let (_, decayed) = run(&TrainConfig { layer_decay: 0.5, ..quick }, folder.path());
    assert!(apart(&start, &even, stem) > 5e-5);
    assert!(apart(&start, &decayed, stem) < 1e-6, "1e-3 halved fourteen times");
    // The classifier's own rate is the same.
    assert_eq!(apart(&even, &decayed, classifier), 0.0);
    assert!(apart(&start, &even, classifier) > 5e-5);
}

#[test]
fn sharpness_aware_steps_train_too_and_differ() {
    let folder = tempfile::tempdir().unwrap();
    let plain = TrainConfig { epochs: 3, learning_rate: 1e-3, ..config() };
    let (_, without) = run(&plain, folder.path());
    let (sharp, with) = run(&TrainConfig { sharpness_radius: Some(0.05), ..plain }, folder.path());
    assert!(sharp.history.iter().all(|epoch| epoch.train_loss.is_finite()));
    assert!(apart(&without, &with, "features.0.0.weight") > 1e-6);
}

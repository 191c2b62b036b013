//! Whole runs on a handful of tiny pictures.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking, in its helper functions too")]

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use burn::tensor::Device;
use deeptell_augment::Augmentation;
use deeptell_data::{Label, Sample, Split};
use deeptell_network::{Architecture, Dtype, Weights};
use deeptell_train::{
    EpochRecord, Event, Run, SampleOrder, Schedule, Start, TrainConfig, TrainError, Trainer,
};
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
            Sample::new(path, label, format!("s{}", number / 2)).split(Some(split))
        })
        .collect()
}

fn config() -> TrainConfig {
    let mut config = TrainConfig::default();
    (config.epochs, config.batch_size, config.crop.size) = (1, 4, 32);
    config.sampling = SampleOrder::Shuffled.into();
    config.schedule.warmup = 0.0;
    (config.optimizer.weight_decay, config.optimizer.average_decay) = (0.0, None);
    config.augmentation = Augmentation::none();
    config
}

fn with_rate(learning_rate: f64) -> TrainConfig {
    with(config(), |config| config.optimizer.learning_rate = learning_rate)
}

/// The same settings with a change.
fn with(mut config: TrainConfig, change: impl FnOnce(&mut TrainConfig)) -> TrainConfig {
    change(&mut config);
    config
}

fn run(config: &TrainConfig, folder: &Path) -> (Run, Weights) {
    let out = tempfile::tempdir_in(folder).unwrap();
    let out = out.path().join("run");
    let run = Trainer::new(config, &samples(folder)).run(&out, &Device::flex(), |_| {}).unwrap();
    (run, Weights::read(out.join("best.safetensors")).unwrap())
}

fn apart(a: &Weights, b: &Weights, name: &str) -> f32 {
    let [a, b] = [a, b].map(|weights| weights.tensor(name).unwrap().values.iter());
    a.zip(b).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max)
}

#[test]
fn patience_ends_run_without_progress() {
    let folder = tempfile::tempdir().unwrap();
    // At this rate nothing changes, and so no epoch is better than the first.
    let still = with(config(), |config| (config.epochs, config.optimizer.learning_rate) = (9, 1e-12));
    let (patient, _) = run(&with(still.clone(), |config| config.schedule.patience = Some(2)), folder.path());
    assert_eq!((patient.history.len(), patient.best.unwrap().0, patient.finished), (3, 1, true));
    let (all, _) = run(&with(still, |config| config.epochs = 4), folder.path());
    assert_eq!(all.history.len(), 4);
}

#[test]
fn every_architecture_trains() {
    let folder = tempfile::tempdir().unwrap();
    for architecture in Architecture::ALL {
        let config = with(with_rate(1e-3), |config| (config.architecture, config.epochs) = (architecture, 3));
        let (run, weights) = run(&config, folder.path());
        let losses: Vec<f64> = run.history.iter().map(|epoch| epoch.train_loss).collect();
        assert!(losses[2] < losses[0], "{architecture}: {losses:?}");
        assert_eq!(Architecture::of_backbone(&weights, &Device::flex()).unwrap(), architecture);
    }
}

#[test]
fn layer_decay_slows_early_layers() {
    let folder = tempfile::tempdir().unwrap();
    let (stem, classifier) = ("features.0.0.weight", "classifier.3.weight");
    let (_, start) = run(&with_rate(1e-12), folder.path());
    let quick = with(with_rate(1e-3), |config| config.schedule.shape = Schedule::FlatThenLinear);
    let (_, even) = run(&quick, folder.path());
    let (_, decayed) = run(&with(quick, |config| config.optimizer.layer_decay = 0.5), folder.path());
    assert!(apart(&start, &even, stem) > 5e-5);
    assert!(apart(&start, &decayed, stem) < 1e-6, "1e-3 halved fourteen times");
    // The classifier's own rate is the same.
    assert_eq!(apart(&even, &decayed, classifier), 0.0);
    assert!(apart(&start, &even, classifier) > 5e-5);
}

/// `AdamW` moves each weight by at most the learning rate in its first step, in the direction of its gradient alone.
#[test]
fn sharpness_aware_step_applies_the_ascended_gradient_at_the_start() {
    let folder = tempfile::tempdir().unwrap();
    let rate = 1e-4;
    let one_step = with(with_rate(rate), |config| {
        config.schedule.shape = Schedule::FlatThenLinear;
        config.dropout = 0.0;
        config.optimizer.sharpness_radius = Some(5.0);
    });
    let (_, start) =
        run(&with(one_step.clone(), |config| config.optimizer.learning_rate = 1e-12), folder.path());
    let (_, sharp) = run(&one_step, folder.path());
    let (_, plain) = run(&with(one_step, |config| config.optimizer.sharpness_radius = None), folder.path());
    let largest = |a: &Weights, b: &Weights| {
        let trained = a.tensors.iter().filter(|tensor| !tensor.name.contains("running_"));
        trained.map(|tensor| apart(a, b, &tensor.name)).fold(0.0, f32::max)
    };
    let step = largest(&start, &plain);
    assert!(step > 0.5 * rate as f32 && step < 1.01 * rate as f32, "{step}");
    // A step that started at the point of the higher loss would be much longer.
    assert!(largest(&start, &sharp) < 1.01 * step, "{}", largest(&start, &sharp));
    // Some weights move the other way.
    assert!(largest(&plain, &sharp) > 1.9 * step, "{}", largest(&plain, &sharp));
}

#[test]
fn sharpness_aware_training_learns() {
    let folder = tempfile::tempdir().unwrap();
    let config =
        with(with_rate(1e-3), |config| (config.epochs, config.optimizer.sharpness_radius) = (3, Some(0.05)));
    let (run, _) = run(&config, folder.path());
    let losses: Vec<f64> = run.history.iter().map(|epoch| epoch.train_loss).collect();
    assert!(losses[2] < losses[0], "{losses:?}");
}

/// Pictures and settings whose losses differ between 16-bit dtypes and f32.
fn mixed(dtype: Dtype) -> TrainConfig {
    let mut config = with_rate(3e-4);
    (config.dtype, config.epochs, config.dropout) = (dtype, 8, 0.0);
    config.schedule.shape = Schedule::FlatThenLinear;
    // Larger pictures, so that normalization has more than a few numbers to go by.
    config.crop.size = 64;
    config
}

#[test]
fn losses_of_16_bit_dtypes_follow_f32() {
    let folder = tempfile::tempdir().unwrap();
    let losses = |dtype| -> Vec<f64> {
        let (run, _) = run(&mixed(dtype), folder.path());
        assert!(run.history.iter().all(|epoch| epoch.skipped_steps == 0));
        run.history.iter().map(|epoch| epoch.train_loss).collect()
    };
    let full = losses(Dtype::F32);
    assert!(full[7] < 0.4 * full[0], "it learns: {full:?}");
    for dtype in [Dtype::Bf16, Dtype::F16] {
        let half = losses(dtype);
        let apart = half.iter().zip(&full).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max);
        assert!(apart < 0.03, "{dtype}: {half:?} against {full:?}");
        assert!(apart > 0.0, "{dtype} was computed in 32 bits");
    }
}

/// A run that is stopped after its first epoch and resumed, or runs without a stop.
fn run_in(out: &Path, config: &TrainConfig, samples: &[Sample], stopped: bool) -> Run {
    let stop = AtomicBool::new(false);
    let go = |start| {
        let stop_after_epoch = |event| {
            if stopped && matches!(event, Event::Epoch { .. }) {
                stop.store(true, Ordering::Relaxed);
            }
        };
        let trainer = Trainer::new(config, samples).start(start).stop(&stop);
        trainer.run(out, &Device::flex(), stop_after_epoch).unwrap()
    };
    let mut run = go(Start::Scratch);
    while !run.finished {
        stop.store(false, Ordering::Relaxed);
        run = go(Start::Resume);
    }
    run
}

#[test]
fn overflow_skips_steps_and_scale_survives_resume() {
    let folder = tempfile::tempdir().unwrap();
    let samples = samples(folder.path());
    // Weighted so heavily, the first gradients pass 65504.
    let config = with(mixed(Dtype::F16), |config| (config.epochs, config.loss.pos_weight) = (3, Some(64.0)));
    let (whole, pieces) = (folder.path().join("whole"), folder.path().join("pieces"));
    let run = run_in(&whole, &config, &samples, false);
    let again = run_in(&pieces, &config, &samples, true);
    let skipped: Vec<usize> = run.history.iter().map(|epoch| epoch.skipped_steps).collect();
    assert!(skipped[0] > 0, "{skipped:?}");
    let plain = |run: &Run| run.history.iter().map(EpochRecord::without_time).collect::<Vec<_>>();
    assert_eq!(plain(&run), plain(&again));

    let scale = |run: &Path| {
        let text = std::fs::read_to_string(run.join("last/state.json")).unwrap();
        serde_json::from_str::<serde_json::Value>(&text).unwrap()["loss_scale"].clone()
    };
    let halvings = i32::try_from(skipped.iter().sum::<usize>()).unwrap();
    assert_eq!(scale(&whole)["factor"].as_f64().unwrap(), 65536.0 / 2f64.powi(halvings));
    assert_eq!(scale(&whole), scale(&pieces));
    let [whole, pieces] = [whole, pieces].map(|run| Weights::read(run.join("best.safetensors")).unwrap());
    for (a, b) in whole.tensors.iter().zip(&pieces.tensors) {
        assert!(a.values == b.values, "{} differs", a.name);
    }
}

#[test]
fn checkpoints_are_f32_for_every_dtype() {
    let folder = tempfile::tempdir().unwrap();
    let samples = samples(folder.path());
    let size = |dtype: Dtype| {
        let out = folder.path().join(dtype.to_string());
        run_in(&out, &with(mixed(dtype), |config| config.epochs = 1), &samples, false);
        ["best.safetensors", "last/network.bpk"].map(|file| std::fs::metadata(out.join(file)).unwrap().len())
    };
    let full = size(Dtype::F32);
    assert!(full.iter().all(|bytes| *bytes > 4 * 1_518_881), "four bytes a parameter");
    for dtype in [Dtype::Bf16, Dtype::F16] {
        let half = size(dtype);
        assert!(half.iter().zip(&full).all(|(half, full)| half.abs_diff(*full) < 64), "{half:?} {full:?}");
    }
}

#[test]
fn run_of_an_earlier_version_is_resumed() {
    let folder = tempfile::tempdir().unwrap();
    let samples = samples(folder.path());
    let out = folder.path().join("run");
    let config = || with(config(), |config| config.optimizer.average_decay = Some(0.5));
    run_in(&out, &config(), &samples, false);
    // It wrote its settings without tables.
    let path = out.join("last/state.json");
    let state: serde_json::Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
    let table = toml::from_str::<toml::Table>(state["config"].as_str().unwrap()).unwrap();
    let mut flat = toml::Table::new();
    for (key, value) in table {
        match (key.as_str(), value) {
            ("schedule" | "sampling", toml::Value::Table(inner)) => {
                for (name, value) in inner {
                    let name = if matches!(name.as_str(), "shape" | "order") { key.clone() } else { name };
                    flat.insert(name, value);
                }
            }
            ("codec", toml::Value::Table(inner)) => {
                flat.extend(inner.into_iter().map(|(name, value)| (format!("codec_{name}"), value)));
            }
            ("optimizer" | "loss", toml::Value::Table(inner)) => flat.extend(inner),
            (_, value) => {
                flat.insert(key, value);
            }
        }
    }
    let resume = |flat: &toml::Table| {
        let mut state = state.clone();
        state["config"] = flat.to_string().into();
        std::fs::write(&path, state.to_string()).unwrap();
        let more = with(config(), |config| config.epochs = 2);
        Trainer::new(&more, &samples).start(Start::Resume).run(&out, &Device::flex(), |_| {})
    };
    let mut other = flat.clone();
    other.insert("learning_rate".to_owned(), 0.5.into());
    let error = resume(&other).unwrap_err().to_string();
    assert!(error.contains("learning_rate = 0.0006") && error.contains("learning_rate = 0.5"), "{error}");
    assert_eq!(resume(&flat).unwrap().history.len(), 2);
    assert!(std::fs::read_to_string(out.join("config.toml")).unwrap().contains("[optimizer]"));
}

#[test]
fn endless_overflow_is_an_error() {
    let folder = tempfile::tempdir().unwrap();
    let samples = samples(folder.path());
    let hopeless =
        with(mixed(Dtype::F16), |config| (config.epochs, config.loss.pos_weight) = (20, Some(1e7)));
    let out = folder.path().join("run");
    let error = Trainer::new(&hopeless, &samples).run(&out, &Device::flex(), |_| {}).unwrap_err();
    assert!(matches!(error, TrainError::Overflow { epoch: 17, batch: 1 }), "{error}");
    assert!(error.to_string().contains("bf16"), "{error}");
}

#[test]
fn record_includes_data_wait() {
    let folder = tempfile::tempdir().unwrap();
    let (run, _) = run(&config(), folder.path());
    let epoch = &run.history[0];
    assert!(epoch.data_wait_seconds > 0.0 && epoch.data_wait_seconds < epoch.training_seconds, "{epoch:?}");
    assert!(epoch.training_seconds < epoch.seconds);
    let share = epoch.data_wait_share().unwrap();
    assert!(share > 0.0 && share < 1.0);
}

#[test]
fn checkpoint_of_another_network_is_not_called_damaged() {
    let folder = tempfile::tempdir().unwrap();
    let samples = samples(folder.path());
    let (small, large) = (folder.path().join("small"), folder.path().join("large"));
    run_in(&small, &config(), &samples, false);
    let other = with(config(), |config| config.architecture = Architecture::MobileNetV3Large);
    run_in(&large, &other, &samples, false);
    let resume = || {
        let more = with(config(), |config| config.epochs = 2);
        Trainer::new(&more, &samples).start(Start::Resume).run(&small, &Device::flex(), |_| {}).unwrap_err()
    };
    let network = "last/network.bpk";
    std::fs::copy(large.join(network), small.join(network)).unwrap();
    let error = resume();
    assert!(matches!(error, TrainError::CheckpointLayout { .. }), "{error}");
    // The tensors are not listed one by one.
    assert!(error.to_string().len() < 500, "{error}");
    let bytes = std::fs::read(large.join(network)).unwrap();
    std::fs::write(small.join(network), &bytes[..bytes.len() / 2]).unwrap();
    let error = resume();
    assert!(matches!(error, TrainError::Checkpoint { .. }), "{error}");
}

/// The weights that are kept and those that a run would be resumed with.
fn weights_of(out: &Path) -> Vec<Vec<f32>> {
    let weights = Weights::read(out.join("best.safetensors")).unwrap();
    weights.tensors.into_iter().map(|tensor| tensor.values.to_vec()).collect()
}

/// Settings that use all parts of a step.
fn with_replicas(replicas: usize) -> TrainConfig {
    with(config(), |config| {
        (config.replicas, config.epochs, config.optimizer.learning_rate) = (replicas, 2, 1e-3);
        config.optimizer.average_decay = Some(0.5);
        config.optimizer.sharpness_radius = Some(0.05);
        config.optimizer.layer_decay = 0.9;
        config.optimizer.gradient_clip = Some(1.0);
    })
}

#[test]
fn replicas_repeat_their_weights_and_resume_exactly() {
    let folder = tempfile::tempdir().unwrap();
    let samples = samples(folder.path());
    let [first, again, pieces] = ["first", "again", "pieces"].map(|name| folder.path().join(name));
    let run = run_in(&first, &with_replicas(2), &samples, false);
    run_in(&again, &with_replicas(2), &samples, false);
    let resumed = run_in(&pieces, &with_replicas(2), &samples, true);
    assert!(weights_of(&first) == weights_of(&again) && weights_of(&first) == weights_of(&pieces));
    let plain = |run: &Run| run.history.iter().map(EpochRecord::without_time).collect::<Vec<_>>();
    assert_eq!(plain(&run), plain(&resumed));
}

#[test]
fn run_is_resumed_with_other_numbers_of_replicas() {
    let folder = tempfile::tempdir().unwrap();
    let samples = samples(folder.path());
    let (changing, alone) = (folder.path().join("changing"), folder.path().join("alone"));
    let go = |out: &Path, replicas, epochs, start| {
        let config = with(config(), |config| {
            (config.replicas, config.epochs, config.frozen_statistics) = (replicas, epochs, true);
            config.optimizer.average_decay = Some(0.5);
        });
        let mut reported = 0;
        let count = |event| {
            if let Event::Started { replicas, .. } = event {
                reported = replicas;
            }
        };
        let run = Trainer::new(&config, &samples).start(start).run(out, &Device::flex(), count).unwrap();
        assert_eq!(reported, replicas);
        run
    };
    go(&changing, 2, 1, Start::Scratch);
    go(&changing, 1, 2, Start::Resume);
    let run = go(&changing, 3, 3, Start::Resume);
    assert!(std::fs::read_to_string(changing.join("config.toml")).unwrap().contains("replicas = 3"));
    // Dropout is that of one network, too.
    go(&alone, 1, 1, Start::Scratch);
    let expected = go(&alone, 1, 3, Start::Resume);
    assert_eq!((run.history.len(), expected.history.len()), (3, 3));
    for (one, other) in run.history.iter().zip(&expected.history) {
        assert!((one.train_loss - other.train_loss).abs() < 1e-4, "{one:?} and {other:?}");
    }
}

#[test]
fn replicas_share_a_batch_with_missing_pictures() {
    let folder = tempfile::tempdir().unwrap();
    let samples = samples(folder.path());
    // Three of four pictures are left, and then one.
    for broken in [vec![0], vec![0, 1, 2]] {
        for index in &broken {
            std::fs::write(&samples[*index].path, "no picture").unwrap();
        }
        let run = Trainer::new(&with_replicas(2), &samples)
            .run(&folder.path().join(format!("run{}", broken.len())), &Device::flex(), |_| {})
            .unwrap();
        assert_eq!(run.unreadable.len(), broken.len());
        assert!(run.history.iter().all(|epoch| epoch.train_loss.is_finite()));
    }
}

#[test]
fn overflow_in_replicas_skips_steps() {
    let folder = tempfile::tempdir().unwrap();
    let samples = samples(folder.path());
    let config = with(mixed(Dtype::F16), |config| {
        (config.epochs, config.loss.pos_weight, config.replicas) = (3, Some(64.0), 2);
    });
    let run = run_in(&folder.path().join("run"), &config, &samples, false);
    assert!(run.history[0].skipped_steps > 0, "{run:?}");
    assert!(run.history.iter().all(|epoch| epoch.train_loss.is_finite()));
}

#[test]
fn frozen_statistics_are_those_of_the_start() {
    let folder = tempfile::tempdir().unwrap();
    let frozen = with(with_rate(1e-3), |config| config.frozen_statistics = true);
    let (_, kept) = run(&frozen, folder.path());
    let (_, moved) = run(&with_rate(1e-3), folder.path());
    let mean = |weights: &Weights| weights.tensor("features.0.1.running_mean").unwrap().values.clone();
    assert!(mean(&kept).iter().all(|value| *value == 0.0));
    assert!(mean(&moved).iter().any(|value| *value != 0.0));
    let (_, still) = run(&with(frozen, |config| config.optimizer.learning_rate = 1e-12), folder.path());
    assert!(apart(&kept, &still, "features.0.1.weight") > 1e-6, "its weights are trained");
}

#[test]
fn replicas_that_do_not_fit_are_refused_before_the_folder_is_made() {
    let folder = tempfile::tempdir().unwrap();
    let samples = samples(folder.path());
    let out = folder.path().join("run");
    let run = |replicas: usize, others: &[Device]| {
        let config = with(config(), |config| config.replicas = replicas);
        Trainer::new(&config, &samples).replicas_on(others).run(&out, &Device::flex(), |_| {}).unwrap_err()
    };
    assert!(matches!(run(0, &[]), TrainError::Setting { setting: "replicas", .. }));
    let error = run(3, &[]);
    assert!(matches!(error, TrainError::Replicas { replicas: 3, .. }), "{error}");
    assert!(
        error.to_string().contains("each needs 2 of the 4 pictures of a batch: use at most 2"),
        "{error}"
    );
    let error = run(1, &[Device::flex()]);
    assert!(matches!(error, TrainError::Replicas { replicas: 2, .. }), "{error}");
    assert!(!out.exists());
}

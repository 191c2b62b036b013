//! Trainings with their progress, for every command that trains.

use std::path::{Path, PathBuf};

use burn::tensor::Device;
use deeptell::ModelFile;
use deeptell_eval::{Distortion, start_from};
use deeptell_network::{Architecture, Weights};
use deeptell_train::{Event, Run, Start, Trainer};

use crate::cache::cached;
use crate::output::{alert, note};
use crate::progress::Progress;

/// Weights that a training starts from: `imagenet`, `shipped`, `scratch`, or a weights file.
pub(crate) fn starting_weights(init: &str, architecture: Architecture) -> anyhow::Result<Start> {
    Ok(match init {
        "scratch" => Start::Scratch,
        "shipped" => Start::Network(ModelFile::shipped()?.weights().clone()),
        "imagenet" => {
            let cached = cached_imagenet(architecture)?;
            if !cached.is_file() {
                anyhow::bail!(
                    "the ImageNet weights of {} are not in {}: download and import them (see `deeptell weights --help`), \
                     or pass --init FILE, shipped or scratch",
                    architecture.title(),
                    cached.display()
                );
            }
            Start::Backbone(Weights::read(cached)?)
        }
        file => start_from(file.as_ref())?,
    })
}

/// Where `import` stores weights and `train --init imagenet` reads them.
pub(crate) fn cached_imagenet(architecture: Architecture) -> anyhow::Result<PathBuf> {
    cached(&architecture.imagenet_file())
}

/// Runs a training in the folder `out` and prints its progress; the pictures that it left out are listed there.
pub(crate) fn train_with_progress(trainer: Trainer<'_>, out: &Path, device: &Device) -> anyhow::Result<Run> {
    let mut bar: Option<Progress> = None;
    let run = trainer.run(out, device, |event| match event {
        Event::Step { epoch, step, steps, .. } => {
            let bar = bar.get_or_insert_with(|| Progress::new(format!("epoch {epoch}"), steps, "steps"));
            bar.set(step, &event.to_string());
        }
        Event::Validating { .. } => {
            if let Some(bar) = &bar {
                bar.set(usize::MAX, &event.to_string());
            }
        }
        Event::Unreadable { .. } => match &bar {
            Some(bar) => bar.warn(&event.to_string()),
            None => alert!("{event}"),
        },
        event => {
            if let Some(bar) = bar.take() {
                bar.finish();
            }
            note!("{event}");
        }
    })?;
    if let Some(bar) = bar.take() {
        bar.finish();
    }
    if !run.unreadable.is_empty() {
        let list = out.join("skipped.jsonl");
        alert!("{} pictures cannot be read and were left out; see {}", run.unreadable.len(), list.display());
    }
    Ok(run)
}

/// Says under which losses of quality the thresholds were not tested.
pub(crate) fn warn_of_losses(left_out: &[Distortion]) {
    for distortion in left_out {
        alert!(
            "the thresholds were not tested under {distortion}, which this build cannot compress; `deeptell calibrate` \
             of a build with the FFmpeg of the system does so"
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unknown_init_is_an_error() {
        let start = |init| starting_weights(init, Architecture::default());
        assert!(start("no/such/file.onnx").is_err());
        assert!(matches!(start("scratch"), Ok(Start::Scratch)));
    }
}

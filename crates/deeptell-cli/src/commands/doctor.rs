use std::path::{Path, PathBuf};

use burn::tensor::Device;
use deeptell::ModelFile;
use deeptell::diagnosis::Diagnosis;
use deeptell_network::Architecture;

use crate::{Outcome, output};

/// Check the installation: FFmpeg, the sandbox, the model, the CPU, free disk space.
///
/// Exits with code 1 if something does not work. Warnings do not change the exit code.
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  deeptell doctor
  deeptell doctor --json - | jq -r '.checks[] | select(.state != \"ok\") | .advice'
  deeptell doctor --model runs/first/detector.safetensors")]
pub(crate) struct Args {
    /// Model file to check [default: the shipped model].
    #[arg(long, value_name = "FILE")]
    model: Option<PathBuf>,
    /// Write the results as JSON; `-` is standard output.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
}

pub(crate) fn run(args: &Args) -> anyhow::Result<Outcome> {
    let model = args.model.as_deref().map_or_else(ModelFile::shipped, ModelFile::read);
    let diagnosis = Diagnosis::new(model, &Device::flex(), folders());
    if let Some(target) = &args.json {
        output::write_json(&diagnosis, target)?;
    }
    if args.json.as_deref() != Some(Path::new("-")) {
        output::lines(&diagnosis)?;
    }
    Ok(if diagnosis.has_failed() { Outcome::SomeFailed } else { Outcome::Done })
}

/// Where the program writes.
fn folders() -> Vec<(&'static str, PathBuf)> {
    let mut folders = vec![
        ("the current folder", std::env::current_dir().unwrap_or_else(|_| PathBuf::from("."))),
        ("temporary files and uploads", std::env::temp_dir()),
    ];
    let cache = crate::training::cached_imagenet(Architecture::default()).ok();
    // It is made when the first file goes into it.
    let cache = cache.as_deref().and_then(|file| file.ancestors().skip(1).find(|folder| folder.is_dir()));
    folders.extend(cache.map(|cache| ("the cache of weights", cache.to_owned())));
    folders
}

use std::path::PathBuf;

use clap::ValueEnum;
use deeptell::StoredPrecision;

use crate::Outcome;
use crate::detector::model_file;
use crate::output::{self, say};

/// Write a detector for other programs: ONNX for other runtimes, or safetensors.
///
/// The ONNX file takes normalised crops and gives a logit and a calibrated probability for each;
/// its notes say how a face becomes such a crop, and hold the model card. A safetensors file is a
/// model file of the newest format, whatever the format of the one it comes from.
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  deeptell export --format onnx --out detector.onnx       # the detector that ships
  deeptell export --format safetensors --precision full --model runs/first/detector.safetensors --out whole.safetensors
  deeptell export --format safetensors --model old.safetensors --out new.safetensors   # the newest format")]
pub(crate) struct Args {
    /// What to write.
    #[arg(long, value_enum)]
    format: Format,
    /// The file to write.
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
    /// Model file [default: the detector that ships with deeptell].
    #[arg(long, value_name = "FILE")]
    model: Option<PathBuf>,
    /// Bits of each weight in safetensors; ONNX has 32.
    #[arg(long, value_enum, default_value_t = Precision::Half)]
    precision: Precision,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    /// For ONNX Runtime and the like.
    Onnx,
    /// torchvision's tensor names, the model card in the header: what deeptell itself reads.
    Safetensors,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Precision {
    /// 16 bits.
    Half,
    /// 32 bits.
    Full,
}

pub(crate) fn run(args: &Args) -> anyhow::Result<Outcome> {
    let model = model_file(args.model.as_deref())?;
    match args.format {
        Format::Onnx => output::write_file(&args.out, &model.to_onnx()?)?,
        Format::Safetensors => {
            let precision = match args.precision {
                Precision::Half => StoredPrecision::Half,
                Precision::Full => StoredPrecision::Full,
            };
            model.write(&args.out, precision)?;
        }
    }
    say!("{}", args.out.display());
    Ok(Outcome::Done)
}

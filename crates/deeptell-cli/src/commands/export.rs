use std::path::PathBuf;

use clap::ValueEnum;
use deeptell::Model;
use deeptell_mobilenet::StoredPrecision;

use crate::Outcome;
use crate::output::{self, say};

/// Write a detector for other programs: ONNX for other runtimes, or safetensors.
///
/// The ONNX file takes normalised crops and gives a logit and a calibrated probability for each;
/// its notes say how a face becomes such a crop, and hold the model card.
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  deeptell export --format onnx --out detector.onnx       # the detector that ships
  deeptell export --format safetensors --precision full --model runs/first/detector.safetensors --out whole.safetensors")]
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
    let model = args.model.as_deref();
    match args.format {
        Format::Onnx => output::write_file(&args.out, &Model::export_onnx(model)?)?,
        Format::Safetensors => {
            let precision = match args.precision {
                Precision::Half => StoredPrecision::Half,
                Precision::Full => StoredPrecision::Full,
            };
            Model::export_safetensors(model, &args.out, precision)?;
        }
    }
    say!("{}", args.out.display());
    Ok(Outcome::Done)
}

use std::path::PathBuf;

use clap::ValueEnum;
use deeptell::StoredDtype;

use crate::Outcome;
use crate::detector::model_file;
use crate::output::{self, say};

/// Export a model to ONNX, for other runtimes, or to safetensors.
///
/// The ONNX model takes normalized crops and returns a logit and a calibrated probability for each;
/// its metadata describes how a face becomes such a crop, and holds the model card. A safetensors file
/// is a model file in the newest format, whatever the format of the original.
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  deeptell export --format onnx -o detector.onnx       # the shipped model
  deeptell export --format safetensors --dtype f32 -o full.safetensors
  deeptell export --format safetensors --model old.safetensors -o new.safetensors")]
pub(crate) struct Args {
    /// File format to write.
    #[arg(long, value_enum)]
    format: Format,
    /// File to write.
    #[arg(short, long, value_name = "FILE")]
    out: PathBuf,
    /// Model file [default: the shipped model].
    #[arg(long, value_name = "FILE")]
    model: Option<PathBuf>,
    /// Number format of the weights in safetensors; ONNX always has f32.
    #[arg(long = "dtype", alias = "precision", value_name = "DTYPE", value_enum, default_value_t = Dtype::F16)]
    dtype: Dtype,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    /// For ONNX Runtime and similar programs.
    Onnx,
    /// A model file of deeptell: torchvision's tensor names, and the model card in the header.
    Safetensors,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Dtype {
    /// 16-bit floats.
    #[value(alias = "half")]
    F16,
    /// 32-bit floats.
    #[value(alias = "full")]
    F32,
}

pub(crate) fn run(args: &Args) -> anyhow::Result<Outcome> {
    deeptell_files::check_outputs([&args.out], &args.model)?;
    let model = model_file(args.model.as_deref())?;
    match args.format {
        Format::Onnx => output::write_file(&args.out, &model.to_onnx()?)?,
        Format::Safetensors => {
            let dtype = match args.dtype {
                Dtype::F16 => StoredDtype::F16,
                Dtype::F32 => StoredDtype::F32,
            };
            model.write(&args.out, dtype)?;
        }
    }
    say!("{}", args.out.display());
    Ok(Outcome::Done)
}

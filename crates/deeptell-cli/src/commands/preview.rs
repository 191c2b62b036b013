use std::io::Cursor;
use std::path::PathBuf;

use deeptell_data::audit;
use deeptell_train::{TrainConfig, contact_sheet, preview};
use image::ImageFormat;

use crate::dataset::{Dataset, DatasetArgs};
use crate::output::say;
use crate::{Outcome, output};

/// Draw the first training pictures of a run, blended and augmented, on one sheet.
///
/// Real faces have a green frame, fakes and blends a red one. Pictures of one source are next to each
/// other.
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  deeptell preview split.jsonl -o sheet.png
  deeptell preview split.jsonl --config train.toml --rows 24 -o sheet.jpg")]
pub(crate) struct Args {
    /// Manifest of crops with splits, or data set folder that comes with splits.
    data: PathBuf,
    #[command(flatten)]
    dataset: DatasetArgs,
    /// Picture to write, .png or .jpg.
    #[arg(short, long, value_name = "FILE")]
    out: PathBuf,
    /// Training configuration in TOML; settings that it lacks have their defaults.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Number of units to show: single pictures, or triples of a real face, its blend and a fake.
    #[arg(long, default_value_t = 24, value_name = "N")]
    rows: usize,
}

pub(crate) fn run(args: &Args) -> anyhow::Result<Outcome> {
    let format = ImageFormat::from_path(&args.out)?;
    if args.rows == 0 {
        anyhow::bail!("--rows must be at least 1");
    }
    let config = match &args.config {
        Some(path) => TrainConfig::read(path)?,
        None => TrainConfig::default(),
    };
    let Dataset { samples, outcome, .. } = args.dataset.read(&args.data)?;
    let crops = samples.iter().map(|sample| &sample.path);
    deeptell_files::check_outputs([&args.out], [&args.data].into_iter().chain(&args.config).chain(crops))?;
    audit(&samples).into_result()?;
    let units = preview(&config, &samples, args.rows)?;
    let mut bytes = Cursor::new(Vec::new());
    contact_sheet(&units).write_to(&mut bytes, format)?;
    output::write_file(&args.out, bytes.get_ref())?;
    say!("{}", args.out.display());
    Ok(outcome)
}

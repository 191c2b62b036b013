use std::io::Cursor;
use std::path::PathBuf;

use deeptell_data::audit;
use deeptell_face::RgbImage;
use deeptell_train::{TrainConfig, preview};
use image::{ImageFormat, Rgb, imageops};

use crate::dataset::{Dataset, DatasetArgs};
use crate::output::say;
use crate::{Outcome, output};

/// Side of a picture on the sheet, its frame included, in pixels.
const CELL: u32 = 148;
/// Width of the frame that tells real from fake.
const FRAME: u32 = 4;
const REAL: Rgb<u8> = Rgb([38, 132, 92]);
const FAKE: Rgb<u8> = Rgb([196, 52, 60]);
const PAPER: Rgb<u8> = Rgb([245, 245, 243]);

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
    audit(&samples).into_result()?;
    let units = preview(&config, &samples, args.rows)?;
    let mut bytes = Cursor::new(Vec::new());
    sheet(&units).write_to(&mut bytes, format)?;
    output::write_file(&args.out, bytes.get_ref())?;
    say!("{}", args.out.display());
    Ok(outcome)
}

/// Units in columns of two, so that a sheet of triples is about as wide as high.
fn sheet(units: &[Vec<(RgbImage, bool)>]) -> RgbImage {
    let widest = units.iter().map(Vec::len).max().unwrap_or(0) as u32;
    let columns = (6 / widest.max(1)).max(1);
    let rows = (units.len() as u32).div_ceil(columns);
    let mut sheet = RgbImage::from_pixel(columns * widest * CELL, rows * CELL, PAPER);
    for (number, unit) in units.iter().enumerate() {
        let (column, row) = (number as u32 % columns, number as u32 / columns);
        for (place, (picture, fake)) in unit.iter().enumerate() {
            let (left, top) = ((column * widest + place as u32) * CELL, row * CELL);
            let frame = RgbImage::from_pixel(CELL - 2, CELL - 2, if *fake { FAKE } else { REAL });
            imageops::replace(&mut sheet, &frame, i64::from(left) + 1, i64::from(top) + 1);
            let inside = CELL - 2 - 2 * FRAME;
            let small = imageops::thumbnail(picture, inside, inside);
            let offset = i64::from(FRAME) + 1;
            imageops::replace(&mut sheet, &small, i64::from(left) + offset, i64::from(top) + offset);
        }
    }
    sheet
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_are_green_for_real_and_red_for_fake() {
        let picture = |value: u8| RgbImage::from_pixel(224, 224, Rgb([value; 3]));
        let unit = vec![(picture(10), false), (picture(20), true), (picture(30), true)];
        let sheet = sheet(&[unit.clone(), unit.clone(), unit]);
        assert_eq!(sheet.dimensions(), (6 * CELL, 2 * CELL));
        assert_eq!((sheet.get_pixel(2, 2), sheet.get_pixel(CELL + 2, 2)), (&REAL, &FAKE));
        assert_eq!(sheet.get_pixel(CELL / 2, CELL / 2), &Rgb([10; 3]));
        assert_eq!(sheet.get_pixel(5 * CELL + CELL / 2, CELL / 2), &Rgb([30; 3]));
        assert_eq!(sheet.get_pixel(5 * CELL, CELL + CELL / 2), &PAPER, "the place of a fourth");
    }
}

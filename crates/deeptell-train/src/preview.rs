use deeptell_data::{Sample, Split};
use deeptell_face::RgbImage;
use rayon::prelude::*;

use crate::batch::Loader;
use crate::order::{Plan, order};
use crate::{TrainConfig, TrainError};

/// The first training pictures of a run, each with whether it is a fake, in rows: one picture, or with
/// [`SampleOrder::Triples`](crate::SampleOrder::Triples) a real face, its blend and a fake. They are exactly
/// the pictures that a run with this configuration and these samples trains on.
///
/// # Errors
/// As [`Trainer::run`](crate::Trainer::run) for settings, missing classes and unreadable pictures.
pub fn preview(
    config: &TrainConfig,
    samples: &[Sample],
    rows: usize,
) -> Result<Vec<Vec<(RgbImage, bool)>>, TrainError> {
    config.validate()?;
    let training: Vec<&Sample> = samples.iter().filter(|s| s.split == Some(Split::Train)).collect();
    let plan = Plan::new(&training, config)?;
    let loader = Loader { samples: &training, crop: &config.crop, training: Some((config, 1)) };
    order(&training, config, 1, plan.units)
        .into_par_iter()
        .take(rows)
        .enumerate()
        .map(|(position, unit)| {
            let pictures = loader.load(unit, position)?;
            Ok(pictures.into_iter().map(|picture| (picture.image, picture.is_fake)).collect())
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use deeptell_data::Label;

    use super::*;

    #[test]
    fn preview_shows_pictures_of_the_seed() {
        let folder = tempfile::tempdir().unwrap();
        let samples: Vec<Sample> = (0..6)
            .map(|i| {
                let path = folder.path().join(format!("{i}.png"));
                RgbImage::from_pixel(48, 48, image::Rgb([40 * i as u8, 90, 90])).save(&path).unwrap();
                let label = if i % 2 == 0 { Label::Real } else { Label::Fake };
                Sample::new(path, label, format!("s{}", i / 2)).split(Some(Split::Train))
            })
            .collect();
        let mut config =
            TrainConfig { sampling: crate::SampleOrder::Shuffled.into(), ..TrainConfig::default() };
        config.crop.size = 48;
        let rows = preview(&config, &samples, 4).unwrap();
        assert_eq!(rows.len(), 4);
        assert!(rows.iter().all(|row| row.len() == 1 && row[0].0.dimensions() == (48, 48)));
        assert_eq!(rows, preview(&config, &samples, 4).unwrap());
        assert_eq!(preview(&config, &samples, 100).unwrap().len(), 6, "no more than an epoch has");
        assert!(preview(&config, &samples[..1], 4).is_err(), "one class is not enough");
    }
}

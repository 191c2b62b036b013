//! Training pictures of which it is known where they are manipulated.

use deeptell_data::{Sample, Split};
use deeptell_face::RgbImage;
use image::GrayImage;
use rayon::prelude::*;

use crate::batch::Loader;
use crate::order::{Plan, Unit, order};
use crate::{TrainConfig, TrainError};

/// Pixels of a side of a picture to one of its last feature map.
pub(crate) const STRIDE: u32 = 32;
/// Units that are loaded at once.
const BATCH: usize = 16;

/// A real face or a blend, and where it is manipulated.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct MaskedPicture<'a> {
    /// The picture, as training shows it.
    pub image: RgbImage,
    /// How much of each pixel of it is manipulated, 0 to 255; 0 everywhere in a real face.
    pub mask: GrayImage,
    /// Whether it is a blend.
    pub is_fake: bool,
    /// The real sample that it shows or is made from.
    pub sample: &'a Sample,
}

impl MaskedPicture<'_> {
    /// The manipulated share of each cell of 32x32 pixels, in `0..=1`, row by row: the cells of a network's last
    /// feature map.
    pub fn cell_shares(&self) -> Vec<f32> {
        cell_shares(&self.mask)
    }
}

/// The share of each cell of [`STRIDE`] pixels a side, row by row. The last row and column may be smaller.
pub(crate) fn cell_shares(mask: &GrayImage) -> Vec<f32> {
    let [columns, rows] = [mask.width(), mask.height()].map(|side| side.div_ceil(STRIDE));
    let mut sums = vec![(0.0_f32, 0.0_f32); (columns * rows) as usize];
    for (x, y, value) in mask.enumerate_pixels() {
        let (sum, pixels) = &mut sums[(y / STRIDE * columns + x / STRIDE) as usize];
        *sum += f32::from(value[0]) / 255.0;
        *pixels += 1.0;
    }
    sums.into_iter().map(|(sum, pixels)| sum / pixels).collect()
}

/// The pictures of the first epoch of a run whose masks are known: real faces and blends, through the same
/// augmentation, a batch at a time. Fakes that are not blends are left out.
///
/// They depend on the configuration and the samples alone, not on the number of threads.
#[derive(Debug)]
pub struct MaskedPictures<'a> {
    config: TrainConfig,
    samples: Vec<&'a Sample>,
    units: Vec<Unit>,
    /// Number of units that were loaded.
    done: usize,
}

impl<'a> MaskedPictures<'a> {
    /// Prepares the pictures that a run with this configuration makes of the samples of `split`.
    ///
    /// # Errors
    /// As [`Trainer::run`](crate::Trainer::run) for settings and missing classes; the configuration needs
    /// `order = "triples"` in `[sampling]`.
    pub fn new(config: &TrainConfig, samples: &'a [Sample], split: Split) -> Result<Self, TrainError> {
        let mut config = config.clone();
        // Masks are made for the loss on where, and for triples alone.
        config.loss.localization_weight = 1.0;
        config.validate()?;
        let samples: Vec<&Sample> = samples.iter().filter(|s| s.split == Some(split)).collect();
        let plan = Plan::new(&samples, &config)?;
        let without_fake = |unit| match unit {
            Unit::Triple { real, .. } => Unit::Triple { real, fake: None },
            single @ Unit::Single(_) => single,
        };
        let units = order(&samples, &config, 1, plan.units).into_iter().map(without_fake).collect();
        Ok(Self { config, samples, units, done: 0 })
    }

    /// Number of batches.
    pub fn batches(&self) -> usize {
        self.units.len().div_ceil(BATCH)
    }
}

impl<'a> Iterator for MaskedPictures<'a> {
    type Item = Result<Vec<MaskedPicture<'a>>, TrainError>;

    /// The next batch. A picture that cannot be read is an error of its batch alone.
    fn next(&mut self) -> Option<Self::Item> {
        let first = self.done;
        let units = self.units.get(first..)?.chunks(BATCH).next()?;
        self.done += units.len();
        let loader =
            Loader { samples: &self.samples, crop: &self.config.crop, training: Some((&self.config, 1)) };
        let loaded: Result<Vec<_>, TrainError> = units
            .par_iter()
            .enumerate()
            .map(|(place, &unit)| {
                let sample = self.samples[unit.first()];
                let pictures = loader.load(unit, first + place)?.into_iter();
                let known = pictures.filter_map(|picture| {
                    let is_fake = picture.is_fake;
                    Some(MaskedPicture { image: picture.image, mask: picture.mask?, is_fake, sample })
                });
                Ok(known.collect::<Vec<_>>())
            })
            .collect();
        Some(loaded.map(|units| units.into_iter().flatten().collect()))
    }
}

#[cfg(test)]
mod tests {
    use deeptell_augment::Augmentation;
    use deeptell_data::Label;
    use deeptell_face::{FaceCrop, Landmarks, Point};

    use super::*;
    use crate::SampleOrder;

    #[test]
    fn a_blend_differs_from_its_face_in_the_masked_cells_alone() {
        let folder = tempfile::tempdir().unwrap();
        let face = [(96.0, 84.0), (138.0, 84.0), (117.0, 108.0), (100.0, 130.0), (134.0, 130.0)];
        let landmarks = Some(Landmarks::from_points(face.map(|(x, y)| Point::new(x, y))));
        let sample = |i: u32, label| {
            let path = folder.path().join(format!("{i}.png"));
            let texture = |x, y| image::Rgb([(60 + (x * 7 + y * 13 + x * y) % 120) as u8, (x / 2) as u8, 90]);
            RgbImage::from_fn(224, 224, texture).save(&path).unwrap();
            Sample::new(path, label, format!("s{i}")).landmarks(landmarks).split(Some(Split::Train))
        };
        let samples: Vec<Sample> = (0..20).map(|i| sample(i, Label::Real)).collect();
        let samples = [samples, vec![sample(20, Label::Fake)]].concat();
        let mut config = TrainConfig {
            sampling: SampleOrder::Triples.into(),
            augmentation: Augmentation::none(),
            crop: FaceCrop::default().size(224),
            ..TrainConfig::default()
        };
        // The copy alone is changed.
        config.blend.target_probability = 0.0;
        let pictures = MaskedPictures::new(&config, &samples, Split::Train).unwrap();
        assert_eq!(pictures.batches(), 2);
        let pictures: Vec<_> = pictures.map(Result::unwrap).collect();
        assert_eq!(pictures.iter().map(Vec::len).collect::<Vec<_>>(), [32, 8]);
        for pair in pictures.concat().chunks_exact(2) {
            let (real, blend) = (&pair[0], &pair[1]);
            assert_eq!((real.is_fake, blend.is_fake, real.sample), (false, true, blend.sample));
            assert_eq!(real.cell_shares(), vec![0.0; 49]);
            let shares = blend.cell_shares();
            assert!(shares.iter().any(|&share| share > 0.0) && shares[0] == 0.0, "{shares:?}");
            for (x, y, pixel) in blend.image.enumerate_pixels() {
                let cell = (y / STRIDE * 7 + x / STRIDE) as usize;
                assert!(shares[cell] > 0.0 || pixel == real.image.get_pixel(x, y), "{x}, {y}");
            }
        }
        assert!(MaskedPictures::new(&TrainConfig::default(), &samples, Split::Train).is_err(), "no triples");
        assert!(MaskedPictures::new(&config, &samples, Split::Validation).is_err(), "no samples");
    }
}

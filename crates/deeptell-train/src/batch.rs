//! Makes batches of pictures from samples, in the background and in a fixed order.

use std::path::Path;
use std::sync::mpsc::{Receiver, sync_channel};
use std::thread::Scope;

use deeptell_augment::{Blend, FacePart};
use deeptell_data::{DataError, Sample};
use deeptell_face::{FaceCrop, Landmarks, Rect, RgbImage, Similarity};
use image::GrayImage;
use rand::RngExt as _;
use rand_chacha::ChaCha8Rng;
use rayon::prelude::*;

use crate::order::Unit;
use crate::random::generator;
use crate::{TrainConfig, TrainError};

/// Batches made ahead of the one in training.
const AHEAD: usize = 3;

/// Reads the face of a sample as the network's input size: cut by `crop` where the sample has
/// a box, the whole picture where it has none.
///
/// # Errors
/// [`TrainError::Picture`] when the file cannot be read or decoded, [`TrainError::Data`] when a shard is
/// not what the sample says, [`TrainError::Crop`] when the box does not touch the picture.
pub fn load_crop(sample: &Sample, crop: &FaceCrop) -> Result<RgbImage, TrainError> {
    load_face(sample, crop).map(|(image, _)| image)
}

/// [`load_crop`], with the landmarks of the sample in pixels of the crop.
fn load_face(sample: &Sample, crop: &FaceCrop) -> Result<(RgbImage, Option<Landmarks>), TrainError> {
    let image = read_picture(&sample.path)?;
    let fault = |source| TrainError::Crop { path: sample.path.clone(), source };
    let (crop, bbox) = match sample.bbox {
        Some(bbox) => (*crop, bbox),
        None if image.dimensions() == (crop.size, crop.size) => return Ok((image, sample.landmarks)),
        None => {
            let whole = Rect::new(0.0, 0.0, image.width() as f32, image.height() as f32);
            (crop.scale(1.0).align(false), whole)
        }
    };
    let cut = crop.cut(&image, bbox, sample.landmarks.as_ref()).map_err(fault)?;
    let crop_from_image = crop.image_from_crop(bbox, sample.landmarks.as_ref()).map_err(fault)?.inverse();
    let in_crop = |place: Similarity| sample.landmarks.map(|landmarks| landmarks.map(|p| place.apply(p)));
    Ok((cut, crop_from_image.and_then(in_crop)))
}

fn read_picture(path: &Path) -> Result<RgbImage, TrainError> {
    deeptell_data::read_picture(path).map_err(|error| match error {
        DataError::Picture { path, source } => TrainError::Picture { path, source },
        DataError::Io { path, source } => TrainError::Picture { path, source: source.into() },
        other => other.into(),
    })
}

/// A picture to train on.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Picture {
    pub(crate) image: RgbImage,
    pub(crate) is_fake: bool,
    /// How much of each pixel is manipulated, 0 to 255, at the size of `image`; absent where that is not known
    /// or not asked for.
    pub(crate) mask: Option<GrayImage>,
}

/// What a batch is made of.
pub(crate) struct Batch {
    pub(crate) images: Vec<RgbImage>,
    /// Whether each picture is a fake.
    pub(crate) fakes: Vec<bool>,
    /// Where each is manipulated, as in [`Picture`].
    pub(crate) masks: Vec<Option<GrayImage>>,
    /// What the batch shows, in order.
    pub(crate) units: Vec<Unit>,
    /// Why other units are left out: [`TrainError::Picture`].
    pub(crate) unreadable: Vec<TrainError>,
}

impl Batch {
    /// Of `units` and what came of loading each. One whose pictures cannot be read is left out.
    fn new(units: &[Unit], loaded: Vec<Result<Vec<Picture>, TrainError>>) -> Result<Self, TrainError> {
        let mut batch = Self {
            images: Vec::new(),
            fakes: Vec::new(),
            masks: Vec::new(),
            units: Vec::with_capacity(units.len()),
            unreadable: Vec::new(),
        };
        for (&unit, pictures) in units.iter().zip(loaded) {
            match pictures {
                Ok(pictures) => {
                    batch.units.push(unit);
                    for Picture { image, is_fake, mask } in pictures {
                        batch.images.push(image);
                        batch.fakes.push(is_fake);
                        batch.masks.push(mask);
                    }
                }
                Err(error @ TrainError::Picture { .. }) => batch.unreadable.push(error),
                Err(error) => return Err(error),
            }
        }
        Ok(batch)
    }
}

/// Where a batch's pictures come from and what happens to them.
#[derive(Clone, Copy)]
pub(crate) struct Loader<'a> {
    pub(crate) samples: &'a [&'a Sample],
    pub(crate) crop: &'a FaceCrop,
    /// For training, the augmentation, and the epoch, which seeds it.
    pub(crate) training: Option<(&'a TrainConfig, usize)>,
}

impl<'a> Loader<'a> {
    /// Makes the batches of `order`, `per_batch` units each, on background threads, a few ahead
    /// of their use. The pictures depend on seed, epoch and position alone, never on timing, nor on
    /// which others cannot be read.
    pub(crate) fn batches<'s>(
        self,
        scope: &'s Scope<'s, '_>,
        order: Vec<Unit>,
        per_batch: usize,
    ) -> Receiver<Result<Batch, TrainError>>
    where
        'a: 's,
    {
        let (sender, receiver) = sync_channel(AHEAD);
        scope.spawn(move || {
            for (number, units) in order.chunks(per_batch).enumerate() {
                let pictures = units
                    .par_iter()
                    .enumerate()
                    .map(|(place, &unit)| self.load(unit, number * per_batch + place))
                    .collect();
                let batch = Batch::new(units, pictures);
                let failed = batch.is_err();
                // The receiver is dropped when training stops.
                if sender.send(batch).is_err() || failed {
                    return;
                }
            }
        });
        receiver
    }

    /// A blend of a real face with itself or with another; `None` when its landmarks fit no face.
    fn blend(
        &self,
        real: usize,
        image: &RgbImage,
        landmarks: &Landmarks,
        config: &TrainConfig,
        rng: &mut ChaCha8Rng,
    ) -> Result<Option<Blend>, TrainError> {
        if rng.random_bool(config.sampling.swap_probability)
            && let Some(donor) = self.donor(real, rng)
            && let (donor, Some(donor_landmarks)) = load_face(self.samples[donor], self.crop)?
            && let Ok(swap) = config.blend.swap(image, landmarks, &donor, &donor_landmarks, rng)
        {
            return Ok(Some(swap));
        }
        Ok(config.blend.blend(image, landmarks, rng).ok())
    }

    /// Another real face with landmarks, of another source; `None` when a few draws find none.
    fn donor(&self, real: usize, rng: &mut ChaCha8Rng) -> Option<usize> {
        (0..64).map(|_| rng.random_range(0..self.samples.len())).find(|&other| {
            let (other, real) = (self.samples[other], self.samples[real]);
            !other.label.is_fake() && other.landmarks.is_some() && other.source != real.source
        })
    }

    /// The pictures of a unit.
    pub(crate) fn load(&self, unit: Unit, position: usize) -> Result<Vec<Picture>, TrainError> {
        let face = |index: usize| load_face(self.samples[index], self.crop);
        let is_fake = |index: usize| self.samples[index].label.is_fake();
        let Some((config, epoch)) = self.training else {
            let index = unit.first();
            return Ok(vec![Picture { image: face(index)?.0, is_fake: is_fake(index), mask: None }]);
        };
        let rng = |purpose| generator(config.seed, purpose, [epoch as u64, position as u64]);
        let mut cutout = rng("cutout");
        let covered = cutout
            .random_bool(config.cutout_probability)
            .then(|| (FacePart::draw(&mut cutout), cutout.random()));
        let cover = |image: &mut RgbImage, landmarks: Option<&Landmarks>| {
            if let (Some((part, color)), Some(landmarks)) = (covered, landmarks) {
                part.cover(image, landmarks, color);
            }
        };
        let untouched = |image: RgbImage| {
            let mask = (config.loss.localization_weight > 0.0)
                .then(|| GrayImage::new(image.width(), image.height()));
            Picture { image, is_fake: false, mask }
        };
        let mut pictures = match unit {
            Unit::Single(index) => {
                let (mut image, landmarks) = face(index)?;
                cover(&mut image, landmarks.as_ref());
                vec![Picture { image, is_fake: is_fake(index), mask: None }]
            }
            Unit::Triple { real, fake } => {
                let mut pictures = Vec::with_capacity(3);
                let (image, landmarks) = face(real)?;
                let blend = match &landmarks {
                    Some(landmarks) => self.blend(real, &image, landmarks, config, &mut rng("blend"))?,
                    None => None,
                };
                match blend {
                    Some(blend) => {
                        let mask = (config.loss.localization_weight > 0.0).then(|| at_full_range(blend.mask));
                        let blended = Picture { image: blend.image, is_fake: true, mask };
                        pictures.extend([untouched(blend.real), blended]);
                    }
                    None => pictures.push(untouched(image)),
                }
                for picture in &mut pictures {
                    cover(&mut picture.image, landmarks.as_ref());
                }
                if let Some(fake) = fake {
                    let (image, landmarks) = face(fake)?;
                    let mut rng = rng("disguise");
                    let disguised = rng.random_bool(config.sampling.disguise_probability);
                    let mut image = if disguised { config.blend.disguise(&image, &mut rng)? } else { image };
                    cover(&mut image, landmarks.as_ref());
                    pictures.push(Picture { image, is_fake: true, mask: None });
                }
                pictures
            }
        };
        let changes = config.augmentation.draw(&mut rng("augmentation"));
        let mut codec = rng("codec");
        let crf = codec
            .random_bool(config.codec.probability)
            .then(|| codec.random_range(config.codec.crf[0]..=config.codec.crf[1]));
        for picture in &mut pictures {
            picture.image = changes.apply_with(&picture.image, |image| match crf {
                Some(crf) => compressed(&image, crf),
                None => Ok(image),
            })?;
            picture.mask = picture.mask.as_ref().map(|mask| changes.apply_to_mask(mask));
        }
        Ok(pictures)
    }
}

/// Stretches the values of a mask, so that the highest is 255: a face that is blended in by half is manipulated
/// as well.
fn at_full_range(mut mask: GrayImage) -> GrayImage {
    let highest = u32::from(mask.iter().copied().max().unwrap_or(0)).max(1);
    for value in mask.iter_mut() {
        *value = (u32::from(*value) * 255 / highest) as u8;
    }
    mask
}

/// The picture after compression with this constant rate factor of H.264.
#[cfg(feature = "codec")]
fn compressed(image: &RgbImage, crf: u8) -> Result<RgbImage, TrainError> {
    Ok(deeptell_video::recompress(image, deeptell_video::VideoCodec::H264, crf)?)
}

/// Never called: without FFmpeg, [`TrainConfig::validate`] refuses `codec.probability`.
#[cfg(not(feature = "codec"))]
fn compressed(_: &RgbImage, _: u8) -> Result<RgbImage, TrainError> {
    Err(crate::config::without_codec())
}

#[cfg(test)]
mod tests {
    use deeptell_augment::Augmentation;
    use deeptell_data::Label;
    use deeptell_face::Point;

    use super::*;
    use crate::{CodecConfig, SamplingConfig};

    #[test]
    fn crops_come_out_at_the_size_of_the_network() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("face.png");
        RgbImage::from_fn(90, 60, |x, y| image::Rgb([x as u8, y as u8, 0])).save(&path).unwrap();
        let crop = FaceCrop::default().size(32);
        let whole = load_crop(&Sample::new(&path, Label::Real, "a"), &crop).unwrap();
        assert_eq!(whole.dimensions(), (32, 32));
        let boxed = Sample::new(&path, Label::Real, "a").bbox(Some(Rect::new(40.0, 20.0, 72.0, 52.0)));
        assert_eq!(load_crop(&boxed, &crop).unwrap().get_pixel(0, 0).0, [40, 20, 0]);
        let missing = load_crop(&Sample::new(folder.path().join("no.png"), Label::Real, "a"), &crop);
        assert!(matches!(missing, Err(TrainError::Picture { .. })));
    }

    #[cfg(feature = "codec")]
    #[test]
    fn codec_comes_last_and_is_shared_within_unit() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("face.png");
        let picture = RgbImage::from_fn(64, 64, |x, y| image::Rgb([(x * y) as u8, (x * 4) as u8, 90]));
        picture.save(&path).unwrap();
        let real = Sample::new(path, Label::Real, "a");
        let crop = FaceCrop::default().size(64);
        let config = TrainConfig {
            augmentation: Augmentation::none(),
            codec: CodecConfig { probability: 1.0, crf: [40, 40] },
            crop,
            ..TrainConfig::default()
        };
        let load = |config: &TrainConfig| {
            let loader = Loader { samples: &[&real], crop: &crop, training: Some((config, 1)) };
            loader.load(Unit::Single(0), 0).unwrap().remove(0).image
        };
        assert_eq!(load(&config), compressed(&picture, 40).unwrap());
        assert_eq!(load(&TrainConfig { codec: CodecConfig::default(), ..config }), picture);
    }

    #[test]
    fn cutout_covers_same_part_in_all_pictures_of_triple() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("face.png");
        RgbImage::from_pixel(160, 160, image::Rgb([90, 120, 60])).save(&path).unwrap();
        let face = [(55.0, 65.0), (105.0, 65.0), (80.0, 95.0), (60.0, 122.0), (100.0, 122.0)];
        let landmarks = Some(Landmarks::from_points(face.map(|(x, y)| Point::new(x, y))));
        let real = Sample::new(&path, Label::Real, "a").landmarks(landmarks);
        let fake = Sample::new(&path, Label::Fake, "a").landmarks(landmarks);
        let config = TrainConfig {
            augmentation: Augmentation::none(),
            sampling: SamplingConfig { disguise_probability: 0.0, ..SamplingConfig::default() },
            cutout_probability: 1.0,
            ..TrainConfig::default()
        };
        let crop = FaceCrop::default().size(160);
        let loader = Loader { samples: &[&real, &fake], crop: &crop, training: Some((&config, 1)) };
        let triple = loader.load(Unit::Triple { real: 0, fake: Some(1) }, 0).unwrap();
        let holes: Vec<Vec<bool>> = triple
            .iter()
            .map(|Picture { image, .. }| {
                let background = *image.get_pixel(0, 159);
                image.pixels().map(|pixel| *pixel != background).collect()
            })
            .collect();
        // The fake is one color but for the hole; the real face and its blend may differ within it.
        assert!(holes[2].iter().filter(|hole| **hole).count() > 100);
        let colors: Vec<_> =
            holes[2].iter().enumerate().filter(|(_, hole)| **hole).map(|(at, _)| at).collect();
        for Picture { image, .. } in &triple {
            let pixels: Vec<_> = image.pixels().collect();
            assert!(colors.iter().all(|&at| pixels[at] == triple[2].image.pixels().nth(colors[0]).unwrap()));
        }
    }

    #[test]
    fn triple_is_real_blend_and_fake_under_one_augmentation() {
        let folder = tempfile::tempdir().unwrap();
        let picture = |name: &str, shift: u32| {
            let path = folder.path().join(name);
            RgbImage::from_fn(160, 160, |x, y| {
                image::Rgb([(x + shift) as u8, (y + shift) as u8, ((x * y) / 128 + shift) as u8])
            })
            .save(&path)
            .unwrap();
            path
        };
        let face = [(55.0, 65.0), (105.0, 65.0), (80.0, 95.0), (60.0, 122.0), (100.0, 122.0)];
        let landmarks = Some(Landmarks::from_points(face.map(|(x, y)| Point::new(x, y))));
        let real = Sample::new(picture("real.png", 0), Label::Real, "a").landmarks(landmarks);
        let fake = Sample::new(picture("fake.png", 90), Label::Fake, "a");
        let samples = [&real, &fake];
        let mut config = TrainConfig { augmentation: Augmentation::none(), ..TrainConfig::default() };
        config.augmentation.flip_probability = 1.0;
        config.sampling.disguise_probability = 0.0;
        let crop = FaceCrop::default().size(80);
        let load = |real: usize, epoch| {
            let loader = Loader { samples: &samples, crop: &crop, training: Some((&config, epoch)) };
            loader.load(Unit::Triple { real, fake: Some(1) }, 3).unwrap()
        };
        let triple = load(0, 1);
        assert_eq!(triple.iter().map(|picture| picture.is_fake).collect::<Vec<_>>(), [false, true, true]);
        assert_eq!(triple, load(0, 1));
        assert_ne!(triple[1], load(0, 2)[1], "every epoch has blends of its own");
        assert_ne!(triple[0].image, triple[1].image);
        let mut mirrored = load_crop(&fake, &crop).unwrap();
        image::imageops::flip_horizontal_in_place(&mut mirrored);
        assert_eq!(triple[2].image, mirrored);
        // Blended inside the face, untouched in the corner.
        assert_eq!(triple[0].image.get_pixel(0, 0), triple[1].image.get_pixel(0, 0));
        assert!(triple.iter().all(|picture| picture.mask.is_none()), "not asked for");
        // Without landmarks there is no blend.
        assert_eq!(load(1, 1).len(), 2);
    }

    #[test]
    fn masks_cover_where_blends_differ_from_real_faces() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("face.png");
        RgbImage::from_fn(160, 160, |x, y| image::Rgb([(x * 3) as u8, (y * 2) as u8, (x * y / 100) as u8]))
            .save(&path)
            .unwrap();
        let face = [(55.0, 65.0), (105.0, 65.0), (80.0, 95.0), (60.0, 122.0), (100.0, 122.0)];
        let landmarks = Some(Landmarks::from_points(face.map(|(x, y)| Point::new(x, y))));
        let real = Sample::new(&path, Label::Real, "a").landmarks(landmarks);
        let fake = Sample::new(&path, Label::Fake, "a").landmarks(landmarks);
        let mut config = TrainConfig { augmentation: Augmentation::none(), ..TrainConfig::default() };
        config.augmentation.flip_probability = 1.0;
        config.blend.ratios = vec![0.5];
        config.loss.localization_weight = 0.1;
        let crop = FaceCrop::default().size(160);
        let loader = Loader { samples: &[&real, &fake], crop: &crop, training: Some((&config, 1)) };
        for position in 0..5 {
            let [real, blend, fake] =
                loader.load(Unit::Triple { real: 0, fake: Some(1) }, position).unwrap().try_into().unwrap();
            assert!(real.mask.unwrap().iter().all(|value| *value == 0));
            assert!(fake.mask.is_none());
            let mask = blend.mask.unwrap();
            assert_eq!(mask.iter().max(), Some(&255), "blended in by half, manipulated all the same");
            let differs = |(x, y)| real.image.get_pixel(x, y) != blend.image.get_pixel(x, y);
            let outside = mask.enumerate_pixels().filter(|(_, _, value)| value[0] == 0);
            assert!(outside.map(|(x, y, _)| (x, y)).all(|at| !differs(at)));
            let inside = mask.enumerate_pixels().filter(|(_, _, value)| value[0] > 200);
            assert!(inside.map(|(x, y, _)| (x, y)).any(differs));
        }
    }

    #[test]
    fn swap_takes_donor_from_other_real_source() {
        let folder = tempfile::tempdir().unwrap();
        let face = [(55.0, 65.0), (105.0, 65.0), (80.0, 95.0), (60.0, 122.0), (100.0, 122.0)];
        let landmarks = Some(Landmarks::from_points(face.map(|(x, y)| Point::new(x, y))));
        let sample = |name: &str, label, source: &str, stripes: u32| {
            let path = folder.path().join(name);
            RgbImage::from_fn(160, 160, |x, y| image::Rgb([90 + ((x / stripes + y) % 2 * 80) as u8; 3]))
                .save(&path)
                .unwrap();
            Sample::new(path, label, source).landmarks(landmarks)
        };
        let real = sample("a.png", Label::Real, "a", 40);
        let samples = [
            &real,
            &sample("a2.png", Label::Real, "a", 3),
            &sample("b.png", Label::Real, "b", 7),
            &sample("f.png", Label::Fake, "c", 2),
        ];
        let config = TrainConfig {
            sampling: SamplingConfig { swap_probability: 1.0, ..SamplingConfig::default() },
            ..TrainConfig::default()
        };
        let crop = FaceCrop::default().size(160);
        let loader = Loader { samples: &samples, crop: &crop, training: Some((&config, 1)) };
        let mut rng = generator(1, "test", [0, 0]);
        for _ in 0..20 {
            assert_eq!(loader.donor(0, &mut rng), Some(2));
        }
        let (image, landmarks) = load_face(&real, &crop).unwrap();
        let swap = loader.blend(0, &image, &landmarks.unwrap(), &config, &mut rng).unwrap().unwrap();
        assert_eq!(swap.real, image, "a swap leaves the target as it is");
        assert_ne!(swap.image, image);
        // Nobody to borrow from: a self-blend, as ever.
        let alone = Loader { samples: &samples[..2], ..loader };
        assert_eq!(alone.donor(0, &mut rng), None);
        assert!(alone.blend(0, &image, &landmarks.unwrap(), &config, &mut rng).unwrap().is_some());
    }
}

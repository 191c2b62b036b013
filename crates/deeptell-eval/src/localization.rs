//! Training and measuring the layer that estimates where a face is manipulated.

use deeptell::{Device, HeatMapMethod, Model, ModelFile, Network, RgbImage};
use deeptell_augment::Augmentation;
use deeptell_data::{Sample, Split};
use deeptell_metrics::{BootstrapConfig, LogisticModel, bootstrap_interval, roc_auc};
use deeptell_network::{NetworkConfig, Normalization, normalize};
use deeptell_train::{MaskedPicture, MaskedPictures, TrainConfig, TrainError};
use serde::Serialize;

use crate::{EvalError, Observer};

/// One cell of this many is taken from a picture, and others from the next: neighbors in one picture are alike.
const THINNING: usize = 8;
/// The least share of a cell that counts as manipulated when maps are measured.
const MANIPULATED: f64 = 0.5;
/// A mask is off center if the mean place of its cells is farther from the middle than this, in sides of a cell.
const OFF_CENTER: f64 = 1.2;
const Z_95: f64 = 1.96;

/// `file` with a localization layer ([`ModelFile::with_localization`]), fitted to the blends and real faces that a
/// training with `config` shows in its first epoch. The network stays as it is, so scores do, too.
///
/// It is a logistic regression from the features of a cell to the manipulated share of it. Crops are cut as the model's
/// card says, whatever `config` does. It holds the features of `config.sampling.samples_per_epoch` pictures in memory,
/// about 60 KB for each.
///
/// # Errors
/// [`EvalError::Crop`] for settings and pictures that cannot be read, [`EvalError::Metrics`] when nothing can be
/// fitted, [`EvalError::Stopped`], and when the model cannot compute.
pub fn fit_localization(
    file: &ModelFile,
    config: &TrainConfig,
    samples: &[Sample],
    device: &Device,
    observer: &mut dyn Observer,
) -> Result<ModelFile, EvalError> {
    let card = file.card();
    let mut config = config.clone();
    config.crop = card.crop;
    let mut network = NetworkConfig::new(card.architecture, 1).init(device);
    network.load(file.weights())?;
    let network = network.folded();
    let (mut rows, mut labels, mut weights) = (Vec::new(), Vec::new(), Vec::new());
    let mut pictures = 0;
    let shown = MaskedPictures::new(&config, samples, Split::Train)?;
    each_batch(shown, "reading pictures", observer, |batch| {
        let features = cell_features(&network, &card.normalization, batch, device)?;
        for (picture, features) in batch.iter().zip(features) {
            for (cell, (row, share)) in features.into_iter().zip(picture.cell_shares()).enumerate() {
                if !(cell + pictures).is_multiple_of(THINNING) {
                    continue;
                }
                let share = f64::from(share);
                // A part of the cell counts for each class.
                for (label, weight) in [(true, share), (false, 1.0 - share)] {
                    if weight > 0.0 {
                        rows.push(row.clone());
                        labels.push(label);
                        weights.push(weight);
                    }
                }
            }
            pictures += 1;
        }
        Ok(())
    })?;
    let layer = LogisticModel::fit(&rows, &labels, &weights)?;
    let weight: Vec<f32> = layer.coefficients.iter().map(|&value| value as f32).collect();
    Ok(file.clone().with_localization(&weight, layer.intercept as f32)?)
}

/// Calls `work` for each batch that can be read.
fn each_batch<'a>(
    pictures: MaskedPictures<'a>,
    task: &str,
    observer: &mut dyn Observer,
    mut work: impl FnMut(&[MaskedPicture<'a>]) -> Result<(), EvalError>,
) -> Result<(), EvalError> {
    observer.begin(task, pictures.batches(), "batches");
    for batch in pictures {
        if observer.wants_stop() {
            return Err(EvalError::Stopped);
        }
        work(&batch?)?;
        observer.advance(1);
    }
    observer.end();
    Ok(())
}

/// The features of each cell of each picture.
fn cell_features(
    network: &Network,
    normalization: &Normalization,
    batch: &[MaskedPicture],
    device: &Device,
) -> Result<Vec<Vec<Vec<f64>>>, EvalError> {
    let images: Vec<RgbImage> = batch.iter().map(|picture| picture.image.clone()).collect();
    let features = network.features(normalize(&images, normalization, device).map_err(TrainError::from)?);
    let [_, channels, height, width] = features.dims();
    let values = features
        .permute([0, 2, 3, 1])
        .try_into_vec_as::<f32>()
        .map_err(|e| TrainError::Device { reason: e.to_string() })?;
    let of_cell = |cell: &[f32]| cell.iter().copied().map(f64::from).collect();
    Ok(values
        .chunks_exact(channels * height * width)
        .map(|picture| picture.chunks_exact(channels).map(of_cell).collect())
        .collect())
}

/// How well heat maps separate the manipulated cells of blends from the others.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[non_exhaustive]
pub struct LocalizationReport {
    /// Blends that were measured: those with a manipulated cell, at least half of which is blended in.
    pub blends: usize,
    /// How many of them have a mask off the center.
    pub off_center: usize,
    /// Figures of the model's own maps, of class-activation maps, and of the place alone: how often each cell of these
    /// very blends is manipulated.
    pub maps: Vec<LocalizationFigures>,
    /// Mean value of the model's own maps on manipulated cells.
    pub mean_manipulated: f64,
    /// The same on the other cells of the blends.
    pub mean_other: f64,
    /// The same on all cells of the genuine faces.
    pub mean_genuine: f64,
}

/// Figures of one kind of map. All are areas under the ROC curve, 0.5 for a map without information.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[non_exhaustive]
pub struct LocalizationFigures {
    /// What the map is.
    pub name: &'static str,
    /// Of all cells of all blends together.
    pub all: f64,
    /// Its 95% interval, from resampling sources.
    pub all_ci95: [f64; 2],
    /// Mean over the blends of the area within one.
    pub within: f64,
    /// Its 95% interval, by the normal distribution.
    pub within_ci95: [f64; 2],
    /// As `within`, of blends whose mask is off the center; absent if there are none.
    pub within_off_center: Option<f64>,
    /// Mean over places of the area between the blends that are manipulated at that place and those that are not. The
    /// place alone has 0.5. Absent if there are too few blends.
    pub same_place: Option<f64>,
}

/// A blend: its source, the manipulated share of each cell, and the values of each kind of map.
struct Blend {
    source: String,
    manipulated: Vec<bool>,
    maps: Vec<Vec<f64>>,
}

/// Measures heat maps on the blends that `config` makes of the validation samples, without augmentation.
///
/// # Errors
/// As [`fit_localization`].
pub fn measure_localization(
    file: &ModelFile,
    config: &TrainConfig,
    samples: &[Sample],
    device: &Device,
    observer: &mut dyn Observer,
) -> Result<LocalizationReport, EvalError> {
    let mut config = config.clone();
    (config.crop, config.augmentation) = (file.card().crop, Augmentation::none());
    (config.cutout_probability, config.codec.probability) = (0.0, 0.0);
    config.sampling.samples_per_epoch = None;
    config.sampling.dataset_shares.clear();
    let mut plain = file.card().clone();
    plain.heat_maps = HeatMapMethod::ClassActivation;
    let models: [Model; 2] = [file.load(device)?, file.clone().with_card(plain)?.load(device)?];
    let mut blends = Vec::new();
    let (mut on, mut other, mut genuine) = (Mean::default(), Mean::default(), Mean::default());
    each_batch(
        MaskedPictures::new(&config, samples, Split::Validation)?,
        "measuring maps",
        observer,
        |batch| {
            let images: Vec<RgbImage> = batch.iter().map(|picture| picture.image.clone()).collect();
            let [own, activation] = [models[0].heat_maps(&images)?, models[1].heat_maps(&images)?];
            for ((picture, own), activation) in batch.iter().zip(own).zip(activation) {
                let maps =
                    [own, activation].map(|map| map.values.into_iter().map(f64::from).collect::<Vec<_>>());
                if !picture.is_fake {
                    maps[0].iter().for_each(|&value| genuine.add(value));
                    continue;
                }
                let shares = picture.cell_shares();
                let manipulated: Vec<bool> =
                    shares.iter().map(|&share| f64::from(share) >= MANIPULATED).collect();
                if manipulated.contains(&true) && manipulated.contains(&false) {
                    for (&value, &is_manipulated) in maps[0].iter().zip(&manipulated) {
                        if is_manipulated { on.add(value) } else { other.add(value) }
                    }
                    blends.push(Blend {
                        source: picture.sample.source.clone(),
                        manipulated,
                        maps: maps.into(),
                    });
                }
            }
            Ok(())
        },
    )?;
    add_place(&mut blends);
    let off_center: Vec<bool> = blends.iter().map(|blend| is_off_center(&blend.manipulated)).collect();
    let names = ["the model's own", "class activation", "the place alone"];
    let maps = names.into_iter().enumerate().map(|(map, name)| figures(name, map, &blends, &off_center));
    Ok(LocalizationReport {
        blends: blends.len(),
        off_center: off_center.iter().filter(|&&off| off).count(),
        maps: maps.collect::<Result<_, _>>()?,
        mean_manipulated: on.value(),
        mean_other: other.value(),
        mean_genuine: genuine.value(),
    })
}

#[derive(Debug, Default)]
struct Mean {
    sum: f64,
    count: usize,
}

impl Mean {
    fn add(&mut self, value: f64) {
        self.sum += value;
        self.count += 1;
    }

    /// 0 without values.
    fn value(&self) -> f64 {
        self.sum / self.count.max(1) as f64
    }
}

/// Adds the map that knows nothing of a picture: how many of all blends are manipulated in each cell.
fn add_place(blends: &mut [Blend]) {
    let cells = blends.first().map_or(0, |blend| blend.manipulated.len());
    let often: Vec<f64> =
        (0..cells).map(|cell| blends.iter().filter(|blend| blend.manipulated[cell]).count() as f64).collect();
    for blend in blends {
        blend.maps.push(often.clone());
    }
}

/// Whether the mean place of the manipulated cells of a square map lies off the middle.
fn is_off_center(manipulated: &[bool]) -> bool {
    let side = manipulated.len().isqrt().max(1);
    let (mut x, mut y) = (Mean::default(), Mean::default());
    for (cell, _) in manipulated.iter().enumerate().filter(|(_, is_manipulated)| **is_manipulated) {
        x.add((cell % side) as f64);
        y.add((cell / side) as f64);
    }
    let middle = (side - 1) as f64 / 2.0;
    (x.value() - middle).hypot(y.value() - middle) >= OFF_CENTER
}

fn figures(
    name: &'static str,
    map: usize,
    blends: &[Blend],
    off_center: &[bool],
) -> Result<LocalizationFigures, EvalError> {
    let values: Vec<f64> = blends.iter().flat_map(|blend| blend.maps[map].iter().copied()).collect();
    let labels: Vec<bool> = blends.iter().flat_map(|blend| blend.manipulated.iter().copied()).collect();
    let sources: Vec<&str> = blends
        .iter()
        .flat_map(|blend| std::iter::repeat_n(blend.source.as_str(), blend.manipulated.len()))
        .collect();
    let interval = bootstrap_interval(&values, &labels, &sources, roc_auc, &BootstrapConfig::default())?;
    let within: Vec<f64> =
        blends.iter().map(|blend| roc_auc(&blend.maps[map], &blend.manipulated)).collect::<Result<_, _>>()?;
    let count = within.len() as f64;
    let mean = within.iter().sum::<f64>() / count;
    let variance = within.iter().map(|auc| (auc - mean).powi(2)).sum::<f64>() / count;
    let reach = Z_95 * (variance / count).sqrt();
    let mut off = Mean::default();
    for (&auc, _) in within.iter().zip(off_center).filter(|(_, is_off)| **is_off) {
        off.add(auc);
    }
    Ok(LocalizationFigures {
        name,
        all: roc_auc(&values, &labels)?,
        all_ci95: [interval.low, interval.high],
        within: mean,
        within_ci95: [mean - reach, mean + reach],
        within_off_center: (off.count > 0).then(|| off.value()),
        same_place: same_place(map, blends)?,
    })
}

/// [`LocalizationFigures::same_place`]: a place counts by the rarer of its two classes, of which it needs 20 blends.
fn same_place(map: usize, blends: &[Blend]) -> Result<Option<f64>, EvalError> {
    const FEWEST: usize = 20;
    let cells = blends.first().map_or(0, |blend| blend.manipulated.len());
    let (mut sum, mut weight) = (0.0, 0.0);
    for cell in 0..cells {
        let labels: Vec<bool> = blends.iter().map(|blend| blend.manipulated[cell]).collect();
        let manipulated = labels.iter().filter(|&&label| label).count();
        let rarer = manipulated.min(labels.len() - manipulated);
        if rarer < FEWEST {
            continue;
        }
        let values: Vec<f64> = blends.iter().map(|blend| blend.maps[map][cell]).collect();
        sum += roc_auc(&values, &labels)? * rarer as f64;
        weight += rarer as f64;
    }
    Ok((weight > 0.0).then(|| sum / weight))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Blends of 3x3 cells with a manipulated row, the first or the last by turns; one map marks that row, another the
    /// other cells.
    fn blends() -> Vec<Blend> {
        let blend = |i: usize| {
            let row = if i.is_multiple_of(2) { 0 } else { 2 };
            let manipulated: Vec<bool> = (0..9).map(|cell| cell / 3 == row).collect();
            let right = manipulated.iter().map(|&is| f64::from(is) + 1e-3 * i as f64).collect();
            let wrong = manipulated.iter().map(|&is| -f64::from(is)).collect();
            Blend { source: format!("s{i}"), manipulated, maps: vec![right, wrong] }
        };
        let mut blends: Vec<Blend> = (0..60).map(blend).collect();
        add_place(&mut blends);
        blends
    }

    #[test]
    fn map_of_places_alone_scores_one_half_at_the_same_place() {
        let blends = blends();
        let off = vec![false; 60];
        let [right, wrong, place] = [0, 1, 2].map(|map| figures("map", map, &blends, &off).unwrap());
        assert_eq!((right.all, right.within, right.same_place), (1.0, 1.0, Some(1.0)));
        assert_eq!((wrong.all, wrong.within, wrong.same_place), (0.0, 0.0, Some(0.0)));
        // It takes both rows for manipulated: of 3 manipulated cells and 6 others, 3 others tie and 3 are lower.
        assert_eq!((place.all, place.within, place.same_place), (0.75, 0.75, Some(0.5)));
        assert!(place.all_ci95[0] <= 0.75 && 0.75 <= place.all_ci95[1], "{place:?}");
        assert_eq!(right.within_off_center, None);
        let few = figures("map", 0, &blends[..20], &off[..20]).unwrap();
        assert_eq!(few.same_place, None);
    }

    #[test]
    fn masks_at_an_edge_are_off_center() {
        let rows =
            |rows: std::ops::Range<usize>| (0..49).map(|cell| rows.contains(&(cell / 7))).collect::<Vec<_>>();
        assert!(!is_off_center(&rows(0..7)) && !is_off_center(&rows(2..6)));
        assert!(is_off_center(&rows(0..3)) && is_off_center(&rows(5..7)));
    }
}

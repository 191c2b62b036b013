//! A network on a device, ready to score crops.

use std::path::Path;

use burn::tensor::Device;
use deeptell_face::RgbImage;
use deeptell_network::{Dtype, Network, normalize};

use crate::familiarity::Familiarity;
use crate::localization::Localization;
use crate::{Error, HeatMap, ModelCard, ModelError, ModelFile, ModelInfo, View};

/// A trained network on a device, with all that belongs to it, ready to score crops. It comes from a
/// [`ModelFile`].
#[derive(Debug, Clone)]
pub struct Model {
    info: ModelInfo,
    network: Network,
    familiarity: Option<Familiarity>,
    localization: Option<Localization>,
    device: Device,
}

impl Model {
    /// `network` is folded.
    pub(crate) fn new(
        info: ModelInfo,
        network: Network,
        familiarity: Option<Familiarity>,
        localization: Option<Localization>,
        device: &Device,
    ) -> Self {
        Self { info, network, familiarity, localization, device: device.clone() }
    }

    /// Reads a model file and loads it.
    ///
    /// # Errors
    /// As [`ModelFile::read`] and [`ModelFile::load`].
    pub fn load(path: impl AsRef<Path>, device: &Device) -> Result<Self, Error> {
        ModelFile::read(path)?.load(device)
    }

    /// The model that is shipped with deeptell.
    ///
    /// # Errors
    /// As [`ModelFile::shipped`].
    pub fn shipped(device: &Device) -> Result<Self, Error> {
        ModelFile::shipped()?.load(device)
    }

    /// The same model, computing in another number format; probabilities differ slightly.
    ///
    /// # Errors
    /// [`Error::Dtype`] when the model's device cannot.
    pub fn with_dtype(mut self, dtype: Dtype) -> Result<Self, Error> {
        dtype.check(&self.device)?;
        self.network = self.network.with_dtype(dtype);
        self.info.dtype = dtype;
        Ok(self)
    }

    /// The device that it computes on.
    pub(crate) fn device(&self) -> &Device {
        &self.device
    }

    /// The card and the file's SHA-256.
    pub fn info(&self) -> &ModelInfo {
        &self.info
    }

    /// The model card.
    pub fn card(&self) -> &ModelCard {
        &self.info.card
    }

    /// The logit for every crop, in their order: higher is more fake. It is the mean over the card's
    /// [`views`](ModelCard::views); all crops go through the network as one batch per view.
    ///
    /// Crops must be cut as the card's [`FaceCrop`](deeptell_face::FaceCrop) says.
    ///
    /// # Errors
    /// [`Error::Device`] when the crops differ in size or the device fails, [`Error::Model`] when
    /// a logit is not a number.
    pub fn logits(&self, crops: &[RgbImage]) -> Result<Vec<f64>, Error> {
        Ok(self.readings(crops)?.into_iter().map(|reading| reading.logit).collect())
    }

    /// The [logit](Self::logits) of every crop and the features that it is made from, in their order, from
    /// the same pass.
    ///
    /// # Errors
    /// As [`logits`](Self::logits).
    pub fn readings(&self, crops: &[RgbImage]) -> Result<Vec<Reading>, Error> {
        let views = &self.info.card.views;
        let mut readings = vec![Reading { logit: 0.0, features: Vec::new() }; crops.len()];
        for view in views {
            if *view == View::WHOLE {
                self.forward(crops, &mut readings)?;
            } else {
                self.forward(&crops.iter().map(|crop| view.of(crop)).collect::<Vec<_>>(), &mut readings)?;
            }
        }
        for reading in &mut readings {
            reading.logit /= views.len() as f64;
            reading.features.iter_mut().for_each(|feature| *feature /= views.len() as f32);
        }
        Ok(readings)
    }

    /// Adds the network's output for one batch to `sums`.
    fn forward(&self, crops: &[RgbImage], sums: &mut [Reading]) -> Result<(), Error> {
        if crops.is_empty() {
            return Ok(());
        }
        let input = normalize(crops, &self.info.card.normalization, &self.device)
            .map_err(|e| self.device_failed(e))?;
        let features = self.network.embed(input);
        let [_, channels] = features.dims();
        let logits = self.network.classify(features.clone());
        let logits = logits.try_into_vec_as::<f32>().map_err(|e| self.device_failed(e))?;
        let features = features.try_into_vec_as::<f32>().map_err(|e| self.device_failed(e))?;
        for ((sum, logit), features) in sums.iter_mut().zip(logits).zip(features.chunks_exact(channels)) {
            let logit = f64::from(logit);
            if !logit.is_finite() {
                return Err(Error::model(&self.info.card.name, ModelError::Score(logit)));
            }
            sum.logit += logit;
            sum.features.resize(channels, 0.0);
            sum.features.iter_mut().zip(features).for_each(|(sum, feature)| *sum += feature);
        }
        Ok(())
    }

    /// Where in each crop the evidence for manipulation lies, by the card's method
    /// ([`ModelCard::heat_maps`]). The crop is taken whole, whatever the card's views.
    ///
    /// # Errors
    /// As [`logits`](Self::logits).
    pub fn heat_maps(&self, crops: &[RgbImage]) -> Result<Vec<HeatMap>, Error> {
        if crops.is_empty() {
            return Ok(Vec::new());
        }
        let input = normalize(crops, &self.info.card.normalization, &self.device)
            .map_err(|e| self.device_failed(e))?;
        let maps = match &self.localization {
            None => self.network.class_activation(input, 0),
            Some(layer) => layer.map(self.network.features(input)),
        };
        let [_, height, width] = maps.dims();
        let values = maps.try_into_vec_as::<f32>().map_err(|e| self.device_failed(e))?;
        let of_crop =
            |values: &[f32]| HeatMap { width: width as u32, height: height as u32, values: values.to_vec() };
        Ok(values.chunks_exact(width * height).map(of_crop).collect())
    }

    /// How far a crop is from the training data, in the units of
    /// [`OutOfDistribution::limit`](crate::OutOfDistribution::limit); `None` when the model does not
    /// know its training data.
    pub fn distance(&self, reading: &Reading) -> Option<f64> {
        self.familiarity.as_ref()?.distance(&reading.features)
    }

    fn device_failed(&self, source: impl std::error::Error + Send + Sync + 'static) -> Error {
        Error::Device { network: self.info.card.architecture.title(), source: Box::new(source) }
    }

    /// The calibrated probability in `0..=1` that each crop shows a manipulated face.
    ///
    /// # Errors
    /// As [`logits`](Self::logits).
    pub fn probabilities(&self, crops: &[RgbImage]) -> Result<Vec<f64>, Error> {
        let calibration = self.info.card.levels.crop.calibration;
        Ok(self.logits(crops)?.into_iter().map(|logit| calibration.probability(logit)).collect())
    }
}

/// The network's outputs for one crop, each the mean over the card's [`views`](ModelCard::views).
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Reading {
    /// Higher is more fake.
    pub logit: f64,
    /// The pooled features that the logit is made from ([`Network::embed`]).
    pub features: Vec<f32>,
}

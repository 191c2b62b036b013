//! How far a crop is from what a network was trained on.

use deeptell_network::NamedTensor;

use crate::{ModelError, OutOfDistribution};

/// The distribution of the training data's embeddings: see [`OutOfDistribution`].
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Familiarity {
    mean: Vec<f32>,
    /// The diagonal of the inverse covariance.
    precision: Vec<f32>,
    /// Its low-rank part, row by row; may be empty.
    factor: Vec<f32>,
}

impl Familiarity {
    /// Whether a tensor of a model file is one of these.
    pub(crate) fn owns(name: &str) -> bool {
        [OutOfDistribution::MEAN, OutOfDistribution::PRECISION, OutOfDistribution::FACTOR].contains(&name)
    }

    /// From the tensors of a file; an embedding has `channels` numbers.
    pub(crate) fn new(
        model: &OutOfDistribution,
        tensors: &[NamedTensor],
        channels: usize,
    ) -> Result<Self, ModelError> {
        let find = |name: &str, shape: &[usize]| {
            let found = tensors.iter().find(|tensor| tensor.name == name && tensor.shape == shape);
            found.map(|tensor| tensor.values.to_vec()).ok_or(ModelError::OutOfDistribution(
                "a tensor of the model of the training data is missing or has another shape",
            ))
        };
        let mean = find(OutOfDistribution::MEAN, &[channels])?;
        let precision = find(OutOfDistribution::PRECISION, &[channels])?;
        let factor = match model.rank {
            0 => Vec::new(),
            rank => find(OutOfDistribution::FACTOR, &[rank, channels])?,
        };
        Self::of(&mean, &precision, &factor, channels)
    }

    pub(crate) fn of(
        mean: &[f32],
        precision: &[f32],
        factor: &[f32],
        channels: usize,
    ) -> Result<Self, ModelError> {
        if mean.len() != channels
            || precision.len() != channels
            || !factor.len().is_multiple_of(channels)
            || factor.len() / channels > OutOfDistribution::MAX_RANK
        {
            return Err(ModelError::OutOfDistribution(
                "the mean, the precision and the rows of the factor must be as long as an embedding, with at \
                 most 256 rows",
            ));
        }
        if precision.iter().any(|&value| value < 0.0)
            || [mean, precision, factor].into_iter().flatten().any(|value| !value.is_finite())
        {
            return Err(ModelError::OutOfDistribution(
                "a number of it is not finite, or a precision is negative",
            ));
        }
        let [mean, precision, factor] = [mean, precision, factor].map(<[f32]>::to_vec);
        Ok(Self { mean, precision, factor })
    }

    /// Rows of the low-rank part.
    pub(crate) fn rank(&self) -> usize {
        self.factor.len() / self.mean.len().max(1)
    }

    /// As a file stores them.
    pub(crate) fn tensors(&self) -> Vec<NamedTensor> {
        let channels = self.mean.len();
        let tensor = |name: &str, shape: &[usize], values: &[f32]| NamedTensor {
            name: name.to_owned(),
            shape: shape.to_vec(),
            values: values.into(),
        };
        let mut tensors = vec![
            tensor(OutOfDistribution::MEAN, &[channels], &self.mean),
            tensor(OutOfDistribution::PRECISION, &[channels], &self.precision),
        ];
        if !self.factor.is_empty() {
            tensors.push(tensor(OutOfDistribution::FACTOR, &[self.rank(), channels], &self.factor));
        }
        tensors
    }

    /// The distance of an embedding, 0 or more; `None` when it has another length.
    pub(crate) fn distance(&self, embedding: &[f32]) -> Option<f64> {
        if embedding.len() != self.mean.len() {
            return None;
        }
        let offset: Vec<f64> =
            embedding.iter().zip(&self.mean).map(|(x, mean)| f64::from(*x) - f64::from(*mean)).collect();
        let diagonal: f64 =
            offset.iter().zip(&self.precision).map(|(offset, p)| f64::from(*p) * offset * offset).sum();
        let low_rank: f64 = self
            .factor
            .chunks_exact(self.mean.len())
            .map(|row| {
                let along: f64 = row.iter().zip(&offset).map(|(f, offset)| f64::from(*f) * offset).sum();
                along * along
            })
            .sum();
        Some((diagonal + low_rank).sqrt())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distances_match_hand_computation() {
        let diagonal = Familiarity::of(&[1.0, 2.0], &[4.0, 1.0], &[], 2).unwrap();
        // Twice 1 along the first axis, 2 along the second.
        assert_eq!(diagonal.distance(&[2.0, 4.0]), Some(8_f64.sqrt()));
        assert_eq!(diagonal.distance(&[1.0, 2.0]), Some(0.0));
        assert_eq!(diagonal.distance(&[1.0]), None);
        let low_rank = Familiarity::of(&[1.0, 2.0], &[0.0, 0.0], &[3.0, -1.0], 2).unwrap();
        assert_eq!(low_rank.distance(&[2.0, 4.0]), Some(1.0));
        assert_eq!((diagonal.rank(), low_rank.rank()), (0, 1));
    }

    #[test]
    fn a_model_of_the_training_data_survives_its_tensors() {
        let whole = Familiarity::of(&[1.0, 2.0], &[0.5, 0.25], &[3.0, -1.0, 0.0, 1.0], 2).unwrap();
        let model = OutOfDistribution { limit: 1.0, rank: 2 };
        assert_eq!(Familiarity::new(&model, &whole.tensors(), 2).unwrap(), whole);
        assert!(whole.tensors().iter().all(|tensor| Familiarity::owns(&tensor.name)));
        // Another rank, another network.
        assert!(Familiarity::new(&OutOfDistribution { rank: 3, ..model }, &whole.tensors(), 2).is_err());
        assert!(Familiarity::new(&model, &whole.tensors(), 3).is_err());
        assert!(Familiarity::of(&[1.0, 2.0], &[-0.5, 0.25], &[], 2).is_err());
        assert!(Familiarity::of(&[1.0, f32::NAN], &[0.5, 0.25], &[], 2).is_err());
    }
}

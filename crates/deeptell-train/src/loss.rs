use burn::tensor::Tensor;
use burn::tensor::activation::log_sigmoid;

/// Binary cross-entropy of logits, mean over the batch, with fakes weighted by `pos_weight`:
/// `-(w t log s(x) + (1 - t) log s(-x))`, computed without overflow (PyTorch's
/// `BCEWithLogitsLoss`).
///
/// # Shapes
/// - logits: `[N, 1]`, unbounded
/// - targets: `[N, 1]`, `0..=1`, 1 for fake
/// - result: `[1]`
pub fn binary_cross_entropy_with_logits(logits: Tensor<2>, targets: Tensor<2>, pos_weight: f64) -> Tensor<1> {
    let positive = targets.clone() * log_sigmoid(logits.clone()) * pos_weight;
    let negative = (-targets + 1.0) * log_sigmoid(-logits);
    -(positive + negative).mean()
}

/// Binary cross-entropy of maps of logits, mean over the positions of those images whose targets are known; 0
/// when none are.
///
/// # Shapes
/// - logits: `[N, 1, H, W]`, unbounded
/// - targets: `[N, 1, H, W]`, `0..=1`, the manipulated share of each position
/// - known: `[N, 1, 1, 1]`, 1 where the targets of an image are known, else 0
/// - `known_share`: `[1]`, [`known_share`] of these images, or of all of a batch that they are a part of
/// - result: `[1]`
pub(crate) fn localization_loss(
    logits: Tensor<4>,
    targets: Tensor<4>,
    known: Tensor<4>,
    known_share: Tensor<1>,
) -> Tensor<1> {
    let [images, _, height, width] = logits.dims();
    let positive = targets.clone() * log_sigmoid(logits.clone());
    let negative = (-targets + 1.0) * log_sigmoid(-logits);
    let each = (positive + negative) * known.expand([images, 1, height, width]);
    -each.mean() / known_share
}

/// The share of images whose targets are known; above 0 where there are none, so that one can divide by it.
///
/// # Shapes
/// - known: as in [`localization_loss`]
/// - result: `[1]`
pub(crate) fn known_share(known: Tensor<4>) -> Tensor<1> {
    let images = known.dims()[0];
    known.mean().clamp_min(0.5 / images as f64)
}

#[cfg(test)]
mod tests {
    use burn::tensor::Device;

    use super::*;

    fn loss(logits: [[f32; 1]; 2], targets: [[f32; 1]; 2], pos_weight: f64) -> f32 {
        let device = Device::flex();
        let logits = Tensor::<2>::from_floats(logits, &device);
        let targets = Tensor::<2>::from_floats(targets, &device);
        binary_cross_entropy_with_logits(logits, targets, pos_weight).into_scalar::<f32>()
    }

    #[test]
    fn loss_matches_hand_computed_values() {
        // log(1 + e^-x) for x = 2 is 0.126928; for x = -1 it is 1.313262; the means follow.
        let value = loss([[2.0], [1.0]], [[1.0], [0.0]], 1.0);
        assert!((value - 0.720_095).abs() < 1e-5);
        let weighted = loss([[2.0], [1.0]], [[1.0], [0.0]], 3.0);
        assert!((weighted - 0.847_023).abs() < 1e-5);
    }

    #[test]
    fn huge_logits_do_not_overflow() {
        let wrong = loss([[-500.0], [500.0]], [[1.0], [0.0]], 1.0);
        assert!((wrong - 500.0).abs() < 1e-3);
        assert!(loss([[500.0], [-500.0]], [[1.0], [0.0]], 1.0).abs() < 1e-6);
    }

    #[test]
    fn localization_loss_counts_known_images_alone() {
        let device = Device::flex();
        // Two images of two positions; log(1 + e^-2) = 0.126928, log(1 + e^1) = 1.313262.
        let logits = Tensor::<4>::from_floats([[[[2.0, 1.0]]], [[[9.0, -9.0]]]], &device);
        let targets = Tensor::<4>::from_floats([[[[1.0, 0.0]]], [[[0.5, 0.5]]]], &device);
        let loss = |known: [f32; 2]| {
            let known = Tensor::<1>::from_floats(known, &device).reshape([2, 1, 1, 1]);
            let share = known_share(known.clone());
            localization_loss(logits.clone(), targets.clone(), known, share).into_scalar::<f32>()
        };
        assert!((loss([1.0, 0.0]) - 0.720_095).abs() < 1e-5);
        assert!((loss([1.0, 1.0]) - 2.610_109).abs() < 1e-4);
        assert_eq!(loss([0.0, 0.0]), 0.0);
    }
}

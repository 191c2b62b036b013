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
}

//! Heat maps.

use burn::tensor::Tensor;
use burn::tensor::activation::{hard_swish, relu};

use crate::MobileNetV3;
use crate::blocks::pool;
use crate::dtype::multiply;

impl MobileNetV3 {
    /// Where in each image the evidence for a class lies: Grad-CAM (Selvaraju et al. 2017,
    /// equations 1 and 2) at the last feature map.
    ///
    /// The network must not be on an autodiff device, as it is when loaded for inference: the
    /// gradient is taken through the classifier alone, which is all that follows that map.
    ///
    /// # Shapes
    /// - input: `[N, 3, H, W]`
    /// - result: `[N, H/32, W/32]`, rounded up; 0 where there is no evidence for the class, no upper
    ///   bound
    ///
    /// # Panics
    /// When there is no such class, or the input is on an autodiff device.
    pub fn class_activation(&self, input: Tensor<4>, class: usize) -> Tensor<3> {
        assert!(!input.device().is_autodiff(), "class activation is for inference");
        let features = self.features(input);
        let [images, channels, height, width] = features.dims();
        let embedding: Tensor<2> = pool(features.clone()).flatten(1, 3);
        let embedding = embedding.autodiff().require_grad();
        // Without dropout, which an autodiff device switches on. Images do not depend on each other,
        // so the gradient of the sum is that of each.
        let hidden = hard_swish(multiply(&self.hidden, embedding.clone(), self.dtype));
        let logits = multiply(&self.classifier, hidden, self.dtype);
        let gradients = logits.narrow(1, class, 1).sum().backward();
        let Some(gradient) = embedding.grad(&gradients) else {
            return Tensor::zeros([images, height, width], &features.device());
        };
        let weights = gradient.reshape([images, channels, 1, 1]) / (height * width) as f64;
        relu((features * weights).sum_dim(1)).reshape([images, height, width])
    }
}

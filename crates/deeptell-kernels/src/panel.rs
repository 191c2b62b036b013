//! Panels: blocks of sixteen channels, the layout of weights and maps in the two engines that run a whole
//! network in one pass ([`crate::stack`], [`crate::inverted`]).

/// Channels that share a block of weights or of a map; a multiple of every vector's lanes.
pub(crate) const PANEL: usize = 16;

/// The number of panels that hold `channels` channels; the last one may be partly filled.
pub(crate) fn panels_of(channels: usize) -> usize {
    channels.div_ceil(PANEL)
}

/// `values` in whole panels, zeros after the last.
pub(crate) fn padded(values: &[f32]) -> Vec<f32> {
    let mut padded = values.to_vec();
    padded.resize(panels_of(values.len()) * PANEL, 0.0);
    padded
}

/// The weights of a convolution as the caller has them.
#[derive(Debug)]
pub(crate) struct ConvWeights {
    /// `[outputs, inputs / groups, kernel_height, kernel_width]`, row by row.
    pub(crate) weight: Vec<f32>,
    pub(crate) shape: [usize; 4],
    pub(crate) bias: Vec<f32>,
}

impl ConvWeights {
    /// The weights panel by panel: `[panel][place(i)][channel of the panel]`, where `i` is the number of a
    /// weight among those of its output channel. Zeros after the last channel.
    pub(crate) fn packed(&self, place: impl Fn(usize) -> usize) -> Vec<f32> {
        let [outputs, inputs, height, width] = self.shape;
        let len = inputs * height * width;
        let mut packed = vec![0.0; panels_of(outputs) * len * PANEL];
        for (output, weights) in self.weight.chunks_exact(len).enumerate() {
            for (number, weight) in weights.iter().enumerate() {
                packed[(output / PANEL * len + place(number)) * PANEL + output % PANEL] = *weight;
            }
        }
        packed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packed_weights_are_panels_of_neighboring_channels() {
        // Weight 100 o + i: of output channel o, number i of two.
        let weight = (0..18).flat_map(|output| [100.0 * output as f32, 100.0 * output as f32 + 1.0]);
        let conv = ConvWeights { weight: weight.collect(), shape: [18, 1, 1, 2], bias: vec![1.0; 18] };
        let packed = conv.packed(|number| 1 - number);
        assert_eq!(packed.len(), 2 * 2 * PANEL);
        assert_eq!((packed[0], packed[1], packed[PANEL]), (1.0, 101.0, 0.0));
        assert_eq!(packed[2 * PANEL..][..3], [1601.0, 1701.0, 0.0]);
        assert_eq!(padded(&conv.bias).len(), 2 * PANEL);
    }
}

//! A layer: convolution, `PReLU`, max pool.

use crate::panel::{ConvWeights, PANEL, padded, panels_of};

/// One layer as the caller has it.
#[derive(Debug)]
pub(crate) struct LayerSource {
    pub(crate) conv: ConvWeights,
    /// Factor for negative values, one per channel; `None` leaves the values as they are.
    pub(crate) slope: Option<Vec<f32>>,
    /// Side of the maximum's window, which moves by two.
    pub(crate) pool: Option<usize>,
}

/// One layer with its weights in the order the inner loop reads them.
#[derive(Debug)]
pub(super) struct Layer {
    pub(super) inputs: usize,
    pub(super) outputs: usize,
    pub(super) kernel: [usize; 2],
    pub(super) pool: Option<usize>,
    pub(super) panels: usize,
    /// Panel by panel, for each window row, window column and input channel: the weights of the
    /// panel's output channels.
    pub(super) weights: Vec<f32>,
    /// Whole panels, zero after the last channel.
    pub(super) bias: Vec<f32>,
    pub(super) slope: Option<Vec<f32>>,
    /// No slope is negative: then the activation keeps the order of values, and applying it
    /// after the pool gives the same bits for less work.
    rising: bool,
}

/// Floats from one cell to the next in a map of `channels` channels.
///
/// A power of two: the inner loop is compiled for a few of them.
pub(super) fn cell_stride(channels: usize) -> usize {
    panels_of(channels).next_power_of_two() * PANEL
}

impl Layer {
    pub(super) fn new(source: &LayerSource) -> Self {
        let [outputs, inputs, height, width] = source.conv.shape;
        let taps = height * width;
        Self {
            inputs,
            outputs,
            kernel: [height, width],
            pool: source.pool,
            panels: panels_of(outputs),
            weights: source.conv.packed(|at| at % taps * inputs + at / taps),
            bias: padded(&source.conv.bias),
            slope: source.slope.as_deref().map(padded),
            rising: source.slope.as_ref().is_none_or(|slope| slope.iter().all(|slope| *slope >= 0.0)),
        }
    }

    /// Rows and columns before the pool; `None` when the window does not fit.
    pub(super) fn convolved(&self, [height, width]: [usize; 2]) -> Option<[usize; 2]> {
        let side = |cells: usize, kernel: usize| (cells + 1).checked_sub(kernel).filter(|cells| *cells > 0);
        Some([side(height, self.kernel[0])?, side(width, self.kernel[1])?])
    }

    /// Rows and columns after the pool, which rounds up: the last window may reach over the
    /// edge, but does not start beyond it.
    pub(super) fn pooled(&self, convolved: [usize; 2]) -> [usize; 2] {
        match self.pool {
            Some(side) => {
                convolved.map(|cells| (cells.saturating_sub(side).div_ceil(2) + 1).min(cells.div_ceil(2)))
            }
            None => convolved,
        }
    }

    /// Applied where the row of the convolution is written.
    pub(super) fn slope_of_convolution(&self) -> Option<&[f32]> {
        self.slope.as_deref().filter(|_| self.pool.is_none() || !self.rising)
    }

    /// Applied where the row of the pool is written.
    pub(super) fn slope_of_pool(&self) -> Option<&[f32]> {
        self.slope.as_deref().filter(|_| self.pool.is_some() && self.rising)
    }
}

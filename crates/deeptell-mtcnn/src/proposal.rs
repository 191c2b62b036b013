//! The first stage: P-Net over every tile of every pyramid level.

use burn::tensor::{Tensor, TensorData};
use deeptell_image::{Overlap, Rect, RgbImage};

use crate::candidate::{regressed, suppress};
use crate::network::{PNet, answers};
use crate::pyramid::{Level, Tile, pyramid};
use crate::resample::resample_part;
use crate::{Candidate, Mtcnn, MtcnnError, Window};

/// Overlap above which a box falls to a better one of its level, and of its image.
const LEVEL_OVERLAP: f32 = 0.5;
const IMAGE_OVERLAP: f32 = 0.7;

/// Cells whose answers may wait on the device before they are read back (20 MB).
const MAX_PENDING_CELLS: usize = 1 << 20;

/// A cell in which P-Net sees a face.
#[derive(Debug, Clone, Copy)]
struct Proposal {
    bbox: Rect,
    probability: f32,
    regression: [f32; 4],
}

/// P-Net's answers for one tile, still on the device: `[5, cells]`.
struct Pending {
    image: usize,
    level: usize,
    scale: f64,
    tile: Tile,
    answers: Tensor<2>,
}

impl Mtcnn {
    /// The first stage alone: squares that may hold a face, for each image the most probable
    /// first.
    ///
    /// # Errors
    /// [`MtcnnError::Device`] when the device fails.
    pub fn propose(&self, images: &[RgbImage]) -> Result<Vec<Vec<Candidate>>, MtcnnError> {
        let pyramids: Vec<Vec<Level>> = images
            .iter()
            .map(|image| {
                pyramid(image.width(), image.height(), self.config.min_face, self.config.scale_factor)
            })
            .collect();
        let mut proposals: Vec<Vec<Vec<Proposal>>> =
            pyramids.iter().map(|levels| vec![Vec::new(); levels.len()]).collect();
        let (mut pending, mut pending_cells) = (Vec::new(), 0);
        for (index, (image, levels)) in images.iter().zip(&pyramids).enumerate() {
            for (level_index, level) in levels.iter().enumerate() {
                for tile in level.tiles() {
                    pending_cells += tile.cells();
                    let answers = self.answer(image, level, &tile);
                    let (image, level, scale) = (index, level_index, level.scale);
                    pending.push(Pending { image, level, scale, tile, answers });
                    if pending_cells >= MAX_PENDING_CELLS {
                        self.read(std::mem::take(&mut pending), &mut proposals)?;
                        pending_cells = 0;
                    }
                }
            }
        }
        self.read(pending, &mut proposals)?;
        Ok(proposals.into_iter().map(|levels| self.merge(levels)).collect())
    }

    /// P-Net on one tile: `[5, cells]`, the probability and the four corrections.
    fn answer(&self, image: &RgbImage, level: &Level, tile: &Tile) -> Tensor<2> {
        let (rows, columns) = (tile.pixel_rows.clone(), tile.pixel_columns.clone());
        let shape = [1, 3, rows.len(), columns.len()];
        let mut planes = vec![0.0; shape.iter().product()];
        let size = [level.width, level.height];
        resample_part(image, Window::whole(image), size, columns, rows, &mut planes);
        let pixels = Tensor::from_data(TensorData::new(planes, shape), &self.device);
        if let Some(fused) = &self.fused {
            return answers(&fused.pnet, pixels).swap_dims(0, 1);
        }
        let output = self.networks.pnet.forward(pixels);
        Tensor::cat(vec![output.probability, output.regression], 1).reshape([5, tile.cells()])
    }

    /// Brings the answers to the host, all at once, and keeps the cells over the threshold.
    fn read(&self, pending: Vec<Pending>, proposals: &mut [Vec<Vec<Proposal>>]) -> Result<(), MtcnnError> {
        if pending.is_empty() {
            return Ok(());
        }
        let cells: usize = pending.iter().map(|p| p.tile.cells()).sum();
        let (places, answers): (Vec<_>, Vec<_>) =
            pending.into_iter().map(|p| ((p.image, p.level, p.scale, p.tile), p.answers)).unzip();
        let answers = Tensor::cat(answers, 1)
            .try_into_vec_as::<f32>()
            .map_err(|source| MtcnnError::Device { network: "P-Net", source })?;
        let [probabilities, corrections @ ..] = [0, 1, 2, 3, 4].map(|row| &answers[row * cells..][..cells]);
        let mut first = 0;
        for (image, level, scale, tile) in places {
            let found = &mut proposals[image][level];
            for (cell, &probability) in probabilities[first..first + tile.cells()].iter().enumerate() {
                if probability >= self.config.thresholds[0] {
                    let row = tile.cell_rows.start + cell / tile.cell_columns.len();
                    let column = tile.cell_columns.start + cell % tile.cell_columns.len();
                    let regression = corrections.map(|values| values[first + cell]);
                    found.push(Proposal { bbox: cell_box(row, column, scale), probability, regression });
                }
            }
            first += tile.cells();
            // What the limit would drop anyway need not be kept until the level is complete.
            if found.len() > 2 * self.config.limits.level {
                keep_most_probable(found, self.config.limits.level);
            }
        }
        Ok(())
    }

    /// Non-maximum suppression of each level, then of the image; the boxes corrected and squared.
    fn merge(&self, levels: Vec<Vec<Proposal>>) -> Vec<Candidate> {
        let describe = |proposal: &Proposal| (proposal.bbox, proposal.probability);
        let kept: Vec<Proposal> = levels
            .into_iter()
            .flat_map(|mut level| {
                keep_most_probable(&mut level, self.config.limits.level);
                suppress(&level, LEVEL_OVERLAP, Overlap::Union, describe)
            })
            .collect();
        suppress(&kept, IMAGE_OVERLAP, Overlap::Union, describe)
            .into_iter()
            .take(self.config.limits.refinement)
            .map(|Proposal { bbox, probability, regression }| Candidate {
                bbox: regressed(bbox, regression, 0.0).to_square(),
                probability,
            })
            .collect()
    }
}

/// The window of a cell in pixels of the image.
///
/// In f32 on purpose: at a scale of 0.6 every third quotient is a whole number, and there the
/// floor of facenet-pytorch's f32 division differs from the floor of the exact one by a pixel.
/// Cell numbers are exact in f32 up to images of 2^24 pixels a side.
fn cell_box(row: usize, column: usize, scale: f64) -> Rect {
    let edge = |cell: usize, offset: usize| ((PNet::STRIDE * cell + offset) as f32 / scale as f32).floor();
    Rect::new(edge(column, 1), edge(row, 1), edge(column, PNet::WINDOW), edge(row, PNet::WINDOW))
}

/// Drops all but the `limit` most probable; of equals those found first stay.
fn keep_most_probable(proposals: &mut Vec<Proposal>, limit: usize) {
    if proposals.len() > limit {
        proposals.sort_by(|a, b| b.probability.total_cmp(&a.probability));
        proposals.truncate(limit);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cells_lie_where_their_window_looks() {
        // Half scale: cell (2, 3) sees the level's pixels 6..18 by 4..16.
        assert_eq!(cell_box(2, 3, 0.5), Rect::new(14.0, 10.0, 36.0, 32.0));
        assert_eq!(cell_box(0, 0, 0.6), Rect::new(1.0, 1.0, 20.0, 20.0));
    }

    #[test]
    fn the_limit_keeps_the_most_probable() {
        let proposal =
            |probability| Proposal { bbox: Rect::new(0.0, 0.0, 1.0, 1.0), probability, regression: [0.0; 4] };
        let mut proposals: Vec<Proposal> = [0.7, 0.9, 0.6, 0.8].map(proposal).to_vec();
        keep_most_probable(&mut proposals, 4);
        assert_eq!(proposals.len(), 4);
        keep_most_probable(&mut proposals, 2);
        assert_eq!(proposals.iter().map(|p| p.probability).collect::<Vec<_>>(), [0.9, 0.8]);
    }
}

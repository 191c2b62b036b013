//! The first stage: P-Net over every tile of every pyramid level.

use std::borrow::Borrow;

use burn::tensor::Tensor;
use deeptell_face::{Overlap, Rect, RgbImage};
use deeptell_kernels::{ConvStack, sigmoid};
use rayon::prelude::*;

use crate::cascade::candidate::{regressed, suppress};
use crate::cascade::canvas::Canvas;
use crate::cascade::pyramid::{Level, Tile, pyramid};
use crate::cascade::resample::Resampled;
use crate::cascade::{Candidate, Window};
use crate::detector::borrowed;
use crate::network::PNet;
use crate::{Mtcnn, MtcnnError};

/// A cell in which P-Net sees a face.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Proposal {
    bbox: Rect,
    probability: f32,
    regression: [f32; 4],
}

/// A tile of a level of an image.
#[derive(Debug)]
pub(crate) struct LevelTile {
    pub(crate) image: usize,
    level: usize,
    pub(crate) size: [usize; 2],
    scale: f64,
    pub(crate) tile: Tile,
}

impl LevelTile {
    /// The pixels of the tile.
    pub(crate) fn pixels<'a>(&self, images: &[&'a RgbImage]) -> Resampled<'a> {
        let image = images[self.image];
        let (columns, rows) = (self.tile.pixel_columns.clone(), self.tile.pixel_rows.clone());
        Resampled::part(image, Window::whole(image), self.size, columns, rows)
    }

    /// What P-Net says in the cell in `row` and `column` of the tile.
    fn proposal(&self, row: usize, column: usize, probability: f32, regression: [f32; 4]) -> Proposal {
        let (row, column) = (self.tile.cell_rows.start + row, self.tile.cell_columns.start + column);
        Proposal { bbox: cell_box(row, column, self.scale), probability, regression }
    }
}

impl Mtcnn {
    /// As [`Stages::propose`](crate::stages::Stages::propose).
    pub(crate) fn propose(
        &self,
        images: &[impl Borrow<RgbImage>],
    ) -> Result<Vec<Vec<Candidate>>, MtcnnError> {
        let images = borrowed(images);
        let smallest = |image: &&RgbImage| self.config.min_face.in_pixels(image.width(), image.height());
        self.propose_from(&images, &images.iter().map(smallest).collect::<Vec<_>>())
    }

    /// The same with the smallest face of each image in pixels.
    pub(crate) fn propose_from(
        &self,
        images: &[&RgbImage],
        min_faces: &[f32],
    ) -> Result<Vec<Vec<Candidate>>, MtcnnError> {
        let levels = |(image, &min_face): (&&RgbImage, &f32)| {
            pyramid(image.width(), image.height(), min_face, self.config.scale_factor)
        };
        let pyramids: Vec<Vec<Level>> = images.iter().zip(min_faces).map(levels).collect();
        let proposals = self.proposals(images, &pyramids)?;
        Ok(proposals.into_par_iter().map(|levels| self.merge(levels)).collect())
    }

    /// The cells with a face in each of the levels given for each image.
    pub(crate) fn proposals(
        &self,
        images: &[&RgbImage],
        pyramids: &[Vec<Level>],
    ) -> Result<Vec<Vec<Vec<Proposal>>>, MtcnnError> {
        let mut tiles = Vec::new();
        for (image, levels) in pyramids.iter().enumerate() {
            for (level, &Level { scale, width, height }) in levels.iter().enumerate() {
                let tile = |tile| LevelTile { image, level, size: [width, height], scale, tile };
                tiles.extend(levels[level].tiles().map(tile));
            }
        }
        let found = match &self.fused {
            Some(fused) => tiles
                .par_iter()
                .with_max_len(1)
                .map(|tile| self.propose_in_tile(&fused.pnet, images, tile))
                .collect(),
            None => self.propose_on_canvases(images, &tiles)?,
        };
        let mut proposals: Vec<Vec<Vec<Proposal>>> =
            pyramids.iter().map(|levels| vec![Vec::new(); levels.len()]).collect();
        for (tile, mut found) in tiles.iter().zip(found) {
            proposals[tile.image][tile.level].append(&mut found);
        }
        Ok(proposals)
    }

    /// P-Net on one tile, on this thread; neither its pixels nor its answers exist as a whole.
    fn propose_in_tile(&self, pnet: &ConvStack, images: &[&RgbImage], tile: &LevelTile) -> Vec<Proposal> {
        let threshold = self.config.thresholds[0];
        // Most cells are far below the threshold: their logit says so without an exponential.
        let promising = (threshold / (1.0 - threshold)).ln().min(15.0) - 1e-3;
        let mut found = Vec::new();
        let (rows, columns) = (tile.tile.pixel_rows.len(), tile.tile.pixel_columns.len());
        pnet.stream_rows(&tile.pixels(images), rows, columns, |row, cells| {
            for (column, &[logit, regression @ ..]) in cells.as_chunks::<5>().0.iter().enumerate() {
                if logit < promising {
                    continue;
                }
                let probability = sigmoid(logit);
                if probability >= threshold {
                    found.push(tile.proposal(row, column, probability, regression));
                }
            }
        });
        // What the limit of the level would drop anyway need not wait for its other tiles.
        keep_most_probable(&mut found, self.config.limits.level);
        found
    }

    /// P-Net on all tiles at once on a device of its own, read back once.
    fn propose_on_canvases(
        &self,
        images: &[&RgbImage],
        level_tiles: &[LevelTile],
    ) -> Result<Vec<Vec<Proposal>>, MtcnnError> {
        let tiles: Vec<&Tile> = level_tiles.iter().map(|tile| &tile.tile).collect();
        let canvases = Canvas::pack(&tiles);
        let answers = canvases.iter().map(|canvas| {
            let pixels = canvas.paint(|tile| level_tiles[tile].pixels(images), &self.device);
            let output = self.networks.pnet.forward_masked(pixels, canvas.mask(&self.device));
            Tensor::cat(vec![output.probability, output.regression], 1).flatten::<1>(0, 3)
        });
        let answers: Vec<_> = answers.collect();
        if answers.is_empty() {
            return Ok(Vec::new());
        }
        let answers = Tensor::cat(answers, 0)
            .try_into_vec_as::<f32>()
            .map_err(|source| MtcnnError::Device { network: "P-Net", source })?;
        let mut found: Vec<Vec<Proposal>> = level_tiles.iter().map(|_| Vec::new()).collect();
        let mut rest = answers.as_slice();
        for canvas in &canvases {
            let (maps, after) = rest.split_at(5 * canvas.cells());
            rest = after;
            canvas.for_each_cell(maps, |tile, row, column, [probability, regression @ ..]| {
                if probability >= self.config.thresholds[0] {
                    found[tile].push(level_tiles[tile].proposal(row, column, probability, regression));
                }
            });
        }
        for found in &mut found {
            keep_most_probable(found, self.config.limits.level);
        }
        Ok(found)
    }

    /// Non-maximum suppression of each level, then of the image; the boxes corrected and squared.
    pub(crate) fn merge(&self, levels: Vec<Vec<Proposal>>) -> Vec<Candidate> {
        let describe = |proposal: &Proposal| (proposal.bbox, proposal.probability);
        let kept: Vec<Proposal> = levels
            .into_iter()
            .flat_map(|mut level| {
                keep_most_probable(&mut level, self.config.limits.level);
                suppress(&level, self.config.overlaps.level, Overlap::Union, describe)
            })
            .collect();
        suppress(&kept, self.config.overlaps.pyramid, Overlap::Union, describe)
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
    fn proposals_have_boxes_of_their_windows() {
        // Half scale: cell (2, 3) sees the level's pixels 6..18 by 4..16.
        assert_eq!(cell_box(2, 3, 0.5), Rect::new(14.0, 10.0, 36.0, 32.0));
        assert_eq!(cell_box(0, 0, 0.6), Rect::new(1.0, 1.0, 20.0, 20.0));
    }

    #[test]
    fn candidate_limit_keeps_the_most_probable() {
        let proposal =
            |probability| Proposal { bbox: Rect::new(0.0, 0.0, 1.0, 1.0), probability, regression: [0.0; 4] };
        let mut proposals: Vec<Proposal> = [0.7, 0.9, 0.6, 0.8].map(proposal).to_vec();
        keep_most_probable(&mut proposals, 4);
        assert_eq!(proposals.len(), 4);
        keep_most_probable(&mut proposals, 2);
        assert_eq!(proposals.iter().map(|p| p.probability).collect::<Vec<_>>(), [0.9, 0.8]);
    }
}

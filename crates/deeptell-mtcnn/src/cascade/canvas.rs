//! All tiles of a pyramid side by side on one canvas, for devices where each launch costs more
//! than the arithmetic of a small level.
//!
//! P-Net's answer in a cell depends on the pixels of the cell's window only, with one exception:
//! its first pool rounds up, and at the right and bottom edge of a level of odd size it takes the
//! maximum of what is there. On a canvas the neighbor would be there. So everything between the
//! first convolutions of the tiles is masked before the pool, and the answers are those of the
//! tiles alone. Tiles begin at even pixels, where a window of the pool begins.

use burn::tensor::{Bool, Device, Tensor, TensorData};
use deeptell_kernels::RowSource as _;
use rayon::prelude::*;

use crate::cascade::pyramid::Tile;
use crate::cascade::resample::Resampled;
use crate::network::PNet;

/// Pixels of the largest canvas: 48 MB as the network gets them, and some 700 MB of activations.
const MAX_PIXELS: usize = 1 << 22;

/// P-Net's first convolution takes a pixel on each side.
const BEFORE_POOL: usize = 2;

/// A canvas and what lies on it.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Canvas {
    width: usize,
    height: usize,
    tiles: Vec<Placed>,
}

/// A tile on a canvas.
#[derive(Debug, PartialEq, Eq)]
struct Placed {
    /// Index of the tile.
    tile: usize,
    /// First column and row on the canvas, both even.
    x: usize,
    y: usize,
    /// Columns and rows of pixels.
    width: usize,
    height: usize,
}

impl Canvas {
    /// Places `tiles` from left to right on shelves as wide as the widest, each as high as its
    /// first tile; when a canvas is full the next one begins.
    pub(crate) fn pack(tiles: &[&Tile]) -> Vec<Self> {
        let even = |pixels: usize| pixels.next_multiple_of(2);
        let width = tiles.iter().map(|tile| even(tile.pixel_columns.len())).max().unwrap_or(0);
        // The highest first, so that little of a shelf is left over.
        let mut order: Vec<usize> = (0..tiles.len()).collect();
        order.sort_by_key(|&tile| std::cmp::Reverse(tiles[tile].pixel_rows.len()));
        let mut canvases: Vec<Self> = Vec::new();
        let (mut x, mut y) = (0, 0);
        for tile in order {
            let (columns, rows) = (tiles[tile].pixel_columns.len(), tiles[tile].pixel_rows.len());
            let fits = x + columns <= width;
            if !fits {
                (x, y) = (0, canvases.last().map_or(0, |canvas| even(canvas.height)));
            }
            let is_full = |canvas: &Self| x == 0 && (y + rows) * width > MAX_PIXELS && canvas.height > 0;
            if canvases.last().is_none_or(is_full) {
                canvases.push(Self { width, height: 0, tiles: Vec::new() });
                (x, y) = (0, 0);
            }
            if let Some(canvas) = canvases.last_mut() {
                canvas.tiles.push(Placed { tile, x, y, width: columns, height: rows });
                canvas.height = canvas.height.max(y + rows);
            }
            x += even(columns);
        }
        canvases
    }

    /// The network's input: `[1, 3, height, width]`, zero between the tiles.
    pub(crate) fn paint<'a>(
        &self,
        pixels_of: impl Fn(usize) -> Resampled<'a> + Sync,
        device: &Device,
    ) -> Tensor<4> {
        let painted: Vec<Vec<f32>> = self
            .tiles
            .par_iter()
            .map(|placed| {
                let pixels = pixels_of(placed.tile);
                let mut rows = vec![0.0; 3 * placed.width * placed.height];
                for (row, target) in rows.chunks_exact_mut(3 * placed.width).enumerate() {
                    pixels.write_row(row, target);
                }
                rows
            })
            .collect();
        let mut canvas = vec![0.0; 3 * self.width * self.height];
        for (placed, pixels) in self.tiles.iter().zip(&painted) {
            for (row, pixels) in pixels.chunks_exact(3 * placed.width).enumerate() {
                let start = 3 * ((placed.y + row) * self.width + placed.x);
                canvas[start..start + pixels.len()].copy_from_slice(pixels);
            }
        }
        let shape = [1, self.height, self.width, 3];
        Tensor::<4>::from_data(TensorData::new(canvas, shape), device).permute([0, 3, 1, 2])
    }

    /// Where a value before the pool belongs to no tile: `[1, 1, height - 2, width - 2]`.
    pub(crate) fn mask(&self, device: &Device) -> Tensor<4, Bool> {
        let (width, height) = (self.width - BEFORE_POOL, self.height - BEFORE_POOL);
        let mut outside = vec![true; width * height];
        for placed in &self.tiles {
            for row in placed.y..placed.y + placed.height - BEFORE_POOL {
                outside[row * width + placed.x..][..placed.width - BEFORE_POOL].fill(false);
            }
        }
        Tensor::from_data(TensorData::new(outside, [1, 1, height, width]), device)
    }

    /// Cells of the canvas.
    pub(crate) fn cells(&self) -> usize {
        PNet::cells(self.width) * PNet::cells(self.height)
    }

    /// Calls `visit` with a tile, a row and a column in it and the values there, for every cell of
    /// every tile. `maps` are `[values, rows, columns]` for the whole canvas.
    pub(crate) fn for_each_cell(&self, maps: &[f32], mut visit: impl FnMut(usize, usize, usize, [f32; 5])) {
        let (cells, columns) = (self.cells(), PNet::cells(self.width));
        for placed in &self.tiles {
            for row in 0..PNet::cells(placed.height) {
                let start = (placed.y / PNet::STRIDE + row) * columns + placed.x / PNet::STRIDE;
                for column in 0..PNet::cells(placed.width) {
                    let values = [0, 1, 2, 3, 4].map(|map| maps[map * cells + start + column]);
                    visit(placed.tile, row, column, values);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use deeptell_face::RgbImage;

    use super::*;
    use crate::MtcnnConfig;
    use crate::cascade::pyramid::{Level, pyramid};
    use crate::cascade::{Window, resample};
    use crate::network::Networks;

    fn texture(width: u32, height: u32) -> RgbImage {
        RgbImage::from_fn(width, height, |x, y| {
            image::Rgb([(7 * x + 13 * y) as u8, (x * y) as u8, (x * x / 9 + 3 * y) as u8])
        })
    }

    #[test]
    fn canvas_tiles_are_even_and_disjoint() {
        let tiles: Vec<Tile> = [(640, 360, 20.0), (333, 517, 31.0), (4000, 3000, 20.0)]
            .into_iter()
            .flat_map(|(width, height, min_face)| pyramid(width, height, min_face, 0.709))
            .flat_map(|level| level.tiles())
            .collect();
        let canvases = Canvas::pack(&tiles.iter().collect::<Vec<_>>());
        assert!(canvases.len() > 1, "the large image needs more than one canvas");
        let mut seen = vec![0; tiles.len()];
        for canvas in &canvases {
            assert!(canvas.width * canvas.height <= MAX_PIXELS);
            let mut taken = vec![false; canvas.width * canvas.height];
            for placed in &canvas.tiles {
                seen[placed.tile] += 1;
                assert!(placed.x % 2 == 0 && placed.y % 2 == 0);
                for row in placed.y..placed.y + placed.height {
                    for pixel in &mut taken[row * canvas.width + placed.x..][..placed.width] {
                        assert!(!std::mem::replace(pixel, true), "two tiles share a pixel");
                    }
                }
            }
        }
        assert!(seen.iter().all(|&times| times == 1));
    }

    #[test]
    fn canvas_gives_same_outputs_as_single_levels() {
        let device = Device::flex();
        let networks = MtcnnConfig::default().init(&device).unwrap().networks.clone();
        let Networks { pnet, .. } = networks;
        // Odd and even sizes, and levels too small for more than a cell.
        for (width, height) in [(149, 97), (120, 121), (21, 64)] {
            let image = texture(width, height);
            let levels = pyramid(width, height, 20.0, 0.709);
            let tiles: Vec<Tile> = levels.iter().flat_map(Level::tiles).collect();
            let canvases = Canvas::pack(&tiles.iter().collect::<Vec<_>>());
            let [canvas] = canvases.as_slice() else { panic!("one canvas is enough") };
            let pixels_of = |tile: usize| {
                Resampled::whole(&image, Window::whole(&image), [levels[tile].width, levels[tile].height])
            };
            let output = pnet.forward_masked(canvas.paint(pixels_of, &device), canvas.mask(&device));
            let maps = Tensor::cat(vec![output.probability, output.regression], 1);
            let maps: Vec<f32> = maps.into_data().try_into_vec().unwrap();
            let mut cells = vec![Vec::new(); tiles.len()];
            canvas.for_each_cell(&maps, |tile, _, _, values| cells[tile].push(values));
            for (level, cells) in levels.iter().zip(&cells) {
                let planes = resample(&image, Window::whole(&image), level.width, level.height);
                let shape = [1, 3, level.height, level.width];
                let output = pnet.forward(Tensor::from_data(TensorData::new(planes, shape), &device));
                let alone = Tensor::cat(vec![output.probability, output.regression], 1);
                let alone: Vec<f32> = alone.into_data().try_into_vec().unwrap();
                assert_eq!(alone.len(), 5 * cells.len(), "cells of {level:?}");
                for (i, values) in cells.iter().enumerate() {
                    for (map, value) in values.iter().enumerate() {
                        let expected = alone[map * cells.len() + i];
                        assert!((value - expected).abs() < 1e-6, "{level:?}: {value} instead of {expected}");
                    }
                }
            }
        }
    }
}

//! The image pyramid that lets a network with a fixed window find faces of every size, and
//! the tiles that keep its memory bounded.

use std::ops::Range;

use crate::network::PNet;

/// One size of the image P-Net looks at.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Level {
    /// Pixels of the level for one pixel of the image.
    pub scale: f64,
    /// Columns of the level.
    pub width: usize,
    /// Rows of the level.
    pub height: usize,
}

/// The levels of an image of `width x height` pixels, the finest first.
///
/// In the first level a face of `min_face` pixels fills P-Net's window; each further one is
/// `scale_factor` times as large, down to the last whose shorter side still holds a window.
/// An image whose shorter side is below `min_face` has none.
pub fn pyramid(width: u32, height: u32, min_face: f32, scale_factor: f64) -> Vec<Level> {
    let window = PNet::WINDOW as f64;
    let mut scale = window / f64::from(min_face);
    let mut shorter_side = f64::from(width.min(height)) * scale;
    let mut levels = Vec::new();
    while shorter_side >= window {
        let side = |pixels: u32| (f64::from(pixels) * scale + 1.0) as usize;
        levels.push(Level { scale, width: side(width), height: side(height) });
        scale *= scale_factor;
        shorter_side *= scale_factor;
    }
    levels
}

/// A rectangle of P-Net's answers and the pixels of the level they need.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Tile {
    pub(crate) cell_rows: Range<usize>,
    pub(crate) cell_columns: Range<usize>,
    pub(crate) pixel_rows: Range<usize>,
    pub(crate) pixel_columns: Range<usize>,
}

impl Tile {
    /// Bounds the activations of one forward pass to some 15 MB.
    const MAX_ROWS: usize = 64;
    const MAX_COLUMNS: usize = 512;
}

impl Level {
    /// Tiles that cover every cell of this level once, row by row.
    pub(crate) fn tiles(&self) -> impl Iterator<Item = Tile> + use<> {
        let (width, height) = (self.width, self.height);
        split(PNet::cells(height), Tile::MAX_ROWS).flat_map(move |cell_rows| {
            split(PNet::cells(width), Tile::MAX_COLUMNS).map(move |cell_columns| Tile {
                pixel_rows: pixels(&cell_rows, height),
                pixel_columns: pixels(&cell_columns, width),
                cell_rows: cell_rows.clone(),
                cell_columns,
            })
        })
    }
}

/// `0..count` in runs of at most `most`.
fn split(count: usize, most: usize) -> impl Iterator<Item = Range<usize>> {
    (0..count).step_by(most).map(move |start| start..count.min(start + most))
}

/// The pixels that `cells` see along a side of `side` pixels. The last cell may see one less
/// than a window, where P-Net's ceil-mode pool runs over the edge.
fn pixels(cells: &Range<usize>, side: usize) -> Range<usize> {
    PNet::STRIDE * cells.start..side.min(PNet::STRIDE * (cells.end - 1) + PNet::WINDOW)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn pyramid_of_360p_frame_has_known_levels() {
        let levels = pyramid(640, 360, 20.0, 0.709);
        assert_eq!(levels.len(), 9);
        assert_eq!((levels[0].width, levels[0].height), (385, 217));
        assert_eq!((levels[8].width, levels[8].height), (25, 14));
        assert_eq!(levels[1].scale, 12.0 / 20.0 * 0.709);
    }

    #[test]
    fn pyramid_is_empty_for_images_below_smallest_face() {
        assert_eq!(pyramid(0, 0, 20.0, 0.709), []);
        assert_eq!(pyramid(1, 1, 20.0, 0.709), []);
        assert_eq!(pyramid(11, 4000, 20.0, 0.709), []);
        assert_eq!(pyramid(4000, 19, 20.0, 0.709), []);
        assert_eq!(pyramid(20, 20, 20.0, 0.709).len(), 1);
    }

    proptest! {
        #[test]
        fn tiles_cover_each_cell_once_with_the_pixels_it_needs(width in 12usize..3000, height in 12usize..700) {
            let level = Level { scale: 1.0, width, height };
            let (columns, rows) = (PNet::cells(width), PNet::cells(height));
            let mut seen = vec![0u8; columns * rows];
            for tile in level.tiles() {
                // What P-Net makes of the tile alone is exactly the tile.
                prop_assert_eq!(PNet::cells(tile.pixel_rows.len()), tile.cell_rows.len());
                prop_assert_eq!(PNet::cells(tile.pixel_columns.len()), tile.cell_columns.len());
                prop_assert!(tile.pixel_rows.end <= height && tile.pixel_columns.end <= width);
                prop_assert!(tile.cell_rows.len() <= Tile::MAX_ROWS && tile.cell_columns.len() <= Tile::MAX_COLUMNS);
                for row in tile.cell_rows.clone() {
                    for column in tile.cell_columns.clone() {
                        seen[row * columns + column] += 1;
                    }
                }
            }
            prop_assert!(seen.iter().all(|&times| times == 1));
        }
    }
}

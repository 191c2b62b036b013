//! Low-resolution color descriptor of a face and its surroundings.

use crate::{CropError, FaceCrop, Rect, RgbImage};

/// Cells along each side.
const SIDE: usize = 8;
/// Values of a grid.
pub(crate) const VALUES: usize = SIDE * SIDE * CHANNELS;
const CHANNELS: usize = 3;
/// Pixels that are averaged along each side of a cell.
const PIXELS: usize = 4;
/// Side of the picture over the longer side of the face box: with hair and shoulders.
const SCALE: f32 = 2.4;
/// The same for the head alone.
const HEAD_SCALE: f32 = 1.3;

/// A picture of 8 x 8 colored cells, 2.4 times the size of a face's box: hair, clothes and
/// background, and where they are.
///
/// It tells people of one film apart far better than it would tell them apart in real life: what
/// somebody wears and sits before stays the same from shot to shot. It says nothing about who
/// somebody is, and cannot find the same person in another film.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ColorGrid {
    cells: [u8; VALUES],
}

impl ColorGrid {
    /// The grid about the face in `bbox`, in pixels of `image`.
    ///
    /// # Errors
    /// [`CropError`] when the box does not touch the image.
    pub fn of(image: &RgbImage, bbox: Rect) -> Result<Self, CropError> {
        Self::around(image, bbox, SCALE)
    }

    /// The grid about the face in `bbox` and its hair alone, 1.3 times the size of the box.
    ///
    /// # Errors
    /// As [`of`](Self::of).
    pub fn of_head(image: &RgbImage, bbox: Rect) -> Result<Self, CropError> {
        Self::around(image, bbox, HEAD_SCALE)
    }

    fn around(image: &RgbImage, bbox: Rect, scale: f32) -> Result<Self, CropError> {
        let picture = FaceCrop { size: (SIDE * PIXELS) as u32, scale, align: false };
        let picture = picture.cut(image, bbox, None)?;
        let mut sums = [0_u32; VALUES];
        for (y, row) in picture.as_raw().chunks_exact(SIDE * PIXELS * CHANNELS).enumerate() {
            for (x, pixel) in row.as_chunks::<CHANNELS>().0.iter().enumerate() {
                let cell = (y / PIXELS * SIDE + x / PIXELS) * CHANNELS;
                for (sum, value) in sums[cell..].iter_mut().zip(pixel) {
                    *sum += u32::from(*value);
                }
            }
        }
        let pixels = (PIXELS * PIXELS) as u32;
        Ok(Self { cells: sums.map(|sum| ((sum + pixels / 2) / pixels) as u8) })
    }

    /// The levels of the cells, in `0..=255`.
    pub(crate) fn levels(&self) -> [f32; VALUES] {
        self.cells.map(f32::from)
    }

    /// How alike the two are whatever the brightness, in `-1..=1`: the correlation of the cells,
    /// each color about its mean. 1 when both are one even color, 0 when only one of them is.
    pub fn correlation(&self, other: &Self) -> f32 {
        correlation(&self.levels(), &other.levels())
    }

    /// How far apart the two are, in levels of `0..=255`: the root of the mean square.
    pub fn distance(&self, other: &Self) -> f32 {
        distance(&self.levels(), &other.levels())
    }
}

/// [`ColorGrid::correlation`] of levels.
pub(crate) fn correlation(one: &[f32; VALUES], other: &[f32; VALUES]) -> f32 {
    let (one, other) = (centered(one), centered(other));
    let dot = |a: &[f32; VALUES], b: &[f32; VALUES]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f32>();
    let (length, other_length) = (dot(&one, &one).sqrt(), dot(&other, &other).sqrt());
    // Less than half a level in all: nothing but rounding.
    match (length < 0.5, other_length < 0.5) {
        (true, true) => 1.0,
        (false, false) => dot(&one, &other) / (length * other_length),
        _ => 0.0,
    }
}

/// [`ColorGrid::distance`] of levels.
pub(crate) fn distance(one: &[f32; VALUES], other: &[f32; VALUES]) -> f32 {
    let squares = one.iter().zip(other).map(|(a, b)| (a - b) * (a - b)).sum::<f32>();
    (squares / VALUES as f32).sqrt()
}

/// Each color less its mean.
fn centered(levels: &[f32; VALUES]) -> [f32; VALUES] {
    let mut means = [0.0_f32; CHANNELS];
    for (i, level) in levels.iter().enumerate() {
        means[i % CHANNELS] += level / (SIDE * SIDE) as f32;
    }
    let mut centered = *levels;
    centered.iter_mut().enumerate().for_each(|(i, level)| *level -= means[i % CHANNELS]);
    centered
}

#[cfg(test)]
impl ColorGrid {
    /// A grid with these levels.
    pub(crate) fn from_levels(level: impl Fn(usize) -> u8) -> Self {
        Self { cells: std::array::from_fn(level) }
    }
}

#[cfg(test)]
mod tests {
    use image::Rgb;

    use super::*;

    #[test]
    fn a_cell_is_its_mean_color() {
        // Twice 8 cells of 6 pixels about a box of 20: the picture has 48 pixels a side.
        let checks = RgbImage::from_fn(48, 48, |x, y| {
            if (x / 6 + y / 6) % 2 == 0 { Rgb([200, 10, 90]) } else { Rgb([0; 3]) }
        });
        let colors = ColorGrid::of(&checks, Rect::new(14.0, 14.0, 34.0, 34.0)).unwrap();
        let [first, second] = [0, 1].map(|cell| &colors.cells[CHANNELS * cell..][..CHANNELS]);
        assert!(first[0] > 190 && first[1] >= 9 && first[2] > 84, "{first:?}");
        assert!(second.iter().all(|level| *level < 10), "{second:?}");
        let nowhere = Rect::new(100.0, 100.0, 120.0, 120.0);
        assert!(ColorGrid::of(&checks, nowhere).is_err());
    }

    #[test]
    fn correlation_and_distance_match_hand_computation() {
        let ramp = ColorGrid::from_levels(|i| (i / 2) as u8);
        let brighter = ColorGrid::from_levels(|i| (i / 2) as u8 + 20);
        let reversed = ColorGrid::from_levels(|i| 100 - (i / 2) as u8);
        let flat = ColorGrid::from_levels(|_| 90);
        assert!((ramp.correlation(&brighter) - 1.0).abs() < 1e-5, "brightness alone changes nothing");
        assert!((ramp.correlation(&reversed) + 1.0).abs() < 1e-2);
        assert_eq!((flat.correlation(&flat), flat.correlation(&ramp)), (1.0, 0.0));
        assert_eq!(ramp.distance(&brighter), 20.0);
    }
}

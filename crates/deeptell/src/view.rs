//! Views of a crop, for test-time augmentation.

use deeptell_face::RgbImage;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A variant of a face crop. The average over several views varies less: evidence that appears in one framing or one
/// orientation only is seldom a trace of manipulation.
///
/// Averaging over mirrored and shifted framings is the usual test-time augmentation (Krizhevsky
/// et al. 2012, section 4.1).
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
#[non_exhaustive]
pub struct View {
    /// Magnification about the center, in `1..=4`: 1 shows the whole crop, 2 its inner half.
    pub zoom: f32,
    /// Flipped horizontally.
    pub mirrored: bool,
}

impl View {
    /// The crop as it is.
    pub const WHOLE: Self = Self { zoom: 1.0, mirrored: false };

    /// The crop magnified about its center; `zoom` in `1..=4`.
    pub const fn zoomed(zoom: f32) -> Self {
        Self { zoom, ..Self::WHOLE }
    }

    /// The same view mirrored.
    #[must_use]
    pub const fn mirrored(self) -> Self {
        Self { mirrored: !self.mirrored, ..self }
    }

    /// The crop as it is, closer, and closer still, each also mirrored: six times the work of one view.
    pub fn six() -> Vec<Self> {
        [1.0, 1.12, 1.25]
            .into_iter()
            .flat_map(|zoom| [false, true].map(|mirrored| Self { zoom, mirrored }))
            .collect()
    }

    /// The crop as it is, and mirrored.
    pub fn two() -> Vec<Self> {
        vec![Self::WHOLE, Self { mirrored: true, ..Self::WHOLE }]
    }

    /// Whether [`zoom`](Self::zoom) is in its range.
    pub(crate) fn is_possible(self) -> bool {
        (1.0..=4.0).contains(&self.zoom)
    }

    /// What the network sees of `crop`; of the same size.
    ///
    /// # Panics
    /// When the crop has no pixel.
    pub fn of(self, crop: &RgbImage) -> RgbImage {
        assert!(crop.width() > 0 && crop.height() > 0, "a crop without pixels shows nothing");
        let columns = Resampling::new(crop.width(), self.zoom, self.mirrored);
        let rows = Resampling::new(crop.height(), self.zoom, false);
        let stride = 3 * crop.width() as usize;
        let mut seen = RgbImage::new(crop.width(), crop.height());
        // Rows first: many values at once.
        let mut line = vec![0.0_f32; stride];
        for (row, out) in rows.pixels.iter().zip(seen.chunks_exact_mut(stride)) {
            let [upper, lower] = [row.first, row.second].map(|y| &crop.as_raw()[y * stride..][..stride]);
            for ((value, upper), lower) in line.iter_mut().zip(upper).zip(lower) {
                *value = f32::from(*upper) + row.share * (f32::from(*lower) - f32::from(*upper));
            }
            let cells = line.as_chunks::<3>().0;
            for (column, out) in columns.pixels.iter().zip(out.as_chunks_mut::<3>().0) {
                let (left, right) = (cells[column.first], cells[column.second]);
                for channel in 0..3 {
                    let value = left[channel] + column.share * (right[channel] - left[channel]);
                    out[channel] = (value + 0.5) as u8;
                }
            }
        }
        seen
    }
}

/// Where the pixels along one axis of a view come from.
struct Resampling {
    pixels: Vec<Interpolation>,
}

/// Between two neighboring pixels of the crop.
struct Interpolation {
    first: usize,
    second: usize,
    /// Of the second one, in `0..1`.
    share: f32,
}

impl Resampling {
    /// `length` pixels, magnified `zoom` times about their middle (bilinear).
    fn new(length: u32, zoom: f32, reversed: bool) -> Self {
        let middle = 0.5 * length as f32;
        let last = length as usize - 1;
        let pixel = |pixel: u32| {
            let at = (middle + (pixel as f32 + 0.5 - middle) / zoom - 0.5).clamp(0.0, last as f32);
            let first = at as usize;
            Interpolation { first, second: (first + 1).min(last), share: at - first as f32 }
        };
        let mut pixels: Vec<Interpolation> = (0..length).map(pixel).collect();
        if reversed {
            pixels.reverse();
        }
        Self { pixels }
    }
}

#[cfg(test)]
mod tests {
    use deeptell_face::{Point, Similarity, warp};
    use image::Rgb;

    use super::*;

    /// A crop whose red channel is the column and whose green channel is the row.
    fn ramp() -> RgbImage {
        RgbImage::from_fn(64, 64, |x, y| Rgb([x as u8, y as u8, 0]))
    }

    #[test]
    fn the_whole_view_changes_nothing_and_mirroring_twice_neither() {
        let crop = ramp();
        assert_eq!(View::WHOLE.of(&crop), crop);
        let mirror = View { mirrored: true, ..View::WHOLE };
        assert_eq!(mirror.of(&crop).get_pixel(0, 5), &Rgb([63, 5, 0]));
        assert_eq!(mirror.of(&mirror.of(&crop)), crop);
    }

    #[test]
    fn a_closer_view_shows_the_middle() {
        let seen = View { zoom: 2.0, mirrored: false }.of(&ramp());
        // The first pixel's center, 0.5, lies at 16.25 of the crop: between columns 15 and 16 at 15.75.
        assert_eq!(seen.get_pixel(0, 0), &Rgb([16, 16, 0]));
        assert_eq!(seen.get_pixel(63, 0), &Rgb([47, 16, 0]));
        assert_eq!(seen.dimensions(), (64, 64));
    }

    #[test]
    fn a_closer_view_is_what_the_general_resampling_gives() {
        let crop = RgbImage::from_fn(61, 47, |x, y| Rgb([(x * 71 + y * 131) as u8, (x * y) as u8, 7]));
        let center = Point::new(30.5, 23.5);
        let expected = warp(&crop, &Similarity::about(center, center, 1.12f32.recip(), 0.0), 61, 47);
        let seen = View { zoom: 1.12, mirrored: false }.of(&crop);
        assert!(seen.iter().zip(expected.iter()).all(|(a, b)| a.abs_diff(*b) <= 1));
        let mirrored = View { zoom: 1.12, mirrored: true }.of(&crop);
        assert_eq!(mirrored, image::imageops::flip_horizontal(&seen));
    }

    #[test]
    fn sets_of_views_begin_with_the_whole_crop_and_are_all_possible() {
        for (views, count) in [(View::two(), 2), (View::six(), 6)] {
            assert_eq!(views.len(), count);
            assert_eq!(views[0], View::WHOLE);
            assert!(views.iter().all(|view| view.is_possible()));
        }
        assert!(!View { zoom: f32::NAN, mirrored: false }.is_possible());
        assert!(!View { zoom: 0.5, mirrored: false }.is_possible());
    }
}

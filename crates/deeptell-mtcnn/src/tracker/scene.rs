//! Telling the first frame of another scene.

use deeptell_face::RgbImage;

/// Points of brightness a frame is compared by, across and down.
const COLUMNS: u32 = 32;
const ROWS: u32 = 24;

/// The brightness of a frame on a coarse grid, in `0..=255`.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Thumbnail {
    size: (u32, u32),
    brightness: Vec<f32>,
}

impl Thumbnail {
    /// Each point is the mean of the four by four pixels, evenly spread over its field, that
    /// stand for it: some thousand pixels a frame, whatever its size.
    pub(super) fn of(frame: &RgbImage) -> Self {
        let (width, height) = frame.dimensions();
        let mut brightness = Vec::new();
        if width > 0 && height > 0 {
            let place = |index: u32, count: u32, side: u32| {
                (u64::from(2 * index + 1) * u64::from(side) / u64::from(2 * count)) as u32
            };
            for row in 0..ROWS {
                for column in 0..COLUMNS {
                    let mut total = 0;
                    for y in 0..4 {
                        for x in 0..4 {
                            let x = place(4 * column + x, 4 * COLUMNS, width);
                            let y = place(4 * row + y, 4 * ROWS, height);
                            let [r, g, b] = frame.get_pixel(x, y).0.map(u32::from);
                            // Rec. 601 luma in 256ths.
                            total += 77 * r + 150 * g + 29 * b;
                        }
                    }
                    brightness.push(total as f32 / (16.0 * 256.0));
                }
            }
        }
        Self { size: (width, height), brightness }
    }

    /// Mean change of brightness, in `0..=1`; 1 where the sizes differ.
    pub(super) fn change(&self, next: &Self) -> f32 {
        if self.size != next.size {
            return 1.0;
        }
        let points = self.brightness.len().max(1) as f32;
        let change = self.brightness.iter().zip(&next.brightness).map(|(a, b)| (a - b).abs()).sum::<f32>();
        change / (255.0 * points)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plain(width: u32, height: u32, value: u8) -> Thumbnail {
        Thumbnail::of(&RgbImage::from_pixel(width, height, image::Rgb([value; 3])))
    }

    #[test]
    fn change_is_of_brightness_and_of_size() {
        assert_eq!(plain(64, 48, 0).change(&plain(64, 48, 0)), 0.0);
        assert!((plain(64, 48, 0).change(&plain(64, 48, 255)) - 1.0).abs() < 1e-3);
        assert!((plain(64, 48, 51).change(&plain(64, 48, 0)) - 0.2).abs() < 1e-3);
        assert_eq!(plain(64, 48, 0).change(&plain(48, 64, 0)), 1.0);
        assert_eq!(plain(0, 0, 0).change(&plain(0, 0, 0)), 0.0);
        assert_eq!(plain(1, 1, 9).change(&plain(1, 1, 9)), 0.0);
    }
}

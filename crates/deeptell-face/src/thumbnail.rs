use crate::RgbImage;

/// Pixels sampled per cell, along each axis.
const SAMPLES: u32 = 4;

/// A frame as 32 x 24 colored cells, whatever its size; used to tell shots apart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Thumbnail {
    size: (u32, u32),
    /// Row by row; empty for a frame without pixels.
    cells: Vec<[u8; 3]>,
}

impl Thumbnail {
    /// Cells across.
    pub const COLUMNS: u32 = 32;
    /// Cells down.
    pub const ROWS: u32 = 24;

    /// Each cell is the mean of four by four pixels, evenly spread over the part of the frame that
    /// it covers.
    pub fn of(frame: &RgbImage) -> Self {
        let (width, height) = frame.dimensions();
        let mut cells = Vec::new();
        if width > 0 && height > 0 {
            let place = |index: u32, count: u32, side: u32| {
                (u64::from(2 * index + 1) * u64::from(side) / u64::from(2 * count)) as u32
            };
            for row in 0..Self::ROWS {
                for column in 0..Self::COLUMNS {
                    let mut sums = [0_u32; 3];
                    for y in 0..SAMPLES {
                        for x in 0..SAMPLES {
                            let x = place(SAMPLES * column + x, SAMPLES * Self::COLUMNS, width);
                            let y = place(SAMPLES * row + y, SAMPLES * Self::ROWS, height);
                            let pixel = frame.get_pixel(x, y).0;
                            sums.iter_mut().zip(pixel).for_each(|(sum, value)| *sum += u32::from(value));
                        }
                    }
                    let count = SAMPLES * SAMPLES;
                    cells.push(sums.map(|sum| ((sum + count / 2) / count) as u8));
                }
            }
        }
        Self { size: (width, height), cells }
    }

    /// Width and height of the frame, in pixels.
    pub fn frame_size(&self) -> (u32, u32) {
        self.size
    }

    /// Mean colors of the cells, row by row; empty for a frame without pixels.
    pub fn cells(&self) -> &[[u8; 3]] {
        &self.cells
    }

    /// Mean change of brightness (Rec. 601 luma), in `0..=1`; 1 where the sizes of the frames
    /// differ.
    pub fn change(&self, next: &Self) -> f32 {
        if self.size != next.size {
            return 1.0;
        }
        let luma = |[r, g, b]: [u8; 3]| 77.0 * f32::from(r) + 150.0 * f32::from(g) + 29.0 * f32::from(b);
        let changes = self.cells.iter().zip(&next.cells).map(|(&a, &b)| (luma(a) - luma(b)).abs());
        changes.sum::<f32>() / (256.0 * 255.0 * self.cells.len().max(1) as f32)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plain(width: u32, height: u32, value: u8) -> Thumbnail {
        Thumbnail::of(&RgbImage::from_pixel(width, height, image::Rgb([value; 3])))
    }

    #[test]
    fn change_grows_with_brightness_and_is_one_between_sizes() {
        assert_eq!(plain(64, 48, 0).change(&plain(64, 48, 0)), 0.0);
        assert!((plain(64, 48, 0).change(&plain(64, 48, 255)) - 1.0).abs() < 1e-3);
        assert!((plain(64, 48, 51).change(&plain(64, 48, 0)) - 0.2).abs() < 1e-3);
        assert_eq!(plain(64, 48, 0).change(&plain(48, 64, 0)), 1.0);
        assert_eq!(plain(0, 0, 0).change(&plain(0, 0, 0)), 0.0);
        assert_eq!(plain(1, 1, 9).change(&plain(1, 1, 9)), 0.0);
    }

    #[test]
    fn a_cell_is_the_mean_color_of_its_part() {
        let halves =
            RgbImage::from_fn(320, 240, |x, _| image::Rgb([if x % 10 < 5 { 200 } else { 100 }, 7, 0]));
        let thumbnail = Thumbnail::of(&halves);
        assert_eq!(thumbnail.cells().len(), 32 * 24);
        assert!(thumbnail.cells().iter().all(|cell| *cell == [150, 7, 0]), "{:?}", &thumbnail.cells()[..3]);
        assert_eq!(thumbnail.frame_size(), (320, 240));
    }
}

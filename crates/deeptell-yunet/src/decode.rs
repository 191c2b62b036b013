//! From the outputs of the network to faces.

use deeptell_face::{Face, Landmarks, Overlap, Point, Rect, non_maximum_suppression};
use deeptell_kernels::sigmoid;

use crate::YuNetConfig;

/// Sides of the cells of the three grids, in pixels.
pub(crate) const STRIDES: [usize; 3] = [8, 16, 32];

/// Outputs for each cell: logit of a face, box, logit of the box's quality, landmarks.
pub(crate) const OUTPUTS: usize = 1 + 4 + 1 + 10;

/// The outputs for one grid.
#[derive(Debug, Clone)]
pub(crate) struct Grid {
    pub(crate) stride: usize,
    pub(crate) rows: usize,
    pub(crate) columns: usize,
    /// `[OUTPUTS, rows, columns]`
    pub(crate) values: Vec<f32>,
}

/// The faces in the outputs for an image, in pixels of the network's input, best first.
pub(crate) fn faces(grids: &[Grid], config: &YuNetConfig) -> Vec<Face> {
    let mut found: Vec<Face> = grids.iter().flat_map(|grid| grid.candidates(config.threshold)).collect();
    found.sort_by(|a, b| b.probability.total_cmp(&a.probability));
    found.truncate(config.limit);
    let boxes: Vec<Rect> = found.iter().map(|face| whole_pixels(face.bbox)).collect();
    let scores: Vec<f32> = found.iter().map(|face| face.probability).collect();
    let kept = non_maximum_suppression(&boxes, &scores, config.overlap, Overlap::Union);
    kept.into_iter().map(|at| found[at]).collect()
}

impl Grid {
    /// The faces whose score reaches `threshold`, one for each cell.
    fn candidates(&self, threshold: f32) -> impl Iterator<Item = Face> {
        let cells = self.rows * self.columns;
        (0..cells).filter_map(move |cell| {
            let output = |channel: usize| self.values[channel * cells + cell];
            let probability = (sigmoid(output(0)) * sigmoid(output(5))).sqrt();
            if probability.is_nan() || probability < threshold {
                return None;
            }
            let (column, row) = ((cell % self.columns) as f32, (cell / self.columns) as f32);
            let stride = self.stride as f32;
            let point = |x: usize| Point::new((output(x) + column) * stride, (output(x + 1) + row) * stride);
            let (center, width, height) = (point(1), output(3).exp() * stride, output(4).exp() * stride);
            let (x1, y1) = (center.x - width / 2.0, center.y - height / 2.0);
            let face = Face {
                bbox: Rect::new(x1, y1, x1 + width, y1 + height),
                probability,
                landmarks: Landmarks::from_points([6, 8, 10, 12, 14].map(point)),
            };
            (face.bbox.is_finite() && face.landmarks.is_finite()).then_some(face)
        })
    }
}

/// The box whose corner and size are cut to whole pixels, which is what OpenCV compares.
fn whole_pixels(bbox: Rect) -> Rect {
    let (x, y) = (bbox.x1.trunc(), bbox.y1.trunc());
    Rect::new(x, y, x + bbox.width().trunc(), y + bbox.height().trunc())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A grid without a face.
    fn empty(stride: usize, rows: usize, columns: usize) -> Grid {
        let mut values = vec![0.0; OUTPUTS * rows * columns];
        values[..rows * columns].fill(-20.0);
        Grid { stride, rows, columns, values }
    }

    impl Grid {
        fn set(&mut self, row: usize, column: usize, values: [f32; OUTPUTS]) {
            let cells = self.rows * self.columns;
            for (channel, value) in values.into_iter().enumerate() {
                self.values[channel * cells + row * self.columns + column] = value;
            }
        }
    }

    /// Outputs of a face at the corner of its cell, `size` times the cell, with these logits.
    fn face(size: f32, face: f32, quality: f32) -> [f32; OUTPUTS] {
        let side = size.ln();
        [face, 0.0, 0.0, side, side, quality, -1.0, -1.0, 1.0, -1.0, 0.0, 0.0, -1.0, 1.0, 1.0, 1.0]
    }

    #[test]
    fn cell_is_decoded_as_defined() {
        let mut grid = empty(16, 4, 6);
        let mut values = face(2.0, 3.0, 4.0);
        values[1..3].copy_from_slice(&[0.5, -0.25]);
        grid.set(2, 3, values);
        let found = faces(&[empty(8, 8, 12), grid], &YuNetConfig::default());
        let [face] = found.as_slice() else { panic!("{found:?}") };
        // The center is at column 3.5 and row 1.75 of cells of 16 pixels, the sides are twice that.
        let wanted = Rect::new(40.0, 12.0, 72.0, 44.0);
        for (found, wanted) in [
            (face.bbox.x1, wanted.x1),
            (face.bbox.y1, wanted.y1),
            (face.bbox.x2, wanted.x2),
            (face.bbox.y2, wanted.y2),
        ] {
            assert!((found - wanted).abs() < 1e-4, "{face:?}");
        }
        // sqrt(sigmoid(3) * sigmoid(4))
        assert!((face.probability - 0.967_182).abs() < 1e-5, "{face:?}");
        assert_eq!(face.landmarks.left_eye, Point::new(32.0, 16.0));
        assert_eq!(face.landmarks.right_eye, Point::new(64.0, 16.0));
        assert_eq!(face.landmarks.nose, Point::new(48.0, 32.0));
        assert_eq!(face.landmarks.mouth_left, Point::new(32.0, 48.0));
        assert_eq!(face.landmarks.mouth_right, Point::new(64.0, 48.0));
    }

    #[test]
    fn faces_below_the_threshold_and_values_that_are_not_numbers_are_dropped() {
        let mut grid = empty(8, 3, 3);
        grid.set(0, 0, face(2.0, 9.0, 9.0));
        grid.set(1, 1, face(2.0, 9.0, 0.0));
        grid.set(2, 2, face(f32::NAN, 9.0, 9.0));
        grid.set(0, 2, face(f32::INFINITY, 9.0, 9.0));
        grid.set(2, 0, face(2.0, f32::NAN, 9.0));
        let config = YuNetConfig::default();
        assert_eq!(faces(&[grid.clone()], &config).len(), 1);
        assert_eq!(faces(&[grid], &YuNetConfig { threshold: 0.7, ..config }).len(), 2);
    }

    #[test]
    fn boxes_are_compared_in_whole_pixels_and_the_best_ones_first() {
        let mut grid = empty(8, 4, 8);
        grid.set(1, 1, face(4.0, 5.0, 5.0));
        grid.set(1, 2, face(4.0, 6.0, 6.0));
        grid.set(1, 7, face(4.0, 4.0, 4.0));
        let config = YuNetConfig::default();
        let found = faces(&[grid.clone()], &config);
        let centers: Vec<f32> = found.iter().map(|face| face.bbox.center().x.round()).collect();
        assert_eq!(centers, [16.0, 56.0]);
        assert_eq!(faces(&[grid], &YuNetConfig { limit: 1, ..config }).len(), 1);
        assert_eq!(whole_pixels(Rect::new(-1.7, 2.9, 2.9, 6.1)), Rect::new(-1.0, 2.0, 3.0, 5.0));
    }
}

//! Boxes on their way through the cascade.

use deeptell_face::{Overlap, Rect, non_maximum_suppression};

use crate::cascade::Window;

/// A box that may hold a face, as one stage hands it to the next.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Candidate {
    /// A square in pixels of the image; may reach beyond it.
    pub bbox: Rect,
    /// Probability of a face, `0..=1`, by the network that proposed the box.
    pub probability: f32,
}

impl Candidate {
    /// The pixels the next network is shown, or `None` when no whole pixel is inside the image.
    ///
    /// Corners are cut to whole numbers and counted from one, as in the Matlab original, so the
    /// crop starts one pixel before the box. What lies outside of the image is left out and not
    /// padded, as in facenet-pytorch: faces over the edge are stretched.
    pub fn window(&self, width: u32, height: u32) -> Option<Window> {
        if !self.bbox.is_finite() {
            return None;
        }
        let side = |low: f32, high: f32, end: u32| {
            let (start, end) = ((low as i64).max(1) - 1, (high as i64).min(i64::from(end)));
            (end > start).then_some((start as u32, (end - start) as u32))
        };
        let (x, width) = side(self.bbox.x1, self.bbox.x2, width)?;
        let (y, height) = side(self.bbox.y1, self.bbox.y2, height)?;
        Some(Window { x, y, width, height })
    }
}

/// `bbox` with each edge moved by its share of the box's sides, `extra` added to those.
///
/// facenet-pytorch takes a side as `x2 - x1` for P-Net's corrections (`extra` 0) and as
/// `x2 - x1 + 1` for those of R-Net and O-Net (`extra` 1).
pub(crate) fn regressed(bbox: Rect, correction: [f32; 4], extra: f32) -> Rect {
    let (width, height) = (bbox.width() + extra, bbox.height() + extra);
    Rect::new(
        bbox.x1 + correction[0] * width,
        bbox.y1 + correction[1] * height,
        bbox.x2 + correction[2] * width,
        bbox.y2 + correction[3] * height,
    )
}

/// What survives non-maximum suppression, the most probable first.
pub(crate) fn suppress<T: Copy>(
    items: &[T],
    threshold: f32,
    overlap: Overlap,
    describe: impl Fn(&T) -> (Rect, f32),
) -> Vec<T> {
    let (boxes, scores): (Vec<Rect>, Vec<f32>) = items.iter().map(describe).unzip();
    non_maximum_suppression(&boxes, &scores, threshold, overlap).into_iter().map(|i| items[i]).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn window(x1: f32, y1: f32, x2: f32, y2: f32) -> Option<Window> {
        Candidate { bbox: Rect::new(x1, y1, x2, y2), probability: 1.0 }.window(100, 50)
    }

    #[test]
    fn windows_are_clamped_to_the_image() {
        assert_eq!(window(10.9, 5.2, 20.7, 15.0), Some(Window { x: 9, y: 4, width: 11, height: 11 }));
        assert_eq!(window(-30.0, -5.0, 8.0, 9.0), Some(Window { x: 0, y: 0, width: 8, height: 9 }));
        assert_eq!(window(90.0, 40.0, 130.0, 80.0), Some(Window { x: 89, y: 39, width: 11, height: 11 }));
        assert_eq!(window(-1e30, -1e30, 1e30, 1e30), Some(Window { x: 0, y: 0, width: 100, height: 50 }));
    }

    #[test]
    fn candidate_outside_of_image_has_no_window() {
        assert_eq!(window(-30.0, 5.0, -2.0, 9.0), None);
        assert_eq!(window(120.0, 5.0, 140.0, 25.0), None);
        assert_eq!(window(5.0, 60.0, 15.0, 70.0), None);
        assert_eq!(window(20.0, 20.0, 10.0, 10.0), None);
        assert_eq!(window(f32::NAN, 5.0, 15.0, 15.0), None);
        assert_eq!(window(5.0, 5.0, f32::INFINITY, 15.0), None);
    }

    #[test]
    fn corrected_box_moves_by_shares_of_its_sides() {
        let bbox = Rect::new(10.0, 20.0, 29.0, 59.0);
        let moved = regressed(bbox, [0.1, -0.1, 0.5, 0.25], 1.0);
        assert_eq!(moved, Rect::new(12.0, 16.0, 39.0, 69.0));
    }
}

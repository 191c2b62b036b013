use crate::Rect;

/// What an intersection is compared with in [`non_maximum_suppression`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Overlap {
    /// Intersection over union.
    Union,
    /// Intersection over the smaller of the two boxes: drops a box inside another.
    Minimum,
}

impl Overlap {
    fn between(self, a: &Rect, b: &Rect) -> f32 {
        let shared = a.intersection_area(b);
        let whole = match self {
            Self::Union => a.area() + b.area() - shared,
            Self::Minimum => a.area().min(b.area()),
        };
        if whole > 0.0 { shared / whole } else { 0.0 }
    }
}

/// Greedy non-maximum suppression: indices of the boxes that are kept, best score first.
///
/// A box is dropped when its overlap with a better one that is kept exceeds `threshold`.
/// Equal scores keep their order, and a NaN score counts as the lowest.
///
/// # Panics
/// When `boxes` and `scores` differ in length.
pub fn non_maximum_suppression(
    boxes: &[Rect],
    scores: &[f32],
    threshold: f32,
    overlap: Overlap,
) -> Vec<usize> {
    assert_eq!(boxes.len(), scores.len(), "one score per box");
    let rank = |i: usize| if scores[i].is_nan() { f32::NEG_INFINITY } else { scores[i] };
    let mut order: Vec<usize> = (0..boxes.len()).collect();
    order.sort_by(|&i, &j| rank(j).total_cmp(&rank(i)));
    let mut kept: Vec<usize> = Vec::new();
    for i in order {
        if kept.iter().all(|&k| overlap.between(&boxes[k], &boxes[i]) <= threshold) {
            kept.push(i);
        }
    }
    kept
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_better_of_two_overlapping_boxes_is_kept() {
        let boxes = [
            Rect::new(0.0, 0.0, 10.0, 10.0),
            Rect::new(1.0, 0.0, 11.0, 10.0),
            Rect::new(50.0, 50.0, 60.0, 60.0),
        ];
        assert_eq!(non_maximum_suppression(&boxes, &[0.8, 0.9, 0.1], 0.5, Overlap::Union), [1, 2]);
        assert_eq!(non_maximum_suppression(&boxes, &[0.8, f32::NAN, 0.1], 0.5, Overlap::Union), [0, 2]);
    }

    #[test]
    fn a_box_inside_another_is_dropped_by_the_minimum_only() {
        let boxes = [Rect::new(0.0, 0.0, 100.0, 100.0), Rect::new(40.0, 40.0, 60.0, 60.0)];
        assert_eq!(non_maximum_suppression(&boxes, &[0.9, 0.8], 0.7, Overlap::Union), [0, 1]);
        assert_eq!(non_maximum_suppression(&boxes, &[0.9, 0.8], 0.7, Overlap::Minimum), [0]);
    }

    #[test]
    fn an_overlap_equal_to_the_threshold_is_kept() {
        let boxes = [Rect::new(0.0, 0.0, 2.0, 1.0), Rect::new(1.0, 0.0, 2.0, 1.0)];
        assert_eq!(non_maximum_suppression(&boxes, &[0.9, 0.8], 0.5, Overlap::Union), [0, 1]);
    }

    proptest! {
        #[test]
        fn kept_boxes_do_not_overlap_and_dropped_ones_do(
            raw in prop::collection::vec((0f32..90.0, 0f32..90.0, 1f32..40.0, 0f32..1.0), 0..40),
            threshold in 0.1f32..0.9,
        ) {
            let boxes: Vec<Rect> = raw.iter().map(|&(x, y, s, _)| Rect::new(x, y, x + s, y + s)).collect();
            let scores: Vec<f32> = raw.iter().map(|r| r.3).collect();
            let kept = non_maximum_suppression(&boxes, &scores, threshold, Overlap::Union);
            for (n, &i) in kept.iter().enumerate() {
                for &j in &kept[..n] {
                    prop_assert!(scores[j] >= scores[i]);
                    prop_assert!(boxes[i].iou(&boxes[j]) <= threshold);
                }
            }
            for i in (0..boxes.len()).filter(|i| !kept.contains(i)) {
                prop_assert!(kept.iter().any(|&k| scores[k] >= scores[i] && boxes[k].iou(&boxes[i]) > threshold));
            }
        }
    }
}

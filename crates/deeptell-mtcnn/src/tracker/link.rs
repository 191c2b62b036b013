//! Which face continues which track.

use crate::Face;

/// Boxes that share this much are the same face.
const MIN_IOU: f32 = 0.2;
/// Landmarks that moved by no more than this many face sides are the same face.
const MAX_MOVE: f32 = 0.5;
/// A face that doubles or halves from one frame to the next is another face.
const MAX_GROWTH: f32 = 2.0;

/// How well `face` continues a track whose last face is `last`, higher is better; `None` when it
/// cannot be the same face.
fn affinity(last: &Face, face: &Face) -> Option<f32> {
    let side = |face: &Face| face.bbox.width().max(face.bbox.height());
    let growth = side(face) / side(last);
    let points = last.landmarks.points().into_iter().zip(face.landmarks.points());
    let moved = points.map(|(a, b)| a.distance(b)).sum::<f32>() / (2.5 * (side(face) + side(last)));
    let iou = face.bbox.iou(&last.bbox);
    let is_close = iou >= MIN_IOU || moved <= MAX_MOVE;
    let is_alike = (1.0 / MAX_GROWTH..=MAX_GROWTH).contains(&growth);
    (is_close && is_alike).then_some(iou - moved - growth.ln().abs())
}

/// For each of `faces` the index of the one of `lasts`, the faces of the tracks as they were last or should be now,
/// that it continues. The pair that fits best is linked first; each track and each face is in one pair.
pub(super) fn link(lasts: &[Face], faces: &[Face]) -> Vec<Option<usize>> {
    let mut pairs = Vec::new();
    for (track, last) in lasts.iter().enumerate() {
        for (number, face) in faces.iter().enumerate() {
            if let Some(affinity) = affinity(last, face) {
                pairs.push((affinity, track, number));
            }
        }
    }
    pairs.sort_by(|a, b| b.0.total_cmp(&a.0));
    let mut chosen = vec![None; faces.len()];
    for (_, track, number) in pairs {
        if chosen[number].is_none() && !chosen.contains(&Some(track)) {
            chosen[number] = Some(track);
        }
    }
    chosen
}

#[cfg(test)]
mod tests {
    use deeptell_face::{Landmarks, Point, Rect};

    use super::*;

    fn face(x: f32, side: f32) -> Face {
        Face {
            bbox: Rect::new(x, 0.0, x + side, side),
            probability: 1.0,
            landmarks: Landmarks::from_points([Point::new(x + 0.5 * side, 0.5 * side); 5]),
        }
    }

    #[test]
    fn the_best_pair_is_linked_first() {
        let lasts = [face(0.0, 100.0), face(60.0, 100.0)];
        // The first face overlaps both tracks, but is nearer to the second one.
        assert_eq!(link(&lasts, &[face(50.0, 100.0), face(10.0, 100.0)]), [Some(1), Some(0)]);
        assert_eq!(link(&lasts, &[face(55.0, 100.0)]), [Some(1)]);
    }

    #[test]
    fn a_face_of_the_same_size_goes_before_one_that_is_nearer() {
        // Somebody steps aside, and who stood behind comes into view.
        let last = face(300.0, 24.0);
        let faces = [face(304.0, 14.0), face(309.0, 26.0)];
        assert_eq!(link(&[last], &faces), [None, Some(0)]);
        assert_eq!(link(&[last], &faces[..1]), [Some(0)]);
    }

    #[test]
    fn far_away_and_of_another_size_is_somebody_else() {
        let lasts = [face(0.0, 100.0)];
        assert_eq!(link(&lasts, &[face(400.0, 100.0), face(0.0, 210.0)]), [None, None]);
        assert_eq!(link(&[], &[face(0.0, 100.0)]), [None]);
    }
}

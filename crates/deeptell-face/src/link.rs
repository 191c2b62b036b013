use crate::Face;

/// Boxes that overlap by this much may be the same face (intersection over union).
const MIN_IOU: f32 = 0.2;
/// Landmarks that moved by at most this many face sides on average may be the same face. Sampled
/// frames can be seconds apart: a talking head moves by half its size, the person beside it is
/// further away.
const MAX_MOVE: f32 = 0.5;
/// A face that more than doubles or halves from one frame to the next is another face.
const MAX_FRAME_GROWTH: f32 = 2.0;

/// For each of `faces` the index of the face in `lasts` that it continues, by place and size.
///
/// `lasts` are the faces of the tracks as they were last seen, or as they are expected to be now;
/// `faces` are those of the next frame. A pair is possible when the boxes overlap or the landmarks
/// are close, and the sizes differ by less than a factor of two. The best pair is linked first, and
/// no face is in two pairs.
///
/// `difference` gets the index in `lasts` and the index in `faces` of a possible pair. It returns a
/// penalty in the unit of the overlap of boxes (0 for none; 1 outweighs a perfect overlap), or
/// `None` to exclude the pair.
///
/// ```
/// use deeptell_face::{Face, Rect, link_faces};
///
/// let face = |x: f32| Face::frontal(Rect::new(x, 0.0, x + 100.0, 120.0), 1.0);
/// let before = [face(0.0), face(400.0)];
/// // Both moved a little to the right, and somebody else arrived.
/// let now = [face(420.0), face(15.0), face(200.0)];
/// assert_eq!(link_faces(&before, &now, |_, _| Some(0.0)), [Some(1), Some(0), None]);
/// ```
pub fn link_faces(
    lasts: &[Face],
    faces: &[Face],
    difference: impl Fn(usize, usize) -> Option<f32>,
) -> Vec<Option<usize>> {
    let mut pairs = Vec::new();
    for (track, last) in lasts.iter().enumerate() {
        for (number, face) in faces.iter().enumerate() {
            if let Some(affinity) = affinity(last, face)
                && let Some(difference) = difference(track, number)
            {
                pairs.push((affinity - difference, track, number));
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

/// How well `face` continues a track whose last face is `last`; higher is better, `None` if it cannot
/// be the same face.
fn affinity(last: &Face, face: &Face) -> Option<f32> {
    let growth = face.side() / last.side();
    let points = last.landmarks.points().into_iter().zip(face.landmarks.points());
    let moved = points.map(|(a, b)| a.distance(b)).sum::<f32>() / (2.5 * (face.side() + last.side()));
    let iou = face.bbox.iou(&last.bbox);
    let is_close = iou >= MIN_IOU || moved <= MAX_MOVE;
    let is_of_a_size = (1.0 / MAX_FRAME_GROWTH..=MAX_FRAME_GROWTH).contains(&growth);
    (is_close && is_of_a_size).then_some(iou - moved - growth.ln().abs())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Landmarks, Point, Rect};

    fn face(x: f32, side: f32) -> Face {
        Face {
            bbox: Rect::new(x, 0.0, x + side, side),
            probability: 1.0,
            landmarks: Landmarks::from_points([Point::new(x + 0.5 * side, 0.5 * side); 5]),
        }
    }

    fn link(lasts: &[Face], faces: &[Face]) -> Vec<Option<usize>> {
        link_faces(lasts, faces, |_, _| Some(0.0))
    }

    #[test]
    fn the_best_pair_is_linked_first() {
        let lasts = [face(0.0, 100.0), face(60.0, 100.0)];
        // The first face overlaps both tracks, but is nearer to the second one.
        assert_eq!(link(&lasts, &[face(50.0, 100.0), face(10.0, 100.0)]), [Some(1), Some(0)]);
        assert_eq!(link(&lasts, &[face(55.0, 100.0)]), [Some(1)]);
    }

    #[test]
    fn a_face_of_the_same_size_is_preferred_to_a_nearer_one() {
        // Somebody steps aside, and who stood behind comes into view.
        let last = face(300.0, 24.0);
        let faces = [face(304.0, 14.0), face(309.0, 26.0)];
        assert_eq!(link(&[last], &faces), [None, Some(0)]);
        assert_eq!(link(&[last], &faces[..1]), [Some(0)]);
    }

    #[test]
    fn a_face_far_away_or_of_another_size_is_not_linked() {
        let lasts = [face(0.0, 100.0)];
        assert_eq!(link(&lasts, &[face(400.0, 100.0), face(0.0, 210.0)]), [None, None]);
        assert_eq!(link(&[], &[face(0.0, 100.0)]), [None]);
    }

    #[test]
    fn a_difference_outweighs_the_place_or_excludes_the_pair() {
        let lasts = [face(0.0, 100.0), face(20.0, 100.0)];
        let now = [face(2.0, 100.0)];
        assert_eq!(link(&lasts, &now), [Some(0)]);
        let unlike_the_first = |track: usize, _: usize| Some(if track == 0 { 1.0 } else { 0.0 });
        assert_eq!(link_faces(&lasts, &now, unlike_the_first), [Some(1)]);
        assert_eq!(link_faces(&lasts[..1], &now, |_, _| None), [None]);
    }
}

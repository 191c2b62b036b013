//! Linking the faces of sampled frames into tracks, by where they are.

use deeptell_image::{Landmarks, Rect};

/// Boxes that share this much are the same face.
const MIN_IOU: f32 = 0.2;
/// Landmarks that moved by no more than this many face sides are the same face. Sampled frames
/// lie a second or more apart: a talking head moves by half its size, the neighbour on the
/// sofa sits further away.
const MAX_MOVE: f32 = 0.5;
/// A face that doubles or halves between two frames is another face, or another shot.
const MAX_GROWTH: f32 = 2.0;

/// A face at a place in a frame: what [`link`] needs to know.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Sighting {
    /// Number of the frame among the sampled ones.
    pub frame: usize,
    /// The face's box, in pixels.
    pub bbox: Rect,
    /// Its landmarks, in pixels.
    pub landmarks: Landmarks,
}

impl Sighting {
    /// The longer side of the box, in pixels.
    fn side(&self) -> f32 {
        self.bbox.width().max(self.bbox.height())
    }

    /// How well `self` continues `earlier`, higher is better; `None` when it cannot be the
    /// same face.
    fn affinity(&self, earlier: &Self) -> Option<f32> {
        let side = 0.5 * (self.side() + earlier.side());
        let growth = self.side() / earlier.side();
        let points = self.landmarks.points().into_iter().zip(earlier.landmarks.points());
        let moved = points.map(|(a, b)| a.distance(b)).sum::<f32>() / (5.0 * side);
        let iou = self.bbox.iou(&earlier.bbox);
        let close = iou >= MIN_IOU || moved <= MAX_MOVE;
        let alike = (1.0 / MAX_GROWTH..=MAX_GROWTH).contains(&growth);
        (close && alike).then_some(iou - moved)
    }
}

/// Gives every face the number of its track, from 0 in order of first appearance.
///
/// Frame by frame, the pair of a track's last face and a new face that fits best (boxes
/// overlap, landmarks moved little) is linked first; what fits no track starts one. A track
/// holds at most one face a frame, and one that goes missing may come back later at the place
/// where it was last seen. `faces` must be in order of frames.
///
/// ```
/// use deeptell::{Sighting, link};
/// use deeptell_image::{Landmarks, Point, Rect};
///
/// let at = |frame, x: f32| Sighting {
///     frame,
///     bbox: Rect::new(x, 0.0, x + 100.0, 120.0),
///     landmarks: Landmarks::from_points([Point::new(x + 50.0, 60.0); 5]),
/// };
/// // Two people, who both move a little to the right.
/// assert_eq!(link(&[at(0, 0.0), at(0, 400.0), at(1, 420.0), at(1, 15.0)]), [0, 1, 1, 0]);
/// ```
pub fn link(faces: &[Sighting]) -> Vec<usize> {
    let mut track_of = Vec::with_capacity(faces.len());
    let mut last_of_track: Vec<Sighting> = Vec::new();
    for in_frame in faces.chunk_by(|a, b| a.frame == b.frame) {
        let mut pairs = Vec::new();
        for (face, sighting) in in_frame.iter().enumerate() {
            for (track, last) in last_of_track.iter().enumerate() {
                if let Some(affinity) = sighting.affinity(last) {
                    pairs.push((affinity, face, track));
                }
            }
        }
        pairs.sort_by(|a, b| b.0.total_cmp(&a.0));

        let mut chosen: Vec<Option<usize>> = vec![None; in_frame.len()];
        for (_, face, track) in pairs {
            if chosen[face].is_none() && !chosen.contains(&Some(track)) {
                chosen[face] = Some(track);
            }
        }
        for (sighting, chosen) in in_frame.iter().zip(chosen) {
            let track = chosen.unwrap_or(last_of_track.len());
            if track == last_of_track.len() {
                last_of_track.push(*sighting);
            } else {
                last_of_track[track] = *sighting;
            }
            track_of.push(track);
        }
    }
    track_of
}

#[cfg(test)]
mod tests {
    use deeptell_image::Point;

    use super::*;

    fn face(frame: usize, x: f32, y: f32, side: f32) -> Sighting {
        let point = |u: f32, v: f32| Point::new(x + u * side, y + v * side);
        Sighting {
            frame,
            bbox: Rect::new(x, y, x + side, y + side),
            landmarks: Landmarks::from_points([
                point(0.3, 0.4),
                point(0.7, 0.4),
                point(0.5, 0.6),
                point(0.35, 0.8),
                point(0.65, 0.8),
            ]),
        }
    }

    #[test]
    fn nothing_links_to_nothing() {
        assert!(link(&[]).is_empty());
    }

    #[test]
    fn a_moving_head_stays_one_track() {
        let faces: Vec<_> = (0..6).map(|i| face(i, 40.0 * i as f32, 10.0, 100.0)).collect();
        assert_eq!(link(&faces), [0; 6]);
    }

    #[test]
    fn two_heads_keep_their_tracks_when_listed_in_another_order() {
        let faces = [
            face(0, 0.0, 0.0, 100.0),
            face(0, 300.0, 0.0, 90.0),
            face(1, 310.0, 5.0, 95.0),
            face(1, 8.0, 3.0, 100.0),
            face(2, 20.0, 0.0, 100.0),
        ];
        assert_eq!(link(&faces), [0, 1, 1, 0, 0]);
    }

    #[test]
    fn the_better_fit_wins_and_the_other_starts_a_track() {
        let faces = [face(0, 0.0, 0.0, 100.0), face(1, 40.0, 0.0, 100.0), face(1, 2.0, 0.0, 100.0)];
        assert_eq!(link(&faces), [0, 1, 0]);
    }

    #[test]
    fn a_face_that_went_missing_comes_back_to_its_track() {
        let faces = [
            face(0, 0.0, 0.0, 100.0),
            face(0, 500.0, 0.0, 100.0),
            face(1, 505.0, 0.0, 100.0),
            face(4, 6.0, 0.0, 100.0),
        ];
        assert_eq!(link(&faces), [0, 1, 1, 0]);
    }

    #[test]
    fn a_jump_or_another_size_starts_a_new_track() {
        let jump = [face(0, 0.0, 0.0, 100.0), face(1, 160.0, 0.0, 100.0)];
        assert_eq!(link(&jump), [0, 1]);
        let zoom = [face(0, 0.0, 0.0, 100.0), face(1, -60.0, -60.0, 220.0)];
        assert_eq!(link(&zoom), [0, 1]);
    }
}

//! Linking the faces of sampled frames into tracks, by where they are.

use deeptell_face::{Landmarks, Rect};

use crate::Look;

/// Boxes that share this much are the same face.
const MIN_IOU: f32 = 0.2;
/// Landmarks that moved by no more than this many face sides are the same face. Sampled frames
/// lie a second or more apart: a talking head moves by half its size, the neighbour on the
/// sofa sits further away.
const MAX_MOVE: f32 = 0.5;
/// A face that doubles or halves between two frames is another face, or another shot.
const MAX_GROWTH: f32 = 2.0;
/// Faces at one place whose looks both correlate by less and lie further apart, in levels of 255,
/// are two people with a cut between them.
///
/// Chosen and measured on the same clips (example `measure_people`): noticed were 89% of 155 cuts
/// between signers before one wall and 92% of 378 cuts between people of the sample; 3 of 300 next
/// faces of a signer, 0.2 s later, were wrongly taken for another person's.
const CUT_CORRELATION: f32 = 0.8;
const CUT_DISTANCE: f32 = 22.0;

/// A face at a place in a frame: what [`link`] needs to know.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Sighting {
    /// Number of the frame among the sampled ones.
    pub frame: usize,
    /// The face's box, in pixels.
    pub bbox: Rect,
    /// Its landmarks, in pixels.
    pub landmarks: Landmarks,
    /// What it looks like from afar.
    pub look: Look,
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
        let of_a_size = (1.0 / MAX_GROWTH..=MAX_GROWTH).contains(&growth);
        if !close || !of_a_size {
            return None;
        }
        let distance = self.look.distance(&earlier.look);
        let is_cut = distance > CUT_DISTANCE && self.look.correlation(&earlier.look) < CUT_CORRELATION;
        (!is_cut).then_some(iou - moved - distance / CUT_DISTANCE)
    }
}

/// Gives every face the number of its track, from 0 in order of first appearance.
///
/// Frame by frame, the pair of a track's last face and a new face that fits best (boxes
/// overlap, landmarks moved little, looks are alike) is linked first; what fits no track starts one.
/// A face that looks wholly different at the same place, as after a cut, does not fit. A track holds at most
/// one face a frame, and one that goes missing may come back later at the place where it was last
/// seen. `faces` must be in order of frames. [`merge`](crate::merge) tells which tracks are one
/// person.
///
/// ```
/// use deeptell::{Look, Sighting, link};
/// use deeptell_face::{Landmarks, Point, Rect, RgbImage};
///
/// # fn main() -> Result<(), deeptell_face::CropError> {
/// let frame = RgbImage::new(640, 360);
/// let at = |number, x: f32| {
///     let bbox = Rect::new(x, 0.0, x + 100.0, 120.0);
///     let landmarks = Landmarks::from_points([Point::new(x + 50.0, 60.0); 5]);
///     Ok(Sighting { frame: number, bbox, landmarks, look: Look::of(&frame, bbox)? })
/// };
/// // Two people, who both move a little to the right.
/// assert_eq!(link(&[at(0, 0.0)?, at(0, 400.0)?, at(1, 420.0)?, at(1, 15.0)?]), [0, 1, 1, 0]);
/// # Ok(())
/// # }
/// ```
pub fn link(faces: &[Sighting]) -> Vec<usize> {
    let mut linker = Linker::default();
    faces.chunk_by(|a, b| a.frame == b.frame).flat_map(|in_frame| linker.link(in_frame)).collect()
}

/// [`link`] frame by frame.
#[derive(Debug, Default)]
pub(crate) struct Linker {
    last_of_track: Vec<Sighting>,
}

impl Linker {
    /// The tracks of the faces of the next frame.
    pub(crate) fn link(&mut self, in_frame: &[Sighting]) -> Vec<usize> {
        let mut pairs = Vec::new();
        for (face, sighting) in in_frame.iter().enumerate() {
            for (track, last) in self.last_of_track.iter().enumerate() {
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
        let mut tracks = Vec::with_capacity(in_frame.len());
        for (sighting, chosen) in in_frame.iter().zip(chosen) {
            let track = chosen.unwrap_or(self.last_of_track.len());
            if track == self.last_of_track.len() {
                self.last_of_track.push(*sighting);
            } else {
                self.last_of_track[track] = *sighting;
            }
            tracks.push(track);
        }
        tracks
    }
}

#[cfg(test)]
mod tests {
    use deeptell_face::Point;

    use super::*;

    fn face(frame: usize, x: f32, y: f32, side: f32) -> Sighting {
        face_like(frame, x, y, side, Look::from_levels(|i| i as u8))
    }

    fn face_like(frame: usize, x: f32, y: f32, side: f32, look: Look) -> Sighting {
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
            look,
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

    #[test]
    fn another_look_at_the_same_place_is_another_track_until_the_first_comes_back() {
        let [one, other] = [Look::from_levels(|i| i as u8), Look::from_levels(|i| (i * 89 % 251) as u8)];
        assert!(one.correlation(&other) < 0.5 && one.distance(&other) > 50.0);
        let cuts = [one, other, one, one].into_iter().enumerate();
        let faces: Vec<_> = cuts.map(|(frame, look)| face_like(frame, 0.0, 0.0, 100.0, look)).collect();
        assert_eq!(link(&faces), [0, 1, 0, 0]);
    }

    #[test]
    fn of_two_tracks_at_one_place_the_more_alike_goes_on() {
        let [one, other] = [0, 1].map(|person| Look::from_levels(move |i| (i + 30 * person) as u8));
        assert!(one.correlation(&other) > 0.8 && one.distance(&other) > 22.0, "no cut, by its arrangement");
        let [first, second] = [face_like(0, 0.0, 0.0, 100.0, one), face_like(1, 90.0, 0.0, 100.0, other)];
        let between = |look: Look, x: f32| face_like(2, x, 0.0, 100.0, look);
        assert_eq!(link(&[first, second, between(one, 47.0), between(other, 43.0)]), [0, 1, 0, 1]);
    }
}

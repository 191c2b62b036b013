//! Linking the faces of sampled frames into tracks, by their places and colors.

use std::sync::Arc;

use crate::background::Background;
use crate::{ColorGrid, CropError, Face, RgbImage, link_faces};

/// Faces at one place whose colors both correlate by less and lie further apart, in levels of 255,
/// are two people with a cut between them, unless the background says that there was no cut.
///
/// Chosen and measured on the same clips (example `measure_people`): noticed were 89% of 155 cuts
/// between signers before one wall and 92% of 378 cuts between people of the sample; 2 of 300 next
/// faces of a signer, 0.2 s later, were wrongly taken for another person's (3 by the colors alone).
const CUT_CORRELATION: f32 = 0.8;
const CUT_DISTANCE: f32 = 22.0;
/// Somebody alone in a shot who walked elsewhere still has this face and hair.
const HEAD_CORRELATION: f32 = 0.7;
const HEAD_DISTANCE: f32 = 25.0;
/// Somebody alone in a shot may come this much closer between two frames.
const MAX_SAMPLE_GROWTH: f32 = 3.0;
/// A shot is followed over this many sampled frames without the face: it bounds the work of a
/// video with ever new faces.
const MAX_MISSED: usize = 8;

/// A face of a sampled frame, as [`FaceLinker`] compares it.
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub struct Sighting {
    /// Where it is, in pixels of the frame.
    pub face: Face,
    /// The face, the clothes and what is around them.
    pub colors: ColorGrid,
    /// The face and the hair.
    pub head: ColorGrid,
}

impl Sighting {
    /// `face` as `frame` shows it.
    ///
    /// # Errors
    /// [`CropError`] when the face does not touch the frame.
    pub fn of(frame: &RgbImage, face: &Face) -> Result<Self, CropError> {
        Ok(Self {
            face: *face,
            colors: ColorGrid::of(frame, face.bbox)?,
            head: ColorGrid::of_head(frame, face.bbox)?,
        })
    }
}

/// Gives every face the number of its track, from 0 in order of first appearance.
///
/// Frame by frame, the pair of a track's last face and a new face that fits best (boxes overlap,
/// landmarks moved little, sizes and colors are alike) is linked first; a face that fits no track
/// starts one. A track holds at most one face per frame, and one that goes missing may come back
/// later at the place where it was last seen. [`merge_tracks`](crate::merge_tracks) then finds the tracks of one
/// person.
///
/// A face that looks different at the same place, as after a cut, does not fit, unless the
/// background is unchanged: within one shot of a camera at rest, a face that keeps its place and
/// size is one person whatever hands, clothes and passers-by do, and so is a face that is alone and
/// moved elsewhere.
///
/// ```
/// use deeptell_face::{CropError, Face, FaceLinker, Rect, RgbImage, Sighting};
///
/// # fn main() -> Result<(), CropError> {
/// let frame = RgbImage::new(640, 360);
/// let at = |x: f32| {
///     let face = Face::frontal(Rect::new(x, 0.0, x + 100.0, 120.0), 1.0);
///     Sighting::of(&frame, &face)
/// };
/// // Two people, who both move a little to the right.
/// let mut linker = FaceLinker::new();
/// assert_eq!(linker.link(&frame, &[at(0.0)?, at(400.0)?]), [0, 1]);
/// assert_eq!(linker.link(&frame, &[at(420.0)?, at(15.0)?]), [1, 0]);
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Default)]
pub struct FaceLinker {
    tracks: Vec<Track>,
    /// Frames so far.
    frames: usize,
    /// The tracks of the last frame with a face.
    last_seen: Vec<usize>,
}

/// A track as it was last seen.
#[derive(Debug)]
struct Track {
    sighting: Sighting,
    frame: usize,
    background: Arc<Background>,
}

impl FaceLinker {
    /// A linker that has seen no frame yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// The tracks of `faces`, all faces of the next frame, in their order.
    pub fn link(&mut self, frame: &RgbImage, faces: &[Sighting]) -> Vec<usize> {
        let background = Arc::new(Background::of(frame, faces.iter().map(|seen| seen.face.bbox)));
        let number = self.frames;
        self.frames += 1;
        let is_same_shot =
            |track: &Track| number - track.frame <= MAX_MISSED && track.background.is_unchanged(&background);

        let lasts: Vec<Face> = self.tracks.iter().map(|track| track.sighting.face).collect();
        let now: Vec<Face> = faces.iter().map(|seen| seen.face).collect();
        let mut links = link_faces(&lasts, &now, |track, face| {
            let (track, seen) = (&self.tracks[track], &faces[face]);
            let distance = seen.colors.distance(&track.sighting.colors);
            let is_other =
                distance > CUT_DISTANCE && seen.colors.correlation(&track.sighting.colors) < CUT_CORRELATION;
            (!is_other || is_same_shot(track)).then_some(distance / CUT_DISTANCE)
        });
        if let ([link @ None], [seen], [track]) = (&mut links[..], faces, &self.last_seen[..])
            && could_be_alone(&self.tracks[*track].sighting, seen)
            && is_same_shot(&self.tracks[*track])
        {
            *link = Some(*track);
        }

        let mut tracks = Vec::with_capacity(faces.len());
        for (sighting, link) in faces.iter().zip(links) {
            let seen = Track { sighting: *sighting, frame: number, background: Arc::clone(&background) };
            tracks.push(link.unwrap_or(self.tracks.len()));
            match link {
                Some(track) => self.tracks[track] = seen,
                None => self.tracks.push(seen),
            }
        }
        if !tracks.is_empty() {
            self.last_seen.clone_from(&tracks);
        }
        tracks
    }
}

/// Whether the only face of a shot, wherever it is now, may be the one that was alone in it before.
fn could_be_alone(before: &Sighting, now: &Sighting) -> bool {
    let growth = now.face.side() / before.face.side();
    let is_other = now.head.distance(&before.head) > HEAD_DISTANCE
        && now.head.correlation(&before.head) < HEAD_CORRELATION;
    (1.0 / MAX_SAMPLE_GROWTH..=MAX_SAMPLE_GROWTH).contains(&growth) && !is_other
}

#[cfg(test)]
mod tests {
    use image::Rgb;

    use super::*;
    use crate::Rect;

    fn sighting(x: f32, y: f32, side: f32, colors: ColorGrid) -> Sighting {
        Sighting { face: Face::frontal(Rect::new(x, y, x + side, y + side), 1.0), colors, head: colors }
    }

    fn face(x: f32, y: f32, side: f32) -> Sighting {
        sighting(x, y, side, ColorGrid::from_levels(|i| i as u8))
    }

    /// Frames that tell nothing of a shot.
    fn link(frames: &[&[Sighting]]) -> Vec<Vec<usize>> {
        let mut linker = FaceLinker::new();
        frames.iter().map(|faces| linker.link(&RgbImage::new(0, 0), faces)).collect()
    }

    #[test]
    fn frames_without_faces_have_no_tracks() {
        assert_eq!(link(&[&[], &[]]), [[0; 0], []]);
    }

    #[test]
    fn a_moving_head_stays_one_track() {
        let mut linker = FaceLinker::new();
        for number in 0..6 {
            let head = [face(40.0 * number as f32, 10.0, 100.0)];
            assert_eq!(linker.link(&RgbImage::new(0, 0), &head), [0], "frame {number}");
        }
    }

    #[test]
    fn two_heads_keep_their_tracks_when_listed_in_another_order() {
        let tracks = link(&[
            &[face(0.0, 0.0, 100.0), face(300.0, 0.0, 90.0)],
            &[face(310.0, 5.0, 95.0), face(8.0, 3.0, 100.0)],
            &[face(20.0, 0.0, 100.0)],
        ]);
        assert_eq!(tracks, [vec![0, 1], vec![1, 0], vec![0]]);
    }

    #[test]
    fn the_better_fit_wins_and_the_other_starts_a_track() {
        let tracks = link(&[&[face(0.0, 0.0, 100.0)], &[face(40.0, 0.0, 100.0), face(2.0, 0.0, 100.0)]]);
        assert_eq!(tracks, [vec![0], vec![1, 0]]);
    }

    #[test]
    fn a_face_that_went_missing_comes_back_to_its_track() {
        let tracks = link(&[
            &[face(0.0, 0.0, 100.0), face(500.0, 0.0, 100.0)],
            &[face(505.0, 0.0, 100.0)],
            &[],
            &[],
            &[face(6.0, 0.0, 100.0)],
        ]);
        assert_eq!(tracks, [vec![0, 1], vec![1], vec![], vec![], vec![0]]);
    }

    #[test]
    fn a_jump_or_another_size_starts_a_new_track() {
        assert_eq!(link(&[&[face(0.0, 0.0, 100.0)], &[face(160.0, 0.0, 100.0)]]), [[0], [1]]);
        assert_eq!(link(&[&[face(0.0, 0.0, 100.0)], &[face(-60.0, -60.0, 220.0)]]), [[0], [1]]);
    }

    /// Two grids that no cut leaves alike.
    fn two_grids() -> [ColorGrid; 2] {
        let [one, other] =
            [ColorGrid::from_levels(|i| i as u8), ColorGrid::from_levels(|i| (i * 89 % 251) as u8)];
        assert!(one.correlation(&other) < 0.5 && one.distance(&other) > 50.0);
        [one, other]
    }

    #[test]
    fn other_colors_at_the_same_place_are_another_track_until_the_first_come_back() {
        let [one, other] = two_grids().map(|colors| [sighting(0.0, 0.0, 100.0, colors)]);
        assert_eq!(link(&[&one, &other, &one, &one]), [[0], [1], [0], [0]]);
    }

    #[test]
    fn of_two_tracks_at_one_place_the_more_alike_is_continued() {
        let [one, other] = [0, 1].map(|person| ColorGrid::from_levels(move |i| (i + 30 * person) as u8));
        assert!(one.correlation(&other) > 0.8 && one.distance(&other) > 22.0, "no cut, by its arrangement");
        let at = |x: f32, colors: ColorGrid| sighting(x, 0.0, 100.0, colors);
        let tracks = link(&[&[at(0.0, one)], &[at(90.0, other)], &[at(47.0, one), at(43.0, other)]]);
        assert_eq!(tracks, [vec![0], vec![1], vec![0, 1]]);
    }

    /// A room with windows, or another one.
    fn room(shift: u32) -> RgbImage {
        RgbImage::from_fn(640, 480, |x, y| {
            Rgb([60 + 40 * ((x + shift) / 40 % 3) as u8, 90, 60 + 60 * (y / 60 % 2) as u8])
        })
    }

    #[test]
    fn within_a_shot_a_face_that_keeps_its_place_is_one_person_whatever_it_looks_like() {
        let [one, other] = two_grids().map(|colors| [sighting(300.0, 60.0, 80.0, colors)]);
        let mut linker = FaceLinker::new();
        for (number, faces) in [&one, &other, &one, &other].into_iter().enumerate() {
            assert_eq!(linker.link(&room(0), faces), [0], "frame {number}");
        }
        assert_eq!(linker.link(&room(25), &one), [1], "a cut to another room");
        assert_eq!(linker.link(&room(0), &other), [0], "and back");
    }

    #[test]
    fn within_a_shot_a_face_that_is_alone_is_one_person_wherever_it_goes() {
        let colors = two_grids()[0];
        let left = [sighting(40.0, 60.0, 60.0, colors)];
        let right = [sighting(480.0, 80.0, 130.0, colors)];
        let stranger = [sighting(480.0, 80.0, 130.0, two_grids()[1])];
        let mut linker = FaceLinker::new();
        assert_eq!(linker.link(&room(0), &left), [0]);
        assert_eq!(linker.link(&room(0), &[]), [0; 0]);
        assert_eq!(linker.link(&room(0), &right), [0]);
        assert_eq!(linker.link(&room(25), &left), [1], "not after a cut");
        assert_eq!(linker.link(&room(25), &stranger), [2], "not with another head");

        let mut linker = FaceLinker::new();
        assert_eq!(linker.link(&room(0), &[left[0], right[0]]), [0, 1]);
        let between = [sighting(250.0, 300.0, 60.0, colors)];
        assert_eq!(linker.link(&room(0), &between), [2], "two were there: which of them?");
    }
}

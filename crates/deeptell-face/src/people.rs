//! Which tracks show one person, across cuts and movements.

use std::cmp::Ordering;
use std::collections::BTreeMap;

use crate::color_grid::{self, ColorGrid, VALUES};

/// Smallest correlation of the appearance of one person ([`ColorGrid::correlation`]).
const MIN_CORRELATION: f32 = 0.88;
/// Colors of one person differ by at most this many levels of 255: two people side by side share a
/// background, and differ in clothes and hair.
const MAX_DISTANCE: f32 = 20.0;
/// The network's features of one person agree at least as well as this (cosine).
const MIN_COSINE: f32 = 0.5;

/// What is known of a track beside its places: when it was seen, its mean colors and its
/// mean features.
#[derive(Debug, Clone)]
pub struct Appearance {
    frames: Vec<usize>,
    /// Sums over the faces.
    levels: [f32; VALUES],
    features: Vec<f32>,
}

impl Default for Appearance {
    fn default() -> Self {
        Self { frames: Vec::new(), levels: [0.0; VALUES], features: Vec::new() }
    }
}

impl Appearance {
    /// A track that was never seen yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a face: the number of its frame, its colors, and a network's features of it, of the same
    /// number for all faces; empty to compare colors alone. Frames must come in order.
    pub fn add(&mut self, frame: usize, colors: &ColorGrid, features: &[f32]) {
        self.frames.push(frame);
        self.levels.iter_mut().zip(colors.levels()).for_each(|(sum, level)| *sum += level);
        self.features.resize(features.len(), 0.0);
        self.features.iter_mut().zip(features).for_each(|(sum, feature)| *sum += feature);
    }

    /// How likely the two are one person, higher is better; `None` when they look different.
    ///
    /// Never `Some` for tracks that are seen in one frame.
    pub fn likeness(&self, other: &Self) -> Option<f32> {
        if self.frames.is_empty() || other.frames.is_empty() || self.shares_a_frame_with(other) {
            return None;
        }
        let mean = |track: &Self| track.levels.map(|sum| sum / track.frames.len() as f32);
        let (one, two) = (mean(self), mean(other));
        let correlation = color_grid::correlation(&one, &two);
        let is_alike = correlation >= MIN_CORRELATION
            && color_grid::distance(&one, &two) <= MAX_DISTANCE
            && cosine(&self.features, &other.features) >= MIN_COSINE;
        is_alike.then_some(correlation)
    }

    /// By the frames, then by the colors and features.
    fn order(&self, other: &Self) -> Ordering {
        let by_value = |one: &[f32], two: &[f32]| {
            let differing =
                one.iter().zip(two).map(|(one, two)| one.total_cmp(two)).find(|order| order.is_ne());
            differing.unwrap_or(Ordering::Equal)
        };
        let by_color = || by_value(&self.levels, &other.levels);
        let by_feature = || by_value(&self.features, &other.features);
        self.frames.cmp(&other.frames).then_with(by_color).then_with(by_feature)
    }

    fn shares_a_frame_with(&self, other: &Self) -> bool {
        let (mut mine, mut theirs) = (self.frames.iter().peekable(), other.frames.iter().peekable());
        while let (Some(one), Some(two)) = (mine.peek(), theirs.peek()) {
            match one.cmp(two) {
                Ordering::Less => drop(mine.next()),
                Ordering::Greater => drop(theirs.next()),
                Ordering::Equal => return true,
            }
        }
        false
    }
}

fn cosine(one: &[f32], other: &[f32]) -> f32 {
    let dot = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f32>();
    let lengths = (dot(one, one) * dot(other, other)).sqrt();
    if lengths > 0.0 { dot(one, other) / lengths } else { 1.0 }
}

/// Gives every track the number of its person, from 0 in order of the tracks.
///
/// Tracks are one person when all pairs of them look alike: the mean [`ColorGrid`]s correlate by 0.88
/// and differ by no more than 20 levels, and the classifier's pooled features, which see the face
/// alone, do not object (cosine of 0.5). Tracks seen in one frame are never one person, and
/// neither are those that `kept_apart` names. A wrong merge puts two people into one verdict, a
/// missed one lists somebody twice, so the bounds are narrow.
///
/// Chosen and measured on the same clips, in shots of four faces (example `measure_people`):
///
/// | pairs of shots | five signers before one wall | 28 people of the sample |
/// |---|---|---|
/// | different people | 9 of 2,480 merged (0.4%) | 27 of 6,048 (0.4%) |
/// | same person, same shot | 108 of 120 (90%) | 163 of 168 (97%) |
/// | same person, another shot in the same clothes | 456 of 560 (81%) | |
///
/// At the bound that merges 1% of the signers' different pairs, the correlation of colors alone
/// finds 83% of their other shots, the network's features alone 62%, and those of its blocks at
/// best 68%: they were trained to see manipulation, not people. As a veto the features, which come
/// from the pass that scores, more than halve the signers' wrong merges. Across films, where clothes
/// and scene change, neither tells people apart.
///
/// This is agglomerative clustering with complete linkage: the two people who are most alike in
/// their least alike pair of tracks become one, until no two are left. It is written out here
/// because linfa's clusterings start from points or a kernel, and cannot be given a pair that
/// must stay apart.
///
/// The work grows with the cube of the number of tracks: a scan compares its first 512.
///
/// ```
/// use deeptell_face::{Appearance, ColorGrid, Rect, RgbImage, merge_tracks};
///
/// let shot = |shirt: [u8; 3]| {
///     RgbImage::from_fn(96, 96, |_, y| image::Rgb(if y < 48 { [200, 170, 150] } else { shirt }))
/// };
/// let seen_in = |frame, shot: &RgbImage| {
///     let mut track = Appearance::new();
///     track.add(frame, &ColorGrid::of(shot, Rect::new(28.0, 28.0, 68.0, 68.0)).unwrap(), &[]);
///     track
/// };
/// let (red, green) = (shot([150, 30, 30]), shot([20, 120, 40]));
/// // A cut to somebody else, and back.
/// let tracks = [seen_in(0, &red), seen_in(1, &green), seen_in(2, &red)];
/// assert_eq!(merge_tracks(&tracks, |_, _| false), [0, 1, 0]);
/// ```
pub fn merge_tracks(tracks: &[Appearance], kept_apart: impl Fn(usize, usize) -> bool) -> Vec<usize> {
    // Equal likenesses are decided by when the tracks were seen, not by how they are listed.
    let mut order: Vec<usize> = (0..tracks.len()).collect();
    order.sort_by(|&one, &two| tracks[one].order(&tracks[two]));
    let likeness = |one: usize, two: usize| {
        let (one, two) = (order[one], order[two]);
        if kept_apart(one, two) { None } else { tracks[one].likeness(&tracks[two]) }
    };
    // One row a track, for those before it; `None` where two must stay apart.
    let mut alike: Vec<Vec<Option<f32>>> =
        (0..tracks.len()).map(|one| (0..one).map(|two| likeness(one, two)).collect()).collect();
    let mut person_of: Vec<usize> = (0..tracks.len()).collect();
    // People are known by the first of their tracks.
    while let Some((earlier, later)) = most_alike(&alike) {
        for other in (0..tracks.len()).filter(|other| ![earlier, later].contains(other)) {
            let of = |one: usize, two: usize| (one.max(two), one.min(two));
            let ((i, j), (k, l)) = (of(earlier, other), of(later, other));
            alike[i][j] = alike[i][j].zip(alike[k][l]).map(|(a, b)| a.min(b));
            alike[k][l] = None;
        }
        alike[later][earlier] = None;
        person_of.iter_mut().filter(|person| **person == later).for_each(|person| *person = earlier);
    }
    let mut listed = vec![0; tracks.len()];
    order.iter().zip(person_of).for_each(|(&track, person)| listed[track] = person);
    numbered(&listed)
}

/// The pair with the highest likeness, the earlier of equal ones; the smaller number first.
fn most_alike(alike: &[Vec<Option<f32>>]) -> Option<(usize, usize)> {
    let mut best: Option<(f32, (usize, usize))> = None;
    for (later, row) in alike.iter().enumerate() {
        for (earlier, likeness) in row.iter().enumerate() {
            if let Some(likeness) = *likeness
                && best.is_none_or(|(highest, _)| likeness > highest)
            {
                best = Some((likeness, (earlier, later)));
            }
        }
    }
    best.map(|(_, pair)| pair)
}

/// The same groups, numbered from 0 in order of first appearance.
fn numbered(groups: &[usize]) -> Vec<usize> {
    let mut numbers = BTreeMap::new();
    groups
        .iter()
        .map(|group| {
            let next = numbers.len();
            *numbers.entry(*group).or_insert(next)
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// A track of one of a few people, each with colors and features of their own, in `frames`.
    fn track(person: usize, frames: &[usize]) -> Appearance {
        let mut track = Appearance::new();
        for &frame in frames {
            let colors = ColorGrid::from_levels(|i| ((i * (2 * person + 1) * 7) % 256) as u8);
            let mut features = [0.1; 8];
            features[person % 8] = 1.0;
            track.add(frame, &colors, &features);
        }
        track
    }

    fn never(_: usize, _: usize) -> bool {
        false
    }

    #[test]
    fn tracks_of_the_same_look_are_merged_into_one_person() {
        let tracks = [track(0, &[0, 1]), track(1, &[2, 3]), track(0, &[4]), track(2, &[5]), track(1, &[6])];
        assert_eq!(merge_tracks(&tracks, never), [0, 1, 0, 2, 1]);
        assert!(merge_tracks(&[], never).is_empty());
        assert_eq!(merge_tracks(&[Appearance::new(), Appearance::new()], never), [0, 1]);
    }

    #[test]
    fn twins_in_one_frame_stay_two_and_a_third_track_goes_to_one_of_them() {
        let tracks = [track(0, &[0, 1]), track(0, &[1, 2]), track(0, &[4])];
        assert_eq!(merge_tracks(&tracks, never), [0, 1, 0]);
    }

    #[test]
    fn equal_likenesses_are_decided_by_the_frames_whatever_the_order() {
        // The second track is as like the first as the third, which share a frame.
        let tracks = [track(0, &[3, 8]), track(0, &[5]), track(0, &[3, 11])];
        let orders = [[0, 1, 2], [0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]];
        for order in orders {
            let people = merge_tracks(&order.map(|track| tracks[track].clone()), never);
            let person = |track: usize| people[order.iter().position(|&at| at == track).unwrap()];
            assert_eq!(person(1), person(0), "{order:?}");
            assert_ne!(person(1), person(2), "{order:?}");
        }
    }

    #[test]
    fn colors_and_features_each_have_a_veto() {
        let with = |level: u8, feature: f32| {
            let mut track = Appearance::new();
            track.add(usize::from(level), &ColorGrid::from_levels(|i| i as u8 / 2 + level), &[1.0, feature]);
            track
        };
        let likeness = |a: &Appearance, b: &Appearance| a.likeness(b).is_some();
        assert!(likeness(&with(0, 0.0), &with(20, 0.0)));
        assert!(!likeness(&with(0, 0.0), &with(21, 0.0)), "other colors in the same arrangement");
        assert!(likeness(&with(0, 0.0), &with(1, 1.7)));
        assert!(!likeness(&with(0, 0.0), &with(1, 1.8)), "a cosine of less than one half");
    }

    #[test]
    fn tracks_kept_apart_are_not_merged_through_a_third() {
        let tracks = [track(0, &[0]), track(0, &[1]), track(0, &[2])];
        assert_eq!(merge_tracks(&tracks, never), [0, 0, 0]);
        let apart = |one: usize, two: usize| one.min(two) == 0 && one.max(two) == 2;
        let people = merge_tracks(&tracks, apart);
        assert_ne!(people[0], people[2]);
        assert_eq!(people.iter().max(), Some(&1), "the one in between goes to one of them");
    }

    fn any_tracks() -> impl Strategy<Value = Vec<Appearance>> {
        let frames = prop::collection::btree_set(0_usize..12, 1..4);
        // Much noise and none: likenesses that differ and, often enough, ones that are equal.
        let noise = prop_oneof![prop::collection::vec(0_u8..12, VALUES), Just(vec![0; VALUES])];
        let one = (0_usize..4, frames, noise);
        prop::collection::vec(one, 0..9).prop_map(|all| {
            let colors = |person: usize, noise: &[u8]| {
                ColorGrid::from_levels(|i| ((i * (2 * person + 1) * 7) % 240) as u8 + noise[i])
            };
            let appearance =
                |(person, frames, noise): (usize, std::collections::BTreeSet<usize>, Vec<u8>)| {
                    let mut track = Appearance::new();
                    for frame in frames {
                        track.add(frame, &colors(person, &noise), &[1.0]);
                    }
                    track
                };
            let mut tracks: Vec<Appearance> = all.into_iter().map(appearance).collect();
            // Tracks that nothing tells apart could swap places.
            tracks.sort_by(Appearance::order);
            tracks.dedup_by(|one, other| one.order(other).is_eq());
            tracks
        })
    }

    proptest! {
        #[test]
        fn two_faces_of_one_frame_never_share_a_person(tracks in any_tracks()) {
            let people = merge_tracks(&tracks, never);
            for one in 0..tracks.len() {
                for two in 0..one {
                    if people[one] == people[two] {
                        prop_assert!(!tracks[one].shares_a_frame_with(&tracks[two]));
                        prop_assert!(tracks[one].likeness(&tracks[two]).is_some(), "every pair is alike");
                    }
                }
            }
        }

        #[test]
        fn the_order_of_the_tracks_does_not_matter(
            (tracks, order) in any_tracks().prop_flat_map(|tracks| {
                let order: Vec<usize> = (0..tracks.len()).collect();
                (Just(tracks), Just(order).prop_shuffle())
            })
        ) {
            let people = merge_tracks(&tracks, never);
            let shuffled: Vec<Appearance> = order.iter().map(|&track| tracks[track].clone()).collect();
            let of_shuffled = merge_tracks(&shuffled, never);
            for (one, &was_one) in order.iter().enumerate() {
                for (two, &was_two) in order.iter().enumerate() {
                    prop_assert_eq!(of_shuffled[one] == of_shuffled[two], people[was_one] == people[was_two]);
                }
            }
        }
    }
}

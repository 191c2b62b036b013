//! Near-duplicate pictures.

use std::collections::{BTreeMap, HashMap};

use image::RgbImage;
use image::imageops::{FilterType, grayscale, resize};

use crate::audit::{Crossing, CrossingKind};
use crate::groups::SplitSet;
use crate::{Sample, Split};

/// Columns and rows of the small picture.
const SIDE: usize = 16;
/// Bits in which the hashes of near-duplicates may differ.
const MAX_BITS: u32 = 6;
/// The hash in as many parts as `MAX_BITS` and one: two that differ in no more bits share a part.
const PARTS: u32 = MAX_BITS + 1;
const PART_BITS: u32 = 64 / PARTS;
/// Least correlation of the small pictures of near-duplicates.
const MIN_CORRELATION: f32 = 0.99;
/// Standard deviation of a small picture, of 255 levels, under which it shows nothing that could
/// be compared.
const FLAT: f32 = 2.0;

/// A perceptual hash, which changes little when a picture is recompressed, resized or brightened: a
/// difference hash (whether each of 9 x 8 cells is brighter than its neighbor) and the picture in 16 x 16
/// gray cells.
#[derive(Debug, Clone, PartialEq)]
pub struct PerceptualHash {
    hash: u64,
    /// Of mean 0 and length 1; `None` for a picture that shows nothing.
    cells: Option<[f32; SIDE * SIDE]>,
}

impl PerceptualHash {
    /// Of a picture of any size but an empty one.
    pub fn of(picture: &RgbImage) -> Self {
        let grey = grayscale(picture);
        // First to a size that the second step sees whole, however large the picture is.
        let small = resize(&grey, 4 * SIDE as u32, 4 * SIDE as u32, FilterType::Triangle);
        let rows = resize(&small, 9, 8, FilterType::Triangle);
        let mut hash = 0;
        for (x, y) in (0..8).flat_map(|y| (0..8).map(move |x| (x, y))) {
            hash = hash << 1 | u64::from(rows.get_pixel(x, y).0[0] < rows.get_pixel(x + 1, y).0[0]);
        }
        let cells = resize(&small, SIDE as u32, SIDE as u32, FilterType::Triangle);
        let mut values = [0.0; SIDE * SIDE];
        for (value, pixel) in values.iter_mut().zip(cells.as_raw()) {
            *value = f32::from(*pixel);
        }
        let mean = values.iter().sum::<f32>() / values.len() as f32;
        for value in &mut values {
            *value -= mean;
        }
        let length = values.iter().map(|value| value * value).sum::<f32>().sqrt();
        let shows_something = length > FLAT * SIDE as f32;
        Self { hash, cells: shows_something.then(|| values.map(|value| value / length)) }
    }

    /// Whether two pictures are near-duplicates. Pictures without content, such as black ones, never are.
    pub fn is_near(&self, other: &Self) -> bool {
        let (Some(own), Some(others)) = (&self.cells, &other.cells) else { return false };
        (self.hash ^ other.hash).count_ones() <= MAX_BITS
            && own.iter().zip(others).map(|(a, b)| a * b).sum::<f32>() >= MIN_CORRELATION
    }

    fn parts(&self) -> impl Iterator<Item = (u32, u64)> {
        let mask = (1 << PART_BITS) - 1;
        (0..PARTS).map(move |part| (part, self.hash >> (part * PART_BITS) & mask))
    }
}

/// Near-duplicate pictures in different splits, one crossing per group of them; its key names one
/// picture per split. Samples without a split, which cannot leak, are ignored.
///
/// A near-duplicate is not always a leak: an actor may look the same in two recordings. Inspect the
/// findings.
pub fn near_duplicates(pictures: &[(&Sample, PerceptualHash)]) -> Vec<Crossing> {
    let mut buckets: HashMap<(u32, u64), BTreeMap<Split, Vec<usize>>> = HashMap::new();
    for (at, (sample, perceptual_hash)) in pictures.iter().enumerate() {
        let Some(split) = sample.split.filter(|_| perceptual_hash.cells.is_some()) else { continue };
        for part in perceptual_hash.parts() {
            buckets.entry(part).or_default().entry(split).or_default().push(at);
        }
    }
    let mut group: Vec<usize> = (0..pictures.len()).collect();
    for bucket in buckets.values() {
        let splits: Vec<&Vec<usize>> = bucket.values().collect();
        for (number, &here) in splits.iter().enumerate() {
            for there in &splits[number + 1..] {
                for (&a, &b) in here.iter().flat_map(|a| there.iter().map(move |b| (a, b))) {
                    if pictures[a].1.is_near(&pictures[b].1) {
                        let (a, b) = (root(&mut group, a), root(&mut group, b));
                        // The first of a group stands for it, whatever the order of the buckets.
                        group[a.max(b)] = a.min(b);
                    }
                }
            }
        }
    }
    let mut groups: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
    for at in 0..pictures.len() {
        groups.entry(root(&mut group, at)).or_default().push(at);
    }
    groups
        .into_values()
        .filter(|members| members.len() > 1)
        .map(|members| crossing(pictures, &members))
        .collect()
}

fn root(group: &mut [usize], mut at: usize) -> usize {
    while group[at] != at {
        group[at] = group[group[at]];
        at = group[at];
    }
    at
}

fn crossing(pictures: &[(&Sample, PerceptualHash)], members: &[usize]) -> Crossing {
    let mut splits = SplitSet::default();
    let mut named: BTreeMap<Split, String> = BTreeMap::new();
    for &member in members {
        let sample = pictures[member].0;
        if let Some(split) = sample.split {
            splits.insert(split);
            named.entry(split).or_insert_with(|| sample.path.display().to_string());
        }
    }
    let key = named.into_values().collect::<Vec<_>>().join(" ~ ");
    Crossing { kind: CrossingKind::NearDuplicate, key, splits: splits.splits(), samples: members.len() }
}

#[cfg(test)]
mod tests {
    use image::codecs::jpeg::JpegEncoder;
    use image::imageops;

    use super::*;
    use crate::Label;

    /// Soft blobs, other ones for each seed.
    fn picture(seed: u32) -> RgbImage {
        let blobs: Vec<[f32; 4]> = (0..9)
            .map(|blob| {
                let draw = |at: u32| {
                    let mut bits = (seed * 9 + blob) * 4 + at;
                    for factor in [0x85EB_CA6B_u32, 0xC2B2_AE35] {
                        bits = (bits ^ bits >> 16).wrapping_mul(factor) ^ bits >> 13;
                    }
                    f64::from(bits) as f32 / u32::MAX as f32
                };
                [draw(0) * 120.0, draw(1) * 120.0, 8.0 + draw(2) * 20.0, draw(3) * 200.0 - 100.0]
            })
            .collect();
        RgbImage::from_fn(120, 120, |x, y| {
            let at = |[cx, cy, radius, height]: [f32; 4]| {
                let squared = (x as f32 - cx).powi(2) + (y as f32 - cy).powi(2);
                height * (-squared / (2.0 * radius * radius)).exp()
            };
            let value = 128.0 + blobs.iter().map(|blob| at(*blob)).sum::<f32>();
            image::Rgb([value as u8, (value * 0.9) as u8, (value * 0.8) as u8])
        })
    }

    fn jpeg(picture: &RgbImage, quality: u8) -> RgbImage {
        let mut bytes = Vec::new();
        JpegEncoder::new_with_quality(&mut bytes, quality).encode_image(picture).unwrap();
        image::load_from_memory(&bytes).unwrap().into_rgb8()
    }

    #[test]
    fn copies_are_near_and_others_are_not() {
        for seed in 0..40 {
            let original = picture(seed);
            let perceptual_hash = PerceptualHash::of(&original);
            let brighter = imageops::brighten(&original, 15);
            let smaller = resize(&original, 61, 61, FilterType::Triangle);
            let larger = resize(&original, 300, 280, FilterType::CatmullRom);
            for (name, copy) in [
                ("compressed", jpeg(&original, 30)),
                ("brighter", brighter),
                ("smaller", smaller),
                ("larger", larger),
            ] {
                assert!(perceptual_hash.is_near(&PerceptualHash::of(&copy)), "{seed} {name}");
            }
            for other in 0..40 {
                let near = perceptual_hash.is_near(&PerceptualHash::of(&picture(other)));
                assert_eq!(near, seed == other, "{seed} and {other}");
            }
            assert!(
                !perceptual_hash.is_near(&PerceptualHash::of(&imageops::flip_horizontal(&original))),
                "{seed}"
            );
        }
    }

    #[test]
    fn pictures_without_content_are_never_near_duplicates() {
        let black = PerceptualHash::of(&RgbImage::new(50, 40));
        assert!(!black.is_near(&black.clone()));
        assert!(!black.is_near(&PerceptualHash::of(&picture(3))));
    }

    #[test]
    fn near_duplicates_in_two_splits_are_found_in_any_order() {
        let sample = |path: &str, split| Sample { split, ..Sample::new(path, Label::Real, path) };
        let (train, test) = (Some(Split::Train), Some(Split::Test));
        let original = picture(1);
        let samples = [
            (sample("a", train), original.clone()),
            (sample("a again", train), jpeg(&original, 40)),
            (sample("a elsewhere", test), jpeg(&original, 60)),
            (sample("a nowhere", None), original),
            (sample("b", train), picture(2)),
            (sample("b again", train), picture(2)),
            (sample("c", test), picture(7)),
        ];
        let mut pictures: Vec<_> =
            samples.iter().map(|(sample, picture)| (sample, PerceptualHash::of(picture))).collect();
        let found = near_duplicates(&pictures);
        let expected = Crossing {
            kind: CrossingKind::NearDuplicate,
            key: "a ~ a elsewhere".to_owned(),
            splits: vec![Split::Train, Split::Test],
            samples: 3,
        };
        assert_eq!(found, [expected]);
        pictures.reverse();
        let reversed = near_duplicates(&pictures);
        assert_eq!((reversed.len(), reversed[0].samples), (1, 3));
        assert_eq!(near_duplicates(&[]), []);
    }
}

//! How many faces YuNet and MTCNN find, by size and by rotation.
//!
//! ```sh
//! cargo run --release -p deeptell-benches --example face_recall -- face_detection_yunet_2023mar.onnx PICTURE...
//! ```
//!
//! The faces are those of each picture that both find at the size of the picture, shrunk to 640 pixels a side. Each is
//! shown again at several heights and angles, in the middle of a view that is four times as large and shows what is
//! around it, and counts as found where a detector has a face with nearly its center and size. A last table compares the
//! boxes of the two, for which a classifier's crops have to be adjusted.

#![expect(clippy::print_stdout, reason = "that is all it does")]

use std::error::Error;

use burn::tensor::Device;
use deeptell_face::{
    Face, FaceDetector, FaceError, PictureLimits, Point, RgbImage, Similarity, read_picture, shrunk, warp,
};
use deeptell_mtcnn::MtcnnConfig;
use deeptell_yunet::{YuNetConfig, YuNetWeights};
use rayon::prelude::*;

/// Heights of the face's box, in pixels.
const HEIGHTS: [f32; 7] = [14.0, 20.0, 28.0, 40.0, 60.0, 120.0, 240.0];
/// Angles in the plane of the picture, in degrees.
const ANGLES: [f32; 7] = [0.0, 15.0, 30.0, 45.0, 60.0, 90.0, 180.0];
/// Height at which the angles are tried.
const TURNED_HEIGHT: f32 = 80.0;
/// Sides of a view, in heights of the face.
const VIEW: f32 = 4.0;
const MAX_SIDE: u32 = 640;

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let weights = YuNetWeights::read(arguments.next().ok_or("pass the ONNX file of YuNet and pictures")?)?;
    let device = Device::flex();
    let mtcnn = MtcnnConfig::default().min_face(12.0).init(&device)?;
    let yunet = YuNetConfig::default().init(&weights, &device)?;
    let less_strict = YuNetConfig::default().threshold(0.6).init(&weights, &device)?;
    let detectors: [&dyn FaceDetector; 3] = [&mtcnn, &yunet, &less_strict];

    let mut pictures = Vec::new();
    for path in arguments {
        match picture(&path) {
            Ok(picture) => pictures.push(picture),
            Err(error) => println!("left out: {path}: {error}"),
        }
    }
    let known = pictures.par_iter().map(|picture| common_faces(picture, [&mtcnn, &yunet]));
    let known: Vec<Known> = known.collect::<Result<Vec<_>, _>>()?.into_iter().flatten().collect();
    println!("{} faces that both find in {} pictures", known.len(), pictures.len());
    let mut alone = [0_usize; 3];
    for picture in &pictures {
        let found = found_alone(picture, detectors)?;
        alone.iter_mut().zip(found).for_each(|(sum, faces)| *sum += faces);
    }
    println!(
        "faces that MTCNN finds alone: {}; YuNet alone: {}; with scores from 0.6: {}\n",
        alone[0], alone[1], alone[2]
    );

    println!("height  MTCNN  YuNet  YuNet, scores from 0.6");
    for height in HEIGHTS {
        let found = recall(&known, height, 0.0, detectors)?;
        println!("{height:6}  {:5.3}  {:5.3}  {:5.3}", found[0], found[1], found[2]);
    }
    println!("\n angle  MTCNN  YuNet  YuNet, scores from 0.6, at a height of {TURNED_HEIGHT}");
    for angle in ANGLES {
        let found = recall(&known, TURNED_HEIGHT, angle, detectors)?;
        println!("{angle:6}  {:5.3}  {:5.3}  {:5.3}", found[0], found[1], found[2]);
    }
    println!("\nbox of YuNet to that of MTCNN: quartiles");
    let ratio = |name: &str, value: fn(&Face, &Face) -> f32| {
        let mut values: Vec<f32> = known.iter().map(|(_, [mtcnn, yunet])| value(mtcnn, yunet)).collect();
        values.sort_by(f32::total_cmp);
        let at = |quarter: usize| values.get(values.len() * quarter / 4).copied().unwrap_or(f32::NAN);
        println!("{name:16} {:7.4} {:7.4} {:7.4}", at(1), at(2), at(3));
    };
    ratio("width", |a, b| b.bbox.width() / a.bbox.width());
    ratio("height", |a, b| b.bbox.height() / a.bbox.height());
    ratio("right, in sides", |a, b| (b.bbox.center().x - a.bbox.center().x) / a.side());
    ratio("down, in sides", |a, b| (b.bbox.center().y - a.bbox.center().y) / a.side());
    Ok(())
}

/// A face that both find: the picture, and the face as each has it.
type Known = (RgbImage, [Face; 2]);

/// The picture at a path, shrunk to [`MAX_SIDE`].
fn picture(path: &str) -> Result<RgbImage, Box<dyn Error>> {
    let file = std::io::BufReader::new(std::fs::File::open(path)?);
    let image = read_picture(file, &PictureLimits::default())?.image;
    Ok(shrunk(&image, MAX_SIDE).unwrap_or(image))
}

/// The faces of a picture that both find, and the picture.
fn common_faces(image: &RgbImage, [first, second]: [&dyn FaceDetector; 2]) -> Result<Vec<Known>, FaceError> {
    let others = second.find(image, 0.9)?;
    let of_both = first.find(image, 0.99)?.into_iter().filter_map(|face| {
        let twin = others.iter().find(|other| is_at(other, face.bbox.center(), face.side()))?;
        (face.side() >= 40.0).then(|| (image.clone(), [face, *twin]))
    });
    Ok(of_both.collect())
}

/// How many faces of a picture MTCNN finds and neither setting of YuNet does, and each of these that MTCNN does not.
fn found_alone(image: &RgbImage, detectors: [&dyn FaceDetector; 3]) -> Result<[usize; 3], FaceError> {
    let mut found = Vec::with_capacity(3);
    for detector in detectors {
        found.push(detector.find(image, 0.0)?);
    }
    let without = |faces: &[Face], others: &[Face]| {
        let is_new = |face: &&Face| !others.iter().any(|other| is_at(other, face.bbox.center(), face.side()));
        faces.iter().filter(is_new).count()
    };
    Ok([without(&found[0], &found[2]), without(&found[1], &found[0]), without(&found[2], &found[0])])
}

/// The share of `faces` that each detector finds at this height and angle.
fn recall(
    faces: &[Known],
    height: f32,
    angle: f32,
    detectors: [&dyn FaceDetector; 3],
) -> Result<[f64; 3], FaceError> {
    let found = faces.par_iter().map(|(image, [face, _])| {
        let side = (VIEW * height) as u32;
        let middle = Point::new(side as f32 / 2.0, side as f32 / 2.0);
        let scale = face.bbox.height() / height;
        let place = Similarity::about(middle, face.bbox.center(), scale, angle.to_radians());
        let view = warp(image, &place, side, side);
        let expected = face.side() / scale;
        let mut found = [0_usize; 3];
        for (found, detector) in found.iter_mut().zip(detectors) {
            *found +=
                usize::from(detector.find(&view, 0.0)?.iter().any(|face| is_at(face, middle, expected)));
        }
        Ok::<_, FaceError>(found)
    });
    let sum = |a: [usize; 3], b: [usize; 3]| Ok(std::array::from_fn(|which| a[which] + b[which]));
    let found: [usize; 3] = found.try_reduce(|| [0; 3], sum)?;
    Ok(found.map(|found| found as f64 / faces.len().max(1) as f64))
}

/// Whether a face is nearly at `place` and nearly `side` pixels large.
fn is_at(face: &Face, place: Point, side: f32) -> bool {
    let center = face.bbox.center();
    let away = (center.x - place.x).hypot(center.y - place.y);
    away <= 0.35 * side && (0.6..1.67).contains(&(face.side() / side))
}

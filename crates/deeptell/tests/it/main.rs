//! The whole job on real files, with a network of seeded random weights.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking, in its helper functions too")]

mod face_detector;
mod inputs;
mod page;
mod people;
mod refusals;
mod scans;
mod shipped;
mod snapshots;

use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use burn::tensor::Device;
use deeptell::{
    Architecture, Calibration, Criteria, CropLevel, Decoding, Detector, Levels, Limits, ModelCard, ModelFile,
    PersonScoring, ScanOptions, StoredDtype, Thresholds,
};
use deeptell_face::{Point, RgbImage, Similarity, warp};
use deeptell_network::NetworkConfig;
use deeptell_video::{VideoCodec, VideoWriter, WriterOptions};
use tempfile::TempDir;

/// NASA's portrait of Eileen Collins, in the public domain.
fn portrait_path() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../deeptell-mtcnn/tests/data/astronaut.png")
}

fn portrait() -> RgbImage {
    image::open(portrait_path()).unwrap().into_rgb8()
}

fn card(calibration: Calibration) -> ModelCard {
    let thresholds = Thresholds { low: 0.25, high: 0.75 };
    let mut person = Criteria::new(PersonScoring::default(), thresholds);
    (person.min_frames, person.min_crop_width) = (3, 40.0);
    let levels = Levels::new(CropLevel::new(calibration, thresholds), person);
    let mut card = ModelCard::new("random", Architecture::MobileNetV3Small, levels);
    card.summary = "Knows nothing.".into();
    card.crop.scale = 1.2;
    card.trained_on = "Nothing.".into();
    card.limits = vec!["Its weights are random.".to_owned()];
    card
}

/// Writes a model file of random weights into `folder`.
fn random_model(folder: &Path, card: &ModelCard) -> PathBuf {
    let device = Device::flex();
    device.seed(7);
    let network = NetworkConfig::new(card.architecture, 1).init(&device);
    let path = folder.join("random.safetensors");
    ModelFile::new(&network, card.clone()).unwrap().write(&path, StoredDtype::F16).unwrap();
    path
}

fn detector_with(calibration: Calibration) -> Detector {
    let folder = TempDir::new().unwrap();
    here(Detector::load(random_model(folder.path(), &card(calibration)), &Device::flex()).unwrap())
}

/// `main` of a test program is not ours, so that it cannot serve as a decoder.
fn here(detector: Detector) -> Detector {
    detector.with_decoding(Decoding::in_process(Limits::default()))
}

/// A detector whose scores mean nothing, but are always the same.
static DETECTOR: LazyLock<Detector> = LazyLock::new(|| detector_with(Calibration::default()));

/// Quick options: few frames, no small faces.
fn options() -> ScanOptions {
    ScanOptions::default().frames(5).min_face(60.0)
}

/// Writes a clip of `frames` pictures, 25 a second.
fn write_clip(path: &Path, frames: usize, picture: impl Fn(usize) -> RgbImage) {
    let options = WriterOptions::default().codec(VideoCodec::Mpeg4);
    write_clip_as(path, &options, frames, picture);
}

fn write_clip_as(path: &Path, options: &WriterOptions, frames: usize, picture: impl Fn(usize) -> RgbImage) {
    let (width, height) = picture(0).dimensions();
    let mut writer = VideoWriter::create(path, width, height, options).unwrap();
    for i in 0..frames {
        writer.write(&picture(i)).unwrap();
    }
    writer.finish().unwrap();
}

/// The portrait, slowly zoomed and panned: 320 x 240 pixels, 25 frames.
fn portrait_clip(path: &Path) {
    let portrait = portrait();
    write_clip(path, 25, |i| portrait_at(&portrait, i));
}

/// The portrait as frame number `i` of its clip shows it.
fn portrait_at(portrait: &RgbImage, i: usize) -> RgbImage {
    let middle_in_clip = Point::new(160.0, 120.0);
    let middle_in_portrait = Point::new(225.0 + i as f32, 130.0);
    let scale = 1.0 - 0.008 * i as f32;
    let portrait_from_clip = Similarity::about(middle_in_clip, middle_in_portrait, scale, 0.0);
    warp(portrait, &portrait_from_clip, 320, 240)
}

/// A sky over a field that moves: no face anywhere.
fn landscape_clip(path: &Path) {
    write_clip(path, 25, |i| {
        RgbImage::from_fn(320, 240, |x, y| {
            let wave = ((x + 3 * i as u32) / 16 % 2) as u8;
            image::Rgb(if y < 120 { [90, 140, 200 - y as u8 / 2] } else { [60, 120 + 10 * wave, 50] })
        })
    });
}

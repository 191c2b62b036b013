//! What the benches work on: fixed inputs, made here or shipped with the sample.

use std::path::PathBuf;

use deeptell_face::RgbImage;
use image::imageops::{self, FilterType};

/// NASA's portrait of the astronaut Eileen Collins (public domain), 512x512 pixels.
///
/// # Errors
/// When the file is missing or no picture.
pub fn portrait() -> image::ImageResult<RgbImage> {
    let file = root().join("crates/deeptell-mtcnn/tests/data/astronaut.png");
    Ok(image::open(file)?.into_rgb8())
}

/// The portrait on a gray ground, one face of about a sixth of the height.
///
/// # Errors
/// As [`portrait`].
pub fn scene(width: u32, height: u32) -> image::ImageResult<RgbImage> {
    let side = height / 2;
    let portrait = imageops::resize(&portrait()?, side, side, FilterType::Triangle);
    // A gradient with texture, so that the background is no easier than a room.
    let mut scene = RgbImage::from_fn(width, height, |x, y| {
        let texture = ((x * 7 + y * 13) ^ (x * y / 5)) % 23;
        image::Rgb([60 + (x * 90 / width + texture) as u8, 70 + (y * 80 / height) as u8, 90 + texture as u8])
    });
    imageops::replace(&mut scene, &portrait, i64::from(width / 3), i64::from(height / 4));
    Ok(scene)
}

/// Face crops of the network's size that differ from each other.
///
/// # Errors
/// As [`portrait`].
pub fn crops(count: u32) -> image::ImageResult<Vec<RgbImage>> {
    let portrait = portrait()?;
    Ok((0..count)
        .map(|i| imageops::crop_imm(&portrait, 100 + i % 16, 20 + i / 16, 224, 224).to_image())
        .collect())
}

/// A clip of the sample that ships: 24 frames of 320x320 pixels, H.264.
pub fn sample_clip() -> PathBuf {
    root().join("datasets/sample/real/nasa-collins.mp4")
}

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("..")
}

//! Finds the faces of an image and draws them.
//!
//! ```sh
//! cargo run --release -p deeptell-mtcnn --example detect -- photo.jpg faces.png [smallest face in pixels]
//! ```
//!
//! Prints one JSON object a face, the largest face first.

use std::error::Error;

use burn::tensor::Device;
use deeptell_face::{Rect, RgbImage};
use deeptell_mtcnn::{FaceSize, MtcnnConfig};
use image::Rgb;
use imageproc::drawing::{draw_filled_circle_mut, draw_hollow_rect_mut};

const BOX: Rgb<u8> = Rgb([255, 200, 0]);
const LANDMARK: Rgb<u8> = Rgb([0, 255, 120]);

#[expect(clippy::print_stdout, reason = "an example talks to its user")]
fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let (input, output, min_face) = match arguments.as_slice() {
        [input, output] => (input, output, None),
        [input, output, min_face] => (input, output, Some(min_face.parse()?)),
        _ => return Err("usage: detect INPUT OUTPUT.png [smallest face in pixels]".into()),
    };
    let mut config = MtcnnConfig::default();
    if let Some(min_face) = min_face {
        config.min_face = FaceSize::Pixels(min_face);
    }
    let mut image = image::open(input)?.into_rgb8();
    let faces = config.init(&Device::flex())?.detect(&image)?;
    for face in &faces {
        println!("{}", serde_json::to_string(face)?);
        draw_box(&mut image, &face.bbox);
        for point in face.landmarks.points() {
            draw_filled_circle_mut(&mut image, (point.x as i32, point.y as i32), 2, LANDMARK);
        }
    }
    image.save(output)?;
    Ok(())
}

/// Two lines along each edge of `bbox`; what lies beyond the image is left out.
fn draw_box(image: &mut RgbImage, bbox: &Rect) {
    for inset in [0, 1] {
        let (x, y) = (bbox.x1.round() as i32 + inset, bbox.y1.round() as i32 + inset);
        let (width, height) = (bbox.x2.round() as i32 - inset - x, bbox.y2.round() as i32 - inset - y);
        if width > 0 && height > 0 {
            let edge = imageproc::rect::Rect::at(x, y).of_size(width as u32, height as u32);
            draw_hollow_rect_mut(image, edge, BOX);
        }
    }
}

//! Finds the faces of an image and draws them.
//!
//! ```sh
//! cargo run --release -p deeptell-mtcnn --example detect -- photo.jpg faces.png [smallest face in pixels]
//! ```
//!
//! Prints one JSON object a face, the largest face first.

use std::error::Error;

use burn::tensor::Device;
use deeptell_image::{Point, Rect, RgbImage};
use deeptell_mtcnn::MtcnnConfig;
use image::Rgb;

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
        config.min_face = min_face;
    }
    let mut image = image::open(input)?.into_rgb8();
    let faces = config.init(&Device::flex())?.detect(&image)?;
    for face in &faces {
        println!("{}", serde_json::to_string(face)?);
        draw_box(&mut image, &face.bbox);
        for point in face.landmarks.points() {
            draw_point(&mut image, point);
        }
    }
    image.save(output)?;
    Ok(())
}

/// Lines two pixels thick along the edges of `bbox`.
fn draw_box(image: &mut RgbImage, bbox: &Rect) {
    let Rect { x1, y1, x2, y2 } = *bbox;
    for (x1, y1, x2, y2) in [(x1, y1, x2, y1), (x1, y2, x2, y2), (x1, y1, x1, y2), (x2, y1, x2, y2)] {
        fill(image, &Rect::new(x1 - 1.0, y1 - 1.0, x2 + 1.0, y2 + 1.0), BOX);
    }
}

/// A square of three pixels around `point`.
fn draw_point(image: &mut RgbImage, point: Point) {
    let area = Rect::new(point.x - 1.5, point.y - 1.5, point.x + 1.5, point.y + 1.5);
    fill(image, &area, LANDMARK);
}

/// Colours the pixels of `area` that the image has.
fn fill(image: &mut RgbImage, area: &Rect, colour: Rgb<u8>) {
    let Some(area) = area.clamped(image.width(), image.height()) else { return };
    for y in area.y1 as u32..area.y2 as u32 {
        for x in area.x1 as u32..area.x2 as u32 {
            image.put_pixel(x, y, colour);
        }
    }
}

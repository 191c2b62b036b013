//! Makes the seeds in `fuzz/corpus` that are not text: small pictures, messages of the decoding process,
//! model files with few tensors, reports.

use std::fs;
use std::io::Cursor;
use std::path::Path;

use image::codecs::jpeg::JpegEncoder;
use image::{DynamicImage, ImageFormat, RgbImage};

type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;

fn main() -> Result<()> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus");
    for (kind, seeds) in [("picture", pictures()?), ("wire", messages())] {
        write(&root.join(kind), &seeds)?;
    }
    #[cfg(feature = "networks")]
    for (kind, seeds) in [("model", models()?), ("report", reports()?)] {
        write(&root.join(kind), &seeds)?;
    }
    Ok(())
}

type Seeds = Vec<(String, Vec<u8>)>;

fn write(folder: &Path, seeds: &Seeds) -> Result<()> {
    fs::create_dir_all(folder)?;
    for (name, bytes) in seeds {
        fs::write(folder.join(name), bytes)?;
    }
    Ok(())
}

fn pictures() -> Result<Seeds> {
    let picture = DynamicImage::ImageRgb8(RgbImage::from_fn(24, 17, |x, y| {
        image::Rgb([(x * 10) as u8, (y * 15) as u8, (x * y) as u8])
    }));
    let mut seeds = Vec::new();
    let kinds = [
        ("rgb", picture.clone()),
        ("rgba", DynamicImage::ImageRgba8(picture.to_rgba8())),
        ("grey", DynamicImage::ImageLuma8(picture.to_luma8())),
        ("deep", DynamicImage::ImageRgb16(picture.to_rgb16())),
    ];
    let formats = [
        ("png", ImageFormat::Png),
        ("webp", ImageFormat::WebP),
        ("bmp", ImageFormat::Bmp),
        ("jpg", ImageFormat::Jpeg),
    ];
    for (kind, picture) in &kinds {
        for (extension, format) in formats {
            let mut bytes = Cursor::new(Vec::new());
            // Not every format has every kind of pixel.
            if picture.write_to(&mut bytes, format).is_ok() {
                seeds.push((format!("{kind}.{extension}"), bytes.into_inner()));
            }
        }
    }
    let mut jpeg = Vec::new();
    picture.write_with_encoder(JpegEncoder::new_with_quality(&mut jpeg, 60))?;
    // Orientation 6, in a segment of its own behind the start mark.
    let exif = b"\xff\xe1\0\x22Exif\0\0MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0\x06\0\0\0\0\0\0";
    seeds.push(("turned.jpg".to_owned(), [&jpeg[..2], exif, &jpeg[2..]].concat()));
    seeds.push(("cut.jpg".to_owned(), jpeg[..jpeg.len() * 2 / 3].to_vec()));
    seeds.push(("no-end-mark.jpg".to_owned(), jpeg[..jpeg.len() - 2].to_vec()));
    Ok(seeds)
}

fn messages() -> Seeds {
    let frame = r#"{"Frame":{"width":3,"height":2,"pts_seconds":0.5,"index":7,"repeats_previous":false,"is_shared":false}}"#;
    let texts = [
        ("frame", vec![frame, r#""End""#]),
        ("failed", vec![r#"{"Failed":{"TooLarge":{"width":9,"height":8,"max_pixels":7}}}"#]),
        ("io", vec![r#"{"Failed":{"Io":{"code":2,"detail":"none"}}}"#]),
        ("picture-failed", vec![r#"{"Failed":{"Picture":{"Damaged":"no"}}}"#]),
        ("warnings", vec![r#"{"Warnings":[{"code":"clock_jumps","count":2}]}"#, frame]),
        ("attempted", vec![r#"{"Attempted":-1}"#]),
        ("describe", vec![r#""Describe""#]),
    ];
    let message = |text: &str| [&(text.len() as u32).to_le_bytes(), text.as_bytes()].concat();
    texts
        .into_iter()
        .map(|(name, texts)| (name.to_owned(), texts.into_iter().flat_map(message).collect()))
        .collect()
}

/// The shipped model with its smallest tensors alone, and its card.
#[cfg(feature = "networks")]
fn models() -> Result<Seeds> {
    use deeptell_weights::{StoredDtype, Weights};

    let shipped = deeptell::ModelFile::shipped()?;
    let whole = Weights::from_bytes(&shipped.encode(StoredDtype::F16)?, "shipped")?;
    let few = |count: usize| {
        let mut tensors = whole.tensors.clone();
        tensors.sort_by_key(|tensor| tensor.values.len());
        tensors.truncate(count);
        Weights { tensors, ..whole.clone() }
    };
    Ok(vec![
        ("card.safetensors".to_owned(), few(0).to_bytes(StoredDtype::F16)?),
        ("few.safetensors".to_owned(), few(9).to_bytes(StoredDtype::F16)?),
        ("full.safetensors".to_owned(), few(3).to_bytes(StoredDtype::F32)?),
    ])
}

/// Reports of pictures made here, in which a face is said to be, or none.
#[cfg(feature = "networks")]
fn reports() -> Result<Seeds> {
    use std::sync::Arc;

    use deeptell::{
        Detector, Device, Face, FaceDetector, FaceDetectorId, FaceError, Input, InputFrame, Rect, ScanOptions,
    };

    /// Takes the middle of every picture for a face.
    #[derive(Debug)]
    struct Middle;

    impl FaceDetector for Middle {
        fn id(&self) -> FaceDetectorId {
            FaceDetectorId::new("middle")
        }

        fn detect(&self, images: &[&RgbImage]) -> std::result::Result<Vec<Vec<Face>>, FaceError> {
            let middle = |image: &&RgbImage| {
                let whole = Rect::new(0.0, 0.0, image.width() as f32, image.height() as f32);
                vec![Face::frontal(whole.scaled(0.5), 1.0)]
            };
            Ok(images.iter().map(middle).collect())
        }
    }

    let detector = Detector::shipped(&Device::flex())?;
    let image = RgbImage::from_fn(320, 240, |x, y| image::Rgb([(x ^ y) as u8, (x * 3) as u8, (y * 5) as u8]));
    let none = detector.scan(Input::picture("none.png", &image), &ScanOptions::default())?.report;
    let detector = detector.with_face_detector(Arc::new(Middle));
    let frames = (0..3_u8)
        .map(|number| InputFrame::new(image.clone(), f64::from(number) * 0.5).with_index(number.into()));
    let people = detector.scan(Input::frames("faces.mp4", frames), &ScanOptions::default())?.report;
    let line = |report| serde_json::to_vec(report).map(|text| [&text[..], b"\n"].concat());
    let failure = b"{\"path\":\"broken.mp4\",\"error\":\"broken\"}\n".to_vec();
    let both = [line(&none)?, failure.clone(), line(&people)?].concat();
    Ok(vec![
        ("none.jsonl".to_owned(), line(&none)?),
        ("people.jsonl".to_owned(), line(&people)?),
        ("failure.jsonl".to_owned(), failure),
        ("all.jsonl".to_owned(), both),
    ])
}

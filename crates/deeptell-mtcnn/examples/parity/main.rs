//! Holds the detector against what facenet-pytorch made of the same pixels, stage by stage.
//!
//! ```sh
//! cargo run --release -p deeptell-mtcnn --example parity -- FOLDER
//! ```
//!
//! The folder holds
//! - `reference.json`: for each picture `{"png", "min_face_20": {"boxes", "probs", "landmarks"},
//!   "min_face_40": {...}}`, paths relative to the folder;
//! - `intermediates/*.npz`: for some of them, at a smallest face of 20 pixels, what went in and
//!   out of every stage: `pyr_i_{input,prob,reg}` for each level, `stage1_boxes`,
//!   `rnet_in_first64`, `rnet_prob`, `rnet_reg`, `stage2_boxes`, `onet_in`, `onet_prob`,
//!   `onet_reg`, `onet_lm`, `final_boxes`, `final_points`.
//!
//! Each stage is fed what the reference's stage was fed, so the first line that says FAILED names
//! the stage at fault. Ends with exit code 1 if there is one.

mod archive;
mod report;
mod stages;

use std::error::Error;
use std::path::Path;
use std::process::ExitCode;

use burn::tensor::Device;
use deeptell_face::{Face, Rect, RgbImage};
use deeptell_mtcnn::{FaceSize, Mtcnn, MtcnnConfig};
use report::Report;
use serde_json::Value;

fn main() -> ExitCode {
    let Some(folder) = std::env::args_os().nth(1) else {
        report::say("usage: parity FOLDER");
        return ExitCode::from(2);
    };
    match compare(Path::new(&folder)) {
        Ok(report) if report.failed == 0 => {
            report::say(&format!("all {} checks passed", report.checks));
            ExitCode::SUCCESS
        }
        Ok(report) => {
            report::say(&format!("{} of {} checks FAILED", report.failed, report.checks));
            ExitCode::FAILURE
        }
        Err(error) => {
            report::say(&format!("{}: {error}", folder.display()));
            ExitCode::from(2)
        }
    }
}

fn compare(folder: &Path) -> Result<Report, Box<dyn Error>> {
    let reference: Value = serde_json::from_str(&std::fs::read_to_string(folder.join("reference.json"))?)?;
    let mut pictures = Vec::new();
    for (name, entry) in reference.as_object().ok_or("reference.json holds no object")? {
        let file = entry["png"].as_str().ok_or("a picture without `png`")?;
        pictures.push((name.as_str(), image::open(folder.join(file))?.into_rgb8(), entry));
    }
    let mut report = Report::default();
    let detector =
        |min_face: f32| MtcnnConfig::default().min_face(FaceSize::Pixels(min_face)).init(&Device::flex());
    let mtcnn = detector(20.0)?;
    let intermediates = folder.join("intermediates");
    if intermediates.is_dir() {
        let mut files: Vec<_> = std::fs::read_dir(&intermediates)?.collect::<Result<_, _>>()?;
        files.sort_by_key(std::fs::DirEntry::path);
        for file in files {
            let arrays = archive::read(&file.path())?;
            report.section(&file.file_name().to_string_lossy());
            let images: Vec<&RgbImage> = pictures.iter().map(|(_, image, _)| image).collect();
            stages::compare(&mtcnn, &images, &arrays, &mut report)?;
        }
    }
    report.section("faces");
    for min_face in [20.0, 40.0] {
        let mtcnn = detector(min_face)?;
        for (name, image, entry) in &pictures {
            let expected = &entry[format!("min_face_{min_face}")];
            compare_faces(&format!("{name}, from {min_face} px"), &mtcnn, image, expected, &mut report)?;
        }
    }
    Ok(report)
}

/// Boxes, probabilities and landmarks of all faces of a picture.
fn compare_faces(
    name: &str,
    mtcnn: &Mtcnn,
    image: &RgbImage,
    expected: &Value,
    report: &mut Report,
) -> Result<(), Box<dyn Error>> {
    let boxes: Vec<[f32; 4]> = serde_json::from_value(expected["boxes"].clone())?;
    let probabilities: Vec<f32> = serde_json::from_value(expected["probs"].clone())?;
    let landmarks: Vec<[[f32; 2]; 5]> = serde_json::from_value(expected["landmarks"].clone())?;
    let found = mtcnn.detect(image)?;
    report.equal(&format!("{name}: number of faces"), found.len(), boxes.len());
    let (mut overlap, mut of_probability, mut of_landmarks) = (1.0_f32, 0.0_f32, 0.0_f32);
    for ((bbox, probability), points) in boxes.into_iter().zip(probabilities).zip(landmarks) {
        let Some(face) = nearest(&found, bbox) else { continue };
        overlap = overlap.min(iou(face, bbox));
        of_probability = of_probability.max((face.probability - probability).abs());
        for (point, [x, y]) in face.landmarks.points().iter().zip(points) {
            of_landmarks = of_landmarks.max((point.x - x).abs()).max((point.y - y).abs());
        }
    }
    report.at_most(&format!("{name}: 1 - least overlap of boxes"), 1.0 - overlap, 1e-3);
    report.at_most(&format!("{name}: probabilities"), of_probability, 1e-3);
    report.at_most(&format!("{name}: landmarks in pixels"), of_landmarks, 0.1);
    Ok(())
}

fn iou(face: &Face, [x1, y1, x2, y2]: [f32; 4]) -> f32 {
    face.bbox.iou(&Rect::new(x1, y1, x2, y2))
}

fn nearest(faces: &[Face], bbox: [f32; 4]) -> Option<&Face> {
    faces.iter().max_by(|a, b| iou(a, bbox).total_cmp(&iou(b, bbox)))
}

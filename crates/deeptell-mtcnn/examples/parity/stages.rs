//! The cascade's stages, each on what the reference's stage was given.

use std::collections::HashMap;
use std::error::Error;

use burn::tensor::{Device, Tensor, TensorData};
use deeptell_face::{Face, Rect, RgbImage};
use deeptell_mtcnn::Mtcnn;
use deeptell_mtcnn::stages::{Candidate, Window, pyramid, resample};

use crate::archive::Array;
use crate::report::Report;

type Arrays = HashMap<String, Array>;

pub(crate) fn compare(
    mtcnn: &Mtcnn,
    images: &[&RgbImage],
    arrays: &Arrays,
    report: &mut Report,
) -> Result<(), Box<dyn Error>> {
    let array = |name: &str| arrays.get(name).ok_or_else(|| format!("there is no array `{name}`"));
    // The archive does not say whose it is, but its first level does.
    let first = array("pyr_0_input")?;
    let difference = |image: &&RgbImage| match first.shape.as_slice() {
        &[1, 3, height, width] => {
            largest(&resample(image, Window::whole(image), width, height), &first.values)
        }
        _ => f32::INFINITY,
    };
    let image = images.iter().min_by(|a, b| difference(a).total_cmp(&difference(b)));
    let image = *image.ok_or("there is no picture")?;

    let levels = pyramid(image.width(), image.height(), 20.0, 0.709);
    let expected =
        (0..arrays.len()).take_while(|level| arrays.contains_key(&format!("pyr_{level}_input"))).count();
    report.equal("pyramid: levels", levels.len(), expected);
    let (mut pixels, mut probability, mut regression) = (0.0_f32, 0.0_f32, 0.0_f32);
    for (number, level) in levels.iter().enumerate() {
        let input = array(&format!("pyr_{number}_input"))?;
        let planes = resample(image, Window::whole(image), level.width, level.height);
        pixels = pixels.max(largest(&planes, &input.values));
        let output = mtcnn.stages().networks().pnet.forward(tensor(input)?);
        probability = probability.max(differ(output.probability, array(&format!("pyr_{number}_prob"))?)?);
        regression = regression.max(differ(output.regression, array(&format!("pyr_{number}_reg"))?)?);
    }
    report.at_most("pyramid: pixels", pixels, 1e-5);
    report.at_most("P-Net: probabilities", probability, 1e-4);
    report.at_most("P-Net: regression", regression, 1e-4);

    let proposed = candidates(array("stage1_boxes")?);
    compare_candidates("proposals", &mtcnn.stages().propose(&[image])?[0], &proposed, report);

    let crops = array("rnet_in_first64")?;
    let (pixels, _) = cut(image, &proposed[..crops.shape[0].min(proposed.len())], 24);
    report.at_most("R-Net: crops", largest(&pixels, &crops.values), 1e-5);
    let (pixels, count) = cut(image, &proposed, 24);
    let output = mtcnn.stages().networks().rnet.forward(batch(pixels, count, 24));
    report.at_most("R-Net: probabilities", differ(output.probability, array("rnet_prob")?)?, 1e-4);
    report.at_most("R-Net: regression", differ(output.regression, array("rnet_reg")?)?, 1e-4);

    let refined = candidates(array("stage2_boxes")?);
    compare_candidates("refinement", &mtcnn.stages().refine(&[image], &[proposed])?[0], &refined, report);

    let crops = array("onet_in")?;
    let (pixels, count) = cut(image, &refined, 48);
    report.at_most("O-Net: crops", largest(&pixels, &crops.values), 1e-5);
    let output = mtcnn.stages().networks().onet.forward(batch(pixels, count, 48));
    report.at_most("O-Net: probabilities", differ(output.probability, array("onet_prob")?)?, 1e-4);
    report.at_most("O-Net: regression", differ(output.regression, array("onet_reg")?)?, 1e-4);
    report.at_most("O-Net: landmarks", differ(output.landmarks, array("onet_lm")?)?, 1e-4);

    let faces = mtcnn.stages().conclude(&[image], &[refined])?.remove(0);
    let as_candidate = |face: &Face| Candidate { bbox: face.bbox, probability: face.probability };
    let found: Vec<Candidate> = faces.iter().map(as_candidate).collect();
    let expected = candidates(array("final_boxes")?);
    compare_candidates("conclusion", &found, &expected, report);
    let mut distance = 0.0_f32;
    for (candidate, points) in expected.iter().zip(array("final_points")?.rows::<10>()) {
        let Some(face) =
            faces.iter().max_by(|a, b| a.bbox.iou(&candidate.bbox).total_cmp(&b.bbox.iou(&candidate.bbox)))
        else {
            continue;
        };
        for (point, expected) in face.landmarks.points().iter().zip(points.as_chunks::<2>().0) {
            distance = distance.max((point.x - expected[0]).abs()).max((point.y - expected[1]).abs());
        }
    }
    report.at_most("conclusion: landmarks in pixels", distance, 0.1);
    Ok(())
}

/// Rows of x1, y1, x2, y2, probability.
fn candidates(boxes: &Array) -> Vec<Candidate> {
    let candidate =
        |[x1, y1, x2, y2, probability]: [f32; 5]| Candidate { bbox: Rect::new(x1, y1, x2, y2), probability };
    boxes.rows().into_iter().map(candidate).collect()
}

fn compare_candidates(stage: &str, found: &[Candidate], expected: &[Candidate], report: &mut Report) {
    report.equal(&format!("{stage}: boxes"), found.len(), expected.len());
    let (mut overlap, mut probability) = (1.0_f32, 0.0_f32);
    for candidate in expected {
        let best = found.iter().max_by(|a, b| {
            // Where boxes coincide, the one of the same probability is meant.
            let rank =
                |c: &Candidate| (c.bbox.iou(&candidate.bbox), -(c.probability - candidate.probability).abs());
            let (a, b) = (rank(a), rank(b));
            a.0.total_cmp(&b.0).then(a.1.total_cmp(&b.1))
        });
        overlap = overlap.min(best.map_or(0.0, |best| best.bbox.iou(&candidate.bbox)));
        probability =
            probability.max(best.map_or(1.0, |best| (best.probability - candidate.probability).abs()));
    }
    report.at_most(&format!("{stage}: 1 - least overlap"), 1.0 - overlap, 1e-3);
    report.at_most(&format!("{stage}: probabilities"), probability, 1e-4);
}

/// The crops of `candidates` as a network with an input of `side` pixels gets them, and how many.
fn cut(image: &RgbImage, candidates: &[Candidate], side: usize) -> (Vec<f32>, usize) {
    let (width, height) = image.dimensions();
    let windows = candidates.iter().filter_map(|candidate| candidate.window(width, height));
    let crops: Vec<Vec<f32>> = windows.map(|window| resample(image, window, side, side)).collect();
    (crops.concat(), crops.len())
}

fn batch(pixels: Vec<f32>, count: usize, side: usize) -> Tensor<4> {
    Tensor::from_data(TensorData::new(pixels, [count, 3, side, side]), &Device::flex())
}

fn tensor(array: &Array) -> Result<Tensor<4>, Box<dyn Error>> {
    let shape = <[usize; 4]>::try_from(array.shape.as_slice())?;
    Ok(Tensor::from_data(TensorData::new(array.values.clone(), shape), &Device::flex()))
}

fn differ<const D: usize>(found: Tensor<D>, expected: &Array) -> Result<f32, Box<dyn Error>> {
    let found: Vec<f32> = found.into_data().try_into_vec().map_err(|error| format!("{error:?}"))?;
    Ok(largest(&found, &expected.values))
}

/// The largest difference; infinite where the lengths differ.
fn largest(found: &[f32], expected: &[f32]) -> f32 {
    if found.len() != expected.len() {
        return f32::INFINITY;
    }
    found.iter().zip(expected).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max)
}

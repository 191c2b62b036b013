//! From a still to a scene that a camera can move over.

use anyhow::Context as _;
use deeptell_face::{Face, FaceDetector as _, Landmarks, Point, RgbImage, Similarity, warp};
use deeptell_mtcnn::Mtcnn;
use image::Rgb;
use image::imageops::{FilterType, fast_blur, resize};
use rand::RngExt as _;
use rand_chacha::ChaCha8Rng;

use crate::stills::Still;

/// Side of a scene in pixels: what the camera shows, with room to move.
pub(crate) const SCENE_SIDE: u32 = 400;

/// Height of a face in a scene, smallest and largest, in pixels.
const FACE_HEIGHT: [f32; 2] = [135.0, 170.0];

/// Furthest the middle of a face lies from that of its scene, in pixels.
const FACE_OFFSET: f32 = 14.0;

/// Pixels over which a still fades into the background.
const FADE: f32 = 24.0;

/// Blur of the background, in pixels.
const BACKGROUND_BLUR: f32 = 12.0;

/// Shorter side below which a still is enlarged for the face detector, in pixels.
const SMALLEST_SIDE: u32 = 280;

/// Probability from which on a face counts, as it does for `deeptell extract`.
pub(crate) const FACE_PROBABILITY: f32 = 0.9;

/// Largest exponent of the tint of a gray still, away from 1.
const TINT: [f32; 2] = [0.06, 0.2];

/// A person in a scene of [`SCENE_SIDE`] pixels squared.
pub(crate) struct Portrait {
    pub(crate) still: Still,
    pub(crate) scene: RgbImage,
    /// In pixels of the scene.
    pub(crate) landmarks: Landmarks,
}

impl Portrait {
    /// Which of `others` has the face that lies most alike, by the distance of the landmarks once aligned; `None`
    /// where there is none that can be aligned.
    pub(crate) fn most_alike(&self, others: &[Self]) -> Option<usize> {
        let here = self.landmarks.points();
        let misfit = |other: &Self| {
            let there = other.landmarks.points();
            let fit = Similarity::estimate(&there, &here)?;
            Some(here.iter().zip(there).map(|(p, q)| fit.apply(q).distance(*p)).sum::<f32>())
        };
        let fitting = others.iter().enumerate().filter_map(|(index, other)| Some((index, misfit(other)?)));
        fitting.min_by(|(_, a), (_, b)| a.total_cmp(b)).map(|(index, _)| index)
    }
}

/// Finds faces and sets scenes.
pub(crate) struct Studio {
    pub(crate) mtcnn: Mtcnn,
}

impl Studio {
    pub(crate) fn new(mtcnn: Mtcnn) -> Self {
        Self { mtcnn }
    }

    /// A scene from the still whose face is found most surely; `None` when no still of the person shows one.
    pub(crate) fn best_portrait(
        &self,
        stills: &[Still],
        rng: impl FnOnce() -> ChaCha8Rng,
    ) -> anyhow::Result<Option<Portrait>> {
        let mut best: Option<(&Still, RgbImage, Face)> = None;
        for still in stills {
            let image =
                image::open(&still.file).with_context(|| still.file.display().to_string())?.into_rgb8();
            let Some(face) = self.find(&image)? else { continue };
            if best.as_ref().is_none_or(|(.., known)| face.probability > known.probability) {
                best = Some((still, image, face));
            }
        }
        Ok(best.map(|(still, image, face)| {
            let (scene, landmarks) = set_scene(&image, &face, &mut rng());
            Portrait { still: still.clone(), scene, landmarks }
        }))
    }

    /// The face of a still, in its pixels.
    fn find(&self, image: &RgbImage) -> anyhow::Result<Option<Face>> {
        let shorter = image.width().min(image.height()).max(1);
        let factor = (SMALLEST_SIDE as f32 / shorter as f32).max(1.0);
        let enlarged = enlarge(image, factor);
        let faces = self.mtcnn.find(&enlarged, FACE_PROBABILITY)?;
        Ok(faces.first().map(|face| face.stretched(1.0 / factor, 1.0 / factor)))
    }
}

fn enlarge(image: &RgbImage, factor: f32) -> RgbImage {
    let side = |pixels: u32| (pixels as f32 * factor).round().max(1.0) as u32;
    resize(image, side(image.width()), side(image.height()), FilterType::CatmullRom)
}

/// Puts a still into a scene, with the face near the middle and the background grown out of the still's edges.
fn set_scene(still: &RgbImage, face: &Face, rng: &mut ChaCha8Rng) -> (RgbImage, Landmarks) {
    let factor = rng.random_range(FACE_HEIGHT[0]..FACE_HEIGHT[1]) / face.bbox.height();
    let [dx, dy] = [(); 2].map(|()| rng.random_range(-FACE_OFFSET..FACE_OFFSET));
    let tint = draw_tint(rng);

    let mut picture = enlarge(still, factor);
    if still.pixels().all(|&Rgb([red, green, blue])| red == green && green == blue) {
        for Rgb(pixel) in picture.pixels_mut() {
            *pixel = std::array::from_fn(|channel| bend(pixel[channel], tint[channel]));
        }
    }
    let face = face.stretched(factor, factor);
    let middle = 0.5 * SCENE_SIDE as f32;
    let Point { x, y } = face.bbox.center();
    // Whole pixels, so that moving the picture does not blur it.
    let (left, top) = ((middle + dx - x).round(), (middle + dy - y).round());

    let picture_from_scene = Similarity { tx: -left, ty: -top, ..Similarity::identity() };
    let mut scene = warp(&picture, &picture_from_scene, SCENE_SIDE, SCENE_SIDE);
    let background = fast_blur(&scene, BACKGROUND_BLUR);
    let (right, bottom) = (left + picture.width() as f32, top + picture.height() as f32);
    for (column, row, pixel) in scene.enumerate_pixels_mut() {
        let (x, y) = (column as f32 + 0.5, row as f32 + 0.5);
        let inside = (x - left).min(right - x).min(y - top).min(bottom - y);
        let share = smooth(inside / FADE);
        let behind = background.get_pixel(column, row).0;
        for (value, behind) in pixel.0.iter_mut().zip(behind) {
            *value = (share * f32::from(*value) + (1.0 - share) * f32::from(behind) + 0.5) as u8;
        }
    }
    (scene, face.landmarks.map(|p| Point::new(p.x + left, p.y + top)))
}

/// Exponents for red, green and blue: warm, as skin and lamps are, and of a different strength for each person.
fn draw_tint(rng: &mut ChaCha8Rng) -> [f32; 3] {
    let strength = rng.random_range(TINT[0]..TINT[1]);
    let green = rng.random_range(-0.3..0.3) * strength;
    [1.0 - strength, 1.0 + green, 1.0 + strength]
}

/// Raises a value to a power, on the scale that leaves black and white where they are.
fn bend(value: u8, exponent: f32) -> u8 {
    ((f32::from(value) / 255.0).powf(exponent) * 255.0 + 0.5) as u8
}

/// From 0 to 1 as `t` goes from 0 to 1, level at both ends.
fn smooth(t: f32) -> f32 {
    let t = t.clamp(0.0, 1.0);
    t * t * (3.0 - 2.0 * t)
}

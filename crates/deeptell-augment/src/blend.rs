use deeptell_face::{Landmarks, Point, Rect, Similarity, warp};
use image::{GrayImage, Luma, RgbImage, imageops};
use rand::{Rng, RngExt};
use serde::{Deserialize, Serialize};

use crate::AugmentError;
use crate::color::ColorTransform;
use crate::degrade::{sharpen, shrink_and_enlarge};
use crate::face_shape::{FaceFit, MaskKind};
use crate::mask::{Mask, blur_reach};
use crate::random::{happens, signed, weighted, within};
use crate::seam::{Seam, leave_trace};

/// Makes fakes out of real faces: self-blended images (Shiohara and Yamasaki, "Detecting
/// Deepfakes with Self-Blended Images", CVPR 2022, section 3).
///
/// A copy of the face is changed a little in color and sharpness, moved by a few pixels, and
/// blended back through a soft mask. Nothing in the result was made by a generator, so a
/// network that learns to detect it has learned the traces every face swap leaves (a seam, a
/// step in color or resolution, a shifted feature) and not those of one generator.
///
/// Where the paper takes 81 landmarks, this fits a mean face to the five of MTCNN. Lengths are
/// shares of the width of the face, so that a blend is the same at any resolution; the
/// shares give the pixel values of the paper for a face 130 pixels wide.
///
/// ```
/// use deeptell_augment::SelfBlend;
/// use deeptell_face::{Landmarks, Point, RgbImage};
/// use rand::SeedableRng;
/// use rand_chacha::ChaCha8Rng;
///
/// let face = RgbImage::from_fn(224, 224, |x, y| image::Rgb([(x / 2 + 60) as u8, (y / 2 + 80) as u8, 128]));
/// let landmarks = Landmarks::from_points(
///     [(77.0, 95.0), (147.0, 95.0), (112.0, 135.0), (83.0, 176.0), (141.0, 176.0)].map(|(x, y)| Point::new(x, y)),
/// );
/// let blend = SelfBlend::default().blend(&face, &landmarks, &mut ChaCha8Rng::seed_from_u64(1))?;
/// assert_ne!(blend.image, blend.real);
/// # Ok::<(), deeptell_augment::AugmentError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct SelfBlend {
    /// How often the whole picture is changed in color and sharpness, and not the part that is
    /// blended in; 0 to 1.
    pub target_probability: f64,
    /// Largest change of red, green and blue each, in levels of 255.
    pub color_shift: f32,
    /// Largest turn of the hue to either side, in degrees.
    pub hue_degrees: f32,
    /// Saturation is multiplied by 1 plus or minus up to this.
    pub saturation: f32,
    /// Brightness is multiplied by 1 plus or minus up to this.
    pub brightness: f32,
    /// Contrast is multiplied by 1 plus or minus up to this.
    pub contrast: f32,
    /// How often sharpness is taken away by scaling down and up; else the copy is sharpened.
    pub shrink_probability: f64,
    /// Smallest and largest factor of that scaling.
    pub shrink: [f32; 2],
    /// Smallest and largest amount of sharpening, as a share of the detail there is.
    pub sharpen: [f32; 2],
    /// Largest error put on each landmark before the fit, as a share of the face's width.
    pub landmark_jitter: f32,
    /// Largest move of each point of the outline, as a share of the face's width.
    pub outline_jitter: f32,
    /// Largest smooth deformation of the outline, as a share of the face's width.
    pub deformation: f32,
    /// Largest move of the copy to the right or left and up or down, as shares of the face's width.
    pub shift: [f32; 2],
    /// Smallest scale of the copy; the largest is the inverse. 0 to 1.
    pub smallest_scale: f32,
    /// Smallest and largest standard deviation of the blur of the mask, as shares of the face's width.
    pub mask_blur: [f32; 2],
    /// How much of the copy shows in the middle of the mask; one is drawn.
    pub ratios: Vec<f32>,
    /// How often each kind of mask is drawn, in the order of [`MaskKind::ALL`]; any scale.
    pub mask_weights: [f64; 6],
    /// How often each kind of seam is drawn, in the order of [`Seam::ALL`]; any scale.
    pub seam_weights: [f64; 3],
    /// How often the part that is blended in first gets the traces of a generator or an editor (JPEG
    /// of its own, periodic upsampling artifacts); 0 to 1.
    pub trace_probability: f64,
}

impl Default for SelfBlend {
    fn default() -> Self {
        Self {
            target_probability: 0.5,
            color_shift: 20.0,
            hue_degrees: 10.0,
            saturation: 0.3,
            brightness: 0.1,
            contrast: 0.1,
            shrink_probability: 0.5,
            shrink: [2.0, 4.0],
            sharpen: [0.3, 1.0],
            landmark_jitter: 0.012,
            outline_jitter: 0.02,
            deformation: 0.015,
            shift: [0.05, 0.025],
            smallest_scale: 0.95,
            mask_blur: [0.0085, 0.032],
            ratios: vec![0.25, 0.5, 0.75, 1.0, 1.0, 1.0],
            mask_weights: [0.28, 0.27, 0.12, 0.15, 0.13, 0.05],
            seam_weights: [1.0, 0.0, 0.0],
            trace_probability: 0.0,
        }
    }
}

/// A manipulated picture and what it was made of.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Blend {
    /// The manipulated picture: outside of the mask it is `real` to the bit.
    pub image: RgbImage,
    /// The real picture to train on together with it. For about half of the self-blends
    /// this is not the input but the input changed in color and sharpness as a whole: with
    /// the unchanged input, that change alone would give the fake away.
    pub real: RgbImage,
    /// How much of the other face shows at each pixel: 0 none, 255 all.
    pub mask: GrayImage,
    /// What the mask covers.
    pub kind: MaskKind,
    /// How its edge is hidden.
    pub seam: Seam,
}

impl SelfBlend {
    /// Checks the settings, which a configuration file may have wrong.
    ///
    /// # Errors
    /// [`AugmentError::InvalidSetting`] names the field.
    pub fn validate(&self) -> Result<(), AugmentError> {
        let fail =
            |field, reason: &str| Err(AugmentError::InvalidSetting { field, reason: reason.to_owned() });
        for (field, value, most) in [
            ("target_probability", self.target_probability as f32, 1.0),
            ("shrink_probability", self.shrink_probability as f32, 1.0),
            ("trace_probability", self.trace_probability as f32, 1.0),
            ("color_shift", self.color_shift, 255.0),
            ("hue_degrees", self.hue_degrees, 180.0),
            ("saturation", self.saturation, 1.0),
            ("brightness", self.brightness, 1.0),
            ("contrast", self.contrast, 1.0),
            ("landmark_jitter", self.landmark_jitter, 0.2),
            ("outline_jitter", self.outline_jitter, 0.2),
            ("deformation", self.deformation, 0.2),
            ("shift", self.shift[0], 0.5),
            ("shift", self.shift[1], 0.5),
        ] {
            if !(0.0..=most).contains(&value) {
                return fail(field, &format!("must be from 0 to {most}"));
            }
        }
        if !(0.5..=1.0).contains(&self.smallest_scale) {
            return fail("smallest_scale", "must be from 0.5 to 1");
        }
        for (field, [low, high], least, most) in [
            ("shrink", self.shrink, 1.0, 64.0),
            ("sharpen", self.sharpen, 0.0, 10.0),
            ("mask_blur", self.mask_blur, 0.0, 0.5),
        ] {
            if !(least <= low && low <= high && high <= most) {
                return fail(field, &format!("must be two rising numbers from {least} to {most}"));
            }
        }
        if self.ratios.is_empty() || self.ratios.iter().any(|ratio| !(0.0..=1.0).contains(ratio)) {
            return fail("ratios", "must be one or more numbers from 0 to 1");
        }
        for (field, weights) in
            [("mask_weights", &self.mask_weights[..]), ("seam_weights", &self.seam_weights[..])]
        {
            if weights.iter().any(|w| !(w.is_finite() && *w >= 0.0)) || weights.iter().all(|w| *w == 0.0) {
                return fail(field, "must be numbers from 0 up, not all 0");
            }
        }
        Ok(())
    }

    /// Blends a face with a changed copy of itself.
    ///
    /// `landmarks` are in pixels of `image`. The cost is that of the face, not of the picture,
    /// when the copy is what is changed.
    ///
    /// # Errors
    /// [`AugmentError::DegenerateLandmarks`] when they fit no face, or the face is outside of the
    /// picture; [`AugmentError::InvalidSetting`].
    pub fn blend(
        &self,
        image: &RgbImage,
        landmarks: &Landmarks,
        rng: &mut impl Rng,
    ) -> Result<Blend, AugmentError> {
        self.validate()?;
        let fit = FaceFit::new(landmarks)?;
        let change = self.draw_change(rng);
        let on_target = happens(rng, self.target_probability);
        let movement = self.draw_movement(&fit, rng);
        let cover = self.draw_cover(landmarks, &fit, &movement, image.dimensions(), rng)?;

        let real = if on_target { change.apply(image) } else { image.clone() };
        let part = imageops::crop_imm(image, cover.left, cover.top, cover.width(), cover.height()).to_image();
        let part = if on_target { part } else { change.apply(&part) };
        let part = if self.leaves_trace(rng) { leave_trace(&part, rng) } else { part };
        let corner = Point::new(cover.left as f32, cover.top as f32);
        // The part's own pixels, seen through the movement around the face.
        let part_from_moved = shift_by(corner.x, corner.y)
            .then(&movement.inverse().unwrap_or(Similarity::identity()))
            .then(&shift_by(-corner.x, -corner.y));
        let source = warp(&part, &part_from_moved, part.width(), part.height());
        Ok(cover.blend(real, &source))
    }

    /// Blends the face of another picture onto this one: a simple face swap, by the landmarks,
    /// with the mean and spread of its colors brought to those of the target.
    ///
    /// # Errors
    /// [`AugmentError::DegenerateLandmarks`] when either set fits no face, or the target's is
    /// outside of its picture; [`AugmentError::InvalidSetting`].
    pub fn swap(
        &self,
        target: &RgbImage,
        target_landmarks: &Landmarks,
        donor: &RgbImage,
        donor_landmarks: &Landmarks,
        rng: &mut impl Rng,
    ) -> Result<Blend, AugmentError> {
        self.validate()?;
        let fit = FaceFit::new(target_landmarks)?;
        FaceFit::new(donor_landmarks)?;
        let donor_from_target = Similarity::estimate(&target_landmarks.points(), &donor_landmarks.points())
            .filter(|_| donor.width() > 0 && donor.height() > 0)
            .ok_or_else(|| AugmentError::DegenerateLandmarks {
                reason: "the two faces cannot be aligned".to_owned(),
            })?;
        let cover =
            self.draw_cover(target_landmarks, &fit, &Similarity::identity(), target.dimensions(), rng)?;
        let donor_from_part = shift_by(cover.left as f32, cover.top as f32).then(&donor_from_target);
        let mut source = warp(donor, &donor_from_part, cover.width(), cover.height());
        let part =
            imageops::crop_imm(target, cover.left, cover.top, cover.width(), cover.height()).to_image();
        match_colors(&mut source, &part, &cover.mask);
        if self.leaves_trace(rng) {
            source = leave_trace(&source, rng);
        }
        Ok(cover.blend(target.clone(), &source))
    }

    /// Gives the whole picture a change of the kind that one side of a blend gets: colors, then
    /// sharpness lost or exaggerated, and no blending. Put on the fakes of a generator, it keeps
    /// a network from knowing them by colors and sharpness alone.
    ///
    /// # Errors
    /// [`AugmentError::InvalidSetting`].
    pub fn disguise(&self, image: &RgbImage, rng: &mut impl Rng) -> Result<RgbImage, AugmentError> {
        self.validate()?;
        Ok(self.draw_change(rng).apply(image))
    }

    /// No draw when it never happens, so that blends of older configurations stay the same.
    fn leaves_trace(&self, rng: &mut impl Rng) -> bool {
        self.trace_probability > 0.0 && happens(rng, self.trace_probability)
    }

    fn draw_change(&self, rng: &mut impl Rng) -> Change {
        let color = ColorTransform::IDENTITY
            .shift([0; 3].map(|_| signed(rng, self.color_shift)))
            .hue(signed(rng, self.hue_degrees))
            .saturation(1.0 + signed(rng, self.saturation))
            .brightness(1.0 + signed(rng, self.brightness))
            .contrast(1.0 + signed(rng, self.contrast));
        let shrinks = happens(rng, self.shrink_probability);
        let (factor, amount) = (within(rng, self.shrink), within(rng, self.sharpen));
        Change { color, detail: if shrinks { Detail::Shrink(factor) } else { Detail::Sharpen(amount) } }
    }

    /// How the copy moves over the picture.
    fn draw_movement(&self, fit: &FaceFit, rng: &mut impl Rng) -> Similarity {
        let (from, width) = (fit.center(), fit.width());
        let [dx, dy] = self.shift.map(|limit| signed(rng, limit) * width);
        let scale = within(rng, [self.smallest_scale, 1.0 / self.smallest_scale]);
        Similarity::about(from, Point::new(from.x + dx, from.y + dy), scale, 0.0)
    }

    /// Draws a mask over the face, moved along with the copy.
    fn draw_cover(
        &self,
        landmarks: &Landmarks,
        fit: &FaceFit,
        movement: &Similarity,
        (image_width, image_height): (u32, u32),
        rng: &mut impl Rng,
    ) -> Result<Cover, AugmentError> {
        let width = fit.width();
        let kind = MaskKind::ALL[weighted(rng, &self.mask_weights)];
        let mut move_a_little = |p: Point, limit: f32| {
            Point::new(p.x + signed(rng, limit * width), p.y + signed(rng, limit * width))
        };
        let jittered = landmarks.map(|p| move_a_little(p, self.landmark_jitter));
        // Jitter can push landmarks at the limit over it: the unjittered fit is good then.
        let place = FaceFit::new(&jittered).unwrap_or(*fit).image_from_face.then(movement);
        let outlines = kind.outlines(rng);
        let field = Deformation::draw(self.deformation * width, &place, rng);
        let outlines: Vec<Vec<Point>> = outlines
            .into_iter()
            .map(|outline| {
                let rough: Vec<Point> = outline
                    .into_iter()
                    .map(|p| place.apply(p))
                    .map(|p| {
                        let limit = self.outline_jitter * width;
                        Point::new(p.x + signed(rng, limit), p.y + signed(rng, limit))
                    })
                    .collect();
                refined(&rough, width / 100.0).into_iter().map(|p| field.apply(p)).collect()
            })
            .collect();
        let [erosion, softness] = [0; 2].map(|_| within(rng, self.mask_blur) * width);
        let ratio = self.ratios[rng.random_range(0..self.ratios.len())];

        let margin = blur_reach(erosion).max(blur_reach(softness)) + 0.08 * width;
        let bounds = bounds_of(outlines.iter().flatten());
        let bounds =
            Rect::new(bounds.x1 - margin, bounds.y1 - margin, bounds.x2 + margin, bounds.y2 + margin);
        let outside = || AugmentError::DegenerateLandmarks {
            reason: "the face lies outside of the picture".to_owned(),
        };
        let bounds = bounds.clamped(image_width, image_height).ok_or_else(outside)?;
        let (left, top) = (bounds.x1.floor(), bounds.y1.floor());
        let mut soft = Mask::new((bounds.x2.ceil() - left) as usize, (bounds.y2.ceil() - top) as usize);
        for outline in &outlines {
            let inside: Vec<_> = outline.iter().map(|p| Point::new(p.x - left, p.y - top)).collect();
            soft.fill(&inside);
        }
        soft.blur(erosion);
        soft.harden();
        soft.blur(softness);
        soft.stretch();
        let mask = GrayImage::from_fn(soft.width as u32, soft.height as u32, |x, y| {
            Luma([(soft.values[y as usize * soft.width + x as usize] * ratio * 255.0 + 0.5) as u8])
        });
        if mask.iter().all(|&alpha| alpha == 0) && ratio > 0.0 {
            return Err(outside());
        }
        // No draw without a choice, so that blends of older configurations stay the same.
        let has_choice = self.seam_weights[1..].iter().any(|w| *w > 0.0);
        let seam = if has_choice { Seam::ALL[weighted(rng, &self.seam_weights)] } else { Seam::Alpha };
        Ok(Cover { left: left as u32, top: top as u32, mask, kind, seam })
    }
}

/// The change in color and sharpness of the copy (or of everything else).
struct Change {
    color: ColorTransform,
    detail: Detail,
}

enum Detail {
    Shrink(f32),
    Sharpen(f32),
}

impl Change {
    fn apply(&self, image: &RgbImage) -> RgbImage {
        let mut changed = image.clone();
        self.color.apply(&mut changed);
        match self.detail {
            Detail::Shrink(factor) => shrink_and_enlarge(&changed, factor),
            Detail::Sharpen(amount) => sharpen(&changed, amount),
        }
    }
}

/// A mask and where in the picture it lies.
struct Cover {
    left: u32,
    top: u32,
    mask: GrayImage,
    kind: MaskKind,
    seam: Seam,
}

impl Cover {
    fn width(&self) -> u32 {
        self.mask.width()
    }

    fn height(&self) -> u32 {
        self.mask.height()
    }

    /// Puts `source`, which has the size of the mask, over `real`.
    fn blend(self, real: RgbImage, source: &RgbImage) -> Blend {
        let part = imageops::crop_imm(&real, self.left, self.top, self.width(), self.height()).to_image();
        let joined = self.seam.join(&part, source, &self.mask);
        let mut image = real.clone();
        let mut mask = GrayImage::new(real.width(), real.height());
        for (((x, y, &Luma([alpha])), new), old) in
            self.mask.enumerate_pixels().zip(joined.pixels()).zip(part.pixels())
        {
            let (in_image_x, in_image_y) = (self.left + x, self.top + y);
            image.put_pixel(in_image_x, in_image_y, *new);
            // A pyramid reaches a little beyond the mask.
            let covered = alpha.max(u8::from(new != old));
            mask.put_pixel(in_image_x, in_image_y, Luma([covered]));
        }
        Blend { image, real, mask, kind: self.kind, seam: self.seam }
    }
}

fn shift_by(tx: f32, ty: f32) -> Similarity {
    Similarity { tx, ty, ..Similarity::identity() }
}

fn bounds_of<'a>(points: impl Iterator<Item = &'a Point>) -> Rect {
    points.fold(Rect::new(f32::MAX, f32::MAX, f32::MIN, f32::MIN), |r, p| {
        Rect::new(r.x1.min(p.x), r.y1.min(p.y), r.x2.max(p.x), r.y2.max(p.y))
    })
}

/// The outline with points added, such that none is further than `step` from the next.
fn refined(outline: &[Point], step: f32) -> Vec<Point> {
    let mut points = Vec::new();
    for (index, &from) in outline.iter().enumerate() {
        let to = outline[(index + 1) % outline.len()];
        let pieces = (from.distance(to) / step).ceil().clamp(1.0, 200.0) as u32;
        points.extend((0..pieces).map(|piece| {
            let share = piece as f32 / pieces as f32;
            Point::new(from.x + share * (to.x - from.x), from.y + share * (to.y - from.y))
        }));
    }
    points
}

/// A smooth random displacement of the plane: random vectors on a grid over the face, bilinear
/// between them. On an outline this does what an elastic deformation does to a mask.
struct Deformation {
    face_from_image: Similarity,
    vectors: [[Point; Self::SIDE]; Self::SIDE],
}

impl Deformation {
    /// Points of the grid along each side, which spans 4 eye distances around the face.
    const SIDE: usize = 28;

    fn draw(limit: f32, image_from_face: &Similarity, rng: &mut impl Rng) -> Self {
        let vectors = [[0; Self::SIDE]; Self::SIDE]
            .map(|row| row.map(|_| Point::new(signed(rng, limit), signed(rng, limit))));
        Self { face_from_image: image_from_face.inverse().unwrap_or(Similarity::identity()), vectors }
    }

    fn apply(&self, p: Point) -> Point {
        let last = (Self::SIDE - 1) as f32;
        let in_face = self.face_from_image.apply(p);
        let x = ((in_face.x + 2.0) / 4.0 * last).clamp(0.0, last - 0.001);
        let y = ((in_face.y + 1.6) / 4.0 * last).clamp(0.0, last - 0.001);
        let (column, row) = (x as usize, y as usize);
        let (fx, fy) = (x - column as f32, y - row as f32);
        let mut moved = p;
        for (dy, wy) in [(0, 1.0 - fy), (1, fy)] {
            for (dx, wx) in [(0, 1.0 - fx), (1, fx)] {
                let vector = self.vectors[row + dy][column + dx];
                moved = Point::new(moved.x + wx * wy * vector.x, moved.y + wx * wy * vector.y);
            }
        }
        moved
    }
}

/// Brings the mean and spread of each channel of `source` to those of `target`, both taken
/// where the mask is more than half of its highest (as in Reinhard et al. 2001, on RGB).
fn match_colors(source: &mut RgbImage, target: &RgbImage, mask: &GrayImage) {
    let half = mask.iter().copied().max().unwrap_or(0) / 2;
    let statistics = |image: &RgbImage, channel: usize| {
        let values = || {
            image
                .pixels()
                .zip(mask.iter())
                .filter(|(_, alpha)| **alpha > half)
                .map(|(p, _)| f64::from(p.0[channel]))
        };
        let count = values().count().max(1) as f64;
        let mean = values().sum::<f64>() / count;
        let variance = values().map(|v| (v - mean).powi(2)).sum::<f64>() / count;
        (mean, variance.sqrt())
    };
    for channel in 0..3 {
        let (source_mean, source_spread) = statistics(source, channel);
        let (target_mean, target_spread) = statistics(target, channel);
        // A flat patch says nothing about contrast: keep the factor within reason.
        let factor = (target_spread / source_spread.max(1.0)).clamp(0.5, 2.0);
        for pixel in source.pixels_mut() {
            let value = (f64::from(pixel.0[channel]) - source_mean) * factor + target_mean;
            pixel.0[channel] = (value + 0.5) as u8;
        }
    }
}

#[cfg(test)]
mod tests {
    use image::Rgb;
    use rand::SeedableRng;
    use rand_chacha::ChaCha8Rng;

    use super::*;

    fn rng(seed: u64) -> ChaCha8Rng {
        ChaCha8Rng::seed_from_u64(seed)
    }

    fn landmarks() -> Landmarks {
        let points = [(87.0, 95.0), (137.0, 97.0), (112.0, 125.0), (90.0, 152.0), (133.0, 153.0)];
        Landmarks::from_points(points.map(|(x, y)| Point::new(x, y)))
    }

    /// Smooth light with some texture.
    fn picture(width: u32, height: u32) -> RgbImage {
        RgbImage::from_fn(width, height, |x, y| {
            let texture = (x * 7 + y * 13 + x * y) % 23;
            Rgb([(100 + x / 3 + texture) as u8, (70 + y / 3 + texture) as u8, (90 + texture) as u8])
        })
    }

    fn only(kind: MaskKind) -> SelfBlend {
        let mask_weights = MaskKind::ALL.map(|k| if k == kind { 1.0 } else { 0.0 });
        SelfBlend { mask_weights, ..SelfBlend::default() }
    }

    fn inside(landmarks: &Landmarks, dx: f32, dy: f32) -> Landmarks {
        landmarks.map(|p| Point::new(p.x + dx, p.y + dy))
    }

    #[test]
    fn blend_changes_pixels_inside_its_mask_only() {
        let image = picture(224, 224);
        for kind in MaskKind::ALL {
            for seed in 0..12 {
                let blend = only(kind).blend(&image, &landmarks(), &mut rng(seed)).unwrap();
                assert_eq!(blend.kind, kind);
                assert_eq!(blend.image.dimensions(), (224, 224));
                let (mut covered, mut changed) = (0u32, 0u32);
                for ((fake, real), mask) in
                    blend.image.pixels().zip(blend.real.pixels()).zip(blend.mask.pixels())
                {
                    if mask.0[0] == 0 {
                        assert_eq!(fake, real);
                    } else {
                        covered += 1;
                        changed += u32::from(fake != real);
                    }
                }
                assert!(covered > 300, "{kind:?} {seed}: {covered}");
                assert!(changed * 10 > covered, "{kind:?} {seed}: {changed} of {covered}");
                assert_eq!(blend.mask.get_pixel(3, 3).0, [0]);
            }
        }
    }

    #[test]
    fn each_seam_changes_pixels_inside_its_mask_only() {
        let image = picture(224, 224);
        for (index, seam) in Seam::ALL.into_iter().enumerate() {
            let mut seam_weights = [0.0; 3];
            seam_weights[index] = 1.0;
            let settings = SelfBlend {
                seam_weights,
                trace_probability: 1.0,
                target_probability: 0.0,
                ratios: vec![1.0],
                ..only(MaskKind::WholeFace)
            };
            for seed in 0..8 {
                let blend = settings.blend(&image, &landmarks(), &mut rng(seed)).unwrap();
                assert_eq!(blend.seam, seam);
                let changed = blend.image.pixels().zip(blend.real.pixels()).filter(|(a, b)| a != b).count();
                assert!(changed > 3000, "{seam:?} {seed}: {changed}");
                let outside = blend.image.pixels().zip(blend.real.pixels()).zip(blend.mask.iter());
                assert!(outside.filter(|(_, mask)| **mask == 0).all(|((a, b), _)| a == b), "{seam:?}");
                assert_eq!(blend.image.get_pixel(3, 3), image.get_pixel(3, 3));
            }
        }
    }

    #[test]
    fn mask_covers_the_face_with_soft_edges() {
        let whole = SelfBlend { ratios: vec![1.0], ..only(MaskKind::NoForehead) };
        for seed in 0..12 {
            let mask = whole.blend(&picture(224, 224), &landmarks(), &mut rng(seed)).unwrap().mask;
            assert_eq!(mask.get_pixel(112, 125).0, [255], "the nose is covered");
            assert_eq!(mask.get_pixel(112, 40).0, [0], "the hair is not");
            assert_eq!(mask.get_pixel(30, 120).0, [0]);
            let soft = mask.iter().filter(|&&v| v > 0 && v < 255).count();
            assert!(soft > 300, "{soft}");
        }
    }

    #[test]
    fn ratio_limits_the_mask() {
        let faint = SelfBlend { ratios: vec![0.25], ..SelfBlend::default() };
        let blend = faint.blend(&picture(224, 224), &landmarks(), &mut rng(4)).unwrap();
        assert_eq!(blend.mask.iter().max(), Some(&64));
    }

    #[test]
    fn target_probability_selects_which_side_changes() {
        let image = picture(224, 224);
        let on_copy = SelfBlend { target_probability: 0.0, ..SelfBlend::default() };
        let on_target = SelfBlend { target_probability: 1.0, ..SelfBlend::default() };
        assert_eq!(on_copy.blend(&image, &landmarks(), &mut rng(1)).unwrap().real, image);
        let blend = on_target.blend(&image, &landmarks(), &mut rng(1)).unwrap();
        assert_ne!(blend.real, image);
        assert_ne!(blend.image, blend.real);
    }

    #[test]
    fn same_seed_gives_same_picture() {
        let run =
            |seed| SelfBlend::default().blend(&picture(224, 224), &landmarks(), &mut rng(seed)).unwrap();
        assert_eq!(run(1), run(1));
        assert_ne!(run(1).image, run(2).image);
    }

    #[test]
    fn blend_accepts_faces_partly_outside_and_rejects_those_fully_outside() {
        let image = picture(120, 90);
        for (dx, dy) in [(-90.0, -100.0), (0.0, -60.0), (-130.0, 0.0)] {
            let blend = SelfBlend { ratios: vec![1.0], ..only(MaskKind::WholeFace) }
                .blend(&image, &inside(&landmarks(), dx, dy), &mut rng(0))
                .unwrap();
            assert_eq!(blend.image.dimensions(), image.dimensions());
        }
        for (dx, dy) in [(-900.0, 0.0), (500.0, 500.0), (1e7, 0.0)] {
            let error =
                SelfBlend::default().blend(&image, &inside(&landmarks(), dx, dy), &mut rng(0)).unwrap_err();
            assert!(matches!(error, AugmentError::DegenerateLandmarks { .. }), "{error}");
        }
        let none = SelfBlend::default().blend(&RgbImage::new(0, 0), &landmarks(), &mut rng(0));
        assert!(matches!(none, Err(AugmentError::DegenerateLandmarks { .. })));
    }

    #[test]
    fn swap_shows_the_donor_in_the_colors_of_the_target() {
        let target = picture(224, 224);
        // The donor is twice as large, blue, and has a bright nose.
        let double = landmarks().map(|p| Point::new(p.x * 2.0, p.y * 2.0));
        let mut donor = RgbImage::from_fn(448, 448, |x, y| Rgb([20, 30 + ((x + y) % 9) as u8 * 4, 200]));
        for y in 240..260 {
            for x in 214..234 {
                donor.put_pixel(x, y, Rgb([250, 250, 255]));
            }
        }
        let whole = SelfBlend { ratios: vec![1.0], ..only(MaskKind::WholeFace) };
        let blend = whole.swap(&target, &landmarks(), &donor, &double, &mut rng(3)).unwrap();
        assert_eq!(blend.real, target);
        let nose = blend.image.get_pixel(112, 125).0;
        let cheek = blend.image.get_pixel(90, 125).0;
        assert!(nose[0] > cheek[0] + 20, "{nose:?} {cheek:?}");
        assert!(cheek[0] > cheek[2], "as red as the target, not as blue as the donor: {cheek:?}");
        assert_eq!(blend.image.get_pixel(5, 5), target.get_pixel(5, 5));
    }

    #[test]
    fn blend_rejects_invalid_settings() {
        assert!(SelfBlend::default().validate().is_ok());
        let base = SelfBlend::default();
        let wrong = [
            ("ratios", SelfBlend { ratios: vec![], ..base.clone() }),
            ("mask_weights", SelfBlend { mask_weights: [0.0; 6], ..base.clone() }),
            ("seam_weights", SelfBlend { seam_weights: [1.0, f64::NAN, 0.0], ..base.clone() }),
            ("trace_probability", SelfBlend { trace_probability: 1.5, ..base.clone() }),
            ("smallest_scale", SelfBlend { smallest_scale: 0.0, ..base.clone() }),
            ("mask_blur", SelfBlend { mask_blur: [0.1, f32::NAN], ..base.clone() }),
            ("shift", SelfBlend { shift: [0.0, -1.0], ..base.clone() }),
        ];
        for (name, settings) in wrong {
            let error = settings.blend(&picture(224, 224), &landmarks(), &mut rng(0)).unwrap_err();
            assert!(matches!(error, AugmentError::InvalidSetting { field, .. } if field == name), "{error}");
        }
    }
}

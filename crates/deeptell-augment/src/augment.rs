use std::convert::Infallible;
use std::f32::consts::TAU;

use deeptell_face::{Point, Similarity, warp_stretched};
use image::{GrayImage, Luma, Rgb, RgbImage, imageops};
use rand::Rng;
use serde::{Deserialize, Serialize};

use crate::AugmentError;
use crate::color::ColorTransform;
use crate::degrade::{add_noise, at_smaller_size, blur, jpeg, shrink_and_enlarge};
use crate::random::{happens, signed, within};

/// Random changes that keep the label of a picture.
///
/// Each change has a probability and a range. The geometric ones (flip, rotation, zoom, shift)
/// are one bilinear resampling with the edges of the picture repeated, so that no black corner
/// shows the network that a picture was turned; the color ones are one pass; then resolution
/// is lost by blur and by scaling down and up, and JPEG comes last, in the order in which
/// pictures suffer them between the camera and the web. Where noise and compression come while the
/// picture is small ([`small_loss_probability`](Self::small_loss_probability)), their traces are
/// enlarged with it, as they are when a small face is cut out of a video.
///
/// All randomness comes from the generator that is passed in: the same seed, the same picture.
///
/// ```
/// use deeptell_augment::Augmentation;
/// use image::RgbImage;
/// use rand::SeedableRng;
/// use rand_chacha::ChaCha8Rng;
///
/// let face = RgbImage::from_fn(224, 224, |x, y| image::Rgb([x as u8, y as u8, 128]));
/// let mut augmentation = Augmentation::default();
/// augmentation.rotation_degrees = 10.0;
/// let varied = augmentation.apply(&face, &mut ChaCha8Rng::seed_from_u64(7));
/// assert_eq!(varied.dimensions(), (224, 224));
/// assert_eq!(varied, augmentation.apply(&face, &mut ChaCha8Rng::seed_from_u64(7)));
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct Augmentation {
    /// How often the picture is mirrored, 0 to 1.
    pub flip_probability: f64,
    /// How often it is turned.
    pub rotation_probability: f64,
    /// Largest turn to either side, in degrees.
    pub rotation_degrees: f32,
    /// How often it is zoomed and shifted.
    pub framing_probability: f64,
    /// Smallest and largest zoom; above 1 enlarges.
    pub zoom: [f32; 2],
    /// Largest shift along each axis, as a share of the picture.
    pub shift: f32,
    /// Largest stretch, to either side and evenly in its logarithm, drawn together with zoom and shift: 1.2 makes
    /// faces up to 1.2 times as wide or as narrow. Videos are stored, cut and scaled with wrong proportions often
    /// enough.
    pub stretch: f32,
    /// How often the colors change (the four following together).
    pub color_probability: f64,
    /// Brightness is multiplied by 1 plus or minus up to this.
    pub brightness: f32,
    /// Contrast is multiplied by 1 plus or minus up to this.
    pub contrast: f32,
    /// Saturation is multiplied by 1 plus or minus up to this.
    pub saturation: f32,
    /// Largest turn of the hue to either side, in degrees.
    pub hue_degrees: f32,
    /// How often the picture loses its colors altogether.
    pub grey_probability: f64,
    /// How often the picture is blurred.
    pub blur_probability: f64,
    /// Smallest and largest standard deviation of the Gaussian blur, in pixels.
    pub blur_sigma: [f32; 2],
    /// How often the picture is scaled down and up again.
    pub rescale_probability: f64,
    /// Smallest and largest factor by which it is scaled down.
    pub rescale: [f32; 2],
    /// How often a picture that is scaled down gets its noise and compression while it is small;
    /// otherwise they come after it is scaled up again.
    pub small_loss_probability: f64,
    /// How often noise is added, independently to each channel of each pixel.
    pub noise_probability: f64,
    /// Smallest and largest standard deviation of the Gaussian noise, in levels of 255.
    pub noise_sigma: [f32; 2],
    /// How often the picture is compressed and decoded again.
    pub jpeg_probability: f64,
    /// Lowest and highest JPEG quality, 1 to 100.
    pub jpeg_quality: [u8; 2],
}

impl Default for Augmentation {
    /// A recipe for 224 x 224 face crops.
    fn default() -> Self {
        Self {
            flip_probability: 0.5,
            rotation_probability: 0.3,
            rotation_degrees: 15.0,
            framing_probability: 0.8,
            zoom: [1.0, 1.18],
            shift: 0.05,
            stretch: 1.0,
            color_probability: 0.5,
            brightness: 0.2,
            contrast: 0.2,
            saturation: 0.2,
            hue_degrees: 8.0,
            grey_probability: 0.0,
            blur_probability: 0.1,
            blur_sigma: [0.4, 1.3],
            rescale_probability: 0.25,
            rescale: [1.1, 2.0],
            small_loss_probability: 0.0,
            noise_probability: 0.0,
            noise_sigma: [1.0, 6.0],
            jpeg_probability: 0.5,
            jpeg_quality: [40, 100],
        }
    }
}

impl Augmentation {
    /// Changes nothing; a base to switch single changes on.
    #[must_use]
    pub fn none() -> Self {
        Self {
            flip_probability: 0.0,
            rotation_probability: 0.0,
            framing_probability: 0.0,
            color_probability: 0.0,
            grey_probability: 0.0,
            blur_probability: 0.0,
            rescale_probability: 0.0,
            noise_probability: 0.0,
            jpeg_probability: 0.0,
            ..Self::default()
        }
    }

    /// Checks the settings, which a configuration file may have wrong. Settings that fail are
    /// still safe to [`apply`](Self::apply), but do not mean what they say.
    ///
    /// # Errors
    /// [`AugmentError::InvalidSetting`] names the field.
    pub fn validate(&self) -> Result<(), AugmentError> {
        let fail =
            |field, reason: &str| Err(AugmentError::InvalidSetting { field, reason: reason.to_owned() });
        for (field, value) in [
            ("flip_probability", self.flip_probability),
            ("rotation_probability", self.rotation_probability),
            ("framing_probability", self.framing_probability),
            ("color_probability", self.color_probability),
            ("grey_probability", self.grey_probability),
            ("blur_probability", self.blur_probability),
            ("rescale_probability", self.rescale_probability),
            ("small_loss_probability", self.small_loss_probability),
            ("noise_probability", self.noise_probability),
            ("jpeg_probability", self.jpeg_probability),
        ] {
            if !(0.0..=1.0).contains(&value) {
                return fail(field, "a probability must be from 0 to 1");
            }
        }
        for (field, value, limit) in [
            ("rotation_degrees", self.rotation_degrees, 180.0),
            ("shift", self.shift, 1.0),
            ("brightness", self.brightness, 1.0),
            ("contrast", self.contrast, 1.0),
            ("saturation", self.saturation, 1.0),
            ("hue_degrees", self.hue_degrees, 180.0),
        ] {
            if !(0.0..=limit).contains(&value) {
                return fail(field, &format!("must be from 0 to {limit}"));
            }
        }
        if !(1.0..=4.0).contains(&self.stretch) {
            return fail("stretch", "must be from 1 to 4");
        }
        for (field, [low, high], least, most) in [
            ("zoom", self.zoom, 0.1, 10.0),
            ("blur_sigma", self.blur_sigma, 0.0, 50.0),
            ("rescale", self.rescale, 1.0, 64.0),
            ("noise_sigma", self.noise_sigma, 0.0, 255.0),
            ("jpeg_quality", self.jpeg_quality.map(f32::from), 1.0, 100.0),
        ] {
            if !(least <= low && low <= high && high <= most) {
                return fail(field, &format!("must be two rising numbers from {least} to {most}"));
            }
        }
        Ok(())
    }

    /// Draws one set of changes and makes them. The result has the size of `image`.
    pub fn apply(&self, image: &RgbImage, rng: &mut impl Rng) -> RgbImage {
        self.draw(rng).apply(image)
    }

    /// Makes the same changes on two pictures, for example a real face and its blend: what
    /// differs between them afterwards is what differed before.
    pub fn apply_pair(&self, first: &RgbImage, second: &RgbImage, rng: &mut impl Rng) -> [RgbImage; 2] {
        let draw = self.draw(rng);
        [draw.apply(first), draw.apply(second)]
    }

    /// Draws one set of changes, to be made on any number of pictures.
    pub fn draw(&self, rng: &mut impl Rng) -> AugmentationDraw {
        let flip = happens(rng, self.flip_probability);
        let radians = if happens(rng, self.rotation_probability) {
            signed(rng, self.rotation_degrees).to_radians()
        } else {
            0.0
        };
        let (zoom, shift, stretch) = if happens(rng, self.framing_probability) {
            let zoom = within(rng, self.zoom);
            let shift = [signed(rng, self.shift), signed(rng, self.shift)];
            (zoom, shift, signed(rng, self.stretch.ln()).exp())
        } else {
            (1.0, [0.0, 0.0], 1.0)
        };
        let color = happens(rng, self.color_probability).then(|| {
            ColorTransform::IDENTITY
                .brightness(1.0 + signed(rng, self.brightness))
                .contrast(1.0 + signed(rng, self.contrast))
                .saturation(1.0 + signed(rng, self.saturation))
                .hue(signed(rng, self.hue_degrees))
        });
        AugmentationDraw {
            flip,
            radians,
            zoom,
            shift,
            stretch,
            color,
            blur_sigma: happens(rng, self.blur_probability).then(|| within(rng, self.blur_sigma)),
            rescale: happens(rng, self.rescale_probability).then(|| within(rng, self.rescale)),
            noise: happens(rng, self.noise_probability)
                .then(|| (within(rng, self.noise_sigma), rng.next_u64())),
            jpeg_quality: happens(rng, self.jpeg_probability)
                .then(|| within(rng, self.jpeg_quality.map(f32::from)).round() as u8),
            is_grey: happens(rng, self.grey_probability),
            loses_while_small: happens(rng, self.small_loss_probability),
        }
    }
}

/// One set of changes drawn from an [`Augmentation`].
#[derive(Debug, Clone, PartialEq)]
pub struct AugmentationDraw {
    flip: bool,
    radians: f32,
    zoom: f32,
    shift: [f32; 2],
    stretch: f32,
    color: Option<ColorTransform>,
    blur_sigma: Option<f32>,
    rescale: Option<f32>,
    /// Standard deviation and seed.
    noise: Option<(f32, u64)>,
    jpeg_quality: Option<u8>,
    is_grey: bool,
    /// Whether noise and compression come before a picture that was scaled down is scaled up.
    loses_while_small: bool,
}

impl AugmentationDraw {
    /// Makes the changes. The result has the size of `image`; a picture without pixels is
    /// returned as it is.
    pub fn apply(&self, image: &RgbImage) -> RgbImage {
        let Ok(changed) = self.apply_with(image, Ok::<_, Infallible>);
        changed
    }

    /// [`apply`](Self::apply) with a compression of the caller's own after JPEG, for example that of a
    /// video. `compress` must keep the size of the picture that it is given, which may be smaller
    /// than `image`; its sides are then even.
    ///
    /// # Errors
    /// Those of `compress`.
    pub fn apply_with<E>(
        &self,
        image: &RgbImage,
        compress: impl FnOnce(RgbImage) -> Result<RgbImage, E>,
    ) -> Result<RgbImage, E> {
        if image.width() == 0 || image.height() == 0 {
            return Ok(image.clone());
        }
        let mut image = self.reframe(image);
        if let Some(color) = &self.color {
            color.apply(&mut image);
        }
        if self.is_grey {
            ColorTransform::IDENTITY.saturation(0.0).apply(&mut image);
        }
        if let Some(sigma) = self.blur_sigma {
            image = blur(&image, sigma);
        }
        let lose = |mut image: RgbImage| {
            if let Some((sigma, seed)) = self.noise {
                add_noise(&mut image, sigma, seed);
            }
            if let Some(quality) = self.jpeg_quality {
                image = jpeg(&image, quality);
            }
            compress(image)
        };
        match self.rescale {
            Some(factor) if self.loses_while_small => at_smaller_size(&image, factor, lose),
            Some(factor) => lose(shrink_and_enlarge(&image, factor)),
            None => lose(image),
        }
    }

    /// Moves a mask as [`apply`](Self::apply) moves the picture that it belongs to: flipped, turned, zoomed,
    /// shifted and stretched, its values otherwise unchanged.
    pub fn apply_to_mask(&self, mask: &GrayImage) -> GrayImage {
        if mask.width() == 0 || mask.height() == 0 {
            return mask.clone();
        }
        let as_picture =
            RgbImage::from_fn(mask.width(), mask.height(), |x, y| Rgb([mask.get_pixel(x, y)[0]; 3]));
        let moved = self.reframe(&as_picture);
        GrayImage::from_fn(moved.width(), moved.height(), |x, y| Luma([moved.get_pixel(x, y)[0]]))
    }

    fn reframe(&self, image: &RgbImage) -> RgbImage {
        let (width, height) = image.dimensions();
        let mut result = if self.radians == 0.0
            && self.zoom == 1.0
            && self.shift == [0.0, 0.0]
            && self.stretch == 1.0
        {
            image.clone()
        } else {
            let center = Point::new(width as f32 / 2.0, height as f32 / 2.0);
            let shifted =
                Point::new(center.x + self.shift[0] * width as f32, center.y + self.shift[1] * height as f32);
            let image_from_result = Similarity::about(shifted, center, 1.0 / self.zoom, self.radians % TAU);
            warp_stretched(image, &image_from_result, self.stretch, width, height)
        };
        if self.flip {
            imageops::flip_horizontal_in_place(&mut result);
        }
        result
    }
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng;
    use rand_chacha::ChaCha8Rng;

    use super::*;

    fn rng(seed: u64) -> ChaCha8Rng {
        ChaCha8Rng::seed_from_u64(seed)
    }

    /// A picture in which every position has its own color and nothing is black.
    fn picture(width: u32, height: u32) -> RgbImage {
        RgbImage::from_fn(width, height, |x, y| {
            Rgb([(60 + x * 190 / width) as u8, (60 + y * 190 / height) as u8, 150])
        })
    }

    fn difference(a: &RgbImage, b: &RgbImage) -> f64 {
        let sum: u64 = a.iter().zip(b.iter()).map(|(a, b)| u64::from(a.abs_diff(*b))).sum();
        sum as f64 / a.len() as f64
    }

    /// Only the named change, always made.
    fn only(change: &str) -> Augmentation {
        let mut one = Augmentation::none();
        match change {
            "flip" => one.flip_probability = 1.0,
            "rotation" => one.rotation_probability = 1.0,
            "framing" => one.framing_probability = 1.0,
            "color" => one.color_probability = 1.0,
            "grey" => one.grey_probability = 1.0,
            "blur" => one.blur_probability = 1.0,
            "rescale" => one.rescale_probability = 1.0,
            "noise" => one.noise_probability = 1.0,
            "stretch" => {
                one =
                    Augmentation { zoom: [1.0; 2], shift: 0.0, stretch: 1.3, framing_probability: 1.0, ..one }
            }
            _ => one.jpeg_probability = 1.0,
        }
        one
    }

    const CHANGES: [&str; 10] =
        ["flip", "rotation", "framing", "stretch", "color", "grey", "blur", "rescale", "noise", "jpeg"];

    #[test]
    fn masks_move_with_their_pictures() {
        let augmentation = Augmentation {
            flip_probability: 0.5,
            rotation_probability: 1.0,
            rotation_degrees: 30.0,
            framing_probability: 1.0,
            zoom: [0.8, 1.3],
            shift: 0.1,
            stretch: 1.2,
            ..Augmentation::none()
        };
        let inside = |x: u32, y: u32| (20..45).contains(&x) && (30..40).contains(&y);
        let level = |x, y| if inside(x, y) { 200 } else { 10 };
        let image = RgbImage::from_fn(64, 64, |x, y| Rgb([level(x, y); 3]));
        let mask = GrayImage::from_fn(64, 64, |x, y| Luma([level(x, y)]));
        for seed in 0..8 {
            let draw = augmentation.draw(&mut rng(seed));
            let moved = draw.apply(&image);
            assert_ne!(moved, image);
            let moved_mask = draw.apply_to_mask(&mask);
            assert!(moved.pixels().zip(moved_mask.pixels()).all(|(pixel, value)| pixel[0] == value[0]));
        }
    }

    #[test]
    fn no_augmentation_leaves_pixels_unchanged() {
        let image = picture(40, 30);
        for seed in 0..20 {
            assert_eq!(Augmentation::none().apply(&image, &mut rng(seed)), image);
        }
    }

    #[test]
    fn each_change_changes_the_picture_and_keeps_its_size() {
        // Noise, because blur and rescaling hardly change a gradient.
        let image =
            RgbImage::from_fn(64, 48, |x, y| Rgb([(x * 71 + y * 131 + x * y * 17) as u8, (x * 3) as u8, 90]));
        for change in CHANGES {
            let changed = only(change).apply(&image, &mut rng(3));
            assert_eq!(changed.dimensions(), image.dimensions(), "{change}");
            assert!(difference(&changed, &image) > 0.3, "{change}");
        }
    }

    #[test]
    fn losses_while_small_are_enlarged_with_the_picture() {
        let image = RgbImage::from_fn(96, 64, |x, y| Rgb([((x / 12 + y / 16) % 2 * 120 + 40) as u8, 60, 90]));
        let base = Augmentation { rescale: [4.0; 2], jpeg_quality: [20; 2], ..Augmentation::none() };
        let small = Augmentation {
            rescale_probability: 1.0,
            jpeg_probability: 1.0,
            small_loss_probability: 1.0,
            ..base.clone()
        };
        let large = Augmentation { small_loss_probability: 0.0, ..small.clone() };
        let mut sizes = Vec::new();
        let mut run = |augmentation: &Augmentation| {
            let mut compress = |image: RgbImage| {
                sizes.push(image.dimensions());
                Ok::<_, Infallible>(image)
            };
            let Ok(changed) = augmentation.draw(&mut rng(1)).apply_with(&image, &mut compress);
            assert_eq!(changed.dimensions(), image.dimensions());
            changed
        };
        let (changed_small, changed_large) = (run(&small), run(&large));
        assert_eq!(sizes, [(24, 16), (96, 64)]);
        assert!(difference(&changed_small, &changed_large) > 1.0);
        assert_eq!(small.apply(&image, &mut rng(1)), changed_small);
        // Without scaling there is no small picture.
        let none = Augmentation { rescale_probability: 0.0, ..small };
        assert_eq!(
            none.apply(&image, &mut rng(1)),
            Augmentation { small_loss_probability: 0.0, ..none.clone() }.apply(&image, &mut rng(1))
        );
    }

    #[test]
    fn same_seed_gives_same_picture() {
        let (image, all) = (picture(64, 64), Augmentation::default());
        let run = |seed| {
            (0..8).fold(rng(seed), |mut r, _| {
                all.apply(&image, &mut r);
                r
            })
        };
        assert_eq!(run(1), run(1));
        assert_eq!(all.apply(&image, &mut rng(5)), all.apply(&image, &mut rng(5)));
        assert_ne!(all.apply(&image, &mut rng(5)), all.apply(&image, &mut rng(6)));
    }

    #[test]
    fn flip_mirrors_exactly() {
        let image = picture(40, 30);
        let flipped = only("flip").apply(&image, &mut rng(0));
        assert_eq!(flipped, imageops::flip_horizontal(&image));
    }

    #[test]
    fn grey_has_no_color() {
        let grey = only("grey").apply(&picture(40, 30), &mut rng(0));
        assert!(grey.pixels().all(|p| p.0.iter().all(|v| v.abs_diff(p.0[0]) <= 1)));
    }

    #[test]
    fn rotation_turns_about_the_center_by_the_drawn_angle() {
        let mut image = RgbImage::from_pixel(101, 101, Rgb([50; 3]));
        for (x, y) in [(50, 50), (90, 50)] {
            for (dx, dy) in [(0, 0), (1, 0), (0, 1), (1, 1), (2, 1), (1, 2), (2, 0), (0, 2), (2, 2)] {
                image.put_pixel(x + dx - 1, y + dy - 1, Rgb([255; 3]));
            }
        }
        let draw = AugmentationDraw { radians: 15f32.to_radians(), ..Augmentation::none().draw(&mut rng(0)) };
        let turned = draw.apply(&image);
        assert_eq!(turned.get_pixel(50, 50).0, [255; 3]);
        // 40 pixels to the right go to 40 (cos 15, -sin 15): 38.6 right and 10.4 up.
        assert!(turned.get_pixel(89, 40).0[0] > 200);
        assert_eq!(turned.get_pixel(90, 50).0, [50; 3]);
    }

    #[test]
    fn geometric_changes_leave_no_black_corners() {
        let image = picture(80, 80);
        let turned =
            Augmentation { rotation_degrees: 45.0, shift: 0.4, zoom: [0.5, 1.0], ..only("rotation") };
        let turned = Augmentation { framing_probability: 1.0, ..turned };
        for seed in 0..50 {
            let out = turned.apply(&image, &mut rng(seed));
            assert!(out.pixels().all(|p| p.0.iter().all(|&v| v >= 58)), "seed {seed}");
        }
    }

    #[test]
    fn apply_pair_uses_one_draw_for_both() {
        let image = picture(64, 64);
        for seed in 0..20 {
            let [a, b] = Augmentation::default().apply_pair(&image, &image, &mut rng(seed));
            assert_eq!(a, b);
            assert_eq!(a, Augmentation::default().apply(&image, &mut rng(seed)));
        }
    }

    #[test]
    fn draws_respect_ranges_and_probabilities() {
        let settings = Augmentation::default();
        let mut generator = rng(11);
        let draws: Vec<_> = (0..4000).map(|_| settings.draw(&mut generator)).collect();
        let share = |f: &dyn Fn(&AugmentationDraw) -> bool| {
            draws.iter().filter(|d| f(d)).count() as f64 / draws.len() as f64
        };
        assert!((share(&|d| d.flip) - 0.5).abs() < 0.03);
        assert!((share(&|d| d.radians != 0.0) - 0.3).abs() < 0.03);
        assert!((share(&|d| d.jpeg_quality.is_some()) - 0.5).abs() < 0.03);
        assert!(draws.iter().all(|d| d.radians.abs() <= 15f32.to_radians()));
        assert!(
            draws.iter().all(|d| (1.0..=1.18).contains(&d.zoom) && d.shift.iter().all(|s| s.abs() <= 0.05))
        );
        let qualities: Vec<_> = draws.iter().filter_map(|d| d.jpeg_quality).collect();
        assert_eq!((qualities.iter().min(), qualities.iter().max()), (Some(&40), Some(&100)));
    }

    #[test]
    fn odd_sizes_and_invalid_settings_do_not_panic() {
        let wrong = Augmentation {
            zoom: [f32::NAN, 0.0],
            blur_sigma: [-4.0, f32::INFINITY],
            rescale: [0.0, 1e9],
            jpeg_quality: [0, 255],
            rotation_degrees: f32::INFINITY,
            brightness: f32::NAN,
            ..Augmentation::default()
        };
        for settings in [Augmentation::default(), wrong] {
            for (width, height) in [(0, 0), (0, 5), (1, 1), (2, 1), (1, 40), (37, 5)] {
                for seed in 0..40 {
                    let out = settings.apply(&RgbImage::new(width, height), &mut rng(seed));
                    assert_eq!(out.dimensions(), (width, height));
                }
            }
        }
    }

    #[test]
    fn validate_names_the_invalid_field() {
        assert!(Augmentation::default().validate().is_ok());
        assert!(Augmentation::none().validate().is_ok());
        let base = Augmentation::default();
        let wrong = [
            ("flip_probability", Augmentation { flip_probability: 1.5, ..base.clone() }),
            ("blur_probability", Augmentation { blur_probability: f64::NAN, ..base.clone() }),
            ("rotation_degrees", Augmentation { rotation_degrees: -1.0, ..base.clone() }),
            ("zoom", Augmentation { zoom: [1.2, 1.0], ..base.clone() }),
            ("jpeg_quality", Augmentation { jpeg_quality: [0, 50], ..base.clone() }),
        ];
        for (name, settings) in wrong {
            assert!(
                matches!(settings.validate(), Err(AugmentError::InvalidSetting { field, .. }) if field == name)
            );
        }
    }

    #[test]
    fn deserializing_fills_defaults_and_rejects_unknown_fields() {
        let read = serde_json::from_str::<Augmentation>;
        assert_eq!(read("{}").unwrap(), Augmentation::default());
        assert_eq!(read(r#"{"rotation_degrees": 5}"#).unwrap().rotation_degrees, 5.0);
        assert!(read(r#"{"rotation": 5}"#).is_err());
    }
}

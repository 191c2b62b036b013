//! A hand-held camera before a still scene.

use std::f32::consts::TAU;

use deeptell_face::{Point, RgbImage, Similarity, warp};
use rand::{Rng as _, RngExt as _};
use rand_chacha::ChaCha8Rng;

use crate::portrait::SCENE_SIDE;

/// Side of a frame in pixels.
pub(crate) const FRAME_SIDE: u32 = 320;

/// Furthest the camera looks from the middle of the scene, in pixels of the scene.
const PAN: f32 = 12.0;
/// Largest change of the zoom, as a share.
const ZOOM: f32 = 0.07;
/// Largest turn, in radians.
const TURN: f32 = 0.06;
/// Largest change of the brightness, as a share.
const LIGHT: f32 = 0.07;
/// Largest difference of the brightness between the middle and the right edge, as a share.
const SLOPE: f32 = 0.12;
/// Standard deviation of the sensor noise of one clip, smallest and largest, in levels of 255.
const NOISE: [f32; 2] = [1.5, 3.0];

/// How a camera moves, and the light with it: one draw per clip.
pub(crate) struct Camera {
    x: Sway,
    y: Sway,
    zoom: Sway,
    turn: Sway,
    light: Sway,
    slope: Sway,
    noise: f32,
}

impl Camera {
    pub(crate) fn draw(rng: &mut ChaCha8Rng) -> Self {
        Self {
            x: Sway::draw(PAN, rng),
            y: Sway::draw(PAN, rng),
            zoom: Sway::draw(ZOOM, rng),
            turn: Sway::draw(TURN, rng),
            light: Sway::draw(LIGHT, rng),
            slope: Sway::draw(SLOPE, rng),
            noise: rng.random_range(NOISE[0]..NOISE[1]),
        }
    }

    /// The frame at a time in seconds.
    pub(crate) fn film(&self, scene: &RgbImage, seconds: f32, rng: &mut ChaCha8Rng) -> RgbImage {
        let at = |sway: &Sway| sway.at(seconds);
        let (from, to) = (0.5 * FRAME_SIDE as f32, 0.5 * SCENE_SIDE as f32);
        let scene_from_frame = Similarity::about(
            Point::new(from, from),
            Point::new(to + at(&self.x), to + at(&self.y)),
            1.0 - at(&self.zoom),
            at(&self.turn),
        );
        let mut frame = warp(scene, &scene_from_frame, FRAME_SIDE, FRAME_SIDE);
        let (light, slope) = (1.0 + at(&self.light), at(&self.slope));
        for (column, _, pixel) in frame.enumerate_pixels_mut() {
            let gain = light + slope * ((column as f32 + 0.5) / from - 1.0);
            let noise = self.noise * bell(rng);
            pixel.0 = pixel.0.map(|value| (f32::from(value) * gain + noise + 0.5) as u8);
        }
        frame
    }
}

/// A slow movement to and fro, of two waves so that it does not look like a pendulum.
struct Sway {
    reach: f32,
    waves: [Wave; 2],
}

struct Wave {
    hertz: f32,
    phase: f32,
}

impl Sway {
    /// Never further from 0 than `reach`.
    fn draw(reach: f32, rng: &mut ChaCha8Rng) -> Self {
        let mut wave = |slowest, fastest| Wave {
            hertz: rng.random_range(slowest..fastest),
            phase: rng.random_range(0.0..TAU),
        };
        Self { reach, waves: [wave(0.15, 0.4), wave(0.4, 0.9)] }
    }

    fn at(&self, seconds: f32) -> f32 {
        let [slow, fast] = self.waves.each_ref().map(|wave| (TAU * wave.hertz * seconds + wave.phase).sin());
        self.reach * (0.7 * slow + 0.3 * fast)
    }
}

/// A number of mean 0 and standard deviation 1, close to normal: the sum of four random bytes (Irwin-Hall).
fn bell(rng: &mut ChaCha8Rng) -> f32 {
    const MEAN: f32 = 4.0 * 127.5;
    const DEVIATION: f32 = 147.8;
    let sum: u16 = rng.next_u32().to_le_bytes().into_iter().map(u16::from).sum();
    (f32::from(sum) - MEAN) / DEVIATION
}

//! Boxes and landmarks without the trembling of a detector.

use deeptell_face::{Face, Landmarks, Point, Rect};

/// Cut-off frequencies in cycles per frame: of a face at rest, what a speed of one face side a
/// frame adds, and of the speed itself.
const CUTOFF_AT_REST: f32 = 0.05;
const CUTOFF_PER_SPEED: f32 = 4.0;
const CUTOFF_OF_SPEED: f32 = 0.05;

/// The 1 euro filter of a face: a low pass that opens with speed, so that a face at rest does not
/// tremble and one that moves is not left behind (Casiez, Roussel and Vogel 2012, "1 euro filter:
/// a simple speed-based low-pass filter for noisy input in interactive systems").
///
/// It filters the center, the sides and the landmarks, each in units of the face's size.
#[derive(Debug, Clone)]
pub(super) struct Smoother {
    values: Vec<Filter>,
}

/// The filter of one number.
#[derive(Debug, Clone, Copy)]
struct Filter {
    value: f32,
    last: f32,
    speed: f32,
}

impl Filter {
    fn new(value: f32) -> Self {
        Self { value, last: value, speed: 0.0 }
    }

    fn add(&mut self, value: f32, unit: f32) -> f32 {
        let speed = (value - self.last) / unit;
        self.last = value;
        self.speed += weight(CUTOFF_OF_SPEED) * (speed - self.speed);
        let cutoff = CUTOFF_AT_REST + CUTOFF_PER_SPEED * self.speed.abs();
        self.value += weight(cutoff) * (value - self.value);
        self.value
    }
}

/// Weight of a new value in an exponential mean that cuts off at `cutoff` cycles a value.
fn weight(cutoff: f32) -> f32 {
    let angle = std::f32::consts::TAU * cutoff;
    angle / (1.0 + angle)
}

impl Smoother {
    pub(super) fn new(face: &Face) -> Self {
        Self { values: numbers(face).map(Filter::new).collect() }
    }

    /// The face after one more frame.
    pub(super) fn add(&mut self, face: &Face) -> Face {
        let unit = face.bbox.width().max(face.bbox.height()).max(1.0);
        let smooth: Vec<f32> = self
            .values
            .iter_mut()
            .zip(numbers(face))
            .map(|(filter, value)| filter.add(value, unit))
            .collect();
        let (half_width, half_height) = (0.5 * smooth[2], 0.5 * smooth[3]);
        let point = |i: usize| Point::new(smooth[4 + 2 * i], smooth[5 + 2 * i]);
        Face {
            bbox: Rect::new(
                smooth[0] - half_width,
                smooth[1] - half_height,
                smooth[0] + half_width,
                smooth[1] + half_height,
            ),
            probability: face.probability,
            landmarks: Landmarks::from_points([0, 1, 2, 3, 4].map(point)),
        }
    }
}

/// Center, width and height, then the landmarks.
fn numbers(face: &Face) -> impl Iterator<Item = f32> + use<> {
    let Point { x, y } = face.bbox.center();
    let points = face.landmarks.points();
    [x, y, face.bbox.width(), face.bbox.height()]
        .into_iter()
        .chain(points.into_iter().flat_map(|point| [point.x, point.y]))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn face(x: f32, side: f32) -> Face {
        Face {
            bbox: Rect::new(x, 50.0, x + side, 50.0 + side),
            probability: 1.0,
            landmarks: Landmarks::from_points([Point::new(x + 0.5 * side, 60.0); 5]),
        }
    }

    #[test]
    fn smoother_keeps_resting_face_and_damps_jitter() {
        let mut smoother = Smoother::new(&face(100.0, 80.0));
        assert_eq!(smoother.add(&face(100.0, 80.0)), face(100.0, 80.0));
        let (mut before, mut largest) = (100.0, 0.0_f32);
        for frame in 0..40 {
            let x = 100.0 + if frame % 2 == 0 { 2.0 } else { -2.0 };
            let smooth = smoother.add(&face(x, 80.0)).bbox.x1;
            if frame > 10 {
                largest = largest.max((smooth - before).abs());
            }
            before = smooth;
        }
        assert!(largest < 2.0, "4 pixels of trembling became {largest}");
    }

    #[test]
    fn smoother_follows_moving_face() {
        let mut smoother = Smoother::new(&face(0.0, 80.0));
        let mut last = face(0.0, 80.0);
        for frame in 1..30 {
            last = smoother.add(&face(8.0 * frame as f32, 80.0));
        }
        let truth = face(8.0 * 29.0, 80.0);
        assert!(last.bbox.iou(&truth.bbox) > 0.8, "{last:?}");
        assert!(last.landmarks.nose.distance(truth.landmarks.nose) < 12.0);
    }
}

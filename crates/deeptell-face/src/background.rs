//! Whether two sampled frames belong to one shot of a camera at rest, by what is behind the people.

use crate::{Rect, RgbImage, Thumbnail};

const COLUMNS: usize = Thumbnail::COLUMNS as usize;
const ROWS: usize = Thumbnail::ROWS as usize;
/// A cell is unchanged when its colors differ by less than this, in levels of 255.
const MAX_DIFFERENCE: f32 = 8.0;
/// A cell is part of an edge when it differs from the next cell by more than this.
const MIN_EDGE: u8 = 12;
/// Fewer edges prove nothing: two plain walls look alike.
const MIN_EDGES: usize = 24;
/// Share of the edges, and of all cells, that must be unchanged.
///
/// Measured on 20 clips of signers before one wall, of 0.05 to 0.3 s between frames: the edges of two
/// frames of one clip are 75% to 100% unchanged (median 100%, 5th percentile 89%), those of clips
/// of two signers, by the same camera in the same room, at most 82%.
const MIN_SHARE_OF_EDGES: f32 = 0.85;
const MIN_SHARE: f32 = 0.7;
/// Brightness may change by this factor between two frames, as automatic exposure does.
const MAX_GAIN: f32 = 1.33;

/// The part of a frame that no person covers.
#[derive(Debug)]
pub(crate) struct Background {
    thumbnail: Thumbnail,
    /// Whether a person may cover the cell.
    covered: Vec<bool>,
}

impl Background {
    /// What is around the people whose faces are in `boxes`, in pixels of `frame`.
    pub(crate) fn of(frame: &RgbImage, boxes: impl IntoIterator<Item = Rect>) -> Self {
        let mut covered = vec![false; COLUMNS * ROWS];
        let (width, height) = (frame.width() as f32, frame.height() as f32);
        for bbox in boxes {
            let (center, side) = (bbox.center(), bbox.height());
            let around = |half_width: f32, top: f32, bottom: f32| {
                Rect::new(center.x - half_width * side, top, center.x + half_width * side, bottom)
            };
            let head = around(1.0, bbox.y1 - 0.5 * side, bbox.y2 + 0.1 * side);
            // Arms and hands reach further than shoulders.
            let body = around(2.2, bbox.y2 - 0.1 * side, height);
            for part in [head, body] {
                let cells = |low: f32, high: f32, side: f32, count: usize| {
                    let cell = |value: f32| value / side * count as f32;
                    // Casts saturate.
                    (cell(low) as usize).min(count)..(cell(high).ceil() as usize).min(count)
                };
                for row in cells(part.y1, part.y2, height, ROWS) {
                    for column in cells(part.x1, part.x2, width, COLUMNS) {
                        covered[row * COLUMNS + column] = true;
                    }
                }
            }
        }
        Self { thumbnail: Thumbnail::of(frame), covered }
    }

    /// Whether the frames show one background from one place: the edges in it are where they were.
    /// `false` also when there is too little to tell.
    pub(crate) fn is_unchanged(&self, later: &Self) -> bool {
        let (before, after) = (self.thumbnail.cells(), later.thumbnail.cells());
        if self.thumbnail.frame_size() != later.thumbnail.frame_size() || before.is_empty() {
            return false;
        }
        let open: Vec<usize> =
            (0..before.len()).filter(|&cell| !self.covered[cell] && !later.covered[cell]).collect();
        let Some(gain) = gain(&open, before, after) else { return false };
        let is_unchanged = |cell: usize| {
            let pairs = before[cell].into_iter().zip(after[cell]);
            pairs.map(|(a, b)| (gain * f32::from(a) - f32::from(b)).abs()).fold(0.0, f32::max)
                < MAX_DIFFERENCE
        };
        let share = |cells: &[usize]| {
            cells.iter().filter(|&&cell| is_unchanged(cell)).count() as f32 / cells.len().max(1) as f32
        };
        let edges: Vec<usize> =
            open.iter().copied().filter(|&cell| is_edge(before, cell) || is_edge(after, cell)).collect();
        edges.len() >= MIN_EDGES && share(&edges) >= MIN_SHARE_OF_EDGES && share(&open) >= MIN_SHARE
    }
}

/// The factor by which `cells` became brighter: the median over them and their colors.
fn gain(cells: &[usize], before: &[[u8; 3]], after: &[[u8; 3]]) -> Option<f32> {
    let ratio = |(a, b): (u8, u8)| (f32::from(b) + 4.0) / (f32::from(a) + 4.0);
    let mut ratios: Vec<f32> =
        cells.iter().flat_map(|&cell| before[cell].into_iter().zip(after[cell]).map(ratio)).collect();
    if ratios.is_empty() {
        return None;
    }
    let middle = ratios.len() / 2;
    let (_, median, _) = ratios.select_nth_unstable_by(middle, f32::total_cmp);
    Some(median.clamp(1.0 / MAX_GAIN, MAX_GAIN))
}

/// Whether `cell` differs from a cell beside, above or below it.
fn is_edge(cells: &[[u8; 3]], cell: usize) -> bool {
    let (row, column) = (cell / COLUMNS, cell % COLUMNS);
    let differs = |other: usize| {
        let pairs = cells[cell].into_iter().zip(cells[other]);
        pairs.map(|(a, b)| a.abs_diff(b)).max().is_some_and(|most| most > MIN_EDGE)
    };
    (column > 0 && differs(cell - 1))
        || (column + 1 < COLUMNS && differs(cell + 1))
        || (row > 0 && differs(cell - COLUMNS))
        || (row + 1 < ROWS && differs(cell + COLUMNS))
}

#[cfg(test)]
mod tests {
    use image::Rgb;

    use super::*;

    /// A room with a shelf, seen from `left`, `light` times as bright.
    fn room(left: u32, light: f32) -> RgbImage {
        RgbImage::from_fn(640, 480, |x, y| {
            let shelf = (x + left) / 40 % 3 + y / 60 % 2;
            Rgb([60, 90, 120].map(|level: u8| ((f32::from(level) + 30.0 * shelf as f32) * light) as u8))
        })
    }

    /// `room` with somebody in it, as high as the frame, whose face is in the box.
    fn with_person(mut room: RgbImage, x: u32, color: [u8; 3]) -> (RgbImage, Rect) {
        for pixel in (x - 60..x + 140).flat_map(|x| (60..480).map(move |y| (x, y))) {
            room.put_pixel(pixel.0, pixel.1, Rgb(color));
        }
        (room, Rect::new(x as f32, 80.0, x as f32 + 80.0, 180.0))
    }

    fn background((frame, bbox): (RgbImage, Rect)) -> Background {
        Background::of(&frame, [bbox])
    }

    #[test]
    fn one_room_is_unchanged_whatever_the_person_in_it_does() {
        let before = background(with_person(room(0, 1.0), 280, [200, 30, 30]));
        let after = background(with_person(room(0, 1.0), 250, [30, 30, 200]));
        assert!(before.is_unchanged(&after) && after.is_unchanged(&before));
        let darker = background(with_person(room(0, 0.85), 250, [30, 30, 200]));
        assert!(before.is_unchanged(&darker), "automatic exposure");
    }

    #[test]
    fn another_angle_brightness_or_size_is_a_change() {
        let before = background(with_person(room(0, 1.0), 280, [200, 30, 30]));
        let angle = background(with_person(room(30, 1.0), 280, [200, 30, 30]));
        assert!(!before.is_unchanged(&angle));
        let dark = background(with_person(room(0, 0.5), 280, [200, 30, 30]));
        assert!(!before.is_unchanged(&dark));
        let small = image::imageops::thumbnail(&room(0, 1.0), 320, 240);
        assert!(
            !background((room(0, 1.0), Rect::new(0.0, 0.0, 1.0, 1.0)))
                .is_unchanged(&Background::of(&small, []))
        );
    }

    #[test]
    fn a_plain_wall_and_a_face_that_fills_the_frame_prove_nothing() {
        let wall = || RgbImage::from_pixel(640, 480, Rgb([150; 3]));
        let [one, two] = [0, 1].map(|_| background(with_person(wall(), 280, [200, 30, 30])));
        assert!(!one.is_unchanged(&two));
        let close_up = || Background::of(&room(0, 1.0), [Rect::new(100.0, 20.0, 540.0, 470.0)]);
        assert!(!close_up().is_unchanged(&close_up()));
        let empty = || Background::of(&RgbImage::new(0, 0), []);
        assert!(!empty().is_unchanged(&empty()));
    }
}

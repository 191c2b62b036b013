//! How a camera was held: the display matrix of MP4 files (ISO/IEC 14496-12, 6.2.2), and what other
//! files say that FFmpeg does not pass on.

use std::io::{self, Read, Seek, SeekFrom};

use deeptell_face::exif_orientation;
use image::{RgbImage, imageops, metadata};

use crate::heif;

/// Chunks of a PNG to read.
const MAX_CHUNKS: usize = 100_000;
/// Bytes of EXIF data to read.
const MAX_EXIF_BYTES: u64 = 1 << 20;

/// How the pictures of a file are turned, as far as FFmpeg does not tell; `None` where nothing is said.
///
/// Reads from the beginning and leaves the cursor anywhere.
///
/// # Errors
/// When `source` cannot be read.
pub(crate) fn stored(source: &mut (impl Read + Seek)) -> io::Result<Option<Orientation>> {
    Ok(heif::orientation(source)?.or(of_png(source)?))
}

/// What the EXIF data of a PNG say, animated or not (PNG, third edition, 11.3.4.5).
fn of_png(source: &mut (impl Read + Seek)) -> io::Result<Option<Orientation>> {
    source.rewind()?;
    let mut magic = Vec::new();
    source.take(8).read_to_end(&mut magic)?;
    if magic != b"\x89PNG\r\n\x1a\n" {
        return Ok(None);
    }
    let mut at = 8;
    for _ in 0..MAX_CHUNKS {
        source.seek(SeekFrom::Start(at))?;
        let mut head = Vec::new();
        source.take(8).read_to_end(&mut head)?;
        let Ok([a, b, c, d, name @ ..]) = <[u8; 8]>::try_from(head) else { return Ok(None) };
        let length = u64::from(u32::from_be_bytes([a, b, c, d]));
        match &name {
            b"eXIf" => {
                let mut exif = Vec::new();
                source.take(length.min(MAX_EXIF_BYTES)).read_to_end(&mut exif)?;
                let orientation = exif_orientation(&exif);
                let is_told = orientation != metadata::Orientation::NoTransforms;
                return Ok(is_told.then(|| orientation.into()));
            }
            b"IEND" => return Ok(None),
            // Its checksum follows.
            _ => at += 8 + length + 4,
        }
    }
    Ok(None)
}

impl From<metadata::Orientation> for Orientation {
    fn from(exif: metadata::Orientation) -> Self {
        use metadata::Orientation as Exif;
        let (transposed, mirrored_x, mirrored_y) = match exif {
            Exif::NoTransforms => (false, false, false),
            Exif::FlipHorizontal => (false, true, false),
            Exif::Rotate180 => (false, true, true),
            Exif::FlipVertical => (false, false, true),
            Exif::Rotate90FlipH => (true, false, false),
            Exif::Rotate90 => (true, true, false),
            Exif::Rotate270FlipH => (true, true, true),
            Exif::Rotate270 => (true, false, true),
        };
        Self { transposed, mirrored_x, mirrored_y }
    }
}

/// One of the eight ways to lay a picture on a screen without tilting it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Orientation {
    /// Rows become columns, before the mirroring.
    transposed: bool,
    mirrored_x: bool,
    mirrored_y: bool,
}

impl Orientation {
    /// Reads FFmpeg's display matrix: nine native-endian `i32`, row by row, where a picture point
    /// `(x, y)` is shown at `(x m0 + y m3, x m1 + y m4)`. Tilts snap to the nearest right angle.
    pub(crate) fn from_display_matrix(bytes: &[u8]) -> Option<Self> {
        let mut cells = [0_i32; 9];
        let (words, _) = bytes.as_chunks::<4>();
        for (cell, word) in cells.iter_mut().zip(words.get(..9)?) {
            *cell = i32::from_ne_bytes(*word);
        }
        let [x_from_x, y_from_x, _, x_from_y, y_from_y, ..] = cells.map(i64::from);
        if [x_from_x, y_from_x, x_from_y, y_from_y] == [0; 4] {
            return None;
        }
        let transposed = y_from_x.abs() + x_from_y.abs() > x_from_x.abs() + y_from_y.abs();
        let (x_sign, y_sign) = if transposed { (x_from_y, y_from_x) } else { (x_from_x, y_from_y) };
        Some(Self { transposed, mirrored_x: x_sign < 0, mirrored_y: y_sign < 0 })
    }

    /// After a further quarter turn to the left.
    pub(crate) fn turned_left(self) -> Self {
        Self { transposed: !self.transposed, mirrored_x: self.mirrored_y, mirrored_y: !self.mirrored_x }
    }

    /// After a further exchange of left and right, or of top and bottom.
    pub(crate) fn mirrored(self, is_left_right: bool) -> Self {
        Self {
            mirrored_x: self.mirrored_x != is_left_right,
            mirrored_y: self.mirrored_y == is_left_right,
            ..self
        }
    }

    /// Clockwise turn in degrees that shows the picture upright: 0, 90, 180 or 270.
    pub(crate) fn rotation_degrees(self) -> u32 {
        match (self.transposed, self.mirrored_x, self.mirrored_y) {
            (false, false, _) | (false, true, false) => 0,
            (false, true, true) => 180,
            (true, true, _) => 90,
            (true, false, _) => 270,
        }
    }

    /// Width and height after turning.
    pub(crate) fn size(self, width: u32, height: u32) -> (u32, u32) {
        if self.transposed { (height, width) } else { (width, height) }
    }

    pub(crate) fn apply(self, image: RgbImage) -> RgbImage {
        match (self.transposed, self.mirrored_x, self.mirrored_y) {
            (false, false, false) => image,
            (false, true, false) => imageops::flip_horizontal(&image),
            (false, false, true) => imageops::flip_vertical(&image),
            (false, true, true) => imageops::rotate180(&image),
            (true, true, false) => imageops::rotate90(&image),
            (true, false, true) => imageops::rotate270(&image),
            (true, false, false) => imageops::flip_horizontal(&imageops::rotate90(&image)),
            (true, true, true) => imageops::flip_vertical(&imageops::rotate90(&image)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use image::Rgb;

    fn matrix(cells: [i32; 4]) -> Vec<u8> {
        let [a, b, c, d] = cells.map(|cell| cell * 65536);
        [a, b, 0, c, d, 0, 0, 0, 1 << 30].iter().flat_map(|cell: &i32| cell.to_ne_bytes()).collect()
    }

    /// Shows each pixel where the matrix sends its center, up to a shift.
    fn by_hand(image: &RgbImage, [a, b, c, d]: [i32; 4]) -> RgbImage {
        let (w, h) = (image.width() as i32, image.height() as i32);
        let send = |x: i32, y: i32| (x * a + y * c, x * b + y * d);
        let corners = [send(0, 0), send(w - 1, 0), send(0, h - 1), send(w - 1, h - 1)];
        let (x0, y0) =
            (corners.iter().map(|p| p.0).min().unwrap(), corners.iter().map(|p| p.1).min().unwrap());
        let (x1, y1) =
            (corners.iter().map(|p| p.0).max().unwrap(), corners.iter().map(|p| p.1).max().unwrap());
        let mut shown = RgbImage::new((x1 - x0 + 1) as u32, (y1 - y0 + 1) as u32);
        for (x, y, pixel) in image.enumerate_pixels() {
            let (u, v) = send(x as i32, y as i32);
            shown.put_pixel((u - x0) as u32, (v - y0) as u32, *pixel);
        }
        shown
    }

    #[test]
    fn all_eight_orientations_follow_the_matrix() {
        let image = RgbImage::from_fn(3, 2, |x, y| Rgb([x as u8 * 50, y as u8 * 90, 7]));
        let cases = [
            ([1, 0, 0, 1], 0),
            ([0, 1, -1, 0], 90),
            ([-1, 0, 0, -1], 180),
            ([0, -1, 1, 0], 270),
            ([-1, 0, 0, 1], 0),
            ([1, 0, 0, -1], 0),
            ([0, 1, 1, 0], 270),
            ([0, -1, -1, 0], 90),
        ];
        for (cells, degrees) in cases {
            let orientation = Orientation::from_display_matrix(&matrix(cells)).unwrap();
            let shown = orientation.apply(image.clone());
            assert_eq!(shown, by_hand(&image, cells), "{cells:?}");
            assert_eq!(orientation.rotation_degrees(), degrees, "{cells:?}");
            assert_eq!(orientation.size(3, 2), shown.dimensions());
        }
    }

    #[test]
    fn all_eight_orientations_are_those_of_exif() {
        let image = RgbImage::from_fn(3, 2, |x, y| Rgb([x as u8 * 50, y as u8 * 90, 7]));
        for value in 1..=8 {
            let exif = metadata::Orientation::from_exif(value).unwrap();
            let mut expected = image::DynamicImage::ImageRgb8(image.clone());
            expected.apply_orientation(exif);
            assert_eq!(Orientation::from(exif).apply(image.clone()), expected.into_rgb8(), "{value}");
        }
    }

    #[test]
    fn the_orientation_of_a_png_is_read_wherever_it_is_stored() {
        let chunk = |name: &[u8; 4], data: &[u8]| {
            [&(data.len() as u32).to_be_bytes(), &name[..], data, &[0; 4]].concat()
        };
        // One entry: orientation (0x0112), a short, 6.
        let exif = b"MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0\x06\0\0\0\0\0\0";
        let magic = b"\x89PNG\r\n\x1a\n".to_vec();
        let before =
            [magic.clone(), chunk(b"eXIf", exif), chunk(b"IDAT", &[7; 30]), chunk(b"IEND", &[])].concat();
        let after =
            [magic.clone(), chunk(b"IDAT", &[7; 30]), chunk(b"eXIf", exif), chunk(b"IEND", &[])].concat();
        let none = [magic, chunk(b"IDAT", &[7; 30]), chunk(b"IEND", &[]), chunk(b"eXIf", exif)].concat();
        let found = |bytes: &[u8]| stored(&mut io::Cursor::new(bytes)).unwrap();
        assert_eq!(found(&before).unwrap().rotation_degrees(), 90);
        assert_eq!(found(&after), found(&before));
        assert_eq!(found(&none), None);
        for length in 0..after.len() {
            let _ = found(&after[..length]);
        }
    }

    #[test]
    fn invalid_matrices_give_no_orientation() {
        assert_eq!(Orientation::from_display_matrix(&[1, 2, 3]), None);
        assert_eq!(Orientation::from_display_matrix(&matrix([0, 0, 0, 0])), None);
    }
}

use deeptell_face::RgbImage;
use image::{Rgb, imageops};

/// Side of a picture on the sheet, its frame included, in pixels.
const CELL: u32 = 148;
/// Width of the frame whose color means real or fake.
const FRAME: u32 = 4;
const REAL: Rgb<u8> = Rgb([38, 132, 92]);
const FAKE: Rgb<u8> = Rgb([196, 52, 60]);
const PAPER: Rgb<u8> = Rgb([245, 245, 243]);

/// Draws the pictures of [`preview`](crate::preview) on one sheet: real faces in a green frame, fakes in a red one.
///
/// The pictures of a unit are next to each other, and units are in columns, so that a sheet of triples is about as
/// wide as high. The result is empty (0x0) without units.
pub fn contact_sheet(units: &[Vec<(RgbImage, bool)>]) -> RgbImage {
    let widest = units.iter().map(Vec::len).max().unwrap_or(0) as u32;
    let columns = (6 / widest.max(1)).max(1);
    let rows = (units.len() as u32).div_ceil(columns);
    let mut sheet = RgbImage::from_pixel(columns * widest * CELL, rows * CELL, PAPER);
    for (number, unit) in units.iter().enumerate() {
        let (column, row) = (number as u32 % columns, number as u32 / columns);
        for (place, (picture, fake)) in unit.iter().enumerate() {
            let (left, top) = ((column * widest + place as u32) * CELL, row * CELL);
            let frame = RgbImage::from_pixel(CELL - 2, CELL - 2, if *fake { FAKE } else { REAL });
            imageops::replace(&mut sheet, &frame, i64::from(left) + 1, i64::from(top) + 1);
            let inside = CELL - 2 - 2 * FRAME;
            let small = imageops::thumbnail(picture, inside, inside);
            let offset = i64::from(FRAME) + 1;
            imageops::replace(&mut sheet, &small, i64::from(left) + offset, i64::from(top) + offset);
        }
    }
    sheet
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_are_green_for_real_and_red_for_fake() {
        let picture = |value: u8| RgbImage::from_pixel(224, 224, Rgb([value; 3]));
        let unit = vec![(picture(10), false), (picture(20), true), (picture(30), true)];
        let sheet = contact_sheet(&[unit.clone(), unit.clone(), unit]);
        assert_eq!(sheet.dimensions(), (6 * CELL, 2 * CELL));
        assert_eq!((sheet.get_pixel(2, 2), sheet.get_pixel(CELL + 2, 2)), (&REAL, &FAKE));
        assert_eq!(sheet.get_pixel(CELL / 2, CELL / 2), &Rgb([10; 3]));
        assert_eq!(sheet.get_pixel(5 * CELL + CELL / 2, CELL / 2), &Rgb([30; 3]));
        assert_eq!(sheet.get_pixel(5 * CELL, CELL + CELL / 2), &PAPER, "the place of a fourth");
    }
}

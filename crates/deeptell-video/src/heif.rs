//! How pictures in HEIF files, AVIF among them, are turned (ISO/IEC 23008-12).
//!
//! FFmpeg hands out the coded picture alone. The turn is a property of the item that holds it, in the
//! `meta` box, and not part of the AV1 data.

use std::io::{self, Read, Seek, SeekFrom};

use crate::orientation::Orientation;

/// Boxes at the top of the file to look at, and bytes of the one that describes the items.
const MAX_BOXES: usize = 64;
const MAX_META_BYTES: u64 = 1 << 20;

/// Brands of files whose pictures are items.
const BRANDS: [&[u8; 4]; 6] = [b"avif", b"avis", b"mif1", b"msf1", b"heic", b"heix"];

/// How the primary picture is turned, and `None` where the file is no HEIF file or does not say.
///
/// Reads from the beginning and leaves the cursor anywhere.
///
/// # Errors
/// When `source` cannot be read.
pub(crate) fn orientation(source: &mut (impl Read + Seek)) -> io::Result<Option<Orientation>> {
    let mut at = 0;
    let mut is_heif = false;
    for _ in 0..MAX_BOXES {
        source.seek(SeekFrom::Start(at))?;
        let mut head = Vec::new();
        source.take(16).read_to_end(&mut head)?;
        let Some((name, header, length)) = box_header(&head) else { return Ok(None) };
        if &name == b"ftyp" || &name == b"meta" {
            source.seek(SeekFrom::Start(at + header))?;
            let mut body = Vec::new();
            let most = length.map_or(MAX_META_BYTES, |length| length.saturating_sub(header));
            source.take(most.min(MAX_META_BYTES)).read_to_end(&mut body)?;
            if &name == b"meta" {
                return Ok(is_heif.then(|| primary_orientation(&body)).flatten());
            }
            is_heif = body.chunks_exact(4).any(|brand| BRANDS.iter().any(|known| brand == known.as_slice()));
        }
        let next = length.filter(|_| is_heif).and_then(|length| at.checked_add(length));
        let Some(next) = next else { return Ok(None) };
        at = next;
    }
    Ok(None)
}

/// Name of the box that begins here, bytes of its header, and of all of it unless it lasts to the end.
fn box_header(bytes: &[u8]) -> Option<([u8; 4], u64, Option<u64>)> {
    let (length, rest) = bytes.split_first_chunk::<4>()?;
    let (name, rest) = rest.split_first_chunk::<4>()?;
    Some(match u32::from_be_bytes(*length) {
        0 => (*name, 8, None),
        1 => {
            let length = u64::from_be_bytes(*rest.first_chunk::<8>()?);
            (*name, 16, Some(length).filter(|length| *length >= 16))
        }
        length => (*name, 8, Some(u64::from(length)).filter(|length| *length >= 8)),
    })
}

/// The boxes in `bytes`, each with its contents.
fn boxes(mut bytes: &[u8]) -> impl Iterator<Item = ([u8; 4], &[u8])> {
    std::iter::from_fn(move || {
        let (name, header, length) = box_header(bytes)?;
        let length = length.map_or(bytes.len(), |length| usize::try_from(length).unwrap_or(usize::MAX));
        let (this, rest) = bytes.split_at_checked(length)?;
        bytes = rest;
        Some((name, this.get(header as usize..)?))
    })
}

fn find(bytes: &[u8], wanted: [u8; 4]) -> Option<&[u8]> {
    boxes(bytes).find(|(name, _)| *name == wanted).map(|(_, contents)| contents)
}

/// What is read number by number, the highest byte first.
struct Numbers<'a>(&'a [u8]);

impl Numbers<'_> {
    fn next<const N: usize>(&mut self) -> Option<u64> {
        let (number, rest) = self.0.split_first_chunk::<N>()?;
        self.0 = rest;
        Some(number.iter().fold(0, |value, byte| value << 8 | u64::from(*byte)))
    }
}

/// The turns and mirrorings of the primary item, in the order in which they are to be applied.
fn primary_orientation(meta: &[u8]) -> Option<Orientation> {
    let contents = meta.get(4..)?;
    let mut primary = Numbers(find(contents, *b"pitm")?);
    let primary = if primary.next::<4>()? >> 24 == 0 { primary.next::<2>()? } else { primary.next::<4>()? };
    let properties = find(contents, *b"iprp")?;
    let all: Vec<_> = boxes(find(properties, *b"ipco")?).collect();
    let mut orientation = None;
    for (_, association) in boxes(properties).filter(|(name, _)| name == b"ipma") {
        let mut numbers = Numbers(association);
        let versions = numbers.next::<4>()?;
        for _ in 0..numbers.next::<4>()? {
            let item = if versions >> 24 == 0 { numbers.next::<2>()? } else { numbers.next::<4>()? };
            for _ in 0..numbers.next::<1>()? {
                let number = if versions & 1 == 1 {
                    numbers.next::<2>()? & 0x7FFF
                } else {
                    numbers.next::<1>()? & 0x7F
                };
                let property = number.checked_sub(1).and_then(|number| all.get(number as usize));
                let Some((name, [value, ..])) = property.filter(|_| item == primary) else { continue };
                let before: Orientation = orientation.unwrap_or_default();
                match name {
                    b"irot" => {
                        orientation = Some((0..value & 3).fold(before, |turned, _| turned.turned_left()));
                    }
                    b"imir" => orientation = Some(before.mirrored(value & 1 == 1)),
                    _ => {}
                }
            }
        }
    }
    orientation
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use image::{DynamicImage, Rgb, RgbImage, metadata};

    use super::*;

    fn a_box(name: [u8; 4], contents: &[u8]) -> Vec<u8> {
        [&(contents.len() as u32 + 8).to_be_bytes(), &name[..], contents].concat()
    }

    /// A file whose second item, the primary one, has these properties.
    fn file(properties: &[(&[u8; 4], u8)]) -> Vec<u8> {
        let all: Vec<u8> = [a_box(*b"ispe", &[0; 12])]
            .into_iter()
            .chain(properties.iter().map(|(name, value)| a_box(**name, &[*value])))
            .flatten()
            .collect();
        let mut associations =
            vec![0, 0, 0, 0, 0, 0, 0, 2, 0, 1, 1, 0x81, 0, 2, properties.len() as u8 + 1, 1];
        associations.extend((2..).take(properties.len()).map(|number: u8| number | 0x80));
        let iprp = [a_box(*b"ipco", &all), a_box(*b"ipma", &associations)].concat();
        let meta = [vec![0; 4], a_box(*b"pitm", &[0, 0, 0, 0, 0, 2]), a_box(*b"iprp", &iprp)].concat();
        [a_box(*b"ftyp", b"avif\0\0\0\0mif1"), a_box(*b"free", &[7; 9]), a_box(*b"meta", &meta)].concat()
    }

    #[test]
    fn the_eight_orientations_are_those_of_exif() {
        let stored = RgbImage::from_fn(3, 2, |x, y| Rgb([x as u8 * 50, y as u8 * 90, 7]));
        // As libavif writes them for pictures with the EXIF orientations 1 to 8.
        let cases: [&[(&[u8; 4], u8)]; 8] = [
            &[],
            &[(b"imir", 1)],
            &[(b"irot", 2)],
            &[(b"imir", 0)],
            &[(b"irot", 1), (b"imir", 0)],
            &[(b"irot", 3)],
            &[(b"irot", 3), (b"imir", 0)],
            &[(b"irot", 1)],
        ];
        for (exif, properties) in (1_u8..).zip(cases) {
            let found = orientation(&mut Cursor::new(file(properties))).unwrap().unwrap_or_default();
            let mut expected = DynamicImage::ImageRgb8(stored.clone());
            expected.apply_orientation(metadata::Orientation::from_exif(exif).unwrap());
            assert_eq!(found.apply(stored.clone()), expected.into_rgb8(), "{exif}");
        }
    }

    #[test]
    fn damaged_and_other_files_say_nothing() {
        let whole = file(&[(b"irot", 1)]);
        for length in 0..whole.len() {
            let _ = orientation(&mut Cursor::new(&whole[..length])).unwrap();
        }
        for place in 0..whole.len() {
            let mut damaged = whole.clone();
            damaged[place] ^= 0xFF;
            let _ = orientation(&mut Cursor::new(damaged)).unwrap();
        }
        let movie = [a_box(*b"ftyp", b"isom\0\0\0\0mp42"), a_box(*b"meta", &[0; 4])].concat();
        assert_eq!(orientation(&mut Cursor::new(movie)).unwrap(), None);
    }
}

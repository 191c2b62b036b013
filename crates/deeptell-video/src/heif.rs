//! How pictures in HEIF files, AVIF among them, are turned (ISO/IEC 23008-12).
//!
//! FFmpeg hands out the coded picture alone. The turn is a property of the item that holds it, in the
//! `meta` box, and not part of the AV1 data.

use std::io::{self, Read, Seek, SeekFrom};

use crate::orientation::Orientation;

/// Boxes at the top of the file to examine, and bytes of those that describe the items and the tracks.
const MAX_BOXES: usize = 64;
const MAX_META_BYTES: u64 = 1 << 20;

/// Brands of files whose pictures are items.
const BRANDS: [&[u8; 4]; 6] = [b"avif", b"avis", b"mif1", b"msf1", b"heic", b"heix"];

/// How the pictures of the first video track are turned, or else the primary picture; `None` where the
/// file is not a HEIF file or does not say.
///
/// Reads from the beginning and leaves the cursor anywhere.
///
/// # Errors
/// When `source` cannot be read.
pub(crate) fn orientation(source: &mut (impl Read + Seek)) -> io::Result<Option<Orientation>> {
    let mut at = 0;
    let (mut is_heif, mut of_item) = (false, None);
    for _ in 0..MAX_BOXES {
        source.seek(SeekFrom::Start(at))?;
        let mut head = Vec::new();
        source.take(16).read_to_end(&mut head)?;
        let Some((name, header, length)) = box_header(&head) else { return Ok(of_item) };
        if matches!(&name, b"ftyp" | b"meta" | b"moov") {
            source.seek(SeekFrom::Start(at + header))?;
            let mut body = Vec::new();
            let most = length.map_or(MAX_META_BYTES, |length| length.saturating_sub(header));
            source.take(most.min(MAX_META_BYTES)).read_to_end(&mut body)?;
            match &name {
                b"meta" if is_heif => of_item = of_item.or_else(|| primary_orientation(&body)),
                b"moov" if is_heif => return Ok(track_orientation(&body).or(of_item)),
                b"ftyp" => {
                    is_heif = body
                        .chunks_exact(4)
                        .any(|brand| BRANDS.iter().any(|known| brand == known.as_slice()));
                }
                _ => {}
            }
        }
        let next = length.filter(|_| is_heif).and_then(|length| at.checked_add(length));
        let Some(next) = next else { return Ok(of_item) };
        at = next;
    }
    Ok(of_item)
}

/// What the first video track says in the description of its samples. Its matrix is FFmpeg's to read.
fn track_orientation(movie: &[u8]) -> Option<Orientation> {
    /// Bytes of a description of samples before the boxes in it (ISO/IEC 14496-12, 12.1.3).
    const FIELDS: usize = 78;
    let mut tracks = boxes(movie).filter(|(name, _)| name == b"trak");
    let descriptions = |track| {
        let media = find(track, *b"mdia")?;
        let is_video = matches!(find(media, *b"hdlr")?.get(8..12)?, b"pict" | b"vide" | b"auxv");
        let table = find(find(media, *b"minf")?, *b"stbl")?;
        find(table, *b"stsd")?.get(8..).filter(|_| is_video)
    };
    let (_, description) = tracks.find_map(|(_, track)| boxes(descriptions(track)?).next())?;
    boxes(description.get(FIELDS..)?).fold(None, |before, (name, contents)| applied(before, name, contents))
}

/// The orientation after one more property: a turn, a mirroring, or another that changes nothing.
fn applied(before: Option<Orientation>, name: [u8; 4], contents: &[u8]) -> Option<Orientation> {
    let turned = before.unwrap_or_default();
    match (&name, contents) {
        (b"irot", [value, ..]) => Some((0..value & 3).fold(turned, |turned, _| turned.turned_left())),
        (b"imir", [value, ..]) => Some(turned.mirrored(value & 1 == 1)),
        _ => before,
    }
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
                if let Some((name, contents)) = property.filter(|_| item == primary) {
                    orientation = applied(orientation, *name, contents);
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

    /// A sequence whose samples have these properties, and its primary item those.
    fn sequence(samples: &[(&[u8; 4], u8)], item: &[(&[u8; 4], u8)]) -> Vec<u8> {
        let properties = samples.iter().flat_map(|(name, value)| a_box(**name, &[*value]));
        let entry: Vec<u8> = [0; 78].into_iter().chain(a_box(*b"av1C", &[0; 4])).chain(properties).collect();
        let stsd = [vec![0, 0, 0, 0, 0, 0, 0, 1], a_box(*b"av01", &entry)].concat();
        let minf = a_box(*b"minf", &a_box(*b"stbl", &a_box(*b"stsd", &stsd)));
        let handler = a_box(*b"hdlr", b"\0\0\0\0\0\0\0\0pict\0\0\0\0");
        let track = a_box(*b"trak", &a_box(*b"mdia", &[handler, minf].concat()));
        [file(item), a_box(*b"moov", &[a_box(*b"mvhd", &[0; 90]), track].concat())].concat()
    }

    #[test]
    fn sequences_are_turned_as_their_samples_or_else_their_item() {
        let found = |bytes: Vec<u8>| orientation(&mut Cursor::new(bytes)).unwrap();
        let turned = |properties: &[(&[u8; 4], u8)]| found(file(properties)).unwrap();
        let quarter: &[(&[u8; 4], u8)] = &[(b"irot", 1)];
        let both: &[(&[u8; 4], u8)] = &[(b"irot", 3), (b"imir", 0)];
        assert_eq!(found(sequence(both, &[])).unwrap(), turned(both));
        assert_eq!(found(sequence(both, quarter)).unwrap(), turned(both));
        assert_eq!(found(sequence(&[], quarter)).unwrap(), turned(quarter));
        assert_eq!(found(sequence(&[], &[])), None);
        let whole = sequence(both, quarter);
        for length in 0..whole.len() {
            let _ = found(whole[..length].to_vec());
        }
    }

    #[test]
    fn damaged_and_other_files_do_not_fail() {
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

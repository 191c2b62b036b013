//! What comes after a picture in its file: the video of a motion photo, or further pictures.
//!
//! Viewers show the first picture of such a file. Phones also append what belongs to the picture itself, gain maps,
//! previews and notes of the camera: those are passed over, and so is padding.

use std::fmt;
use std::io::{self, Read, Seek};

use deeptell_files::ByteWindow;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::PictureFormat;

/// Bytes that are read at once.
const WINDOW: usize = 1 << 16;
/// Places that only seem to be the beginning of a JPEG or of something else, before the search is given up: each may
/// cost a pass over the file.
const MAX_FALSE_JPEGS: usize = 16;
const MAX_FALSE_STARTS: usize = 4096;
/// A header of an MP4 file is no longer than this, in bytes.
const MAX_FILE_TYPE: u64 = 1024;
/// Boxes that follow the header of an MP4 file (ISO/IEC 14496-12, 6.2; `QuickTime`).
const BOXES: [&[u8]; 9] = [b"moov", b"mdat", b"moof", b"free", b"skip", b"wide", b"uuid", b"meta", b"sidx"];
/// Brands of still pictures that begin like an MP4 file.
const STILL_BRANDS: [&[u8]; 5] = [b"heic", b"heix", b"mif1", b"avif", b"hevx"];
/// What a JPEG says of itself that belongs to the picture before it: a map of its brightness or its depth.
const AIDS: [&[u8]; 4] = [b"hdrgm:", b"HDRGainMap", b"urn:iso:std:iso:ts:21496", b"DepthMap"];

/// A video or another picture after the picture in its file, which was not read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct TrailingMedia {
    /// What it is.
    pub kind: TrailingMediaKind,
    /// Its first byte, counted from the beginning of the file.
    pub at: u64,
    /// Bytes from there to the end of the file.
    pub bytes: u64,
}

impl TrailingMedia {
    /// What begins at `at` and goes on for `bytes` bytes, to the end of the file.
    pub fn new(kind: TrailingMediaKind, at: u64, bytes: u64) -> Self {
        Self { kind, at, bytes }
    }
}

/// A sentence for people.
impl fmt::Display for TrailingMedia {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { kind, at: _, bytes } = self;
        let content = match kind {
            TrailingMediaKind::Video => "a video, as in a motion photo",
            TrailingMediaKind::Picture => "another picture, as in a burst",
        };
        write!(
            f,
            "After the picture, the file also contains {content}; only the picture was scanned. To scan the rest, save \
             the last {bytes} bytes as a file of their own (tail -c {bytes})."
        )
    }
}

/// Kinds of [`TrailingMedia`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum TrailingMediaKind {
    /// A video or an animation.
    Video,
    /// A picture about as large as the first, or larger.
    Picture,
}

impl TrailingMediaKind {
    /// The kind of a file that begins with these bytes; 12 of them are enough. `None` for anything else, notes of cameras
    /// among them.
    pub fn by_first_bytes(head: &[u8]) -> Option<Self> {
        match head {
            [0xFF, 0xD8, 0xFF, ..]
            | [0x89, b'P', b'N', b'G', ..]
            | [b'R', b'I', b'F', b'F', _, _, _, _, b'W', b'E', b'B', b'P', ..] => Some(Self::Picture),
            [_, _, _, _, b'f', b't', b'y', b'p', brand @ ..] => {
                let is_still = STILL_BRANDS.iter().any(|still| brand.starts_with(still));
                Some(if is_still { Self::Picture } else { Self::Video })
            }
            [0x1A, 0x45, 0xDF, 0xA3, ..]
            | [b'G', b'I', b'F', b'8', ..]
            | [b'R', b'I', b'F', b'F', _, _, _, _, b'A', b'V', b'I', b' ', ..] => Some(Self::Video),
            _ => None,
        }
    }
}

/// Looks for a video or else a picture after the picture in `source`, which has the given width and height and ends
/// at `end` if its format is JPEG.
///
/// # Errors
/// When `source` cannot be read.
pub(super) fn find(
    source: &mut (impl Read + Seek),
    format: PictureFormat,
    end: Option<u64>,
    size: (u32, u32),
) -> io::Result<Option<TrailingMedia>> {
    let mut bytes = ByteWindow::new(source, WINDOW)?;
    let end = match format {
        PictureFormat::Jpeg => end,
        PictureFormat::Png => end_of_png(&mut bytes)?,
        PictureFormat::WebP => bytes.exactly::<8>(0)?.map(|[.., a, b, c, d]| {
            let length = u64::from(u32::from_le_bytes([a, b, c, d]));
            8 + length + length % 2
        }),
        PictureFormat::Bmp => end_of_bmp(&mut bytes)?,
    };
    let Some(mut at) = end else { return Ok(None) };
    let (mut picture, mut false_jpegs, mut false_starts) = (None, 0, 0);
    let trailing = |kind, at, length: u64| TrailingMedia { kind, at, bytes: length - at };
    while false_starts < MAX_FALSE_STARTS
        && let Some(found) = next_start(&mut bytes, at)?
    {
        at = found;
        let head = bytes.at(at, 16)?.to_vec();
        if head.starts_with(&[0xFF, 0xD8, 0xFF]) {
            let jpeg = if false_jpegs < MAX_FALSE_JPEGS { Jpeg::at(&mut bytes, at)? } else { None };
            let Some(jpeg) = jpeg else {
                false_jpegs += 1;
                at += 3;
                continue;
            };
            let is_like = jpeg.is_about_as_large_as(size) && !jpeg.is_aid;
            if is_like && picture.is_none() {
                picture = Some(trailing(TrailingMediaKind::Picture, at, bytes.length()));
            }
            at = jpeg.end;
            continue;
        }
        if head.get(4..8) == Some(b"ftyp") && !is_file_type(&mut bytes, at)? {
            false_starts += 1;
            at += 8;
            continue;
        }
        let Some(kind) = TrailingMediaKind::by_first_bytes(&head) else {
            at += 1;
            continue;
        };
        if kind == TrailingMediaKind::Video {
            return Ok(Some(trailing(kind, at, bytes.length())));
        }
        picture = picture.or(Some(trailing(kind, at, bytes.length())));
        at += 8;
    }
    Ok(picture)
}

/// Whether an MP4 file begins at `at`, where its name stands already.
fn is_file_type(bytes: &mut ByteWindow<impl Read + Seek>, at: u64) -> io::Result<bool> {
    let Some([a, b, c, d, _, _, _, _, brand @ ..]) = bytes.exactly::<12>(at)? else { return Ok(false) };
    let size = u64::from(u32::from_be_bytes([a, b, c, d]));
    let is_text = brand.iter().all(|letter| matches!(letter, b' '..=b'~'));
    if !is_text || !(12..=MAX_FILE_TYPE).contains(&size) {
        return Ok(false);
    }
    let next = bytes.exactly::<8>(at + size)?;
    Ok(next.is_some_and(|next| BOXES.contains(&&next[4..])))
}

/// Where the last chunk of a PNG ends; `None` where it is not there.
fn end_of_png(bytes: &mut ByteWindow<impl Read + Seek>) -> io::Result<Option<u64>> {
    let mut at = 8;
    while let Some([a, b, c, d, name @ ..]) = bytes.exactly::<8>(at)? {
        at += 12 + u64::from(u32::from_be_bytes([a, b, c, d]));
        if &name == b"IEND" {
            return Ok(Some(at));
        }
    }
    Ok(None)
}

/// Where the pixels of a BMP end; `None` where its header does not say. What it says of the length of the file is often
/// wrong, and what follows the pixels is at most a color profile.
fn end_of_bmp(bytes: &mut ByteWindow<impl Read + Seek>) -> io::Result<Option<u64>> {
    let Some(head) = bytes.exactly::<38>(0)? else { return Ok(None) };
    let pair = |at: usize| u64::from(u16::from_le_bytes([head[at], head[at + 1]]));
    let number = |at: usize| u32::from_le_bytes([head[at], head[at + 1], head[at + 2], head[at + 3]]);
    // The oldest headers have 12 bytes, with shorter numbers, and no compression.
    let (width, height, bits, compression) = if number(14) == 12 {
        (pair(18), pair(20), pair(24), 0)
    } else {
        // Rows from top to bottom have a negative height.
        (number(18).into(), u64::from(number(22).cast_signed().unsigned_abs()), pair(28), number(30))
    };
    let pixels = match compression {
        // Rows of whole numbers of four bytes, with or without masks of the colors.
        0 | 3 | 6 => ((width * bits).div_ceil(32) * 4).saturating_mul(height),
        // Coded by runs; the header has to say how long they are.
        _ => u64::from(number(34)),
    };
    Ok(Some(pixels.saturating_add(number(10).into())).filter(|_| pixels > 0))
}

/// A JPEG somewhere in a file.
struct Jpeg {
    size: (u32, u32),
    end: u64,
    /// It belongs to the picture before it.
    is_aid: bool,
}

impl Jpeg {
    /// The one that begins at `start`; `None` where there is none with a size.
    fn at(bytes: &mut ByteWindow<impl Read + Seek>, start: u64) -> io::Result<Option<Self>> {
        let (mut at, mut size, mut is_aid) = (start + 2, None, false);
        loop {
            let head = bytes.at(at, 4)?;
            let (marker, length) = match *head {
                [0xFF, 0xFF, ..] => {
                    at += 1;
                    continue;
                }
                [0xFF, 0xD9, ..] => return Ok(size.map(|size| Self { size, end: at + 2, is_aid })),
                [0xFF, 0x01 | 0xD0..=0xD8, ..] => {
                    at += 2;
                    continue;
                }
                [0xFF, marker, high, low] if marker != 0 => (marker, u16::from_be_bytes([high, low])),
                _ => return Ok(None),
            };
            if length < 2 {
                return Ok(None);
            }
            let content = bytes.at(at + 4, usize::from(length - 2))?;
            match (marker, content) {
                (0xC0..=0xC3 | 0xC5..=0xC7 | 0xC9..=0xCB | 0xCD..=0xCF, [_, a, b, c, d, ..]) => {
                    let side = |high, low| u32::from(u16::from_be_bytes([high, low]));
                    size = Some((side(*c, *d), side(*a, *b)));
                }
                (0xE1 | 0xE2, content) => {
                    let says = |word: &&[u8]| content.windows(word.len()).any(|window| window == *word);
                    is_aid = is_aid || AIDS.iter().any(says);
                }
                _ => {}
            }
            at += 2 + u64::from(length);
            if marker == 0xDA {
                let Some(next) = end_of_scan(bytes, at)? else {
                    // The end mark is missing.
                    return Ok(size.map(|size| Self { size, end: bytes.length(), is_aid }));
                };
                at = next;
            }
        }
    }

    /// Previews and maps have at most half as many pixels on a side, seen either way up.
    fn is_about_as_large_as(&self, (width, height): (u32, u32)) -> bool {
        let (longer, shorter) = (self.size.0.max(self.size.1), self.size.0.min(self.size.1));
        longer * 2 > width.max(height) && shorter * 2 > width.min(height)
    }
}

/// The first place from `at` on where a file of a known kind may begin.
fn next_start(bytes: &mut ByteWindow<impl Read + Seek>, mut at: u64) -> io::Result<Option<u64>> {
    while at < bytes.length() {
        let window = bytes.from(at, 32)?;
        if window.is_empty() {
            break;
        }
        let may_begin = |place: usize| {
            matches!(
                window[place..],
                [0xFF, 0xD8, 0xFF, ..]
                    | [_, _, _, _, b'f', b't', b'y', b'p', ..]
                    | [0x89, b'P', b'N', b'G', b'\r', b'\n', ..]
                    | [0x1A, 0x45, 0xDF, 0xA3, ..]
                    | [b'G', b'I', b'F', b'8', b'7' | b'9', b'a', ..]
                    | [b'R', b'I', b'F', b'F', _, _, _, _, b'W' | b'A', ..]
            )
        };
        if let Some(place) = (0..window.len()).find(|place| may_begin(*place)) {
            return Ok(Some(at + place as u64));
        }
        // A beginning may reach over the end of the window.
        let step = if window.len() > 16 { window.len() - 16 } else { window.len() };
        at += step.max(1) as u64;
    }
    Ok(None)
}

/// Where the next marker stands that ends the entropy-coded data from `at` on.
fn end_of_scan(bytes: &mut ByteWindow<impl Read + Seek>, mut at: u64) -> io::Result<Option<u64>> {
    while at < bytes.length() {
        let window = bytes.from(at, 32)?;
        if window.is_empty() {
            break;
        }
        let is_marker = |pair: &[u8]| pair[0] == 0xFF && !matches!(pair[1], 0 | 0xD0..=0xD7 | 0xFF);
        if let Some(place) = window.windows(2).position(is_marker) {
            return Ok(Some(at + place as u64));
        }
        at += (window.len().max(2) - 1) as u64;
    }
    Ok(None)
}

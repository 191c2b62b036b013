//! Where a file ends, by what its container says: whether it was cut short, and what follows its end.
//!
//! FFmpeg reads a file that was cut as far as it goes and says nothing, and does not look past the end of the first of
//! two files that were joined.

use std::io::{self, Read, Seek};

use deeptell_face::{TrailingMedia, TrailingMediaKind};
use deeptell_files::ByteWindow;

use crate::frame_times::{BOXES, ELEMENTS};
use crate::transport;
use crate::{Cut, Warning};

/// Bytes that are read at once.
const WINDOW: usize = 1 << 12;
/// Padding of this many bytes is taken to go on to the end of the file, which may have terabytes of it.
const MAX_PADDING: u64 = 4 << 20;
/// Headers of two movies that are larger than this are taken for different ones, in bytes.
const MAX_COMPARED: u64 = 1 << 20;
/// How the bytes of a file compare with what its container says of them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Extent {
    /// The file is shorter.
    pub(crate) cut: Option<Cut>,
    /// The file is longer.
    pub(crate) rest: Option<Rest>,
    /// What follows if this is a still picture; then there is no `rest`.
    pub(crate) trailing: Option<TrailingMedia>,
    /// Where further files of the same kind begin that were joined with the first. FFmpeg would read them with the
    /// tables of the first.
    pub(crate) joined: Vec<u64>,
}

/// What follows the end, and is not padding.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Rest {
    /// Its first byte.
    pub(crate) at: u64,
    pub(crate) bytes: u64,
    /// It begins like a video or an animation.
    pub(crate) is_video: bool,
}

impl Extent {
    /// Looks at the containers that tell where they end, for as long as `may_go_on`.
    ///
    /// # Errors
    /// When `source` cannot be read.
    pub(crate) fn of(source: impl Read + Seek, may_go_on: impl Fn() -> bool) -> io::Result<Self> {
        let mut bytes = ByteWindow::new(source, WINDOW)?;
        let head = bytes.at(0, 16)?.to_vec();
        let found = match head.as_slice() {
            [0x1A, 0x45, 0xDF, 0xA3, ..] => matroska(&mut bytes, may_go_on)?,
            [b'R', b'I', b'F', b'F', ..] => riff(&mut bytes)?,
            [b'G', b'I', b'F', b'8', ..] => gif(&mut bytes, may_go_on)?,
            [0x89, b'P', b'N', b'G', ..] => png(&mut bytes, may_go_on)?,
            [b'F', b'L', b'V', 1, ..] => flv(&mut bytes, may_go_on)?,
            [_, _, _, _, name @ ..] if BOXES.iter().any(|known| name.starts_with(&known[..])) => {
                mp4(&mut bytes, may_go_on)?
            }
            _ => transport_stream(&mut bytes)?,
        };
        Ok(found.unwrap_or_default())
    }

    /// What is to be said of it.
    pub(crate) fn warnings(&self) -> impl Iterator<Item = Warning> {
        let cut = self.cut.map(Warning::from);
        let rest =
            self.rest.map(|rest| Warning::BytesAfterEnd { bytes: rest.bytes, is_video: rest.is_video });
        cut.into_iter().chain(rest).chain(self.trailing.map(Warning::PictureFollowed))
    }

    /// Where a video or a further picture begins that is not to be read with this one.
    pub(crate) fn end(&self) -> Option<u64> {
        let rest = self.rest.filter(|rest| rest.is_video).map(|rest| rest.at);
        rest.or(self.trailing.map(|trailing| trailing.at))
    }

    fn cut(bytes: &ByteWindow<impl Read + Seek>, total: Option<u64>) -> Self {
        Self { cut: Some(Cut { present_bytes: bytes.length(), total_bytes: total }), ..Self::default() }
    }

    /// Of a file whose container ends at `end`.
    fn ending(bytes: &mut ByteWindow<impl Read + Seek>, end: u64) -> io::Result<Option<Self>> {
        let is_padding = |byte: &u8| matches!(byte, 0 | 0xFF | b'\n' | b'\r' | b' ');
        let (mut at, mut is_empty) = (end, true);
        while at < bytes.length().min(end.saturating_add(MAX_PADDING)) && is_empty {
            let piece = bytes.at(at, WINDOW)?;
            is_empty = piece.iter().all(is_padding);
            at += piece.len() as u64;
        }
        if is_empty {
            return Ok(Some(Self::default()));
        }
        let is_video = is_video(bytes.at(end, 16)?);
        let rest = Rest { at: end, bytes: bytes.length() - end, is_video };
        Ok(Some(Self { rest: Some(rest), ..Self::default() }))
    }
}

/// Of a still picture whose container ends at `end`, what follows; notes of cameras are passed over, as after pictures
/// of other formats.
fn after_still(bytes: &mut ByteWindow<impl Read + Seek>, end: u64) -> io::Result<Option<Extent>> {
    let kind = TrailingMediaKind::by_first_bytes(bytes.at(end, 16)?);
    let trailing = kind.map(|kind| TrailingMedia::new(kind, end, bytes.length() - end));
    Ok(Some(Extent { trailing, ..Extent::default() }))
}

/// Whether a file that begins so holds frames in time.
fn is_video(head: &[u8]) -> bool {
    let magics: [&[u8]; 7] =
        [b"\x1A\x45\xDF\xA3", b"RIFF", b"GIF8", b"\x89PNG", b"FLV\x01", b"OggS", b"\x30\x26\xB2\x75"];
    magics.iter().any(|magic| head.starts_with(magic)) || head.get(4..8) == Some(b"ftyp")
}

/// Where FFmpeg reads on after the end of a file, only what it cannot read is reported: a video of another kind, or a
/// JPEG.
fn followed_by_other(bytes: &mut ByteWindow<impl Read + Seek>, at: u64) -> io::Result<Option<Extent>> {
    let head = bytes.at(at, 16)?;
    if is_video(head) || head.starts_with(b"\xFF\xD8\xFF") {
        Extent::ending(bytes, at)
    } else {
        Ok(Some(Extent::default()))
    }
}

/// A box of an MP4 file.
struct Box4 {
    name: [u8; 4],
    /// Bytes before its content.
    head: u64,
    /// Bytes of all of it; 0 for the rest of the file.
    size: u64,
}

impl Box4 {
    fn at(bytes: &mut ByteWindow<impl Read + Seek>, at: u64) -> io::Result<Option<Self>> {
        let Some([a, b, c, d, name @ ..]) = bytes.exactly::<8>(at)? else { return Ok(None) };
        let size = u32::from_be_bytes([a, b, c, d]);
        if size != 1 {
            return Ok(Some(Self { name, head: 8, size: size.into() }));
        }
        let long = bytes.exactly::<8>(at + 8)?.map(u64::from_be_bytes);
        Ok(long.map(|size| Self { name, head: 16, size }))
    }

    /// Whether it may be one, and not something that was appended to the file.
    fn is_likely(&self, at: u64, length: u64) -> bool {
        let is_known = BOXES.contains(&&self.name);
        let fits = at.checked_add(self.size).is_some_and(|end| end <= length);
        let is_text = self.name.iter().all(|letter| letter.is_ascii_alphanumeric() || *letter == b' ');
        (self.size == 0 || self.size >= self.head) && (is_known || is_text && fits && self.size > 0)
    }
}

fn mp4(bytes: &mut ByteWindow<impl Read + Seek>, may_go_on: impl Fn() -> bool) -> io::Result<Option<Extent>> {
    let (mut at, mut movie, mut is_fragmented, mut has_items) = (0, None, false, false);
    // What indices of segments say of the size of the file.
    let mut indexed = 0;
    while at < bytes.length() {
        if !may_go_on() {
            return Ok(None);
        }
        let Some(here) = Box4::at(bytes, at)? else {
            return if bytes.length() < indexed {
                Ok(Some(Extent::cut(bytes, Some(indexed))))
            } else {
                Extent::ending(bytes, at)
            };
        };
        // A picture, as in AVIF: it has items and no tracks.
        let is_still = has_items && movie.is_none();
        if is_still && (&here.name == b"ftyp" || !here.is_likely(at, bytes.length())) {
            return after_still(bytes, at);
        }
        if !here.is_likely(at, bytes.length()) {
            return Extent::ending(bytes, at);
        }
        if here.size == 0 {
            return Ok(Some(Extent::default()));
        }
        let Some(end) = at.checked_add(here.size) else { return Ok(None) };
        match &here.name {
            b"moof" => is_fragmented = true,
            b"meta" => has_items = true,
            // The video of a motion photo is a box of its own.
            b"mpvd" if is_still => return after_still(bytes, at + here.head),
            b"moov" if movie.is_none() => movie = Some((at, here.size)),
            b"ftyp" if movie.is_some() => {
                // Recordings of live streams may repeat their beginning.
                let is_same = is_fragmented && has_same_movie(bytes, movie, at)?;
                if !is_same {
                    return Extent::ending(bytes, at);
                }
            }
            b"sidx" if !is_fragmented => {
                indexed = indexed.max(indexed_until(bytes, at + here.head, end)?.unwrap_or(0));
            }
            _ => {}
        }
        if end > bytes.length() {
            let last = (!is_fragmented).then_some(end);
            let indexed = (indexed > bytes.length()).then_some(indexed);
            return Ok(Some(Extent::cut(bytes, indexed.or(last))));
        }
        at = end;
    }
    if bytes.length() < indexed {
        Ok(Some(Extent::cut(bytes, Some(indexed))))
    } else {
        Ok(Some(Extent::default()))
    }
}

/// Whether the file that begins at `at` has the header `movie`, of which the place and the size are given.
fn has_same_movie(
    bytes: &mut ByteWindow<impl Read + Seek>,
    movie: Option<(u64, u64)>,
    mut at: u64,
) -> io::Result<bool> {
    let Some((first, size)) = movie.filter(|(_, size)| *size <= MAX_COMPARED) else { return Ok(false) };
    for _ in 0..8 {
        let Some(here) = Box4::at(bytes, at)? else { return Ok(false) };
        if &here.name != b"moov" {
            at = at.saturating_add(here.size.max(8));
            continue;
        }
        let mut done = 0;
        while here.size == size && done < size {
            let count = (size - done).min(WINDOW as u64) as usize;
            let one = bytes.at(first + done, count)?.to_vec();
            if one != bytes.at(at + done, count)? || one.is_empty() {
                return Ok(false);
            }
            done += one.len() as u64;
        }
        return Ok(here.size == size);
    }
    Ok(false)
}

/// Where the segments end that an index lists (ISO/IEC 14496-12, 8.16.3), whose content is given; `None` where it may
/// be that of one segment among others.
fn indexed_until(bytes: &mut ByteWindow<impl Read + Seek>, from: u64, end: u64) -> io::Result<Option<u64>> {
    let Some([version, ..]) = bytes.exactly::<4>(from)? else { return Ok(None) };
    // Number of the stream, ticks per second, then two numbers of four or eight bytes.
    let (offset, at) = if version == 0 {
        (bytes.exactly::<4>(from + 16)?.map(|four| u32::from_be_bytes(four).into()), from + 20)
    } else {
        (bytes.exactly::<8>(from + 20)?.map(u64::from_be_bytes), from + 28)
    };
    let (Some(offset), Some([_, _, high, low])) = (offset, bytes.exactly::<4>(at)?) else { return Ok(None) };
    let count = u64::from(u16::from_be_bytes([high, low]));
    if count < 2 {
        return Ok(None);
    }
    let mut until = end.saturating_add(offset);
    for number in 0..count {
        let Some(size) = bytes.exactly::<4>(at + 4 + 12 * number)? else { return Ok(None) };
        // The highest bit says what is there.
        until = until.saturating_add(u64::from(u32::from_be_bytes(size) & 0x7FFF_FFFF));
    }
    Ok(Some(until))
}

/// An element of a Matroska file (RFC 8794): its name, where its content begins, and its size unless that is unknown.
fn element(bytes: &mut ByteWindow<impl Read + Seek>, at: u64) -> io::Result<Option<(u32, u64, Option<u64>)>> {
    let head = bytes.at(at, 12)?;
    let Some(&first) = head.first() else { return Ok(None) };
    if first == 0 {
        return Err(io::ErrorKind::InvalidData.into());
    }
    let name_length = first.leading_zeros() as usize + 1;
    let (Some(name), Some(&size_first)) = (head.get(..name_length), head.get(name_length)) else {
        return Ok(None);
    };
    let size_length = size_first.leading_zeros() as usize + 1;
    let Some(size) = head.get(name_length..name_length + size_length) else { return Ok(None) };
    if name_length > 4 || size_length > 8 {
        return Err(io::ErrorKind::InvalidData.into());
    }
    let number = |bytes: &[u8]| bytes.iter().fold(0_u64, |sum, byte| sum << 8 | u64::from(*byte));
    let all = (1_u64 << (7 * size_length)) - 1;
    let size = number(size) & all;
    Ok(Some((number(name) as u32, at + (name_length + size_length) as u64, (size != all).then_some(size))))
}

/// Elements that hold others.
const SEGMENT: u32 = 0x1853_8067;
const CLUSTER: u32 = 0x1F43_B675;

fn matroska(
    bytes: &mut ByteWindow<impl Read + Seek>,
    may_go_on: impl Fn() -> bool,
) -> io::Result<Option<Extent>> {
    const HEADER: u32 = 0x1A45_DFA3;
    let (mut at, mut joined) = (0, Vec::new());
    while at < bytes.length() {
        if !may_go_on() {
            return Ok(None);
        }
        let (name, content, size) = match element(bytes, at) {
            Ok(Some(element)) => element,
            Ok(None) => return Ok(Some(Extent { joined, ..Extent::cut(bytes, None) })),
            // No name of an element.
            Err(error) if error.kind() == io::ErrorKind::InvalidData => (0, at, None),
            Err(error) => return Err(error),
        };
        if !ELEMENTS.contains(&name) {
            let found = followed_by_other(bytes, at)?;
            return Ok(found.map(|found| Extent { joined, ..found }));
        }
        if name == HEADER && at > 0 {
            joined.push(at);
        }
        match size {
            Some(size) => {
                let end = content.saturating_add(size);
                if end > bytes.length() {
                    let cut = Extent::cut(bytes, (name == SEGMENT).then_some(end));
                    return Ok(Some(Extent { joined, ..cut }));
                }
                at = end;
            }
            // Its parts follow; its end is where one begins that cannot be in it.
            None if name == SEGMENT || name == CLUSTER => at = content,
            None => return Ok(None),
        }
    }
    Ok(Some(Extent { joined, ..Extent::default() }))
}

/// AVI, of one part or several, and animated WebP.
fn riff(bytes: &mut ByteWindow<impl Read + Seek>) -> io::Result<Option<Extent>> {
    let mut at = 0;
    while let Some([b'R', b'I', b'F', b'F', a, b, c, d, kind @ ..]) = bytes.exactly::<12>(at)? {
        let size = u64::from(u32::from_le_bytes([a, b, c, d]));
        let end = at + 8 + size;
        let is_first = at == 0;
        match &kind {
            b"WEBP" if is_first && end <= bytes.length() => return Extent::ending(bytes, end + size % 2),
            b"AVI " | b"AVIX" | b"WEBP" if end > bytes.length() && size < u32::MAX.into() => {
                return Ok(Some(Extent::cut(bytes, Some(end))));
            }
            // FFmpeg reads on in the parts that follow.
            b"AVI " | b"AVIX" if size > 4 => at = end + size % 2,
            _ => return Ok(None),
        }
    }
    followed_by_other(bytes, at)
}

fn gif(bytes: &mut ByteWindow<impl Read + Seek>, may_go_on: impl Fn() -> bool) -> io::Result<Option<Extent>> {
    let cut = |bytes: &ByteWindow<_>| Ok(Some(Extent::cut(bytes, None)));
    let table = |flags: u8| if flags & 0x80 == 0 { 0 } else { 3 << (u64::from(flags & 7) + 1) };
    let Some([flags]) = bytes.exactly::<1>(10)? else { return cut(bytes) };
    let mut at = 13 + table(flags);
    loop {
        if !may_go_on() {
            return Ok(None);
        }
        // Between two blocks, only the end mark is missing.
        let Some([kind]) = bytes.exactly::<1>(at)? else {
            return if at == bytes.length() { Ok(Some(Extent::default())) } else { cut(bytes) };
        };
        at += match kind {
            b',' => {
                let Some([flags]) = bytes.exactly::<1>(at + 9)? else { return cut(bytes) };
                11 + table(flags)
            }
            b'!' => 2,
            // FFmpeg goes on to look for frames, in another GIF, too.
            b';' if bytes.at(at + 1, 4)? != b"GIF8" => return followed_by_other(bytes, at + 1),
            _ => return Ok(Some(Extent::default())),
        };
        loop {
            let Some([length]) = bytes.exactly::<1>(at)? else { return cut(bytes) };
            at += 1 + u64::from(length);
            if length == 0 {
                break;
            }
            if at > bytes.length() {
                return cut(bytes);
            }
            if !may_go_on() {
                return Ok(None);
            }
        }
    }
}

fn png(bytes: &mut ByteWindow<impl Read + Seek>, may_go_on: impl Fn() -> bool) -> io::Result<Option<Extent>> {
    let mut at = 8;
    while may_go_on() {
        let Some([a, b, c, d, name @ ..]) = bytes.exactly::<8>(at)? else {
            return Ok(Some(Extent::cut(bytes, None)));
        };
        at += 12 + u64::from(u32::from_be_bytes([a, b, c, d]));
        if at > bytes.length() {
            return Ok(Some(Extent::cut(bytes, None)));
        }
        if &name == b"IEND" {
            return Extent::ending(bytes, at);
        }
    }
    Ok(None)
}

fn flv(bytes: &mut ByteWindow<impl Read + Seek>, may_go_on: impl Fn() -> bool) -> io::Result<Option<Extent>> {
    let Some(head) = bytes.exactly::<4>(5)? else { return Ok(Some(Extent::cut(bytes, None))) };
    let mut at = u64::from(u32::from_be_bytes(head)) + 4;
    let mut total = None;
    while at < bytes.length() {
        if !may_go_on() {
            return Ok(None);
        }
        let Some([kind, a, b, c]) = bytes.exactly::<4>(at)? else { break };
        if !matches!(kind & 0x1F, 8 | 9 | 18) {
            return Extent::ending(bytes, at);
        }
        if kind == 18 && total.is_none() {
            total = flv_size(bytes.at(at + 11, WINDOW)?);
        }
        at += 15 + u64::from(u32::from_be_bytes([0, a, b, c]));
    }
    let total = total.filter(|total| *total > bytes.length());
    // The last four bytes repeat the size of what is before them.
    Ok(if total.is_some() || at > bytes.length() + 4 {
        Some(Extent::cut(bytes, total))
    } else {
        Some(Extent::default())
    })
}

/// The size of the file that the metadata of an FLV file tell: a name, the mark of a number, and the number.
fn flv_size(metadata: &[u8]) -> Option<u64> {
    let name = b"\0\x08filesize\0";
    let at = metadata.windows(name.len()).position(|window| window == name)? + name.len();
    let size = f64::from_be_bytes(*metadata.get(at..)?.first_chunk()?);
    (size > 0.0 && size < 1e15).then_some(size as u64)
}

/// A transport stream has no end, but its packets do.
fn transport_stream(bytes: &mut ByteWindow<impl Read + Seek>) -> io::Result<Option<Extent>> {
    let head = bytes.at(0, WINDOW)?.to_vec();
    let Some((first, stride)) = transport::layout(&head) else { return Ok(None) };
    let left = (bytes.length() - first) % stride as u64;
    // Where bytes are missing in the middle, nothing can be said of the end.
    let sync = bytes.exactly::<1>(bytes.length().saturating_sub(left))?;
    let is_cut = left > 0 && left < transport::PACKET as u64 && sync == Some([transport::SYNC]);
    Ok(if is_cut { Some(Extent::cut(bytes, None)) } else { Some(Extent::default()) })
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;
    use std::path::Path;

    use super::*;

    fn golden(name: &str) -> Vec<u8> {
        std::fs::read(Path::new(env!("CARGO_MANIFEST_DIR")).join("goldens/clips").join(name)).unwrap()
    }

    fn of(bytes: &[u8]) -> Extent {
        Extent::of(Cursor::new(bytes), || true).unwrap()
    }

    fn png(frames: u32) -> Vec<u8> {
        let chunk = |name: &[u8], content: &[u8]| {
            [&(content.len() as u32).to_be_bytes(), name, content, &[0; 4]].concat()
        };
        let mut parts =
            vec![b"\x89PNG\r\n\x1a\n".to_vec(), chunk(b"IHDR", &[0; 13]), chunk(b"acTL", &[0; 8])];
        for _ in 0..frames {
            parts.extend([chunk(b"fcTL", &[0; 26]), chunk(b"fdAT", &[7; 5000])]);
        }
        parts.push(chunk(b"IEND", &[]));
        parts.concat()
    }

    fn gif(frames: u32) -> Vec<u8> {
        let mut bytes = [&b"GIF89a"[..], &[4, 0, 4, 0, 0x81, 0, 0], &[1; 12]].concat();
        for _ in 0..frames {
            bytes.extend([b'!', 0xF9, 4, 0, 0, 0, 0, 0]);
            bytes.extend([b',', 0, 0, 0, 0, 4, 0, 4, 0, 0x80, 9, 9, 9, 9, 9, 9, 2]);
            for _ in 0..30 {
                bytes.push(200);
                bytes.extend([5; 200]);
            }
            bytes.push(0);
        }
        bytes.push(b';');
        bytes
    }

    fn flv(size: Option<f64>) -> Vec<u8> {
        let tag = |kind: u8, content: &[u8]| {
            let length = (content.len() as u32).to_be_bytes();
            [&[kind], &length[1..], &[0; 7], content, &(content.len() as u32 + 11).to_be_bytes()].concat()
        };
        let metadata =
            size.map(|size| [&b"\0\x08filesize\0"[..], &size.to_be_bytes()].concat()).unwrap_or_default();
        let tags = (0..9).flat_map(|_| tag(9, &[7; 900]));
        b"FLV\x01\x01\0\0\0\x09\0\0\0\0".iter().copied().chain(tag(18, &metadata)).chain(tags).collect()
    }

    fn webp() -> Vec<u8> {
        [&b"RIFF"[..], &5004_u32.to_le_bytes(), b"WEBP", &[7; 5000]].concat()
    }

    #[test]
    fn complete_files_are_not_reported_as_cut() {
        let clips = Path::new(env!("CARGO_MANIFEST_DIR")).join("goldens/clips");
        let mut seen = 0;
        for clip in std::fs::read_dir(clips).unwrap() {
            let path = clip.unwrap().path();
            assert_eq!(of(&std::fs::read(&path).unwrap()), Extent::default(), "{}", path.display());
            seen += 1;
        }
        assert!(seen > 30);
        for bytes in [png(3), gif(3), flv(None), webp(), Vec::new(), vec![0; 5000]] {
            assert_eq!(of(&bytes), Extent::default());
        }
        let length = flv(Some(0.0)).len();
        assert_eq!(of(&flv(Some(length as f64))), Extent::default());
    }

    #[test]
    fn cut_files_report_the_size_in_the_container() {
        let total = flv(Some(0.0)).len();
        for (name, bytes, is_known) in [
            ("mp4", golden("untagged.mp4"), true),
            ("mkv", golden("h264.mkv"), true),
            ("webm", golden("vp9.webm"), true),
            ("avi", golden("mpeg4.avi"), true),
            ("flv", flv(Some(total as f64)), true),
            ("webp", webp(), true),
            ("fragmented", golden("fragmented.mp4"), false),
            ("live", golden("live.mkv"), false),
            ("ts", golden("h264.ts"), false),
            ("flv", flv(None), false),
            ("gif", gif(9), false),
            ("png", png(9), false),
        ] {
            for share in [30, 45, 70, 97] {
                let present = bytes.len() * share / 100;
                let Extent { cut: Some(cut), rest: None, .. } = of(&bytes[..present]) else {
                    panic!("{name}, {share} %")
                };
                assert_eq!(
                    (cut.present_bytes, cut.total_bytes.is_some()),
                    (present as u64, is_known),
                    "{name}, {share} %"
                );
                // What follows the pictures of an MP4 file is not known.
                let is_right =
                    |total: u64| total == bytes.len() as u64 || name == "mp4" && total > present as u64;
                assert!(cut.total_bytes.is_none_or(is_right), "{name}: {cut:?} of {}", bytes.len());
            }
        }
    }

    #[test]
    fn only_the_end_mark_of_a_gif_may_be_missing() {
        let bytes = gif(3);
        assert_eq!(of(&bytes[..bytes.len() - 1]), Extent::default());
        assert!(of(&bytes[..bytes.len() - 2]).cut.is_some());
    }

    #[test]
    fn segment_index_gives_the_size() {
        let segment = |length: u32| {
            let pictures = [&length.to_be_bytes()[..], b"mdat", &vec![7; length as usize - 8]].concat();
            [&8_u32.to_be_bytes()[..], b"moof", &pictures].concat()
        };
        // Segments of 1008 bytes each.
        let index = |count: u8| {
            let listed = [&1008_u32.to_be_bytes()[..], &[0; 8]].concat().repeat(count.into());
            let size = 32 + listed.len() as u32;
            [&size.to_be_bytes()[..], b"sidx", &[0; 4], &[0; 16], &[0, 0, 0, count], &listed].concat()
        };
        let file = |count| {
            let start = [&8_u32.to_be_bytes()[..], b"ftyp", &index(count)].concat();
            [start, segment(1000).repeat(count.into())].concat()
        };
        let whole = file(3);
        assert_eq!(of(&whole), Extent::default());
        // At a boundary, too.
        for missing in [1, 500, 1008, 2016] {
            let present = whole.len() - missing;
            let cut = Cut { present_bytes: present as u64, total_bytes: Some(whole.len() as u64) };
            assert_eq!(of(&whole[..present]).cut, Some(cut));
        }
        // One that lists a single segment says nothing of the others.
        let cut = of(&[file(1), file(1)[8..700].to_vec()].concat()).cut.unwrap();
        assert_eq!(cut.total_bytes, None);
    }

    #[test]
    fn bytes_after_the_end_are_reported_unless_they_are_padding() {
        let mp4 = golden("untagged.mp4");
        for (bytes, other) in [
            (mp4.clone(), golden("hevc.mp4")),
            (mp4.clone(), mp4.clone()),
            (golden("fragmented.mp4"), mp4.clone()),
            (png(2), png(3)),
            (flv(None), flv(None)),
            (webp(), webp()),
        ] {
            let rest = of(&[&bytes[..], &other].concat()).rest;
            let expected = Rest { at: bytes.len() as u64, bytes: other.len() as u64, is_video: true };
            assert_eq!(rest, Some(expected));
            let note = of(&[&bytes[..], b"a note of the camera: none"].concat()).rest.unwrap();
            assert_eq!((note.at, note.is_video), (bytes.len() as u64, false));
            for padding in [&[0; 9000][..], b"\r\n", &[0xFF; 20]] {
                assert_eq!(of(&[&bytes[..], padding].concat()), Extent::default());
            }
        }
    }

    #[test]
    fn files_of_other_kinds_are_reported_where_ffmpeg_reads_on() {
        let mp4 = golden("untagged.mp4");
        for bytes in [golden("h264.mkv"), golden("live.mkv"), golden("mpeg4.avi"), gif(2)] {
            let rest = of(&[&bytes[..], &mp4].concat()).rest;
            let expected = Rest { at: bytes.len() as u64, bytes: mp4.len() as u64, is_video: true };
            assert_eq!(rest, Some(expected));
            let photo = of(&[&bytes[..], b"\xFF\xD8\xFF\xE0 of a camera"].concat()).rest.unwrap();
            assert_eq!((photo.at, photo.is_video), (bytes.len() as u64, false));
            assert_eq!(of(&[&bytes[..], b"a note"].concat()).rest, None);
            let twice = of(&[&bytes[..], &bytes].concat());
            assert_eq!((twice.rest, twice.cut), (None, None));
        }
        let parts = [golden("h264.mkv"), golden("live.mkv"), golden("vp9.webm")];
        let starts = [parts[0].len() as u64, (parts[0].len() + parts[1].len()) as u64];
        assert_eq!(of(&parts.concat()).joined, starts);
    }

    #[test]
    fn media_behind_a_still_picture_is_not_called_a_rest_of_a_video() {
        let part = |name: &[u8; 4], content: &[u8]| {
            [&(content.len() as u32 + 8).to_be_bytes(), &name[..], content].concat()
        };
        let still = [
            part(b"ftyp", b"avif\0\0\0\0mif1avif"),
            part(b"meta", &[0; 200]),
            part(b"free", &[0; 20]),
            part(b"mdat", &[9; 500]),
        ]
        .concat();
        let (video, jpeg) = (golden("untagged.mp4"), b"\xFF\xD8\xFF\xE0 of a camera".to_vec());
        for (name, other, expected) in [
            ("video", &video, TrailingMediaKind::Video),
            ("video of another kind", &golden("h264.mkv"), TrailingMediaKind::Video),
            ("JPEG", &jpeg, TrailingMediaKind::Picture),
            ("AVIF", &still, TrailingMediaKind::Picture),
        ] {
            let extent = of(&[&still[..], other].concat());
            let trailing = TrailingMedia::new(expected, still.len() as u64, other.len() as u64);
            assert_eq!(extent, Extent { trailing: Some(trailing), ..Extent::default() }, "{name}");
            assert_eq!(extent.end(), Some(still.len() as u64), "{name}");
        }
        let motion_photo = of(&[&still[..], &part(b"mpvd", &video)].concat());
        let trailing =
            TrailingMedia::new(TrailingMediaKind::Video, still.len() as u64 + 8, video.len() as u64);
        assert_eq!(motion_photo.trailing, Some(trailing));
        for other in [&b""[..], b"a note of the camera: none", &[0; 900]] {
            assert_eq!(of(&[&still[..], other].concat()), Extent::default());
        }
        // A moving one has tracks, too.
        let moving = [&still[..], &part(b"moov", &[0; 50])].concat();
        assert!(of(&[&moving[..], &video].concat()).rest.is_some());
        assert!(of(&still[..still.len() - 9]).cut.is_some());
    }

    #[test]
    fn endless_padding_is_not_read_to_its_end() {
        for bytes in [golden("untagged.mp4"), png(2), webp()] {
            let mut file = tempfile::tempfile().unwrap();
            io::Write::write_all(&mut file, &bytes).unwrap();
            file.set_len(1 << 42).unwrap();
            let start = std::time::Instant::now();
            assert_eq!(Extent::of(&file, || true).unwrap(), Extent::default());
            assert!(start.elapsed() < std::time::Duration::from_secs(2), "{:?}", start.elapsed());
        }
    }

    #[test]
    fn a_live_recording_may_repeat_its_beginning() {
        let bytes = golden("fragmented.mp4");
        assert_eq!(of(&[&bytes[..], &bytes].concat()), Extent::default());
    }

    #[test]
    fn invalid_containers_are_read_to_the_end() {
        for name in ["untagged.mp4", "h264.mkv", "live.mkv", "mpeg4.avi", "h264.ts", "fragmented.mp4"] {
            let original = golden(name);
            for seed in 0..200 {
                let mut random = fastrand::Rng::with_seed(seed);
                let mut bytes = original.clone();
                for _ in 0..random.usize(1..6) {
                    let at = random.usize(..bytes.len().min(4000));
                    bytes[at] = random.u8(..);
                }
                bytes.truncate(random.usize(..=original.len()));
                of(&bytes);
            }
        }
    }
}

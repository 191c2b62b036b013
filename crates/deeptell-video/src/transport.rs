//! Where the parts of joined MPEG transport streams begin (ISO/IEC 13818-1).
//!
//! Transport streams can be joined as bytes. FFmpeg reads on where the next part has its streams under
//! the same numbers, and passes over it where it does not. The tables of a stream tell: each part
//! begins where they name other programs, or other video streams in one.

use std::collections::BTreeMap;
use std::io::{self, Read, Seek, SeekFrom};

/// Bytes of a packet, and of packets with four bytes before (Blu-ray) or 16 after them (DVB).
pub(crate) const PACKET: usize = 188;
const STRIDES: [usize; 3] = [PACKET, 192, 204];
pub(crate) const SYNC: u8 = 0x47;
/// Packets that must begin where they should for a file to be a transport stream.
const CERTAIN: usize = 5;
/// The longest table, in bytes.
const MAX_SECTION: usize = 1024;
/// Packets read at once.
const AT_ONCE: usize = 4096;

/// Where parts begin, and whether the whole file was examined.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Parts {
    /// First byte of each part; the first is 0.
    pub(crate) starts: Vec<u64>,
    pub(crate) is_complete: bool,
}

/// Looks through a transport stream for the beginnings of parts, `most` at most, for as long as
/// `may_go_on`. A file that is none has one part.
///
/// # Errors
/// When `source` cannot be read.
pub(crate) fn parts(
    source: &mut (impl Read + Seek),
    most: usize,
    may_go_on: impl Fn() -> bool,
) -> io::Result<Parts> {
    let mut parts = Parts { starts: vec![0], is_complete: true };
    source.seek(SeekFrom::Start(0))?;
    let mut head = Vec::new();
    source.take((STRIDES[2] * (CERTAIN + 1)) as u64).read_to_end(&mut head)?;
    let Some((mut at, stride)) = layout(&head) else { return Ok(parts) };
    let mut tables = Tables::default();
    let mut block = vec![0; stride * AT_ONCE];
    loop {
        if !may_go_on() || parts.starts.len() > most {
            parts.is_complete = false;
            parts.starts.truncate(most);
            return Ok(parts);
        }
        source.seek(SeekFrom::Start(at))?;
        let filled = fill(source, &mut block)?;
        let mut used = 0;
        while used + PACKET <= filled {
            let packet = &block[used..used + PACKET];
            if packet[0] == SYNC {
                if let Some(start) = tables.take(at + used as u64, packet) {
                    parts.starts.push(start);
                }
                used += stride;
            } else {
                // Bytes are missing, in the packet before perhaps, or too many: go on at what begins like packets.
                let next = (used.saturating_sub(stride) + 1..filled).find(|&place| {
                    let begins = |number: usize| {
                        block[..filled].get(place + number * stride).is_none_or(|b| *b == SYNC)
                    };
                    (0..CERTAIN).all(begins)
                });
                used = next.unwrap_or(filled);
            }
        }
        if filled < block.len() {
            return Ok(parts);
        }
        at += used as u64;
    }
}

fn fill(source: &mut impl Read, block: &mut [u8]) -> io::Result<usize> {
    let mut filled = 0;
    while filled < block.len() {
        match source.read(&mut block[filled..]) {
            Ok(0) => break,
            Ok(read) => filled += read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(filled)
}

/// Where the first packet begins, and how far apart packets are.
pub(crate) fn layout(head: &[u8]) -> Option<(u64, usize)> {
    STRIDES.iter().find_map(|&stride| {
        let begins = |first: usize| {
            let places = || (first..head.len()).step_by(stride).take(CERTAIN);
            places().count() > 1 && places().all(|place| head[place] == SYNC)
        };
        (0..stride).find(|first| begins(*first)).map(|first| (first as u64, stride))
    })
}

/// Numbers and kinds of the video streams of a program.
type Videos = Vec<(u16, u8)>;

/// The tables that are in force.
#[derive(Debug, Default)]
struct Tables {
    /// Programs by the numbers of their tables.
    programs: BTreeMap<u16, u16>,
    /// Their video streams.
    videos: BTreeMap<u16, Videos>,
    /// Where the table of programs stood last.
    last: Option<u64>,
    /// Sections that go on in later packets.
    open: BTreeMap<u16, Vec<u8>>,
}

impl Tables {
    /// Takes the packet at byte `at`; where a part begins that it is in, if that is another one than
    /// that of the packets before it.
    fn take(&mut self, at: u64, packet: &[u8]) -> Option<u64> {
        let number = u16::from_be_bytes([packet[1] & 0x1F, packet[2]]);
        let is_table = number == 0 || self.programs.contains_key(&number);
        let (is_broken, starts) = (packet[1] & 0x80 != 0, packet[1] & 0x40 != 0);
        if !is_table || is_broken || packet[3] & 0x10 == 0 {
            return None;
        }
        let skipped = if packet[3] & 0x20 != 0 { 1 + usize::from(packet[4]) } else { 0 };
        let mut payload = packet.get(4 + skipped..)?;
        if starts {
            let pointer = usize::from(*payload.first()?);
            payload = payload.get(1 + pointer..)?;
            self.open.insert(number, payload.to_vec());
        } else {
            let open = self.open.get_mut(&number)?;
            open.extend_from_slice(payload);
        }
        let open = self.open.get(&number)?;
        let length = 3 + (usize::from(open.get(1)? & 0x0F) << 8 | usize::from(*open.get(2)?));
        if length > MAX_SECTION {
            self.open.remove(&number);
            return None;
        }
        let section = open.get(..length)?.to_vec();
        self.open.remove(&number);
        self.read(at, number, &section)
    }

    /// Reads a whole section. Those that are damaged, or not in force yet, say nothing.
    fn read(&mut self, at: u64, number: u16, section: &[u8]) -> Option<u64> {
        let (body, _) = section.split_last_chunk::<4>()?;
        if checksum(section) != 0 || body.len() < 8 || body[5] & 1 == 0 {
            return None;
        }
        match (number, body[0]) {
            (0, 0) => {
                // A long table comes in several sections: only a short one says it all.
                if body[7] != 0 {
                    return None;
                }
                self.last = Some(at);
                let programs: BTreeMap<u16, u16> = body[8..]
                    .chunks_exact(4)
                    .map(|entry| {
                        (
                            u16::from_be_bytes([entry[2] & 0x1F, entry[3]]),
                            u16::from_be_bytes([entry[0], entry[1]]),
                        )
                    })
                    .filter(|(_, program)| *program != 0)
                    .collect();
                let before = std::mem::replace(&mut self.programs, programs);
                let is_kept =
                    |table: &u16, programs: &BTreeMap<u16, u16>| before.get(table) == programs.get(table);
                self.videos.retain(|table, _| is_kept(table, &self.programs));
                self.open.clear();
                let is_new = !before.is_empty() && !before.keys().any(|table| is_kept(table, &self.programs));
                is_new.then_some(at)
            }
            (_, 2) if self.programs.get(&number) == Some(&u16::from_be_bytes([body[3], body[4]])) => {
                let videos = videos(body)?;
                let before = self.videos.insert(number, videos);
                if before.is_none_or(|before| before == self.videos[&number]) {
                    return None;
                }
                self.videos.retain(|known, _| *known == number);
                Some(self.last.unwrap_or(at))
            }
            _ => None,
        }
    }
}

/// The video streams of a program's table.
fn videos(body: &[u8]) -> Option<Videos> {
    let length = |high: u8, low: u8| usize::from(high & 0x0F) << 8 | usize::from(low);
    let mut entries = body.get(12 + length(*body.get(10)?, *body.get(11)?)..)?;
    let mut videos = Vec::new();
    while let [kind, high, low, info_high, info_low, rest @ ..] = entries {
        entries = rest.get(length(*info_high, *info_low)..)?;
        // MPEG-1, MPEG-2, MPEG-4, H.264 and its extensions, JPEG 2000, HEVC, VVC, AVS, VC-1.
        if matches!(kind, 0x01 | 0x02 | 0x10 | 0x1B | 0x1E..=0x24 | 0x33 | 0x42 | 0xD1 | 0xD2 | 0xD4 | 0xEA) {
            videos.push((u16::from_be_bytes([high & 0x1F, *low]), *kind));
        }
    }
    Some(videos)
}

/// Zero over a section with its own checksum (annex A of the standard).
fn checksum(bytes: &[u8]) -> u32 {
    bytes.iter().fold(u32::MAX, |sum, byte| {
        (0..8).fold(sum ^ u32::from(*byte) << 24, |sum, _| {
            if sum >> 31 == 1 { sum << 1 ^ 0x04C1_1DB7 } else { sum << 1 }
        })
    })
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use super::*;

    /// A packet that holds a table.
    fn packet(number: u16, section: &[u8]) -> Vec<u8> {
        let [high, low] = number.to_be_bytes();
        let mut packet = vec![SYNC, 0x40 | high, low, 0x10, 0];
        packet.extend_from_slice(section);
        packet.resize(PACKET, 0xFF);
        packet
    }

    fn section(table: u8, id: u16, body: &[u8]) -> Vec<u8> {
        let [high, low] = id.to_be_bytes();
        let mut section = vec![table, 0xB0, (body.len() + 9) as u8, high, low, 0xC1, 0, 0];
        section.extend_from_slice(body);
        let sum = checksum(&section).to_be_bytes();
        section.extend_from_slice(&sum);
        section
    }

    /// A part with one program, whose streams have these numbers and kinds.
    fn part(program: u16, table: u16, streams: &[(u16, u8)], packets: usize) -> Vec<u8> {
        let mut entries = vec![0xE1, 0, 0xF0, 0];
        for (number, kind) in streams {
            let [high, low] = number.to_be_bytes();
            entries.extend_from_slice(&[*kind, 0xE0 | high, low, 0xF0, 0]);
        }
        let [p, q] = program.to_be_bytes();
        let [high, low] = table.to_be_bytes();
        let tables = [
            packet(0, &section(0, 1, &[p, q, 0xE0 | high, low])),
            packet(table, &section(2, program, &entries)),
        ];
        let mut bytes = tables.concat();
        for number in 0..packets {
            // Again and again, as in broadcasts.
            if number % 50 == 49 {
                bytes.extend_from_slice(&tables.concat());
            }
            bytes.extend_from_slice(&packet(streams[0].0, &[7; 100]));
        }
        bytes
    }

    fn starts(bytes: &[u8]) -> Vec<u64> {
        let found = parts(&mut Cursor::new(bytes), 64, || true).unwrap();
        assert!(found.is_complete);
        found.starts
    }

    #[test]
    fn transport_streams_are_split_where_their_tables_change() {
        const VIDEO: (u16, u8) = (0x100, 0x1B);
        const SOUND: (u16, u8) = (0x101, 0x0F);
        let first = part(1, 0x1000, &[VIDEO, SOUND], 120);
        let length = first.len() as u64;
        let same: [&[(u16, u8)]; 2] = [&[VIDEO, SOUND], &[VIDEO]];
        for streams in same {
            assert_eq!(starts(&[first.clone(), part(1, 0x1000, streams, 9)].concat()), [0]);
        }
        let others = [
            part(1, 0x1000, &[(0x200, 0x1B)], 9),
            part(1, 0x1100, &[VIDEO], 9),
            part(7, 0x1000, &[VIDEO], 9),
            part(7, 0x1100, &[VIDEO], 9),
            part(1, 0x1000, &[(0x100, 0x24)], 9),
            part(1, 0x1000, &[(0x100, 0x0F), (0x101, 0x1B)], 9),
        ];
        for other in &others {
            assert_eq!(starts(&[first.clone(), other.clone()].concat()), [0, length]);
            let more = [first.clone(), other.clone(), first.clone()].concat();
            assert_eq!(starts(&more), [0, length, length + other.len() as u64]);
        }
        for (before, after) in [(4, 0), (0, 16)] {
            let bytes: Vec<u8> = [first.clone(), others[0].clone()]
                .concat()
                .chunks(PACKET)
                .flat_map(|packet| [vec![0; before], packet.to_vec(), vec![0; after]].concat())
                .collect();
            let at = length / PACKET as u64 * (PACKET + before + after) as u64 + before as u64;
            assert_eq!(starts(&bytes), [0, at]);
        }
        // A few bytes are lost before the second part.
        let mut cut = first.clone();
        cut.truncate(first.len() - 50);
        assert_eq!(starts(&[cut, others[0].clone()].concat()), [0, length - 50]);
    }

    #[test]
    fn damaged_tables_and_other_files_have_one_part() {
        let first = part(1, 0x1000, &[(0x100, 0x1B)], 120);
        let mut other = part(1, 0x1000, &[(0x200, 0x1B)], 9);
        other[PACKET + 20] ^= 1;
        assert_eq!(starts(&[first.clone(), other].concat()), [0]);
        assert_eq!(starts(b""), [0]);
        assert_eq!(starts(&[0x47]), [0]);
        assert_eq!(starts(&vec![0; 10_000]), [0]);
        assert_eq!(starts(&vec![0x47; 10_000]), [0]);
        let stopped = parts(&mut Cursor::new(&first), 64, || false).unwrap();
        assert_eq!(stopped, Parts { starts: vec![0], is_complete: false });
        let many: Vec<u8> =
            (0..9).flat_map(|number| part(1, 0x1000, &[(0x100 + number, 0x1B)], 5000)).collect();
        let some = parts(&mut Cursor::new(&many), 3, || true).unwrap();
        assert_eq!((some.starts.len(), some.is_complete), (3, false));
    }
}

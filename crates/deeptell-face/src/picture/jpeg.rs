//! Whether the coded data of a JPEG are all there.
//!
//! JPEG decoders fill what is missing with gray and say nothing, and neither the header nor the end mark
//! tells how long the data should be. So the entropy-coded data are read to their end here, without making
//! pixels of them: every block of every scan must be there, and the scans of a progressive picture must give
//! every coefficient in full. Sections and figures are those of ITU-T T.81.

use std::io::{self, Read};

use super::{PictureError, PictureLimits};

/// Scans of one picture, at most. Encoders write about ten; each costs a pass over the picture.
const MAX_SCANS: usize = 500;

/// A JPEG whose data are all there.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Checked {
    /// Bytes of memory that its coefficients take in a decoder, which is 0 unless the picture is progressive.
    pub(super) coefficient_bytes: u64,
    /// Where it ends, if it says so or another one begins there.
    pub(super) end: Option<u64>,
}

/// Reads a JPEG from its beginning to its end.
///
/// What no decoder here reads anyway (arithmetic coding, lossless pictures) is left to the decoder to refuse.
///
/// # Errors
/// [`PictureError::Truncated`] when data are missing, [`PictureError::Damaged`] when they cannot be decoded,
/// [`PictureError::TooLarge`], [`PictureError::TooMuchMemory`], [`PictureError::Read`].
pub(super) fn check(source: impl Read, limits: &PictureLimits) -> Result<Checked, PictureError> {
    let mut data = Data::new(source);
    let mut tables = Tables::default();
    let mut frame: Option<Frame> = None;
    let mut scans = 0;
    if (data.byte()?, data.byte()?) != (Some(0xFF), Some(0xD8)) {
        return Err(PictureError::damaged("it does not begin like a JPEG"));
    }
    let is_complete = |frame: &Option<Frame>| frame.as_ref().is_some_and(Frame::is_complete);
    let end = loop {
        match data.marker()? {
            None => break None,
            Some(0xD9) => break Some(data.position()),
            // The end mark is missing, and another picture begins.
            Some(0xD8) if is_complete(&frame) => break Some(data.position() - 2),
            // Markers without a segment.
            Some(0x01 | 0xD0..=0xD8) => {}
            Some(marker) => {
                let segment = data.segment()?;
                match marker {
                    0xC0..=0xC2 => frame = Some(Frame::new(&segment, marker == 0xC2, limits)?),
                    0xC4 => tables.define(&segment)?,
                    // Another coding: the decoder will say that it cannot read it.
                    0xC3 | 0xC5..=0xC7 | 0xC9..=0xCB | 0xCD..=0xCF => {
                        return Ok(Checked::default());
                    }
                    0xDD => tables.restart_interval = number(&segment, 0)?,
                    0xDA => {
                        scans += 1;
                        if scans > MAX_SCANS {
                            return Err(PictureError::damaged("it has too many scans"));
                        }
                        let frame =
                            frame.as_mut().ok_or_else(|| PictureError::damaged("a scan without a frame"))?;
                        Scan::new(&segment, frame)?.read(&mut data, &tables, frame)?;
                    }
                    _ => {}
                }
            }
        }
    };
    let frame = frame.ok_or(PictureError::Truncated)?;
    // Without the end mark, bytes after the last scan are the remains of something: of a further scan, or
    // of a file that was made at its full length and filled only in part.
    if !frame.is_complete() || (end.is_none() && data.skipped > 0) {
        return Err(PictureError::Truncated);
    }
    Ok(Checked { coefficient_bytes: frame.coefficient_bytes(), end })
}

fn number(segment: &[u8], at: usize) -> Result<u32, PictureError> {
    match segment.get(at..at + 2) {
        Some([high, low]) => Ok(u32::from(u16::from_be_bytes([*high, *low]))),
        _ => Err(PictureError::damaged("a short segment")),
    }
}

/// A component of the picture: brightness, or one of the colors.
#[derive(Debug)]
struct Component {
    id: u8,
    /// Horizontal and vertical sampling factor.
    sampling: (u32, u32),
    /// Blocks in a row and in a column, with those that only fill the last units up.
    padded: (u32, u32),
    /// Blocks in a row and in a column that show something.
    blocks: (u32, u32),
    is_coded: bool,
    /// Of a progressive picture, the bits of each coefficient that are still to come; `UNSEEN` for all.
    missing_bits: [u8; 64],
    /// Of a progressive picture, which coefficients of each block are not zero so far.
    nonzero: Vec<u64>,
}

const UNSEEN: u8 = u8::MAX;

#[derive(Debug)]
struct Frame {
    is_progressive: bool,
    components: Vec<Component>,
    /// Units of interleaved scans in a row and in a column.
    units: (u32, u32),
}

impl Frame {
    fn new(segment: &[u8], is_progressive: bool, limits: &PictureLimits) -> Result<Self, PictureError> {
        let (height, width) = (number(segment, 1)?, number(segment, 3)?);
        limits.check_size(width, height)?;
        let count = usize::from(segment.get(5).copied().unwrap_or(0));
        let specified = segment.get(6..6 + 3 * count).filter(|_| (1..=4).contains(&count));
        let specified = specified.ok_or_else(|| PictureError::damaged("an odd number of components"))?;
        let factors: Vec<(u8, u32, u32)> = specified
            .chunks_exact(3)
            .map(|part| (part[0], u32::from(part[1] >> 4), u32::from(part[1] & 15)))
            .collect();
        if factors.iter().any(|(_, h, v)| !(1..=4).contains(h) || !(1..=4).contains(v)) {
            return Err(PictureError::damaged("an odd sampling factor"));
        }
        let finer = |(_, h, v): &(u8, u32, u32)| *h > factors[0].1 || *v > factors[0].2;
        if factors.iter().any(finer) {
            // The decoder counts on the first component for the size of all.
            let detail = "its colors are sampled more finely than its brightness".to_owned();
            return Err(PictureError::Unsupported { detail });
        }
        let widest = factors.iter().map(|(_, h, _)| *h).max().unwrap_or(1);
        let highest = factors.iter().map(|(_, _, v)| *v).max().unwrap_or(1);
        let units = (width.div_ceil(8 * widest), height.div_ceil(8 * highest));
        let components = factors
            .into_iter()
            .map(|(id, h, v)| {
                let padded = (units.0 * h, units.1 * v);
                let blocks =
                    ((width * h).div_ceil(widest).div_ceil(8), (height * v).div_ceil(highest).div_ceil(8));
                let kept = if is_progressive { padded.0 as usize * padded.1 as usize } else { 0 };
                Component {
                    id,
                    sampling: (h, v),
                    padded,
                    blocks,
                    is_coded: false,
                    missing_bits: [UNSEEN; 64],
                    nonzero: vec![0; kept],
                }
            })
            .collect();
        let frame = Self { is_progressive, components, units };
        limits.check_memory(frame.coefficient_bytes())?;
        Ok(frame)
    }

    fn coefficient_bytes(&self) -> u64 {
        if !self.is_progressive {
            return 0;
        }
        let blocks = |c: &Component| u64::from(c.padded.0) * u64::from(c.padded.1);
        self.components.iter().map(|component| blocks(component) * 64 * 2).sum()
    }

    fn is_complete(&self) -> bool {
        self.components.iter().all(|component| {
            component.is_coded && (!self.is_progressive || component.missing_bits == [0; 64])
        })
    }
}

/// Codes of one Huffman table (annex C and F.2.2.3).
#[derive(Debug, Clone)]
struct Codes {
    /// By the next eight bits: length and value of a code that is no longer than that.
    short: [(u8, u8); 256],
    /// By length: one more than the last code, and what to add to a code for the place of its value.
    long: [(u32, i32); 17],
    values: Vec<u8>,
}

impl Codes {
    /// The table at the beginning of `bytes`, and what follows it.
    fn parse(bytes: &[u8]) -> Option<(Self, &[u8])> {
        let (counts, rest) = bytes.split_at_checked(16)?;
        let total = counts.iter().map(|count| usize::from(*count)).sum::<usize>();
        let (values, rest) = rest.split_at_checked(total)?;
        let mut codes = Self { short: [(0, 0); 256], long: [(0, 0); 17], values: values.to_vec() };
        let (mut code, mut place) = (0_u32, 0_i32);
        for (length, count) in (1_u32..).zip(counts) {
            for _ in 0..*count {
                if code >> length != 0 {
                    return None;
                }
                if let Some(spread) = 8_u32.checked_sub(length) {
                    let first = (code << spread) as usize;
                    let value = codes.values[place as usize];
                    codes.short[first..first + (1 << spread)].fill((length as u8, value));
                }
                code += 1;
                place += 1;
            }
            codes.long[length as usize] = (code, place - code as i32);
            code <<= 1;
        }
        Some((codes, rest))
    }
}

#[derive(Debug, Default)]
struct Tables {
    /// By class (DC, AC) and number.
    codes: [[Option<Box<Codes>>; 4]; 2],
    /// Units between two restart markers; 0 for none.
    restart_interval: u32,
}

impl Tables {
    fn define(&mut self, mut segment: &[u8]) -> Result<(), PictureError> {
        while let Some((kind, rest)) = segment.split_first() {
            let (class, number) = (usize::from(kind >> 4), usize::from(kind & 15));
            let place = self.codes.get_mut(class).and_then(|tables| tables.get_mut(number));
            let parsed = place.zip(Codes::parse(rest));
            let (place, (codes, rest)) = parsed.ok_or_else(|| PictureError::damaged("a table of codes"))?;
            *place = Some(codes.into());
            segment = rest;
        }
        Ok(())
    }

    fn get(&self, class: usize, number: u8) -> Result<&Codes, PictureError> {
        self.codes[class]
            .get(usize::from(number))
            .and_then(Option::as_deref)
            .ok_or_else(|| PictureError::damaged("a table of codes is missing"))
    }
}

/// One pass over some components.
struct Scan {
    /// Number of each component in the frame, and those of its tables.
    members: Vec<(usize, u8, u8)>,
    /// First and last coefficient.
    band: (u32, u32),
    /// A progressive scan that adds a bit to coefficients which earlier ones began.
    is_refinement: bool,
}

impl Scan {
    fn new(segment: &[u8], frame: &mut Frame) -> Result<Self, PictureError> {
        let odd = || PictureError::damaged("the header of a scan");
        let (count, rest) = segment.split_first().ok_or_else(odd)?;
        let (parts, rest) = rest.split_at_checked(2 * usize::from(*count)).ok_or_else(odd)?;
        let mut members = Vec::new();
        for part in parts.chunks_exact(2) {
            let index = frame.components.iter().position(|component| component.id == part[0]);
            members.push((index.ok_or_else(odd)?, part[1] >> 4, part[1] & 15));
        }
        let [first, last, approximation, ..] = *rest else { return Err(odd()) };
        let band = if frame.is_progressive { (u32::from(first), u32::from(last)) } else { (0, 63) };
        let is_mixed = frame.is_progressive && band.0 == 0 && band.1 > 0;
        if members.is_empty()
            || band.0 > band.1
            || band.1 > 63
            || is_mixed
            || (band.0 > 0 && members.len() > 1)
        {
            return Err(odd());
        }
        for (index, ..) in &members {
            let component = &mut frame.components[*index];
            component.is_coded = true;
            component.missing_bits[band.0 as usize..=band.1 as usize].fill(approximation & 15);
        }
        Ok(Self { members, band, is_refinement: frame.is_progressive && approximation >> 4 != 0 })
    }

    fn read<R: Read>(
        &self,
        data: &mut Data<R>,
        tables: &Tables,
        frame: &mut Frame,
    ) -> Result<(), PictureError> {
        let mut bits = Bits::default();
        // A scan of one component has no blocks that only fill up (A.2.2).
        let alone = matches!(self.members.as_slice(), [_]);
        let units = if alone { frame.components[self.members[0].0].blocks } else { frame.units };
        let total = u64::from(units.0) * u64::from(units.1);
        let mut end_of_band_run = 0;
        for unit in 0..total {
            let interval = u64::from(tables.restart_interval);
            if interval > 0 && unit > 0 && unit.is_multiple_of(interval) {
                bits.restart(data)?;
                end_of_band_run = 0;
            }
            let (column, row) = ((unit % u64::from(units.0)) as u32, (unit / u64::from(units.0)) as u32);
            for (index, dc, ac) in &self.members {
                let component = &mut frame.components[*index];
                let (across, down) = if alone { (1, 1) } else { component.sampling };
                for block in 0..across * down {
                    let x = column * across + block % across;
                    let y = row * down + block / across;
                    let place = y as usize * component.padded.0 as usize + x as usize;
                    let mut reader = Block { bits: &mut bits, data, band: self.band };
                    if !frame.is_progressive {
                        reader.sequential(tables.get(0, *dc)?, tables.get(1, *ac)?)?;
                    } else if self.band.0 == 0 {
                        if self.is_refinement {
                            reader.skip(1)?;
                        } else {
                            reader.difference(tables.get(0, *dc)?)?;
                        }
                    } else {
                        let nonzero = &mut component.nonzero[place];
                        let ac = tables.get(1, *ac)?;
                        if self.is_refinement {
                            reader.refine(ac, nonzero, &mut end_of_band_run)?;
                        } else {
                            reader.begin(ac, nonzero, &mut end_of_band_run)?;
                        }
                    }
                }
            }
        }
        data.pending = bits.marker;
        data.left_over = u64::from(bits.count / 8);
        Ok(())
    }
}

/// What reads the codes of one block.
struct Block<'a, R> {
    bits: &'a mut Bits,
    data: &'a mut Data<R>,
    band: (u32, u32),
}

impl<R: Read> Block<'_, R> {
    fn skip(&mut self, count: u32) -> Result<(), PictureError> {
        self.bits.take(self.data, count).map(|_| ())
    }

    /// A code of an AC table: zeros before, and bits of the coefficient.
    fn run_and_size(&mut self, codes: &Codes) -> Result<(u32, u32), PictureError> {
        let value = u32::from(self.bits.decode(self.data, codes)?);
        Ok((value >> 4, value & 15))
    }

    /// The difference of a DC coefficient to the one before (F.2.2.1).
    fn difference(&mut self, codes: &Codes) -> Result<(), PictureError> {
        let size = u32::from(self.bits.decode(self.data, codes)?);
        if size > 16 {
            return Err(PictureError::damaged("a coefficient out of range"));
        }
        self.skip(size)
    }

    /// A whole block (F.2.2).
    fn sequential(&mut self, dc: &Codes, ac: &Codes) -> Result<(), PictureError> {
        self.difference(dc)?;
        let mut at = 1;
        while at < 64 {
            match self.run_and_size(ac)? {
                (15, 0) => at += 16,
                (_, 0) => break,
                (run, size) => {
                    at += run + 1;
                    if at > 64 {
                        return Err(PictureError::damaged("a block with too many coefficients"));
                    }
                    self.skip(size)?;
                }
            }
        }
        Ok(())
    }

    /// The first bits of a band of coefficients (G.2.2).
    fn begin(&mut self, ac: &Codes, nonzero: &mut u64, run_of_ends: &mut u32) -> Result<(), PictureError> {
        if *run_of_ends > 0 {
            *run_of_ends -= 1;
            return Ok(());
        }
        let mut at = self.band.0;
        while at <= self.band.1 {
            match self.run_and_size(ac)? {
                (15, 0) => at += 16,
                (run, 0) => {
                    *run_of_ends = (1 << run) - 1 + self.bits.take(self.data, run)?;
                    break;
                }
                (run, size) => {
                    at += run;
                    if at > 63 {
                        return Err(PictureError::damaged("a block with too many coefficients"));
                    }
                    self.skip(size)?;
                    *nonzero |= 1 << at;
                    at += 1;
                }
            }
        }
        Ok(())
    }

    /// One more bit of a band of coefficients (G.2.3).
    fn refine(&mut self, ac: &Codes, nonzero: &mut u64, run_of_ends: &mut u32) -> Result<(), PictureError> {
        let mut at = self.band.0;
        if *run_of_ends == 0 {
            while at <= self.band.1 {
                let (mut zeros, size) = self.run_and_size(ac)?;
                if size == 0 && zeros < 15 {
                    *run_of_ends = (1 << zeros) + self.bits.take(self.data, zeros)?;
                    break;
                }
                self.skip(u32::from(size > 0))?;
                while at <= self.band.1 {
                    if *nonzero >> at & 1 == 1 {
                        self.skip(1)?;
                    } else if zeros == 0 {
                        break;
                    } else {
                        zeros -= 1;
                    }
                    at += 1;
                }
                if size > 0 && at <= 63 {
                    *nonzero |= 1 << at;
                }
                at += 1;
            }
        }
        if *run_of_ends > 0 {
            *run_of_ends -= 1;
            // A bit for each coefficient from here on that is not zero.
            let band = if at > self.band.1 { 0 } else { (u64::MAX >> (63 - self.band.1)) & (u64::MAX << at) };
            for _ in 0..(*nonzero & band).count_ones() {
                self.skip(1)?;
            }
        }
        Ok(())
    }
}

/// Bits of entropy-coded data, up to the next marker.
#[derive(Debug, Default)]
struct Bits {
    /// The next bits, from the highest on.
    held: u64,
    count: u32,
    /// The marker that ended the data.
    marker: Option<u8>,
    is_over: bool,
}

impl Bits {
    fn fill<R: Read>(&mut self, data: &mut Data<R>) -> io::Result<()> {
        while self.count <= 56 && !self.is_over {
            let byte = match data.byte()? {
                Some(0xFF) => {
                    let mut next = data.byte()?;
                    while next == Some(0xFF) {
                        next = data.byte()?;
                    }
                    match next {
                        Some(0) => 0xFF,
                        marker => {
                            self.marker = marker;
                            self.is_over = true;
                            break;
                        }
                    }
                }
                Some(byte) => byte,
                None => {
                    self.is_over = true;
                    break;
                }
            };
            self.held |= u64::from(byte) << (56 - self.count);
            self.count += 8;
        }
        Ok(())
    }

    /// The next `count` bits, 16 at most.
    fn take<R: Read>(&mut self, data: &mut Data<R>, count: u32) -> Result<u32, PictureError> {
        if count == 0 {
            return Ok(0);
        }
        if self.count < count {
            self.fill(data)?;
            if self.count < count {
                return Err(PictureError::Truncated);
            }
        }
        let value = (self.held >> (64 - count)) as u32;
        self.held <<= count;
        self.count -= count;
        Ok(value)
    }

    fn decode<R: Read>(&mut self, data: &mut Data<R>, codes: &Codes) -> Result<u8, PictureError> {
        if self.count < 16 {
            self.fill(data)?;
        }
        let (length, value) = codes.short[(self.held >> 56) as usize];
        if length > 0 {
            self.take(data, u32::from(length))?;
            return Ok(value);
        }
        for length in 9..=16_u32 {
            let code = (self.held >> (64 - length)) as u32;
            let (end, offset) = codes.long[length as usize];
            if code < end {
                self.take(data, length)?;
                let value = usize::try_from(code as i32 + offset).ok().and_then(|at| codes.values.get(at));
                return value.copied().ok_or_else(|| PictureError::damaged("an unknown code"));
            }
        }
        if self.count < 16 {
            Err(PictureError::Truncated)
        } else {
            Err(PictureError::damaged("an unknown code"))
        }
    }

    /// Goes on after a restart marker (F.2.2.5).
    fn restart<R: Read>(&mut self, data: &mut Data<R>) -> Result<(), PictureError> {
        let marker = if self.is_over { self.marker } else { data.marker()? };
        if !matches!(marker, Some(0xD0..=0xD7)) {
            return Err(PictureError::Truncated);
        }
        *self = Self::default();
        Ok(())
    }
}

/// The bytes of the file.
struct Data<R> {
    source: R,
    buffer: Box<[u8; 1 << 14]>,
    at: usize,
    end: usize,
    /// Bytes that came into the buffer so far.
    read: u64,
    /// A marker that the entropy-coded data have run into.
    pending: Option<u8>,
    /// Bytes of entropy-coded data that no code was read from.
    left_over: u64,
    /// Bytes passed over since the last segment to find a marker.
    skipped: u64,
}

impl<R: Read> Data<R> {
    fn new(source: R) -> Self {
        Self {
            source,
            buffer: Box::new([0; 1 << 14]),
            at: 0,
            end: 0,
            read: 0,
            pending: None,
            left_over: 0,
            skipped: 0,
        }
    }

    /// How many bytes were taken so far.
    fn position(&self) -> u64 {
        self.read - (self.end - self.at) as u64
    }

    fn byte(&mut self) -> io::Result<Option<u8>> {
        if self.at == self.end {
            self.end = loop {
                match self.source.read(self.buffer.as_mut_slice()) {
                    Ok(read) => break read,
                    Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                    Err(error) => return Err(error),
                }
            };
            self.at = 0;
            self.read += self.end as u64;
            if self.end == 0 {
                return Ok(None);
            }
        }
        let byte = self.buffer[self.at];
        self.at += 1;
        Ok(Some(byte))
    }

    /// The next marker; `None` at the end of the file.
    fn marker(&mut self) -> io::Result<Option<u8>> {
        self.skipped = std::mem::take(&mut self.left_over);
        if let Some(marker) = self.pending.take() {
            return Ok(Some(marker));
        }
        let mut is_after_ff = false;
        while let Some(byte) = self.byte()? {
            match byte {
                0xFF => is_after_ff = true,
                0 if is_after_ff => {
                    self.skipped += 2;
                    is_after_ff = false;
                }
                marker if is_after_ff => return Ok(Some(marker)),
                _ => self.skipped += 1,
            }
        }
        Ok(None)
    }

    /// The contents of the segment whose marker was read.
    fn segment(&mut self) -> Result<Vec<u8>, PictureError> {
        let length = self.pair()?;
        let length = usize::from(length).checked_sub(2);
        let length = length.ok_or_else(|| PictureError::damaged("a segment without length"))?;
        let mut segment = Vec::with_capacity(length);
        for _ in 0..length {
            segment.push(self.byte()?.ok_or(PictureError::Truncated)?);
        }
        Ok(segment)
    }

    fn pair(&mut self) -> Result<u16, PictureError> {
        let mut next = || self.byte()?.ok_or(PictureError::Truncated);
        Ok(u16::from_be_bytes([next()?, next()?]))
    }
}

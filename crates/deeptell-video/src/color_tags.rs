//! What the colors of a stream mean, from the headers that its container holds, with the precedence of FFmpeg's decoders.

use crate::planes::ColorTags;

/// What a header says; nothing where it does not.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Stated {
    pub(crate) matrix: Option<u8>,
    pub(crate) is_full_range: Option<bool>,
}

impl Stated {
    /// The tags, where what the stream itself states comes before what its container does.
    pub(crate) fn tags(self, container: Self) -> ColorTags {
        ColorTags {
            matrix: self.matrix.or(container.matrix).unwrap_or(ColorTags::UNKNOWN_MATRIX),
            is_full_range: self.is_full_range.or(container.is_full_range).unwrap_or(false),
        }
    }

    /// Of the content of a `colr` box (ISO/IEC 14496-12, 12.1.5; `nclc` of `QuickTime` has no range).
    pub(crate) fn of_colr(content: &[u8]) -> Option<Self> {
        let (kind, rest) = content.split_first_chunk::<4>()?;
        let matrix = Some(*rest.get(5)?);
        match kind {
            b"nclx" => Some(Self { matrix, is_full_range: Some(rest.get(6)? & 0x80 != 0) }),
            b"nclc" => Some(Self { matrix, is_full_range: None }),
            _ => None,
        }
    }

    /// Of an H.264 stream, by its decoder configuration (ISO/IEC 14496-15, 5.3.3.1) with the first sequence parameter
    /// set; `None` where there is none.
    pub(crate) fn of_avcc(content: &[u8]) -> Option<Self> {
        let [high, low] = *content.get(6..)?.first_chunk()?;
        let count = content.get(5)? & 0x1f;
        let set = content.get(8..8 + usize::from(u16::from_be_bytes([high, low])))?;
        (count > 0).then(|| sequence_parameters(set.get(1..)?)).flatten()
    }

    /// Of an AV1 stream, by its decoder configuration (AV1 in ISO base media files, 2.3.3) with a sequence header;
    /// `None` where there is none. A stream without a description is tagged with none, whatever its container says.
    pub(crate) fn of_av1c(content: &[u8]) -> Option<Self> {
        let mut units = content.get(4..)?;
        while let Some((head, rest)) = units.split_first() {
            let rest = if head & 4 != 0 { rest.get(1..)? } else { rest };
            let (size, rest) = if head & 2 != 0 { leb128(rest)? } else { (rest.len(), rest) };
            let (unit, rest) = rest.split_at_checked(size)?;
            if head >> 3 & 15 == 1 {
                return sequence_header(unit);
            }
            units = rest;
        }
        None
    }

    /// Of a VP9 stream, by its decoder configuration (VP codecs in ISO base media files, with version and flags).
    pub(crate) fn of_vpcc(content: &[u8]) -> Option<Self> {
        let [flags, _, _, matrix] = *content.get(6..)?.first_chunk()?;
        Some(Self { matrix: Some(matrix), is_full_range: Some(flags & 1 != 0) })
    }

    /// Of a VP9 stream, by the start of a keyframe (VP9 bitstream specification, 6.2 and 7.2.2); `None` for other frames.
    pub(crate) fn of_vp9(frame: &[u8]) -> Option<Self> {
        let mut bits = Bits::new(frame);
        let marker = bits.number(2)?;
        let profile = bits.number(1)? | bits.number(1)? << 1;
        if profile == 3 {
            bits.number(1)?;
        }
        let is_shown_again = bits.flag()?;
        let is_keyframe = !bits.flag()?;
        bits.number(2)?;
        if marker != 2 || is_shown_again || !is_keyframe || bits.number(24)? != 0x49_8342 {
            return None;
        }
        if profile >= 2 {
            bits.number(1)?;
        }
        // Color spaces in the order of the specification: unknown, BT.601, BT.709, SMPTE 170M and 240M, BT.2020.
        let matrix = match bits.number(3)? {
            1 => 5,
            2 => 1,
            3 => 6,
            4 => 7,
            5 => 9,
            7 => 0,
            _ => ColorTags::UNKNOWN_MATRIX,
        };
        Some(Self { matrix: Some(matrix), is_full_range: Some(matrix == 0 || bits.flag()?) })
    }
}

/// A number of seven bits per byte, the low ones first, and what follows it.
fn leb128(bytes: &[u8]) -> Option<(usize, &[u8])> {
    let length = bytes.iter().take(8).position(|byte| byte & 0x80 == 0)? + 1;
    let value = bytes[..length].iter().rev().fold(0_u64, |value, byte| value << 7 | u64::from(byte & 0x7f));
    Some((usize::try_from(value).ok()?, &bytes[length..]))
}

/// The bits of a header, the high ones first.
struct Bits<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Bits<'a> {
    fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, at: 0 }
    }

    fn flag(&mut self) -> Option<bool> {
        let byte = self.bytes.get(self.at / 8)?;
        let bit = byte >> (7 - self.at % 8) & 1;
        self.at += 1;
        Some(bit == 1)
    }

    /// At most 32 bits.
    fn number(&mut self, bits: u32) -> Option<u32> {
        (0..bits).try_fold(0, |value: u32, _| Some(value << 1 | u32::from(self.flag()?)))
    }

    fn skip(&mut self, bits: u32) -> Option<()> {
        self.at += bits as usize;
        (self.at <= 8 * self.bytes.len()).then_some(())
    }

    /// An Exp-Golomb code (H.264, 9.1), which is also AV1's `uvlc`; a signed one has the same bits.
    fn golomb(&mut self) -> Option<u32> {
        let mut zeros = 0;
        while !self.flag()? {
            zeros += 1;
        }
        // Longer ones have values that no header may have.
        (zeros < 32).then_some(())?;
        Some((1_u32 << zeros) - 1 + self.number(zeros)?)
    }

    fn golombs(&mut self, count: u32) -> Option<()> {
        (0..count).try_for_each(|_| self.golomb().map(drop))
    }
}

/// The colors of a sequence parameter set after its first byte (H.264, 7.3.2.1.1 and E.1.1).
fn sequence_parameters(set: &[u8]) -> Option<Stated> {
    let bytes = without_emulation(set);
    let mut bits = Bits::new(&bytes);
    let profile = bits.number(8)?;
    bits.skip(16)?;
    bits.golomb()?;
    if matches!(profile, 100 | 110 | 122 | 244 | 44 | 83 | 86 | 118 | 128 | 138 | 139 | 134 | 135) {
        let chroma = bits.golomb()?;
        bits.skip(u32::from(chroma == 3))?;
        bits.golombs(2)?;
        bits.skip(1)?;
        if bits.flag()? {
            for list in 0..if chroma == 3 { 12 } else { 8 } {
                if bits.flag()? {
                    scaling_list(&mut bits, if list < 6 { 16 } else { 64 })?;
                }
            }
        }
    }
    bits.golomb()?;
    match bits.golomb()? {
        0 => bits.golombs(1)?,
        1 => {
            bits.skip(1)?;
            bits.golombs(2)?;
            let count = bits.golomb()?;
            bits.golombs(count)?;
        }
        _ => {}
    }
    bits.golomb()?;
    bits.skip(1)?;
    bits.golombs(2)?;
    if !bits.flag()? {
        bits.skip(1)?;
    }
    bits.skip(1)?;
    if bits.flag()? {
        bits.golombs(4)?;
    }
    if bits.flag()? { usability(&mut bits) } else { Some(Stated::default()) }
}

/// A list ends early where its scale becomes zero.
fn scaling_list(bits: &mut Bits<'_>, size: u32) -> Option<()> {
    let mut scale = 8_i64;
    for _ in 0..size {
        let code = i64::from(bits.golomb()?);
        let difference = if code % 2 == 1 { code / 2 + 1 } else { -(code / 2) };
        scale = (scale + difference).rem_euclid(256);
        if scale == 0 {
            break;
        }
    }
    Some(())
}

/// Video usability information up to the colors.
fn usability(bits: &mut Bits<'_>) -> Option<Stated> {
    const OTHER_RATIO: u32 = 255;
    if bits.flag()? && bits.number(8)? == OTHER_RATIO {
        bits.skip(32)?;
    }
    if bits.flag()? {
        bits.skip(1)?;
    }
    if !bits.flag()? {
        return Some(Stated::default());
    }
    bits.skip(3)?;
    let is_full_range = Some(bits.flag()?);
    let matrix = if bits.flag()? {
        bits.skip(16)?;
        Some(bits.number(8)? as u8)
    } else {
        None
    };
    Some(Stated { matrix, is_full_range })
}

/// The payload of a unit: a 3 that follows two zeros only keeps it from looking like the start of another (H.264, 7.4.1).
fn without_emulation(unit: &[u8]) -> Vec<u8> {
    let is_kept = |at: usize| at < 2 || unit[at] != 3 || unit[at - 1] != 0 || unit[at - 2] != 0;
    (0..unit.len()).filter(|at| is_kept(*at)).map(|at| unit[at]).collect()
}

/// The colors of a sequence header (AV1 bitstream specification, 5.5.1 and 5.5.2).
fn sequence_header(unit: &[u8]) -> Option<Stated> {
    let mut bits = Bits::new(unit);
    let profile = bits.number(3)?;
    bits.skip(1)?;
    let is_reduced = bits.flag()?;
    if is_reduced {
        bits.skip(5)?;
    } else {
        operating_points(&mut bits)?;
    }
    let (width, height) = (bits.number(4)?, bits.number(4)?);
    bits.skip(width + 1 + height + 1)?;
    if !is_reduced && bits.flag()? {
        bits.skip(7)?;
    }
    bits.skip(3)?;
    if !is_reduced {
        coding_tools(&mut bits)?;
    }
    bits.skip(3)?;
    // Color configuration.
    let is_deep = bits.flag()?;
    bits.skip(u32::from(profile == 2 && is_deep))?;
    let is_gray = profile != 1 && bits.flag()?;
    let (primaries, transfer, matrix) = if bits.flag()? {
        (bits.number(8)?, bits.number(8)?, bits.number(8)?)
    } else {
        (2, 2, ColorTags::UNKNOWN_MATRIX.into())
    };
    let is_srgb = !is_gray && (primaries, transfer, matrix) == (1, 13, 0);
    Some(Stated { matrix: Some(matrix as u8), is_full_range: Some(is_srgb || bits.flag()?) })
}

/// From the timing to the last operating point.
fn operating_points(bits: &mut Bits<'_>) -> Option<()> {
    let mut delay = None;
    if bits.flag()? {
        bits.skip(64)?;
        if bits.flag()? {
            bits.golomb()?;
        }
        if bits.flag()? {
            delay = Some(bits.number(5)? + 1);
            bits.skip(32 + 5 + 5)?;
        }
    }
    let has_display_delay = bits.flag()?;
    for _ in 0..=bits.number(5)? {
        bits.skip(12)?;
        let has_tier = bits.number(5)? > 7;
        bits.skip(u32::from(has_tier))?;
        if let Some(length) = delay
            && bits.flag()?
        {
            bits.skip(2 * length + 1)?;
        }
        if has_display_delay && bits.flag()? {
            bits.skip(4)?;
        }
    }
    Some(())
}

/// From compound prediction to the bits of order hints.
fn coding_tools(bits: &mut Bits<'_>) -> Option<()> {
    bits.skip(4)?;
    let has_order = bits.flag()?;
    if has_order {
        bits.skip(2)?;
    }
    let has_screen_tools = bits.flag()? || bits.flag()?;
    if has_screen_tools && !bits.flag()? {
        bits.skip(1)?;
    }
    if has_order { bits.skip(3) } else { Some(()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_header_ends_without_a_panic() {
        let mut random = fastrand::Rng::with_seed(11);
        for round in 0..20_000 {
            let mut bytes: Vec<u8> = std::iter::repeat_with(|| random.u8(..)).take(round % 60).collect();
            // Long runs of zeros are what lengths are read from.
            if round % 3 == 0 {
                bytes.iter_mut().filter(|_| random.u8(..4) > 0).for_each(|byte| *byte = 0);
            }
            let _ = Stated::of_avcc(&bytes);
            let _ = Stated::of_av1c(&bytes);
            let _ = Stated::of_vpcc(&bytes);
            let _ = Stated::of_vp9(&bytes);
            let _ = Stated::of_colr(&bytes);
            let _ = sequence_parameters(&bytes);
            let _ = sequence_header(&bytes);
        }
    }

    #[test]
    fn the_stream_comes_before_its_container() {
        let container = Stated::of_colr(b"nclx\0\x01\0\x01\0\x01\x80").unwrap();
        assert_eq!(container, Stated { matrix: Some(1), is_full_range: Some(true) });
        assert_eq!(Stated::of_colr(b"nclc\0\x01\0\x01\0\x06").unwrap().is_full_range, None);
        assert_eq!(Stated::of_colr(b"prof...."), None);
        let range_alone = Stated { matrix: None, is_full_range: Some(false) };
        assert_eq!(range_alone.tags(container), ColorTags { matrix: 1, is_full_range: false });
        assert_eq!(Stated::default().tags(Stated::default()), ColorTags { matrix: 2, is_full_range: false });
    }
}

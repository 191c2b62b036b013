use std::fmt;
use std::path::Path;

use deeptell_face::{Picture, PictureFormat};

use crate::contents::decode;
use crate::corners::corner_statistics;
use crate::{DataError, PerceptualHash, read_contents};

/// A property of a picture that does not depend on the face in it. If a label can be predicted from
/// one of these alone, a network may learn that shortcut.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Trace {
    /// Width and height.
    Resolution,
    /// JPEG, PNG, WebP or BMP.
    Format,
    /// Bytes of the file, in total and per pixel.
    FileSize,
    /// How a JPEG was compressed: its quantization tables, subsampling and order.
    JpegTables,
    /// Colors and texture of the four corners, an eighth of the shorter side wide.
    Corners,
}

impl Trace {
    /// Every kind.
    pub const ALL: [Self; 5] =
        [Self::Resolution, Self::Format, Self::FileSize, Self::JpegTables, Self::Corners];
}

impl fmt::Display for Trace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Resolution => "resolution",
            Self::Format => "format",
            Self::FileSize => "file size",
            Self::JpegTables => "JPEG tables",
            Self::Corners => "background corners",
        })
    }
}

/// Facts about a picture that an audit uses.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct PictureFacts {
    /// In pixels.
    pub width: u32,
    /// In pixels.
    pub height: u32,
    /// Of the file.
    pub bytes: u64,
    /// The usual ending of files of its format, recognized by its bytes: `jpg`, `png`.
    pub format: &'static str,
    /// Each [`Trace`] in numbers, in the order of [`Trace::ALL`]. A kind has as many numbers in every
    /// picture.
    pub traces: [Vec<f64>; Trace::ALL.len()],
    /// What it shows.
    pub perceptual_hash: PerceptualHash,
}

/// Reads a picture, in a file or in a shard.
///
/// # Errors
/// As [`read_picture`](crate::read_picture).
pub fn read_facts(path: impl AsRef<Path>) -> Result<PictureFacts, DataError> {
    let path = path.as_ref();
    let bytes = read_contents(path)?;
    let Picture { image, format, .. } = decode(path, &bytes)?;
    let (width, height) = (f64::from(image.width().max(1)), f64::from(image.height().max(1)));
    let kinds = [PictureFormat::Jpeg, PictureFormat::Png, PictureFormat::WebP, PictureFormat::Bmp];
    let traces = [
        vec![width.ln(), height.ln()],
        kinds.map(|kind| f64::from(u8::from(format == kind))).to_vec(),
        vec![(bytes.len() as f64).ln(), (bytes.len() as f64 / (width * height)).ln()],
        jpeg_tables(&bytes),
        corner_statistics(&image),
    ];
    Ok(PictureFacts {
        width: image.width(),
        height: image.height(),
        bytes: bytes.len() as u64,
        format: format.extension(),
        traces,
        perceptual_hash: PerceptualHash::of(&image),
    })
}

/// Of the first two quantization tables, the mean logarithm of the lower and of the upper half of
/// the frequencies; the samples of the first channel per block; and whether the JPEG is progressive.
/// Zeros for other formats. ITU-T T.81, annex B.
fn jpeg_tables(bytes: &[u8]) -> Vec<f64> {
    let mut traces = vec![0.0; 6];
    let Some(mut rest) = bytes.strip_prefix(&[0xFF, 0xD8]) else { return traces };
    while let [0xFF, marker, high, low, tail @ ..] = rest {
        let length = usize::from(u16::from_be_bytes([*high, *low]));
        let Some(segment) = length.checked_sub(2).and_then(|length| tail.get(..length)) else { break };
        match marker {
            0xDB => quantization(segment, &mut traces),
            0xC0..=0xC2 => {
                // Precision, height, width, number of channels; then number and sampling of the first.
                traces[4] =
                    segment.get(7).map_or(0.0, |sampling| f64::from((sampling >> 4) * (sampling & 15)));
                traces[5] = f64::from(u8::from(*marker == 0xC2));
            }
            // The picture itself.
            0xDA => break,
            _ => {}
        }
        rest = &tail[segment.len()..];
    }
    traces
}

/// The tables of one segment, each in zigzag order.
fn quantization(mut segment: &[u8], traces: &mut [f64]) {
    while let [kind, tail @ ..] = segment {
        let bytes_each = 1 + usize::from(kind >> 4 != 0);
        let Some(table) = tail.get(..64 * bytes_each) else { return };
        let number = usize::from(kind & 15);
        if number < 2 {
            let steps: Vec<f64> = table
                .chunks(bytes_each)
                .map(|step| {
                    step.iter().fold(0.0, |value, byte| value * 256.0 + f64::from(*byte)).max(1.0).ln()
                })
                .collect();
            for (half, steps) in steps.chunks(32).enumerate() {
                traces[2 * number + half] = steps.iter().sum::<f64>() / 32.0;
            }
        }
        segment = &tail[table.len()..];
    }
}

#[cfg(test)]
mod tests {
    use image::RgbImage;
    use image::codecs::jpeg::JpegEncoder;

    use super::*;

    fn jpeg(quality: u8) -> Vec<u8> {
        let picture = RgbImage::from_fn(32, 16, |x, y| image::Rgb([(x * 7) as u8, (y * 9) as u8, 80]));
        let mut bytes = Vec::new();
        JpegEncoder::new_with_quality(&mut bytes, quality).encode_image(&picture).unwrap();
        bytes
    }

    #[test]
    fn jpeg_tables_rise_as_quality_falls_and_damaged_files_are_read() {
        let [fine, coarse] = [90, 30].map(|quality| jpeg_tables(&jpeg(quality)));
        assert!((0..4).all(|at| fine[at] < coarse[at]), "{fine:?} {coarse:?}");
        // Quality 50 is the table of annex K, whose steps begin 16, 11, 12, 14 ...; its mean logarithm by half.
        let annex_k = jpeg_tables(&jpeg(50));
        assert!(annex_k[0] > 16.0_f64.ln() && annex_k[1] > annex_k[0], "{annex_k:?}");
        assert!(fine[4] >= 1.0 && fine[5] == 0.0);
        assert_eq!(jpeg_tables(b"no JPEG"), [0.0; 6]);
        let whole = jpeg(90);
        for length in 0..whole.len().min(700) {
            assert_eq!(jpeg_tables(&whole[..length]).len(), 6);
        }
    }

    #[test]
    fn quality_changes_the_size_and_the_tables_of_a_jpeg_alone() {
        let folder = tempfile::tempdir().unwrap();
        let traces = |name: &str, bytes: &[u8]| {
            let path = folder.path().join(name);
            std::fs::write(&path, bytes).unwrap();
            read_facts(path).unwrap().traces
        };
        let (fine, coarse) = (traces("a.jpg", &jpeg(90)), traces("b.jpg", &jpeg(30)));
        let differs = |at: Trace| {
            let at = Trace::ALL.iter().position(|trace| *trace == at).unwrap();
            fine[at] != coarse[at]
        };
        assert!(!differs(Trace::Resolution) && !differs(Trace::Format));
        assert!(differs(Trace::FileSize) && differs(Trace::JpegTables));
        assert_eq!(fine[0], [32.0_f64.ln(), 16.0_f64.ln()]);
        assert!(fine.iter().zip(&coarse).all(|(a, b)| a.len() == b.len()));
    }
}

//! Bytes of stored numbers as 32-bit floats.

use half::f16;
use half::slice::HalfFloatSliceExt;

/// Number formats that weights come in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Format {
    F16,
    Bf16,
    F32,
    F64,
}

impl Format {
    /// Bytes of one number.
    pub(crate) const fn size(self) -> usize {
        match self {
            Self::F16 | Self::Bf16 => 2,
            Self::F32 => 4,
            Self::F64 => 8,
        }
    }

    /// The numbers in little-endian `bytes`; a trailing part of one is left out, which shows as a
    /// wrong count.
    pub(crate) fn decode(self, bytes: &[u8]) -> Vec<f32> {
        match self {
            Self::F16 => {
                let halves: Vec<f16> = bytes.as_chunks().0.iter().map(|&b| f16::from_le_bytes(b)).collect();
                // Asks once what the processor can, not for each number.
                let mut numbers = vec![0.0; halves.len()];
                halves.convert_to_f32_slice(&mut numbers);
                numbers
            }
            Self::Bf16 => numbers(bytes, |b| half::bf16::from_le_bytes(b).to_f32()),
            Self::F32 => numbers(bytes, f32::from_le_bytes),
            Self::F64 => numbers(bytes, |b| f64::from_le_bytes(b) as f32),
        }
    }
}

fn numbers<const N: usize>(bytes: &[u8], number: impl Fn([u8; N]) -> f32) -> Vec<f32> {
    bytes.as_chunks::<N>().0.iter().map(|&bytes| number(bytes)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_format_gives_the_same_numbers() {
        let expected = [1.0_f32, -0.5, 65504.0];
        let cases = [
            (Format::F16, expected.iter().flat_map(|&v| f16::from_f32(v).to_le_bytes()).collect()),
            (Format::F32, expected.iter().flat_map(|v| v.to_le_bytes()).collect()),
            (Format::F64, expected.iter().flat_map(|&v| f64::from(v).to_le_bytes()).collect::<Vec<u8>>()),
        ];
        for (format, mut bytes) in cases {
            assert_eq!(bytes.len(), 3 * format.size());
            bytes.push(7);
            assert_eq!(format.decode(&bytes), expected, "{format:?}");
        }
        let every: Vec<u16> = (0..=u16::MAX).collect();
        let bytes: Vec<u8> = every.iter().flat_map(|bits| bits.to_le_bytes()).collect();
        let bits = |number: f32| number.to_bits();
        let expected = every.iter().map(|&half| bits(f16::from_bits(half).to_f32()));
        assert!(Format::F16.decode(&bytes).into_iter().map(bits).eq(expected));
        assert_eq!(Format::Bf16.decode(&half::bf16::from_f32(-2.0).to_le_bytes()), [-2.0]);
    }
}

use std::fmt;

use burn::tensor::{Device, FloatDType, Tensor};
use serde::{Deserialize, Serialize};
use thiserror::Error;

/// The number format that a network computes in.
///
/// Trained weights, batch statistics and logits are always 32-bit floats. In a 16-bit format,
/// convolutions and linear layers use rounded copies of their weights, while batch normalization,
/// means and the loss stay in 32 bits (Micikevicius et al. 2018, "Mixed Precision Training",
/// section 3). It is faster on devices with hardware for such numbers, and slower on a CPU.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Dtype {
    /// 32-bit floats throughout.
    #[default]
    F32,
    /// 16 bits with the range of 32-bit floats and 8 significant bits.
    Bf16,
    /// 16 bits, 11 of them significant, up to 65504: training needs its loss scaled.
    F16,
}

/// The device has no arithmetic in that format.
#[derive(Debug, Error, Clone, PartialEq, Eq)]
#[error("this device ({device}) cannot compute in {dtype}: choose another dtype, f32 works everywhere")]
pub struct DtypeError {
    /// What was asked for.
    pub dtype: Dtype,
    /// The device, as Burn names it.
    pub device: String,
}

impl Dtype {
    /// Whether it is [`Dtype::F32`].
    pub fn is_full(&self) -> bool {
        *self == Self::F32
    }

    /// Checks that the device stores, converts and computes in this format.
    ///
    /// # Errors
    /// [`DtypeError`] when it does not.
    pub fn check(self, device: &Device) -> Result<(), DtypeError> {
        self.check_by(|dtype| device.supports_dtype(dtype), || format!("{device:?}"))
    }

    fn check_by(
        self,
        supports: impl Fn(FloatDType) -> bool,
        device: impl Fn() -> String,
    ) -> Result<(), DtypeError> {
        match self.burn() {
            Some(dtype) if !supports(dtype) => Err(DtypeError { dtype: self, device: device() }),
            _ => Ok(()),
        }
    }

    /// The 16-bit format; `None` for [`Dtype::F32`], which leaves tensors as they come.
    fn burn(self) -> Option<FloatDType> {
        match self {
            Self::F32 => None,
            Self::Bf16 => Some(FloatDType::BF16),
            Self::F16 => Some(FloatDType::F16),
        }
    }

    /// A tensor in this format; its gradient comes back in the format it had.
    pub fn lowered<const D: usize>(self, tensor: Tensor<D>) -> Tensor<D> {
        match self.burn() {
            Some(dtype) => tensor.cast(dtype),
            None => tensor,
        }
    }

    /// Converts back to 32 bits.
    pub fn raised<const D: usize>(self, tensor: Tensor<D>) -> Tensor<D> {
        if self.is_full() { tensor } else { tensor.cast(FloatDType::F32) }
    }
}

impl fmt::Display for Dtype {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::F32 => "f32",
            Self::Bf16 => "bf16",
            Self::F16 => "f16",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_device_without_a_format_refuses_it_and_says_what_works() {
        let only = |known: FloatDType| move |dtype: FloatDType| dtype == known;
        let name = || "toy".to_owned();
        let error = Dtype::Bf16.check_by(only(FloatDType::F16), name).unwrap_err();
        assert_eq!(error, DtypeError { dtype: Dtype::Bf16, device: "toy".into() });
        for word in ["bf16", "toy", "f32 works"] {
            assert!(error.to_string().contains(word), "{error}");
        }
        assert_eq!(Dtype::F16.check_by(only(FloatDType::F16), name), Ok(()));
        assert!(Dtype::F16.check_by(only(FloatDType::BF16), name).is_err());
        assert_eq!(Dtype::F32.check_by(|_| false, name), Ok(()), "nobody can lack 32 bits");
    }

    #[test]
    fn the_cpu_supports_every_dtype() {
        for dtype in [Dtype::F32, Dtype::Bf16, Dtype::F16] {
            assert_eq!(dtype.check(&Device::flex()), Ok(()));
            assert_eq!(dtype.check(&Device::flex().autodiff()), Ok(()));
        }
    }

    #[test]
    fn numbers_are_rounded_to_the_dtype_and_raised_again() {
        let device = Device::flex();
        let x = Tensor::<1>::from_floats([1.0 + 1.0 / 1024.0, 1e5], &device);
        let through =
            |dtype: Dtype| dtype.raised(dtype.lowered(x.clone())).into_data().try_into_vec::<f32>().unwrap();
        assert_eq!(through(Dtype::F32), [1.0 + 1.0 / 1024.0, 1e5]);
        assert_eq!(through(Dtype::F16), [1.0 + 1.0 / 1024.0, f32::INFINITY]);
        assert_eq!(through(Dtype::Bf16), [1.0, 99840.0]);
    }
}

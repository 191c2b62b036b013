//! `--device` and `--precision`: which backend computes, and in what.

use std::panic::UnwindSafe;

use burn::tensor::Device;
use clap::ValueEnum;
use deeptell::Precision;
use serde::Serialize;

use crate::output::note;

/// Where tensors live.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ValueEnum)]
#[serde(rename_all = "lowercase")]
pub(crate) enum DeviceName {
    /// This machine's processor; always there.
    Cpu,
    /// Any GPU through Vulkan, Metal or DirectX 12; needs the feature `wgpu`.
    Wgpu,
    /// NVIDIA GPUs; needs the feature `cuda`.
    Cuda,
}

impl DeviceName {
    /// As `--device` takes it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Cpu => "cpu",
            Self::Wgpu => "wgpu",
            Self::Cuda => "cuda",
        }
    }

    /// Whether this build has the backend.
    pub(crate) fn is_compiled_in(self) -> bool {
        match self {
            Self::Cpu => true,
            Self::Wgpu => cfg!(feature = "wgpu"),
            Self::Cuda => cfg!(feature = "cuda"),
        }
    }

    /// The device, after a first small computation on it.
    pub(crate) fn open(self) -> anyhow::Result<Device> {
        match self {
            Self::Cpu => Ok(Device::flex()),
            #[cfg(feature = "wgpu")]
            Self::Wgpu => tried("wgpu", || Device::wgpu(Default::default())),
            #[cfg(feature = "cuda")]
            Self::Cuda => tried("cuda", || Device::cuda(0)),
            #[cfg(not(feature = "wgpu"))]
            Self::Wgpu => Err(not_compiled_in("wgpu")),
            #[cfg(not(feature = "cuda"))]
            Self::Cuda => Err(not_compiled_in("cuda")),
        }
    }
}

/// The number format that a network computes in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum PrecisionName {
    /// 32-bit floats: every device has them.
    F32,
    /// 16 bits with the range of f32.
    Bf16,
    /// 16 bits with more digits and less range; training scales its loss.
    F16,
}

impl PrecisionName {
    /// The format, with a word of warning where it gains nothing.
    pub(crate) fn on(self, device: DeviceName) -> Precision {
        let precision = Precision::from(self);
        warn_if_slower(precision, device);
        precision
    }
}

impl From<PrecisionName> for Precision {
    fn from(name: PrecisionName) -> Self {
        match name {
            PrecisionName::F32 => Self::F32,
            PrecisionName::Bf16 => Self::Bf16,
            PrecisionName::F16 => Self::F16,
        }
    }
}

/// A CPU computes in 16 bits by converting, past the kernels made for it.
pub(crate) fn warn_if_slower(precision: Precision, device: DeviceName) {
    if device == DeviceName::Cpu && !precision.is_full() {
        note!("note: on a CPU {precision} is slower than f32; it is meant for GPUs");
    }
}

#[cfg(not(all(feature = "wgpu", feature = "cuda")))]
fn not_compiled_in(feature: &str) -> anyhow::Error {
    anyhow::anyhow!(
        "this build has no {feature} backend: build it with `cargo build --release -p deeptell-cli \
         --features {feature}`, or use --device cpu"
    )
}

/// The device `open` gives, when it can add.
#[cfg(any(feature = "wgpu", feature = "cuda"))]
fn tried(name: &str, open: impl FnOnce() -> Device + UnwindSafe) -> anyhow::Result<Device> {
    let result = caught(move || {
        let device = open();
        let sum = burn::tensor::Tensor::<1>::ones([4], &device).sum().into_scalar::<f32>();
        (device, sum)
    });
    match result {
        Ok((device, 4.0)) => Ok(device),
        Ok((_, sum)) => anyhow::bail!("the {name} device computes 1+1+1+1 = {sum}: its driver is broken"),
        Err(reason) => anyhow::bail!(
            "no {name} device can be used here: install its driver, or use --device cpu. What was tried ended with: \
             {reason}"
        ),
    }
}

/// What `work` gives, or why it panicked: Burn has no other way to report a missing driver, or a device that fails.
pub(crate) fn caught<T>(work: impl FnOnce() -> T + UnwindSafe) -> Result<T, String> {
    let hook = std::panic::take_hook();
    std::panic::set_hook(Box::new(|_| {}));
    let result = std::panic::catch_unwind(work);
    std::panic::set_hook(hook);
    result.map_err(|panic| {
        let reason = panic.downcast_ref::<String>().map(String::as_str);
        let reason = reason.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("no reason given");
        reason.split_whitespace().collect::<Vec<_>>().join(" ")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_processor_is_always_there() {
        assert!(DeviceName::Cpu.open().is_ok());
    }

    #[cfg(not(feature = "cuda"))]
    #[test]
    fn a_backend_that_was_left_out_is_named() {
        let error = DeviceName::Cuda.open().unwrap_err().to_string();
        assert!(error.contains("--features cuda"), "{error}");
    }
}

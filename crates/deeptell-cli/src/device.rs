//! `--device` and `--precision`: which backend computes, and in what.

use burn::tensor::Device;
use clap::ValueEnum;
use deeptell::Precision;

/// Where tensors live.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum DeviceName {
    /// This machine's processor; always there.
    Cpu,
    /// Any GPU through Vulkan, Metal or DirectX 12; needs the feature `wgpu`.
    Wgpu,
    /// NVIDIA GPUs; needs the feature `cuda`.
    Cuda,
}

impl DeviceName {
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
        eprintln!("note: on a CPU {precision} is slower than f32; it is meant for GPUs");
    }
}

#[cfg(not(all(feature = "wgpu", feature = "cuda")))]
fn not_compiled_in(feature: &str) -> anyhow::Error {
    anyhow::anyhow!(
        "this build has no {feature} backend: build it with `cargo build --release -p deeptell-cli \
         --features {feature}`, or use --device cpu"
    )
}

/// Burn reports a missing driver or GPU by panicking at the first use of the device: here it
/// becomes an error.
#[cfg(any(feature = "wgpu", feature = "cuda"))]
fn tried(name: &str, open: impl FnOnce() -> Device + std::panic::UnwindSafe) -> anyhow::Result<Device> {
    let hook = std::panic::take_hook();
    std::panic::set_hook(Box::new(|_| {}));
    let result = std::panic::catch_unwind(move || {
        let device = open();
        let sum = burn::tensor::Tensor::<1>::ones([4], &device).sum().into_scalar::<f32>();
        (device, sum)
    });
    std::panic::set_hook(hook);
    match result {
        Ok((device, 4.0)) => Ok(device),
        Ok((_, sum)) => anyhow::bail!("the {name} device computes 1+1+1+1 = {sum}: its driver is broken"),
        Err(panic) => {
            let reason = panic
                .downcast_ref::<String>()
                .cloned()
                .or_else(|| panic.downcast_ref::<&str>().map(ToString::to_string))
                .unwrap_or_default();
            anyhow::bail!(
                "no {name} device can be used here ({reason}): install its driver, or use --device cpu"
            )
        }
    }
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

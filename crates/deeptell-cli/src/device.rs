//! `--device` and `--dtype`: which backend computes, and in which number format.

use std::panic::UnwindSafe;

use burn::tensor::Device;
use clap::ValueEnum;
use deeptell::Dtype;
use serde::Serialize;

use crate::output::{detail, note};

/// A device for tensors.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ValueEnum)]
#[serde(rename_all = "lowercase")]
pub(crate) enum DeviceName {
    /// The CPU; always available.
    Cpu,
    /// Any GPU, through Vulkan, Metal or DirectX 12 (in builds with the feature `wgpu`).
    Wgpu,
    /// NVIDIA GPUs (in builds with the feature `cuda`).
    Cuda,
}

impl DeviceName {
    /// Its name on the command line.
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

    /// Opens the device and runs a first small computation on it.
    pub(crate) fn open(self) -> anyhow::Result<Device> {
        self.open_number(0)
    }

    /// As [`open`](Self::open); of several NVIDIA GPUs the one with this number, from 0.
    pub(crate) fn open_number(self, number: usize) -> anyhow::Result<Device> {
        let numbered = if self == Self::Cuda { format!(", number {number}") } else { String::new() };
        detail!("device: {}, threads: {}{numbered}", self.name(), rayon::current_num_threads());
        match self {
            Self::Cpu => Ok(Device::flex()),
            #[cfg(feature = "wgpu")]
            Self::Wgpu => tried("wgpu", || Device::wgpu(Default::default())),
            #[cfg(feature = "cuda")]
            Self::Cuda => tried("cuda", || Device::cuda(number)),
            #[cfg(not(feature = "wgpu"))]
            Self::Wgpu => Err(not_compiled_in("wgpu")),
            #[cfg(not(feature = "cuda"))]
            Self::Cuda => Err(not_compiled_in("cuda")),
        }
    }
}

/// Reads the name of a device, with a number for one of several NVIDIA GPUs: `cuda:1`.
pub(crate) fn numbered_device(text: &str) -> Result<(DeviceName, usize), String> {
    let cuda = text.strip_prefix("cuda:").and_then(|number| number.parse().ok());
    match (cuda, DeviceName::from_str(text, false)) {
        (Some(number), _) => Ok((DeviceName::Cuda, number)),
        (None, Ok(name)) => Ok((name, 0)),
        (None, Err(_)) => Err("expected cpu, wgpu, cuda, or cuda:NUMBER, counted from 0".to_owned()),
    }
}

/// The number format that a network computes in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum DtypeName {
    /// 32-bit floats; every device has them.
    F32,
    /// 16-bit floats with the range of f32.
    Bf16,
    /// 16-bit floats with more digits and a smaller range; training scales its loss.
    F16,
}

impl DtypeName {
    /// The format; notes where it gains nothing.
    pub(crate) fn on(self, device: DeviceName) -> Dtype {
        let dtype = Dtype::from(self);
        warn_if_slower(dtype, device);
        dtype
    }
}

impl From<DtypeName> for Dtype {
    fn from(name: DtypeName) -> Self {
        match name {
            DtypeName::F32 => Self::F32,
            DtypeName::Bf16 => Self::Bf16,
            DtypeName::F16 => Self::F16,
        }
    }
}

/// CPUs compute in 16 bits by converting to f32, without the kernels made for them.
pub(crate) fn warn_if_slower(dtype: Dtype, device: DeviceName) {
    if device == DeviceName::Cpu && !dtype.is_full() {
        note!("note: on a CPU {dtype} is slower than f32; it is meant for GPUs");
    }
}

#[cfg(not(all(feature = "wgpu", feature = "cuda")))]
fn not_compiled_in(feature: &str) -> anyhow::Error {
    anyhow::anyhow!(
        "this build has no {feature} backend: build it with `cargo build --release -p deeptell-cli \
         --features {feature}`, or use --device cpu"
    )
}

/// The device that `open` returns, if it can add.
#[cfg(any(feature = "wgpu", feature = "cuda"))]
fn tried(name: &str, open: impl FnOnce() -> Device + UnwindSafe) -> anyhow::Result<Device> {
    let result = caught(move || {
        let device = open();
        let sum = burn::tensor::Tensor::<1>::ones([4], &device).sum().into_scalar::<f32>();
        (device, sum)
    });
    match result {
        Ok((device, 4.0)) => Ok(device),
        Ok((_, sum)) => anyhow::bail!(
            "the {name} device computes 1+1+1+1 = {sum}: update its driver, or use --device cpu"
        ),
        Err(reason) => {
            anyhow::bail!("no {name} device can be used: install its driver, or use --device cpu ({reason})")
        }
    }
}

/// The result of `work`, or why it panicked: Burn reports missing drivers and failing devices by panicking.
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
    fn the_cpu_computes() {
        let device = DeviceName::Cpu.open().unwrap();
        let sum = burn::tensor::Tensor::<1>::ones([4], &device).sum().into_scalar::<f32>();
        assert_eq!(sum, 4.0);
    }

    #[test]
    fn nvidia_gpus_are_numbered() {
        assert_eq!(numbered_device("cpu"), Ok((DeviceName::Cpu, 0)));
        assert_eq!(numbered_device("cuda"), numbered_device("cuda:0"));
        assert_eq!(numbered_device("cuda:12"), Ok((DeviceName::Cuda, 12)));
        for wrong in ["cpu:1", "cuda:", "cuda:-1", "cuda:x", "gpu", ""] {
            assert!(numbered_device(wrong).unwrap_err().contains("cuda:NUMBER"), "{wrong}");
        }
    }

    #[cfg(not(feature = "cuda"))]
    #[test]
    fn a_missing_backend_error_names_its_feature() {
        let error = DeviceName::Cuda.open().unwrap_err().to_string();
        assert!(error.contains("--features cuda"), "{error}");
    }
}

//! Activation functions, as a runtime choice for callers and as a type for the inner loops.

use pulp::{Arch, Simd, WithSimd};
use std::marker::PhantomData;

/// The element-wise function applied at the end of a fused layer.
///
/// NaN passes through each of them, as it does through Burn's own activations.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Activation {
    /// `f(v) = v`
    #[default]
    Identity,
    /// `f(v) = max(v, 0)`
    Relu,
    /// `f(v) = v * min(max(v / 6 + 1/2, 0), 1)`, equation 8 of MobileNetV3
    /// (Howard et al. 2019, <https://arxiv.org/abs/1905.02244>, section 5.2).
    HardSwish,
}

/// The logistic function `1 / (1 + exp(-logit))`, in `0..=1`.
///
/// ```
/// assert_eq!(deeptell_kernels::sigmoid(0.0), 0.5);
/// assert_eq!(deeptell_kernels::sigmoid(-1000.0), 0.0);
/// ```
pub fn sigmoid(logit: f32) -> f32 {
    1.0 / (1.0 + (-logit).exp())
}

/// An inner loop that is compiled once for each instruction set and each activation.
pub(crate) trait Kernel {
    type Output;

    /// Must be `#[inline(always)]`: only then does the body get the instruction set of `S`.
    fn run<S: Simd, C: Curve>(self, simd: S) -> Self::Output;
}

/// An activation known at compile time.
pub(crate) trait Curve {
    /// `f(v)`
    fn value<S: Simd>(simd: S, v: S::f32s) -> S::f32s;

    /// `gradient * f'(v)`
    fn pull_back<S: Simd>(simd: S, v: S::f32s, gradient: S::f32s) -> S::f32s;
}

pub(crate) struct Identity;
pub(crate) struct Relu;
pub(crate) struct HardSwish;

impl Curve for Identity {
    #[inline(always)]
    fn value<S: Simd>(_simd: S, v: S::f32s) -> S::f32s {
        v
    }

    #[inline(always)]
    fn pull_back<S: Simd>(_simd: S, _v: S::f32s, gradient: S::f32s) -> S::f32s {
        gradient
    }
}

// Comparisons and selections instead of `min` and `max`, which drop NaN on some machines.
impl Curve for Relu {
    #[inline(always)]
    fn value<S: Simd>(simd: S, v: S::f32s) -> S::f32s {
        let zero = simd.splat_f32s(0.0);
        simd.select_f32s(simd.less_than_f32s(v, zero), zero, v)
    }

    #[inline(always)]
    fn pull_back<S: Simd>(simd: S, v: S::f32s, gradient: S::f32s) -> S::f32s {
        let zero = simd.splat_f32s(0.0);
        simd.select_f32s(simd.less_than_or_equal_f32s(v, zero), zero, gradient)
    }
}

impl Curve for HardSwish {
    #[inline(always)]
    fn value<S: Simd>(simd: S, v: S::f32s) -> S::f32s {
        let (zero, one) = (simd.splat_f32s(0.0), simd.splat_f32s(1.0));
        let gate = simd.mul_add_e_f32s(v, simd.splat_f32s(1.0 / 6.0), simd.splat_f32s(0.5));
        let gate = simd.select_f32s(simd.less_than_f32s(gate, zero), zero, gate);
        let gate = simd.select_f32s(simd.greater_than_f32s(gate, one), one, gate);
        simd.mul_f32s(v, gate)
    }

    #[inline(always)]
    fn pull_back<S: Simd>(simd: S, v: S::f32s, gradient: S::f32s) -> S::f32s {
        let (zero, one) = (simd.splat_f32s(0.0), simd.splat_f32s(1.0));
        let slope = simd.mul_add_e_f32s(v, simd.splat_f32s(1.0 / 3.0), simd.splat_f32s(0.5));
        let below = simd.less_than_or_equal_f32s(v, simd.splat_f32s(-3.0));
        let above = simd.greater_than_or_equal_f32s(v, simd.splat_f32s(3.0));
        let slope = simd.select_f32s(below, zero, slope);
        let slope = simd.select_f32s(above, one, slope);
        simd.mul_f32s(gradient, slope)
    }
}

impl Activation {
    /// Runs `kernel` with the best instruction set of this machine and this activation.
    pub(crate) fn dispatch<K: Kernel>(self, arch: Arch, kernel: K) -> K::Output {
        struct Bound<K, C>(K, PhantomData<C>);

        impl<K: Kernel, C: Curve> WithSimd for Bound<K, C> {
            type Output = K::Output;

            #[inline(always)]
            fn with_simd<S: Simd>(self, simd: S) -> K::Output {
                self.0.run::<S, C>(simd)
            }
        }

        match self {
            Self::Identity => arch.dispatch(Bound::<K, Identity>(kernel, PhantomData)),
            Self::Relu => arch.dispatch(Bound::<K, Relu>(kernel, PhantomData)),
            Self::HardSwish => arch.dispatch(Bound::<K, HardSwish>(kernel, PhantomData)),
        }
    }
}

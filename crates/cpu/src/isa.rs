//! Which instruction set the kernels use, decided at run time.

use crate::simd::portable::Portable;
use crate::simd::{Kernel, Simd};
use std::fmt;
use std::str::FromStr;

/// An instruction set that kernels are compiled for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum IsaName {
    /// AVX-512F (x86-64).
    Avx512,
    /// AVX2 with FMA and F16C (x86-64).
    Avx2,
    /// What the compiler's baseline target has.
    Portable,
}

impl IsaName {
    /// Every instruction set, best first.
    pub const ALL: [Self; 3] = [Self::Avx512, Self::Avx2, Self::Portable];
}

impl fmt::Display for IsaName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Avx512 => "avx512",
            Self::Avx2 => "avx2",
            Self::Portable => "portable",
        })
    }
}

impl FromStr for IsaName {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        let known = || Self::ALL.map(|isa| isa.to_string()).join(", ");
        Self::ALL
            .into_iter()
            .find(|isa| isa.to_string() == name)
            .ok_or_else(|| format!("instruction set `{name}` is none of {}", known()))
    }
}

/// An instruction set that this CPU has been seen to have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Isa(IsaName);

impl Isa {
    /// `name`, if this CPU has it.
    pub(crate) fn detect(name: IsaName) -> Option<Self> {
        let present = match name {
            #[cfg(target_arch = "x86_64")]
            IsaName::Avx512 => is_x86_feature_detected!("avx512f") && is_x86_feature_detected!("fma"),
            #[cfg(target_arch = "x86_64")]
            IsaName::Avx2 => {
                is_x86_feature_detected!("avx2")
                    && is_x86_feature_detected!("fma")
                    && is_x86_feature_detected!("f16c")
            }
            #[cfg(not(target_arch = "x86_64"))]
            IsaName::Avx512 | IsaName::Avx2 => false,
            IsaName::Portable => true,
        };
        present.then_some(Self(name))
    }

    /// What this CPU has, best first.
    pub(crate) fn supported() -> impl Iterator<Item = Self> {
        IsaName::ALL.into_iter().filter_map(Self::detect)
    }

    /// The best that this CPU has.
    pub(crate) fn best() -> Self {
        Self::supported().next().unwrap_or(Self(IsaName::Portable))
    }

    /// Its name.
    pub(crate) fn name(self) -> IsaName {
        self.0
    }

    /// Elements of a vector.
    pub(crate) fn lanes(self) -> usize {
        self.run(CountLanes)
    }

    /// Vector registers.
    pub(crate) fn registers(self) -> usize {
        match self.0 {
            IsaName::Avx512 => 32,
            IsaName::Avx2 | IsaName::Portable => 16,
        }
    }

    /// Runs a kernel in a function compiled for this instruction set.
    #[inline]
    pub(crate) fn run<K: Kernel>(self, kernel: K) -> K::Output {
        match self.0 {
            // SAFETY: `detect` is the only way to make an `Isa`, and it has seen the instructions.
            #[cfg(target_arch = "x86_64")]
            IsaName::Avx512 => unsafe { run_avx512(kernel) },
            // SAFETY: as above.
            #[cfg(target_arch = "x86_64")]
            IsaName::Avx2 => unsafe { run_avx2(kernel) },
            #[cfg(not(target_arch = "x86_64"))]
            IsaName::Avx512 | IsaName::Avx2 => run_portable(kernel),
            IsaName::Portable => run_portable(kernel),
        }
    }
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f,avx2,fma,f16c")]
fn run_avx512<K: Kernel>(kernel: K) -> K::Output {
    // SAFETY: this function is compiled for AVX-512F, and runs only where there is one.
    kernel.run(unsafe { crate::simd::avx512::Avx512::new() })
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma,f16c")]
fn run_avx2<K: Kernel>(kernel: K) -> K::Output {
    // SAFETY: this function is compiled for AVX2, FMA and F16C, and runs only where they are.
    kernel.run(unsafe { crate::simd::avx2::Avx2::new() })
}

#[inline(never)]
fn run_portable<K: Kernel>(kernel: K) -> K::Output {
    kernel.run(Portable)
}

struct CountLanes;

impl Kernel for CountLanes {
    type Output = usize;

    #[inline(always)]
    fn run<S: Simd>(self, _simd: S) -> usize {
        S::LANES
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_round_trip() {
        for name in IsaName::ALL {
            assert_eq!(name.to_string().parse(), Ok(name));
        }
        assert!("sse9".parse::<IsaName>().is_err());
    }

    #[test]
    fn portable_is_always_there() {
        assert_eq!(Isa::supported().last().map(Isa::name), Some(IsaName::Portable));
    }
}

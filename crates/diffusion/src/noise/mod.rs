//! Random numbers with a normal distribution, as PyTorch draws them, so that a seed means the picture it always meant.

mod brownian;
mod image;
mod mersenne;
mod philox;
mod seed_sequence;
mod single;

pub use brownian::BrownianTree;
pub use image::ImageNoise;
pub use mersenne::MersenneTwister;
pub use philox::Philox;

use impasto_domain::NoiseSource;

/// One of the generators, at some place in its stream.
#[derive(Debug, Clone)]
pub(crate) enum Generator {
    Philox(Philox),
    MersenneTwister(Box<MersenneTwister>),
}

impl Generator {
    /// The generator that `source` means, freshly seeded.
    pub(crate) fn new(source: NoiseSource, seed: u64) -> Self {
        match source {
            NoiseSource::Gpu | NoiseSource::Nv => Self::Philox(Philox::new(seed)),
            NoiseSource::Cpu => Self::MersenneTwister(Box::new(MersenneTwister::new(seed))),
        }
    }

    /// The next `count` values: one call of `torch.randn`.
    pub(crate) fn normals(&mut self, count: usize) -> Vec<f32> {
        match self {
            Self::Philox(philox) => philox.normals(count),
            Self::MersenneTwister(twister) => twister.normals(count),
        }
    }

    /// Goes past `calls` calls for `count` values.
    pub(crate) fn skip(&mut self, calls: u32, count: usize) {
        match self {
            Self::Philox(philox) => philox.skip(calls),
            Self::MersenneTwister(twister) => (0..calls).for_each(|_| twister.skip(count)),
        }
    }
}

//! How fast the machine is just now: a loop of multiply-adds that touches registers only.
//!
//! Other tenants of a machine change its speed within seconds, so a measured time means little unless it is set beside
//! the time of this loop, run right before and after.

use crate::isa::Isa;
use crate::pool::ThreadPool;
use crate::simd::{Kernel, Simd};
use impasto_tensor::TensorError;
use std::hint::black_box;

/// Turns of the loop: some milliseconds.
const TURNS: usize = 200_000;
/// Independent chains, enough to hide the latency of a multiply-add.
const CHAINS: usize = 12;

/// Runs the loop on every thread; gives its floating point operations.
pub(crate) fn run(isa: Isa, threads: &ThreadPool) -> Result<f64, TensorError> {
    let count = threads.threads();
    threads.run(count, &|_, _| isa.run(Chains))?;
    Ok((count * TURNS * CHAINS * isa.lanes() * 2) as f64)
}

struct Chains;

impl Kernel for Chains {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let mut sums = [s.splat(0.5); CHAINS];
        let factor = s.splat(black_box(0.999));
        for _ in 0..TURNS {
            for sum in &mut sums {
                *sum = s.fma(*sum, factor, factor);
            }
        }
        for sum in sums {
            black_box(s.sum(sum));
        }
    }
}

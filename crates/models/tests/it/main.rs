//! The models against goldens from PyTorch, and against themselves, on each backend.

#![expect(clippy::unwrap_used, reason = "helpers of tests are tests")]

/// Makes a test for each backend of each function that takes one.
macro_rules! on_each_backend {
    ($($test:ident),* $(,)?) => {
        mod reference {
            $(#[test]
            fn $test() {
                super::$test(std::sync::Arc::new(impasto_tensor::reference::ReferenceBackend::new()));
            })*
        }
        mod cpu {
            $(#[test]
            fn $test() {
                let options = impasto_cpu::CpuOptions::default();
                super::$test(std::sync::Arc::new(impasto_cpu::CpuBackend::new(options).unwrap()));
            })*
        }
    };
}

mod adapters;
mod blocks;
mod esrgan;
mod hypernetworks;
mod networks;
mod small;
mod tokenizer;
mod xl;

/// Largest relative distance of a block from PyTorch's in single precision.
const TOLERANCE: f64 = 1e-4;

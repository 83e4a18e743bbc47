//! The CPU backend: packed kernels behind run-time ISA dispatch.

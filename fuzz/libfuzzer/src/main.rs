//! Hands one target to libFuzzer: `IMPASTO_TARGET=pickle fuzz/libfuzzer/run corpus`. See fuzz/README.md.

#![no_main]

use impasto_fuzz::{TARGETS, Target};
use std::sync::LazyLock;

static TARGET: LazyLock<&Target> = LazyLock::new(|| {
    let name = std::env::var("IMPASTO_TARGET").unwrap_or_default();
    let names = || TARGETS.iter().map(|target| target.name).collect::<Vec<_>>().join(", ");
    TARGETS.iter().find(|target| target.name == name).unwrap_or_else(|| panic!("IMPASTO_TARGET is one of {}", names()))
});

libfuzzer_sys::fuzz_target!(|data: &[u8]| (TARGET.run)(data));

//! The program as users run it: its arguments, its output, its files, its exit codes.

#![expect(clippy::unwrap_used, reason = "helpers of tests fail as tests do")]

mod bench;
mod doctor;
mod examples;
mod import;
mod models;
mod parity;
mod program;
mod real_upscalers;
mod serve;
mod txt2img;
mod upscale;
mod usage;

//! Against what PyTorch and k-diffusion compute, and whole trajectories.
#![expect(clippy::unwrap_used, reason = "a helper that fails is a test that fails")]

mod fake;
mod flow_parity;
mod flows;
mod noise;
mod pictures;
mod samplers;
mod shortcuts;
mod tiny;
mod trajectory;

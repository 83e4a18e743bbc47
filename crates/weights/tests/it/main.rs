//! The crate from outside: whole files in, tensors, configurations and errors out.

#![expect(clippy::unwrap_used, reason = "a test may fail anywhere, helpers included")]

mod adapters;
mod autoencoder;
mod checkpoints;
mod config;
mod files;
mod hostile;
mod random;
mod torch;
mod upscaler;
mod xl;

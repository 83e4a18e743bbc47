//! The engine from outside: jobs of a kilobyte-sized model on the reference backend.

#![expect(clippy::unwrap_used, reason = "a test that cannot be set up has failed")]

mod adapters;
mod autoencoders;
mod flows;
mod jobs;
mod pixels;
mod setup;
mod upscale;

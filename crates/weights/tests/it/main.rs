//! The crate from outside: whole files in, tensors, configurations and errors out.

mod config;
mod files;

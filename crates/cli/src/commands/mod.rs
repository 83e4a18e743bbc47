//! One file a command.

pub(crate) mod doctor;
pub(crate) mod models;
pub(crate) mod openapi;
pub(crate) mod parity;
pub(crate) mod serve;
pub(crate) mod txt2img;

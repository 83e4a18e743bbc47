//! One file a command.

pub(crate) mod bench;
pub(crate) mod doctor;
pub(crate) mod import;
pub(crate) mod models;
pub(crate) mod openapi;
pub(crate) mod prebuild;
pub(crate) mod serve;
pub(crate) mod txt2img;
pub(crate) mod upscale;

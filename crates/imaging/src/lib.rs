//! Pictures: as files with the infotext inside, and every operation on their pixels that making them needs.
//!
//! * files: [`decode`], [`read_metadata`], [`encode`], [`encode_picture`], base64;
//! * pixels: [`Picture`] and its scaling, cropping, pasting, blending;
//! * inpainting: masks, their blur, regions, filling, overlays;
//! * A1111's ways to fit, tile, arrange and correct pictures, and the legends of grids.
//!
//! What is read here comes from outside: sizes are checked before memory is taken, and text is only unpacked up to a bound.
//! It does not know what an infotext means, and runs no model. Formulas are those of Pillow 9.5, OpenCV 4 and PyTorch, bit for
//! bit where they are in integers.

mod base64;
mod blur;
mod color;
mod comment;
mod composite;
mod correction;
mod decode;
mod encode;
mod error;
mod exif;
mod fill;
mod fit;
mod grid;
mod hidden;
mod kernel;
mod lab;
mod legend;
mod mask;
mod metadata;
mod picture;
mod planes;
mod resize;
mod text;
mod tiles;
mod upscale;

pub use base64::{decode_base64, encode_base64};
pub use blur::blur_mask;
pub use color::parse_color;
pub use composite::{alpha_composite, apply_overlay, uncrop};
pub use correction::ColorCorrection;
pub use decode::decode;
pub use encode::{Format, Pixels, encode, encode_picture};
pub use error::ImagingError;
pub use fill::{fill_masked, gaussian_blur_mask};
pub use fit::{Fit, ResizeMode, fit, fit_upscaled};
pub use grid::{GridRows, grid};
pub use hidden::hidden_data;
pub use kernel::Filter;
pub use legend::{Label, Legend};
pub use mask::{binary_mask, crop_region, cut_out, expand_region, latent_mask, overlay_mask};
pub use metadata::{Metadata, NovelAi, read_metadata};
pub use picture::{MOST_PIXELS, Mask, Picture, Region, Rgb, Rgba};
pub use planes::{PlaneFilter, resize_planes};
pub use text::Lettering;
pub use tiles::Tiles;
pub use upscale::{upscale, upscaled_size};

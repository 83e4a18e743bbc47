//! Upscalers of the ESRGAN family: which network a file has, told by its tensors' names and shapes.
//!
//! Two networks are known: RRDB, of ESRGAN (Wang et al. 2018) and Real-ESRGAN (Wang et al. 2021), and the compact one of
//! Real-ESRGAN, `SRVGGNetCompact`. Their tensors have the names of Real-ESRGAN's code here, whichever of the spellings in use the
//! file has (`names`). A configuration is given only if every tensor of it is there and there is no other.

pub(crate) mod names;
pub(crate) mod ncnn;

use crate::detect::{Problem, Shapes, check_layout};
use crate::entry::Entries;
use std::fmt;

/// Convolutions of a dense block.
pub(crate) const DENSE_CONVOLUTIONS: usize = 5;
/// Dense blocks of a residual block.
pub(crate) const DENSE_BLOCKS: usize = 3;
/// The largest enlargement believed.
const MAX_SCALE: usize = 16;
/// The most channels of a picture believed.
const MAX_CHANNELS: usize = 4;

/// An upscaler's network.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UpscalerConfig {
    /// Residual blocks of residual dense blocks (Wang et al. 2018, ESRGAN).
    Rrdb(RrdbConfig),
    /// Convolutions in a row, at the size of the picture (Real-ESRGAN's `SRVGGNetCompact`).
    Compact(CompactConfig),
}

/// Sizes of an RRDB network.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RrdbConfig {
    /// Channels of the picture, coming and going: 3, 1 for luminance, or 4.
    pub channels: usize,
    /// Channels of the trunk, 64.
    pub features: usize,
    /// Channels that each convolution of a dense block adds, 32.
    pub growth: usize,
    /// Residual blocks, 23 or 6.
    pub blocks: usize,
    /// Doublings at the end.
    pub doublings: usize,
    /// Edge of the squares of pixels that become channels at the start: 1 where that is not done.
    pub unshuffle: usize,
}

/// Sizes of a compact network.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CompactConfig {
    /// Channels of the picture, coming and going: 3, 1 for luminance, or 4.
    pub channels: usize,
    /// Channels between the convolutions, 64.
    pub features: usize,
    /// Convolutions, each with a `PReLU`, before the last.
    pub layers: usize,
    /// Pixels across and down that a pixel becomes.
    pub scale: usize,
}

impl UpscalerConfig {
    /// Pixels across and down that a pixel becomes.
    pub fn scale(&self) -> usize {
        match self {
            Self::Rrdb(config) => (1 << config.doublings) / config.unshuffle.max(1),
            Self::Compact(config) => config.scale,
        }
    }

    /// Channels of the picture.
    pub fn channels(&self) -> usize {
        match self {
            Self::Rrdb(RrdbConfig { channels, .. }) | Self::Compact(CompactConfig { channels, .. }) => {
                *channels
            }
        }
    }

    /// Channels of the widest pictures between the layers.
    pub fn features(&self) -> usize {
        match self {
            Self::Rrdb(config) => config.features,
            Self::Compact(config) => config.features,
        }
    }
}

impl fmt::Display for UpscalerConfig {
    /// `4x, RRDB of 23 blocks`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}x, ", self.scale())?;
        match self {
            Self::Rrdb(config) => write!(f, "RRDB of {} blocks", config.blocks),
            Self::Compact(config) => write!(f, "compact network of {} layers", config.layers + 1),
        }
    }
}

/// The configuration of an upscaler.
pub(crate) fn detect(entries: &Entries) -> Result<UpscalerConfig, Problem> {
    let shapes = Shapes { entries };
    let config = if entries.contains_key("body.0.weight") {
        UpscalerConfig::Compact(compact(&shapes)?)
    } else {
        UpscalerConfig::Rrdb(rrdb(&shapes)?)
    };
    if !(1..=MAX_CHANNELS).contains(&config.channels()) || config.channels() == 2 {
        return Err(format!("pictures of {} channels; 1, 3 and 4 are known", config.channels()));
    }
    if !(1..=MAX_SCALE).contains(&config.scale()) {
        return Err(format!("an enlargement by {}; 1 to {MAX_SCALE} are known", config.scale()));
    }
    check_layout(entries, layout(&config), |_| true)?;
    Ok(config)
}

fn rrdb(shapes: &Shapes<'_>) -> Result<RrdbConfig, Problem> {
    let [features, inputs, ..] = shapes.sizes::<4>("conv_first.weight")?;
    let [growth, ..] = shapes.sizes::<4>("body.0.rdb1.conv1.weight")?;
    let [channels, ..] = shapes.sizes::<4>("conv_last.weight")?;
    let doublings = shapes.count(|number| up(number + 1) + ".weight");
    let unshuffle = [1, 2, 4].into_iter().find(|edge| edge * edge * channels == inputs).ok_or_else(|| {
        format!("{inputs} input channels are not the {channels} of the output, once, 4 or 16 times")
    })?;
    if doublings > 4 || unshuffle > 1 << doublings {
        return Err(format!("{doublings} doublings after squares of {unshuffle} pixels became channels"));
    }
    let blocks = shapes.count(|block| format!("body.{block}.rdb1.conv1.weight"));
    Ok(RrdbConfig { channels, features, growth, blocks, doublings, unshuffle })
}

fn compact(shapes: &Shapes<'_>) -> Result<CompactConfig, Problem> {
    let [features, channels, ..] = shapes.sizes::<4>("body.0.weight")?;
    let layers = shapes.count(|layer| format!("body.{}.weight", 2 * layer + 1));
    if layers == 0 {
        return Err("`body.1.weight`, the slopes of a PReLU, is missing; compact networks of other activations are not known".to_owned());
    }
    let last = format!("body.{}.weight", 2 * layers);
    let [outputs, ..] = shapes.sizes::<4>(&last)?;
    let scale = (1..=MAX_SCALE).find(|scale| channels.saturating_mul(scale * scale) == outputs);
    let scale = scale.ok_or_else(|| {
        format!(
            "`{last}` has {outputs} output channels, which are no squares of pixels of {channels} channels"
        )
    })?;
    Ok(CompactConfig { channels, features, layers, scale })
}

/// The name of a convolution after a doubling, counted from 1.
fn up(number: usize) -> String {
    format!("conv_up{number}")
}

/// Every tensor of a network.
fn layout(config: &UpscalerConfig) -> Vec<(String, Vec<usize>)> {
    let mut tensors = Vec::new();
    let mut conv = |name: String, inputs: usize, outputs: usize| {
        tensors.push((format!("{name}.weight"), vec![outputs, inputs, 3, 3]));
        tensors.push((format!("{name}.bias"), vec![outputs]));
    };
    match *config {
        UpscalerConfig::Rrdb(RrdbConfig { channels, features, growth, blocks, doublings, unshuffle }) => {
            conv("conv_first".to_owned(), channels * unshuffle * unshuffle, features);
            for name in dense_blocks(blocks) {
                for number in 0..DENSE_CONVOLUTIONS {
                    let outputs = if number + 1 < DENSE_CONVOLUTIONS { growth } else { features };
                    conv(format!("{name}.conv{}", number + 1), features + number * growth, outputs);
                }
            }
            let ups = (1..=doublings).map(up);
            for name in ["conv_body".to_owned()].into_iter().chain(ups).chain(["conv_hr".to_owned()]) {
                conv(name, features, features);
            }
            conv("conv_last".to_owned(), features, channels);
        }
        UpscalerConfig::Compact(CompactConfig { channels, features, layers, scale }) => {
            conv("body.0".to_owned(), channels, features);
            for layer in 1..layers {
                conv(format!("body.{}", 2 * layer), features, features);
            }
            conv(format!("body.{}", 2 * layers), features, channels * scale * scale);
            tensors
                .extend((0..layers).map(|layer| (format!("body.{}.weight", 2 * layer + 1), vec![features])));
        }
    }
    tensors
}

/// The places of all dense blocks of an RRDB network.
fn dense_blocks(blocks: usize) -> impl Iterator<Item = String> {
    (0..blocks).flat_map(|block| (1..=DENSE_BLOCKS).map(move |dense| format!("body.{block}.rdb{dense}")))
}

/// The names of an RRDB network's convolutions, in the order in which they compute, for two doublings.
pub(crate) fn rrdb_convolutions(blocks: usize) -> Vec<String> {
    let dense = dense_blocks(blocks)
        .flat_map(|name| (1..=DENSE_CONVOLUTIONS).map(move |number| format!("{name}.conv{number}")));
    let end = ["conv_body", "conv_up1", "conv_up2", "conv_hr", "conv_last"].map(str::to_owned);
    ["conv_first".to_owned()].into_iter().chain(dense).chain(end).collect()
}

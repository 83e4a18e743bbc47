//! The sizes at which kernels are timed: every operation of a whole network pass, written down as the networks' module
//! tree (Rombach et al. 2022; Podell et al. 2023) and counted.
//!
//! What is fused with a product is left out, since it costs next to nothing beside it, and a 1x1 convolution is a linear
//! layer, as it is in the networks.

use super::Operation;
use super::cases::{HALVE, HALVE_LATE, SAME, attention, causal, conv2d, group_norm, linear};
use crate::Activation::{self, Identity, Silu};

/// The networks whose sizes are timed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TimedNetworks {
    /// Stable Diffusion 1.5 at 512 x 512: text encoder, UNet and autoencoder.
    StableDiffusion15,
    /// Stable Diffusion XL at 1024 x 1024: UNet and autoencoder.
    StableDiffusionXl,
}

/// An operation of a network, and how often one pass of one batch row runs it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct TimingCase {
    /// The network: `text`, `unet`, `decoder` or `encoder`.
    pub network: &'static str,
    /// What is timed.
    pub operation: Operation,
    /// Calls of a pass.
    pub calls: usize,
}

/// Every operation of the networks, in the order in which they come, each once.
pub fn timing_cases(networks: TimedNetworks) -> Vec<TimingCase> {
    let mut pass = Pass::default();
    match networks {
        TimedNetworks::StableDiffusion15 => {
            pass.text();
            pass.unet(&STABLE_DIFFUSION_1_5);
            pass.decoder(64);
            pass.encoder(64);
        }
        TimedNetworks::StableDiffusionXl => {
            pass.unet(&STABLE_DIFFUSION_XL);
            pass.decoder(128);
            pass.encoder(128);
        }
    }
    pass.cases
}

/// What one UNet has other than the next.
struct UNet {
    /// Edge of the latent.
    size: usize,
    /// Channels and transformer blocks of each resolution.
    levels: &'static [(usize, usize)],
    middle_depth: usize,
    context_features: usize,
    /// Heads of a transformer, by its channels.
    heads: fn(usize) -> usize,
    /// Features of size and pooled text beside the time, if any.
    label_features: Option<usize>,
}

const STABLE_DIFFUSION_1_5: UNet = UNet {
    size: 64,
    levels: &[(320, 1), (640, 1), (1280, 1), (1280, 0)],
    middle_depth: 1,
    context_features: 768,
    heads: |_| 8,
    label_features: None,
};

const STABLE_DIFFUSION_XL: UNet = UNet {
    size: 128,
    levels: &[(320, 0), (640, 2), (1280, 10)],
    middle_depth: 10,
    context_features: 2048,
    heads: |channels| channels / 64,
    label_features: Some(2816),
};

const TEXT_TOKENS: usize = 77;
const TIME_FEATURES: usize = 1280;
const GROUPS: usize = 32;
const RES_BLOCKS: usize = 2;
/// Channels of the autoencoder, from the coarsest level to the finest.
const AUTOENCODER: [usize; 4] = [512, 512, 256, 128];

/// Widths of what a UNet's way up joins.
static JOINED: [[usize; 2]; 5] = [[1280, 1280], [1280, 640], [640, 640], [640, 320], [320, 320]];

/// The operations of a pass so far.
#[derive(Default)]
struct Pass {
    network: &'static str,
    cases: Vec<TimingCase>,
}

impl Pass {
    fn add(&mut self, operation: Operation) {
        let network = self.network;
        match self.cases.iter_mut().find(|case| case.network == network && case.operation == operation) {
            Some(case) => case.calls += 1,
            None => self.cases.push(TimingCase { network, operation, calls: 1 }),
        }
    }

    fn conv3x3(&mut self, size: usize, from: usize, to: usize) {
        self.add(conv2d([size; 2], from, to, [3, 3], SAME));
    }

    fn norm(&mut self, pixels: usize, features: usize, activation: Activation) {
        self.add(group_norm(pixels, features, GROUPS, activation));
    }

    fn text(&mut self) {
        self.network = "text";
        let (width, hidden, layers) = (768, 3072, 12);
        self.add(Operation::Embedding { tokens: TEXT_TOKENS, rows: 49408, features: width });
        self.add(Operation::Embedding { tokens: TEXT_TOKENS, rows: TEXT_TOKENS, features: width });
        self.add(Operation::Add { elements: TEXT_TOKENS * width });
        for _ in 0..layers {
            for _ in 0..4 {
                self.add(linear(TEXT_TOKENS, width, width));
            }
            self.add(causal(TEXT_TOKENS, 12, 64));
            self.add(linear(TEXT_TOKENS, width, hidden));
            self.add(linear(TEXT_TOKENS, hidden, width));
        }
        for _ in 0..=2 * layers {
            self.add(Operation::LayerNorm { tokens: TEXT_TOKENS, features: width });
        }
    }

    fn unet(&mut self, unet: &UNet) {
        self.network = "unet";
        let first = unet.levels[0].0;
        self.add(Operation::TimestepEmbedding { features: first });
        self.add(linear(1, first, TIME_FEATURES));
        self.add(linear(1, TIME_FEATURES, TIME_FEATURES));
        if let Some(features) = unet.label_features {
            self.add(linear(1, features, TIME_FEATURES));
            self.add(linear(1, TIME_FEATURES, TIME_FEATURES));
        }
        let mut size = unet.size;
        self.conv3x3(size, 4, first);
        let mut skips = vec![first];
        let mut channels = first;
        let last = unet.levels.len() - 1;
        for (number, &(to, depth)) in unet.levels.iter().enumerate() {
            for _ in 0..RES_BLOCKS {
                self.stage(unet, size, [channels, to], depth);
                channels = to;
                skips.push(to);
            }
            if number < last {
                self.add(conv2d([size; 2], to, to, [3, 3], HALVE));
                size /= 2;
                skips.push(to);
            }
        }
        self.stage(unet, size, [channels; 2], unet.middle_depth);
        self.res_block(size, channels, channels, true);
        for (number, &(to, depth)) in unet.levels.iter().enumerate().rev() {
            for _ in 0..=RES_BLOCKS {
                let skip = skips.pop().unwrap_or_default();
                if let Some(widths) = JOINED.iter().find(|widths| **widths == [channels, skip]) {
                    self.add(Operation::Concat { tokens: size * size, widths });
                }
                self.stage(unet, size, [channels + skip, to], depth);
                channels = to;
            }
            if number > 0 {
                size = self.enlarge(size, to);
            }
        }
        self.norm(size * size, first, Silu);
        self.conv3x3(size, first, 4);
    }

    /// A residual block and a transformer.
    fn stage(&mut self, unet: &UNet, size: usize, [from, to]: [usize; 2], depth: usize) {
        self.res_block(size, from, to, true);
        if depth == 0 {
            return;
        }
        let (tokens, heads) = (size * size, (unet.heads)(to));
        self.norm(tokens, to, Identity);
        self.add(linear(tokens, to, to));
        for _ in 0..depth {
            for (keys, key_features) in [(tokens, to), (TEXT_TOKENS, unet.context_features)] {
                self.add(Operation::LayerNorm { tokens, features: to });
                self.add(linear(tokens, to, to));
                self.add(linear(keys, key_features, to));
                self.add(linear(keys, key_features, to));
                self.add(attention(tokens, keys, heads, to / heads));
                self.add(linear(tokens, to, to));
            }
            self.add(Operation::LayerNorm { tokens, features: to });
            self.add(linear(tokens, to, 8 * to));
            self.add(Operation::Geglu { tokens, features: 4 * to });
            self.add(linear(tokens, 4 * to, to));
        }
        self.add(linear(tokens, to, to));
    }

    fn res_block(&mut self, size: usize, from: usize, to: usize, timed: bool) {
        let pixels = size * size;
        self.norm(pixels, from, Silu);
        if timed {
            self.add(linear(1, TIME_FEATURES, to));
        }
        self.conv3x3(size, from, to);
        self.norm(pixels, to, Silu);
        if from != to {
            self.add(linear(pixels, from, to));
        }
        self.conv3x3(size, to, to);
    }

    /// Doubles a picture; gives its new edge.
    fn enlarge(&mut self, size: usize, channels: usize) -> usize {
        self.add(Operation::Resample { size: [size; 2], channels, factor: 2 });
        self.conv3x3(2 * size, channels, channels);
        2 * size
    }

    /// The decoder of the autoencoder, the same in both, for a latent of this edge.
    fn decoder(&mut self, latent: usize) {
        self.network = "decoder";
        let mut size = latent;
        let mut channels = AUTOENCODER[0];
        self.add(Operation::Scale { elements: 4 * size * size });
        self.add(linear(size * size, 4, 4));
        self.conv3x3(size, 4, channels);
        self.autoencoder_middle(size, channels);
        for (number, &to) in AUTOENCODER.iter().enumerate() {
            for _ in 0..=RES_BLOCKS {
                self.res_block(size, channels, to, false);
                channels = to;
            }
            if number + 1 < AUTOENCODER.len() {
                size = self.enlarge(size, to);
            }
        }
        self.norm(size * size, channels, Silu);
        self.conv3x3(size, channels, 3);
    }

    /// The encoder of the autoencoder, to a latent of this edge.
    fn encoder(&mut self, latent: usize) {
        self.network = "encoder";
        let mut size = 8 * latent;
        let mut channels = AUTOENCODER[3];
        self.conv3x3(size, 3, channels);
        for (number, &to) in AUTOENCODER.iter().rev().enumerate() {
            for _ in 0..RES_BLOCKS {
                self.res_block(size, channels, to, false);
                channels = to;
            }
            if number + 1 < AUTOENCODER.len() {
                self.add(conv2d([size; 2], to, to, [3, 3], HALVE_LATE));
                size /= 2;
            }
        }
        self.autoencoder_middle(size, channels);
        self.norm(size * size, channels, Silu);
        self.conv3x3(size, channels, 8);
        self.add(linear(size * size, 8, 8));
        self.add(Operation::Columns { tokens: size * size, features: 8, range: [0, 4] });
        self.add(Operation::Scale { elements: 4 * size * size });
    }

    fn autoencoder_middle(&mut self, size: usize, channels: usize) {
        let pixels = size * size;
        self.res_block(size, channels, channels, false);
        self.norm(pixels, channels, Identity);
        for _ in 0..4 {
            self.add(linear(pixels, channels, channels));
        }
        self.add(attention(pixels, pixels, 1, channels));
        self.res_block(size, channels, channels, false);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sum(networks: TimedNetworks, network: &str) -> f64 {
        let cases = timing_cases(networks).into_iter().filter(|case| case.network == network);
        cases.map(|case| case.calls as f64 * case.operation.flops()).sum::<f64>() / 1e9
    }

    /// Against counts that `torch.utils.flop_counter` gives for diffusers' and transformers' networks.
    #[test]
    fn a_pass_has_the_work_of_the_network() {
        use TimedNetworks::{StableDiffusion15, StableDiffusionXl};
        for (networks, network, wanted) in [
            (StableDiffusion15, "text", 13.3),
            (StableDiffusion15, "unet", 803.3),
            (StableDiffusion15, "decoder", 2514.0),
            (StableDiffusion15, "encoder", 1117.0),
            (StableDiffusionXl, "unet", 6761.0),
            (StableDiffusionXl, "decoder", 10470.0),
        ] {
            let found = sum(networks, network);
            assert!((found / wanted - 1.0).abs() < 0.005, "{networks:?} {network}: {found} and {wanted}");
        }
    }

    #[test]
    fn nothing_is_left_out_where_two_pictures_are_joined() {
        for (networks, wanted) in
            [(TimedNetworks::StableDiffusion15, 12), (TimedNetworks::StableDiffusionXl, 9)]
        {
            let cases = timing_cases(networks);
            let joined = cases.iter().filter(|case| matches!(case.operation, Operation::Concat { .. }));
            assert_eq!(joined.map(|case| case.calls).sum::<usize>(), wanted, "{networks:?}");
        }
    }
}

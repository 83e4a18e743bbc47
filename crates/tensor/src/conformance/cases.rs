//! The table of sizes: those of the networks, and odd ones that fill no block of any kernel.

use super::Operation;
use crate::{Activation, Conv2dConfig, Curve, PaddingMode};
use Activation::{Gelu, Identity, LeakyRelu, QuickGelu, Silu};

pub(super) const SAME: Conv2dConfig = Conv2dConfig::padded(1);
const NONE: Conv2dConfig = Conv2dConfig::padded(0);
pub(super) const HALVE: Conv2dConfig = Conv2dConfig { stride: 2, padding: [1; 4] };
/// How the autoencoder halves a picture.
pub(super) const HALVE_LATE: Conv2dConfig = Conv2dConfig { stride: 2, padding: [0, 1, 0, 1] };
const LOPSIDED: Conv2dConfig = Conv2dConfig { stride: 3, padding: [2, 0, 1, 3] };

pub(super) const fn linear(tokens: usize, inputs: usize, outputs: usize) -> Operation {
    Operation::Linear { tokens, inputs, outputs, bias: true, activation: Identity, residual: false }
}

const fn fused_linear(tokens: usize, inputs: usize, outputs: usize, activation: Activation) -> Operation {
    Operation::Linear { tokens, inputs, outputs, bias: false, activation, residual: true }
}

const fn adapted(sizes: [usize; 3], ranks: &'static [usize], activation: Activation) -> Operation {
    let [tokens, inputs, outputs] = sizes;
    let residual = !matches!(activation, QuickGelu);
    Operation::AdaptedLinear { tokens, inputs, outputs, ranks, activation, residual }
}

pub(super) const fn conv2d(
    size: [usize; 2],
    inputs: usize,
    outputs: usize,
    kernel: [usize; 2],
    config: Conv2dConfig,
) -> Operation {
    let (mode, activation) = (PaddingMode::Zeros, Identity);
    Operation::Conv2d {
        size,
        inputs,
        outputs,
        kernel,
        config,
        mode,
        row_bias: false,
        activation,
        slopes: false,
        residual: false,
    }
}

const fn fused_conv2d(size: [usize; 2], inputs: usize, outputs: usize, mode: PaddingMode) -> Operation {
    let (kernel, config, activation) = ([3, 3], SAME, Silu);
    Operation::Conv2d {
        size,
        inputs,
        outputs,
        kernel,
        config,
        mode,
        row_bias: true,
        activation,
        slopes: false,
        residual: true,
    }
}

/// A convolution followed by a leaky `ReLU`, or by a `PReLU` and a residual.
const fn leaky_conv2d(size: [usize; 2], inputs: usize, outputs: usize, slopes: bool) -> Operation {
    let (kernel, config, mode) = ([3, 3], SAME, PaddingMode::Zeros);
    let activation = if slopes { Identity } else { LeakyRelu };
    Operation::Conv2d {
        size,
        inputs,
        outputs,
        kernel,
        config,
        mode,
        row_bias: false,
        activation,
        slopes,
        residual: slopes,
    }
}

pub(super) const fn group_norm(
    pixels: usize,
    features: usize,
    groups: usize,
    activation: Activation,
) -> Operation {
    Operation::GroupNorm { pixels, features, groups, activation }
}

pub(super) const fn attention(queries: usize, keys: usize, heads: usize, head_size: usize) -> Operation {
    Operation::Attention { queries, keys, heads, head_size, causal: false, key_lengths: None }
}

pub(super) const fn causal(tokens: usize, heads: usize, head_size: usize) -> Operation {
    let (queries, keys) = (tokens, tokens);
    Operation::Attention { queries, keys, heads, head_size, causal: true, key_lengths: None }
}

const fn ragged(queries: usize, heads: usize, head_size: usize, lengths: &'static [usize]) -> Operation {
    Operation::Attention { queries, keys: 231, heads, head_size, causal: false, key_lengths: Some(lengths) }
}

/// Every operation at the sizes that a backend must get right.
pub fn conformance_cases() -> Vec<Operation> {
    use Operation::{
        Activate, Add, Columns, Concat, Embedding, GatherMean, Geglu, LayerNorm, PixelShuffle, Resample,
        RotateRows, Scale, TimestepEmbedding,
    };
    let circular = PaddingMode::Circular;
    vec![
        linear(1, 320, 1280),
        linear(77, 768, 96),
        linear(77, 96, 768),
        linear(1, 1, 1),
        linear(3, 17, 33),
        linear(65, 1300, 47),
        linear(130, 40, 320),
        fused_linear(29, 31, 65, Silu),
        fused_linear(77, 64, 100, QuickGelu),
        fused_linear(5, 7, 3, Gelu),
        fused_linear(15, 48, 15, Identity),
        linear(70, 96, 16),
        linear(33, 130, 40),
        adapted([30, 320, 96], &[16], Identity),
        adapted([65, 48, 70], &[1], Silu),
        adapted([17, 700, 33], &[4, 16], Identity),
        adapted([40, 64, 320], &[33, 128, 3], QuickGelu),
        adapted([1, 40, 7], &[33], Identity),
        adapted([9, 24, 40], &[500, 1, 1, 2], Gelu),
        conv2d([16, 16], 4, 320, [3, 3], SAME),
        conv2d([16, 16], 96, 4, [3, 3], SAME),
        conv2d([9, 11], 32, 3, [3, 3], SAME),
        conv2d([7, 13], 3, 32, [3, 3], SAME),
        conv2d([8, 8], 320, 96, [3, 3], SAME),
        conv2d([1, 1], 20, 5, [3, 3], SAME),
        conv2d([12, 10], 320, 33, [1, 1], NONE),
        conv2d([5, 5], 4, 4, [1, 1], NONE),
        conv2d([16, 16], 33, 40, [3, 3], HALVE),
        conv2d([15, 17], 32, 32, [3, 3], HALVE_LATE),
        conv2d([16, 16], 32, 64, [3, 3], HALVE_LATE),
        conv2d([14, 12], 5, 6, [3, 3], LOPSIDED),
        conv2d([14, 12], 5, 6, [2, 5], LOPSIDED),
        conv2d([14, 14], 3, 48, [7, 7], Conv2dConfig { stride: 7, padding: [0; 4] }),
        conv2d([9, 8], 6, 10, [1, 1], HALVE),
        fused_conv2d([8, 9], 32, 96, PaddingMode::Zeros),
        fused_conv2d([9, 7], 4, 33, circular),
        fused_conv2d([2, 1], 16, 16, circular),
        leaky_conv2d([9, 10], 64, 32, false),
        leaky_conv2d([7, 5], 3, 33, false),
        leaky_conv2d([9, 10], 64, 64, true),
        leaky_conv2d([7, 5], 3, 33, true),
        group_norm(64, 320, 32, Silu),
        group_norm(49, 96, 32, Identity),
        group_norm(1, 64, 32, Silu),
        group_norm(33, 30, 3, Gelu),
        group_norm(5, 7, 7, Identity),
        group_norm(5000, 32, 4, Silu),
        LayerNorm { tokens: 77, features: 768 },
        LayerNorm { tokens: 3, features: 5 },
        LayerNorm { tokens: 130, features: 320 },
        attention(64, 64, 2, 40),
        attention(100, 77, 8, 40),
        attention(1, 1, 1, 1),
        attention(1, 300, 2, 64),
        attention(37, 131, 3, 80),
        attention(70, 65, 2, 160),
        attention(33, 300, 1, 512),
        attention(10, 9, 5, 7),
        causal(77, 12, 64),
        causal(130, 2, 16),
        causal(1, 1, 16),
        ragged(50, 2, 40, &[77, 231, 154, 1]),
        ragged(17, 3, 16, &[64, 65, 130]),
        Geglu { tokens: 50, features: 160 },
        Geglu { tokens: 3, features: 7 },
        Activate { elements: 1001, activation: Silu },
        Activate { elements: 1001, activation: Gelu },
        Activate { elements: 1001, activation: QuickGelu },
        Activate { elements: 1001, activation: LeakyRelu },
        Activate { elements: 3, activation: Identity },
        Activate { elements: 50_000, activation: Silu },
        Operation::Curve { elements: 50_001, curve: Curve::Mish },
        Operation::Curve { elements: 3, curve: Curve::Leaky(0.01) },
        Add { elements: 50_001 },
        Scale { elements: 77 },
        Concat { tokens: 9, widths: &[320, 32, 5] },
        Concat { tokens: 300, widths: &[64, 96] },
        Columns { tokens: 9, features: 50, range: [3, 20] },
        Resample { size: [5, 7], channels: 33, factor: 2 },
        Resample { size: [32, 32], channels: 16, factor: 3 },
        PixelShuffle { size: [5, 7], channels: 48, factor: 4 },
        PixelShuffle { size: [64, 33], channels: 27, factor: 3 },
        PixelShuffle { size: [3, 2], channels: 5, factor: 1 },
        Embedding { tokens: 77, rows: 101, features: 50 },
        TimestepEmbedding { features: 320 },
        GatherMean { tokens: 40, features: 33 },
        GatherMean { tokens: 600, features: 64 },
        RotateRows { features: 19 },
    ]
}

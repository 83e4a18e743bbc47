//! Every tensor a configuration needs, with its shape: the module tree of Latent Diffusion (Rombach et al. 2022) and
//! of transformers' CLIP text model written down once, as a list. Detection compares a file with it, so that
//! whoever loads a checkpoint afterwards may rely on each tensor.

use crate::architecture::{ClipTextConfig, StableDiffusionConfig, UNetConfig, VaeConfig};
use crate::open_clip;

/// Names and shapes.
pub(crate) type Layout = Vec<(String, Vec<usize>)>;

/// Names that begin so must all be in the layout: another tensor there is another network.
pub(crate) const CLOSED_PREFIXES: &[&str] = &[
    "model.diffusion_model.",
    "first_stage_model.encoder.",
    "first_stage_model.decoder.",
    "cond_stage_model.transformer.text_model.",
    "cond_stage_model_2.",
    open_clip::PREFIX,
];

/// The place of the text encoder, in XL of the first.
pub(crate) const TEXT: &str = "cond_stage_model.transformer";

/// The place of XL's second text encoder.
pub(crate) const SECOND_TEXT: &str = "cond_stage_model_2.transformer";

/// All tensors of a checkpoint.
pub(crate) fn layout(config: &StableDiffusionConfig) -> Layout {
    let mut writer = Writer { layout: Layout::new() };
    writer.unet(&config.unet);
    writer.vae(&config.vae);
    writer.text(TEXT, &config.text);
    if let Some(second) = &config.second_text {
        writer.text(SECOND_TEXT, second);
    }
    writer.layout
}

/// All tensors of an autoencoder.
pub(crate) fn autoencoder_layout(config: &VaeConfig) -> Layout {
    let mut writer = Writer { layout: Layout::new() };
    writer.vae(config);
    writer.layout
}

struct Writer {
    layout: Layout,
}

impl Writer {
    fn put(&mut self, name: String, shape: &[usize]) {
        self.layout.push((name, shape.to_vec()));
    }

    /// Weight and bias `[size]` of a normalisation.
    fn norm(&mut self, name: &str, size: usize) {
        self.put(format!("{name}.weight"), &[size]);
        self.put(format!("{name}.bias"), &[size]);
    }

    /// Weight `[out, in]` and bias `[out]`.
    fn linear(&mut self, name: &str, from: usize, to: usize) {
        self.put(format!("{name}.weight"), &[to, from]);
        self.put(format!("{name}.bias"), &[to]);
    }

    /// Weight `[out, in, kernel, kernel]` and bias `[out]`.
    fn conv(&mut self, name: &str, from: usize, to: usize, kernel: usize) {
        self.put(format!("{name}.weight"), &[to, from, kernel, kernel]);
        self.put(format!("{name}.bias"), &[to]);
    }

    fn unet(&mut self, config: &UNetConfig) {
        let root = "model.diffusion_model";
        let first = config.model_channels;
        self.linear(&format!("{root}.time_embed.0"), first, config.time_features);
        self.linear(&format!("{root}.time_embed.2"), config.time_features, config.time_features);
        if let Some(features) = config.label_features {
            self.linear(&format!("{root}.label_emb.0.0"), features, config.time_features);
            self.linear(&format!("{root}.label_emb.0.2"), config.time_features, config.time_features);
        }
        self.conv(&format!("{root}.input_blocks.0.0"), config.in_channels, first, 3);
        let mut skips = vec![first];
        let mut channels = first;
        let last_level = config.levels.len().saturating_sub(1);
        let mut index = 1;
        for (number, level) in config.levels.iter().enumerate() {
            for _ in 0..level.res_blocks {
                let block = format!("{root}.input_blocks.{index}");
                self.unet_res_block(&format!("{block}.0"), channels, level.channels, config);
                self.transformer(&format!("{block}.1"), level.channels, level.transformer_depth, config);
                channels = level.channels;
                skips.push(channels);
                index += 1;
            }
            if number < last_level {
                self.conv(&format!("{root}.input_blocks.{index}.0.op"), channels, channels, 3);
                skips.push(channels);
                index += 1;
            }
        }
        let attends = usize::from(config.middle_depth > 0);
        self.unet_res_block(&format!("{root}.middle_block.0"), channels, channels, config);
        self.transformer(&format!("{root}.middle_block.1"), channels, config.middle_depth, config);
        self.unet_res_block(&format!("{root}.middle_block.{}", 1 + attends), channels, channels, config);
        self.unet_up(root, config, channels, skips);
        self.norm(&format!("{root}.out.0"), first);
        self.conv(&format!("{root}.out.2"), first, config.out_channels, 3);
    }

    fn unet_up(&mut self, root: &str, config: &UNetConfig, mut channels: usize, mut skips: Vec<usize>) {
        let mut index = 0;
        for (number, level) in config.levels.iter().enumerate().rev() {
            for block in 0..=level.res_blocks {
                let name = format!("{root}.output_blocks.{index}");
                let skip = skips.pop().unwrap_or(0);
                self.unet_res_block(&format!("{name}.0"), channels + skip, level.channels, config);
                self.transformer(&format!("{name}.1"), level.channels, level.transformer_depth, config);
                channels = level.channels;
                if number > 0 && block == level.res_blocks {
                    let part = 1 + usize::from(level.transformer_depth > 0);
                    self.conv(&format!("{name}.{part}.conv"), channels, channels, 3);
                }
                index += 1;
            }
        }
    }

    fn unet_res_block(&mut self, name: &str, from: usize, to: usize, config: &UNetConfig) {
        self.norm(&format!("{name}.in_layers.0"), from);
        self.conv(&format!("{name}.in_layers.2"), from, to, 3);
        self.linear(&format!("{name}.emb_layers.1"), config.time_features, to);
        self.norm(&format!("{name}.out_layers.0"), to);
        self.conv(&format!("{name}.out_layers.3"), to, to, 3);
        if from != to {
            self.conv(&format!("{name}.skip_connection"), from, to, 1);
        }
    }

    fn transformer(&mut self, name: &str, channels: usize, depth: usize, config: &UNetConfig) {
        if depth == 0 {
            return;
        }
        self.norm(&format!("{name}.norm"), channels);
        self.conv(&format!("{name}.proj_in"), channels, channels, 1);
        self.conv(&format!("{name}.proj_out"), channels, channels, 1);
        for block in 0..depth {
            let block = format!("{name}.transformer_blocks.{block}");
            for (attention, context) in [("attn1", channels), ("attn2", config.context_features)] {
                self.put(format!("{block}.{attention}.to_q.weight"), &[channels, channels]);
                self.put(format!("{block}.{attention}.to_k.weight"), &[channels, context]);
                self.put(format!("{block}.{attention}.to_v.weight"), &[channels, context]);
                self.linear(&format!("{block}.{attention}.to_out.0"), channels, channels);
            }
            for norm in ["norm1", "norm2", "norm3"] {
                self.norm(&format!("{block}.{norm}"), channels);
            }
            self.linear(&format!("{block}.ff.net.0.proj"), channels, 8 * channels);
            self.linear(&format!("{block}.ff.net.2"), 4 * channels, channels);
        }
    }

    fn vae(&mut self, config: &VaeConfig) {
        let (Some(&finest), Some(&coarsest)) = (config.channels.first(), config.channels.last()) else {
            return;
        };
        let root = "first_stage_model";
        let latent = config.latent_channels;
        self.conv(&format!("{root}.quant_conv"), 2 * latent, 2 * latent, 1);
        self.conv(&format!("{root}.post_quant_conv"), latent, latent, 1);
        let last = config.channels.len() - 1;

        let encoder = format!("{root}.encoder");
        self.conv(&format!("{encoder}.conv_in"), config.image_channels, finest, 3);
        let mut channels = finest;
        for (number, &to) in config.channels.iter().enumerate() {
            for block in 0..config.res_blocks {
                self.vae_res_block(&format!("{encoder}.down.{number}.block.{block}"), channels, to);
                channels = to;
            }
            if number < last {
                self.conv(&format!("{encoder}.down.{number}.downsample.conv"), to, to, 3);
            }
        }
        self.vae_end(&encoder, coarsest, coarsest, 2 * latent);

        let decoder = format!("{root}.decoder");
        self.conv(&format!("{decoder}.conv_in"), latent, coarsest, 3);
        let mut channels = coarsest;
        for (number, &to) in config.channels.iter().enumerate().rev() {
            for block in 0..=config.res_blocks {
                self.vae_res_block(&format!("{decoder}.up.{number}.block.{block}"), channels, to);
                channels = to;
            }
            if number > 0 {
                self.conv(&format!("{decoder}.up.{number}.upsample.conv"), to, to, 3);
            }
        }
        self.vae_end(&decoder, coarsest, finest, config.image_channels);
    }

    /// The coarsest part, and the last normalisation and convolution.
    fn vae_end(&mut self, name: &str, middle: usize, last: usize, to: usize) {
        self.vae_res_block(&format!("{name}.mid.block_1"), middle, middle);
        self.norm(&format!("{name}.mid.attn_1.norm"), middle);
        for part in ["q", "k", "v", "proj_out"] {
            self.conv(&format!("{name}.mid.attn_1.{part}"), middle, middle, 1);
        }
        self.vae_res_block(&format!("{name}.mid.block_2"), middle, middle);
        self.norm(&format!("{name}.norm_out"), last);
        self.conv(&format!("{name}.conv_out"), last, to, 3);
    }

    fn vae_res_block(&mut self, name: &str, from: usize, to: usize) {
        self.norm(&format!("{name}.norm1"), from);
        self.conv(&format!("{name}.conv1"), from, to, 3);
        self.norm(&format!("{name}.norm2"), to);
        self.conv(&format!("{name}.conv2"), to, to, 3);
        if from != to {
            self.conv(&format!("{name}.nin_shortcut"), from, to, 1);
        }
    }

    fn text(&mut self, place: &str, config: &ClipTextConfig) {
        let root = format!("{place}.text_model");
        let width = config.width;
        self.put(format!("{root}.embeddings.token_embedding.weight"), &[config.vocabulary, width]);
        self.put(format!("{root}.embeddings.position_embedding.weight"), &[config.positions, width]);
        for layer in 0..config.layers {
            let layer = format!("{root}.encoder.layers.{layer}");
            self.norm(&format!("{layer}.layer_norm1"), width);
            self.norm(&format!("{layer}.layer_norm2"), width);
            for part in ["q_proj", "k_proj", "v_proj", "out_proj"] {
                self.linear(&format!("{layer}.self_attn.{part}"), width, width);
            }
            self.linear(&format!("{layer}.mlp.fc1"), width, config.hidden);
            self.linear(&format!("{layer}.mlp.fc2"), config.hidden, width);
        }
        self.norm(&format!("{root}.final_layer_norm"), width);
        if let Some(pooled) = config.pooled {
            self.put(format!("{place}.text_projection.weight"), &[pooled, width]);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Tensors and parameters of each network: the number of parameters as papers and libraries report it.
    fn check_counts(config: &StableDiffusionConfig, wanted: &[(&str, usize, usize)]) {
        let layout = layout(config);
        for &(prefix, tensors, parameters) in wanted {
            let part: Vec<_> = layout.iter().filter(|(name, _)| name.starts_with(prefix)).collect();
            let sum: usize = part.iter().map(|(_, shape)| shape.iter().product::<usize>()).sum();
            assert_eq!((part.len(), sum), (tensors, parameters), "{prefix}");
        }
    }

    #[test]
    fn counts_what_stable_diffusion_1_5_has() {
        check_counts(
            &StableDiffusionConfig::stable_diffusion_1_5(),
            &[
                ("model.diffusion_model.", 686, 859_520_964),
                ("first_stage_model.", 248, 83_653_863),
                ("cond_stage_model.transformer.text_model.", 196, 123_060_480),
                ("cond_stage_model_2.", 0, 0),
            ],
        );
    }

    #[test]
    fn counts_what_stable_diffusion_xl_has() {
        check_counts(
            &StableDiffusionConfig::stable_diffusion_xl(),
            &[
                ("model.diffusion_model.", 1680, 2_567_463_684),
                ("first_stage_model.", 248, 83_653_863),
                ("cond_stage_model.", 196, 123_060_480),
                // Of each layer, weight and bias of the fused projection are three of either here.
                ("cond_stage_model_2.", 517, 694_659_840),
            ],
        );
    }

    #[test]
    fn has_names_of_the_original_file() {
        let layout = layout(&StableDiffusionConfig::stable_diffusion_1_5());
        for (name, shape) in [
            ("model.diffusion_model.input_blocks.4.0.skip_connection.weight", &[640, 320, 1, 1][..]),
            ("model.diffusion_model.output_blocks.2.1.conv.weight", &[1280, 1280, 3, 3]),
            ("model.diffusion_model.output_blocks.5.2.conv.weight", &[1280, 1280, 3, 3]),
            ("model.diffusion_model.output_blocks.8.0.in_layers.2.weight", &[640, 960, 3, 3]),
            ("model.diffusion_model.middle_block.1.transformer_blocks.0.attn2.to_k.weight", &[1280, 768]),
            ("first_stage_model.decoder.up.0.block.0.nin_shortcut.weight", &[128, 256, 1, 1]),
            ("first_stage_model.encoder.conv_out.weight", &[8, 512, 3, 3]),
        ] {
            assert!(layout.iter().any(|(n, s)| n == name && s == shape), "{name}");
        }
    }
}

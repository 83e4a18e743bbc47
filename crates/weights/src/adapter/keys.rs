//! What the makers of adapters call the layers of a model: kohya's names, those of diffusers and those of Latent Diffusion.
//!
//! Names with all dots made underscores cannot be taken apart again, so every name that a layer may have is laid out for a model
//! and looked up.

use crate::architecture::{StableDiffusionConfig, UNetConfig};
use crate::layout::{SECOND_TEXT, TEXT, layout};
use std::collections::HashMap;

/// The place of the denoising network.
pub(crate) const UNET: &str = "model.diffusion_model";

/// What the parts of a residual block are called in Latent Diffusion and in diffusers.
const RESIDUAL: &[(&str, &str)] = &[
    ("in_layers.0", "norm1"),
    ("in_layers.2", "conv1"),
    ("emb_layers.1", "time_emb_proj"),
    ("out_layers.0", "norm2"),
    ("out_layers.3", "conv2"),
    ("skip_connection", "conv_shortcut"),
];

/// What stands in front of the names of a text encoder: with dots, and with underscores.
const TEXT_PREFIXES: &[(&str, &[&str], &[&str])] = &[
    (TEXT, &["text_encoder", "te", "te1", TEXT], &["lora_te", "lora_te1", "oft_te", "oft_te1"]),
    (SECOND_TEXT, &["text_encoder_2", "te2", SECOND_TEXT], &["lora_te2", "oft_te2"]),
];

/// The layers of a model by every name that an adapter file may give them.
#[derive(Debug, Clone)]
pub struct AdapterKeys {
    /// The canonical name and the shape of its weight.
    by_name: HashMap<String, (String, Vec<usize>)>,
}

impl AdapterKeys {
    /// The layers of the denoising network and of the text encoders of a model.
    pub fn new(config: &StableDiffusionConfig) -> Self {
        let blocks = unet_blocks(&config.unet);
        let mut by_name = HashMap::new();
        for (tensor, shape) in layout(config) {
            let Some(layer) = tensor.strip_suffix(".weight") else { continue };
            for name in names(layer, &blocks) {
                by_name.insert(name, (layer.to_owned(), shape.clone()));
            }
        }
        Self { by_name }
    }

    /// The canonical name of the layer that a file calls `name`, and the shape of its weight.
    pub(crate) fn find(&self, name: &str) -> Option<(&str, &[usize])> {
        let plain = name.replace(".processor", "");
        let plain = plain.strip_prefix("base_model.model.").unwrap_or(&plain);
        let found = self.by_name.get(plain).or_else(|| self.by_name.get(&format!("{plain}.0")))?;
        Some((&found.0, &found.1))
    }
}

/// Every name of a layer whose canonical name is `layer`; none of a layer that adapters do not change.
fn names(layer: &str, blocks: &[(String, String)]) -> Vec<String> {
    if let Some(ours) = layer.strip_prefix(UNET).and_then(|rest| rest.strip_prefix('.')) {
        let mut names = vec![layer.to_owned(), format!("diffusion_model.{ours}")];
        let mut underscored = vec![ours.replace('.', "_")];
        if let Some(theirs) = diffusers_name(ours, blocks) {
            names.push(format!("unet.{theirs}"));
            underscored.push(theirs.replace('.', "_"));
        }
        for flat in underscored {
            names.extend(["lora_unet", "oft_unet"].map(|prefix| format!("{prefix}_{flat}")));
        }
        return names;
    }
    for (place, dotted, flat) in TEXT_PREFIXES {
        if let Some(rest) = layer.strip_prefix(place).and_then(|rest| rest.strip_prefix('.')) {
            let flattened = rest.replace('.', "_");
            return (dotted.iter().map(|prefix| format!("{prefix}.{rest}")))
                .chain(flat.iter().map(|prefix| format!("{prefix}_{flattened}")))
                .collect();
        }
    }
    Vec::new()
}

/// What diffusers calls a layer of the UNet.
fn diffusers_name(ours: &str, blocks: &[(String, String)]) -> Option<String> {
    let inside = |block: &str| Some(ours.strip_prefix(block)?.strip_prefix('.').unwrap_or_default());
    let (block, theirs) =
        blocks.iter().find(|(block, _)| ours == block || ours.starts_with(&format!("{block}.")))?;
    let rest = inside(block)?;
    if rest.is_empty() {
        return Some(theirs.clone());
    }
    let renamed = RESIDUAL.iter().find(|(part, _)| *part == rest).map_or(rest, |(_, part)| part);
    Some(format!("{theirs}.{renamed}"))
}

/// The blocks of a UNet: their names in Latent Diffusion and in diffusers.
fn unet_blocks(config: &UNetConfig) -> Vec<(String, String)> {
    let mut blocks: Vec<(String, String)> = [
        ("time_embed.0", "time_embedding.linear_1"),
        ("time_embed.2", "time_embedding.linear_2"),
        ("label_emb.0.0", "add_embedding.linear_1"),
        ("label_emb.0.2", "add_embedding.linear_2"),
        ("input_blocks.0.0", "conv_in"),
        ("out.0", "conv_norm_out"),
        ("out.2", "conv_out"),
        ("middle_block.0", "mid_block.resnets.0"),
    ]
    .map(|(ours, theirs)| (ours.to_owned(), theirs.to_owned()))
    .into();
    let mut put = |ours: String, theirs: String| blocks.push((ours, theirs));
    let last = config.levels.len().saturating_sub(1);
    let mut index = 1;
    for (number, level) in config.levels.iter().enumerate() {
        for block in 0..level.res_blocks {
            put(format!("input_blocks.{index}.0"), format!("down_blocks.{number}.resnets.{block}"));
            put(format!("input_blocks.{index}.1"), format!("down_blocks.{number}.attentions.{block}"));
            index += 1;
        }
        if number < last {
            put(format!("input_blocks.{index}.0.op"), format!("down_blocks.{number}.downsamplers.0.conv"));
            index += 1;
        }
    }
    let attends = config.middle_depth > 0;
    if attends {
        put("middle_block.1".to_owned(), "mid_block.attentions.0".to_owned());
    }
    put(format!("middle_block.{}", 1 + usize::from(attends)), "mid_block.resnets.1".to_owned());
    index = 0;
    for (up, level) in config.levels.iter().rev().enumerate() {
        for block in 0..=level.res_blocks {
            put(format!("output_blocks.{index}.0"), format!("up_blocks.{up}.resnets.{block}"));
            let attends = level.transformer_depth > 0;
            if up < last && block == level.res_blocks {
                let part = 1 + usize::from(attends);
                put(
                    format!("output_blocks.{index}.{part}.conv"),
                    format!("up_blocks.{up}.upsamplers.0.conv"),
                );
            }
            if attends {
                put(format!("output_blocks.{index}.1"), format!("up_blocks.{up}.attentions.{block}"));
            }
            index += 1;
        }
    }
    blocks
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn layers_have_the_names_that_trainers_write() {
        let keys = AdapterKeys::new(&StableDiffusionConfig::stable_diffusion_1_5());
        for (name, layer) in [
            (
                "lora_unet_down_blocks_0_attentions_1_transformer_blocks_0_attn1_to_q",
                "input_blocks.2.1.transformer_blocks.0.attn1.to_q",
            ),
            (
                "lora_unet_up_blocks_3_attentions_2_transformer_blocks_0_ff_net_0_proj",
                "output_blocks.11.1.transformer_blocks.0.ff.net.0.proj",
            ),
            ("lora_unet_mid_block_attentions_0_proj_in", "middle_block.1.proj_in"),
            ("lora_unet_mid_block_resnets_1_conv2", "middle_block.2.out_layers.3"),
            ("lora_unet_up_blocks_0_upsamplers_0_conv", "output_blocks.2.1.conv"),
            ("lora_unet_up_blocks_1_upsamplers_0_conv", "output_blocks.5.2.conv"),
            ("lora_unet_down_blocks_2_downsamplers_0_conv", "input_blocks.9.0.op"),
            ("lora_unet_up_blocks_1_resnets_0_conv_shortcut", "output_blocks.3.0.skip_connection"),
            ("lora_unet_input_blocks_4_1_proj_out", "input_blocks.4.1.proj_out"),
            (
                "unet.up_blocks.1.attentions.0.transformer_blocks.0.attn2.processor.to_out",
                "output_blocks.3.1.transformer_blocks.0.attn2.to_out.0",
            ),
            ("diffusion_model.time_embed.2", "time_embed.2"),
            ("lora_unet_time_embedding_linear_1", "time_embed.0"),
            ("lora_unet_conv_in", "input_blocks.0.0"),
        ] {
            assert_eq!(
                keys.find(name).map(|found| found.0.to_owned()),
                Some(format!("{UNET}.{layer}")),
                "{name}"
            );
        }
        for name in [
            "lora_te_text_model_encoder_layers_3_self_attn_q_proj",
            "text_encoder.text_model.encoder.layers.3.self_attn.q_proj",
            "base_model.model.te1.text_model.encoder.layers.3.self_attn.q_proj",
        ] {
            let (found, shape) = keys.find(name).unwrap();
            assert_eq!(found, format!("{TEXT}.text_model.encoder.layers.3.self_attn.q_proj"));
            assert_eq!(shape, [768, 768]);
        }
        assert!(keys.find("lora_te2_text_model_encoder_layers_3_self_attn_q_proj").is_none());
        assert!(keys.find("lora_unet_first_stage_model").is_none());
    }

    #[test]
    fn no_two_layers_share_a_name_and_every_layer_has_names_of_each_kind() {
        for config in
            [StableDiffusionConfig::stable_diffusion_1_5(), StableDiffusionConfig::stable_diffusion_xl()]
        {
            let blocks = unet_blocks(&config.unet);
            let mut seen = HashSet::new();
            let mut layers = 0;
            for (tensor, _) in layout(&config) {
                let Some(layer) = tensor.strip_suffix(".weight") else { continue };
                let names = names(layer, &blocks);
                if layer.starts_with("first_stage_model") {
                    assert!(names.is_empty(), "{layer}");
                    continue;
                }
                layers += 1;
                let has = |prefix: &str| names.iter().any(|name| name.starts_with(prefix));
                assert!(
                    has("lora_unet_") && has("unet.") || has("lora_te") && has("text_encoder"),
                    "{layer}"
                );
                for name in names {
                    assert!(seen.insert(name.clone()), "{name} is two layers");
                }
            }
            assert!(layers > 400, "{layers}");
        }
    }
}

//! Which model a set of tensors is, told by its names: the order of questions follows `AUTOMATIC1111`'s
//! `guess_model_config_from_state_dict`, with what it does not load at all put beside.

use crate::entry::Entries;
use std::fmt;

/// A kind of model file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ModelKind {
    /// Stable Diffusion 1.x, 4 input channels.
    StableDiffusion1,
    /// Stable Diffusion 1.x for inpainting, 9 input channels.
    StableDiffusion1Inpainting,
    /// Stable Diffusion 1.x that follows instructions, 8 input channels.
    InstructPix2Pix,
    /// Stable Diffusion 2.x, with the OpenCLIP text encoder.
    StableDiffusion2,
    /// Stable Diffusion 2 with a depth map.
    StableDiffusion2Depth,
    /// Stable unCLIP.
    UnClip,
    /// Stable Diffusion XL, whose networks can be run.
    StableDiffusionXl,
    /// The refiner of Stable Diffusion XL.
    StableDiffusionXlRefiner,
    /// Stable Diffusion 3.
    StableDiffusion3,
    /// FLUX.
    Flux,
    /// Stable Diffusion 1.x with a RoBERTa text encoder.
    AltDiffusion,
    /// LoRA, LyCORIS and kin.
    Adapter,
    /// ControlNet.
    ControlNet,
    /// Any part of a diffusers pipeline.
    Diffusers,
    /// An autoencoder alone.
    Vae,
    /// A UNet alone, without the name level `model.diffusion_model`.
    UNet,
    /// A text encoder alone.
    TextEncoder,
    /// A textual inversion embedding.
    Embedding,
    /// A hypernetwork.
    Hypernetwork,
    /// An upscaler of the ESRGAN family.
    Upscaler,
    /// An upscaler of an architecture that is known by name only.
    OtherUpscaler(&'static str),
    /// None of these.
    Unknown,
}

impl fmt::Display for ModelKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::StableDiffusion1 => "a Stable Diffusion 1.x checkpoint",
            Self::StableDiffusion1Inpainting => {
                "a Stable Diffusion 1.x inpainting checkpoint (9 input channels)"
            }
            Self::InstructPix2Pix => "an instruct-pix2pix checkpoint (8 input channels)",
            Self::StableDiffusion2 => "a Stable Diffusion 2.x checkpoint (OpenCLIP text encoder)",
            Self::StableDiffusion2Depth => "a Stable Diffusion 2 depth checkpoint",
            Self::UnClip => "a Stable unCLIP checkpoint",
            Self::StableDiffusionXl => "a Stable Diffusion XL base checkpoint",
            Self::StableDiffusionXlRefiner => "a Stable Diffusion XL refiner checkpoint",
            Self::StableDiffusion3 => "a Stable Diffusion 3 checkpoint",
            Self::Flux => "a FLUX checkpoint",
            Self::AltDiffusion => "an AltDiffusion checkpoint (RoBERTa text encoder)",
            Self::Adapter => "a LoRA (or kin) and belongs into models/Lora",
            Self::ControlNet => "a ControlNet",
            Self::Diffusers => "a model in the diffusers layout",
            Self::Vae => "a VAE alone and belongs into models/VAE",
            Self::UNet => "a UNet alone",
            Self::TextEncoder => "a text encoder alone",
            Self::Embedding => "a textual inversion embedding and belongs into embeddings",
            Self::Hypernetwork => "a hypernetwork",
            Self::OtherUpscaler(architecture) => {
                return write!(f, "an upscaler of the {architecture} architecture");
            }
            Self::Upscaler => "an upscaler and belongs into models/ESRGAN",
            Self::Unknown => "of no known kind of model",
        })
    }
}

/// A question to the names.
enum Ask {
    /// Is there a tensor of this name?
    Name(&'static str),
    /// Is there a name that begins so?
    Start(&'static str),
    /// Is there a name that ends so?
    End(&'static str),
    /// Has the tensor of this name this size along this dimension?
    Size(&'static str, usize, usize),
}
use Ask::{End, Name, Size, Start};

const INPUT: &str = "model.diffusion_model.input_blocks.0.0.weight";

/// The first question answered with yes decides.
const RULES: &[(Ask, ModelKind)] = &[
    (Name("model.diffusion_model.x_embedder.proj.weight"), ModelKind::StableDiffusion3),
    (Start("model.diffusion_model.double_blocks."), ModelKind::Flux),
    (Start("double_blocks."), ModelKind::Flux),
    (Name("cond_stage_model_2.transformer.text_model.final_layer_norm.weight"), ModelKind::StableDiffusionXl),
    (Size("conditioner.embedders.0.model.ln_final.weight", 0, 1024), ModelKind::StableDiffusion2),
    (Name("conditioner.embedders.0.model.ln_final.weight"), ModelKind::StableDiffusionXlRefiner),
    (Start("depth_model."), ModelKind::StableDiffusion2Depth),
    (Name("embedder.model.ln_final.weight"), ModelKind::UnClip),
    (Name("cond_stage_model.model.transformer.resblocks.0.attn.in_proj_weight"), ModelKind::StableDiffusion2),
    (Start("cond_stage_model.roberta."), ModelKind::AltDiffusion),
    (Start("model.diffusion_model.label_emb."), ModelKind::StableDiffusionXl),
    (Start("control_model."), ModelKind::ControlNet),
    (Start("input_hint_block."), ModelKind::ControlNet),
    (Start("controlnet_cond_embedding."), ModelKind::ControlNet),
    (Size(INPUT, 1, 9), ModelKind::StableDiffusion1Inpainting),
    (Size(INPUT, 1, 8), ModelKind::InstructPix2Pix),
    (Name(INPUT), ModelKind::StableDiffusion1),
    (End(".lora_down.weight"), ModelKind::Adapter),
    (End(".lora_A.weight"), ModelKind::Adapter),
    (End(".lora.down.weight"), ModelKind::Adapter),
    (End(".hada_w1_a"), ModelKind::Adapter),
    (End(".lokr_w1"), ModelKind::Adapter),
    (End(".lokr_w1_a"), ModelKind::Adapter),
    (End(".oft_blocks"), ModelKind::Adapter),
    (End(".oft_diag"), ModelKind::Adapter),
    (Start("lora_unet_"), ModelKind::Adapter),
    (Start("lora_te"), ModelKind::Adapter),
    (Start("down_blocks."), ModelKind::Diffusers),
    (Start("unet.down_blocks."), ModelKind::Diffusers),
    (Start("decoder.up_blocks."), ModelKind::Diffusers),
    (Start("first_stage_model.decoder."), ModelKind::Vae),
    (Start("decoder.up.0."), ModelKind::Vae),
    (Start("input_blocks.0.0."), ModelKind::UNet),
    (Start("model.diffusion_model."), ModelKind::UNet),
    (Start("text_model."), ModelKind::TextEncoder),
    (Start("cond_stage_model."), ModelKind::TextEncoder),
    (Start("string_to_param."), ModelKind::Embedding),
    (Start("string_to_token."), ModelKind::Embedding),
    (Name("emb_params"), ModelKind::Embedding),
    (Name("clip_l"), ModelKind::Embedding),
    (Name("clip_g"), ModelKind::Embedding),
    (Start("768."), ModelKind::Hypernetwork),
    (Start("320."), ModelKind::Hypernetwork),
    (Start("layers.0.residual_group.blocks.0.conv_block."), ModelKind::OtherUpscaler("HAT")),
    (Name("layers.0.residual_group.blocks.0.attn.logit_scale"), ModelKind::OtherUpscaler("Swin2SR")),
    (Start("layers.0.residual_group.blocks."), ModelKind::OtherUpscaler("SwinIR")),
    (Start("layers.0.residual_group.layers."), ModelKind::OtherUpscaler("ATD")),
    (Start("before_RG."), ModelKind::OtherUpscaler("DAT")),
    (Start("residual_layer.0.residual_layer."), ModelKind::OtherUpscaler("OmniSR")),
    (Start("block_1.c1_r."), ModelKind::OtherUpscaler("SPAN")),
    (Start("feats.1.channe_mixer."), ModelKind::OtherUpscaler("PLKSR")),
    (Start("m_head.0."), ModelKind::OtherUpscaler("ScuNET")),
    (End(".conv1x1.weight"), ModelKind::OtherUpscaler("ESRGAN+")),
    (Start("conv_first."), ModelKind::Upscaler),
    (Size("body.0.weight", 2, 3), ModelKind::Upscaler),
];

/// The kind of a model with these tensors.
pub(crate) fn kind(entries: &Entries) -> ModelKind {
    RULES.iter().find(|(ask, _)| ask.of(entries)).map_or(ModelKind::Unknown, |&(_, kind)| kind)
}

impl Ask {
    fn of(&self, entries: &Entries) -> bool {
        match *self {
            Name(name) => entries.contains_key(name),
            Start(start) => {
                entries.range(start.to_owned()..).next().is_some_and(|(name, _)| name.starts_with(start))
            }
            End(end) => entries.keys().any(|name| name.ends_with(end)),
            Size(name, axis, size) => {
                entries.get(name).is_some_and(|entry| entry.shape.get(axis) == Some(&size))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::entry::{Data, Element, Entry};
    use impasto_tensor::DType;

    #[test]
    fn tells_kinds_by_names_and_sizes() {
        type Tensors = &'static [(&'static str, &'static [usize])];
        let table: &[(Tensors, ModelKind)] = &[
            (&[(INPUT, &[320, 4, 3, 3])], ModelKind::StableDiffusion1),
            (&[(INPUT, &[320, 9, 3, 3])], ModelKind::StableDiffusion1Inpainting),
            (&[(INPUT, &[320, 8, 3, 3])], ModelKind::InstructPix2Pix),
            (&[(INPUT, &[])], ModelKind::StableDiffusion1),
            (
                &[
                    (INPUT, &[320, 9, 3, 3]),
                    ("cond_stage_model.model.transformer.resblocks.0.attn.in_proj_weight", &[3072, 1024]),
                ],
                ModelKind::StableDiffusion2,
            ),
            (
                &[
                    (INPUT, &[320, 4, 3, 3]),
                    ("cond_stage_model_2.transformer.text_model.final_layer_norm.weight", &[1280]),
                ],
                ModelKind::StableDiffusionXl,
            ),
            (
                &[(INPUT, &[320, 4, 3, 3]), ("conditioner.embedders.0.model.ln_final.weight", &[1280])],
                ModelKind::StableDiffusionXlRefiner,
            ),
            (
                &[(INPUT, &[320, 4, 3, 3]), ("conditioner.embedders.0.model.ln_final.weight", &[1024])],
                ModelKind::StableDiffusion2,
            ),
            (
                &[(INPUT, &[320, 4, 3, 3]), ("model.diffusion_model.label_emb.0.0.weight", &[1280, 2816])],
                ModelKind::StableDiffusionXl,
            ),
            (
                &[("model.diffusion_model.x_embedder.proj.weight", &[1536, 16, 2, 2])],
                ModelKind::StableDiffusion3,
            ),
            (&[("lora_unet_mid_block_attn.lora_down.weight", &[4, 320])], ModelKind::Adapter),
            (&[("unet.mid.lora_A.weight", &[4, 320])], ModelKind::Adapter),
            (&[("lora_te_x.hada_w1_a", &[4, 320])], ModelKind::Adapter),
            (&[("first_stage_model.decoder.conv_in.weight", &[512, 4, 3, 3])], ModelKind::Vae),
            (&[("decoder.up.0.block.0.norm1.weight", &[128])], ModelKind::Vae),
            (&[("down_blocks.0.resnets.0.norm1.weight", &[320])], ModelKind::Diffusers),
            (&[("decoder.up_blocks.0.resnets.0.norm1.weight", &[512])], ModelKind::Diffusers),
            (&[("string_to_param.*", &[2, 768])], ModelKind::Embedding),
            (&[("emb_params", &[2, 768])], ModelKind::Embedding),
            (&[("768.0.linear.0.weight", &[768, 768])], ModelKind::Hypernetwork),
            (&[("control_model.input_hint_block.0.bias", &[16])], ModelKind::ControlNet),
            (&[("text_model.embeddings.token_embedding.weight", &[9, 8])], ModelKind::TextEncoder),
            (&[("conv_first.weight", &[64, 3, 3, 3])], ModelKind::Upscaler),
            (&[("body.0.weight", &[64, 3, 3, 3])], ModelKind::Upscaler),
            (&[("body.0.weight", &[64, 3])], ModelKind::Unknown),
            (
                &[
                    ("conv_first.weight", &[180, 3, 3, 3]),
                    ("layers.0.residual_group.blocks.0.norm1.bias", &[180]),
                ],
                ModelKind::OtherUpscaler("SwinIR"),
            ),
            (
                &[("layers.0.residual_group.blocks.0.conv_block.cab.0.bias", &[6])],
                ModelKind::OtherUpscaler("HAT"),
            ),
            (&[("before_RG.1.weight", &[180])], ModelKind::OtherUpscaler("DAT")),
            (&[("something", &[1])], ModelKind::Unknown),
            (&[], ModelKind::Unknown),
        ];
        for (tensors, wanted) in table {
            let entry = |shape: &[usize]| Entry {
                element: Element::Readable(DType::F32),
                shape: shape.to_vec(),
                data: Data::InFile(0..0),
            };
            let entries = tensors.iter().map(|(name, shape)| ((*name).to_owned(), entry(shape))).collect();
            assert_eq!(kind(&entries), *wanted, "{tensors:?}");
        }
    }
}

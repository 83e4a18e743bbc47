"""Stable Diffusion XL of any width: diffusers' and transformers' models, and their weights under the names of the original
layout, where the second text encoder has OpenCLIP's."""

from dataclasses import dataclass

import torch
from diffusers import UNet2DConditionModel
from transformers import CLIPTextConfig, CLIPTextModelWithProjection

from ldm import Sizes, randomize, renamed, text_model, unet_names, vae_model, vae_names


@dataclass(frozen=True)
class XlSizes(Sizes):
    second_width: int
    second_layers: int
    second_heads: int
    pooled: int
    unet_depths: tuple  # transformer blocks of each level, 0 where there are none
    unet_head_features: int
    size_waves: int  # of each of the six sizes

    def metadata(self):
        facts = super().metadata() | {
            "impasto.second_text.heads": str(self.second_heads),
            "impasto.unet.head_features": str(self.unet_head_features),
        }
        del facts["impasto.unet.heads"]
        return facts


TINY_XL = XlSizes(
    vocabulary=512 + 62 + 2,
    text_width=16,
    text_layers=3,
    text_heads=2,
    unet_channels=(8, 8, 16),
    unet_attention=(False, True, True),
    unet_blocks=1,
    unet_heads=0,
    unet_groups=4,
    vae_channels=(8, 8, 16, 16),
    vae_blocks=1,
    vae_groups=4,
    second_width=24,
    second_layers=3,
    second_heads=3,
    pooled=20,
    unet_depths=(0, 1, 2),
    unet_head_features=4,
    size_waves=8,
)


def second_text_model(sizes):
    return CLIPTextModelWithProjection(
        CLIPTextConfig(
            vocab_size=sizes.vocabulary,
            hidden_size=sizes.second_width,
            intermediate_size=4 * sizes.second_width,
            num_hidden_layers=sizes.second_layers,
            num_attention_heads=sizes.second_heads,
            projection_dim=sizes.pooled,
            hidden_act="gelu",
            bos_token_id=sizes.vocabulary - 2,
            eos_token_id=sizes.vocabulary - 1,
        )
    ).eval()


def unet_model(sizes):
    return UNet2DConditionModel(
        in_channels=4,
        out_channels=4,
        block_out_channels=sizes.unet_channels,
        down_block_types=["CrossAttnDownBlock2D" if depth else "DownBlock2D" for depth in sizes.unet_depths],
        up_block_types=["CrossAttnUpBlock2D" if depth else "UpBlock2D" for depth in reversed(sizes.unet_depths)],
        layers_per_block=sizes.unet_blocks,
        transformer_layers_per_block=[max(depth, 1) for depth in sizes.unet_depths],
        cross_attention_dim=sizes.text_width + sizes.second_width,
        # diffusers' name for the number of heads
        attention_head_dim=[max(channels // sizes.unet_head_features, 1) for channels in sizes.unet_channels],
        norm_num_groups=sizes.unet_groups,
        use_linear_projection=True,
        addition_embed_type="text_time",
        addition_time_embed_dim=sizes.size_waves,
        projection_class_embeddings_input_dim=sizes.pooled + 6 * sizes.size_waves,
    ).eval()


def models(sizes, seed):
    made = text_model(sizes), second_text_model(sizes), unet_model(sizes), vae_model(sizes)
    for offset, model in enumerate(made):
        randomize(model, seed + offset)
    return made


LAYER_PARTS = {
    "ln_1": "layer_norm1",
    "ln_2": "layer_norm2",
    "attn.out_proj": "self_attn.out_proj",
    "mlp.c_fc": "mlp.fc1",
    "mlp.c_proj": "mlp.fc2",
}


def open_clip_names(model):
    """The weights of transformers' model as OpenCLIP names and arranges them."""
    state, root = model.state_dict(), "text_model"
    weights = {
        "token_embedding.weight": state[f"{root}.embeddings.token_embedding.weight"],
        "positional_embedding": state[f"{root}.embeddings.position_embedding.weight"],
        "text_projection": state["text_projection.weight"].T,
        "logit_scale": torch.tensor(4.6),
    }
    for kind in ("weight", "bias"):
        weights[f"ln_final.{kind}"] = state[f"{root}.final_layer_norm.{kind}"]
        for layer in range(model.config.num_hidden_layers):
            here, there = f"transformer.resblocks.{layer}", f"{root}.encoder.layers.{layer}"
            parts = [state[f"{there}.self_attn.{part}_proj.{kind}"] for part in "qkv"]
            weights[f"{here}.attn.in_proj_{kind}"] = torch.cat(parts)
            for name, other in LAYER_PARTS.items():
                weights[f"{here}.{name}.{kind}"] = state[f"{there}.{other}.{kind}"]
    return weights


def checkpoint(sizes, text, second, unet, vae):
    root = "conditioner.embedders"
    weights = {f"{root}.0.transformer.text_model.{name}": tensor for name, tensor in text.state_dict().items()}
    weights |= {f"{root}.1.model.{name}": tensor for name, tensor in open_clip_names(second).items()}
    weights = {name: tensor.half() for name, tensor in weights.items()}
    label = [("label_emb.0.0", "add_embedding.linear_1"), ("label_emb.0.2", "add_embedding.linear_2")]
    weights |= renamed(unet, unet_names(sizes) + label, "model.diffusion_model")
    weights |= renamed(vae, vae_names(sizes), "first_stage_model")
    return weights

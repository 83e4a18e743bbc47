"""Stable Diffusion 1.x of any width: diffusers' and transformers' models, and their weights under the names of the
original (LDM) layout."""

import math
from dataclasses import dataclass

import torch
from diffusers import AutoencoderKL, UNet2DConditionModel
from transformers import CLIPTextConfig, CLIPTextModel


@dataclass(frozen=True)
class Sizes:
    vocabulary: int
    text_width: int
    text_layers: int
    text_heads: int
    unet_channels: tuple
    unet_attention: tuple
    unet_blocks: int
    unet_heads: int
    unet_groups: int
    vae_channels: tuple
    vae_blocks: int
    vae_groups: int

    def metadata(self):
        """What the shapes of the tensors cannot tell, where it differs from Stable Diffusion 1.x."""
        facts = {
            "impasto.text.heads": self.text_heads,
            "impasto.unet.heads": self.unet_heads,
            "impasto.unet.groups": self.unet_groups,
            "impasto.vae.groups": self.vae_groups,
            "modelspec.prediction_type": "epsilon",
        }
        return {key: str(value) for key, value in facts.items()}


TINY = Sizes(
    vocabulary=512 + 62 + 2,
    text_width=32,
    text_layers=3,
    text_heads=2,
    unet_channels=(16, 16, 32),
    unet_attention=(True, True, False),
    unet_blocks=1,
    unet_heads=2,
    unet_groups=8,
    vae_channels=(8, 8, 16, 16),
    vae_blocks=1,
    vae_groups=4,
)
FULL = Sizes(
    vocabulary=49408,
    text_width=768,
    text_layers=12,
    text_heads=12,
    unet_channels=(320, 640, 1280, 1280),
    unet_attention=(True, True, True, False),
    unet_blocks=2,
    unet_heads=8,
    unet_groups=32,
    vae_channels=(128, 256, 512, 512),
    vae_blocks=2,
    vae_groups=32,
)


def text_model(sizes):
    return CLIPTextModel(
        CLIPTextConfig(
            vocab_size=sizes.vocabulary,
            hidden_size=sizes.text_width,
            intermediate_size=4 * sizes.text_width,
            num_hidden_layers=sizes.text_layers,
            num_attention_heads=sizes.text_heads,
            bos_token_id=sizes.vocabulary - 2,
            eos_token_id=sizes.vocabulary - 1,
        )
    ).eval()


def unet_model(sizes):
    down = ["CrossAttnDownBlock2D" if attention else "DownBlock2D" for attention in sizes.unet_attention]
    up = ["CrossAttnUpBlock2D" if attention else "UpBlock2D" for attention in reversed(sizes.unet_attention)]
    return UNet2DConditionModel(
        in_channels=4,
        out_channels=4,
        block_out_channels=sizes.unet_channels,
        down_block_types=down,
        up_block_types=up,
        layers_per_block=sizes.unet_blocks,
        cross_attention_dim=sizes.text_width,
        attention_head_dim=sizes.unet_heads,  # diffusers' name for the number of heads
        norm_num_groups=sizes.unet_groups,
    ).eval()


def vae_model(sizes):
    levels = len(sizes.vae_channels)
    return AutoencoderKL(
        block_out_channels=sizes.vae_channels,
        down_block_types=["DownEncoderBlock2D"] * levels,
        up_block_types=["UpDecoderBlock2D"] * levels,
        layers_per_block=sizes.vae_blocks,
        latent_channels=4,
        norm_num_groups=sizes.vae_groups,
        scaling_factor=0.18215,
    ).eval()


@torch.no_grad()
def randomize(model, seed):
    """Random weights of half precision under which activations stay about 1."""
    generator = torch.Generator().manual_seed(seed)
    for name, parameter in model.named_parameters():
        noise = torch.randn(parameter.shape, generator=generator)
        if "embedding.weight" in name:
            parameter.copy_(0.5 * noise)
        elif parameter.ndim > 1:
            parameter.copy_(noise / math.sqrt(parameter[0].numel()))
        else:
            parameter.copy_(0.1 * noise + (1.0 if "norm" in name and name.endswith("weight") else 0.0))
        parameter.copy_(parameter.half())


def unet_names(sizes):
    """(LDM prefix, diffusers prefix) of each residual block, transformer and single layer."""
    residual, other = [], [
        ("input_blocks.0.0", "conv_in"),
        ("time_embed.0", "time_embedding.linear_1"),
        ("time_embed.2", "time_embedding.linear_2"),
        ("out.0", "conv_norm_out"),
        ("out.2", "conv_out"),
    ]
    levels = len(sizes.unet_channels)
    block = 1
    for i in range(levels):
        for j in range(sizes.unet_blocks):
            residual.append((f"input_blocks.{block}.0", f"down_blocks.{i}.resnets.{j}"))
            other.append((f"input_blocks.{block}.1", f"down_blocks.{i}.attentions.{j}"))
            block += 1
        other.append((f"input_blocks.{block}.0.op", f"down_blocks.{i}.downsamplers.0.conv"))
        block += 1
    residual += [("middle_block.0", "mid_block.resnets.0"), ("middle_block.2", "mid_block.resnets.1")]
    other.append(("middle_block.1", "mid_block.attentions.0"))
    block = 0
    for i, attention in enumerate(reversed(sizes.unet_attention)):
        for j in range(sizes.unet_blocks + 1):
            residual.append((f"output_blocks.{block}.0", f"up_blocks.{i}.resnets.{j}"))
            other.append((f"output_blocks.{block}.1", f"up_blocks.{i}.attentions.{j}"))
            block += 1
        upsample = 2 if attention else 1
        other.append((f"output_blocks.{block - 1}.{upsample}.conv", f"up_blocks.{i}.upsamplers.0.conv"))
    parts = {
        "in_layers.0": "norm1",
        "in_layers.2": "conv1",
        "emb_layers.1": "time_emb_proj",
        "out_layers.0": "norm2",
        "out_layers.3": "conv2",
        "skip_connection": "conv_shortcut",
    }
    for ldm, diffusers in residual:
        other += [(f"{ldm}.{part}", f"{diffusers}.{name}") for part, name in parts.items()]
    return other


def vae_names(sizes):
    residual, names = [], [("quant_conv", "quant_conv"), ("post_quant_conv", "post_quant_conv")]
    levels = len(sizes.vae_channels)
    for side in ("encoder", "decoder"):
        names += [
            (f"{side}.conv_in", f"{side}.conv_in"),
            (f"{side}.norm_out", f"{side}.conv_norm_out"),
            (f"{side}.conv_out", f"{side}.conv_out"),
        ]
        residual += [(f"{side}.mid.block_{j + 1}", f"{side}.mid_block.resnets.{j}") for j in range(2)]
        attention = {"norm": "group_norm", "q": "to_q", "k": "to_k", "v": "to_v", "proj_out": "to_out.0"}
        names += [(f"{side}.mid.attn_1.{a}", f"{side}.mid_block.attentions.0.{b}") for a, b in attention.items()]
    for i in range(levels):
        for j in range(sizes.vae_blocks):
            residual.append((f"encoder.down.{i}.block.{j}", f"encoder.down_blocks.{i}.resnets.{j}"))
        for j in range(sizes.vae_blocks + 1):
            residual.append((f"decoder.up.{i}.block.{j}", f"decoder.up_blocks.{levels - 1 - i}.resnets.{j}"))
        names.append((f"encoder.down.{i}.downsample.conv", f"encoder.down_blocks.{i}.downsamplers.0.conv"))
        names.append((f"decoder.up.{i}.upsample.conv", f"decoder.up_blocks.{levels - 1 - i}.upsamplers.0.conv"))
    for ldm, diffusers in residual:
        names += [(f"{ldm}.{part}", f"{diffusers}.{part}") for part in ("norm1", "conv1", "norm2", "conv2")]
        names.append((f"{ldm}.nin_shortcut", f"{diffusers}.conv_shortcut"))
    return names


def renamed(model, names, prefix):
    """The model's weights in half precision under `prefix` and the first name of each pair."""
    weights = {}
    for name, tensor in model.state_dict().items():
        matches = [(a, b) for a, b in names if name.startswith(b + ".")]
        if len(matches) != 1:
            raise ValueError(f"{name} has {len(matches)} names in the original layout")
        ldm, diffusers = matches[0]
        if prefix == "first_stage_model" and tensor.ndim == 2:
            tensor = tensor[:, :, None, None]  # attention projections are 1x1 convolutions there
        weights[f"{prefix}.{ldm}{name[len(diffusers):]}"] = tensor.half().contiguous()
    return weights


def checkpoint(sizes, text, unet, vae):
    root = "cond_stage_model.transformer.text_model"
    weights = {f"{root}.{name}": tensor.half() for name, tensor in text.state_dict().items()}
    weights |= renamed(unet, unet_names(sizes), "model.diffusion_model")
    weights |= renamed(vae, vae_names(sizes), "first_stage_model")
    return weights


def models(sizes, seed):
    made = text_model(sizes), unet_model(sizes), vae_model(sizes)
    for offset, model in enumerate(made):
        randomize(model, seed + offset)
    return made


@torch.no_grad()
def encode_text(text, tokens):
    """Last and last but one hidden states, both after the final normalisation."""
    states = text(input_ids=tokens, output_hidden_states=True).hidden_states
    norm = text.final_layer_norm
    return norm(states[-1]), norm(states[-2]), states

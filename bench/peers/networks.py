"""The works as PyTorch modules with their inputs. Networks are diffusers', weights are those of the cache folder, which
export.py drew at random."""

import sys
from pathlib import Path

import torch
from diffusers import AutoencoderKL, UNet2DConditionModel

from works import HEAD_WIDTH, HEADS, LINEAR_IN, LINEAR_OUT, LINEAR_ROWS, PROMPT_TOKENS, TOKENS

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "reference"))
from ldm import FULL, unet_model, vae_model  # noqa: E402


class Unet(torch.nn.Module):
    """One call of the UNet, all its rows at the same step."""

    def __init__(self, model):
        super().__init__()
        self.model = model

    def forward(self, latent, step, context):
        return self.model(latent, step, context, return_dict=False)[0]


class Decoder(torch.nn.Module):
    """Pixels of a latent that has been divided by the scaling factor."""

    def __init__(self, model):
        super().__init__()
        self.model = model

    def forward(self, latent):
        return self.model.decode(latent, return_dict=False)[0]


class Attention(torch.nn.Module):
    """Attention of all heads, [batch, heads, tokens, head width]. PyTorch has a kernel for it; `written_out` is the
    three operations it stands for, which is what OpenVINO and ONNX Runtime are given."""

    def __init__(self, written_out):
        super().__init__()
        self.written_out = written_out

    def forward(self, query, key, value):
        if not self.written_out:
            return torch.nn.functional.scaled_dot_product_attention(query, key, value)
        scores = torch.matmul(query * HEAD_WIDTH**-0.5, key.transpose(-1, -2))
        return torch.matmul(torch.softmax(scores, dim=-1), value)


def module(work, cache, written_out=False):
    """The module of a work; with `cache` None, its shapes alone."""
    if work.kind == "attention":
        made = Attention(written_out)
    elif work.kind == "linear":
        made = torch.nn.Linear(LINEAR_IN, LINEAR_OUT)
    elif cache is None:
        with torch.device("meta"):
            made = Unet(unet_model(FULL)) if work.kind == "unet" else Decoder(vae_model(FULL))
    elif work.kind == "unet":
        made = Unet(UNet2DConditionModel.from_pretrained(cache / "diffusers/unet", torch_dtype=torch.float32))
    else:
        made = Decoder(AutoencoderKL.from_pretrained(cache / "diffusers/vae", torch_dtype=torch.float32))
    return made.eval().requires_grad_(False)


def inputs(work):
    """Arguments of the module, by name."""
    torch.manual_seed(1)
    if work.kind == "attention":
        return {name: torch.randn(1, HEADS, TOKENS, HEAD_WIDTH) for name in ("query", "key", "value")}
    if work.kind == "linear":
        return {"input": torch.randn(1, LINEAR_ROWS, LINEAR_IN)}
    latent = {"latent": torch.randn(work.batch, FULL_LATENT, work.edge, work.edge)}
    if work.kind == "vae":
        return latent
    return latent | {
        "step": torch.tensor([500.0]),
        "context": torch.randn(work.batch, PROMPT_TOKENS, FULL.text_width),
    }


FULL_LATENT = 4

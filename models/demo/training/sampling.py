"""Draws pictures with the demo model in PyTorch.

What it is: Euler steps with classifier-free guidance, enough to watch training and to evaluate a file, and a
command that writes a sheet of prompts from a checkpoint or a shipped file.
What it is not: the service's samplers; those are in the engine.
"""

import argparse
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from safetensors.torch import load_file

from models import LATENT_SCALE, DemoModel, TextConfig, cumulative_alphas
from tokenizer import Tokenizer

PROMPTS = ["a red apple on a blue background", "a cat", "a green apple", "purple octopus", "a blue heart",
           "a yellow star on a purple background", "a red car", "a dog on a green background",
           "a house", "a cat left of a dog", "three yellow stars on a purple background", "a mushroom, fluent 3d style",
           "a pink rose", "rocket, pixel art", "a blue butterfly on a yellow background", "a big orange fish"]


def load_model(path):
    """The model from a training checkpoint (averaged weights) or a safetensors file, ready to sample."""
    model = DemoModel()
    if path.suffix == ".safetensors":
        model.load_state_dict(load_file(path))
    else:
        model.load_state_dict(torch.load(path, weights_only=True)["average"])
    return model.eval().requires_grad_(False).to(memory_format=torch.channels_last)


@torch.no_grad()
def sample(model, tokenizer, captions, seeds, steps=20, guidance=4.0, side=16):
    """uint8 pictures (N, H, W, 3), one a caption; each seed starts its own noise."""
    alphas = cumulative_alphas()
    sigmas = ((1 - alphas) / alphas).sqrt()
    times = torch.linspace(999, 0, steps)
    low = times.floor().long()
    high = (low + 1).clamp(max=999)
    levels = torch.exp(torch.lerp(sigmas.log()[low], sigmas.log()[high], times - low))
    levels = torch.cat([levels, torch.zeros(1)])
    noise = [torch.randn(4, side, side, generator=torch.Generator().manual_seed(seed)) for seed in seeds]
    x = torch.stack(noise) * (levels[0] ** 2 + 1).sqrt()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        context = model.text(torch.tensor([tokenizer(text) for text in [*captions, ""]]))
        context = torch.cat([context[-1:].expand(len(captions), -1, -1), context[:-1]])
        for now, following, time in zip(levels, levels[1:], times):
            scaled = (x / (now ** 2 + 1).sqrt()).repeat(2, 1, 1, 1).contiguous(memory_format=torch.channels_last)
            empty, asked = model.unet(scaled, time.expand(len(scaled)), context).float().chunk(2)
            x = x + (empty + guidance * (asked - empty)) * (following - now)
        decoded = model.vae.decode(x / LATENT_SCALE).float()
    return ((decoded.clamp(-1, 1) + 1) * 127.5).round().byte().permute(0, 2, 3, 1).numpy()


def sheet(pictures, columns):
    """One picture with all of them in rows, a thin gap between."""
    count, height, width, _ = pictures.shape
    rows = -(-count // columns)
    canvas = np.full((rows * (height + 4) + 4, columns * (width + 4) + 4, 3), 255, np.uint8)
    for number, picture in enumerate(pictures):
        top, left = (number // columns) * (height + 4) + 4, (number % columns) * (width + 4) + 4
        canvas[top:top + height, left:left + width] = picture
    return Image.fromarray(canvas)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model", type=Path, help="training checkpoint or safetensors file")
    parser.add_argument("out", type=Path, help="PNG to write")
    parser.add_argument("--merges", type=Path, default=Path("bpe_simple_vocab_16e6.txt.gz"))
    parser.add_argument("--prompt", action="append", help="instead of the standing sixteen; may be repeated")
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--guidance", type=float, default=4.0)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    torch.set_num_threads(1)
    prompts = options.prompt or PROMPTS
    tokenizer = Tokenizer(options.merges, TextConfig.merges)
    seeds = range(options.seed, options.seed + len(prompts))
    pictures = sample(load_model(options.model), tokenizer, prompts, seeds, options.steps, options.guidance)
    sheet(pictures, 8).save(options.out)


if __name__ == "__main__":
    main()

"""Writes demo.safetensors: the averaged weights as f16, with the metadata that loaders and previews read.

What it is: the last step before shipping; it also fits the map from latents to preview colours.
What it is not: a converter; the names are the model's own.
"""

import argparse
import json
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from safetensors.torch import save_file

from compose import Composer
from models import LATENT_SCALE, DemoModel
from train_vae import to_tensor

SIZE_LIMIT = 32_000_000


@torch.no_grad()
def latent_colours(vae, composer, scenes=200):
    """Least squares 5x3 map (4 latent channels, then bias) from scaled latents to RGB in 0..1."""
    pictures = to_tensor(np.stack([composer.scene().picture for _ in range(scenes)]))
    latents = torch.cat([vae.encode(part)[0] for part in pictures.split(25)]) * LATENT_SCALE
    inputs = latents.permute(0, 2, 3, 1).reshape(-1, 4)
    colours = (F.avg_pool2d(pictures, 8).permute(0, 2, 3, 1).reshape(-1, 3) + 1) / 2
    inputs = torch.cat([inputs, torch.ones(len(inputs), 1)], dim=1)
    return torch.linalg.lstsq(inputs, colours).solution.tolist()


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--checkpoint", type=Path, default=Path("diffusion-training.pt"))
    parser.add_argument("--objects", type=Path, default=Path("objects.npz"))
    parser.add_argument("--vae", type=Path, help="a VAE with a decoder that was trained on")
    parser.add_argument("--guidance", type=float, default=4.0, help="the guidance that suits the model")
    parser.add_argument("--out", type=Path, default=Path("../demo.safetensors"))
    options = parser.parse_args()
    torch.set_num_threads(1)
    state = torch.load(options.checkpoint, weights_only=True)
    model = DemoModel()
    model.load_state_dict(state["average"])
    if options.vae:
        model.vae.load_state_dict(torch.load(options.vae, weights_only=True))
    colours = latent_colours(model.vae, Composer(options.objects, seed=99))
    metadata = {
        "modelspec.title": "Impasto demo",
        "modelspec.architecture": "stable-diffusion-v1",
        "modelspec.resolution": "128x128",
        "modelspec.prediction_type": "epsilon",
        "modelspec.license": "Apache-2.0; pictures: Apache-2.0, MIT and CC-BY-4.0, see NOTICE",
        "impasto.cfg_scale": f"{options.guidance:g}",
        "impasto.steps": str(state["step"]),
        "impasto.samples": str(state["samples"]),
        "impasto.latent_rgb": json.dumps([[round(value, 5) for value in row] for row in colours]),
    }
    tensors = {name: tensor.half().contiguous() for name, tensor in model.state_dict().items()}
    save_file(tensors, options.out, metadata=metadata)
    size = options.out.stat().st_size
    parameters = sum(tensor.numel() for tensor in tensors.values())
    print(f"{options.out}: {len(tensors)} tensors, {parameters} parameters, {size} bytes, step {state['step']}")
    if size >= SIZE_LIMIT:
        raise SystemExit(f"larger than {SIZE_LIMIT} bytes")


if __name__ == "__main__":
    main()

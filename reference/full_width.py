"""Writes a Stable Diffusion 1.5 checkpoint of full width with random weights (2.1 GB), and the file with which
`impasto bench parity` compares it. Neither belongs into the repository.

    python reference/full_width.py FOLDER [--size 256] [--steps 4]
    impasto bench parity --model FOLDER/full_width.safetensors --reference FOLDER/full_width_parity.safetensors
"""

import argparse
from pathlib import Path

from safetensors.torch import save_file

from ldm import FULL, checkpoint, models
from parity import parity

if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--size", type=int, default=256, help="edge of the pictures in pixels")
    parser.add_argument("--steps", type=int, default=4, help="steps of the trajectories")
    arguments = parser.parse_args()
    arguments.folder.mkdir(parents=True, exist_ok=True)
    text, unet, vae = models(FULL, seed=20)
    path = arguments.folder / "full_width.safetensors"
    save_file(checkpoint(FULL, text, unet, vae), path, FULL.metadata())
    print(path, path.stat().st_size, flush=True)
    edge = arguments.size // 8
    rows = parity(FULL, text, unet, vae, latent=(edge, edge), steps=arguments.steps)
    path = arguments.folder / "full_width_parity.safetensors"
    save_file(rows, path)
    print(path, path.stat().st_size)

"""Writes goldens/vae/*: an autoencoder beside the tiny checkpoint's own, narrower, as diffusers has it and as Latent
Diffusion's training saved it, and goldens/vae_files.safetensors, what diffusers makes of a latent and a picture with it."""

from dataclasses import replace

import torch
from safetensors.torch import save_file

from ldm import TINY, randomize, renamed, vae_model, vae_names
from make_models import GOLDENS, save

SIZES = replace(TINY, vae_channels=(4, 4, 8, 8))


@torch.no_grad()
def main():
    vae = vae_model(SIZES)
    randomize(vae, 77)
    folder = GOLDENS / "vae"
    folder.mkdir(exist_ok=True)
    weights = {name: tensor.half().contiguous() for name, tensor in vae.state_dict().items()}
    save_file(weights, folder / "diffusers.safetensors")
    place = "first_stage_model."
    original = {name.removeprefix(place): tensor for name, tensor in renamed(vae, vae_names(SIZES), place[:-1]).items()}
    original |= {"loss.logvar": torch.zeros(()), "model_ema.decay": torch.tensor(0.9)}
    torch.save({"epoch": 3, "state_dict": original}, folder / "ldm.pt")
    generator = torch.Generator().manual_seed(3)
    latent = torch.randn((1, 4, 3, 2), generator=generator)
    picture = torch.tanh(torch.randn((1, 3, 16, 24), generator=generator))
    save(
        "vae_files",
        {
            "latent": latent,
            "decoded": vae.decode(latent / 0.18215).sample,
            "picture": picture,
            "encoded": vae.encode(picture).latent_dist.mean * 0.18215,
        },
    )


if __name__ == "__main__":
    main()

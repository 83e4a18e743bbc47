"""The file that `impasto bench parity` compares a model with: inputs and outputs of its parts."""

import torch

from ldm import encode_text
from trajectories import trajectories


@torch.no_grad()
def parity(sizes, text, unet, vae, *, latent, tokens=77, steps=8):
    """`latent` is the size of a latent, height and width."""
    generator = torch.Generator().manual_seed(7)
    height, width = latent

    def noise(*shape):
        return torch.randn(shape, generator=generator)

    ids = torch.randint(0, sizes.vocabulary - 2, (2, 77), generator=generator)
    ids[:, 0], ids[:, 20:] = sizes.vocabulary - 2, sizes.vocabulary - 1
    hidden, penultimate, _ = encode_text(text, ids)
    rows = {"clip.tokens": ids, "clip.hidden": hidden, "clip.penultimate": penultimate}

    rows["unet.latent"] = noise(2, 4, height, width)
    rows["unet.timestep"] = torch.tensor([801.0, 33.5])
    rows["unet.context"] = noise(2, tokens, sizes.text_width)
    rows["unet.output"] = unet(rows["unet.latent"], rows["unet.timestep"], rows["unet.context"]).sample

    rows["vae.latent"] = noise(1, 4, height, width)
    rows["vae.decoded"] = vae.decode(rows["vae.latent"] / 0.18215).sample
    rows["vae.image"] = torch.tanh(noise(1, 3, 8 * height, 8 * width))
    rows["vae.encoded_mean"] = vae.encode(rows["vae.image"]).latent_dist.mean * 0.18215

    start, context, uncond = noise(1, 4, height, width), hidden[:1], hidden[1:]
    rows |= trajectories(unet, start, context, uncond, 7.0, steps)
    return {name: tensor.clone().contiguous() for name, tensor in rows.items()}

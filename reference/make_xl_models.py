"""Writes goldens/tiny_xl.safetensors, a random Stable Diffusion XL checkpoint of very little width, and what transformers
and diffusers make of its text encoders and its UNet: xl."""

import torch

from make_models import save
from sdxl import TINY_XL, checkpoint, models


def tokens():
    """Texts of different length. What follows their end is filled with it, as for the first encoder, or with zeros, as for the
    second."""
    begin, end = TINY_XL.vocabulary - 2, TINY_XL.vocabulary - 1
    rows = torch.full((3, 77), end)
    rows[0, :20] = torch.arange(3, 23)
    rows[1, :76] = torch.arange(100, 176)
    rows[2, :9] = torch.arange(200, 209)
    rows[2, 10:] = 0
    rows[:, 0] = begin
    return rows


def text_goldens(text, second):
    ids = tokens()
    rows = {"tokens": ids}
    states = text(input_ids=ids, output_hidden_states=True).hidden_states
    found = second(input_ids=ids, output_hidden_states=True)
    for skip in (1, 2):
        rows[f"first.skip_{skip}"] = states[-skip]
        rows[f"second.skip_{skip}"] = found.hidden_states[-skip]
    return rows | {"second.pooled": found.text_embeds}


def unet_goldens(unet, noise):
    """Two rows of one call, with contexts of different length and labels of their own."""
    rows = {"pooled": noise(2, TINY_XL.pooled)}
    # Height and width of the original, place of the cut, height and width wanted.
    rows["sizes"] = torch.tensor([[1024, 1024, 0, 0, 1024, 1024], [600, 931, 12, 345, 832, 1216]])
    waves = unet.add_time_proj(rows["sizes"].flatten()).reshape(2, -1)
    rows["label"] = torch.cat([rows["pooled"], waves], dim=-1)
    for name, height, width in (("even", 8, 8), ("odd", 9, 7)):
        rows[f"{name}.latent"], rows[f"{name}.timestep"] = noise(2, 4, height, width), torch.tensor([1.0, 640.5])
        for row, length in enumerate((77, 154)):
            context = noise(1, length, TINY_XL.text_width + TINY_XL.second_width)
            rows[f"{name}.context_{row}"] = context[0]
            here = slice(row, row + 1)
            added = {"text_embeds": rows["pooled"][here], "time_ids": rows["sizes"][here]}
            latent, time = rows[f"{name}.latent"][here], rows[f"{name}.timestep"][here]
            rows[f"{name}.output_{row}"] = unet(latent, time, context, added_cond_kwargs=added).sample[0]
    return rows


@torch.no_grad()
def main():
    generator = torch.Generator().manual_seed(3)

    def noise(*shape):
        return torch.randn(shape, generator=generator)

    text, second, unet, vae = models(TINY_XL, seed=30)
    metadata = TINY_XL.metadata() | {"modelspec.resolution": "64x64", "modelspec.title": "tiny random weights"}
    save("tiny_xl", checkpoint(TINY_XL, text, second, unet, vae), metadata)
    save("xl", text_goldens(text, second) | unet_goldens(unet, noise))


if __name__ == "__main__":
    main()

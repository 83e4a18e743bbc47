"""Writes goldens/tiny.safetensors, a random Stable Diffusion 1.x checkpoint of very little width, and what
transformers, diffusers and k-diffusion make of its parts: tiny_parity, clip, unet_blocks, unet and vae."""

from pathlib import Path

import torch
from safetensors.torch import save_file

from ldm import TINY, checkpoint, encode_text, models
from parity import parity

GOLDENS = Path(__file__).parent.parent / "goldens"


def save(name, tensors, metadata=None):
    path = GOLDENS / f"{name}.safetensors"
    save_file({key: tensor.clone().contiguous() for key, tensor in tensors.items()}, path, metadata)
    largest = max(float(tensor.abs().max()) for key, tensor in tensors.items() if tensor.is_floating_point())
    print(f"{path} {path.stat().st_size} bytes, largest element {largest:.3g}")


def clip_goldens(text, noise):
    """Every layer after the final normalisation, for a full and a short sequence."""
    rows = {}
    for name, length in (("full", 77), ("short", 5)):
        ids = (noise(2, length).abs() * 1000).long() % TINY.vocabulary
        _, _, states = encode_text(text, ids)
        rows[f"{name}.tokens"] = ids
        for skip in range(1, TINY.text_layers + 1):
            rows[f"{name}.skip_{skip}"] = text.final_layer_norm(states[-skip])
    return rows


def block_goldens(unet, noise):
    """Each kind of block, named as in the tests. Time embeddings are what SiLU makes of them."""
    a, b, _ = TINY.unet_channels
    features = 4 * a
    silu = torch.nn.functional.silu
    time, context = noise(2, features), noise(2, 9, TINY.text_width)
    rows = {"time": silu(time), "context": context}

    steps = torch.tensor([999.0, 0.25])
    rows["time_embedding.timesteps"] = steps
    rows["time_embedding.output"] = silu(unet.time_embedding(unet.time_proj(steps)))

    def put(name, x, output):
        rows[f"{name}.x"], rows[f"{name}.output"] = x, output

    down, up = unet.down_blocks[0], unet.up_blocks[1]
    x = noise(2, a, 6, 5)
    put("resnet", x, down.resnets[0](x, time))
    wide = noise(2, 2 * b, 6, 5)
    put("resnet_shortcut", wide, up.resnets[1](wide, time))
    put("transformer", x, down.attentions[0](x, encoder_hidden_states=context).sample)
    put("downsample", x, down.downsamplers[0](x))
    put("upsample", x, up.upsamplers[0](x))
    put("upsample_odd", x, up.upsamplers[0](x, output_size=(11, 9)))

    output, states = down(x, time, encoder_hidden_states=context)
    put("down", x, output)
    rows["down.skip"] = states[0]
    coarse = noise(2, TINY.unet_channels[2], 3, 2)
    put("bottom", coarse, unet.mid_block(coarse, time, encoder_hidden_states=context))
    coarse, skips = noise(2, TINY.unet_channels[2], 3, 3), [noise(2, channels, 3, 3) for channels in (a, b)]
    rows["up.skip_0"], rows["up.skip_1"] = skips
    put("up", coarse, up(coarse, tuple(skips), time, encoder_hidden_states=context))
    return rows


def unet_goldens(unet, noise):
    """Sizes that halve evenly and that do not, and rows of one call with contexts of different length."""
    rows = {}
    for name, height, width in (("even", 8, 8), ("odd", 9, 7), ("line", 1, 5)):
        rows[f"{name}.latent"], rows[f"{name}.timestep"] = noise(2, 4, height, width), torch.tensor([1.0, 640.5])
        for row, tokens in enumerate((77, 154)):
            context = noise(1, tokens, TINY.text_width)
            rows[f"{name}.context_{row}"] = context[0]
            latent, time = rows[f"{name}.latent"][row : row + 1], rows[f"{name}.timestep"][row : row + 1]
            rows[f"{name}.output_{row}"] = unet(latent, time, context).sample[0]
    return rows


def vae_goldens(vae, noise):
    rows = {}
    for name, height, width in (("square", 4, 4), ("wide", 2, 5)):
        latent, image = noise(2, 4, height, width), torch.tanh(noise(2, 3, 8 * height, 8 * width))
        rows[f"{name}.latent"], rows[f"{name}.image"] = latent, image
        rows[f"{name}.decoded"] = vae.decode(latent / 0.18215).sample
        rows[f"{name}.encoded"] = vae.encode(image).latent_dist.mean * 0.18215
    return rows


@torch.no_grad()
def main():
    generator = torch.Generator().manual_seed(1)

    def noise(*shape):
        return torch.randn(shape, generator=generator)

    text, unet, vae = models(TINY, seed=20)
    metadata = TINY.metadata() | {"modelspec.resolution": "64x64", "modelspec.title": "tiny random weights"}
    save("tiny", checkpoint(TINY, text, unet, vae), metadata)
    save("clip", clip_goldens(text, noise))
    save("unet_blocks", block_goldens(unet, noise))
    save("unet", unet_goldens(unet, noise))
    save("vae", vae_goldens(vae, noise))
    save("tiny_parity", parity(TINY, text, unet, vae, latent=(8, 6)))


if __name__ == "__main__":
    main()

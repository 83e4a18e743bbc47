"""Writes goldens/small/*, a narrow TAESD under the names of its files and a network of eight convolutions as AUTOMATIC1111's
`VAE-approx`, and goldens/small.safetensors, what diffusers and PyTorch make with them."""

import math

import torch
from diffusers import AutoencoderTiny

from make_models import GOLDENS, save

WIDTH = 8
KERNELS = (7, 5, 3, 3, 3, 3, 3, 3)
CHANNELS = (4, 4, 6, 8, 8, 6, 4, 4, 3)


def randomize(module, generator):
    for parameter in module.parameters():
        noise = torch.randn(parameter.shape, generator=generator)
        parameter.copy_(noise / math.sqrt(parameter[0].numel()) if parameter.ndim > 1 else 0.1 * noise)


class Approximate(torch.nn.Module):
    def __init__(self):
        super().__init__()
        for number, kernel in enumerate(KERNELS):
            self.add_module(f"conv{number + 1}", torch.nn.Conv2d(CHANNELS[number], CHANNELS[number + 1], kernel))

    def forward(self, x):
        x = torch.nn.functional.interpolate(x, scale_factor=2)
        x = torch.nn.functional.pad(x, (11, 11, 11, 11))
        for layer in self.children():
            x = torch.nn.functional.leaky_relu(layer(x), 0.1)
        return x


@torch.no_grad()
def main():
    folder = GOLDENS / "small"
    folder.mkdir(exist_ok=True)
    generator = torch.Generator().manual_seed(12)
    tiny = AutoencoderTiny(
        encoder_block_out_channels=(WIDTH,) * 4,
        decoder_block_out_channels=(WIDTH,) * 4,
        num_encoder_blocks=(1, 3, 3, 3),
        num_decoder_blocks=(3, 3, 3, 1),
    ).eval()
    approximate = Approximate().eval()
    randomize(tiny, generator)
    randomize(approximate, generator)
    # The clamp is the decoder's first layer in its file.
    decoder = {}
    for name, tensor in tiny.decoder.layers.state_dict().items():
        number, rest = name.split(".", 1)
        decoder[f"{int(number) + 1}.{rest}"] = tensor
    torch.save(decoder, folder / "taesd_decoder.pth")
    torch.save(dict(tiny.encoder.layers.state_dict()), folder / "taesd_encoder.pth")
    torch.save(approximate.state_dict(), folder / "model.pt")
    latent = 3 * torch.randn((2, 4, 3, 5), generator=generator)
    picture = torch.tanh(torch.randn((1, 3, 16, 24), generator=generator))
    save(
        "small",
        {
            "latent": latent,
            "decoded": tiny.decode(latent).sample,
            "picture": picture,
            "encoded": tiny.encode(picture).latents,
            "approximated": approximate(latent),
        },
    )


if __name__ == "__main__":
    main()

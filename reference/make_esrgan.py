"""Writes random upscalers of very little width and what their networks make of pictures: goldens/upscalers and goldens/esrgan.

The networks are stated again here, after the papers' figures and with the names of Real-ESRGAN's files: RRDB (Wang et al. 2018,
figure 4; with pixels as channels at the start for less enlargement, Wang et al. 2021) and the compact one (`SRVGGNetCompact`).
"""

from pathlib import Path

import torch
from safetensors.torch import save_file
from torch.nn import functional

from make_models import save

FOLDER = Path(__file__).parent.parent / "goldens" / "upscalers"


def drawn(shapes, generator):
    """Weights of about unit gain, in half precision."""
    weights = {}
    for name, shape in shapes.items():
        fan_in = max(1, torch.Size(shape[1:]).numel())
        weights[name] = (torch.randn(shape, generator=generator) / fan_in**0.5).half()
        if len(shape) == 1:
            weights[name] /= 4
    return weights


def convolutions(layers):
    shapes = {}
    for name, inputs, outputs in layers:
        shapes[f"{name}.weight"] = (outputs, inputs, 3, 3)
        shapes[f"{name}.bias"] = (outputs,)
    return shapes


class Rrdb:
    def __init__(self, channels, unshuffle, doublings, blocks, features=8, growth=4):
        self.unshuffle, self.doublings, self.blocks = unshuffle, doublings, blocks
        layers = [("conv_first", channels * unshuffle**2, features)]
        for block in range(blocks):
            for dense in (1, 2, 3):
                for number in range(5):
                    outputs = growth if number < 4 else features
                    layers.append(
                        (f"body.{block}.rdb{dense}.conv{number + 1}", features + number * growth, outputs)
                    )
        wide = ["conv_body"] + [f"conv_up{number + 1}" for number in range(doublings)] + ["conv_hr"]
        layers += [(name, features, features) for name in wide]
        self.shapes = convolutions(layers + [("conv_last", features, channels)])

    def forward(self, weights, x):
        def conv(name, x):
            return functional.conv2d(x, weights[f"{name}.weight"], weights[f"{name}.bias"], padding=1)

        def leaky(x):
            return functional.leaky_relu(x, 0.2)

        height, width = x.shape[2:]
        edge = self.unshuffle
        x = functional.pad(x, (0, -width % edge, 0, -height % edge), mode="replicate")
        first = conv("conv_first", functional.pixel_unshuffle(x, edge))
        hidden = first
        for block in range(self.blocks):
            inner = hidden
            for dense in (1, 2, 3):
                made = [inner]
                for number in range(4):
                    made.append(leaky(conv(f"body.{block}.rdb{dense}.conv{number + 1}", torch.cat(made, 1))))
                inner = conv(f"body.{block}.rdb{dense}.conv5", torch.cat(made, 1)) * 0.2 + inner
            hidden = inner * 0.2 + hidden
        hidden = first + conv("conv_body", hidden)
        for number in range(self.doublings):
            hidden = functional.interpolate(hidden, scale_factor=2, mode="nearest")
            hidden = leaky(conv(f"conv_up{number + 1}", hidden))
        scale = 2**self.doublings // edge
        return conv("conv_last", leaky(conv("conv_hr", hidden)))[:, :, : height * scale, : width * scale]


class Compact:
    def __init__(self, channels, scale, layers, features=8):
        self.scale, self.layers = scale, layers
        rows = [("body.0", channels, features)]
        rows += [(f"body.{2 * layer}", features, features) for layer in range(1, layers)]
        self.shapes = convolutions(rows + [(f"body.{2 * layers}", features, channels * scale**2)])
        self.shapes |= {f"body.{2 * layer + 1}.weight": (features,) for layer in range(layers)}

    def forward(self, weights, x):
        hidden = x
        for layer in range(self.layers + 1):
            name = f"body.{2 * layer}"
            hidden = functional.conv2d(hidden, weights[f"{name}.weight"], weights[f"{name}.bias"], padding=1)
            if layer < self.layers:
                hidden = functional.prelu(hidden, weights[f"body.{2 * layer + 1}.weight"])
        enlarged = functional.interpolate(x, scale_factor=self.scale, mode="nearest")
        return functional.pixel_shuffle(hidden, self.scale) + enlarged


NETWORKS = {
    "rrdb_x4": Rrdb(3, unshuffle=1, doublings=2, blocks=2),
    "rrdb_x2": Rrdb(3, unshuffle=2, doublings=2, blocks=1),
    "rrdb_x1": Rrdb(3, unshuffle=4, doublings=2, blocks=1),
    "rrdb_x8": Rrdb(3, unshuffle=1, doublings=3, blocks=1),
    "rrdb_gray_x2": Rrdb(1, unshuffle=1, doublings=1, blocks=1),
    "compact_x4": Compact(3, scale=4, layers=3),
    "compact_x2": Compact(3, scale=2, layers=2),
    "compact_x1": Compact(4, scale=1, layers=1),
}


@torch.no_grad()
def main():
    FOLDER.mkdir(parents=True, exist_ok=True)
    generator = torch.Generator().manual_seed(5)
    rows = {}
    for name, network in NETWORKS.items():
        weights = drawn(network.shapes, generator)
        if name == "rrdb_x4":
            # As training programs save it.
            torch.save({"params_ema": weights}, FOLDER / f"{name}.pth")
        else:
            save_file(weights, FOLDER / f"{name}.safetensors")
        channels = next(iter(network.shapes.values()))[1]
        if isinstance(network, Rrdb):
            channels //= network.unshuffle**2
        picture = torch.rand(2, channels, 9, 7, generator=generator)
        rows[f"{name}.picture"] = picture
        rows[f"{name}.made"] = network.forward({key: tensor.float() for key, tensor in weights.items()}, picture)
    save("esrgan", rows)


if __name__ == "__main__":
    main()

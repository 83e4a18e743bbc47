"""Writes goldens/hypernetworks/*, hypernetworks of the structures and activations that AUTOMATIC1111 offers for the tiny checkpoint, what
the UNet gives with each, goldens/hypernetworks.safetensors, and PyTorch's activations, in goldens/curves.safetensors."""

import math
from collections import OrderedDict

import torch

from ldm import TINY, models
from make_models import GOLDENS, save

WIDTHS = (16, 32)
STRENGTH = 0.7
# Names as AUTOMATIC1111 has them: "swish" is Hardswish there.
CURVES = {
    "relu": torch.nn.ReLU,
    "leakyrelu": torch.nn.LeakyReLU,
    "prelu": torch.nn.PReLU,
    "rrelu": torch.nn.RReLU,
    "relu6": torch.nn.ReLU6,
    "elu": torch.nn.ELU,
    "celu": torch.nn.CELU,
    "selu": torch.nn.SELU,
    "gelu": torch.nn.GELU,
    "silu": torch.nn.SiLU,
    "mish": torch.nn.Mish,
    "hardswish": torch.nn.Hardswish,
    "hardsigmoid": torch.nn.Hardsigmoid,
    "hardtanh": torch.nn.Hardtanh,
    "sigmoid": torch.nn.Sigmoid,
    "logsigmoid": torch.nn.LogSigmoid,
    "tanh": torch.nn.Tanh,
    "tanhshrink": torch.nn.Tanhshrink,
    "softplus": torch.nn.Softplus,
    "softsign": torch.nn.Softsign,
    "softshrink": torch.nn.Softshrink,
    "hardshrink": torch.nn.Hardshrink,
}
KINDS = {
    "plain": {"structure": (1, 2, 1), "activation": None},
    "old": {"structure": (1, 2, 1), "activation": None},
    "norm": {"structure": (1, 2, 1), "activation": "relu", "norm": True, "end": False},
    "deep": {"structure": (1, 1.5, 2, 1), "activation": "swish", "norm": True, "dropout": (0, 0.3, 0.3, 0), "end": True},
    "prelu": {"structure": (1, 2, 1), "activation": "prelu", "end": True},
    "half": {"structure": (1, 2, 1), "activation": "elu", "end": False},
}


def network(width, structure, activation, norm=False, end=True, dropout=None):
    """The layers in their order; the strength and the sum are the caller's."""
    layers = []
    last = len(structure) - 2
    for i in range(len(structure) - 1):
        outputs = int(width * structure[i + 1])
        layers.append(torch.nn.Linear(int(width * structure[i]), outputs))
        if activation and (i < last or end):
            layers.append(torch.nn.Hardswish() if activation == "swish" else CURVES[activation]())
        if norm:
            layers.append(torch.nn.LayerNorm(outputs))
        if dropout and dropout[i + 1] > 0:
            layers.append(torch.nn.Dropout(dropout[i + 1]))
    return torch.nn.Sequential(*layers).eval()


def randomized(module, generator):
    for name, parameter in module.named_parameters():
        noise = torch.randn(parameter.shape, generator=generator)
        if parameter.ndim > 1:
            parameter.copy_(noise / math.sqrt(parameter.shape[1]))
        elif parameter.numel() == 1:
            parameter.copy_(noise.abs() * 0.3)
        else:
            parameter.copy_(0.2 * noise + (1 if name.endswith("weight") else 0))
    return module


class Before(torch.nn.Module):
    """A layer that is given what a network adds to its input."""

    def __init__(self, networks, layer):
        super().__init__()
        self.networks, self.layer = networks, layer

    def forward(self, x):
        network = self.networks.get(x.shape[-1])
        return self.layer(x if network is None else x + STRENGTH * network(x))


def saved(kind, pairs):
    """The dictionary that AUTOMATIC1111 saves."""
    about = KINDS[kind]
    state = {}
    for width, pair in pairs.items():
        states = []
        for module in pair:
            names = OrderedDict((f"linear.{name}", tensor.clone()) for name, tensor in module.state_dict().items())
            if kind == "old":
                names = OrderedDict((name.replace("linear.0", "linear1").replace("linear.1", "linear2"), t) for name, t in names.items())
            if kind == "half":
                names = OrderedDict((name, tensor.half()) for name, tensor in names.items())
            states.append(names)
        state[width] = tuple(states)
    if kind == "old":
        return state
    state |= {
        "step": 100,
        "name": kind,
        "layer_structure": list(about["structure"]),
        "activation_func": about["activation"],
        "is_layer_norm": about.get("norm", False),
        "weight_initialization": "Normal",
        "sd_checkpoint": None,
        "sd_checkpoint_name": "tiny",
        "activate_output": about.get("end", True),
        "last_layer_dropout": False,
        "dropout_structure": list(about["dropout"]) if "dropout" in about else None,
        "optional_info": None,
    }
    return state


@torch.no_grad()
def main():
    folder = GOLDENS / "hypernetworks"
    folder.mkdir(exist_ok=True)
    generator = torch.Generator().manual_seed(8)
    latent = torch.randn((1, 4, 8, 8), generator=generator)
    context = torch.randn((77, TINY.text_width), generator=generator)
    timestep = torch.tensor([321.0])
    rows = {"latent": latent, "context": context, "timestep": timestep}
    for kind, about in KINDS.items():
        _, unet, _ = models(TINY, seed=20)
        rows["plain_unet"] = unet(latent, timestep, context[None]).sample
        arguments = {name: value for name, value in about.items()}
        make = lambda width: randomized(network(width, **arguments), generator)
        # "norm" changes the text alone, "half" the pixels of the finest levels alone.
        widths = {"norm": (32,), "half": (16,)}.get(kind, WIDTHS)
        pairs = {width: (make(width), make(width)) for width in widths}
        if kind == "half":
            for pair in pairs.values():
                for module in pair:
                    for parameter in module.parameters():
                        parameter.copy_(parameter.half())
        torch.save(saved(kind, pairs), folder / f"{kind}.pt")
        for name, module in list(unet.named_modules()):
            if name.endswith((".attn1", ".attn2")):
                module.to_k = Before({width: pair[0] for width, pair in pairs.items()}, module.to_k)
                module.to_v = Before({width: pair[1] for width, pair in pairs.items()}, module.to_v)
        rows[kind] = unet(latent, timestep, context[None]).sample
    save("hypernetworks", rows)
    x = torch.cat([torch.linspace(-8, 8, 129), torch.tensor([-100.0, -30.0, 25.0, 100.0, 0.5, -0.5])])
    save("curves", {"x": x} | {name: curve().eval()(x) for name, curve in CURVES.items()})


if __name__ == "__main__":
    main()

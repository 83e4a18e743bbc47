"""Writes small files as torch.save wrote and writes them, and the tensors they hold as a safetensors file, for the tests
of impasto-weights.

    python reference/make_checkpoints.py
"""

import sys
import types
from collections import OrderedDict
from pathlib import Path

import numpy
import torch
from safetensors.torch import save_file

FOLDER = Path(__file__).parent.parent / "goldens" / "checkpoints"


def tensors():
    """One tensor for each way in which storages, views and element types occur."""
    numbers = torch.arange(24, dtype=torch.float32) / 8 - 1
    shared = torch.arange(10, dtype=torch.float32)
    return OrderedDict(
        [
            ("f64", numbers[:4].double()),
            ("f32", numbers.reshape(2, 3, 4).clone()),
            ("f16", numbers[:6].half().reshape(3, 2)),
            ("bf16", numbers[:5].bfloat16()),
            ("i64", torch.tensor([1, -2, 2**40])),
            ("i32", torch.tensor([[7], [-8]], dtype=torch.int32)),
            ("u8", torch.tensor([0, 255], dtype=torch.uint8)),
            ("bool", torch.tensor([True, False, True])),
            ("scalar", torch.tensor(2.5)),
            ("empty", torch.zeros(0, 3)),
            ("parameter", torch.nn.Parameter(numbers[:3].clone())),
            ("shared.start", shared[:4]),
            ("shared.end", shared[6:]),
            ("shared.every_other", shared[::2]),
            ("transposed", numbers[:6].reshape(2, 3).t()),
            ("channels_last", numbers.half().reshape(1, 2, 3, 4).contiguous(memory_format=torch.channels_last)),
        ]
    )


def model_checkpoint():
    """The class that checkpoints of the first training runs mention; an empty one under its name."""
    name = "pytorch_lightning.callbacks.model_checkpoint"
    module = types.ModuleType(name)
    module.ModelCheckpoint = type("ModelCheckpoint", (), {"__module__": name})
    for part in ("pytorch_lightning", "pytorch_lightning.callbacks"):
        sys.modules[part] = types.ModuleType(part)
    sys.modules[name] = module
    return module.ModelCheckpoint


def main():
    FOLDER.mkdir(parents=True, exist_ok=True)
    state = tensors()
    plain = {name: tensor.detach().clone(memory_format=torch.contiguous_format) for name, tensor in state.items()}
    save_file(plain, FOLDER / "expected.safetensors")
    lightning = {
        "epoch": 3,
        "global_step": 470000,
        "pytorch-lightning_version": "1.4.2",
        "state_dict": state,
        "callbacks": {model_checkpoint(): {"best_model_score": numpy.float64(0.25), "monitor": None}},
        "optimizer_states": [{"state": {0: {"step": 5, "exp_avg": torch.zeros(2)}}, "param_groups": [{"lr": 1e-4}]}],
        "lr_schedulers": [],
        "sizes": {torch.Size([1, 2]), torch.float16},
    }
    torch.save(lightning, FOLDER / "zip.ckpt")
    torch.save(lightning, FOLDER / "legacy.ckpt", _use_new_zipfile_serialization=False)
    torch.save(dict(state), FOLDER / "protocol_4.pt", pickle_protocol=4)
    torch.save({"expanded": torch.ones(1).expand(1000, 1000)}, FOLDER / "expanded.pt")
    embedding = {
        "string_to_token": {"*": torch.tensor(265)},
        "string_to_param": torch.nn.ParameterDict({"*": torch.zeros(2, 8)}),
        "name": "dog",
        "step": 10,
    }
    torch.save(embedding, FOLDER / "embedding.pt")


if __name__ == "__main__":
    main()

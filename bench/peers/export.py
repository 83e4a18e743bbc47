"""Draws the weights and makes each peer's form of the networks in a folder outside the repository. What is there already
is left alone, so that a broken run can be started again.

    python bench/peers/export.py CACHE [weights flops openvino onnx int8]

    CACHE/full_width.safetensors   the checkpoint that Impasto reads, f16 (2.1 GB)
    CACHE/diffusers/               the same weights for diffusers, f16 (2.1 GB)
    CACHE/flops.json               floating-point operations of each work
    CACHE/openvino/, onnx/, int8/  the networks for OpenVINO and ONNX Runtime, f32 and W8A8 (8 GB)
"""

import argparse
import json
import shutil
from pathlib import Path

import torch

from networks import FULL, inputs, module
from works import WORKS, Work

# One graph serves all sizes of a network, which are set when it is loaded; the size here is that of the examples.
GRAPHS = {
    "unet": WORKS["unet-256-b1"],
    "vae": Work("vae", "VAE decoder", size=128),
    "attention": WORKS["attention"],
    "linear": WORKS["linear"],
}
CALIBRATION_SAMPLES = 2


def write(path, make):
    """Lets `make` write into a folder that gets its name only when it is whole."""
    if path.exists():
        print(path, "is there", flush=True)
        return
    unfinished = path.with_name(path.name + ".unfinished")
    shutil.rmtree(unfinished, ignore_errors=True)
    unfinished.mkdir(parents=True)
    make(unfinished)
    unfinished.rename(path)
    print(path, "written", flush=True)


def weights(cache):
    from ldm import checkpoint, models
    from safetensors.torch import save_file

    def make(folder):
        text, unet, vae = models(FULL, seed=20)
        save_file(checkpoint(FULL, text, unet, vae), cache / "full_width.safetensors", FULL.metadata())
        for name, model in (("text_encoder", text), ("unet", unet), ("vae", vae)):
            model.half().save_pretrained(folder / name)

    write(cache / "diffusers", make)


def flops(cache):
    from torch.utils.flop_counter import FlopCounterMode

    counts = {}
    for name, work in WORKS.items():
        if work.kind == "job":
            continue
        counter = FlopCounterMode(display=False)
        with counter, torch.no_grad(), torch.device("meta"):
            module(work, None).to("meta")(*(value.to("meta") for value in inputs(work).values()))
        counts[name] = counter.get_total_flops()
    (cache / "flops.json").write_text(json.dumps(counts, indent=2) + "\n")
    print({name: f"{count / 1e9:.1f} GFLOP" for name, count in counts.items()}, flush=True)


def openvino(cache):
    import openvino as ov

    for name, work in GRAPHS.items():

        def make(folder, work=work):
            example = inputs(work)
            model = ov.convert_model(module(work, cache, written_out=True), example_input=example)
            for port, key in zip(model.inputs, example, strict=True):
                port.get_tensor().set_names({key})
            ov.save_model(model, folder / "model.xml", compress_to_fp16=False)

        write(cache / "openvino" / name, make)


def onnx(cache):
    axes = {"latent": {0: "batch", 2: "height", 3: "width"}, "context": {0: "batch"}}
    for name, work in GRAPHS.items():

        def make(folder, work=work):
            example = inputs(work)
            torch.onnx.export(
                module(work, cache, written_out=True),
                tuple(example.values()),
                folder / "model.onnx",
                input_names=list(example),
                dynamic_shapes={key: dict(axes.get(key, {})) for key in example},
                dynamo=True,
                external_data=True,
            )

        write(cache / "onnx" / name, make)


def int8(cache):
    import nncf
    import openvino as ov

    def make(folder):
        samples = []
        for seed in range(CALIBRATION_SAMPLES):
            torch.manual_seed(seed)
            samples.append(
                {
                    key: torch.randn_like(value) if key != "step" else value
                    for key, value in inputs(GRAPHS["unet"]).items()
                }
            )
        model = ov.Core().read_model(cache / "openvino/unet/model.xml")
        quantised = nncf.quantize(
            model,
            nncf.Dataset(samples, lambda sample: {key: value.numpy() for key, value in sample.items()}),
            subset_size=CALIBRATION_SAMPLES,
            model_type=nncf.ModelType.TRANSFORMER,
            advanced_parameters=nncf.AdvancedQuantizationParameters(
                disable_bias_correction=True,
                smooth_quant_alphas=nncf.AdvancedSmoothQuantParameters(convolution=-1, matmul=-1),
            ),
        )
        ov.save_model(quantised, folder / "model.xml", compress_to_fp16=False)

    write(cache / "int8" / "unet", make)


STAGES = {"weights": weights, "flops": flops, "openvino": openvino, "onnx": onnx, "int8": int8}

if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("cache", type=Path)
    parser.add_argument("stages", nargs="*", choices=list(STAGES), default=list(STAGES))
    arguments = parser.parse_args()
    arguments.cache.mkdir(parents=True, exist_ok=True)
    torch.set_num_threads(2)
    for stage in arguments.stages:
        STAGES[stage](arguments.cache)

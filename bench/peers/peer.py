"""One peer with one work, as a child of run.py: writes a line when it is ready, then makes one call for each line it
reads and writes the seconds it took.

    python bench/peers/peer.py torch unet-512-b2 CACHE

A whole job is over with the process: one picture, from loading the networks to writing the file; run.py takes the time.
"""

import argparse
import json
import sys
import tempfile
import time
from pathlib import Path

from works import CFG_SCALE, PROMPT, PROMPT_TOKENS, STEPS, THREADS, WORKS


def load_torch(work, cache, compiled=False):
    import torch

    from networks import inputs, module

    torch.set_num_threads(THREADS)

    def channels_last(tensor):
        return (
            tensor.to(memory_format=torch.channels_last)
            if work.kind in ("unet", "vae") and tensor.ndim == 4
            else tensor
        )

    made = module(work, cache)
    if work.kind in ("unet", "vae"):
        made.to(memory_format=torch.channels_last)
    if compiled:
        made = torch.compile(made)
    arguments = [channels_last(value) for value in inputs(work).values()]

    def call():
        with torch.inference_mode():
            made(*arguments)

    return call


def load_compile(work, cache):
    return load_torch(work, cache, compiled=True)


def load_openvino(work, cache):
    import openvino as ov

    arguments = numpy_inputs(work)
    core = ov.Core()
    folder = "int8" if work.precision == "int8" else "openvino"
    model = core.read_model(cache / folder / work.kind / "model.xml")
    model.reshape({key: list(value.shape) for key, value in arguments.items()})
    options = {"INFERENCE_NUM_THREADS": THREADS, "PERFORMANCE_HINT": "LATENCY", "INFERENCE_PRECISION_HINT": "f32"}
    request = core.compile_model(model, "CPU", options).create_infer_request()
    del model
    return lambda: request.infer(arguments, share_inputs=True, share_outputs=True)


def load_onnxruntime(work, cache):
    import onnxruntime

    arguments = numpy_inputs(work)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = THREADS
    options.inter_op_num_threads = 1
    for name, size in (("batch", work.batch), ("height", work.edge), ("width", work.edge)):
        options.add_free_dimension_override_by_name(name, size)
    path = cache / "onnx" / work.kind / "model.onnx"
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    return lambda: session.run(None, arguments)


def numpy_inputs(work):
    """The inputs, made by PyTorch in a process of its own, which takes PyTorch's memory with it."""
    import multiprocessing

    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return pool.apply(_numpy_inputs, (work,))


def _numpy_inputs(work):
    from networks import inputs

    return {key: value.numpy() for key, value in inputs(work).items()}


def diffusers_job(work, cache):
    """What a short script with diffusers does, less the tokenizer, whose vocabulary is a download."""
    import torch
    from diffusers import AutoencoderKL, EulerAncestralDiscreteScheduler, StableDiffusionPipeline, UNet2DConditionModel
    from transformers import CLIPTextModel

    torch.set_num_threads(THREADS)
    kinds = {"text_encoder": CLIPTextModel, "unet": UNet2DConditionModel, "vae": AutoencoderKL}
    parts = {
        name: kind.from_pretrained(cache / "diffusers" / name, torch_dtype=torch.float32)
        for name, kind in kinds.items()
    }
    scheduler = EulerAncestralDiscreteScheduler(
        beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear", steps_offset=1
    )
    pipeline = StableDiffusionPipeline(
        **parts,
        tokenizer=None,
        scheduler=scheduler,
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )
    pipeline.unet.to(memory_format=torch.channels_last)
    pipeline.vae.to(memory_format=torch.channels_last)
    pipeline.set_progress_bar_config(disable=True)
    with torch.inference_mode():
        prompt, negative = (
            parts["text_encoder"](tokens)[0] for tokens in torch.randint(0, 49000, (2, 1, PROMPT_TOKENS))
        )
        picture = pipeline(
            prompt_embeds=prompt,
            negative_prompt_embeds=negative,
            width=work.size,
            height=work.size,
            num_inference_steps=STEPS,
            guidance_scale=CFG_SCALE,
        ).images[0]
    save(picture)


def sdcpp_job(work, cache):
    from stable_diffusion_cpp import StableDiffusion

    model = StableDiffusion(model_path=str(cache / "full_width.safetensors"), n_threads=THREADS, vae_decode_only=True)
    picture = model.generate_image(
        PROMPT,
        width=work.size,
        height=work.size,
        sample_method="euler_a",
        sample_steps=STEPS,
        cfg_scale=CFG_SCALE,
        seed=1,
    )[0]
    save(picture)


def save(picture):
    with tempfile.TemporaryDirectory() as folder:
        picture.save(Path(folder) / "picture.png")


JOBS = {"diffusers": diffusers_job, "sdcpp": sdcpp_job}
LOADERS = {
    "torch": load_torch,
    "compile": load_compile,
    "openvino": load_openvino,
    "onnxruntime": load_onnxruntime,
}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("peer", choices=[*LOADERS, *JOBS])
    parser.add_argument("work", choices=list(WORKS))
    parser.add_argument("cache", type=Path)
    arguments = parser.parse_args()
    work = WORKS[arguments.work]
    answers, sys.stdout = sys.stdout, sys.stderr  # libraries may print; the answers stay clean
    if work.kind == "job":
        return JOBS[arguments.peer](work, arguments.cache)
    call = LOADERS[arguments.peer](work, arguments.cache)
    call()  # compiles what is compiled at the first call
    print("ready", file=answers, flush=True)
    for _ in sys.stdin:
        started = time.perf_counter()
        call()
        print(json.dumps({"seconds": time.perf_counter() - started}), file=answers, flush=True)


if __name__ == "__main__":
    main()

"""Trains the text tower and the UNet together on latents of composed scenes.

What it is: stage two. Every worker keeps a pool of encoded scenes that it refreshes with new ones each step;
Muon, an average of the weights, bf16 products. It goes on from its checkpoint, or with --resume from the
shipped file alone (fresh optimiser, warm-up).
What it is not: a trainer for other models; the VAE is frozen and must have its normalisation folded in.
"""

import argparse
import copy
import time
from pathlib import Path

import numpy as np
import torch
from safetensors import safe_open
from safetensors.torch import load_file

from compose import Composer
from models import LATENT_SCALE, DemoModel, TextConfig, cumulative_alphas
from muon import Muon
from parallel import FlatParameters, copy_parameters, run_workers
from tokenizer import Tokenizer
from train_vae import to_tensor

AVERAGE_DECAY = 0.998
WARM_UP = 100
EMPTY_CAPTIONS = 0.1


class LatentPool:
    """Encoded scenes with their captions' tokens; grows to `size`, then new scenes replace old ones."""

    def __init__(self, composer, vae, tokenizer, size):
        self.composer, self.vae, self.tokenizer, self.size = composer, vae, tokenizer, size
        self.latents, self.tokens, self.count = torch.zeros(size, 4, 16, 16), torch.zeros(size, 77, dtype=torch.long), 0

    @torch.no_grad()
    def add(self, number, random):
        """Composes and encodes `number` new scenes."""
        scenes = [self.composer.scene() for _ in range(number)]
        pictures = to_tensor(np.stack([scene.picture for scene in scenes]))
        with torch.autocast("cpu", dtype=torch.bfloat16):
            latents = self.vae.encode(pictures)[0].float() * LATENT_SCALE
        for scene, latent in zip(scenes, latents):
            place = self.count if self.count < self.size else random.integers(self.size)
            self.count = min(self.count + 1, self.size)
            self.latents[place] = latent
            self.tokens[place] = torch.tensor(self.tokenizer(scene.caption))

    def draw(self, number, random):
        chosen = torch.from_numpy(random.integers(self.count, size=number))
        return self.latents[chosen], self.tokens[chosen]


def diffusion_loss(model, latents, tokens, alphas, draws):
    """Weighted noise error; each latent is noised `draws` times, its caption read once.

    The weight 1 / alpha is that of a velocity loss. With the plain error nearly all of the gradient is about
    local detail at little noise, and the captions, which matter where there is much, are hardly learnt.
    """
    latents = latents.repeat(draws, 1, 1, 1)
    steps = (1000 * torch.rand(len(latents)) ** 0.65).long()
    noise = torch.randn_like(latents)
    alpha = alphas[steps].view(-1, 1, 1, 1)
    noisy = alpha.sqrt() * latents + (1 - alpha).sqrt() * noise
    with torch.autocast("cpu", dtype=torch.bfloat16):
        context = model.text(tokens)
        predicted = model.unet(noisy.contiguous(memory_format=torch.channels_last), steps, context)
    return ((predicted.float() - noise).pow(2).mean(dim=(1, 2, 3)) / alpha.flatten()).mean()


def learning_rate(options, steps_here, part):
    """Warm-up after every start, then flat, then down to a fiftieth over the last 40 % of the time."""
    fall = 1.0 if part < 0.6 else max(0.02, 1 - 0.98 * (part - 0.6) / 0.4)
    return options.rate * min(1.0, (steps_here + 1) / WARM_UP) * fall


def load_state(options, model, optimiser):
    """Where to start: the checkpoint if there is one, else the shipped file, else nothing but the VAE."""
    state = {"step": 0, "samples": 0, "elapsed": 0.0, "average": None}
    if options.checkpoint.exists():
        state = torch.load(options.checkpoint, weights_only=True)
        model.load_state_dict(state["model"])
        optimiser.load_state_dict(state["optimiser"])
    elif options.resume:
        model.load_state_dict(load_file(options.resume))
        with safe_open(options.resume, "pt") as file:
            state.update(step=int(file.metadata()["impasto.steps"]), samples=int(file.metadata()["impasto.samples"]))
    else:
        model.vae.load_state_dict(torch.load(options.vae, weights_only=True))
    return state


def train(rank, workers, options):
    torch.manual_seed(options.seed)
    model = DemoModel().to(memory_format=torch.channels_last)
    model.vae.requires_grad_(False)
    trained = FlatParameters([*model.text.parameters(), *model.unet.parameters()])
    optimiser = Muon([*model.text.named_parameters(), *model.unet.named_parameters()],
                     lambda name, p: name.startswith("embeddings.") or min(p.shape[:2]) < 16)
    state = load_state(options, model, optimiser)
    step, samples, elapsed = state["step"], state["samples"], state["elapsed"]
    copy_parameters(model)
    average = copy.deepcopy(model).requires_grad_(False)
    if state["average"]:
        average.load_state_dict(state["average"])
    averaged = FlatParameters([*average.text.parameters(), *average.unet.parameters()])

    torch.manual_seed(options.seed + 1000 * rank + step)
    random = np.random.default_rng(options.seed + 1000 * rank + step)
    tokenizer = Tokenizer(options.merges, TextConfig.merges)
    empty = torch.tensor(tokenizer(""))
    composer = Composer(options.objects, seed=options.seed + 1000 * rank + step, concepts=options.concepts)
    pool = LatentPool(composer, model.vae, tokenizer, options.pool)
    for _ in range(options.first_scenes // 20):
        pool.add(20, random)
    alphas, steps_here, total, stop = cumulative_alphas(), 0, 0.0, torch.zeros(1)
    saved_at = shown_at = time.time()
    while not stop.item():
        began = time.time()
        rate = learning_rate(options, steps_here, elapsed / (60 * options.minutes))
        pool.add(options.fresh, random)
        latents, tokens = pool.draw(options.batch, random)
        tokens[torch.rand(len(tokens)) < EMPTY_CAPTIONS] = empty
        loss = diffusion_loss(model, latents, tokens, alphas, options.draws)
        trained.values.grad.zero_()
        loss.backward()
        if trained.average_and_clip(workers, limit=1.0):
            optimiser.step(rate, rank, workers)
        step, steps_here = step + 1, steps_here + 1
        samples += options.batch * options.draws * workers
        elapsed += time.time() - began
        total = 0.99 * total + 0.01 * loss.item() if total else loss.item()
        if rank == 0:
            averaged.values.data.lerp_(trained.values.data, 1 - min(AVERAGE_DECAY, (1 + step) / (10 + step)))
            if time.time() - shown_at > 30:
                shown_at = time.time()
                print(f"{time.strftime('%H:%M:%S')} step {step} samples {samples} minutes {elapsed / 60:.1f} "
                      f"loss {total:.4f} rate {rate:.1e}", flush=True)
            stop[0] = float(elapsed > 60 * options.minutes)
            if stop.item() or time.time() - saved_at > 120:
                saved_at = time.time()
                scratch = options.checkpoint.with_suffix(".new")
                torch.save({"model": model.state_dict(), "average": average.state_dict(), "step": step,
                            "optimiser": optimiser.state_dict(), "samples": samples, "elapsed": elapsed}, scratch)
                scratch.replace(options.checkpoint)
        torch.distributed.broadcast(stop, src=0)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--objects", type=Path, default=Path("objects.npz"))
    parser.add_argument("--merges", type=Path, default=Path("bpe_simple_vocab_16e6.txt.gz"))
    parser.add_argument("--vae", type=Path, default=Path("vae.pt"), help="the frozen VAE, for a first start")
    parser.add_argument("--resume", type=Path, help="shipped file to go on from when there is no checkpoint")
    parser.add_argument("--checkpoint", type=Path, default=Path("diffusion-training.pt"))
    parser.add_argument("--concepts", type=int, help="use only the first so many lines of concepts.tsv")
    parser.add_argument("--minutes", type=float, default=90, help="of all runs of this checkpoint together")
    parser.add_argument("--batch", type=int, default=8, help="latents a worker and step")
    parser.add_argument("--draws", type=int, default=3, help="noises for each latent")
    parser.add_argument("--fresh", type=int, default=2, help="new scenes a worker and step")
    parser.add_argument("--pool", type=int, default=20000, help="scenes that a worker keeps")
    parser.add_argument("--first-scenes", type=int, default=1500, help="scenes before the first step")
    parser.add_argument("--rate", type=float, default=3e-3)
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--workers", type=int, default=2)
    options = parser.parse_args()
    run_workers(train, options, options.workers, port=29532)


if __name__ == "__main__":
    main()

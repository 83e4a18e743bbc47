"""Trains the decoder on, with the encoder and so the latents frozen.

What it is: an optional last stage that sharpens the pictures; the UNet need not be trained again after it, since it
knows latents only. Whole pictures, because the decoder's norms see whole pictures when it is used.
What it is not: able to bring back what the latents do not hold.
"""

import argparse
import math
import time
from pathlib import Path

import numpy as np
import torch
from torch.nn.functional import mse_loss

from compose import Composer
from models import Autoencoder
from muon import Muon
from parallel import average_gradients, copy_parameters, run_workers
from train_vae import difference_loss, to_tensor

POOL = 600


def encode(vae, pictures):
    with torch.no_grad(), torch.autocast("cpu", dtype=torch.bfloat16):
        return vae.encode(pictures)[0].float()


@torch.no_grad()
def psnr(vae, composer, count=100):
    """Mean over `count` scenes of the composer, in dB."""
    total = 0.0
    for _ in range(count):
        picture = to_tensor(composer.scene().picture[None])
        with torch.autocast("cpu", dtype=torch.bfloat16):
            decoded = vae.decode(vae.encode(picture)[0].float()).float().clamp(-1, 1)
        total -= 10 * math.log10(mse_loss(decoded, picture).item() / 4)
    return total / count


def train(rank, workers, options):
    composer = Composer(options.objects, seed=options.seed + rank, concepts=options.concepts)
    random = np.random.default_rng(rank)
    vae = Autoencoder().to(memory_format=torch.channels_last)
    vae.load_state_dict(torch.load(options.vae, weights_only=True))
    vae.encoder.requires_grad_(False)
    vae.quant_conv.requires_grad_(False)
    copy_parameters(vae)
    trained = [*vae.post_quant_conv.named_parameters(), *vae.decoder.named_parameters()]
    parameters = [parameter for _, parameter in trained]
    optimiser = Muon(trained, lambda name, p: min(p.shape[:2]) < 16, weight_decay=0.0)
    began, shown_at, step, total, stop = time.time(), time.time(), 0, 0.0, torch.zeros(1)
    pictures, latents = [], []
    while not stop.item():
        part = min((time.time() - began) / (60 * options.minutes), 1)
        # The pool grows with the steps, then new scenes replace old ones.
        fresh = to_tensor(composer.scene().picture[None])
        place = len(pictures) if len(pictures) < POOL else random.integers(POOL)
        pictures[place:place + 1], latents[place:place + 1] = [fresh], [encode(vae, fresh)]
        chosen = random.integers(len(pictures), size=options.batch)
        target = torch.cat([pictures[n] for n in chosen])
        with torch.autocast("cpu", dtype=torch.bfloat16):
            decoded = vae.decode(torch.cat([latents[n] for n in chosen]))
        loss = difference_loss(decoded.float(), target)
        vae.zero_grad()
        loss.backward()
        average_gradients(parameters, workers)
        if torch.nn.utils.clip_grad_norm_(parameters, 1.0).isfinite():
            optimiser.step(options.rate * min(1, (step + 1) / 30) * (0.01 + 0.99 * math.cos(math.pi * part / 2) ** 2),
                           rank, workers)
        step += 1
        error = mse_loss(decoded.detach().float().clamp(-1, 1), target).item() / 4
        total = 0.98 * total + 0.02 * error if total else error
        if rank == 0 and time.time() - shown_at > 20:
            shown_at = time.time()
            print(f"step {step} part {part:.2f} loss {loss.item():.4f} PSNR {-10 * math.log10(total):.2f} dB", flush=True)
            torch.save(vae.state_dict(), options.out)
        stop[0] = float(part >= 1)
        torch.distributed.broadcast(stop, src=0)
    if rank == 0:
        torch.save(vae.state_dict(), options.out)
        after = psnr(vae, Composer(options.objects, seed=99, concepts=options.concepts))
        vae.load_state_dict(torch.load(options.vae, weights_only=True))
        before = psnr(vae, Composer(options.objects, seed=99, concepts=options.concepts))
        print(f"{step} steps; PSNR over 100 new scenes {before:.2f} dB before, {after:.2f} dB after")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--objects", type=Path, default=Path("objects.npz"))
    parser.add_argument("--vae", type=Path, default=Path("vae.pt"))
    parser.add_argument("--out", type=Path, default=Path("vae-sharper.pt"))
    parser.add_argument("--concepts", type=int, help="use only the first so many lines of concepts.tsv")
    parser.add_argument("--minutes", type=float, default=12)
    parser.add_argument("--batch", type=int, default=1, help="pictures a worker and step")
    parser.add_argument("--rate", type=float, default=1e-3)
    parser.add_argument("--seed", type=int, default=5)
    parser.add_argument("--workers", type=int, default=2)
    options = parser.parse_args()
    run_workers(train, options, options.workers, port=29533)


if __name__ == "__main__":
    main()

"""Trains the KL-VAE on composed scenes, then folds the latent statistics into it.

What it is: stage one. It trains on crops and whole pictures, saves a resumable checkpoint, and at the end
whitens the latents inside quant_conv and post_quant_conv, so that latent x 0.18215 has mean 0 and
variance 1 in each channel and nothing but the weights is needed.
What it is not: adversarial or perceptual training; the loss is on colours and on their differences.
"""

import argparse
import math
import time
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image

from compose import Composer
from models import LATENT_SCALE, Autoencoder
from muon import Muon
from parallel import average_gradients, copy_parameters, run_workers

KL_WEIGHT = 1e-6
POOL = 1500
# Side of the crops, how many a worker takes, and whether the latents are halved and must then decode to the picture
# at half its size, which makes the latent space smoother and easier for the UNet (Kouzelis et al. 2025, "EQ-VAE").
PLAN = [(64, 4, False), (64, 4, False), (128, 2, True), (128, 1, False)]


def to_tensor(pictures):
    """uint8 NHWC array to -1..1 NCHW tensor."""
    return torch.from_numpy(np.ascontiguousarray(pictures)).permute(0, 3, 1, 2).float() / 127.5 - 1


def difference_loss(predicted, target):
    """L1 and squared error, hues counted again, plus L1 on differences at three scales, which keeps thin lines."""
    error = predicted - target
    hue_error = error - error.mean(dim=1, keepdim=True)
    loss = error.abs().mean() + error.pow(2).mean() + hue_error.abs().mean() + 3 * hue_error.pow(2).mean()
    for scale in range(3):
        if scale:
            predicted, target = F.avg_pool2d(predicted, 2), F.avg_pool2d(target, 2)
        error = predicted - target
        loss = loss + 0.5 * (error.diff(dim=2).abs().mean() + error.diff(dim=3).abs().mean())
    return loss


def random_crops(pool, random, count, side):
    """`count` crops of side x side from random pictures of the pool."""
    chosen = random.integers(len(pool), size=count)
    places = random.integers(pool.shape[1] - side + 1, size=(count, 2))
    return np.stack([pool[i, y:y + side, x:x + side] for i, (y, x) in zip(chosen, places)])


def fold_normalisation(vae, latents):
    """Whitens the latents inside the 1x1 convolutions; the decoder's answer stays the same.

    latents: N x 4 sample of latent means.
    """
    mean = latents.mean(0)
    values, vectors = torch.linalg.eigh(torch.cov((latents - mean).T))
    whiten = vectors @ torch.diag(values.rsqrt()) @ vectors.T / LATENT_SCALE
    with torch.no_grad():
        quant, post = vae.quant_conv, vae.post_quant_conv
        quant.bias[:4] = whiten @ (quant.bias[:4] - mean)
        quant.weight[:4] = (whiten @ quant.weight[:4].flatten(1)).view(4, 8, 1, 1)
        post.bias += post.weight[:, :, 0, 0] @ mean
        post.weight[:] = (post.weight[:, :, 0, 0] @ torch.linalg.inv(whiten)).view(4, 4, 1, 1)


def train(rank, workers, options):
    composer = Composer(options.objects, seed=options.seed + rank)
    pool = np.stack([composer.scene().picture for _ in range(POOL)])
    random = np.random.default_rng(rank)
    torch.manual_seed(options.seed)
    vae, elapsed, step = Autoencoder().to(memory_format=torch.channels_last), 0.0, 0
    optimiser = Muon(vae.named_parameters(), lambda name, p: min(p.shape[:2]) < 16, weight_decay=0.0)
    if options.checkpoint.exists():
        saved = torch.load(options.checkpoint, weights_only=True)
        vae.load_state_dict(saved["vae"])
        optimiser.load_state_dict(saved["optimiser"])
        elapsed, step = saved["elapsed"], saved["step"]
    copy_parameters(vae)
    torch.manual_seed(options.seed + 1000 * rank + step)
    stop = torch.zeros(1)
    saved_at = shown_at = time.time()
    total = 0.0
    while not stop.item():
        began = time.time()
        part = elapsed / (60 * options.minutes)
        rate = options.rate * min(1, (step + 1) / 50) * max(0.01, 0.5 + 0.5 * math.cos(math.pi * min(part, 1)))
        side, count, halved = PLAN[step % len(PLAN)]
        pictures = to_tensor(random_crops(pool, random, count, side))
        with torch.autocast("cpu", dtype=torch.bfloat16):
            mean, log_variance = vae.encode(pictures)
        mean, log_variance = mean.float(), log_variance.float().clamp(-20, 10)
        latents = mean + torch.randn_like(mean) * (0.5 * log_variance).exp()
        if halved:
            latents, pictures = F.avg_pool2d(latents, 2), F.avg_pool2d(pictures, 2)
        with torch.autocast("cpu", dtype=torch.bfloat16):
            decoded = vae.decode(latents)
        kl = 0.5 * (mean ** 2 + log_variance.exp() - 1 - log_variance).sum(dim=(1, 2, 3)).mean()
        difference = difference_loss(decoded.float(), pictures)
        vae.zero_grad()
        (difference + KL_WEIGHT * kl).backward()
        average_gradients(list(vae.parameters()), workers)
        if torch.nn.utils.clip_grad_norm_(vae.parameters(), 1.0).isfinite():
            optimiser.step(rate, rank, workers)
        step += 1
        total = 0.98 * total + 0.02 * difference.item() if total else difference.item()
        elapsed += time.time() - began
        # A few new scenes each step keep the pool from being learnt by heart.
        pool[random.integers(POOL)] = composer.scene().picture
        if rank == 0:
            if time.time() - shown_at > 20:
                shown_at = time.time()
                print(f"step {step} minutes {elapsed / 60:.1f} loss {total:.4f} kl {kl.item():.0f}", flush=True)
            stop[0] = float(elapsed > 60 * options.minutes)
            if stop.item() or time.time() - saved_at > 60:
                saved_at = time.time()
                torch.save({"vae": vae.state_dict(), "optimiser": optimiser.state_dict(),
                            "elapsed": elapsed, "step": step}, options.checkpoint)
        torch.distributed.broadcast(stop, src=0)
    if rank == 0:
        finish(vae, pool, options)


@torch.no_grad()
def finish(vae, pool, options):
    """Folds the normalisation, reports the error and writes the frozen VAE and a sheet of examples."""
    pictures = to_tensor(pool[:600])
    latents = torch.cat([vae.encode(batch)[0] for batch in pictures.split(50)])
    fold_normalisation(vae, latents.permute(0, 2, 3, 1).reshape(-1, 4))
    latents = torch.cat([vae.encode(batch)[0] for batch in pictures[:100].split(50)]) * LATENT_SCALE
    decoded = torch.cat([vae.decode(batch / LATENT_SCALE) for batch in latents.split(50)]).clamp(-1, 1)
    error = ((decoded - pictures[:100]) / 2).pow(2).mean(dim=(1, 2, 3))
    print(f"latent mean {latents.mean(dim=(0, 2, 3)).tolist()} deviation {latents.std(dim=(0, 2, 3)).tolist()}")
    print(f"PSNR {(-10 * error.log10()).mean().item():.2f} dB over 100 scenes")
    torch.save(vae.state_dict(), options.out)
    rows = torch.cat([torch.cat(list(side[n:n + 10]), dim=2) for n in (0, 10, 20) for side in (pictures, decoded)], dim=1)
    Image.fromarray(((rows.permute(1, 2, 0) + 1) * 127.5).round().byte().numpy()).save(options.out.with_suffix(".png"))


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--objects", type=Path, default=Path("objects.npz"))
    parser.add_argument("--checkpoint", type=Path, default=Path("vae-training.pt"))
    parser.add_argument("--out", type=Path, default=Path("vae.pt"), help="the frozen VAE")
    parser.add_argument("--minutes", type=float, default=22)
    parser.add_argument("--rate", type=float, default=2.5e-3)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--workers", type=int, default=2)
    options = parser.parse_args()
    run_workers(train, options, options.workers, port=29531)


if __name__ == "__main__":
    main()

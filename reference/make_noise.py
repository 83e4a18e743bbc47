"""Goldens for the noise of crates/diffusion: torch's CPU generator, philox, the turn towards variation noise, Brownian motion.

    python reference/make_noise.py        # writes goldens/noise.safetensors and goldens/noise.json

Made with torch 2.9.1 (AVX2 or AVX-512 code path), torchsde 0.2.6, numpy 2.4.6, safetensors 0.8.0.
"""

import json
from pathlib import Path

import numpy as np
import torch
from safetensors.numpy import save_file
from torchsde._brownian import brownian_interval

from trajectories import k_diffusion

_, sampling = k_diffusion()
GOLDENS = Path(__file__).resolve().parent.parent / "goldens"
COUNTS = [1, 3, 4, 15, 16, 17, 31, 32, 100, 1024]
BROWNIAN_SHAPE = (4, 2, 3)
# Down and up again, across the ends, and less than the tree resolves apart.
BROWNIAN_SIGMAS = [14.614641, 6.3, 6.29, 2.0, 0.029168, 0.5, 3.25, 0.0291675, 0.02]
SEEDS = [0, 1, 42, 5489, 2**32 - 1, 2**32 + 7, 2**63 - 1]


def philox_integers(seed, call, count):
    """Salmon et al. 2011, ten rounds, in Python's integers: the counter is [call, 0, index, 0]."""
    rows = []
    for index in range(count):
        c, k = [call, 0, index, 0], [seed & 0xFFFFFFFF, seed >> 32]
        for _ in range(10):
            a, b = c[0] * 0xD2511F53, c[2] * 0xCD9E8D57
            c = [(b >> 32) ^ c[1] ^ k[0], b & 0xFFFFFFFF, (a >> 32) ^ c[3] ^ k[1], a & 0xFFFFFFFF]
            k = [(k[0] + 0x9E3779B9) & 0xFFFFFFFF, (k[1] + 0xBB67AE85) & 0xFFFFFFFF]
        rows.append(c)
    return np.array(rows, dtype=np.uint32)


def philox_normals(integers):
    """Box and Muller 1958, sine half, in double precision throughout."""
    u, v = ((integers[:, half].astype(np.float64) + 0.5) / 2**32 for half in (0, 1))
    return (np.sqrt(-2.0 * np.log(u)) * np.sin(2 * np.pi * v)).astype(np.float32)


def slerp(strength, low, high):
    """A1111's turn towards the variation noise, along dimension 1, in torch's own operations."""
    low_unit, high_unit = low / low.norm(dim=1, keepdim=True), high / high.norm(dim=1, keepdim=True)
    dot = (low_unit * high_unit).sum(1)
    if dot.mean() > 0.9995:
        return low * strength + high * (1 - strength)
    omega = torch.acos(dot)
    whole = torch.sin(omega)
    return (torch.sin((1.0 - strength) * omega) / whole).unsqueeze(1) * low + (
        torch.sin(strength * omega) / whole
    ).unsqueeze(1) * high


def philox_randn(size, dtype, device, seed):
    """What A1111 puts in the place of torchsde's own normals where its noise is to be philox's."""
    rows = philox_integers(int(seed), 0, int(np.prod(size)))
    return torch.from_numpy(philox_normals(rows)).reshape(size)


def brownian(seed, ends, sigmas):
    """k-diffusion's noise for each pair of neighbours."""
    latent = torch.zeros((1, *BROWNIAN_SHAPE))
    sampler = sampling.BrownianTreeNoiseSampler(latent, *map(torch.tensor, ends), seed=[seed])
    sigmas = torch.tensor(sigmas)
    return torch.cat([sampler(a, b) for a, b in zip(sigmas[:-1], sigmas[1:])]).numpy()


def main():
    arrays, integers = {}, {}
    for seed in SEEDS:
        for count in COUNTS:
            generator = torch.Generator().manual_seed(seed)
            draws = [torch.randn(count, generator=generator).numpy() for _ in range(3)]
            arrays[f"mersenne.{seed}.{count}"] = np.stack(draws)
        calls = [philox_integers(seed, call, 64) for call in range(3)]
        arrays[f"philox.{seed}"] = np.stack([philox_normals(rows) for rows in calls])
        # Torch shows 31 bits of the stream's integers. 700 of them go beyond the first 624, which renews the state.
        stream = torch.empty(700, dtype=torch.int32).random_(generator=torch.Generator().manual_seed(seed))
        # One latent of 512 x 512 pixels, as the sum of its bit patterns.
        latent = torch.randn(4, 64, 64, generator=torch.Generator().manual_seed(seed))
        bits = int(latent.view(torch.int32).to(torch.int64).bitwise_and(0xFFFFFFFF).sum())
        philox = [rows[:4].tolist() for rows in calls]
        integers[str(seed)] = {"mersenne": stream.tolist(), "philox": philox, "latent_bits": bits}
    shape = (4, 6, 5)
    noises = [torch.randn(shape, generator=torch.Generator().manual_seed(seed)) for seed in (42, 43)]
    for strength in (0.1, 0.5, 0.9):
        arrays[f"slerp.{strength}"] = slerp(strength, *noises).numpy()
    # All but parallel: the same seed twice.
    arrays["slerp.parallel"] = slerp(0.3, noises[0], noises[0]).numpy()
    ends = (0.0291675, 14.614641)
    for seed in (0, 42, 2**32 + 7, 2**63 - 1):
        arrays[f"brownian.cpu.{seed}"] = brownian(seed, ends, BROWNIAN_SIGMAS)
    # The range of a model whose last level is noise alone.
    arrays["brownian.cpu.wide"] = brownian(7, (0.0291675, 4518.77), [4518.77, 1000.5, 3.5, 0.1])
    own, brownian_interval._randn = brownian_interval._randn, philox_randn
    arrays["brownian.nv.42"] = brownian(42, ends, BROWNIAN_SIGMAS)
    brownian_interval._randn = own
    save_file(arrays, GOLDENS / "noise.safetensors")
    (GOLDENS / "noise.json").write_text(json.dumps(integers) + "\n")


if __name__ == "__main__":
    main()

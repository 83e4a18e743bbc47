"""Goldens for the schedules and samplers of crates/diffusion: k-diffusion's own, on an analytic denoiser.

    python reference/make_samplers.py        # writes goldens/samplers.safetensors

k-diffusion gives Euler, Euler a, DPM++ 2M and the Karras and exponential schedules. DDIM and the SGM uniform schedule
are restated here from their equations with A1111's choices (times, order of operations, single precision).
"""

import math
from pathlib import Path

import torch
from safetensors.torch import save_file

from trajectories import k_diffusion

GOLDENS = Path(__file__).resolve().parent.parent / "goldens"
SHAPE = (4, 4, 6)
STEPS = [1, 2, 3, 7, 20, 30]
SEED, SCALE = 42, 3.5
MEANS = {"cond": 0.4, "uncond": -0.3}
VARIANCE = 0.25

external, sampling = k_diffusion()


def network(x, t, which, velocity):
    """What a perfect network says of pictures that are normally distributed: sigma is approximated by a function of t
    that both sides can compute."""
    sigma = (t.double() * 0.00622 - 3.53).exp()
    root = (sigma**2 + 1).sqrt()
    noisy = x.double() * root
    clean = (MEANS[which] * sigma**2 + noisy * VARIANCE) / (sigma**2 + VARIANCE)
    epsilon = (noisy - clean) / sigma
    return ((epsilon - sigma * clean) / root if velocity else epsilon).float()


class Model:
    """The interface of a CompVis model."""

    def __init__(self, velocity):
        betas = torch.linspace(0.00085**0.5, 0.012**0.5, 1000, dtype=torch.float64) ** 2
        self.alphas_cumprod = torch.cumprod(1 - betas, 0).float()
        self.velocity = velocity

    def apply_model(self, x, t, cond):
        return network(x, t.reshape(-1, 1, 1, 1), cond, self.velocity)


def guided(model):
    """Guidance of clean latents, as `uncond + (cond - uncond) * scale`."""

    def denoise(x, sigma):
        cond, uncond = (model(x, sigma, cond=which) for which in ("cond", "uncond"))
        return uncond + (cond - uncond) * SCALE

    return denoise


def wrap(velocity):
    kind = external.CompVisVDenoiser if velocity else external.CompVisDenoiser
    return kind(Model(velocity))


def sigmas_of(name, n, wrapped):
    low, high = wrapped.sigmas[0].item(), wrapped.sigmas[-1].item()
    if name == "uniform":
        return wrapped.get_sigmas(n)
    if name == "karras":
        return sampling.get_sigmas_karras(n, low, high)
    if name == "exponential":
        return sampling.get_sigmas_exponential(n, low, high)
    start, end = (wrapped.sigma_to_t(torch.tensor(sigma)) for sigma in (high, low))
    times = torch.linspace(start, end, n + 1)[:-1]
    return torch.tensor([float(wrapped.t_to_sigma(t)) for t in times] + [0.0])


def ddim(model, x, n, eta, noise):
    """Song et al. 2021, equation 12."""
    alphas = model.alphas_cumprod
    times = torch.clip(torch.arange(0, 1000, 1000 // n) + 1, 0, 999)
    for at in range(len(times) - 1, 0, -1):
        t = times[at]
        alpha, alpha_next = alphas[t], alphas[times[at - 1]]
        a, b = alpha.double(), alpha_next.double()
        sigma = (eta * ((1 - b) / (1 - alpha).double() * (1 - a / b)).sqrt()).float()
        rows = {}
        for which in ("cond", "uncond"):
            rows[which] = model.apply_model(x, t[None], which)
            if model.velocity:
                rows[which] = alpha.sqrt() * rows[which] + (1 - alpha).sqrt() * x
        epsilon = rows["uncond"] + (rows["cond"] - rows["uncond"]) * SCALE
        clean = (x - (1 - alpha).sqrt() * epsilon) / alpha.sqrt()
        x = alpha_next.sqrt() * clean + (1 - alpha_next - sigma**2).sqrt() * epsilon
        x = x + sigma * noise()
    return x


def run(sampler, schedule, n, eta=None, delta=0, velocity=False):
    generator = torch.Generator().manual_seed(SEED)
    x = torch.randn(SHAPE, generator=generator)[None]
    if delta:
        generator.manual_seed(SEED + delta)

    def noise(*_):
        return torch.randn(SHAPE, generator=generator)[None]

    wrapped = wrap(velocity)
    if sampler == "ddim":
        return ddim(wrapped.inner_model, x, n, eta or 0.0, noise)[0]
    sigmas = sigmas_of(schedule, n, wrapped)
    extra = {"eta": 1.0 if eta is None else eta, "noise_sampler": noise} if sampler == "euler_ancestral" else {}
    sample = getattr(sampling, f"sample_{sampler}")
    return sample(guided(wrapped), x * sigmas[0], sigmas, disable=True, **extra)[0]


@torch.no_grad()
def main():
    arrays = {}
    for schedule in ("uniform", "karras", "exponential", "sgm_uniform"):
        for n in STEPS:
            arrays[f"sigmas.{schedule}.{n}"] = sigmas_of(schedule, n, wrap(False))
            for sampler in ("euler", "euler_ancestral", "dpmpp_2m"):
                arrays[f"latent.{sampler}.{schedule}.{n}"] = run(sampler, schedule, n)
    for n in STEPS:
        arrays[f"latent.ddim.automatic.{n}"] = run("ddim", None, n)
    arrays["latent.euler_ancestral.eta"] = run("euler_ancestral", "karras", 7, eta=0.4)
    arrays["latent.euler_ancestral.still"] = run("euler_ancestral", "karras", 7, eta=0.0)
    arrays["latent.euler_ancestral.delta"] = run("euler_ancestral", "karras", 7, delta=31337)
    arrays["latent.ddim.eta"] = run("ddim", None, 7, eta=0.6)
    for sampler in ("euler", "dpmpp_2m", "ddim"):
        arrays[f"latent.{sampler}.velocity"] = run(sampler, "karras", 20, velocity=True)
    assert all(math.isfinite(float(x.abs().sum())) for x in arrays.values())
    save_file({name: x.contiguous() for name, x in arrays.items()}, GOLDENS / "samplers.safetensors")


if __name__ == "__main__":
    main()

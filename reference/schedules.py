"""A1111's schedules: k-diffusion's functions, and its own restated from their formulas, in single precision."""

import math

import numpy as np
import torch
from scipy import stats

from trajectories import k_diffusion

external, sampling = k_diffusion()

ALIGNED = [14.615, 6.475, 3.861, 2.697, 1.886, 1.396, 0.963, 0.652, 0.399, 0.152, 0.029]
KARRAS = ("dpmpp_2m", "dpmpp_sde", "dpmpp_2s_ancestral", "dpm_2", "dpm_2_ancestral", "restart")
EXPONENTIAL = ("dpmpp_2m_sde", "dpmpp_2m_sde_heun", "dpmpp_3m_sde")
DISCARDING = ("dpmpp_3m_sde", "dpm_2", "dpm_2_ancestral")
SCHEDULES = (
    "uniform",
    "karras",
    "exponential",
    "polyexponential",
    "sgm_uniform",
    "kl_optimal",
    "align_your_steps",
    "simple",
    "normal",
    "ddim",
    "beta",
)


def alphas(zero_snr=False):
    betas = torch.linspace(0.00085**0.5, 0.012**0.5, 1000, dtype=torch.float64) ** 2
    bar = torch.cumprod(1 - betas, 0).float()
    if zero_snr:
        # Lin et al. 2023, algorithm 1, with A1111's last value.
        root = bar.sqrt()
        first, last = root[0].clone(), root[-1].clone()
        bar = ((root - last) * (first / (first - last))) ** 2
        bar[-1] = 4.8973451890853435e-08
    return bar


class Levels:
    """The levels of a model, or the fifty of a latent consistency model, in k-diffusion's measure."""

    def __init__(self, bar, stride=1):
        self.stride = stride
        # numpy's root is the nearest number; torch's, by way of MKL, is at times the one beside it.
        sigmas = torch.from_numpy(np.sqrt(((1 - bar) / bar).numpy()))
        self.of_all = external.DiscreteSchedule(sigmas[stride - 1 :: stride], quantize=False)
        self.sigmas = self.of_all.sigmas

    def sigma_to_t(self, sigma, quantize=False):
        place = self.of_all.sigma_to_t(sigma, quantize or self.stride > 1)
        return place * self.stride + self.stride - 1

    def t_to_sigma(self, t):
        place = (t - (self.stride - 1)) / self.stride
        return self.of_all.t_to_sigma(place.clamp(0, len(self.sigmas) - 1))

    def at(self, times):
        return torch.stack([self.t_to_sigma(t) for t in times]) if len(times) else torch.zeros(0)


def spread(name, n, levels, low, high, rho=None, alpha=0.6, beta=0.6):
    """The sigmas for n steps, and where they end."""
    curved = {} if rho is None else {"rho": rho}
    if name == "karras":
        return sampling.get_sigmas_karras(n, low, high, **curved)
    if name == "exponential":
        return sampling.get_sigmas_exponential(n, low, high)
    if name == "polyexponential":
        return sampling.get_sigmas_polyexponential(n, low, high, **curved)
    if name == "kl_optimal":
        low, high = torch.tensor(low).atan(), torch.tensor(high).atan()
        step = torch.arange(n + 1)
        return torch.tan(step / n * low + (1.0 - step / n) * high)
    last, first = (levels.sigma_to_t(torch.tensor(sigma)) for sigma in (high, low))
    count = len(levels.sigmas)
    if name == "uniform":
        ends = (levels.sigma_to_t(levels.sigmas[place]) for place in (-1, 0))
        sigmas = levels.at(torch.linspace(*ends, n))
    elif name == "sgm_uniform":
        sigmas = levels.at(torch.linspace(last, first, n + 1)[:-1])
    elif name == "normal":
        sigmas = levels.at(torch.linspace(last, first, n))
    elif name == "align_your_steps":
        # Downwards, so that one step begins at the top.
        places = np.linspace(0, len(ALIGNED) - 1, n)
        sigmas = torch.tensor(np.exp(np.interp(places, np.arange(len(ALIGNED)), np.log(ALIGNED))))
    elif name == "simple":
        sigmas = torch.stack([levels.sigmas[-(1 + int(step * (count / n)))] for step in range(n)])
    elif name == "ddim":
        sigmas = levels.sigmas[1 :: max(count // n, 1)].flip(0)
    elif name == "beta":
        shares = stats.beta.ppf(1 - np.linspace(0, 1, n), alpha, beta)
        sigmas = torch.tensor(low + shares * (high - low))
    return sampling.append_zero(sigmas.float())


def sigmas_of(sampler, schedule, n, levels, sigma_min=0, sigma_max=0, discard=False, **options):
    if schedule == "automatic":
        schedule = "karras" if sampler in KARRAS else "exponential" if sampler in EXPONENTIAL else "uniform"
    low, high = sigma_min or levels.sigmas[0].item(), sigma_max or levels.sigmas[-1].item()
    discard = discard or sampler in DISCARDING
    sigmas = spread(schedule, n + discard, levels, low, high, **options)
    return torch.cat([sigmas[:-2], sigmas[-1:]]) if discard else sigmas


def times_of(n):
    """A1111's training times for DDIM and its kin, lowest first."""
    return torch.clip(torch.arange(0, 1000, max(1000 // n, 1)) + 1, 0, 999)


def log_alpha(bar, time):
    """The logarithm of the clean latent's variance, linear between levels; in double precision."""
    return np.interp(time, np.arange(1000), np.log(bar.double().numpy()))


def unipc_times(bar, first, n, skip):
    """n + 1 training times down to 0."""
    if skip == "time_uniform":
        return np.linspace(first, 0, n + 1)
    if skip == "time_quadratic":
        return np.linspace(math.sqrt(first + 1), 1, n + 1) ** 2 - 1

    def lam(time):
        log = log_alpha(bar, time)
        return 0.5 * (log - np.log(-np.expm1(log)))

    logs = -np.log1p(np.exp(-2 * np.linspace(lam(first), lam(0), n + 1)))
    return np.interp(-logs, -np.log(bar.double().numpy()), np.arange(1000))

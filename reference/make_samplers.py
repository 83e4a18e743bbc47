"""Goldens for the schedules and samplers of crates/diffusion: k-diffusion's own, on an analytic denoiser.

    python reference/make_samplers.py        # writes goldens/samplers.safetensors

k-diffusion gives its samplers, with torchsde's Brownian noise, and the Karras, exponential and polyexponential schedules.
What is A1111's own is restated in schedules.py and samplers.py.
"""

import math
from pathlib import Path

import torch
from safetensors.torch import save_file

import samplers
from schedules import SCHEDULES, Levels, alphas, log_alpha, sampling, sigmas_of, spread, times_of, unipc_times

GOLDENS = Path(__file__).resolve().parent.parent / "goldens"
SHAPE = (4, 4, 6)
STEPS = [1, 2, 3, 7, 20]
SEED, SCALE = 42, 3.5
MEANS = {"cond": 0.4, "uncond": -0.3}
VARIANCE = 0.25

SIGMA_SAMPLERS = {
    "dpmpp_2m": {},
    "dpmpp_sde": {},
    "dpmpp_2m_sde": {},
    "dpmpp_2m_sde_heun": {"solver_type": "heun"},
    "dpmpp_2s_ancestral": {},
    "dpmpp_3m_sde": {},
    "euler_ancestral": {},
    "euler": {},
    "lms": {},
    "heun": {},
    "dpm_2": {},
    "dpm_2_ancestral": {},
    "dpm_fast": {"eta": 1.0},
    "dpm_adaptive": {"eta": 1.0},
    "restart": {},
    "lcm": {},
}
TIME_SAMPLERS = ("ddim", "ddim_cfgpp", "plms", "unipc")

# k-diffusion integrates in the precision of what it is given.
coefficient = sampling.linear_multistep_coeff
sampling.linear_multistep_coeff = lambda order, t, i, j: coefficient(order, t.astype("float64"), i, j)

# The lower sigma of an ancestral step is the root of a difference, of which single precision leaves little.
ancestral = sampling.get_ancestral_step


def exact_ancestral(start, end, eta=1.0):
    down, up = ancestral(start.double(), end.double(), eta)
    return torch.as_tensor(down).float(), torch.as_tensor(up).float()


sampling.get_ancestral_step = exact_ancestral


def network(x, t, which, velocity):
    """What a perfect network says of pictures that are normally distributed: sigma is approximated by a function of t
    that both sides can compute."""
    sigma = (t.double() * 0.00622 - 3.53).exp()
    root = (sigma**2 + 1).sqrt()
    noisy = x.double() * root
    clean = (MEANS[which] * sigma**2 + noisy * VARIANCE) / (sigma**2 + VARIANCE)
    epsilon = (noisy - clean) / sigma
    return ((epsilon - sigma * clean) / root if velocity else epsilon).float()


def guided(estimate, scale=SCALE):
    """Guidance as `uncond + (cond - uncond) * scale`, and the estimate without the prompt."""
    cond, uncond = estimate("cond"), estimate("uncond")
    return uncond + (cond - uncond) * scale, uncond


def denoiser(levels, velocity, quantize):
    """Karras et al. 2022, table 1, and Luo et al. 2023 for the levels of a consistency model."""

    def denoise(x, sigma, **_):
        sigma = sigma.reshape(-1)[0]
        t = levels.sigma_to_t(sigma, quantize).float()
        root = (sigma**2 + 1).sqrt()

        def estimate(which):
            out = network(x / root, t, which, velocity)
            clean = x / root**2 - out * sigma / root if velocity else x - out * sigma
            if levels.stride > 1:
                s = t * 10
                clean = s / (s**2 + 0.25).sqrt() * clean + 0.25 / (s**2 + 0.25) * x
            return clean

        return guided(estimate)[0]

    return denoise


def predictor(bar, velocity, scale):
    def predict(x, t):
        a = torch.tensor(math.exp(log_alpha(bar, float(t)))).float() if t % 1 else bar[int(t)]

        def estimate(which):
            out = network(x, t, which, velocity)
            return a.sqrt() * out + (1 - a).sqrt() * x if velocity else out

        return guided(estimate, scale)

    return predict


def steps_of(n, strength, fix):
    """A1111's steps over all levels, and those left to make, less one, for a latent noised by `strength`."""
    strength = min(strength, 0.999)
    if fix:
        return int(n / strength), n - 1
    return n, int(strength * n)


def run(name, schedule, n, velocity=False, zero_snr=False, delta=0, quantize=False, strength=None, fix=False, **options):
    generator = torch.Generator().manual_seed(SEED)
    x = torch.randn(SHAPE, generator=generator)[None]
    if delta:
        generator.manual_seed(SEED + delta)

    def noise(*_):
        return torch.randn(SHAPE, generator=generator)[None]

    torch.randn_like = noise
    initial = torch.sin(torch.arange(x.numel(), dtype=torch.float64)).float().reshape(x.shape)
    bar = alphas(zero_snr)
    total, left = (n, None) if strength is None else steps_of(n, strength, fix)
    if name in TIME_SAMPLERS:
        times = times_of(total)
        if left is not None:
            a = bar[times[left]]
            x, times = a.sqrt() * initial + (1 - a).sqrt() * x, times[:left]
        return over_times(name, x, bar, times, left is not None, velocity, noise, options)[0]
    levels = Levels(bar, 20 if name == "lcm" else 1)
    denoise = denoiser(levels, velocity, quantize)
    shape = {key: options.pop(key) for key in ("sigma_min", "sigma_max", "rho", "discard") if key in options}
    whole = sigmas_of(name, schedule, total, levels, **shape)
    sigmas = whole if left is None else whole[total - left - 1 :]
    low, high = levels.sigmas[0], levels.sigmas[-1]
    if left is not None:
        low, high = sigmas[-2], sigmas[0]
        x = initial + x * sigmas[0]
    elif options.pop("sgm", False):
        x = x * (1 + sigmas[0] ** 2).sqrt()
    else:
        x = x * sigmas[0]
    if name.startswith(("dpmpp_2m_sde", "dpmpp_3m_sde")) and len(sigmas) == 2 and sigmas[1] == 0:
        # A single step is one of k-diffusion's errors: it asks for the length of a step that it has not made.
        return denoise(x, sigmas[0])[0]
    if name in ("restart", "lcm"):
        return getattr(samplers, name)(denoise, x, sigmas, noise)[0]
    options = {**SIGMA_SAMPLERS[name], **options, "disable": True}
    if "sde" in name:
        above = whole[whole > 0]
        options["noise_sampler"] = sampling.BrownianTreeNoiseSampler(x, above.min(), whole.max(), seed=[SEED])
    sample = getattr(sampling, f"sample_{name.removesuffix('_heun')}")
    if name == "dpm_fast":
        return sample(denoise, x, low, high, len(sigmas) - 1 if left is not None else n, **options)[0]
    if name == "dpm_adaptive":
        return sample(denoise, x, low, high, **options)[0]
    return sample(denoise, x, sigmas, **options)[0]


def over_times(name, x, bar, times, partly, velocity, noise, options):
    predict = predictor(bar, velocity, SCALE / 12.5 if name == "ddim_cfgpp" else SCALE)
    if name == "plms":
        return samplers.plms(predict, x, bar, times)
    if name == "unipc":
        first = float(times[-1]) if partly else 999.0
        skip = options.pop("skip", "time_uniform")
        return samplers.unipc(predict, x, bar, unipc_times(bar, first, len(times), skip), **options)
    return samplers.ddim(predict, x, bar, times, noise, plus=name == "ddim_cfgpp", **options)


def schedules():
    arrays = {}
    levels, consistent, rescaled = Levels(alphas()), Levels(alphas(), 20), Levels(alphas(True))
    for schedule in SCHEDULES:
        for n in [*STEPS, 30]:
            arrays[f"sigmas.{schedule}.{n}"] = sigmas_of("euler", schedule, n, levels)
        arrays[f"sigmas.{schedule}.lcm"] = sigmas_of("lcm", schedule, 7, consistent)
        arrays[f"sigmas.{schedule}.rescaled"] = sigmas_of("euler", schedule, 7, rescaled)
        ends = {"sigma_min": 0.2, "sigma_max": 8.5}
        arrays[f"sigmas.{schedule}.ends"] = sigmas_of("euler", schedule, 7, levels, **ends)
    for schedule, rho in (("karras", 3.0), ("polyexponential", 2.5)):
        arrays[f"sigmas.{schedule}.rho"] = sigmas_of("euler", schedule, 7, levels, rho=rho)
    low, high = levels.sigmas[0].item(), levels.sigmas[-1].item()
    for name, (alpha, beta) in {"skewed": (0.4, 1.3), "peaked": (3.0, 2.0), "wide": (0.05, 0.08)}.items():
        arrays[f"sigmas.beta.{name}"] = spread("beta", 7, levels, low, high, alpha=alpha, beta=beta)
    return arrays


def cases():
    """Every sampler at several steps, then what options change."""
    for name in [*SIGMA_SAMPLERS, *TIME_SAMPLERS]:
        # An odd number of consistency steps asks halfway between two levels, where rounding chooses.
        odd = int(name == "lcm")
        for n in [7] if name == "dpm_adaptive" else [1, 2, 3 + odd, 7 + odd, 20]:
            yield f"{name}.{n}", run(name, "automatic", n)
            yield f"{name}.{n}.velocity", run(name, "automatic", n, velocity=True)
        if name != "dpm_adaptive":
            # Its steps there hang on roundings: k-diffusion in double precision makes another picture.
            yield f"{name}.rescaled", run(name, "automatic", 7 + odd, velocity=True, zero_snr=True)
        yield f"{name}.partly", run(name, "automatic", 7 + odd, strength=0.6)
        yield f"{name}.fixed", run(name, "automatic", 5, strength=0.35, fix=True)
    for name in SIGMA_SAMPLERS:
        if name not in ("dpm_fast", "dpm_adaptive"):
            for schedule in ("kl_optimal", "ddim"):
                yield f"{name}.{schedule}", run(name, schedule, 8)
            yield f"{name}.ends", run(name, "karras", 7, sigma_min=0.2, sigma_max=8.5)
        noisy = "ancestral" in name or "sde" in name or name.startswith("dpm_fast") or name == "dpm_adaptive"
        if noisy:
            yield f"{name}.eta", run(name, "automatic", 7, eta=0.4)
            yield f"{name}.still", run(name, "automatic", 7, eta=0.0)
        if noisy and name not in ("euler_ancestral", "dpm_adaptive"):
            yield f"{name}.s_noise", run(name, "automatic", 7, s_noise=0.9)
    for name in ("euler", "heun", "dpm_2"):
        churn = {"s_churn": 2.0, "s_tmin": 0.1, "s_tmax": 9.0, "s_noise": 1.01}
        yield f"{name}.churn", run(name, "automatic", 7, **churn)
    for n in (36, 41):
        yield f"restart.{n}", run("restart", "automatic", n)
    for name in ("ddim", "ddim_cfgpp"):
        yield f"{name}.eta", run(name, "automatic", 7, eta=0.6)
    for variant in ("bh1", "bh2", "vary_coeff"):
        for order in (1, 2, 4, 6):
            yield f"unipc.{variant}.{order}", run("unipc", "automatic", 7, variant=variant, order=order)
        flat = run("unipc", "automatic", 7, variant=variant, lower_order_final=False)
        yield f"unipc.{variant}.flat", flat
    for skip in ("time_quadratic", "logSNR"):
        yield f"unipc.{skip}", run("unipc", "automatic", 7, skip=skip)
        yield f"unipc.{skip}.partly", run("unipc", "automatic", 7, strength=0.6, skip=skip)
    yield "euler_ancestral.delta", run("euler_ancestral", "karras", 7, delta=31337)
    yield "euler.quantized", run("euler", "karras", 7, quantize=True)
    yield "euler.sgm", run("euler", "automatic", 7, sgm=True)
    yield "lms.discard", run("lms", "automatic", 7, discard=True)
    yield "euler.aligned", run("euler", "align_your_steps", 10)


@torch.no_grad()
def main():
    arrays = {**schedules(), **{f"latent.{name}": latent for name, latent in cases()}}
    odd = [name for name, x in arrays.items() if not math.isfinite(float(x.abs().sum()))]
    assert not odd, odd
    save_file({name: x.contiguous() for name, x in arrays.items()}, GOLDENS / "samplers.safetensors")


if __name__ == "__main__":
    main()

"""Whole trajectories with k-diffusion's own samplers and schedules, with classifier-free guidance."""

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import torch


def k_diffusion():
    """k-diffusion's samplers, without the training and evaluation code that its package imports beside them."""
    package = ModuleType("k_diffusion")
    package.__path__ = [str(Path(importlib.util.find_spec("k_diffusion").origin).parent)]
    sys.modules["k_diffusion"] = package
    for name in ("torchvision", "torchvision.transforms", "torchvision.transforms.functional"):
        sys.modules.setdefault(name, ModuleType(name))
    sys.modules["torchvision.transforms"].functional = sys.modules["torchvision.transforms.functional"]
    from k_diffusion import external, sampling

    return external, sampling


class Guided:
    """The interface of a CompVis model, over diffusers' UNet; guidance as `uncond + scale * (cond - uncond)`."""

    def __init__(self, unet):
        self.unet = unet
        betas = torch.linspace(0.00085**0.5, 0.012**0.5, 1000, dtype=torch.float64) ** 2
        self.alphas_cumprod = torch.cumprod(1 - betas, 0).float()

    def apply_model(self, x, t, context, uncond, scale):
        both = self.unet(torch.cat([x, x]), torch.cat([t, t]), torch.cat([context, uncond])).sample
        cond, without = both.chunk(2)
        return without + scale * (cond - without)


@torch.no_grad()
def trajectories(unet, noise, context, uncond, scale, steps):
    external, sampling = k_diffusion()
    model = external.CompVisDenoiser(Guided(unet))
    extra = {"context": context, "uncond": uncond, "scale": scale}
    uniform = model.get_sigmas(steps)
    karras = sampling.get_sigmas_karras(steps, model.sigmas[0].item(), model.sigmas[-1].item())
    runs = {
        "euler": (sampling.sample_euler, uniform),
        "dpmpp_2m_karras": (sampling.sample_dpmpp_2m, karras),
    }
    rows = {}
    for name, (sample, sigmas) in runs.items():
        rows[f"trajectory.{name}.noise"] = noise
        rows[f"trajectory.{name}.context"] = context
        rows[f"trajectory.{name}.uncond"] = uncond
        rows[f"trajectory.{name}.cfg_scale"] = torch.tensor(scale)
        rows[f"trajectory.{name}.steps"] = torch.tensor(steps)
        latent = sample(model, noise * sigmas[0], sigmas, extra_args=extra, disable=True)
        rows[f"trajectory.{name}.latent"] = latent
    return rows

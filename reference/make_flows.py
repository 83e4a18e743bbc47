"""Writes goldens/flows.safetensors: pictures from pictures, with masks, and second passes, by the tiny random model. The way is
AUTOMATIC1111's, restated; samplers are k-diffusion's, networks diffusers'."""

from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageFilter, ImageOps
from safetensors.torch import save_file

from ldm import TINY, models
from samplers import transition
from schedules import external, sampling
from trajectories import Guided

GOLDENS = Path(__file__).parent.parent / "goldens"
SCALE, SEED, GUIDANCE = 0.18215, 5, 6.0
HEIGHT, WIDTH = 64, 48



def picture():
    """Smooth colours, `[height, width, 3]`."""
    y, x = np.mgrid[0:HEIGHT, 0:WIDTH]
    planes = [128 + 100 * np.sin(x / 9 + y / 17), 128 + 90 * np.cos(y / 11), 128 + 80 * np.sin(x * y / 300)]
    return np.stack(planes, -1).astype(np.uint8)


def soft_mask():
    """White on the right, with a ramp between."""
    ramp = np.clip((np.arange(WIDTH) - 16) * 16, 0, 255).astype(np.uint8)
    return np.tile(ramp, (HEIGHT, 1))


def filled(rgb, mask):
    """What is masked, in colours from around it."""
    kept = Image.new("RGBa", (WIDTH, HEIGHT))
    kept.paste(Image.fromarray(rgb).convert("RGBA").convert("RGBa"), mask=ImageOps.invert(Image.fromarray(mask)))
    made = Image.new("RGBA", kept.size)
    for radius, times in ((256, 1), (64, 1), (16, 2), (4, 4), (2, 2), (0, 1)):
        blurred = kept.filter(ImageFilter.GaussianBlur(radius)).convert("RGBA")
        for _ in range(times):
            made.alpha_composite(blurred)
    return np.array(made.convert("RGB"))


class Bench:
    def __init__(self):
        _, self.unet, self.vae = models(TINY, seed=20)
        generator = torch.Generator().manual_seed(3)
        self.context, self.uncond = (torch.randn(1, 77, TINY.text_width, generator=generator) for _ in range(2))
        self.model = external.CompVisDenoiser(Guided(self.unet))

    def noise(self, latent):
        generator = torch.Generator().manual_seed(SEED)
        return torch.randn(latent.shape[1:], generator=generator)[None]

    def encode(self, rgb):
        pixels = torch.from_numpy(rgb).permute(2, 0, 1)[None].float() / 255 * 2 - 1
        return self.vae.encode(pixels).latent_dist.mean * SCALE

    def decode(self, latent):
        return self.vae.decode(latent / SCALE).sample

    def denoiser(self, init=None, mask=None):
        """`mask` is what is kept."""

        def denoise(x, sigma, **_):
            estimate = self.model(x, sigma, context=self.context, uncond=self.uncond, scale=GUIDANCE)
            return estimate if mask is None else estimate * (1 - mask) + init * mask

        return denoise

    def from_latent(self, init, sample, sigmas, steps, strength, fix=False, mask=None):
        if fix:
            asked, steps = steps, int(steps / min(strength, 0.999))
            taken = asked - 1
        else:
            taken = int(min(strength, 0.999) * steps)
        way = sigmas(steps)[steps - taken - 1 :]
        x = init + self.noise(init) * way[0]
        x = sample(self.denoiser(init, mask), x, way, disable=True)
        return x if mask is None else x * (1 - mask) + init * mask

    def ddim(self, init, steps, strength, mask):
        """DDIM in img2img: the mask acts on what the model sees."""
        bars = self.model.inner_model.alphas_cumprod
        times = np.clip(np.arange(0, 1000, 1000 // steps) + 1, 0, 999)
        taken = int(min(strength, 0.999) * steps)
        start = bars[times[taken]]
        x = init * start.sqrt() + self.noise(init) * (1 - start).sqrt()
        for at in range(taken - 1, 0, -1):
            seen = x * (1 - mask) + init * mask
            time = torch.tensor([float(times[at])])
            epsilon = self.model.inner_model.apply_model(seen, time, self.context, self.uncond, GUIDANCE)
            x = transition(x, epsilon, bars[times[at]], bars[times[at - 1]])
        return x * (1 - mask) + init * mask

    def karras(self, steps):
        sigmas = self.model.sigmas
        return sampling.get_sigmas_karras(steps, sigmas[0].item(), sigmas[-1].item())


@torch.no_grad()
def main():
    bench, rgb, mask = Bench(), picture(), soft_mask()
    rows = {"context": bench.context, "uncond": bench.uncond}
    rows |= {"picture": torch.from_numpy(rgb), "mask": torch.from_numpy(mask)}
    uniform = bench.model.get_sigmas
    init = bench.encode(rgb)

    def put(name, latent):
        rows[f"{name}.latent"] = latent

    begun = bench.from_latent(init, sampling.sample_euler, uniform, 8, 0.6)
    put("img2img", begun)
    rows["img2img.pixels"] = bench.decode(begun)
    small = Image.fromarray(mask).resize((WIDTH // 8, HEIGHT // 8))
    anew = torch.from_numpy(np.asarray(small).astype(np.float32) / 255)[None, None]
    kept = 1 - anew
    put("inpaint", bench.from_latent(init, sampling.sample_dpmpp_2m, bench.karras, 8, 0.75, mask=kept))
    noisy = bench.encode(filled(rgb, mask)) * kept + bench.noise(init) * anew
    put("inpaint_noise", bench.from_latent(noisy, sampling.sample_euler, uniform, 8, 0.9, mask=kept))
    put("inpaint_ddim", bench.ddim(init, 10, 0.7, kept))

    start = bench.noise(init)
    way = uniform(6)
    first = sampling.sample_euler(bench.denoiser(), start * way[0], way, disable=True)
    larger = torch.nn.functional.interpolate(first, size=(12, 9), mode="bilinear", antialias=False)
    put("hires", bench.from_latent(larger, sampling.sample_euler, uniform, 5, 0.7, fix=True))

    path = GOLDENS / "flows.safetensors"
    save_file({key: tensor.clone().contiguous() for key, tensor in rows.items()}, path)
    print(f"{path} {path.stat().st_size} bytes")


if __name__ == "__main__":
    main()

"""What is timed, and beside whom: the two tables that run.py, peer.py and export.py share. Standard library only."""

from dataclasses import dataclass

THREADS = 2
PROMPT_TOKENS = 77

# PyTorch's allocations, in huge pages that are kept: first touches of small ones cost it up to half its time.
HUGE_PAGES = {
    "GLIBC_TUNABLES": "glibc.malloc.hugetlb=1:glibc.malloc.mmap_max=0"
    ":glibc.malloc.trim_threshold=20000000000:glibc.malloc.top_pad=268435456"
}


@dataclass(frozen=True)
class Work:
    """One thing to time, at the sizes of Stable Diffusion 1.5."""

    kind: str  # unet, vae, attention, linear or job
    title: str  # of an operation, its name in `impasto bench kernels`
    size: int = 0  # edge of the picture in pixels
    batch: int = 1
    precision: str = "f32"
    calls: int = 1  # calls a turn; the median counts. Several where one is over before the caches are warm

    @property
    def edge(self):
        """Edge of the latent."""
        return self.size // 8


WORKS = {
    "unet-512-b2": Work("unet", "UNet, 512x512, batch 2", size=512, batch=2),
    "unet-512-b1": Work("unet", "UNet, 512x512, batch 1", size=512),
    "unet-256-b1": Work("unet", "UNet, 256x256, batch 1", size=256),
    "unet-512-b1-int8": Work("unet", "UNet, 512x512, batch 1, W8A8", size=512, precision="int8"),
    "vae-512": Work("vae", "VAE decoder, 512x512", size=512),
    "attention": Work("attention", "attention 8 x 40, 4096 by 4096", calls=9),
    "linear": Work("linear", "linear 4096 x 1280 to 320", calls=9),
    "job-512": Work("job", "whole job, 512x512, 20 steps Euler a, CFG 7", size=512),
}
HEADS, TOKENS, HEAD_WIDTH = 8, 4096, 40
LINEAR_ROWS, LINEAR_IN, LINEAR_OUT = 4096, 1280, 320
STEPS, CFG_SCALE = 20, 7.0
PROMPT = "a harbour at dawn, fishing boats, mist, oil painting"


@dataclass(frozen=True)
class Peer:
    """Another program, as it is run beside ours."""

    title: str
    packages: tuple  # whose versions are told
    precisions: tuple = ("f32",)
    kinds: tuple = ("unet", "vae", "attention", "linear")
    environment: tuple = ()

    def takes(self, work):
        return work.kind in self.kinds and work.precision in self.precisions


PEERS = {
    "torch": Peer("PyTorch eager", ("torch", "diffusers"), environment=tuple(HUGE_PAGES.items())),
    "compile": Peer("torch.compile", ("torch", "diffusers"), environment=tuple(HUGE_PAGES.items())),
    "openvino": Peer("OpenVINO", ("openvino", "nncf"), precisions=("f32", "int8")),
    "onnxruntime": Peer("ONNX Runtime", ("onnxruntime",)),
    "diffusers": Peer(
        "diffusers", ("diffusers", "torch", "transformers"), kinds=("job",), environment=tuple(HUGE_PAGES.items())
    ),
    "sdcpp": Peer("stable-diffusion.cpp", ("stable-diffusion-cpp-python",), kinds=("job",)),
}

"""GroupNorm with an optional SiLU, through the small C kernel where it helps.

What it is: a module with GroupNorm's parameters. For bfloat16 tensors it runs norm_silu.c in channels-last
order (built once with the C compiler, if there is one); for all else PyTorch's own operations.
What it is not: a different result; only a faster one while training on a CPU.
"""

import ctypes
import functools
import os
import subprocess
import tempfile
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import nn

SOURCE = Path(__file__).with_name("norm_silu.c")


@functools.cache
def kernel():
    """The compiled kernel, or None where it cannot be built."""
    library = Path(tempfile.mkdtemp(prefix="norm-silu-")) / "norm_silu.so"
    command = ["cc", "-O3", "-march=native", "-ffast-math", "-mprefer-vector-width=512", "-shared", "-fPIC",
               str(SOURCE), "-o", str(library), "-lm"]
    # What is preloaded into this process is not for the compiler.
    environment = {name: value for name, value in os.environ.items() if name != "LD_PRELOAD"}
    try:
        subprocess.run(command, check=True, capture_output=True, env=environment)
    except (OSError, subprocess.CalledProcessError) as error:
        print(f"norm_silu.c could not be built, PyTorch's slower operations stand in: {error}")
        return None
    return ctypes.CDLL(str(library))


def pointers(*tensors):
    return [ctypes.c_void_p(tensor.data_ptr()) for tensor in tensors]


class _FastNorm(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x, gamma, beta, groups, eps, silu):
        x = x.contiguous(memory_format=torch.channels_last)
        batch, channels, height, width = x.shape
        y, mean, rstd = torch.empty_like(x), torch.empty(batch, groups), torch.empty(batch, groups)
        kernel().norm_silu_forward(*pointers(x, gamma, beta, y, mean, rstd), batch, height * width, channels,
                                   groups, ctypes.c_float(eps), int(silu))
        ctx.save_for_backward(x, gamma, beta, mean, rstd)
        ctx.groups, ctx.silu = groups, silu
        return y

    @staticmethod
    def backward(ctx, dy):
        x, gamma, beta, mean, rstd = ctx.saved_tensors
        dy = dy.to(torch.bfloat16).contiguous(memory_format=torch.channels_last)
        batch, channels, height, width = x.shape
        dx, dgamma, dbeta = torch.empty_like(x), torch.zeros_like(gamma), torch.zeros_like(beta)
        kernel().norm_silu_backward(*pointers(dy, x, gamma, beta, mean, rstd, dx, dgamma, dbeta), batch,
                                    height * width, channels, ctx.groups, int(ctx.silu))
        return dx, dgamma, dbeta, None, None, None


class Norm(nn.GroupNorm):
    """GroupNorm over 32 groups, followed by SiLU if asked."""

    def __init__(self, channels, eps, silu):
        super().__init__(32, channels, eps=eps)
        self.silu = silu

    def forward(self, x):
        if x.dtype == torch.bfloat16 and self.weight.dtype == torch.float32 and kernel() is not None:
            return _FastNorm.apply(x, self.weight, self.bias, self.num_groups, self.eps, self.silu)
        x = super().forward(x)
        return F.silu(x) if self.silu else x

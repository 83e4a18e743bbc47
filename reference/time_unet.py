"""Times a Stable Diffusion 1.5 UNet of full width in PyTorch (f32, channels last) and in Impasto, in turns, so that both
meet the same machine.

    python reference/time_unet.py MODEL.safetensors target/release/examples/unet_time [--size 512] [--rounds 5]

MODEL is what full_width.py writes; any checkpoint of Stable Diffusion 1.5 has the same speed.
"""

import argparse
import resource
import statistics
import subprocess
import time

import torch

from ldm import FULL, unet_model

if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model")
    parser.add_argument("ours")
    parser.add_argument("--size", type=int, default=512)
    parser.add_argument("--rounds", type=int, default=5)
    arguments = parser.parse_args()

    ours = subprocess.Popen(
        [arguments.ours, arguments.model, str(arguments.size)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    print("ours:", ours.stdout.readline().strip())
    unet = unet_model(FULL).to(memory_format=torch.channels_last)
    edge = arguments.size // 8
    latent = torch.randn(1, 4, edge, edge).to(memory_format=torch.channels_last)
    context, step = torch.randn(1, 77, FULL.text_width), torch.tensor([500.0])
    print(f"PyTorch: {torch.__version__} {torch.get_num_threads()} threads")

    def time_pytorch():
        started = time.perf_counter()
        with torch.inference_mode():
            unet(latent, step, context)
        return time.perf_counter() - started

    def time_ours():
        ours.stdin.write("\n")
        ours.stdin.flush()
        answer = ours.stdout.readline().strip()
        return float(answer.split()[0]), answer

    time_pytorch(), time_ours()  # the first calls touch fresh memory
    theirs, mine, answer = [], [], ""
    for _ in range(arguments.rounds):
        theirs.append(time_pytorch())
        seconds, answer = time_ours()
        mine.append(seconds)
        print(f"PyTorch {theirs[-1]:.3f} s, ours {seconds:.3f} s, ratio {seconds / theirs[-1]:.2f}", flush=True)
    ours.stdin.close()
    print(f"best: PyTorch {min(theirs):.3f} s, ours {min(mine):.3f} s, ratio {min(mine) / min(theirs):.2f}")
    ratios = [a / b for a, b in zip(mine, theirs)]
    print(f"median ratio {statistics.median(ratios):.2f}; ours: {answer}")
    print(f"PyTorch's peak: {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1000} MB")

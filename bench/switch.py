"""Times what it costs to change between two models that are both in memory.

Starts `impasto serve` on a data root with two copies of a model, has pictures of one step made by one of them again and again, then by
both in turns, and prints the medians and their difference. Nothing but Python's standard library is needed.

    python3 bench/switch.py target/release/impasto models/demo/demo.safetensors [--size 64] [--rounds 15]
"""

import argparse
import json
import os
import shutil
import socket
import statistics
import subprocess
import tempfile
import time
import urllib.request


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def post(url, body):
    request = urllib.request.Request(url, json.dumps(body).encode(), {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=600) as answer:
        return json.load(answer)


def wait_until_ready(url):
    for _ in range(600):
        try:
            urllib.request.urlopen(url + "/readyz", timeout=5).close()
            return
        except OSError:
            time.sleep(0.05)
    raise SystemExit(f"{url} does not get ready")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("program")
    parser.add_argument("model")
    parser.add_argument("--size", type=int, default=64)
    parser.add_argument("--rounds", type=int, default=15)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as root:
        folder = os.path.join(root, "models", "Stable-diffusion")
        os.makedirs(folder)
        names = ["first", "second"]
        suffix = os.path.splitext(options.model)[1]
        shutil.copy(options.model, os.path.join(folder, names[0] + suffix))
        # Another file of the same bytes: it has a place of its own in memory.
        shutil.copy(options.model, os.path.join(folder, names[1] + suffix))
        port = free_port()
        url = f"http://127.0.0.1:{port}"
        server = subprocess.Popen(
            [options.program, "serve", "--data-dir", root, "--port", str(port)], stderr=subprocess.DEVNULL
        )
        try:
            wait_until_ready(url)

            def make(name, seed):
                began = time.perf_counter()
                post(
                    url + "/sdapi/v1/txt2img",
                    {
                        "prompt": "a red apple",
                        "steps": 1,
                        "seed": seed,
                        "width": options.size,
                        "height": options.size,
                        "send_images": False,
                        "override_settings": {"sd_model_checkpoint": name + suffix},
                    },
                )
                return time.perf_counter() - began

            for name in names * 2:
                make(name, 0)
            same, turns = [], []
            for seed in range(options.rounds):
                make(names[0], seed)
                same.append(make(names[0], seed + 1000))
                turns.append(make(names[1], seed + 2000))
        finally:
            server.terminate()
            server.wait()
    same, turns = statistics.median(same), statistics.median(turns)
    print(f"the same model again: {same * 1000:.1f} ms; the other one: {turns * 1000:.1f} ms; "
          f"the switch: {(turns - same) * 1000:.1f} ms (medians of {options.rounds})")


if __name__ == "__main__":
    main()

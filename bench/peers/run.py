#!/usr/bin/env python3
"""Times Impasto beside other programs and writes a table. Standard library only; the peers run in the environment that
setup.sh made.

    python3 bench/peers/run.py WORK... --home HOME [--ours target/release/impasto] [--peers torch,openvino] [--rounds 5]
        [--out bench/results/NAME.md] [--note TEXT]

WORK is a row of works.py, or `all`. Each program is a child that computes when it is told to, so that only one of
them computes at a time; ours and theirs take turns, round by round, so that both meet the same machine. A peer that
cannot run is a row of the table that says why.
"""

import argparse
import contextlib
import datetime
import json
import os
import shlex
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

from works import CFG_SCALE, PEERS, PROMPT, STEPS, THREADS, WORKS

ROOT = Path(__file__).resolve().parents[2]
PATIENCE = 1800  # seconds until a child that does not answer is given up
SETTLE = 0.5  # seconds between two turns, in which a thread pool that waits by spinning goes to sleep


def our_command(ours, work, home):
    """How Impasto is told to do a work. The one place that knows its command line."""
    if work.kind == "job":
        size = [
            "--width",
            str(work.size),
            "--height",
            str(work.size),
            "--steps",
            str(STEPS),
            "--cfg-scale",
            str(CFG_SCALE),
        ]
        asked = ["--model", "full_width", "--sampler", "Euler a", "--seed", "1", "--output", "-"]
        return [ours, "--data-dir", home / "data", "--threads", THREADS, "txt2img", PROMPT, *size, *asked]
    common = ["--threads", THREADS, "--turns"]
    if work.kind in ("attention", "linear"):
        return [ours, "bench", "kernels", f"unet {work.title}", *common]
    size = ["--width", work.size, "--height", work.size, "--batch", work.batch, "--precision", work.precision]
    return [ours, "bench", work.kind, "--arch", "sd15", *size, *common]


class Failed(Exception):
    """A child that did not start or did not go on; the message is its last words."""


class Child:
    """A program to time: it answers each line with its seconds or, where `once`, is itself a turn from start to end."""

    def __init__(self, command, environment, once):
        self.command, self.environment, self.once = [str(word) for word in command], environment, once
        self.peak = 0  # bytes
        self.process = None

    def __enter__(self):
        self.errors = tempfile.TemporaryFile(mode="w+", errors="replace")
        if not self.once:
            self.start()
            with self.time_limit():
                self.read()
        return self

    def __exit__(self, *_):
        if self.process and self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        self.errors.close()

    def start(self):
        pipe = None if self.once else subprocess.PIPE
        try:
            self.process = subprocess.Popen(
                self.command,
                env=os.environ | self.environment,
                stdin=pipe or subprocess.DEVNULL,
                stdout=pipe or subprocess.DEVNULL,
                stderr=self.errors,
                text=True,
            )
        except OSError as error:
            raise Failed(str(error)) from error

    @contextlib.contextmanager
    def time_limit(self):
        timer = threading.Timer(PATIENCE, self.process.kill)
        timer.start()
        try:
            yield
        finally:
            timer.cancel()

    def read(self):
        line = self.process.stdout.readline()
        if not line:
            self.fail()
        return line

    def fail(self):
        status = self.process.wait()
        self.errors.seek(0)
        words = [line.strip() for line in self.errors if line.strip()] or ["no message"]
        raise Failed(f"{words[-1][:200].replace('|', '/')} (exit status {status})")

    def turn(self, calls):
        """Seconds of a turn: the median of its calls."""
        time.sleep(SETTLE)
        if self.once:
            return self.whole()
        with self.time_limit():
            return statistics.median(self.call() for _ in range(calls))

    def call(self):
        try:
            self.process.stdin.write("\n")
            self.process.stdin.flush()
        except BrokenPipeError:
            self.fail()
        seconds = json.loads(self.read())["seconds"]
        for line in Path(f"/proc/{self.process.pid}/status").read_text().splitlines():
            if line.startswith("VmHWM:"):
                self.peak = max(self.peak, int(line.split()[1]) * 1024)
        return seconds

    def whole(self):
        started = time.perf_counter()
        self.start()
        with self.time_limit():
            _, status, usage = os.wait4(self.process.pid, 0)
        seconds = time.perf_counter() - started
        self.process.returncode = os.waitstatus_to_exitcode(status)
        if status != 0:
            self.fail()
        self.peak = max(self.peak, usage.ru_maxrss * 1024)
        return seconds


def in_turns(ours, theirs, work, rounds):
    """Seconds of each round, ours and theirs; who begins alternates."""
    if not ours.once:
        for child in (ours, theirs):
            child.turn(1)  # the first call touches fresh memory
    pairs = []
    for number in range(rounds):
        order = (ours, theirs) if number % 2 == 0 else (theirs, ours)
        seconds = {child: child.turn(work.calls) for child in order}
        pairs.append((seconds[ours], seconds[theirs]))
        print(f"    ours {duration(seconds[ours])}, theirs {duration(seconds[theirs])}", flush=True)
    return pairs


def duration(seconds):
    return f"{seconds * 1e3:.1f} ms" if seconds < 0.1 else f"{seconds:.3f} s" if seconds < 1 else f"{seconds:.2f} s"


def row(work, gigaflop, peer, ours, theirs, pairs):
    ratios = [a / b for a, b in pairs]
    mine, other = (statistics.median(side) for side in zip(*pairs, strict=True))
    cells = [
        f"{statistics.median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f})",
        duration(mine),
        duration(other),
        *(f"{gigaflop / seconds:.0f}" if gigaflop else "" for seconds in (mine, other)),
        *(f"{child.peak / 1e9:.1f} GB" for child in (ours, theirs)),
    ]
    return f"| {work.title} | {peer.title} | " + " | ".join(cells) + " |"


def compare(name, home, ours, peers, rounds, rows):
    """The rows of one work: ours stays, the peers come one after the other."""
    work = WORKS[name]
    once = work.kind == "job"
    gigaflop = json.loads((home / "cache/flops.json").read_text()).get(name, 0) / 1e9
    chosen = {key: peer for key, peer in PEERS.items() if key in peers and peer.takes(work)}
    left = dict(chosen)
    try:
        with Child(our_command(ours, work, home), {}, once) as mine:
            for key, peer in chosen.items():
                print(f"{work.title}, {peer.title}", flush=True)
                command = [home / "venv/bin/python", ROOT / "bench/peers/peer.py", key, name, home / "cache"]
                try:
                    with Child(command, dict(peer.environment), once) as theirs:
                        pairs = in_turns(mine, theirs, work, rounds)
                        rows.append(row(work, gigaflop, peer, mine, theirs, pairs))
                except Failed as failure:
                    if not once and mine.process.poll() is not None:
                        raise
                    rows.append(f"| {work.title} | {peer.title} | did not run: {failure}" + " |" * 7)
                del left[key]
                yield
    except Failed as failure:
        for peer in left.values():
            rows.append(f"| {work.title} | {peer.title} | ours did not run: {failure}" + " |" * 7)
        yield


def output_of(*command):
    return subprocess.run(
        [str(word) for word in command], capture_output=True, text=True, check=True, cwd=ROOT
    ).stdout.strip()


def processor():
    lines = [line.split(":", 1) for line in Path("/proc/cpuinfo").read_text().splitlines() if ":" in line]
    facts = {key.strip(): value.strip() for key, value in lines}
    flags = facts.get("flags", "").split()
    wanted = ("avx2", "fma", "avx512f", "avx512_vnni", "avx512_bf16", "amx_tile")
    known = f"{facts.get('model name')}, family {facts.get('cpu family')} model {facts.get('model')}"
    return f"{known}, {os.cpu_count()} cores ({', '.join(flag for flag in wanted if flag in flags)})"


def heading(arguments, peers):
    packages = sorted({package for key in peers for package in PEERS[key].packages})
    script = (
        "import importlib.metadata as m, sys\n"
        "known = {d.name.lower(): d.version for d in m.distributions()}\n"
        "print(', '.join(f'{p} {known.get(p, \"not installed\")}' for p in sys.argv[1:]))"
    )
    versions = output_of(arguments.home / "venv/bin/python", "-c", script, *packages)
    changed = " with changes" if output_of("git", "status", "--porcelain", "--", "crates") else ""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return [
        "# Beside other programs",
        "",
        f"- Date: {datetime.date.today()}",
        f"- Machine: {processor()}, {memory:.0f} GiB",
        f"- Commit: {output_of('git', 'rev-parse', '--short', 'HEAD')}{changed}",
        f"- Peers: {versions}",
        *([f"- Note: {arguments.note}"] if arguments.note else []),
        f"- Threads: {THREADS} each; rounds: {arguments.rounds}",
        f"- Command: `{shlex.join([Path(word).name if word.startswith('/') else word for word in sys.argv])}`",
    ]


COLUMNS = (
    "work | peer | ratio, median (range) | ours | theirs | ours, GFLOP/s | theirs, GFLOP/s | our peak | their peak"
)


def loads(averages):
    return ", ".join(f"{value:.1f}" for value in averages)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("works", nargs="+", choices=[*WORKS, "all"], metavar="WORK")
    parser.add_argument("--home", type=Path, required=True, help="the folder that setup.sh filled")
    parser.add_argument("--ours", type=Path, default=ROOT / "target/release/impasto")
    parser.add_argument("--peers", default=",".join(PEERS), help="names of works.py with commas between")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--out", type=Path, help="the table, in Markdown; without it, standard output")
    parser.add_argument("--note", help="a line for the heading, such as what else the machine did")
    arguments = parser.parse_args()
    peers = arguments.peers.split(",")
    if unknown := set(peers) - set(PEERS):
        parser.error(f"no such peer: {', '.join(unknown)}; there are {', '.join(PEERS)}")
    works = list(WORKS) if "all" in arguments.works else arguments.works
    head, rows, before = heading(arguments, peers), [], os.getloadavg()
    for work in works:
        for _ in compare(work, arguments.home.resolve(), arguments.ours.resolve(), peers, arguments.rounds, rows):
            load = (
                f"- Load of the machine (1, 5 and 15 minutes): {loads(before)} before, {loads(os.getloadavg())} after"
            )
            table = [f"| {COLUMNS} |", "|---" * len(COLUMNS.split("|")) + "|", *rows]
            if arguments.out:  # after each row, so that a broken run leaves what it has
                arguments.out.write_text("\n".join([*head, load, "", *table]) + "\n")
            print(rows[-1], flush=True)
    if not arguments.out:
        print("\n".join([*head, load, "", *table]))


if __name__ == "__main__":
    main()

"""Time and memory of `initguide.measure` against the plain passes, on a ResNet-18.

    python benchmarks/measure_cost.py [--repeats 20] [--images 8] [--size 64]

Both do one forward and one backward pass over the same images with the same loss. For the time,
they take turns in one process, so that a machine whose speed drifts treats them alike; printed is
the median of each, and the median, smallest and largest of the ratios of neighbours. For the
memory, each has processes of its own, and what is counted is by how much one pass (after a warm-up
on one image) raises the peak of the resident memory, as the Linux kernel keeps it; printed is the
median of five processes.
"""

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import nn
from torchvision.models import resnet18

from initguide.propagation import Measurement, measure


def plain(model: nn.Module, images: torch.Tensor, labels: torch.Tensor) -> None:
    """Do one forward and one backward pass, as a training step does."""
    F.cross_entropy(model(images), labels).backward()
    model.zero_grad()


def ours(model: nn.Module, images: torch.Tensor, labels: torch.Tensor) -> Measurement:
    """Do the same, and record every layer."""
    return measure(model, images, labels)


PARTS: dict[str, Callable[..., object]] = {"plain passes": plain, "measure": ours}


def batch(images: int, size: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Make up images and labels."""
    generator = torch.Generator().manual_seed(0)
    return (
        torch.randn(images, 3, size, size, generator=generator),
        torch.randint(0, 1000, (images,), generator=generator),
    )


def resident(what: str) -> float:
    """Megabytes of this process: now (VmRSS), or at the peak (VmHWM)."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(what)) / 1024


def memory(part: str, images: int, size: int) -> float:
    """Megabytes by which one pass raises the peak of this process."""
    torch.manual_seed(0)
    model = resnet18(weights=None)
    PARTS[part](model.eval(), *batch(1, 32))  # what torch sets up once is not counted
    model.train()
    data = batch(images, size)
    Path("/proc/self/clear_refs").write_text("5")  # the peak starts anew from here
    before = resident("VmRSS")
    PARTS[part](model, *data)
    return resident("VmHWM") - before


def times(repeats: int, images: int, size: int) -> dict[str, list[float]]:
    """Seconds of each part, taking turns."""
    torch.manual_seed(0)
    model, data = resnet18(weights=None), batch(images, size)
    seconds: dict[str, list[float]] = {part: [] for part in PARTS}
    for repeat in range(repeats + 2):
        for part, passes in PARTS.items():
            start = time.perf_counter()
            passes(model, *data)
            if repeat >= 2:  # the first ones warm up
                seconds[part].append(time.perf_counter() - start)
    return seconds


def main() -> None:
    """Measure both, and print the ratios."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=20, help="how often each is timed (20)")
    parser.add_argument("--images", type=int, default=8, help="images in the batch (8)")
    parser.add_argument("--size", type=int, default=64, help="their height and width (64)")
    parser.add_argument("--threads", type=int, help="threads of torch (as many as it takes)")
    parser.add_argument("--part", choices=PARTS, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.threads:
        torch.set_num_threads(options.threads)
    if options.part:
        print(json.dumps(memory(options.part, options.images, options.size)))
        return

    print(
        f"{os.cpu_count()} cores, {torch.get_num_threads()} threads, {platform.machine()}, Python "
        f"{platform.python_version()}, torch {torch.__version__}; ResNet-18, {options.images} "
        f"images of {options.size} x {options.size}, {options.repeats} repeats in turn\n"
    )
    seconds = times(options.repeats, options.images, options.size)
    peaks = {}
    for part, values in seconds.items():
        sizes = ["--images", str(options.images), "--size", str(options.size)]
        sizes += ["--threads", str(torch.get_num_threads())]
        sizes += ["--part", part]
        command = [sys.executable, __file__, *sizes]
        rises = []
        for _ in range(5):
            done = subprocess.run(command, check=True, capture_output=True, text=True)  # noqa: S603  our own file
            rises.append(float(json.loads(done.stdout.splitlines()[-1])))
        peaks[part] = statistics.median(rises)
        print(
            f"{part:12} {1000 * statistics.median(values):7.1f} ms  "
            f"[{1000 * min(values):.1f} to {1000 * max(values):.1f}]  "
            f"peak rises by {peaks[part]:.1f} MB [{min(rises):.1f} to {max(rises):.1f}]"
        )
    pairs = zip(seconds["plain passes"], seconds["measure"], strict=True)
    ratios = [mine / theirs for theirs, mine in pairs]
    print(
        f"\nmeasure / plain passes: time {statistics.median(ratios):.2f} "
        f"[{min(ratios):.2f} to {max(ratios):.2f}], "
        f"memory {peaks['measure'] / peaks['plain passes']:.2f}"
    )


if __name__ == "__main__":
    main()

"""Time and memory of `initguide.measure` and `check_init` against the plain passes.

    python benchmarks/measure_cost.py [--network resnet18] [--network transformer] [--repeats 20]

All do one forward and one backward pass over the same batch with the same loss: a ResNet-18 with 8
images of 64 × 64, or a transformer of 100 million parameters with 8 × 128 tokens. For the time,
they take turns in one process, so that a machine whose speed drifts treats them alike, and what is
counted is the processor's time, all threads together, so that other programs do not count; printed
is the median of each, and the median, smallest and largest of the ratios of neighbours. For the
memory, each has processes of its own, and what is counted is by how much one pass (after a warm-up
on a tiny network) raises the peak of the resident memory, as the Linux kernel keeps it; printed is
the median of some processes. The weights are there before; an optimizer is not counted.
"""

import argparse
import contextlib
import ctypes
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
from torch import Tensor, nn

from initguide.checkup import check_init
from initguide.propagation import measure

VOCABULARY = 10_000


class Transformer(nn.Module):
    """A decoder of the size of the smallest GPT-2: 12 layers of 768, 100 million parameters."""

    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Embedding(VOCABULARY, 768)
        self.position = nn.Parameter(0.02 * torch.randn(128, 768))
        layers = (
            nn.TransformerEncoderLayer(
                768, 12, 3072, 0.0, F.gelu, batch_first=True, norm_first=True
            )
            for _ in range(12)
        )
        self.blocks = nn.ModuleList(layers)
        self.norm = nn.LayerNorm(768)
        self.head = nn.Linear(768, VOCABULARY, bias=False)
        nn.init.normal_(self.embed.weight, std=0.02)

    def forward(self, tokens: Tensor) -> Tensor:
        """Scores of every token's successor."""
        length = tokens.shape[1]
        mask = nn.Transformer.generate_square_subsequent_mask(length)
        x = self.embed(tokens) + self.position[:length]
        for block in self.blocks:
            x = block(x, src_mask=mask, is_causal=True)
        return self.head(self.norm(x)).transpose(1, 2)  # classes second, as the loss wants them


def images(count: int, size: int) -> tuple[Tensor, Tensor]:
    """Make up images and labels."""
    generator = torch.Generator().manual_seed(0)
    return (
        torch.randn(count, 3, size, size, generator=generator),
        torch.randint(0, 1000, (count,), generator=generator),
    )


def tokens(count: int, length: int) -> tuple[Tensor, Tensor]:
    """Make up tokens and their successors."""
    generator = torch.Generator().manual_seed(0)
    text = torch.randint(0, VOCABULARY, (count, length + 1), generator=generator)
    return text[:, :-1], text[:, 1:]


def resnet() -> nn.Module:
    """Torchvision's ResNet-18."""
    from torchvision.models import resnet18  # noqa: PLC0415  slow, and not always wanted

    return resnet18(weights=None)


# Network -> what makes it, a small batch to warm up on, the batch
NETWORKS: dict[str, tuple[Callable[[], nn.Module], tuple[Tensor, ...], tuple[Tensor, ...]]] = {
    "resnet18": (resnet, images(2, 32), images(8, 64)),
    "transformer": (Transformer, tokens(2, 4), tokens(8, 128)),
}


def plain(model: nn.Module, inputs: Tensor, targets: Tensor) -> None:
    """Do one forward and one backward pass, as a training step does."""
    F.cross_entropy(model(inputs), targets).backward()
    model.zero_grad()


PARTS: dict[str, Callable[[nn.Module, Tensor, Tensor], object]] = {
    "plain passes": plain,
    "measure": measure,
    "check_init": check_init,
}


def resident(what: str) -> float:
    """Megabytes of this process: now (VmRSS), or at the peak (VmHWM)."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(what)) / 1024


def memory(part: str, network: str) -> float:
    """Megabytes by which one pass raises the peak of this process."""
    build, _, batch = NETWORKS[network]
    torch.manual_seed(0)
    tiny = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Flatten(), nn.Linear(144, 1000))
    PARTS[part](tiny, *images(2, 8))  # what torch sets up once is not counted
    model = build()
    with contextlib.suppress(OSError, AttributeError):  # what was freed goes back (glibc)
        ctypes.CDLL(None).malloc_trim(0)
    Path("/proc/self/clear_refs").write_text("5")  # the peak starts anew from here
    before = resident("VmRSS")
    PARTS[part](model, *batch)
    return resident("VmHWM") - before


def times(network: str, repeats: int) -> dict[str, list[float]]:
    """Seconds of processor time of each part, taking turns."""
    build, small, batch = NETWORKS[network]
    torch.manual_seed(0)
    model = build()
    seconds: dict[str, list[float]] = {part: [] for part in PARTS}
    for passes in PARTS.values():
        passes(model, *small)  # the first one warms up
    for _ in range(repeats):
        for part, passes in PARTS.items():
            start = time.process_time()
            passes(model, *batch)
            seconds[part].append(time.process_time() - start)
    return seconds


def cost(network: str, repeats: int, processes: int) -> None:
    """Measure the parts on one network, and print the ratios."""
    count = sum(p.numel() for p in NETWORKS[network][0]().parameters()) / 1e6
    print(f"\n{network}: {count:.0f} million parameters, {repeats} repeats in turn")
    seconds = times(network, repeats)
    peaks = {}
    for part, values in seconds.items():
        words = ["--network", network, "--threads", str(torch.get_num_threads()), "--part", part]
        rises = []
        for _ in range(processes):
            command = [sys.executable, __file__, *words]
            done = subprocess.run(command, check=True, capture_output=True, text=True)  # noqa: S603  our own file
            rises.append(float(json.loads(done.stdout.splitlines()[-1])))
        peaks[part] = statistics.median(rises)
        print(
            f"{part:12} {statistics.median(values):8.3f} s  "
            f"[{min(values):.3f} to {max(values):.3f}]  "
            f"peak rises by {peaks[part]:.0f} MB [{min(rises):.0f} to {max(rises):.0f}]"
        )
    for part in ("measure", "check_init"):
        pairs = zip(seconds["plain passes"], seconds[part], strict=True)
        ratios = [mine / theirs for theirs, mine in pairs]
        print(
            f"{part} / plain passes: time {statistics.median(ratios):.2f} "
            f"[{min(ratios):.2f} to {max(ratios):.2f}], "
            f"memory {peaks[part] / peaks['plain passes']:.2f}"
        )


def main() -> None:
    """Measure the networks that are asked for."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--network", action="append", choices=NETWORKS, help="(both)")
    parser.add_argument("--repeats", type=int, default=20, help="how often each is timed (20)")
    parser.add_argument("--processes", type=int, default=3, help="for the memory of each (3)")
    parser.add_argument("--threads", type=int, help="threads of torch (as many as it takes)")
    parser.add_argument("--part", choices=PARTS, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.threads:
        torch.set_num_threads(options.threads)
    if options.part:
        print(json.dumps(memory(options.part, options.network[0])))
        return
    print(
        f"{os.cpu_count()} cores, {torch.get_num_threads()} threads, {platform.machine()}, Python "
        f"{platform.python_version()}, torch {torch.__version__}; seconds of processor time"
    )
    for network in options.network or NETWORKS:
        repeats = options.repeats if network == "resnet18" else min(options.repeats, 3)
        cost(network, repeats, options.processes if network == "resnet18" else 1)


if __name__ == "__main__":
    main()

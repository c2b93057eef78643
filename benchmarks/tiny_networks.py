"""Time thousands of tiny networks trained by `fit_many`, and one by one in a plain loop.

    python benchmarks/tiny_networks.py [--networks 65536] [--steps 300] [--repeats 3] [--json PATH]

Each network has 16 inputs, 16 tanh units and one output, and its own weights; each step uses all
16 examples. Learning rates are small enough that none diverges, since diverged networks cost less.
The two take turns. The plain loop (a module, `torch.optim.SGD`, ``backward()``) trains 50 networks
on one thread; its time for all of them is extrapolated. The target is 60 s on two cores.
"""

import argparse
import json
import os
import platform
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import torch
from torch import nn

from initguide.stacking import fit_many

LOOPED = 50  # networks that the plain loop trains


def network() -> nn.Module:
    """Make one network; what it starts from is given later."""
    return nn.Sequential(nn.Linear(16, 16), nn.Tanh(), nn.Linear(16, 1))


def seconds(work: Callable[[], object]) -> float:
    """Wall-clock seconds of a call."""
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def plain_loop(
    start: dict[str, torch.Tensor],
    x: torch.Tensor,
    y: torch.Tensor,
    rates: torch.Tensor,
    steps: int,
) -> torch.Tensor:
    """Train the networks one after the other; return their last losses."""
    last = []
    for i, rate in enumerate(rates.tolist()):
        model = network()
        model.load_state_dict({name: tensor[i] for name, tensor in start.items()})
        optimizer = torch.optim.SGD(model.parameters(), lr=rate)
        for _ in range(steps):
            optimizer.zero_grad()
            loss = nn.functional.mse_loss(model(x), y)
            loss.backward()
            optimizer.step()
        last.append(loss.detach())
    return torch.stack(last)


def spread(values: list[float]) -> str:
    """Median, and the range in brackets."""
    return f"{statistics.median(values):,.1f} s [{min(values):,.1f} to {max(values):,.1f}]"


def main() -> None:
    """Measure both, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--networks", type=int, default=2**16)
    parser.add_argument("--steps", type=int, default=300)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--json", type=Path, help="write the numbers to this file, too")
    options = parser.parse_args()
    count, steps = options.networks, options.steps

    draw = torch.Generator().manual_seed(0)
    start = {
        name: torch.randn(count, *p.shape, generator=draw) / 4
        for name, p in network().named_parameters()
    }
    x, y = torch.randn(16, 16, generator=draw), torch.randn(16, 1, generator=draw)
    rates = torch.logspace(-3, -1.3, count)

    def together(number: int) -> torch.Tensor:
        fits = fit_many(
            network(), {name: tensor[:number] for name, tensor in start.items()}, x, y,
            steps=steps, learning_rate=rates[:number], loss=nn.functional.mse_loss,
        )  # fmt: skip
        return torch.from_numpy(fits.losses[-1])

    def one_by_one() -> torch.Tensor:
        threads = torch.get_num_threads()
        torch.set_num_threads(1)
        try:
            return plain_loop(start, x, y, rates[: min(LOOPED, count)], steps)
        finally:
            torch.set_num_threads(threads)

    looped = min(LOOPED, count)
    off = (together(looped) / one_by_one() - 1).abs().max().item()  # and a warm-up of both
    times: dict[str, list[float]] = {"fit_many": [], "plain loop": []}
    for _ in range(options.repeats):
        times["fit_many"].append(seconds(lambda: together(count)))
        times["plain loop"].append(seconds(one_by_one) * count / looped)
    ratio = statistics.median(times["plain loop"]) / statistics.median(times["fit_many"])

    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    versions = f"Python {platform.python_version()}, torch {torch.__version__}, {cores} cores"
    print(f"{versions}; {options.repeats} repeats, median [range]")
    print(f"{count:,} networks, {steps} steps each")
    print(f"  fit_many    {spread(times['fit_many'])}")
    print(f"  plain loop  {spread(times['plain loop'])}, from {looped} networks on one thread")
    print(f"  ratio       {ratio:.1f}; last losses differ by at most {off:.1g} of their size")
    if options.json:
        result = {
            "versions": versions,
            "networks": count,
            "steps": steps,
            "repeats": options.repeats,
            "networks in the plain loop": looped,
            "seconds": times,
            "ratio of medians": ratio,
        }
        options.json.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()

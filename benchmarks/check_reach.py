"""Check that the verdict on how far weights can move the outputs is one about the network.

    python benchmarks/check_reach.py [--seeds 3] [--largest 4096]

Families of networks, some healthy and some that lose the signal, are checked with batches of 8 to
4,096, with labels that can be learnt, labels drawn at random and none, from several seeds. Printed
are the smallest and the largest reach of each family, the part that the batch's size and the labels
have in it (for one network, largest over smallest), and the margin: how far the healthy ones stay
above the threshold (`initguide.checkup.QUIET`), and the others below.
"""

import argparse
import itertools
from collections.abc import Callable, Iterator
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from initguide import checkup
from initguide.checkup import check_init
from initguide.checkup.facts import Facts
from initguide.initializers import initialize
from initguide.randomness import seeded

SIZES = (8, 64, 512, 4096)
LABELS = ("learnable", "random", "none")


class Factors(nn.Module):
    """A recommender: the dot product of two embeddings."""

    def __init__(self, size: float) -> None:
        super().__init__()
        self.users, self.items = nn.Embedding(300, 32), nn.Embedding(200, 32)
        for table in (self.users, self.items):
            nn.init.uniform_(table.weight, -size, size)

    def forward(self, pairs: Tensor) -> Tensor:
        """One number for each pair."""
        return (self.users(pairs[:, 0]) * self.items(pairs[:, 1])).sum(-1)


class Reader(nn.Module):
    """A recurrent network with an answer a step, as torch initializes it."""

    def __init__(self, kind: type[nn.RNNBase], times: float = 1.0) -> None:
        super().__init__()
        self.rnn, self.head = kind(20, 64, batch_first=True), nn.Linear(64, 20)
        with torch.no_grad():
            for parameter in self.parameters():
                parameter.mul_(times)

    def forward(self, x: Tensor) -> Tensor:
        """Scores of every step: (N, classes, T)."""
        return self.head(self.rnn(x)[0]).transpose(1, 2)


def mlp(
    widths: list[int], activation: type[nn.Module], scheme: str, times: float = 1.0
) -> nn.Module:
    """Fully connected; all weights multiplied."""
    layers: list[nn.Module] = []
    for fan_in, fan_out in itertools.pairwise(widths):
        layers += [nn.Linear(fan_in, fan_out), activation()]
    model = nn.Sequential(*layers[:-1])
    if scheme:
        initialize(model, scheme)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.mul_(times)
    return model


def cnn() -> nn.Module:
    """Convolutions with batch normalization."""
    layers: list[nn.Module] = []
    for fan_in, fan_out in ((1, 8), (8, 16), (16, 16)):
        layers += [nn.Conv2d(fan_in, fan_out, 3, 2, 1), nn.BatchNorm2d(fan_out), nn.ReLU()]
    return nn.Sequential(*layers, nn.Flatten(), nn.Linear(16, 5))


class Family(NamedTuple):
    """Networks of one kind, and inputs for them."""

    healthy: bool
    build: Callable[[], nn.Module]
    inputs: Callable[[int], Tensor]


def numbers(*shape: int) -> Callable[[int], Tensor]:
    """Inputs from N(0, 1)."""
    return lambda count: torch.randn(count, *shape)


def pairs(count: int) -> Tensor:
    """Pairs of a user and an item."""
    return torch.stack([torch.randint(300, (count,)), torch.randint(200, (count,))], dim=1)


def steps(count: int) -> Tensor:
    """Letters, one-hot."""
    return F.one_hot(torch.randint(20, (count, 12)), 20).float()


FAMILIES = {
    "mlp 2, torch's default": Family(True, lambda: mlp([8, 32, 4], nn.ReLU, ""), numbers(8)),
    "mlp 3, torch's default": Family(True, lambda: mlp([20, 64, 64, 5], nn.ReLU, ""), numbers(20)),
    "mlp 3 wide, torch's default": Family(
        True, lambda: mlp([100, 512, 512, 10], nn.ReLU, ""), numbers(100)
    ),
    "mlp, one output": Family(True, lambda: mlp([8, 64, 64, 1], nn.ReLU, ""), numbers(8)),
    "mlp, two outputs": Family(True, lambda: mlp([8, 32, 2], nn.Tanh, ""), numbers(8)),
    "mlp 10 relu, he_normal": Family(
        True, lambda: mlp([20, *[64] * 9, 5], nn.ReLU, "he_normal"), numbers(20)
    ),
    "mlp 20 tanh, lecun_normal": Family(
        True, lambda: mlp([20, *[64] * 19, 5], nn.Tanh, "lecun_normal"), numbers(20)
    ),
    "cnn, BatchNorm": Family(True, cnn, numbers(1, 8, 8)),
    "factors of 0.2": Family(True, lambda: Factors(0.2), pairs),
    "lstm, torch's default": Family(True, lambda: Reader(nn.LSTM), steps),
    "gru, torch's default": Family(True, lambda: Reader(nn.GRU), steps),
    "factors of 0.01": Family(False, lambda: Factors(0.01), pairs),
    "mlp 10 relu, gain × 0.3": Family(
        False, lambda: mlp([20, *[64] * 9, 5], nn.ReLU, "he_normal", 0.3), numbers(20)
    ),
    "mlp 30 tanh, gain × 0.5": Family(
        False, lambda: mlp([20, *[64] * 29, 5], nn.Tanh, "lecun_normal", 0.5), numbers(20)
    ),
    "mlp 3 relu, gain × 0.03": Family(
        False, lambda: mlp([20, 64, 64, 5], nn.ReLU, "he_normal", 0.03), numbers(20)
    ),
}


def answers(model: nn.Module, inputs: Tensor, kind: str) -> Tensor | None:
    """What the outputs are compared with: what tells of the inputs, draws, or nothing."""
    if kind == "none":
        return None
    with torch.no_grad():
        shape = model(inputs[:2]).shape
    values = inputs.float().flatten(1)
    if len(shape) == 1:
        return values[:, 0] / 150 - 1 if kind == "learnable" else torch.randn(len(inputs))
    if shape[1] == 1:
        return values[:, :1] if kind == "learnable" else torch.randn(len(inputs), 1)
    if len(shape) == 3:
        return inputs.argmax(-1) if kind == "learnable" else torch.randint(20, inputs.shape[:2])
    if kind == "learnable":
        return values[:, : shape[1]].argmax(dim=1)
    return torch.randint(shape[1], (len(inputs),))


class Result(NamedTuple):
    """What one network was said to be with one batch."""

    seed: int
    reach: float
    verdict: str  # what was said of its signal


def reaches(family: Family, sizes: tuple[int, ...], seeds: range) -> Iterator[Result]:
    """Check the networks of a family, each with all batches."""
    for seed, size, kind in itertools.product(seeds, sizes, LABELS):
        with seeded(seed):
            model = family.build()
        with seeded(seed + 10**6):
            inputs = family.inputs(size)
            targets = answers(model, inputs, kind)
        report = check_init(model, inputs, targets, seed=seed)
        facts = Facts(model, report.measurement, inputs, targets)
        codes = [f.severity for f in report.findings if f.code == "vanishing-signal"]
        yield Result(seed, facts.reach(), (codes or ["nothing"])[0])


def main() -> None:
    """Print a line for each family, and the margins."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--seeds", type=int, default=3, help="networks of each family (3)")
    parser.add_argument("--largest", type=int, default=4096, help="batch (4096)")
    options = parser.parse_args()
    sizes = tuple(size for size in SIZES if size <= options.largest)
    print(f"{'':30}   reach: from         to   one network   verdicts")
    found: dict[bool, list[float]] = {True: [], False: []}
    for name, family in FAMILIES.items():
        rows = list(reaches(family, sizes, range(options.seeds)))
        values = [row.reach for row in rows]
        groups = [[r.reach for r in rows if r.seed == seed] for seed in range(options.seeds)]
        spread = max(max(group) / min(group) for group in groups)
        verdicts = ", ".join(sorted({row.verdict for row in rows}))
        print(
            f"{name:30} {min(values):13.3g} {max(values):10.3g} {spread:13.2f}   {verdicts}",
            flush=True,
        )
        found[family.healthy] += values
    low, high = min(found[True]), max(found[False])
    print(
        f"\nhealthy: {low:.3g} or more, {low / checkup.QUIET[0]:.2g} times the threshold of "
        f"{checkup.QUIET[0]:g}; the others: at most {high:.3g}, {checkup.QUIET[0] / high:.2g} "
        "times below it."
    )


if __name__ == "__main__":
    main()

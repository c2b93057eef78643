"""Which way suits which networks."""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from torch import nn

from initguide.training import engine
from initguide.training.optimizers import is_named
from initguide.training.processor import device_of
from initguide.training.quick import holds_tensors
from initguide.training.settings import Settings
from initguide.training.ways import WAYS, Alone, Way

__all__ = ["Plan", "plan"]


class Plan(NamedTuple):
    """How networks of one shape are best trained.

    Attributes
    ----------
    way
        ``"compiled"``, ``"stacked"``, ``"side by side"`` or ``"alone"``.
    size
        How many at a time, at least 1.
    """

    way: str
    size: int


# Runs a second on two cores (benchmarks/ways.py, kept in benchmarks/results.json), of two hidden
# layers of h and h/2 units, which the numbers below are read off:
#
#     h     parameters   compiled   alone   side by side   stacked
#     16        12,786      235      31         54            92
#     32        25,818      193      19         41            68
#     64        52,650      133      17         32            34
#     128      109,386       78      18         28            20
#     256      235,146       40      14         17             8.1
#     512      535,818       17       8.9        8.8           3.6
#     1024   1,333,770        5.9     4.4        4.2           1.4
#     2048   3,716,106        1.8     1.6        1.5           0.5
SMALL = 15_000  # parameters per layer below which stacking wins; 17,550 (h = 64) are level
LARGE = 1_000_000  # parameters from which a network keeps a core busy by itself
ABREAST = 5  # networks side by side: more gain nothing
STACK = 2**21  # parameters of a stack: with more, it leaves the caches
GROUP = 2**18  # parameters of the networks that are handed to compiled steps at a time

# Layers that take no longer side by side, or in a stack, than one network after the other.
_CONNECTED = (nn.Linear, nn.LayerNorm, nn.BatchNorm1d, nn.Embedding, nn.PReLU)


def plan(model: nn.Module, optimizer: object = "adam", *, compiling: bool = True) -> Plan:
    """How to train many networks like this one.

    Networks on a GPU are stacked, as many as there are. On a CPU, networks of less than four
    million parameters that compiled steps can train (`initguide.training`) are trained by them, one
    after the other. Of the rest, fully connected networks whose layers have less than 15,000
    parameters on average are stacked, 20 to 256 at a time; those of less than a million parameters
    go side by side, by five. All others go alone: they keep a core busy. ``benchmarks/ways.py``
    measures what this rule stands on.

    Parameters
    ----------
    model
        One of the networks.
    optimizer
        A name, as for `initguide.training.train`. With a function, nothing is compiled or stacked:
        it may look at a whole tensor at once.
    compiling
        Whether compiled steps may be used where there are any.

    Examples
    --------
    >>> from initguide.models import mlp
    >>> for widths in ([784, 256, 128, 10], [784, 16, 16, 10]):
    ...     print(plan(mlp(widths, nn.Tanh)))
    Plan(way='side by side', size=5)
    Plan(way='stacked', size=161)
    """
    count = sum(p.numel() for p in model.parameters())
    if count and device_of(model).type != "cpu":
        # A GPU is idle with one such network, whatever its size.
        return Plan("stacked", 2**20) if is_named(optimizer) else Plan("alone", 1)
    if compiling and is_named(optimizer) and engine.fits(model):
        return Plan("compiled", group_size(count))
    holders = [m for m in model.modules() if holds_tensors(m)]
    layers = sum(type(m) is nn.Linear for m in holders)
    if not layers or not all(isinstance(m, _CONNECTED) for m in holders) or count >= LARGE:
        return Plan("alone", 1)
    has_buffers = any(True for _ in model.buffers())  # which the networks of a stack would share
    if is_named(optimizer) and count / layers < SMALL and not has_buffers:
        return Plan("stacked", stack_size(count))
    return Plan("side by side", ABREAST)


def group_size(count: int) -> int:
    """How many networks of so many parameters are handed to compiled steps at a time."""
    return max(1, min(GROUP // count, 64))


def stack_size(count: int) -> int:
    """How many networks of so many parameters are stacked on a CPU."""
    return max(20, min(STACK // count, 256))


def choose(models: Sequence[nn.Module], settings: Settings, way: str | None) -> type[Way]:
    """The way in which models are trained: as asked for or as planned, if it accepts them.

    Parameters
    ----------
    models
        At least one.
    settings
        What their runs have in common.
    way
        A name, or ``None`` for what `plan` says. Models that are not accepted there go alone, or,
        as those that are planned to go alone, in a way that is better for them (`Way.prefers`).
    """

    def names() -> Iterator[str]:
        if way:
            yield way
            return
        planned = plan(models[0], settings.optimizer).way
        yield planned
        if planned == "compiled":  # these models, but not on these data
            yield plan(models[0], settings.optimizer, compiling=False).way

    found = next((WAYS[n] for n in names() if WAYS[n].accepts(models, settings)), Alone)
    if found is not Alone or way == Alone.name:
        return found
    better = (other for other in WAYS.values() if other.prefers(models, settings))
    return next((other for other in better if other.accepts(models, settings)), Alone)

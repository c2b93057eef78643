"""How far a step of training moves each layer, as a network gets wider: `coordinate_check`."""

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from initguide.arguments import check_number, check_whole
from initguide.experiments.jobs import SchemeLike
from initguide.experiments.seeds import seed_list
from initguide.experiments.settings import check_data
from initguide.experiments.statistics import Interval, mean_interval
from initguide.initializers import initialize
from initguide.introspection import tensors_in
from initguide.randomness import seeded
from initguide.tables import Table
from initguide.training import Dataset, OptimizerFactory, fit, make_optimizer

PROBE = 200  # validation images: the change is a mean over them and the units, so few are enough


@dataclass(frozen=True, eq=False, repr=False)
class CoordinateCheck:
    """How far steps of training moved each layer, by width: what `coordinate_check` returns.

    Printed, it is a table of exponents; a notebook shows the same table in HTML.

    Attributes
    ----------
    widths
        In rising order.
    layers
        Names of the layers that have a matrix of weights, in the order in which they run. Those
        that never do, such as the `out_proj` of `torch.nn.MultiheadAttention`, whose weights the
        attention uses itself, are left out.
    changes
        Label of each way -> (seeds, widths, layers), the root mean square of the change of what
        the layer puts out.
    predicted
        Label -> expected exponent of each layer; empty if none was given.
    steps
        How many steps were taken.
    """

    widths: tuple[int, ...]
    layers: tuple[str, ...]
    changes: Mapping[str, NDArray[np.float64]]
    predicted: Mapping[str, Sequence[float]]
    steps: int

    def exponents(self, label: str, *, least: int = 0) -> list[tuple[float, Interval | None]]:
        """Power of the width with which each layer's change grows, with its interval over seeds.

        NaN for a layer that did not move, as those below a last layer of zeros do not in the first
        step, or whose change is not finite.

        Parameters
        ----------
        label
            Which way.
        least
            Narrower networks than this are left out. What is predicted holds for wide ones.

        Raises
        ------
        ValueError
            If the label is unknown, or fewer than two widths are left.
        """
        if label not in self.changes:
            raise ValueError(f"unknown way {label!r}; there are {', '.join(self.changes)}")
        wide = np.array(self.widths) >= least
        if wide.sum() < 2:
            raise ValueError(
                f"least is {least!r}, which leaves fewer than two of the widths "
                f"{list(self.widths)}; an exponent needs two"
            )
        x = np.log(np.array(self.widths)[wide])
        with np.errstate(divide="ignore"):
            # A layer that did not move becomes -inf, and gets no exponent.
            logs = np.log(self.changes[label][:, wide])
        return [
            mean_interval(np.polyfit(x, rows.T, 1)[0])
            if np.isfinite(rows).all()
            else (math.nan, None)
            for rows in np.moveaxis(logs, -1, 0)
        ]

    def table(self) -> Table:
        """Exponents of each way and layer, over all widths and over the wider half."""
        middle = self.widths[len(self.widths) // 2]
        kinds = {"all widths": 0}
        if len(self.widths) > 3:
            kinds[f"from {middle:,} on"] = middle
        pairs = [(label, i) for label in self.changes for i in range(len(self.layers))]
        columns: dict[str, list[Any]] = {
            "way": [label for label, _ in pairs],
            "layer": [self.layers[i] for _, i in pairs],
        }
        if self.predicted:
            columns["predicted"] = [self.predicted[label][i] for label, i in pairs]
        for heading, least in kinds.items():
            found = {label: self.exponents(label, least=least) for label in self.changes}
            columns[heading] = [_in_words(*found[label][i]) for label, i in pairs]
        seeds = len(next(iter(self.changes.values())))
        return Table(
            columns,
            caption="How the change grows with the width: exponents",
            note=f"After {self.steps} step{'s' * (self.steps > 1)}, for widths from "
            f"{self.widths[0]:,} to {self.widths[-1]:,}. Mean over {seeds} "
            f"seed{'s' * (seeds > 1)}{' and its 95 % interval' * (seeds > 1)}.",
            formats={"predicted": "g"} if self.predicted else {},
        )

    def __str__(self) -> str:
        return str(self.table())

    __repr__ = __str__

    def _repr_html_(self) -> str:
        return self.table()._repr_html_()


def coordinate_check(
    model: Callable[[int], nn.Module],
    data: Dataset,
    ways: Mapping[str, tuple[SchemeLike, str | OptimizerFactory]],
    *,
    widths: Iterable[int],
    learning_rate: float = 1e-4,
    steps: int = 1,
    batch_size: int = 64,
    seeds: int | Iterable[int] = 4,
    predicted: Mapping[str, Sequence[float]] | None = None,
) -> CoordinateCheck:
    """Take a few steps at several widths, and measure how far each layer's output moves.

    With the maximal-update parametrization, muP (Yang & Hu 2021), every layer moves equally far at
    any width. A layer whose change rises or falls with the width names the scale or the learning
    rate that was forgotten (Yang et al. 2022, appendix D.1).

    Parameters
    ----------
    model
        Makes a network of a width, with the same layers for every width.
    data
        What `initguide.fashion_mnist` returns, or anything with the same splits. The steps are
        taken on training images, on others for each seed, of which there must be enough: seed s
        takes those from ``s * steps * batch_size`` on. The change is measured on the first
        200 validation images, in evaluation mode.
    ways
        Label -> (scheme, optimizer), each a name or a function as in `initguide.training.train`. An
        optimizer that gives each layer a rate of its own is a function of the parameters and the
        learning rate.
    widths
        At least two different ones.
    learning_rate
        For all widths, above 0. Small, so that steps are far from what makes training diverge.
    steps
        How many, at least 1.
    batch_size
        Of each step, at least 1.
    seeds
        How many (they are then 0, 1, 2, …), or which.
    predicted
        Label -> expected exponent of each layer, to be shown beside what was measured; of all ways,
        and of no others.

    Returns
    -------
    CoordinateCheck
        Changes and their exponents; `initguide.plots.plot_coordinates` draws them.

    Raises
    ------
    TypeError
        If ``ways`` is no dictionary.
    ValueError
        If there is no way or one is no such pair, fewer than two widths, a number is out of its
        range, the training images do not suffice, no layer with a matrix runs, the networks of two
        widths differ in their layers, or a prediction is missing or has an unknown label.

    Examples
    --------
    With Adam at one rate for all layers, the wider the network, the further the outputs move:

    >>> import initguide
    >>> data = initguide.fashion_mnist(source="sample").subset(train=500)
    >>> check = coordinate_check(
    ...     lambda width: initguide.mlp([784, width, 10]),
    ...     data,
    ...     {"Adam": ("lecun_normal", "adam")},
    ...     widths=[256, 512, 1024],
    ... )
    >>> check.layers
    ('fc1', 'fc2')
    >>> [round(exponent) for exponent, _ in check.exponents("Adam")]
    [0, 1]
    """
    check_data(data)
    _check_ways(ways)
    ordered = sorted({check_whole("widths", width, 1) for width in widths})
    if len(ordered) < 2:
        raise ValueError(f"widths gives {ordered}; it must be at least two different numbers")
    check_number("learning_rate", learning_rate, above=0)
    check_whole("steps", steps, 1)
    check_whole("batch_size", batch_size, 1)
    numbers = seed_list(seeds)
    images = data.train.images
    needed = (max(numbers) + 1) * steps * batch_size
    if needed > len(images):
        raise ValueError(
            f"seeds up to {max(numbers)} with {steps} x {batch_size} images each (steps x "
            f"batch_size) need {needed:,} training images, and data has {len(images):,}; give "
            "lower seeds, fewer steps, smaller batches or more data, so that no image comes twice"
        )
    probe = data.valid.images[:PROBE]
    with seeded(0):
        layers = tuple(_outputs(model(ordered[0]), probe))
    if predicted is not None:
        if unknown := [label for label in predicted if label not in ways]:
            raise ValueError(
                f"predicted has the unknown label {unknown[0]!r}; the ways are "
                f"{', '.join(map(repr, ways))}"
            )
        for label in ways:
            if (count := len(predicted.get(label, ()))) != len(layers):
                raise ValueError(
                    f"predicted has {count} exponents for {label!r}; give one for each of the "
                    f"layers {', '.join(layers)}"
                )

    def changes(width: int, scheme: SchemeLike, optimizer: Any, seed: int) -> list[float]:
        # Dropout and layers of the model's own making draw from the global generator.
        with seeded(seed):
            net = initialize(model(width), scheme, seed=seed)
            before = _outputs(net, probe)
            if tuple(before) != layers:
                raise ValueError(
                    f"the network of width {width} has the layers {', '.join(before)}, and "
                    f"that of width {ordered[0]} has {', '.join(layers)}; they must be the same"
                )
            # The same images for every width and way, others for each seed.
            rows = torch.arange(steps * batch_size) + seed * steps * batch_size
            fit(
                net,
                ((images[i], data.train.labels[i]) for i in rows.split(batch_size)),
                make_optimizer(optimizer, net.parameters(), learning_rate),
            )
            after = _outputs(net, probe)
        return [(after[name] - before[name]).square().mean().sqrt().item() for name in layers]

    return CoordinateCheck(
        widths=tuple(ordered),
        layers=layers,
        changes={
            label: np.array([[changes(n, *way, seed) for n in ordered] for seed in numbers])
            for label, way in ways.items()
        },
        predicted=dict(predicted or {}),
        steps=steps,
    )


def _check_ways(ways: object) -> None:
    """Refuse what is no mapping of labels to pairs of a scheme and an optimizer."""
    allowed = "such as {'muP': ('he_normal', 'adam')}: a label, and a name or function of each"
    if not isinstance(ways, Mapping):
        raise TypeError(f"ways is {ways!r}; give a dictionary {allowed}")
    if not ways:
        raise ValueError("ways is empty; give at least one label with its (scheme, optimizer)")
    for label, way in ways.items():
        is_pair = isinstance(way, tuple | list) and len(way) == 2
        if not is_pair or not all(isinstance(part, str) or callable(part) for part in way):
            raise ValueError(
                f"ways has {way!r} for {label!r}; give a pair (scheme, optimizer), {allowed}"
            )


def _outputs(net: nn.Module, probe: Tensor) -> dict[str, Tensor]:
    """What each layer with a matrix puts out, of all its calls, as one flat tensor.

    In the order in which the layers first ran; those that did not are left out.
    """
    seen: dict[str, list[Tensor]] = {}

    def keep(name: str) -> Callable[..., None]:
        # A copy, because an activation behind the layer may work in place.
        return lambda _module, _inputs, output: seen.setdefault(name, []).extend(
            tensor.detach().flatten().clone() for tensor in tensors_in(output)
        )

    layers = {
        name: module
        for name, module in net.named_modules()
        if any(p.ndim > 1 for p in module.parameters(recurse=False))
    }
    hooks = [module.register_forward_hook(keep(name)) for name, module in layers.items()]
    try:
        # With gradients: without, torch's transformers take a shortcut around their own layers.
        with torch.enable_grad():
            net.eval()(probe)
    finally:
        for hook in hooks:
            hook.remove()
    outputs = {name: torch.cat(tensors) for name, tensors in seen.items() if tensors}
    if not outputs:
        raise ValueError(
            "no layer of the model that has a matrix of weights did run; there are "
            f"{', '.join(layers) or 'none'}, and layers must be called, not only their weights used"
        )
    return outputs


def _in_words(mean: float, interval: Interval | None) -> str:
    if math.isnan(mean):
        return "–"
    ends = f" ({interval[0]:z.2f} to {interval[1]:z.2f})" if interval else ""
    return f"{mean:z.2f}{ends}".replace("-", "−")

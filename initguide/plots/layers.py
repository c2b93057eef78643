"""One number per layer, measured and predicted: `plot_layers`."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from initguide.plots.curves import legend_below, legend_label
from initguide.plots.scales import is_logarithmic, make_logarithmic
from initguide.plots.style import INK, Look, axes_for, looks_of
from initguide.plots.words import capital, counted, fitting, number_text, say_after, text_so_far
from initguide.propagation import VALUES, Measurement, Record

Measured = Measurement | Sequence[Measurement]


def chosen(measurement: Measurement, kinds: Sequence[str] | None) -> list[Record]:
    """Return the records of some kinds, or of the layers that have a fan-in."""
    if kinds is None:
        return [r for r in measurement if math.isfinite(r.fan_in)] or list(measurement)
    wanted = [kinds] if isinstance(kinds, str) else list(kinds)
    found = [record for record in measurement if record.kind in wanted]
    if not found:
        there = ", ".join(dict.fromkeys(record.kind for record in measurement))
        raise ValueError(f"kinds is {kinds!r}, but no such layer ran; there are: {there}")
    return found


def _by_layer(
    label: str, measured: Measured, value: str, kinds: Sequence[str] | None
) -> tuple[list[str], NDArray[np.float64]]:
    """Names of the layers, and (measurements, layers) numbers."""
    several = [measured] if isinstance(measured, Measurement) else list(measured)
    if not several:
        raise ValueError(f"{label!r} holds no measurement, so there is nothing to draw")
    records = [chosen(measurement, kinds) for measurement in several]
    names = [[record.name for record in row] for row in records]
    if any(row != names[0] for row in names):
        raise ValueError(
            f"the measurements of {label!r} are of different layers; give networks of other "
            "layers a label of their own"
        )
    return names[0], np.array([[getattr(r, value) for r in row] for row in records], np.float64)


def _predictions(predicted: Any, names: Sequence[str]) -> NDArray[np.float64]:
    """One number per layer, NaN where there is none."""
    if not isinstance(predicted, Mapping):
        items = list(predicted)
        if not items or not all(hasattr(item, "name") for item in items):
            if len(items) != len(names):
                raise ValueError(
                    f"predicted has {counted(len(items), 'number')}, but "
                    f"{counted(len(names), 'layer')} are drawn: {', '.join(names)}"
                )
            return _without_infinities([float(item) for item in items])
        by_name: dict[str, list[float]] = {}
        for item in items:
            by_name.setdefault(item.name, []).append(float(item))
    else:
        by_name = {name: [float(number)] for name, number in predicted.items()}
    if not set(by_name) & set(names):
        raise ValueError(
            f"predicted is for {', '.join(map(str, by_name)) or 'no layer'}, but the layers drawn "
            f"are {', '.join(names)}"
        )
    used: dict[str, int] = {}
    found = []
    for name in names:  # a layer that is used twice has two predictions, or one for both
        numbers = by_name.get(name, [math.nan])
        found.append(numbers[min(used.get(name, 0), len(numbers) - 1)])
        used[name] = used.get(name, 0) + 1
    return _without_infinities(found)


def _without_infinities(numbers: Sequence[float]) -> NDArray[np.float64]:
    array = np.array(numbers, dtype=np.float64)
    return np.where(np.isfinite(array), array, np.nan)


def plot_layers(
    measured: Measured | Mapping[str, Measured],
    *,
    value: str = "output_second_moment",
    predicted: Any = None,
    kinds: Sequence[str] | None = None,
    schemes: Mapping[str, str] | None = None,
    log: bool | None = None,
    title: str | None = None,
    ax: Axes | None = None,
) -> Axes:
    """One number of each layer, against the layers in the order in which they ran.

    Of several measurements under one label, such as one per seed, the line is the mean and the band
    reaches from the smallest to the largest. On a logarithmic axis, which says that it is one, a
    mean of 0 is an × at the bottom. What is not finite is left out, and the legend says so.

    Parameters
    ----------
    measured
        What `initguide.propagation.measure` returns, a list of those (one per seed), or label ->
        either.
    value
        Which number of a `initguide.propagation.Record`: a name from
        `initguide.propagation.VALUES`.
    predicted
        The same number as theory has it, drawn through the curves with hollow markers: one per
        layer, layer's name -> number, or what `initguide.theory.predict_variances` returns. With
        several labels, also label -> any of these.
    kinds
        Kinds of layers to show, such as ``["ReLU"]``. If ``None``, linear layers, convolutions and
        embeddings, or all layers if there are none of these.
    schemes
        Label -> the description of its scheme, whose colour it gets. The labels themselves if
        ``None``.
    log
        Whether the y axis is logarithmic. If ``None``, it is if nothing is negative and the largest
        number is more than 50 times the smallest above 0.
    title
        The title; made from ``value`` if ``None``.
    ax
        Where to draw; a new figure if ``None``.

    Returns
    -------
    Axes
        With the layers, counted from 1, on x and the numbers on y.

    Raises
    ------
    ValueError
        If there is nothing to draw, ``value`` or ``kinds`` is unknown, the measurements of a label
        or the predictions are of other layers, or ``log`` is asked for with negative numbers.
    """
    if value not in VALUES:
        raise ValueError(f"unknown value {value!r}; the values are {', '.join(VALUES)}")
    labelled = dict(measured) if isinstance(measured, Mapping) else {"measured": measured}
    if not labelled:
        raise ValueError("measured is empty; give at least one measurement")
    layers = {label: _by_layer(label, m, value, kinds) for label, m in labelled.items()}
    every = np.concatenate([numbers.ravel() for _, numbers in layers.values()])
    if not np.isfinite(every).any():
        raise ValueError(
            f"none of the layers drawn has a finite {value} ({VALUES[value]}); choose other kinds= "
            "or another value="
        )
    looks = looks_of({label: (schemes or {}).get(label, label) for label in labelled})
    means = {label: _finite_mean(numbers) for label, (_, numbers) in layers.items()}
    theory = _theory_curves(predicted, layers, looks)
    curves = means | {label: numbers for label, (numbers, _) in theory.items()}
    logarithmic = is_logarithmic(list(curves.values()), log, value)
    ax = axes_for(ax, height=3.7 + 0.2 * math.ceil(len(curves) / 3))
    before = text_so_far(ax)
    for label, (_, numbers) in layers.items():
        _draw_layers(ax, label, numbers, looks[label], logarithmic=logarithmic)
    for label, (numbers, look) in theory.items():
        ax.plot(
            np.arange(1, len(numbers) + 1),
            np.where(numbers > 0, numbers, np.nan) if logarithmic else numbers,
            color=look.color,
            # Thin, dotted and hollow: the measured curve is seen under it where both agree.
            linestyle=(0, (1.5, 1.5)),
            linewidth=1.4,
            marker=look.marker,
            markersize=9,
            markerfacecolor="none",
            markevery=max(1, len(numbers) // 12),
            label=legend_label(label, ""),
            zorder=2.7,
        )
    if logarithmic:
        make_logarithmic(ax)
    name_layers(ax, [names for names, _ in layers.values()])
    text = title if title is not None else f"{capital(VALUES[value])}, layer by layer"
    ax.set(
        title=text,
        ylabel=VALUES[value] + (",\nlogarithmic scale" if logarithmic else ""),
    )
    notes = _layer_notes([numbers for _, numbers in layers.values()], logarithmic=logarithmic)
    if len(curves) > 1 or notes:
        legend_below(ax, "; ".join(notes) or None)
    words = _layers_in_words(text, notes, layers, curves, logarithmic=logarithmic)
    say_after(ax, words, after=before)
    return ax


def _layer_notes(values: Sequence[NDArray[np.float64]], *, logarithmic: bool) -> list[str]:
    """Notes for the legend: how many measurements, what was left out, what a sign means."""
    notes = []
    counts = sorted({len(numbers) for numbers in values})
    if counts[-1] > 1:
        number = f"{counts[0]} to {counts[-1]}" if len(counts) > 1 else str(counts[0])
        notes.append(f"mean of {number} measurements; band: smallest to largest")
    if infinite := sum(int(np.isinf(numbers).sum()) for numbers in values):
        notes.append(f"{counted(infinite, 'infinite value')} left out")
    if logarithmic and any((_finite_mean(numbers) == 0).any() for numbers in values):
        notes.append("×: 0")
    return notes


def _theory_curves(
    predicted: Any,
    layers: Mapping[str, tuple[list[str], NDArray[np.float64]]],
    looks: Mapping[str, Look],
) -> dict[str, tuple[NDArray[np.float64], Look]]:
    """Label -> the predictions and their look: one curve for all, or one for each label."""
    if predicted is None:
        return {}
    if isinstance(predicted, Mapping) and set(predicted) & set(layers):
        return {
            f"{label}, predicted": (_predictions(predicted[label], names), looks[label])
            for label, (names, _) in layers.items()
            if label in predicted
        }
    names = next(iter(layers.values()))[0]
    return {"predicted": (_predictions(predicted, names), Look(INK, "--", "s"))}


def _draw_layers(
    ax: Axes, label: str, numbers: NDArray[np.float64], look: Look, *, logarithmic: bool
) -> None:
    """Draw the mean of the rows as a line, and a band from the smallest to the largest."""
    x, mean = np.arange(1, numbers.shape[1] + 1), _finite_mean(numbers)
    if len(numbers) > 1:
        low, high = _ends(np.where(np.isfinite(numbers), numbers, np.nan))
        ax.fill_between(x, low, high, color=look.color, alpha=0.18, linewidth=0)
    ax.plot(
        x,
        np.where(mean > 0, mean, np.nan) if logarithmic else mean,
        color=look.color,
        linestyle=look.style,
        marker=look.marker,
        markevery=max(1, len(x) // 12),
        label=legend_label(label, ""),
        zorder=2.5,
    )
    if logarithmic and (mean == 0).any():
        ax.plot(
            x[mean == 0],
            np.zeros(int((mean == 0).sum())),  # in parts of the panel: 0 has no place on this axis
            transform=ax.get_xaxis_transform(),
            linestyle="none",
            marker="x",
            markersize=9,
            markeredgewidth=2.2,
            color=look.color,
            clip_on=False,
            zorder=3,
        )


def _finite_mean(numbers: NDArray[np.float64]) -> NDArray[np.float64]:
    """Mean over the rows of what is finite; NaN where nothing is."""
    finite = np.isfinite(numbers)
    count = finite.sum(axis=0)  # np.nanmean would warn of columns without a number
    sums = np.where(finite, numbers, 0.0).sum(axis=0)
    mean: NDArray[np.float64] = np.where(count > 0, sums / np.maximum(count, 1), np.nan)
    return mean


def _ends(numbers: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Smallest and largest of each column; NaN where nothing is a number."""
    there = np.isfinite(numbers).any(axis=0)
    low = np.where(there, np.where(np.isnan(numbers), np.inf, numbers).min(axis=0), np.nan)
    high = np.where(there, np.where(np.isnan(numbers), -np.inf, numbers).max(axis=0), np.nan)
    return low, high


def name_layers(ax: Axes, names: Sequence[Sequence[str]]) -> None:
    """Put the layers' names on the x axis where they fit, else their numbers."""
    same = all(row == names[0] for row in names)
    # 66 letters of this size and the gaps between 12 names are as wide as the panel.
    if same and len(names[0]) <= 12 and sum(map(len, names[0])) <= 66:
        ax.set_xticks(range(1, len(names[0]) + 1), names[0])
        ax.set_xlabel("layer")
    else:
        ax.xaxis.set_major_locator(MaxNLocator(8, steps=[1, 2, 5, 10], integer=True))
        ax.set_xlabel("number of the layer")


def _layers_in_words(
    title: str,
    notes: Sequence[str],
    layers: Mapping[str, tuple[list[str], NDArray[np.float64]]],
    curves: Mapping[str, NDArray[np.float64]],
    *,
    logarithmic: bool,
) -> str:
    remarks = [title, *notes, *["logarithmic scale"] * logarithmic]
    parts, last = [], {}
    for label, curve in curves.items():
        at = np.flatnonzero(np.isfinite(curve))
        if not len(at):
            parts.append(f"{label} has no finite number")
            continue
        a, b = (number_text(curve[i]) for i in (at[0], at[-1]))
        names = layers[label][0] if label in layers else None
        first, end = (names[i] if names else f"layer {i + 1}" for i in (at[0], at[-1]))
        parts.append(
            f"{label} {a} in {first}"
            if len(at) == 1
            else f"{label} from {a} in {first} to {b} in {end}"
        )
        last[label] = float(curve[at[-1]])
    instead = f"none of {len(curves)} curves has a finite number."
    if last:
        low, high = (f(last, key=lambda label: last[label]) for f in (min, max))
        instead = (
            f"of {len(curves)} curves, lowest at the end {low} with {number_text(last[low])}, "
            f"highest {high} with {number_text(last[high])}."
        )
    return fitting(", ".join(remarks) + ": ", parts, instead)

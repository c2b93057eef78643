"""What was measured, beside what theory had predicted: `plot_prediction`."""

from collections.abc import Iterable, Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from numpy.typing import ArrayLike, NDArray

from initguide.plots.bands import draw_band
from initguide.plots.curves import legend_below
from initguide.plots.layers import name_layers
from initguide.plots.scales import is_logarithmic, make_logarithmic
from initguide.plots.style import INK, Look, axes_for, looks_of
from initguide.plots.words import counted, fitting, number_text, say_after, text_so_far

_MOST_DOTS = 12  # with more places on x than this, dots of several draws run into each other


def plot_prediction(
    measured: Mapping[str, ArrayLike],
    predicted: Mapping[str, Iterable[float]] | Iterable[float],
    *,
    at: Sequence[str] | Sequence[float] | None = None,
    schemes: Mapping[str, str] | None = None,
    log: bool | None = None,
    title: str = "Measured and predicted",
    xlabel: str | None = None,
    ylabel: str = "",
    legend: bool = True,
    ax: Axes | None = None,
) -> Axes:
    """Measurements of several draws, and a prediction dashed through them.

    At up to 12 places every draw is a dot. At more, the draws of a label are a line (their mean)
    and a band from the smallest to the largest. The legend says which. Nothing is predicted here:
    what theory expects comes from `initguide.theory`, or from a formula of your own.

    Parameters
    ----------
    measured
        Label -> numbers, (draws, places), such as one row per seed and one column per layer; or
        (places,) if there was one draw.
    predicted
        Label -> (places,) numbers for each label of ``measured``, such as what
        `initguide.theory.predict_variances` returns; or one row for all. NaN where nothing is
        predicted.
    at
        The places on x: the layers' names, or numbers. 1, 2, 3, ... if ``None``.
    schemes
        Label -> the description of its scheme, whose colour it gets. The labels themselves if
        ``None``.
    log
        Whether the y axis is logarithmic. If ``None``, it is if nothing is negative and the largest
        number is more than 50 times the smallest above 0.
    title, xlabel, ylabel
        Words at the figure. ``xlabel`` speaks of layers if ``None``.
    legend
        Whether to draw the legend. For panels that share one, draw it with ``fig.legend`` from
        ``ax.get_legend_handles_labels()``.
    ax
        Where to draw; a new figure if ``None``.

    Returns
    -------
    Axes
        With the places on x and the numbers on y.

    Raises
    ------
    ValueError
        If there is nothing to draw, labels or numbers of places differ, or ``log`` is asked for
        with negative numbers.

    Examples
    --------
    >>> from initguide import plots
    >>> ax = plots.plot_prediction(
    ...     {"he_normal": [[1.1, 0.9], [0.9, 0.8]], "lecun_normal": [[0.6, 0.2], [0.4, 0.3]]},
    ...     {"he_normal": [1.0, 1.0], "lecun_normal": [0.5, 0.25]},
    ...     at=["fc1", "fc2"],
    ...     title="Mean square",
    ... )
    >>> print(plots.alt_text(ax.figure))  # doctest: +NORMALIZE_WHITESPACE
    Mean square: he_normal predicted 1.00 in fc1 and 1.00 in fc2, mean of 2 draws off by at most
    15.0 %; lecun_normal predicted 0.50 in fc1 and 0.25 in fc2, mean of 2 draws off by at most
    0.00 %.
    """
    rows = _rows_of(measured)
    places = len(next(iter(rows.values()))[0])
    lines = _lines_of(predicted, list(rows), places)
    if at is not None and len(at) != places:
        raise ValueError(
            f"at has {counted(len(at), 'place')}, but {counted(places, 'number')} were measured; "
            "give one place for each"
        )
    # A draw that overflowed leaves a gap; it decides neither the axis nor the words.
    numbers = np.concatenate([a.ravel() for a in (*rows.values(), *lines.values())])
    numbers = numbers[np.isfinite(numbers)]
    if not len(numbers):
        raise ValueError("no finite number was measured or predicted, so there is nothing to draw")
    logarithmic = is_logarithmic([numbers], log, "what was measured or predicted")
    ax = axes_for(ax, height=4.2)
    before = text_so_far(ax)
    names = [str(place) for place in at] if at is not None else [str(i + 1) for i in range(places)]
    named = at is None or isinstance(at[0], str)
    x = np.arange(1.0, places + 1) if at is None or named else np.asarray(at, np.float64)
    looks = looks_of({label: (schemes or {}).get(label, label) for label in rows})
    for label, draws in rows.items():
        _draw_measured(ax, x, draws, looks[label], label)
    _explain(ax, list(rows.values()))
    _draw_predicted(ax, x, list(lines.values()))
    if logarithmic:
        make_logarithmic(ax)
    if at is None or named:
        name_layers(ax, [names])
    if xlabel is not None:
        ax.set_xlabel(xlabel)
    scale = ",\nlogarithmic scale" if logarithmic and ylabel else ""
    ax.set(title=title, ylabel=ylabel + scale)
    if legend:
        legend_below(ax)
    say_after(ax, _in_words(title, rows, lines, names), after=before)
    return ax


def _rows_of(measured: Mapping[str, ArrayLike]) -> dict[str, NDArray[np.float64]]:
    """Label -> (draws, places)."""
    if not measured:
        raise ValueError("measured is empty; give at least one label with its numbers")
    rows = {label: np.atleast_2d(np.asarray(m, np.float64)) for label, m in measured.items()}
    first = next(iter(rows))
    for label, draws in rows.items():
        if draws.ndim != 2 or not draws.size:
            raise ValueError(
                f"measured[{label!r}] has shape {np.shape(measured[label])}; it must be "
                "(draws, places) or (places,), and not empty"
            )
        if draws.shape[1] != rows[first].shape[1]:
            raise ValueError(
                f"measured[{label!r}] has {counted(draws.shape[1], 'place')}, but "
                f"measured[{first!r}] has {rows[first].shape[1]}; draw them in two panels"
            )
    return rows


def _lines_of(
    predicted: Mapping[str, Iterable[float]] | Iterable[float], labels: Sequence[str], places: int
) -> dict[str, NDArray[np.float64]]:
    """Label -> (places,); one entry only where the prediction is one for all."""
    if not isinstance(predicted, Mapping):
        given = {"predicted": predicted}
    else:
        given = dict(predicted)
        if set(given) != set(labels):
            raise ValueError(
                f"predicted is for {', '.join(given) or 'no label'}, but measured is for "
                f"{', '.join(labels)}; give a prediction for each label, or one for all"
            )
        given = {label: given[label] for label in labels}
    lines = {
        label: np.array([float(number) for number in numbers]) for label, numbers in given.items()
    }
    for label, line in lines.items():
        if len(line) != places:
            where = f"predicted[{label!r}]" if isinstance(predicted, Mapping) else "predicted"
            raise ValueError(
                f"{where} has {counted(len(line), 'number')}, but {counted(places, 'place')} "
                f"{'was' if places == 1 else 'were'} measured; give one for "
                "each, NaN where nothing is predicted"
            )
    return lines


def _draw_measured(
    ax: Axes, x: NDArray[np.float64], draws: NDArray[np.float64], look: Look, label: str
) -> None:
    if len(x) <= _MOST_DOTS:
        dots = np.tile(x, len(draws)), draws.ravel()
        # Translucent, so that dots on top of each other show as darker ones.
        ax.plot(*dots, look.marker, color=look.color, alpha=0.6, markersize=5, label=label)
        return
    # Solid for every label: dashes mean "predicted" in this figure, so markers tell labels apart.
    marks = {"marker": look.marker, "markersize": 5, "markevery": len(x) // _MOST_DOTS}
    draw_band(draws, at=x, color=look.color, label=label, ax=ax, **marks)


def _explain(ax: Axes, rows: Sequence[NDArray[np.float64]]) -> None:
    """Put into the legend how draws are shown, in grey, which belongs to no label."""
    most = max(len(draws) for draws in rows)
    if most == 1:
        return
    if rows[0].shape[1] <= _MOST_DOTS:
        ax.plot([], [], "o", color="0.5", alpha=0.5, label="measured, one dot per seed")
    else:
        band = Line2D([], [], color="0.5", alpha=0.4, linewidth=8, solid_capstyle="butt")
        band.set_label("measured, smallest to largest")
        ax.add_line(band)


def _draw_predicted(ax: Axes, x: NDArray[np.float64], lines: Sequence[NDArray[np.float64]]) -> None:
    """Dash the predictions in ink: a line of the label's colour would vanish on its own band."""
    for i, line in enumerate(lines):
        label = "" if i else "predicted"
        ax.plot(x, line, "--", color=INK, linewidth=1.2, label=label, zorder=2.7)


def _in_words(
    title: str,
    rows: Mapping[str, NDArray[np.float64]],
    lines: Mapping[str, NDArray[np.float64]],
    names: Sequence[str],
) -> str:
    shared = None if set(lines) == set(rows) else next(iter(lines.values()))
    parts, furthest = [], {}
    for label, draws in rows.items():
        line = lines[label] if shared is None else shared
        mean = draws.mean(axis=0)
        off = np.abs(mean - line)
        relative = bool((line[np.isfinite(line)] != 0).all())
        if relative:  # predictions often span decades, over which one difference says nothing
            off = 100 * off / np.abs(line)
        known = np.flatnonzero(np.isfinite(line))
        finite = off[np.isfinite(off)]
        if not len(known) or not len(finite):
            parts.append(f"{label}: nothing finite to compare")
            continue
        furthest[label] = number_text(float(finite.max())) + " %" * relative
        a, b = known[0], known[-1]
        ends = f"{number_text(line[a])} in {names[a]}" + (
            f" and {number_text(line[b])} in {names[b]}" if b > a else ""
        )
        who = f"mean of {len(draws)} draws" if len(draws) > 1 else "measured"
        parts.append(f"{label} predicted {ends}, {who} off by at most {furthest[label]}")
    short = ", ".join(f"{label} {number}" for label, number in furthest.items())
    return fitting(f"{title}: ", parts, f"measured off by at most {short}.")

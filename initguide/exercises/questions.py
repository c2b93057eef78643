"""What an answer is asked: each question is a generator of what is wrong with it.

Chance must not fail a right answer. Means and standard deviations may be off by `SIGMAS` of their
standard errors, and a distribution by what a Kolmogorov–Smirnov test gives one right answer in a
billion. Together, that is less than one right answer in a million.
"""

from collections.abc import Callable, Iterator, Mapping
from functools import partial

import numpy as np
import torch
from scipy import stats

from initguide.exercises.registry import Complaint
from initguide.exercises.trial import Layer, Trial

SIGMAS = 6.0
"""How many standard errors a mean or a standard deviation may be off."""

LEAST_P = 1e-9
"""The p-value below which a distribution is another one."""

MOST = 20_000  # numbers of a layer that are compared with a distribution: more take long

LAWS = {
    "normal": stats.norm(),
    "uniform": stats.uniform(-(3**0.5), 2 * 3**0.5),
    "truncated": stats.truncnorm(-2, 2, scale=1 / stats.truncnorm(-2, 2).std()),
}
"""The distributions that exercises ask for, each with mean 0 and standard deviation 1."""

Spread = Callable[[Layer], float]
Question = Callable[[Trial], Iterator[Complaint]]


def ask(trial: Trial, *questions: Question) -> Iterator[Complaint]:
    """Ask what every answer is asked, and then the questions."""
    for question in (_runs, _changes, _is_finite, _leaves_others, *questions):
        yield from question(trial)


def _runs(trial: Trial) -> Iterator[Complaint]:
    if trial.failure:
        yield Complaint("it fails", trial.failure)
    if trial.misshapen:
        yield Complaint("another shape", trial.misshapen)


def _changes(trial: Trial) -> Iterator[Complaint]:
    biases = [layer.bias for layer in trial.layers if layer.bias is not None]
    parameters = [layer.weight for layer in trial.layers] + biases
    if not any(p.changed for p in (*parameters, *trial.others)):
        yield Complaint("nothing changed", "every number is what it was before")
    kept = [layer.name for layer in trial.layers if not layer.weight.changed]
    if kept:
        yield Complaint("a layer was left out", ", ".join(kept))


def _is_finite(trial: Trial) -> Iterator[Complaint]:
    for layer in trial.layers:
        if not torch.isfinite(layer.values).all():
            yield Complaint("not finite", layer.weight.label)


def _leaves_others(trial: Trial) -> Iterator[Complaint]:
    for parameter in trial.others:
        if parameter.changed:
            yield Complaint("other modules", parameter.label)


def has_zero_biases(trial: Trial) -> Iterator[Complaint]:
    """Biases are 0."""
    biases = [layer.bias for layer in trial.layers if layer.bias is not None]
    kept = [bias.label for bias in biases if not bias.changed and bias.after.any()]
    if kept:
        yield Complaint("default biases", ", ".join(kept))
    for bias in biases:
        if bias.after.any() or bias.after.isnan().any():
            values = f"from {bias.after.min():.3g} to {bias.after.max():.3g}"
            yield Complaint("biases filled, too", f"{bias.label} {values}")


def has_distinct_units(trial: Trial) -> Iterator[Complaint]:
    """No two units of a layer start equal, and each tells its inputs apart."""
    for layer in trial.layers:
        rows = layer.values.flatten(1)
        if (rows == rows[0, 0]).all():
            yield Complaint("one number for a layer", f"{layer.weight.label}: {rows[0, 0]:.4g}")
        different = len(torch.unique(rows, dim=0))
        if different < len(rows):
            yield Complaint("equal units", f"{layer.label} has {different} different units")
        if (rows == rows[:, :1]).all():
            yield Complaint("one number for a unit", f"in {layer.label}")


def is_drawn_anew(trial: Trial) -> Iterator[Complaint]:
    """Two networks differ."""
    for layer in trial.layers:
        if torch.equal(layer.weight.after, layer.again):
            yield Complaint("the same every time", layer.weight.label)


def _mean_is_off(layer: Layer) -> bool:
    values = layer.values
    return bool(values.mean().abs() > SIGMAS * values.std() / values.numel() ** 0.5)


def is_centred(trial: Trial) -> Iterator[Complaint]:
    """The mean is 0."""
    off = [layer for layer in trial.layers if _mean_is_off(layer)]
    if off:
        means = ", ".join(f"{layer.name} {layer.values.mean():.4g}" for layer in off)
        yield Complaint("off centre", f"means: {means}")


def _fits(layer: Layer, std: float, kurtosis: float, slack: float = 0.0) -> bool:
    """Whether a layer's standard deviation is that one, up to chance."""
    values = layer.values
    margin = SIGMAS * ((kurtosis - 1) / (4 * values.numel())) ** 0.5 + slack
    return bool(abs(values.std().item() / std - 1) <= margin)


DRAWN: tuple[Question, ...] = (has_zero_biases, has_distinct_units, is_drawn_anew)
"""What every answer is asked that draws weights and sets biases to 0."""


def has_distribution(
    right: Spread,
    law: str,
    mistaken: Mapping[str, Spread] | None = None,
    otherwise: str = "another distribution",
) -> Question:
    """The standard deviation is the right one, and so is the distribution.

    Parameters
    ----------
    right
        The standard deviation that a layer's weights must have.
    law
        The name of the distribution that is asked for, a key of `LAWS`.
    mistaken
        Misconception -> the standard deviation that it leads to. It is named if it fits all layers.
    otherwise
        The misconception behind any other distribution.
    """
    return partial(_distribution, right, law, mistaken or {}, otherwise)


def _distribution(
    right: Spread, law: str, mistaken: Mapping[str, Spread], otherwise: str, trial: Trial
) -> Iterator[Complaint]:
    yield from _spread(right, law, mistaken, trial)
    yield from _law(right, law, otherwise, trial)


def _spread(
    right: Spread, law: str, mistaken: Mapping[str, Spread], trial: Trial
) -> Iterator[Complaint]:
    kurtosis = 3 + float(LAWS[law].stats("k"))
    if all(_fits(layer, right(layer), kurtosis) for layer in trial.layers):
        return
    evidence = "std × √n is " + ", ".join(
        f"{layer.values.std() * layer.fans.fan_in**0.5:.3g} in {layer.name} (meant: "
        f"{right(layer) * layer.fans.fan_in**0.5:.3g})"
        for layer in trial.layers
    )
    for misconception, std in mistaken.items():
        # A wrong answer may have another distribution as well: as wide a margin as a normal's.
        if all(_fits(layer, std(layer), 3.0, slack=0.01) for layer in trial.layers):
            yield Complaint(misconception, evidence)
    yield Complaint("another spread", evidence)


def _law(right: Spread, law: str, misconception: str, trial: Trial) -> Iterator[Complaint]:
    for layer in trial.layers:
        values = layer.values.flatten()[:MOST].numpy() / right(layer)
        if stats.kstest(values, LAWS[law].cdf).pvalue < LEAST_P:
            inside = np.mean(np.abs(values) < 1)
            yield Complaint(
                misconception,
                f"{inside:.0%} of {layer.weight.label} are within one standard deviation; of "
                f"{law} numbers, {np.diff(LAWS[law].cdf([-1, 1]))[0]:.0%} are",
            )

"""Which points are level with the best, asked of all pairs at once."""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray
from scipy.special import stdtr

Numbers = NDArray[np.float64]


def paired_p_values(values: Numbers) -> Numbers:
    """P values of the paired t tests of every pair.

    Parameters
    ----------
    values
        (points, seeds) finite numbers, at least 2 seeds.

    Returns
    -------
    numpy.ndarray
        (points, points), symmetric, 1 on the diagonal: how often a mean difference that far from 0
        or farther would come from equal points.
    """
    seeds = values.shape[1]
    found = np.ones((len(values), len(values)))
    for i, one in enumerate(values):  # row by row: a sweep may have thousands of points
        differences = values[i + 1 :] - one
        means, errors = differences.mean(1), differences.std(1, ddof=1) / np.sqrt(seeds)
        with np.errstate(divide="ignore", invalid="ignore"):
            t = np.where(means == 0, 0.0, np.abs(means) / errors)
        found[i, i + 1 :] = found[i + 1 :, i] = 2 * stdtr(seeds - 1, -t)
    return found


def holm(p_values: Numbers) -> Numbers:
    """Correct p values for their number, by Holm's step-down rule (1979).

    Parameters
    ----------
    p_values
        (m,) of the tests of one family, in any order.

    Returns
    -------
    numpy.ndarray
        (m,) corrected: with those below α rejected, the chance that any true hypothesis is among
        them is at most α, however the tests depend on one another. The smallest is multiplied by m,
        the next by m - 1, and so on, and none is smaller than one before it.

    Examples
    --------
    >>> holm(np.array([0.04, 0.01, 0.03])).round(2).tolist()
    [0.06, 0.03, 0.06]
    """
    order = np.argsort(p_values)
    steps = p_values[order] * np.arange(len(p_values), 0, -1)
    corrected = np.empty_like(steps)
    corrected[order] = np.minimum(np.maximum.accumulate(steps), 1)
    return corrected


def level_labels(
    values: Mapping[str, Numbers], best: str, confidence: float, *, corrected: bool
) -> tuple[str, ...]:
    """Those that a paired t test does not tell from one of them.

    Parameters
    ----------
    values
        Label -> (seeds,) finite numbers, of the same seeds in the same order.
    best
        The one. It was chosen by looking at the numbers, so with ``corrected=True`` the family is
        all pairs: any of them might have been asked.
    confidence
        1 minus the chance, in (0, 1), that any pair that is equal is told apart.
    corrected
        Whether that is the chance in all pairs together, or in each alone.
    """
    labels = list(values)
    p_values = paired_p_values(np.array([values[label] for label in labels]))
    if corrected:
        upper = np.triu_indices(len(labels), 1)
        p_values[upper] = holm(p_values[upper])
        p_values.T[upper] = p_values[upper]
    # Not told apart from itself, on whatever level.
    equal = p_values[labels.index(best)] >= 1 - confidence
    return tuple(label for label, level in zip(labels, equal, strict=True) if level)

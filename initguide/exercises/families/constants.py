"""One number for all weights, and why that is none."""

from collections.abc import Iterator

from initguide.exercises.questions import (
    ask,
    has_distinct_units,
    has_zero_biases,
    is_centred,
    is_drawn_anew,
)
from initguide.exercises.registry import Complaint, exercise
from initguide.exercises.trial import Trial


@exercise(
    "Set every weight of the linear layers to 1, and every bias to 0.",
    page="lesson/plot_2_zeros_and_ones",
    misconceptions={
        "random numbers": "the weights differ from each other, and all were to be 1",
        "another number": "the weights are all equal, but not 1",
    },
)
def ones(trial: Trial) -> Iterator[Complaint]:
    """Grade constant weights."""
    yield from ask(trial, _is_one, has_zero_biases)


def _is_one(trial: Trial) -> Iterator[Complaint]:
    for layer in trial.layers:
        low, high = layer.values.min().item(), layer.values.max().item()
        if low != high:
            yield Complaint("random numbers", f"{layer.label}: from {low:.4g} to {high:.4g}")
        if low != 1:
            yield Complaint("another number", f"{layer.label}: {low:.4g}")


@exercise(
    "Fill the linear layers so that no two units of a layer start equal: random weights of mean 0, "
    "of any distribution, and biases of 0.",
    page="lesson/plot_2_zeros_and_ones",
)
def symmetry(trial: Trial) -> Iterator[Complaint]:
    """Grade weights that break the symmetry."""
    yield from ask(trial, has_distinct_units, is_drawn_anew, has_zero_biases, is_centred)

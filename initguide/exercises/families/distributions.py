"""Ranges and standard deviations: what the numbers in a call mean."""

from collections.abc import Iterator
from math import sqrt

from scipy import stats

from initguide.exercises import spreads
from initguide.exercises.questions import (
    DRAWN,
    ask,
    has_distribution,
    is_centred,
)
from initguide.exercises.registry import Complaint, exercise
from initguide.exercises.trial import Trial


@exercise(
    "Draw the weights of the linear layers from the uniform distribution on [−0.5, 0.5), and set "
    "the biases to 0.",
    page="lesson/plot_3_uniform",
    misconceptions={
        "not shifted": "this is the range [0, 1): it has the right width, and its middle is not 0",
        "positive weights": "there are no negative weights, so its middle is not 0",
        "twice the range": "this is the range [−1, 1). The width of a range from −a to a is 2a",
        "half the range": "this is the range [−0.25, 0.25). Shift first, or scale what you shift "
        "by",
        "a std for a range": "0.5 is where the range ends, and here it is the standard deviation",
        "normal numbers": "the numbers are not uniform: those near 0 are more frequent",
    },
)
def uniform(trial: Trial) -> Iterator[Complaint]:
    """Grade a range around 0."""
    yield from ask(
        trial,
        *DRAWN,
        _is_shifted,
        is_centred,
        has_distribution(
            lambda _: 0.5 / sqrt(3),
            "uniform",
            {
                "twice the range": lambda _: 1 / sqrt(3),
                "half the range": lambda _: 0.25 / sqrt(3),
                "a std for a range": lambda _: 0.5,
            },
            "normal numbers",
        ),
    )


def _is_shifted(trial: Trial) -> Iterator[Complaint]:
    for layer in trial.layers:
        low, high = layer.values.min().item(), layer.values.max().item()
        if low >= 0:
            wide = 0.9 < high <= 1
            yield Complaint(
                "not shifted" if wide else "positive weights",
                f"{layer.label}: from {low:.3g} to {high:.3g}",
            )


@exercise(
    "Draw the weights of the linear layers from a normal distribution with mean 0 and standard "
    "deviation 1/√n, where n is the number of inputs of a unit, and set the biases to 0.",
    page="lesson/plot_5_normal",
    misconceptions={
        "variance": "this is the variance. normal_ takes the standard deviation, 1/√n, and not "
        "its square",
        "fan-out": "this is 1 over the root of the fan-out, the number of a layer's outputs; n "
        "counts what a unit sums, its inputs",
        "both fans": "n is here the mean of inputs and outputs; a unit sums its inputs only",
        "one size for all": "all layers have the standard deviation of the first one. n is each "
        "layer's own, m.in_features",
        "scale forgotten": "this is the standard normal distribution, whose standard deviation is "
        "1",
        "a range for a std": "the standard deviation is that of the uniform distribution between "
        "−1/√n and 1/√n, which is 1/√(3n)",
        "uniform numbers": "the standard deviation is right, and the numbers are not normal",
    },
)
def normal(trial: Trial) -> Iterator[Complaint]:
    """Grade the normal distribution of the general rule."""
    yield from ask(
        trial,
        *DRAWN,
        is_centred,
        has_distribution(
            spreads.lecun,
            "normal",
            {
                "variance": spreads.lecun_variance,
                "fan-out": spreads.lecun_fan_out,
                "both fans": spreads.xavier,
                "one size for all": lambda _: 1 / sqrt(784),
                "scale forgotten": lambda _: 1.0,
                "a range for a std": spreads.general,
            },
            "uniform numbers",
        ),
    )


@exercise(
    "Draw the weights of the linear layers from a uniform distribution around 0 whose standard "
    "deviation is 1/√n, n the number of inputs, and set the biases to 0.",
    page="lesson/plot_5_normal",
    misconceptions={
        "a std for a range": "this is the range from −1/√n to 1/√n, whose standard deviation is "
        "1/√(3n): that of a range from −a to a is a/√3",
        "width for half": "12 belongs to the width of a range: its variance is width²/12. From −a "
        "to a, the width is 2a",
        "variance": "the standard deviation is 1/n, the variance that was meant",
        "fan-out": "n counts the inputs of a unit, and this is 1 over the root of the outputs",
        "normal numbers": "the standard deviation is right, and the numbers are not uniform",
    },
)
def uniform_std(trial: Trial) -> Iterator[Complaint]:
    """Grade a range of a given standard deviation."""
    yield from ask(
        trial,
        *DRAWN,
        is_centred,
        has_distribution(
            spreads.lecun,
            "uniform",
            {
                "a std for a range": spreads.general,
                "width for half": lambda layer: 2 / sqrt(layer.fans.fan_in),
                "variance": spreads.lecun_variance,
                "fan-out": spreads.lecun_fan_out,
            },
            "normal numbers",
        ),
    )


_CUT = 0.02 * float(stats.truncnorm(-2, 2).std())  # what is left of the standard deviation


@exercise(
    "Draw the weights of the linear layers from N(0, 0.02²), and draw anew what is more than two "
    "standard deviations from 0; set the biases to 0.",
    page="lesson/plot_5_normal",
    misconceptions={
        "not cut": "there are weights beyond two standard deviations, ±0.04. The ends that "
        "nn.init.trunc_normal_ takes are weights, not standard deviations: its own are −2 and 2",
        "clamped": "what was outside has been moved to the ends, where it piles up. Draw such "
        "numbers anew, as nn.init.trunc_normal_ does",
        "variance": "this is the variance: 0.0004 was given in place of 0.02",
    },
)
def truncated(trial: Trial) -> Iterator[Complaint]:
    """Grade a normal distribution that is cut."""
    yield from ask(
        trial,
        *DRAWN,
        is_centred,
        _is_cut,
        has_distribution(
            lambda _: _CUT,
            "truncated",
            {"variance": lambda _: 0.02**2},
        ),
    )


def _is_cut(trial: Trial) -> Iterator[Complaint]:
    for layer in trial.layers:
        values = layer.values.abs()
        at_ends = (values == values.max()).double().mean().item()
        if at_ends > 0.01:  # of a normal distribution, 4.6 % are beyond
            yield Complaint("clamped", f"{at_ends:.1%} of {layer.label} are at the ends")
        far = (values > 0.04 * (1 + 1e-6)).sum().item()
        normal_std = abs(values.square().mean().sqrt().item() / 0.02 - 1) < 0.2
        if far and normal_std:
            yield Complaint("not cut", f"{far} weights of {layer.label} are beyond ±0.04")

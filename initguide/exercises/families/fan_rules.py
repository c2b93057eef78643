"""Rules that follow from the numbers of a layer's inputs and outputs."""

from collections.abc import Iterator
from math import sqrt

import numpy as np
from scipy import stats

from initguide.exercises import spreads
from initguide.exercises.questions import (
    DRAWN,
    LAWS,
    LEAST_P,
    ask,
    has_distinct_units,
    has_distribution,
    is_centred,
    is_drawn_anew,
)
from initguide.exercises.registry import Complaint, exercise
from initguide.exercises.trial import Trial


@exercise(
    "The general rule: draw the weights of the linear layers from the uniform distribution on "
    "[−1/√n, 1/√n), n the number of inputs of a unit, and set the biases to 0.",
    page="lesson/plot_4_general_rule",
    misconceptions={
        "root forgotten": "this is the range from −1/n to 1/n: the root is missing",
        "fan-out": "n is here the number of a layer's outputs, the first number of the weight's "
        "shape; a unit sums its inputs, m.in_features or m.weight.shape[1]",
        "one size for all": "all layers have the range of the first one. n is each layer's own",
        "a std for a range": "1/√n is where the range ends, and here it is the standard deviation",
        "positive weights": "there are no negative weights: the range starts at −1/√n",
        "normal numbers": "the numbers are not uniform: those near 0 are more frequent",
    },
)
def general_rule(trial: Trial) -> Iterator[Complaint]:
    """Grade the lesson's rule."""
    yield from ask(
        trial,
        *DRAWN,
        _is_both_sided,
        is_centred,
        has_distribution(
            spreads.general,
            "uniform",
            {
                "root forgotten": lambda layer: 1 / (sqrt(3) * layer.fans.fan_in),
                "fan-out": spreads.general_fan_out,
                "one size for all": lambda _: 1 / sqrt(3 * 784),
                "a std for a range": spreads.lecun,
            },
            "normal numbers",
        ),
    )


def _is_both_sided(trial: Trial) -> Iterator[Complaint]:
    for layer in trial.layers:
        if layer.values.min() >= 0:
            yield Complaint("positive weights", f"{layer.label}: from {layer.values.min():.3g}")


@exercise(
    "What PyTorch does by itself, by hand: draw both the weights and the biases of the linear "
    "layers from the uniform distribution on [−1/√n, 1/√n), n the number of inputs.",
    page="lesson/plot_6_automatic",
    misconceptions={
        "biases at 0": "the biases are 0: that is the general rule. PyTorch draws them, too",
        "He by its name": "this is He's uniform distribution. PyTorch calls kaiming_uniform_, but "
        "with a=√5, which makes the range 1/√n",
        "a std for a range": "1/√n is where the range ends, and here it is the standard deviation",
        "fan-out": "n is here the number of a layer's outputs",
        "biases by their own number": "the biases are drawn, and not from [−1/√n, 1/√n): their n "
        "is the number of the layer's inputs, as for its weights",
        "normal numbers": "the numbers are not uniform: those near 0 are more frequent",
    },
)
def default(trial: Trial) -> Iterator[Complaint]:
    """Grade PyTorch's own start, written again."""
    yield from ask(
        trial,
        has_distinct_units,
        is_drawn_anew,
        is_centred,
        has_distribution(
            spreads.general,
            "uniform",
            {
                "He by its name": spreads.he,
                "a std for a range": spreads.lecun,
                "fan-out": spreads.general_fan_out,
            },
            "normal numbers",
        ),
        _draws_biases,
    )


def _draws_biases(trial: Trial) -> Iterator[Complaint]:
    scaled = []
    for layer in trial.layers:
        if layer.bias is None:
            continue
        if not layer.bias.after.any():
            yield Complaint("biases at 0", layer.bias.label)
        scaled.append(layer.bias.after.double().numpy() / spreads.general(layer))
    # A layer has few biases: all together, each by its own range.
    biases = np.concatenate(scaled)
    outside = np.abs(biases).max() > sqrt(3) * (1 + 1e-6)  # float32 rounds the ends
    if outside or stats.kstest(biases, LAWS["uniform"].cdf).pvalue < LEAST_P:
        yield Complaint(
            "biases by their own number",
            f"std of bias × √n is {biases.std() / sqrt(3):.3g} (meant: {1 / sqrt(3):.3g})",
        )


@exercise(
    "Xavier's rule with normal numbers: draw the weights of the linear layers from a normal "
    "distribution of variance 2/(inputs + outputs), and set the biases to 0.",
    page="lesson/plot_7_choose",
    misconceptions={
        "variance": "this is the variance. normal_ takes its root, the standard deviation",
        "without the 2": "the variance is 1/(inputs + outputs): the mean of both numbers is half "
        "their sum, so 2 is above",
        "fan-in": "this is 1/√n with the inputs alone, which is LeCun's rule; Xavier's is between "
        "what the forward and what the backward pass asks for",
        "a range for a std": "√(6/(inputs + outputs)) is where the range of Xavier's uniform "
        "distribution ends; its standard deviation is smaller by √3",
        "uniform numbers": "the standard deviation is right, and the numbers are not normal",
    },
)
def xavier(trial: Trial) -> Iterator[Complaint]:
    """Grade Glorot & Bengio's rule."""
    yield from ask(
        trial,
        *DRAWN,
        is_centred,
        has_distribution(
            spreads.xavier,
            "normal",
            {
                "variance": lambda layer: 2 / sum(layer.fans),
                "without the 2": lambda layer: 1 / sqrt(sum(layer.fans)),
                "fan-in": spreads.lecun,
                "a range for a std": lambda layer: sqrt(6 / sum(layer.fans)),
            },
            "uniform numbers",
        ),
    )


@exercise(
    "He's rule with normal numbers, for ReLU: draw the weights of the linear layers from a normal "
    "distribution of variance 2/n, n the number of inputs, and set the biases to 0.",
    page="lesson/plot_7_choose",
    misconceptions={
        "variance": "this is the variance. normal_ takes its root, the standard deviation √(2/n)",
        "without the 2": "this is 1/√n, which keeps the size behind a linear layer. ReLU drops "
        "half of it, which the 2 makes good",
        "gain 2": "this is 2/√n. The gain that multiplies the standard deviation is √2; 2 "
        "multiplies the variance",
        "fan-out": "n is here the number of a layer's outputs",
        "both fans": "this is Xavier's rule; He's counts the inputs alone, and has the 2 for ReLU",
        "the slope of PyTorch's default": "this is 1/√(3n), from a=√5: a is the slope of a leaky "
        "ReLU, 0 for ReLU",
        "uniform numbers": "the standard deviation is right, and the numbers are not normal",
    },
)
def he(trial: Trial) -> Iterator[Complaint]:
    """Grade He et al.'s rule."""
    yield from ask(
        trial,
        *DRAWN,
        is_centred,
        has_distribution(
            spreads.he,
            "normal",
            {
                "variance": spreads.he_variance,
                "without the 2": spreads.lecun,
                "gain 2": lambda layer: 2 / sqrt(layer.fans.fan_in),
                "fan-out": spreads.he_fan_out,
                "both fans": spreads.xavier,
                "the slope of PyTorch's default": spreads.general,
            },
            "uniform numbers",
        ),
    )

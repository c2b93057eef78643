"""Other layers than the lesson's, and other ends than a standard deviation."""

from collections.abc import Iterator
from math import prod, sqrt

import torch
from torch import nn

from initguide.exercises import spreads
from initguide.exercises.questions import (
    DRAWN,
    ask,
    has_distinct_units,
    has_distribution,
    has_zero_biases,
    is_centred,
    is_drawn_anew,
)
from initguide.exercises.registry import Complaint, exercise
from initguide.exercises.trial import Layer, Trial


def _convolutional() -> dict[str, nn.Module]:
    convolutions = nn.Sequential(
        nn.Conv2d(6, 24, 5), nn.BatchNorm2d(24), nn.ReLU(), nn.Conv2d(24, 64, 3), nn.ReLU()
    )
    return {"": nn.Sequential(*convolutions, nn.Flatten(), nn.Linear(64, 96))}


def _as_if_fan(layer: Layer, *, kernel: float, channels: float) -> float:
    """Return He's standard deviation for a wrong number of positions under the kernel."""
    return sqrt(2 / (channels * (kernel if layer.kernel else 1)))


def _channels(layer: Layer) -> float:
    return layer.fans.fan_in / prod(layer.kernel)


@exercise(
    "He's rule for a network of convolutions and linear layers: normal numbers of variance 2/n, n "
    "the number of inputs that an output sums, and biases of 0.",
    page="architectures/plot_1_convolutions",
    misconceptions={
        "kernel forgotten": "n is here the number of channels. An output of a convolution sums "
        "them under every position of the kernel",
        "one side of the kernel": "n has the kernel's width, and not its height: a kernel of 3 × 3 "
        "has 9 positions",
        "fan-out": "n counts here the outputs that an input reaches",
        "without the 2": "the variance is 1/n: ReLU drops half of it, which the 2 makes good",
        "variance": "this is the variance. normal_ takes its root, the standard deviation",
    },
    fills=(nn.Conv2d, nn.Linear),
    networks=_convolutional,
)
def convolution(trial: Trial) -> Iterator[Complaint]:
    """Grade the fan-in of a convolution."""
    yield from ask(
        trial,
        *DRAWN,
        is_centred,
        has_distribution(
            spreads.he,
            "normal",
            {
                "kernel forgotten": lambda y: _as_if_fan(y, kernel=1, channels=_channels(y)),
                "one side of the kernel": lambda y: _as_if_fan(
                    y, kernel=y.kernel[0] if y.kernel else 1, channels=_channels(y)
                ),
                "fan-out": spreads.he_fan_out,
                "without the 2": spreads.lecun,
                "variance": spreads.he_variance,
            },
        ),
    )


@exercise(
    "Make the weight of every linear layer orthogonal: its rows have length 1 and are "
    "perpendicular to each other, or its columns where it has fewer columns than rows. Biases "
    "are 0.",
    page="theory/plot_6_orthogonal",
    misconceptions={
        "only in the mean": "these are independent numbers of the right size. Their rows are "
        "perpendicular in the mean; an orthogonal matrix's are so exactly",
        "only the length": "each row has length 1, and they are not perpendicular",
        "a gain": "the matrix is a multiple of an orthogonal one. With a gain, as √2 for ReLU, its "
        "rows no longer have length 1",
    },
)
def orthogonal(trial: Trial) -> Iterator[Complaint]:
    """Grade orthogonal matrices."""
    yield from ask(trial, has_zero_biases, has_distinct_units, is_drawn_anew, _is_orthogonal)


def _is_orthogonal(trial: Trial) -> Iterator[Complaint]:
    for layer in trial.layers:
        weight = layer.values if layer.values.shape[0] <= layer.values.shape[1] else layer.values.T
        product = weight @ weight.T
        lengths = product.diagonal().sqrt()
        cosines = product / torch.outer(lengths, lengths)
        cosine = (cosines - torch.eye(len(cosines))).abs().max().item()
        evidence = (
            f"{layer.label}: lengths from {lengths.min():.4f} to {lengths.max():.4f}, cosines up "
            f"to {cosine:.4f}"
        )
        if cosine > 1e-3:
            equal = (lengths - 1).abs().max() < 1e-3
            yield Complaint("only the length" if equal else "only in the mean", evidence)
        if (lengths - 1).abs().max() > 1e-3:
            yield Complaint("a gain", evidence)


def _without_biases() -> dict[str, nn.Module]:
    return {
        "": nn.Sequential(
            nn.Embedding(50, 64),
            nn.Linear(64, 160, bias=False),
            nn.LayerNorm(160),
            nn.ReLU(),
            nn.Linear(160, 48),
        )
    }


@exercise(
    "The normal distribution of the general rule, N(0, 1/√n), for any network: some linear layers "
    "have no bias, and modules of other kinds stay as they are.",
    page="practice/plot_1_check_your_network",
    misconceptions={
        "variance": "this is the variance. normal_ takes the standard deviation, 1/√n",
        "fan-out": "n counts here the outputs of a layer",
    },
    networks=_without_biases,
)
def any_network(trial: Trial) -> Iterator[Complaint]:
    """Grade a scheme that meets what it does not know."""
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
            },
        ),
    )

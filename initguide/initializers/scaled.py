"""Weights sized by the layer: the general rule, LeCun, Xavier, He, and PyTorch's default."""

import math
from collections.abc import Callable
from typing import Any, Literal

from torch import Generator, nn

from initguide.arguments import check_choice, check_number
from initguide.initializers.fans import Mode, fan_of, fans
from initguide.initializers.scheme import Scheme, filling, initializer
from initguide.initializers.structured import fill_matrices

Nonlinearity = Literal["linear", "sigmoid", "tanh", "relu", "leaky_relu", "selu"]


def _gain(nonlinearity: str, negative_slope: float) -> float:
    check_choice("nonlinearity", nonlinearity, Nonlinearity.__args__)  # type: ignore[attr-defined]
    negative_slope = check_number("negative_slope", negative_slope)
    return nn.init.calculate_gain(nonlinearity, negative_slope)  # type: ignore[arg-type]


def _orthonormal(generator: Generator | None) -> Callable[[Any], object]:
    """Fill a matrix between states, which is multiplied by itself at every step."""
    return lambda layer: fill_matrices(
        layer, lambda matrix: nn.init.orthogonal_(matrix, generator=generator)
    )


@initializer
def general_rule(*, generator: Generator | None = None) -> Scheme:
    """Weights from U[-1/√n, 1/√n), n the fan-in: the lesson's general rule.

    The variance is 1 / (3n). PyTorch's own default draws the weights of linear layers from the
    same distribution, and, unlike this scheme, the biases too.

    Parameters
    ----------
    generator
        Where the random numbers come from; torch's global generator if ``None``.
    """

    def fill(layer: nn.Module) -> None:
        bound = 1 / math.sqrt(fans(layer).fan_in)
        nn.init.uniform_(layer.weight, -bound, bound, generator=generator)  # type: ignore[arg-type]

    return filling("general_rule", fill, _orthonormal(generator))


def _scaled(
    name: str,
    shape: Literal["uniform", "normal"],
    std: Callable[[nn.Module], float],
    generator: Generator | None,
    **settings: object,
) -> Scheme:
    """Make a scheme of a uniform or normal distribution around 0 with a standard deviation."""

    def fill(layer: Any) -> None:
        spread = std(layer)
        if shape == "normal":
            nn.init.normal_(layer.weight, 0.0, spread, generator=generator)
        else:
            bound = math.sqrt(3.0) * spread  # U(-b, b) has standard deviation b / √3
            nn.init.uniform_(layer.weight, -bound, bound, generator=generator)

    return filling(name, fill, _orthonormal(generator), **settings)


@initializer
def lecun_uniform(*, generator: Generator | None = None) -> Scheme:
    """Weights from a uniform distribution of variance 1 / fan-in.

    Keeps the variance of a linear network's signal (LeCun, Bottou, Orr & Müller 1998, "Efficient
    BackProp").

    Parameters
    ----------
    generator
        Where the random numbers come from; torch's global generator if ``None``.
    """
    return _scaled("lecun_uniform", "uniform", lambda layer: fans(layer).fan_in ** -0.5, generator)


@initializer
def lecun_normal(*, generator: Generator | None = None) -> Scheme:
    """Weights from N(0, 1 / fan-in).

    Keeps the variance of a linear network's signal (LeCun, Bottou, Orr & Müller 1998, "Efficient
    BackProp"); the right scale for SELU (Klambauer et al. 2017).

    Parameters
    ----------
    generator
        Where the random numbers come from; torch's global generator if ``None``.
    """
    return _scaled("lecun_normal", "normal", lambda layer: fans(layer).fan_in ** -0.5, generator)


@initializer
def xavier_uniform(gain: float = 1.0, *, generator: Generator | None = None) -> Scheme:
    """Weights from a uniform distribution of variance gain² · 2 / (fan-in + fan-out).

    The compromise between the rule for the forward pass and that for the backward pass (Glorot &
    Bengio 2010).

    Parameters
    ----------
    gain
        Multiplies the standard deviation, above 0.
    generator
        Where the random numbers come from; torch's global generator if ``None``.
    """
    gain = check_number("gain", gain, above=0)
    return _scaled(
        "xavier_uniform",
        "uniform",
        lambda layer: gain * math.sqrt(2 / sum(fans(layer))),
        generator,
        gain=gain,
    )


@initializer
def xavier_normal(gain: float = 1.0, *, generator: Generator | None = None) -> Scheme:
    """Weights from N(0, gain² · 2 / (fan-in + fan-out)).

    The compromise between the rule for the forward pass and that for the backward pass (Glorot &
    Bengio 2010).

    Parameters
    ----------
    gain
        Multiplies the standard deviation, above 0.
    generator
        Where the random numbers come from; torch's global generator if ``None``.
    """
    gain = check_number("gain", gain, above=0)
    return _scaled(
        "xavier_normal",
        "normal",
        lambda layer: gain * math.sqrt(2 / sum(fans(layer))),
        generator,
        gain=gain,
    )


def _he(
    shape: Literal["uniform", "normal"],
    mode: Mode,
    nonlinearity: Nonlinearity,
    negative_slope: float,
    generator: Generator | None,
) -> Scheme:
    check_choice("mode", mode, ("fan_in", "fan_out"))
    gain = _gain(nonlinearity, negative_slope)
    settings: dict[str, object] = {"mode": mode, "nonlinearity": nonlinearity}
    if nonlinearity == "leaky_relu":
        settings["negative_slope"] = negative_slope
    return _scaled(
        f"he_{shape}",
        shape,
        lambda layer: gain / math.sqrt(fan_of(layer, mode)),
        generator,
        **settings,
    )


@initializer
def he_uniform(
    mode: Mode = "fan_in",
    nonlinearity: Nonlinearity = "relu",
    *,
    negative_slope: float = 0.01,
    generator: Generator | None = None,
) -> Scheme:
    """Weights from a uniform distribution of variance gain² / fan; gain² is 2 for ReLU.

    Keeps the mean square of a ReLU network's pre-activations (He, Zhang, Ren & Sun 2015), there
    called Kaiming initialization after its first author.

    Parameters
    ----------
    mode
        ``"fan_in"`` keeps the size of the signal on its way forward, ``"fan_out"`` that of the
        gradient on its way back.
    nonlinearity
        The activation behind the layer, which decides the gain (`torch.nn.init.calculate_gain`).
    negative_slope
        The slope of ``"leaky_relu"`` below 0; unused by the others.
    generator
        Where the random numbers come from; torch's global generator if ``None``.
    """
    return _he("uniform", mode, nonlinearity, negative_slope, generator)


@initializer
def he_normal(
    mode: Mode = "fan_in",
    nonlinearity: Nonlinearity = "relu",
    *,
    negative_slope: float = 0.01,
    generator: Generator | None = None,
) -> Scheme:
    """Weights from N(0, gain² / fan); gain² is 2 for ReLU.

    Keeps the mean square of a ReLU network's pre-activations (He, Zhang, Ren & Sun 2015), there
    called Kaiming initialization after its first author.

    Parameters
    ----------
    mode
        ``"fan_in"`` keeps the size of the signal on its way forward, ``"fan_out"`` that of the
        gradient on its way back.
    nonlinearity
        The activation behind the layer, which decides the gain (`torch.nn.init.calculate_gain`).
    negative_slope
        The slope of ``"leaky_relu"`` below 0; unused by the others.
    generator
        Where the random numbers come from; torch's global generator if ``None``.
    """
    return _he("normal", mode, nonlinearity, negative_slope, generator)


@initializer
def default() -> Scheme:
    """What PyTorch does by itself, for every module that can be reset.

    Calls each module's own ``reset_parameters``. Linear layers and convolutions draw weights *and*
    biases from U[-1/√n, 1/√n), n the fan-in as PyTorch counts it; embeddings draw from N(0, 1).
    The random numbers come from torch's global generator: nothing else can be handed over.
    """
    return Scheme(
        "default()",
        lambda module: _reset_of(module)(),
        lambda module: callable(_reset_of(module)),
        fills=lambda module: [name for name, _ in module.named_parameters(recurse=False)],
    )


def _reset_of(module: nn.Module) -> Any:
    # nn.MultiheadAttention and nn.Transformer have it under a private name only.
    public = getattr(module, "reset_parameters", None)
    return public if callable(public) else getattr(module, "_reset_parameters", None)

"""Initialization schemes: one function a scheme, each returning what ``model.apply`` accepts.

A scheme is a function of a module. It fills the layers that it knows (linear layers, convolutions,
transposed convolutions, embeddings, attention and recurrent layers) and leaves every other module
alone, so

>>> from torch import nn
>>> net = nn.Sequential(nn.Linear(784, 256), nn.ReLU(), nn.Linear(256, 10))
>>> net = net.apply(he_normal())

initializes the two linear layers. Every scheme sets biases to 0, except `default`. A function of
your own, ``def weights_init(module): ...``, is a scheme already.

`residual_scaled` and `zero_last` need the architecture. They fill a model as a whole, where the
other schemes fill one layer at a time, and take the ends of its residual branches from its
structure, or from you.

Attention and recurrent layers pack several matrices into one parameter. Each of them (the
projections to queries, keys and values; one matrix a gate) is filled as a linear layer with fans of
its own. Between a recurrent layer's states, schemes that follow from the layer's shape use random
orthogonal matrices (Saxe, McClelland & Ganguli 2014), which keep the size of the state.
"""

import ast
import contextlib
import difflib
import fnmatch
import functools
import math
import re
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from numbers import Integral, Real
from types import MappingProxyType
from typing import Any, Literal, NamedTuple, ParamSpec, TypeVar, cast

import numpy as np
import torch
from torch import Generator, Tensor, nn
from torch.nn.modules.conv import _ConvNd, _ConvTransposeNd
from torch.nn.parameter import is_lazy

from initguide.randomness import seeded as seeded  # noqa: PLC0414  known by this name, too

__all__ = [
    "INITIALIZERS",
    "Fans",
    "Scheme",
    "constant",
    "default",
    "delta_orthogonal",
    "fans",
    "from_name",
    "general_rule",
    "he_normal",
    "he_uniform",
    "identity",
    "initialize",
    "lecun_normal",
    "lecun_uniform",
    "normal",
    "ones",
    "orthogonal",
    "residual_scaled",
    "sparse",
    "truncated_normal",
    "uniform",
    "xavier_normal",
    "xavier_uniform",
    "zero_last",
    "zeros",
]

Mode = Literal["fan_in", "fan_out"]
Nonlinearity = Literal["linear", "sigmoid", "tanh", "relu", "leaky_relu", "selu"]
ModelT = TypeVar("ModelT", bound=nn.Module)
P = ParamSpec("P")

LAYERS = (nn.Linear, _ConvNd, nn.Embedding)  # _ConvNd is the base of the transposed ones too
PACKED = (nn.MultiheadAttention, nn.RNNBase)  # several matrices in one parameter


class Fans(NamedTuple):
    """The two counts that most schemes are made of.

    Attributes
    ----------
    fan_in
        How many inputs each output sums.
    fan_out
        How many outputs each input reaches.
    """

    fan_in: float
    fan_out: float


def fans(layer: nn.Module) -> Fans:
    """Fan-in and fan-out of a layer.

    A convolution's output sums the channels of its own group under the kernel, so with ``k``
    positions under the kernel

    ==========================  =========================  ================
    layer                       fan-in                     fan-out
    ==========================  =========================  ================
    linear                      in                         out
    convolution                 in / groups · k            out / groups · k
    transposed convolution      in / groups · k / stride   out / groups · k
    embedding                   1                          dim
    ==========================  =========================  ================

    where "stride" is the product over the dimensions: a transposed convolution spreads its input
    over ``stride`` times as many outputs, so each of them sums that many terms fewer, on average.
    The fan-out of a strided convolution is not divided, as is usual. An embedding looks one row
    up: its output is a sum with one term. Padding is not counted.

    `torch.nn.init` reads both numbers off the shape of the weight. It agrees for linear layers and
    ordinary convolutions; it multiplies fan-out by the number of groups, swaps the two for
    transposed convolutions, and takes an embedding for a linear layer.

    Parameters
    ----------
    layer
        A linear layer, a convolution (transposed or not) or an embedding.

    Returns
    -------
    Fans
        ``(fan_in, fan_out)``, whole numbers except for the fan-in of some transposed convolutions.

    Raises
    ------
    TypeError
        If the layer is of another kind.

    Examples
    --------
    >>> fans(nn.Linear(784, 256))
    Fans(fan_in=784, fan_out=256)
    >>> fans(nn.Conv2d(16, 32, kernel_size=3, groups=4))
    Fans(fan_in=36, fan_out=72)
    """
    if isinstance(layer, nn.Linear):
        return Fans(layer.in_features, layer.out_features)
    if isinstance(layer, nn.Embedding):
        return Fans(1, layer.embedding_dim)
    if isinstance(layer, _ConvNd):
        kernel = math.prod(layer.kernel_size)
        fan_in: float = layer.in_channels // layer.groups * kernel
        if isinstance(layer, _ConvTransposeNd):
            stride = math.prod(layer.stride)
            fan_in = fan_in // stride if fan_in % stride == 0 else fan_in / stride
        return Fans(fan_in, layer.out_channels // layer.groups * kernel)
    raise TypeError(
        f"fan-in and fan-out are known for linear layers, convolutions and embeddings, "
        f"not for {type(layer).__name__}"
    )


@dataclass(frozen=True, repr=False, eq=False)
class Scheme:
    """What the functions of this module return: call it on a module, or give it to ``apply``.

    Attributes
    ----------
    description
        The call that makes this scheme, such as ``"uniform(low=-0.5, high=0.5)"``.
    fill
        Fills one layer that the scheme knows, in place.
    accepts
        Whether the scheme knows a module.
    require
        ``None`` for most schemes. A scheme that needs the architecture has a function here, and its
        ``fill`` takes a model with all that is in it. The function looks for what the scheme needs
        in a model, and raises ValueError where that is missing.
    recipe
        The function of this module that made the scheme, and its arguments, by which it is sent to
        other processes. ``None`` if there is none, or if it draws from a generator of its own,
        whose state no other process shares, or is made of a scheme without a recipe.
    """

    description: str
    fill: Callable[[Any], object]
    accepts: Callable[[nn.Module], bool] = lambda module: isinstance(module, LAYERS + PACKED)
    require: Callable[[nn.Module], object] | None = None
    recipe: tuple[str, tuple[Any, ...], dict[str, Any]] | None = None

    def __call__(self, module: nn.Module) -> None:
        """Fill the module's own weights, if the scheme knows it; leave it alone otherwise.

        A scheme that needs the architecture fills what is inside the module, too. ``model.apply``
        then fills everything again with each larger part, and the model last, which is right but
        slow; `initialize` does it once.

        Parameters
        ----------
        module
            One module; those inside it are not touched (``model.apply`` visits them all).

        Raises
        ------
        ValueError
            If the module has no weights of its own to fill (a lazy layer before its first batch,
            a parametrized one), or its data type cannot hold them.
        """
        if not self.accepts(module):
            return
        self.check(module)
        try:
            with torch.no_grad():
                self.fill(module)
        except RuntimeError as error:  # torch's word for a number that does not fit
            dtypes = {str(p.dtype).removeprefix("torch.") for p in module.parameters()}
            raise ValueError(
                f"{self} cannot fill {type(module).__name__} of {', '.join(dtypes)}: {error}"
            ) from error

    def check(self, module: nn.Module) -> None:
        """Refuse a module that the scheme knows but cannot fill, saying what to do."""
        if any(is_lazy(parameter) for parameter in module.parameters(recurse=False)):
            raise ValueError(
                f"{type(module).__name__} has no weights yet, because its input size is unknown; "
                "run the model once on a batch before initializing it"
            )
        if isinstance(module, LAYERS) and "weight" not in dict(
            module.named_parameters(recurse=False)
        ):
            raise ValueError(
                f"the weight of {type(module).__name__} is computed from other parameters (a "
                "parametrization such as weight_norm); initialize the layer before that is added"
            )

    def fill_model(self, model: nn.Module) -> None:
        """Fill a model with all that is in it, or refuse it before any of it is changed."""
        if self.require is not None:
            self.require(model)
        for module in filter(self.accepts, model.modules()):
            self.check(module)
        if self.require is not None:
            self(model)
        else:
            model.apply(self)

    def __repr__(self) -> str:
        return self.description

    def __reduce__(self) -> str | tuple[Any, ...]:
        return super().__reduce__() if self.recipe is None else (_remade, self.recipe)


def written(thing: Any) -> str:
    """Name a function or class, with its arguments where they can be seen; write out a value.

    The text is the same in every process: it says nothing of where in memory something is.

    Parameters
    ----------
    thing
        A function, a class, a scheme, what `functools.partial` makes of one, or a value.
    """
    if isinstance(thing, functools.partial):
        arguments = [_written(a) for a in thing.args]
        arguments += [f"{key}={_written(value)}" for key, value in thing.keywords.items()]
        return f"{written(thing.func)}({', '.join(arguments)})"
    return thing if isinstance(thing, str) else _written(thing)


def _written(value: Any) -> str:
    if isinstance(value, functools.partial):
        return written(value)
    if isinstance(name := getattr(value, "__name__", None), str):
        return name
    if type(value) is dict:
        return f"{{{', '.join(f'{_written(k)}: {_written(v)}' for k, v in value.items())}}}"
    if type(value) is list:
        return f"[{', '.join(map(_written, value))}]"
    if type(value) is tuple:
        return f"({', '.join(map(_written, value))}{',' * (len(value) == 1)})"
    return re.sub(r" at 0x[0-9A-Fa-f]+", "", repr(value))


def _remade(name: str, arguments: tuple[Any, ...], keywords: dict[str, Any]) -> Scheme:
    return INITIALIZERS[name](*arguments, **keywords)


def _recorded(factory: Callable[P, Scheme]) -> Callable[P, Scheme]:
    """Let the schemes that a function makes know how they were made."""

    @functools.wraps(factory)
    def make(*args: P.args, **kwargs: P.kwargs) -> Scheme:
        scheme = factory(*args, **kwargs)
        if kwargs.get("generator") is not None:
            return scheme
        if any(isinstance(a, Scheme) and a.recipe is None for a in (*args, *kwargs.values())):
            return scheme
        return replace(scheme, recipe=(factory.__name__, args, kwargs))

    return make


def _scheme(
    name: str,
    fill_weight: Callable[[Any], object],
    fill_recurrent: Callable[[Any], object] | None = None,
    **settings: object,
) -> Scheme:
    """Make a scheme that fills the weight by ``fill_weight(layer)``, and the bias with zeros.

    ``fill_recurrent`` fills the matrices between the states of recurrent layers, if they differ.
    """

    def fill(layer: Any) -> None:
        if isinstance(layer, PACKED):
            for matrix, recurrent in _matrices(layer):
                (fill_recurrent if recurrent and fill_recurrent else fill_weight)(matrix)
            for key, parameter in layer.named_parameters(recurse=False):
                if key.startswith(("bias_ih", "bias_hh", "in_proj_bias")):
                    nn.init.zeros_(parameter)
            return
        if layer.weight.numel():  # nothing to draw for a layer without units
            fill_weight(layer)
        if getattr(layer, "bias", None) is not None:
            nn.init.zeros_(layer.bias)
        if getattr(layer, "padding_idx", None) is not None:
            layer.weight[layer.padding_idx] = 0  # an embedding's padding row means "nothing"

    arguments = ", ".join(f"{key}={value!r}" for key, value in settings.items())
    return Scheme(f"{name}({arguments})", fill)


def _matrices(layer: nn.Module) -> Iterator[tuple[nn.Linear, bool]]:
    """Yield each matrix of a packed layer as a linear layer; and whether it is between states."""
    gates = {"LSTM": 4, "GRU": 3}.get(getattr(layer, "mode", ""), 1)  # "RNN_TANH" has none
    for key, parameter in layer.named_parameters(recurse=False):
        if parameter.ndim != 2:
            continue
        parts = 3 if key == "in_proj_weight" else 1 if key.startswith("weight_hr") else gates
        for block in parameter.detach().chunk(parts):
            linear = nn.Linear(block.shape[1], block.shape[0], bias=False, device="meta")
            linear.weight = nn.Parameter(block, requires_grad=False)  # shares its memory
            yield linear, key.startswith("weight_hh")


def _number(name: str, value: float, *, above: float = -math.inf, below: float = math.inf) -> float:
    """Refuse what is not a finite number strictly between the two ends; make it Python's own."""
    if isinstance(value, bool) or not isinstance(value, Real):
        raise TypeError(f"{name} is {value!r}; it must be a number")
    plain = value.item() if isinstance(value, np.generic) else value
    try:
        fits = math.isfinite(plain) and above < plain < below
    except OverflowError:  # a whole number that no float can hold
        fits = False
    if not fits:
        ends = [f"above {above:g}"] * math.isfinite(above)
        ends += [f"below {below:g}"] * math.isfinite(below)
        raise ValueError(f"{name} is {value!r}; it must be {' and '.join(['finite', *ends])}")
    return cast(float, plain)


def _choice(name: str, value: str, allowed: tuple[str, ...]) -> str:
    if value not in allowed:
        raise ValueError(f"{name} is {value!r}; it must be one of {', '.join(map(repr, allowed))}")
    return value


def _fan(layer: nn.Module, mode: str) -> float:
    return fans(layer).fan_in if mode == "fan_in" else fans(layer).fan_out


def _gain(nonlinearity: str, negative_slope: float) -> float:
    _choice("nonlinearity", nonlinearity, Nonlinearity.__args__)  # type: ignore[attr-defined]
    negative_slope = _number("negative_slope", negative_slope)
    return nn.init.calculate_gain(nonlinearity, negative_slope)  # type: ignore[arg-type]


# Constants


@_recorded
def constant(value: float) -> Scheme:
    """Every weight the same number.

    All units of a layer then compute the same, and get the same gradient: they stay equal.

    Parameters
    ----------
    value
        The number, finite.
    """
    value = _number("value", value)
    return _scheme("constant", lambda layer: nn.init.constant_(layer.weight, value), value=value)


@_recorded
def zeros() -> Scheme:
    """Every weight 0: only the biases of the last layer ever get a gradient."""
    return _scheme("zeros", lambda layer: nn.init.zeros_(layer.weight))


@_recorded
def ones() -> Scheme:
    """Every weight 1: equal units, and outputs that grow by the fan-in at every layer."""
    return _scheme("ones", lambda layer: nn.init.ones_(layer.weight))


# Distributions with a fixed spread


@_recorded
def uniform(low: float = 0.0, high: float = 1.0, *, generator: Generator | None = None) -> Scheme:
    """Weights from U[low, high), whatever the layer.

    The standard deviation is ``(high - low) / √12``; the mean is not 0 unless ``low = -high``.

    Parameters
    ----------
    low, high
        The ends, finite, ``low`` below ``high``.
    generator
        Where the random numbers come from; torch's global generator if ``None``.
    """
    low = _number("low", low)
    high = _number("high", high, above=low)
    return _scheme(
        "uniform",
        lambda layer: nn.init.uniform_(layer.weight, low, high, generator=generator),
        low=low,
        high=high,
    )


@_recorded
def normal(std: float = 1.0, *, generator: Generator | None = None) -> Scheme:
    """Weights from N(0, std²), whatever the layer.

    Parameters
    ----------
    std
        The standard deviation (not the variance), above 0.
    generator
        Where the random numbers come from; torch's global generator if ``None``.
    """
    std = _number("std", std, above=0)
    return _scheme(
        "normal",
        lambda layer: nn.init.normal_(layer.weight, 0.0, std, generator=generator),
        std=std,
    )


@_recorded
def truncated_normal(
    std: float = 1.0, *, bound: float = 2.0, generator: Generator | None = None
) -> Scheme:
    """Weights from N(0, std²), redrawn where they are more than ``bound`` times ``std`` from 0.

    Cutting the tails off makes the weights narrower than ``std`` says: at 2 their standard
    deviation is 0.879626 times ``std``.

    Parameters
    ----------
    std
        The standard deviation before the tails are cut off, above 0.
    bound
        Where they are cut off, in units of ``std``, above 0. (The ``a`` and ``b`` of
        `torch.nn.init.trunc_normal_` are weights, not multiples of its ``std``.)
    generator
        Where the random numbers come from; torch's global generator if ``None``.
    """
    std = _number("std", std, above=0)
    cut = _number("bound", bound, above=0) * std
    return _scheme(
        "truncated_normal",
        lambda layer: nn.init.trunc_normal_(layer.weight, 0.0, std, -cut, cut, generator=generator),
        std=std,
        bound=bound,
    )


# A spread that follows from the layer's shape


@_recorded
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

    return _scheme("general_rule", fill, _orthonormal(generator))


def _orthonormal(generator: Generator | None) -> Callable[[Any], object]:
    """Fill a matrix between states, which is multiplied by itself at every step."""
    return lambda layer: _fill_matrices(
        layer, lambda matrix: nn.init.orthogonal_(matrix, generator=generator)
    )


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

    return _scheme(name, fill, _orthonormal(generator), **settings)


@_recorded
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


@_recorded
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


@_recorded
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
    gain = _number("gain", gain, above=0)
    return _scaled(
        "xavier_uniform",
        "uniform",
        lambda layer: gain * math.sqrt(2 / sum(fans(layer))),
        generator,
        gain=gain,
    )


@_recorded
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
    gain = _number("gain", gain, above=0)
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
    _choice("mode", mode, ("fan_in", "fan_out"))
    gain = _gain(nonlinearity, negative_slope)
    settings: dict[str, object] = {"mode": mode, "nonlinearity": nonlinearity}
    if nonlinearity == "leaky_relu":
        settings["negative_slope"] = negative_slope
    return _scaled(
        f"he_{shape}",
        shape,
        lambda layer: gain / math.sqrt(_fan(layer, mode)),
        generator,
        **settings,
    )


@_recorded
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


@_recorded
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


# Matrices with a structure


def _fill_matrices(
    layer: Any, fill: Callable[[Tensor], object], weight: Tensor | None = None
) -> None:
    """Fill the weight as (outputs, inputs) matrices, one a group: what the layer multiplies by.

    ``weight`` is the part of it to fill, if not all.
    """
    inputs_first = isinstance(layer, _ConvTransposeNd | nn.Embedding)
    weight = layer.weight if weight is None else weight
    for group in weight.chunk(getattr(layer, "groups", 1), dim=0):
        block = group.transpose(0, 1) if inputs_first else group
        # In float32 at least: the QR decomposition has no half precision.
        dtype = torch.promote_types(block.dtype, torch.float32)
        matrix = torch.empty(
            block.shape[0], math.prod(block.shape[1:]), dtype=dtype, device=block.device
        )
        fill(matrix)
        block.copy_(matrix.view(block.shape))


@_recorded
def orthogonal(gain: float = 1.0, *, generator: Generator | None = None) -> Scheme:
    """Random orthogonal weights: every singular value equals the gain.

    A layer whose matrix of (outputs, inputs) is not square gets orthonormal rows or columns,
    whichever are fewer (Saxe, McClelland & Ganguli 2014). The matrix of a convolution has a column
    for each input channel at each kernel position, and each group has a matrix of its own.

    Parameters
    ----------
    gain
        Multiplies the weights, above 0.
    generator
        Where the random numbers come from; torch's global generator if ``None``.
    """
    gain = _number("gain", gain, above=0)
    return _scheme(
        "orthogonal",
        lambda layer: _fill_matrices(
            layer, lambda matrix: nn.init.orthogonal_(matrix, gain, generator=generator)
        ),
        gain=gain,
    )


@_recorded
def delta_orthogonal(gain: float = 1.0, *, generator: Generator | None = None) -> Scheme:
    """Convolutions with a random orthogonal matrix at the centre of the kernel, and 0 elsewhere.

    Such a layer keeps the length of the channels' vector at each position, up to the gain. Other
    weights average these lengths over the positions under the kernel, layer by layer. Plain
    convolutional networks of 10,000 layers were trained from it (Xiao et al. 2018,
    arXiv:1806.05393). Every other layer is filled as by `orthogonal`.

    Each group of a convolution has a matrix (outputs, inputs) of its own. With more outputs than
    inputs its columns are orthonormal, and lengths are kept; the paper allows nothing else. With
    fewer, its rows are, here: the length of an input shrinks by √(outputs / inputs) on average. The
    centre of a kernel of even size k is the position k // 2, as for `identity`.

    Parameters
    ----------
    gain
        Multiplies the weights, above 0; 1 for linear and tanh networks.
    generator
        Where the random numbers come from; torch's global generator if ``None``.

    Raises
    ------
    TypeError, ValueError
        If the gain is not a finite number above 0.

    Examples
    --------
    >>> conv = initialize(nn.Conv2d(4, 4, 3, padding=1, bias=False), "delta_orthogonal", seed=0)
    >>> images = torch.randn(2, 4, 8, 8, generator=Generator().manual_seed(1))
    >>> torch.allclose(conv(images).norm(dim=1), images.norm(dim=1))
    True
    """
    gain = _number("gain", gain, above=0)

    def fill_matrix(matrix: Tensor) -> None:
        nn.init.orthogonal_(matrix, gain, generator=generator)

    def fill(layer: Any) -> None:
        if not isinstance(layer, _ConvNd):
            _fill_matrices(layer, fill_matrix)
            return
        nn.init.zeros_(layer.weight)
        centre = tuple(size // 2 for size in layer.kernel_size)
        _fill_matrices(layer, fill_matrix, layer.weight[(..., *centre)])  # type: ignore[index]

    return _scheme("delta_orthogonal", fill, gain=gain)


@_recorded
def sparse(
    sparsity: float = 0.9, std: float = 0.01, *, generator: Generator | None = None
) -> Scheme:
    """Weights from N(0, std²), most of them set to 0.

    Each input keeps a share ``1 - sparsity`` of its connections, chosen at random (after Martens
    2010, "Deep learning via Hessian-free optimization").

    Parameters
    ----------
    sparsity
        The share of each input's weights that is 0, in (0, 1); rounded up to whole weights.
    std
        The standard deviation of the others, above 0.
    generator
        Where the random numbers come from; torch's global generator if ``None``.
    """
    sparsity = _number("sparsity", sparsity, above=0, below=1)
    std = _number("std", std, above=0)

    # torch.nn.init.sparse_ does this too, but picks what to drop from the global generator.
    def fill(matrix: Tensor) -> None:
        nn.init.normal_(matrix, 0.0, std, generator=generator)
        order = torch.rand(matrix.shape, device=matrix.device, generator=generator).argsort(dim=0)
        matrix[order < math.ceil(sparsity * len(matrix))] = 0

    return _scheme("sparse", lambda layer: _fill_matrices(layer, fill), sparsity=sparsity, std=std)


@_recorded
def identity() -> Scheme:
    """Weights that hand each input to the output of the same number, as far as there are both.

    A convolution gets the 1 at the centre of its kernel (`torch.nn.init.dirac_`).
    """

    def fill(layer: Any) -> None:
        if isinstance(layer, _ConvNd):
            nn.init.dirac_(layer.weight, layer.groups)
        else:
            nn.init.eye_(layer.weight)

    return _scheme("identity", fill)


@_recorded
def default() -> Scheme:
    """What PyTorch does by itself, for every module that can be reset.

    Calls each module's own ``reset_parameters``. Linear layers and convolutions draw weights *and*
    biases from U[-1/√n, 1/√n), n the fan-in as PyTorch counts it; embeddings draw from N(0, 1).
    The random numbers come from torch's global generator: nothing else can be handed over.
    """
    return Scheme(
        "default()",
        lambda module: module.reset_parameters(),
        lambda module: callable(getattr(module, "reset_parameters", None)),
    )


# Residual networks: schemes that need the architecture

# What tells a residual block: an attribute, and its branches, each the names of parts in the order
# in which they run. The branch ends with the last layer in them that has weights.
_BLOCKS = (
    ("linear1", ("self_attn", "multihead_attn", "linear2")),  # nn.TransformerDecoderLayer
    ("linear1", ("self_attn", "linear2")),  # nn.TransformerEncoderLayer
    ("ln_2", ("self_attention", "mlp")),  # torchvision's VisionTransformer
    ("downsample", ("conv3 bn3",)),  # its ResNet, with three convolutions a branch or with two
    ("downsample", ("conv2 bn2",)),
    ("layer_scale", ("block",)),  # ConvNeXt
    ("use_res_connect", ("block",)),  # MobileNetV3, EfficientNet
    ("use_res_connect", ("conv",)),  # MobileNetV2
)


def _has_weight(module: nn.Module) -> bool:
    return isinstance(getattr(module, "weight", None), Tensor)


def _known_ends(model: nn.Module) -> Iterator[nn.Module]:
    """Yield the last layer of each branch of the blocks whose structure is known."""
    for block in model.modules():
        parts = dict(block.named_children())
        for mark, branches in _BLOCKS:
            # `use_res_connect` says whether there is a branch; `downsample` may be None.
            known = getattr(block, mark, False) is not False
            if known and parts.keys() >= set(" ".join(branches).split()):
                for branch in branches:
                    layers = [m for name in branch.split() for m in parts[name].modules()]
                    yield from list(filter(_has_weight, layers))[-1:]
                break


def _ends(model: nn.Module, last: Sequence[str] | None) -> list[Any]:
    """List the last layer of each residual branch: the known ones, or those that are named."""
    if last is None:
        found = list(_known_ends(model))
    else:
        found = [
            module
            for name, module in model.named_modules()
            if _has_weight(module) and any(fnmatch.fnmatchcase(name, p) for p in last)
        ]
    return list({id(module.weight): module for module in found}.values())  # a tied one once


def _require_ends(model: nn.Module, name: str, last: Sequence[str] | None) -> None:
    """Refuse a model without known branches, or a pattern that fits none of its layers."""
    kind = type(model).__name__
    if last is None and not _ends(model, None):
        raise ValueError(
            f"no residual branch was recognised in {kind}; name the last layer of each, "
            f'as in {name}(last="blocks.*.branch.2")'
        )
    names = [key for key, module in model.named_modules() if _has_weight(module)]
    for pattern in last or ():
        if not fnmatch.filter(names, pattern):
            nearest = difflib.get_close_matches(pattern, names, n=3, cutoff=0.0)
            hint = f"; the nearest are {', '.join(map(repr, nearest))}" if nearest else ""
            raise ValueError(f"last={pattern!r} fits no layer with weights of {kind}{hint}")


def _residual(
    name: str,
    base: str | Callable[[nn.Module], object],
    last: str | Sequence[str] | None,
    scale: Callable[[int], float],
    **settings: object,
) -> Scheme:
    """Make a scheme that fills a model by ``base`` and multiplies the ends of n branches."""
    scheme = from_name(base) if isinstance(base, str) else base
    if not callable(scheme):
        raise TypeError(
            f"base is {base!r}; it must be a name such as 'he_normal', or a function of a module"
        )
    if isinstance(scheme, Scheme) and scheme.require:
        raise ValueError(f"base is {scheme}; it must be a scheme that fills layer by layer")
    patterns = [last] if isinstance(last, str) else last
    if patterns is not None and not (
        isinstance(patterns, Sequence) and patterns and all(isinstance(p, str) for p in patterns)
    ):
        raise TypeError(
            f"last is {last!r}; it must be a pattern of module names such as "
            "'blocks.*.branch.2', or a list of them"
        )

    def fill(model: nn.Module) -> None:
        model.apply(cast(Callable[[nn.Module], None], scheme))
        ends = _ends(model, patterns)
        for end in ends:
            if end.weight.ndim < 2:  # a normalization, which the base leaves alone
                nn.init.ones_(end.weight)
            end.weight.mul_(scale(len(ends)))

    def accepts(module: nn.Module) -> bool:
        return not isinstance(scheme, Scheme) or any(map(scheme.accepts, module.modules()))

    settings = {"base": written(base), **settings}
    if patterns is not None:
        settings["last"] = patterns[0] if len(patterns) == 1 else list(patterns)
    arguments = ", ".join(f"{key}={value!r}" for key, value in settings.items())
    return Scheme(
        f"{name}({arguments})", fill, accepts, lambda model: _require_ends(model, name, patterns)
    )


@_recorded
def residual_scaled(
    base: str | Callable[[nn.Module], object] = "he_normal",
    *,
    factor: float | None = None,
    last: str | Sequence[str] | None = None,
) -> Scheme:
    """A whole model by another scheme, then the end of each residual branch scaled down.

    Each of L branches adds its output to the trunk. If a branch's output has c times the mean
    square of the trunk, the trunk ends at (1 + c)ᴸ times what it began with; with the branch's last
    weights multiplied by 1/√L, at (1 + c/L)ᴸ, which is below eᶜ at any depth. So GPT-2 was
    initialized (Radford et al. 2019, "Language models are unsupervised multitask learners").

    The ends are taken from the structure of these blocks, with their subclasses and what has the
    same attributes: `torch.nn.TransformerEncoderLayer` and `torch.nn.TransformerDecoderLayer`, and
    torchvision's ResNet, ConvNeXt, VisionTransformer, MobileNet and EfficientNet. For everything
    else name them by ``last``. If a branch ends with a normalization, that has the last word: its
    weight is set to the factor.

    Parameters
    ----------
    base
        What fills the model: a name (see `from_name`), or a function of a module.
    factor
        Multiplies the last weights of each branch, above 0; ``None`` for 1/√(number of branches),
        each layer counted once, however often it is used.
    last
        A pattern of names in ``model.named_modules()``, as ``"blocks.*.branch.2"``, or several: the
        last layer of each branch. ``*`` stands for any characters, dots too (`fnmatch`).
        ``None`` for those of the blocks above.

    Raises
    ------
    TypeError, ValueError
        If an argument is none of these, or ``base`` needs the architecture itself. By `initialize`:
        if no residual branch is recognised, or a pattern fits no layer with weights.

    Examples
    --------
    >>> encoder = nn.Sequential(*(nn.TransformerEncoderLayer(64, 4) for _ in range(2)))
    >>> encoder = initialize(encoder, "residual_scaled('lecun_normal')", seed=0)
    >>> weight = encoder[0].self_attn.out_proj.weight  # 64 inputs and 4 branches: 1 / √64 / √4
    >>> round(weight.std().item(), 2)
    0.06
    """
    if factor is None:
        return _residual("residual_scaled", base, last, lambda branches: branches**-0.5)
    number = _number("factor", factor, above=0)
    return _residual("residual_scaled", base, last, lambda _: number, factor=number)


@_recorded
def zero_last(
    base: str | Callable[[nn.Module], object] = "he_normal",
    *,
    last: str | Sequence[str] | None = None,
) -> Scheme:
    """A whole model by another scheme, then the end of each residual branch 0.

    Every branch starts as nothing, so the network starts as its trunk, at any depth, and the
    branches grow from the first step on. Where a branch ends with a normalization, its weight (γ)
    is set to 0 (Goyal et al. 2017, arXiv:1706.02677), where not, the weights of its last layer are
    (Zhang, Dauphin & Ma 2019, "Fixup", arXiv:1901.09321, which also scales the other layers).

    Parameters
    ----------
    base
        What fills the model: a name (see `from_name`), or a function of a module.
    last
        The last layer of each branch, as for `residual_scaled`, which also says which are known.

    Raises
    ------
    TypeError, ValueError
        As for `residual_scaled`.

    Examples
    --------
    >>> encoder = initialize(nn.TransformerEncoderLayer(64, 4), "zero_last")
    >>> encoder.linear2.weight.any().item(), encoder.linear1.weight.any().item()
    (False, True)
    """
    return _residual("zero_last", base, last, lambda _: 0.0)


INITIALIZERS: Mapping[str, Callable[..., Scheme]] = MappingProxyType(
    {
        factory.__name__: factory
        for factory in (
            zeros,
            ones,
            constant,
            uniform,
            general_rule,
            normal,
            truncated_normal,
            lecun_uniform,
            lecun_normal,
            xavier_uniform,
            xavier_normal,
            he_uniform,
            he_normal,
            orthogonal,
            delta_orthogonal,
            sparse,
            identity,
            default,
            residual_scaled,
            zero_last,
        )
    }
)
"""The schemes by name: each value is the function that makes the scheme."""

# The names that torch and Keras use for the same schemes.
_ALIASES = {
    "kaiming_uniform": "he_uniform",
    "kaiming_normal": "he_normal",
    "glorot_uniform": "xavier_uniform",
    "glorot_normal": "xavier_normal",
}


def from_name(text: str) -> Scheme:
    """Make the scheme that a text names, with arguments if it gives any.

    Parameters
    ----------
    text
        A name from `INITIALIZERS` (or ``kaiming_…`` for ``he_…``, ``glorot_…`` for ``xavier_…``),
        such as ``"he_normal"``, or a call with plain numbers and strings, such as
        ``"uniform(-0.5, 0.5)"`` or ``"he_normal(mode='fan_out')"``.

    Raises
    ------
    ValueError
        If the name is unknown (the message lists the known ones and the nearest), if the text is
        not a name or a call, or if the scheme refuses the arguments.

    Examples
    --------
    >>> from_name("uniform(-0.5, 0.5)")
    uniform(low=-0.5, high=0.5)
    """
    try:
        expression = ast.parse(text.strip(), mode="eval").body
        call = expression if isinstance(expression, ast.Call) else None
        name = ast.unparse(call.func if call else expression)
        arguments = [ast.literal_eval(value) for value in call.args] if call else []
        pairs = [(str(k.arg), ast.literal_eval(k.value)) for k in call.keywords] if call else []
        keywords = dict(pairs)
        if len(keywords) < len(pairs) or "generator" in keywords:
            raise ValueError  # noqa: TRY301  told below
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        raise ValueError(
            f"cannot read the scheme {text!r}; write a name such as 'he_normal', "
            "or a call with numbers such as 'uniform(-0.5, 0.5)'"
        ) from None
    known = [*INITIALIZERS, *_ALIASES]
    if name not in known:
        # "xaiver" is nearest to "xavier", which stands for the first scheme of that family.
        names = {scheme.split("_")[0]: scheme for scheme in reversed(known)} | {n: n for n in known}
        nearest = difflib.get_close_matches(name.lower(), names, n=1, cutoff=0.5)
        hint = f", did you mean {names[nearest[0]]!r}?" if nearest else "."
        raise ValueError(f"unknown scheme {name!r}{hint} The schemes are: {', '.join(known)}")
    try:
        return INITIALIZERS[_ALIASES.get(name, name)](*arguments, **keywords)
    except TypeError as error:
        raise ValueError(
            f"cannot make the scheme {text!r}: {error}; give its arguments, "
            f"as in {'constant(0.5)' if name == 'constant' else 'uniform(-0.5, 0.5)'!r}"
        ) from error


def initialize(
    model: ModelT, scheme: str | Callable[[nn.Module], object], *, seed: int | None = None
) -> ModelT:
    """Initialize a model in place.

    Parameters
    ----------
    model
        Any module.
    scheme
        A name (see `from_name`), or any function of a module, applied to every module of the model.
    seed
        Draws the weights from this seed and leaves torch's global generators as they were.
        ``None`` draws from wherever the scheme draws by itself.

    Returns
    -------
    torch.nn.Module
        The same model.

    Raises
    ------
    ValueError
        If the name is unknown, a layer cannot be filled (see `Scheme`), or the scheme needs the
        architecture and does not recognise it (see `residual_scaled`).
    TypeError
        If ``model`` is not a module, or ``scheme`` neither a name nor a function.

    Warns
    -----
    UserWarning
        If the model has no layer that the scheme knows, so that nothing was changed.

    Examples
    --------
    >>> net = initialize(nn.Linear(2, 3), "ones")
    >>> net.weight.sum().item()
    6.0
    """
    if not isinstance(model, nn.Module):
        raise TypeError(f"model is of type {type(model).__name__}; it must be a torch.nn.Module")
    if isinstance(scheme, str):
        scheme = from_name(scheme)
    if not callable(scheme):
        raise TypeError(
            f"scheme is {scheme!r}; it must be a name such as 'he_normal', "
            "or a function of a module"
        )
    if seed is not None and (isinstance(seed, bool) or not isinstance(seed, Integral)):
        raise TypeError(f"seed is {seed!r}; it must be a whole number, or None")
    if scheme in INITIALIZERS.values():
        name = next(name for name, factory in INITIALIZERS.items() if factory is scheme)
        raise TypeError(
            f"scheme is the function {name}, which makes a scheme: call it, as {name}()"
        )
    if isinstance(scheme, Scheme) and not any(map(scheme.accepts, model.modules())):
        warnings.warn(
            f"{type(model).__name__} has no layer that {scheme} knows; nothing was changed",
            stacklevel=2,
        )
    with contextlib.nullcontext() if seed is None else seeded(seed):
        if isinstance(scheme, Scheme):
            scheme.fill_model(model)
        else:
            model.apply(cast(Callable[[nn.Module], None], scheme))
    return model

"""Known rules: what libraries and papers draw weights from.

To add a rule, write a function of a `Place` that gives its distribution, or ``None`` where it does
not apply::

    @known_rule("N(0, 0.05²), as nobody's paper says")
    def nobodys(place):
        return Normal(0.05) if place.role == "weight" else None

Nothing else has to be touched.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import replace
from types import MappingProxyType

from torch import nn

from initguide.auditing.distributions import (
    Constant,
    Distribution,
    Normal,
    TruncatedNormal,
    Uniform,
)
from initguide.auditing.places import Place
from initguide.auditing.reading import Summary
from initguide.auditing.testing import fit
from initguide.initializers import Fans

__all__ = ["RULES", "Rule", "known_rule", "rules_that_fit"]

Rule = Callable[[Place], Distribution | Constant | None]

_rules: dict[str, Rule] = {}
RULES: Mapping[str, Rule] = MappingProxyType(_rules)
"""The known rules: the words that name each, and the distribution that it gives a `Place`."""


def known_rule(name: str) -> Callable[[Rule], Rule]:
    """Register a rule under the words that the audit's table shows.

    Raises
    ------
    ValueError
        If there is a rule of this name already.
    """
    if name in _rules:
        raise ValueError(f"there is a rule {name!r} already; choose another name")

    def register(rule: Rule) -> Rule:
        _rules[name] = rule
        return rule

    return register


def rules_that_fit(place: Place, countings: tuple[Fans, ...], seen: Summary) -> tuple[str, ...]:
    """Name all rules that the values may have been drawn by.

    Parameters
    ----------
    place
        The parameter.
    countings
        The ways of counting its fans.
    seen
        Its values, all finite.

    Returns
    -------
    tuple of str
        Their names, in the order in which they are registered. A rule that fits only with the fans
        as `torch.nn.init` counts them, by the shape, says so.
    """
    found: dict[str, str] = {}
    for i, (fan_in, fan_out) in enumerate(countings):
        counted = replace(place, fan_in=fan_in, fan_out=fan_out)
        for name, rule in RULES.items():
            if name in found:
                continue
            expected = rule(counted)
            if expected is None or not _agrees(expected, seen):
                continue
            # A rule without fans would have fitted at the first counting already.
            found[name] = name if i == 0 else f"{name} (fans by shape)"
    return tuple(found.values())


def _agrees(expected: Distribution | Constant, seen: Summary) -> bool:
    if isinstance(expected, Constant):
        return seen.low == seen.high and math.isclose(
            seen.low, expected.value, rel_tol=seen.rounding
        )
    return 0 < seen.std < math.inf and fit(expected, seen).fits


# Scaled by the fans

_VARIANCES: dict[str, Callable[[Place], float]] = {
    "He": lambda place: 2 / place.fan_in,
    "He fan-out": lambda place: 2 / place.fan_out,
    "Xavier": lambda place: 2 / (place.fan_in + place.fan_out),
    "Xavier × √2 (ReLU's gain)": lambda place: 4 / (place.fan_in + place.fan_out),
    "Xavier × 5/3 (tanh's gain)": lambda place: 50 / 9 / (place.fan_in + place.fan_out),
    "LeCun": lambda place: 1 / place.fan_in,
    "LeCun × 5/3 (tanh's gain)": lambda place: 25 / 9 / place.fan_in,
}
# Keras and Flax divide by the std of a unit normal cut at 2, so that the variance is what it says.
_CUT_AT_2 = TruncatedNormal(1.0).std
_SHAPES: dict[str, Callable[[float], Distribution]] = {
    "normal": Normal,
    "uniform": lambda std: Uniform(-math.sqrt(3) * std, math.sqrt(3) * std),
    "truncated normal": lambda std: TruncatedNormal(std / _CUT_AT_2),
}


def _scaled(variance: Callable[[Place], float], shape: Callable[[float], Distribution]) -> Rule:
    def rule(place: Place) -> Distribution | None:
        if place.role != "weight" or not place.fan_in * place.fan_out > 0:
            return None
        return shape(math.sqrt(variance(place)))

    return rule


for _who, _variance in _VARIANCES.items():
    for _shape_name, _shape in _SHAPES.items():
        _first, _, _rest = _who.partition(" ")
        _words = f"{_first} {_shape_name} {_rest}".strip()
        known_rule(_words)(_scaled(_variance, _shape))


@known_rule("PyTorch's default")
def pytorch_default(place: Place) -> Distribution | Constant | None:
    """What ``reset_parameters`` gives: weights and biases of one distribution, mostly."""
    layer = place.layer
    if place.role == "vector":  # a normalization's weight
        return Constant(1.0)
    if isinstance(layer, nn.Embedding | nn.EmbeddingBag):
        return Normal(1.0)
    if isinstance(layer, nn.RNNBase | nn.RNNCellBase):
        return Uniform(-(layer.hidden_size**-0.5), layer.hidden_size**-0.5)
    if isinstance(layer, nn.MultiheadAttention) and place.role == "weight":
        # Xavier by the shape of the packed matrix, three times as high as one of the projections.
        bound = math.sqrt(6 / sum(place.tensor.shape))
        return Uniform(-bound, bound)
    if isinstance(layer, nn.Linear | nn.modules.conv._ConvNd):  # noqa: SLF001
        weight = layer.weight
        bound = 1 / math.sqrt(max(weight.shape[1] * math.prod(weight.shape[2:]), 1))
        return Uniform(-bound, bound)
    return Constant(0.0) if place.role == "bias" else None


# Of one size whatever the fans


def _absolute(name: str, distribution: Distribution) -> None:
    @known_rule(name)
    def rule(place: Place) -> Distribution | None:
        return distribution if place.role == "weight" or place.tensor.numel() > 1 else None


_absolute("N(0, 0.02²) (GPT-2, BERT)", Normal(0.02))
_absolute("N(0, 0.02²) cut at ±2σ (ViT, T5X)", TruncatedNormal(0.02))
_absolute("N(0, 0.01²)", Normal(0.01))
_absolute("N(0, 0.001²)", Normal(0.001))
_absolute("N(0, 1)", Normal(1.0))
_absolute("U(0, 1)", Uniform(0.0, 1.0))


# Scaled by the depth


@known_rule("GPT-2's residual 0.02/√(2L)")
def gpt2_residual(place: Place) -> Distribution | None:
    """Radford et al. 2019: the ends of 2L residual branches, L the number of blocks."""
    if place.role != "weight" or place.depth < 2:
        return None
    return Normal(0.02 / math.sqrt(2 * place.depth))


@known_rule("residual 0.02/√L")
def residual_by_blocks(place: Place) -> Distribution | None:
    """As GPT-2's, counting one branch a block."""
    if place.role != "weight" or place.depth < 2:
        return None
    return Normal(0.02 / math.sqrt(place.depth))


@known_rule("small init √(2/(5d))")
def small_init(place: Place) -> Distribution | None:
    """Nguyen & Salazar 2019, arXiv:1910.05895, as in GPT-NeoX: Xavier of a d × 4d matrix."""
    return Normal(math.sqrt(0.4 / place.fan_in)) if place.role == "weight" else None


@known_rule("Wang's residual 2/(L√d)")
def wang_init(place: Place) -> Distribution | None:
    """The ends of residual branches in GPT-NeoX (Wang & Komatsuzaki 2021, GPT-J)."""
    if place.role != "weight" or place.depth < 2:
        return None
    return Normal(2 / place.depth / math.sqrt(place.fan_in))


# For sines


@known_rule("SIREN's first layer U(±1/n)")
def siren_first(place: Place) -> Distribution | None:
    """Sitzmann et al. 2020, arXiv:2006.09661."""
    return Uniform(-1 / place.fan_in, 1 / place.fan_in) if place.role == "weight" else None


@known_rule("SIREN U(±√(6/n)/30)")
def siren(place: Place) -> Distribution | None:
    """Sitzmann et al. 2020, with their frequency of 30."""
    bound = math.sqrt(6 / place.fan_in) / 30 if place.role == "weight" else 0.0
    return Uniform(-bound, bound) if bound else None


@known_rule("zeros")
def zeros(place: Place) -> Constant:  # noqa: ARG001  every place may be 0
    """Every value 0."""
    return Constant(0.0)


@known_rule("ones")
def ones(place: Place) -> Constant:  # noqa: ARG001  every place may be 1
    """Every value 1."""
    return Constant(1.0)

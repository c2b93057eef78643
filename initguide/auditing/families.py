"""What a parameter's values look like, whatever rule they came by.

A family is a function of the values: it says which member they may be, or ``None``. Constants and
matrices are known exactly; draws by the tests of `initguide.auditing.testing`.
"""

import math
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.modules.conv import _ConvTransposeNd

from initguide.auditing.distributions import (
    Distribution,
    Normal,
    TruncatedNormal,
    Uniform,
    truncation_of,
)
from initguide.auditing.places import Place
from initguide.auditing.reading import Summary
from initguide.auditing.testing import ALPHA, Verdict, fit

__all__ = ["FAMILIES", "ROWS", "Match", "family", "match"]

ROWS = 256
"""Rows (or columns) of a matrix that are held against each other: independent ones of n numbers
have cosines of 1/√n, so a few tell as much as all."""


class Match(NamedTuple):
    """What the values look like.

    Attributes
    ----------
    family
        Such as ``"normal"``; several with "or" between them where the values do not tell.
    written
        The member of the family, with its numbers.
    evidence
        The test behind it, in words.
    member
        The distribution that fits best, if it is one; ``None`` otherwise.
    drawn
        Whether the values are random numbers.
    """

    family: str
    written: str
    evidence: str
    member: Distribution | None = None
    drawn: bool = False


Family = Callable[[Place, Summary], Match | None]
_families: dict[str, Family] = {}
FAMILIES: Mapping[str, Family] = MappingProxyType(_families)
"""The exact families by name, in the order in which they are asked; draws come after them."""


def family(name: str) -> Callable[[Family], Family]:
    """Register a family that is known by more than the distribution of its values."""

    def register(look: Family) -> Family:
        _families[name] = look
        return look

    return register


def match(place: Place, seen: Summary) -> Match:
    """Name the family of a parameter's values.

    Parameters
    ----------
    place
        The parameter.
    seen
        What was read of it.
    """
    if seen.not_finite:
        return Match("not finite", "not finite", f"{seen.not_finite:,} of {seen.count:,} values")
    for look in FAMILIES.values():
        if (found := look(place, seen)) is not None:
            return found
    if not 0 < seen.std < math.inf:  # numbers so small or large that their squares are none
        return Match("other", f"up to {seen.largest:.2g}", "the variance is not a number")
    return _draws(seen)


@family("constant")
def constant(place: Place, seen: Summary) -> Match | None:  # noqa: ARG001
    """Zero, or one number everywhere."""
    if seen.low != seen.high:
        return None
    name = "zero" if seen.low == 0 else "constant"
    return Match(name, name if seen.low == 0 else f"{seen.low:.4g}", "all values are the same")


@family("identity")
def identity(place: Place, seen: Summary) -> Match | None:
    """`torch.nn.init.eye_` and `torch.nn.init.dirac_`: a few ones among zeros."""
    tensor = place.tensor
    if seen.low != 0 or seen.high != 1 or tensor.ndim < 2:
        return None
    groups = getattr(place.layer, "groups", 1)
    expected = torch.zeros_like(tensor, device="cpu", memory_format=torch.contiguous_format)
    if tensor.ndim == 2:
        nn.init.eye_(expected)
    elif tensor.ndim <= 5 and tensor.shape[0] % groups == 0:
        nn.init.dirac_(expected, groups)
    if not torch.equal(expected, tensor.detach().cpu()):
        return None
    return Match("identity", "identity", "equal to the identity, value by value")


@family("orthogonal")
def orthogonal(place: Place, seen: Summary) -> Match | None:  # noqa: ARG001
    """Orthonormal rows or columns, times a gain: the Gram matrix is gain² times the identity."""
    for words, matrices in _matrices(place):
        gains = [_gain(matrix) for matrix in matrices]
        first = gains[0]
        if first is not None and all(
            gain is not None and math.isclose(gain, first, rel_tol=1e-2) for gain in gains
        ):
            evidence = "rows or columns at right angles, all of one length (Gram matrix)"
            return Match(
                "orthogonal", f"orthogonal × {first:.4g}{words}", evidence, None, drawn=True
            )
    return None


def _matrices(place: Place) -> list[tuple[str, list[Tensor]]]:
    """The matrices that a weight may be taken for: one, or one a gate, projection or group."""
    tensor = place.tensor.detach()
    if tensor.ndim < 2 or tensor.is_complex():
        return []
    found = [("", [tensor.flatten(1)])]
    parts = getattr(place.layer, "groups", 1)
    if isinstance(place.layer, nn.RNNBase):
        parts = {"LSTM": 4, "GRU": 3}.get(place.layer.mode, 1)
    elif isinstance(place.layer, nn.MultiheadAttention):
        parts = 3
    blocks = tensor.chunk(parts)
    if isinstance(place.layer, _ConvTransposeNd):  # its weight has the inputs first
        found.append((", inputs first", [block.transpose(0, 1).flatten(1) for block in blocks]))
    elif parts > 1 and len(blocks) == parts:
        found.append((f", {parts} matrices", [block.flatten(1) for block in blocks]))
    if tensor.ndim > 2:
        # Delta-orthogonal: a matrix at the centre of the kernel, zeros around it.
        centre = tuple(size // 2 for size in tensor.shape[2:])
        middle = tensor[(..., *centre)]  # type: ignore[index]
        if int(tensor.count_nonzero()) == int(middle.count_nonzero()):
            found.append((" at the centre of the kernel", list(middle.chunk(parts))))
    return found


def _gain(matrix: Tensor) -> float | None:
    """The gain of an orthogonal matrix; ``None`` of another."""
    if matrix.shape[0] > matrix.shape[1]:
        matrix = matrix.T
    rows, columns = matrix.shape
    if rows < 2:
        return None
    rounding = torch.finfo(matrix.dtype).eps
    # A stride reaches all parts of a stack of matrices; the first rows would see one of them.
    matrix = matrix[:: math.ceil(rows / ROWS)].double()
    gram = matrix @ matrix.T
    lengths = gram.diagonal().clone()
    if float(lengths.min()) <= 0:
        return None
    gram.fill_diagonal_(0.0)
    # 3e-5 is what a QR decomposition of thousands of rows in single precision leaves; the rounding
    # of the numbers themselves averages out over the columns.
    limit = 3e-5 + 4 * rounding / math.sqrt(columns)
    # Independent rows have cosines of about 1/√columns, and squared lengths that differ by √2 of
    # that. Where so many come within the limit by chance too easily, nothing can be said.
    chance, pairs = limit * math.sqrt(columns), len(matrix) * (len(matrix) - 1) // 2
    if min(0.8 * chance, 1) ** pairs * min(0.6 * chance, 1) ** (len(matrix) - 1) > ALPHA:
        return None
    scale = float(lengths.mean())
    if float(gram.abs().max()) > limit * scale:
        return None
    if float((lengths - scale).abs().max()) > limit * scale:
        return None
    return math.sqrt(scale)


def _candidates(seen: Summary) -> dict[str, Distribution]:
    """The member of each family of draws that is nearest to the values."""
    # The ends of a uniform distribution lie a little beyond those of n values.
    beyond = (seen.high - seen.low) / max(seen.count - 1, 1)
    found: dict[str, Distribution] = {
        "uniform": Uniform(seen.low - beyond, seen.high + beyond),
        "normal": Normal(seen.std, seen.mean),
    }
    # The middle of the ends is nearer to that of the cut than the mean of the values is.
    middle, reach = (seen.low + seen.high) / 2, (seen.high - seen.low) / 2 * (1 + 1 / seen.count)
    # Below √3 standard deviations there is no such distribution, beyond 5 it is a normal one.
    if math.sqrt(3) * 1.05 < reach / seen.std < 5:
        cut = truncation_of(reach / seen.std)
        found["truncated normal"] = TruncatedNormal(reach / cut, cut, middle)
    return found


def _draws(seen: Summary) -> Match:
    verdicts: dict[str, Verdict] = {}
    members = _candidates(seen)
    for name, member in members.items():
        verdicts[name] = fit(member, seen)
    fitting = [name for name, verdict in verdicts.items() if verdict.fits]
    if "normal" in fitting and "truncated normal" in fitting:
        fitting.remove("truncated normal")  # which every normal sample is, cut at its largest value
    if fitting:
        best = max(fitting, key=lambda name: verdicts[name].p)
        evidence = f"Kolmogorov-Smirnov, moments and extremes of {seen.count:,} values"
        others = [name for name in members if name not in fitting]
        if others and (refused := [name for name in others if not verdicts[name].fits]):
            worst = ", ".join(f"{name} by its {verdicts[name].test}" for name in refused)
            evidence += f"; refused: {worst}"
        words = str(members[best]) if len(fitting) == 1 else f"std {seen.std:.4g}"
        return Match(" or ".join(fitting), words, evidence, members[best], drawn=True)
    if 0.01 < seen.zeros / seen.count < 1 and (rest := _without_zeros(seen)) is not None:
        inner = _draws(rest)
        share = seen.zeros / seen.count
        if inner.drawn:
            words = f"{share:.1%} zeros, the rest {inner.written}"
            return Match("sparse", words, inner.evidence, drawn=True)
    near = max(verdicts, key=lambda name: verdicts[name].p)
    evidence = f"nearest is {near}, refused by its {verdicts[near].test} (p below {ALPHA:g})"
    return Match("other", f"std {seen.std:.4g}", evidence)


def _without_zeros(seen: Summary) -> Summary | None:
    """The values that are not 0, as far as the sample has them."""
    rest = seen.sample[seen.sample != 0]
    if len(rest) < 8 or float(rest.std()) == 0:
        return None
    return Summary(
        count=len(rest),
        mean=float(rest.mean()),
        std=float(rest.std()),
        low=float(rest.min()),
        high=float(rest.max()),
        zeros=0,
        first_zero=-1,
        last_zero=-1,
        denormal=0,
        not_finite=0,
        sample=rest,
        sampled=len(rest),
        distinct=seen.distinct - 1,
        rounding=seen.rounding,
        dtype=seen.dtype,
    )

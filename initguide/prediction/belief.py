"""What theory says of a tensor during a forward pass, and the exception by which it declines."""

import math
from collections.abc import Iterable
from dataclasses import dataclass, replace

from initguide.theory import Array

__all__ = ["INPUTS", "Belief", "Gap", "apart", "first_basis", "joint_sources"]

INPUTS = "the inputs"  # the basis of a belief that no measurement has entered


class Gap(Exception):  # noqa: N818  not an error: theory ends here, and goes on from a measurement
    """An operation cannot be followed, and why; without a reason, for that of its input."""


@dataclass(frozen=True, eq=False)
class Belief:
    """What theory says of one tensor, over all draws of weights with the statistics of these.

    Take a residual block, ``x + f(x)``. Its mean square is E[x²] + 2 E[x f(x)] + E[f(x)²], and
    the two ends say nothing about the middle. But where f ends in a layer of its own, ``W h``,
    weights W and -W are equally likely, and x is independent of W: the middle is 0 on average. This
    is what `sources` and `heads` are for. With W among x's sources (tied weights), or with f ending
    in an activation (no heads), the middle may be anything, and the sum is not predicted.

    Attributes
    ----------
    second
        (groups,) mean squares, one for each group of inputs (`initguide.prediction.groups`).
    mean
        Mean over draws, units and inputs; NaN if it is not known. Adding a number needs it.
    normal
        Whether its numbers are normally distributed, as sums of many weighted inputs are. Only then
        can E[φ(x)²] be computed from the mean and the mean square.
    sources
        Keys (`Knowledge.key`) of all weights that it depends on. A layer whose weight is among the
        sources of its input multiplies what is not independent, so E[w²] E[x²] does not hold.
    heads
        Keys of weights all of whose signs, flipped together, flip its sign: those of a linear layer
        without a bias to speak of, and what sums and scaling make of them. None if there are none.
    basis
        Where the prediction starts: the inputs, or what was measured last, and why.
    measured
        Whether ``second`` was measured on this very tensor, so that single inputs and positions may
        be looked at, too, and not only their shares.
    """

    second: Array
    mean: float = math.nan
    normal: bool = False
    sources: frozenset[int] = frozenset()
    heads: frozenset[int] | None = None
    basis: str = INPUTS
    measured: bool = False

    def scaled(self, factor: float) -> "Belief":
        """What holds for ``factor`` times the tensor."""
        return replace(
            self, second=self.second * factor**2, mean=self.mean * factor, measured=False
        )


def apart(one: Belief, other: Belief) -> bool:
    """Whether one changes its sign with weights that the other does not depend on."""
    return one.heads is not None and not one.heads & other.sources


def joint_sources(beliefs: Iterable[Belief]) -> frozenset[int]:
    """All weights that several tensors depend on."""
    return frozenset[int]().union(*(belief.sources for belief in beliefs))


def first_basis(beliefs: Iterable[Belief]) -> str:
    """What several beliefs start from: the first measurement among them, if there is one."""
    return next((b.basis for b in beliefs if b.basis != INPUTS), INPUTS)

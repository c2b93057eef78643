"""The distributions that weights are drawn from: what the tests need to know of each."""

import math
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Generator, Tensor

__all__ = ["Constant", "Distribution", "Normal", "TruncatedNormal", "Uniform", "truncation_of"]


class Distribution(Protocol):
    """A continuous distribution around ``mean``, in double precision."""

    @property
    def mean(self) -> float:
        """Expected value."""

    @property
    def std(self) -> float:
        """Standard deviation."""

    @property
    def kurtosis(self) -> float:
        """Fourth central moment over the squared variance; 3 for a normal distribution."""

    def below(self, x: Tensor) -> Tensor:
        """Probability of a value below each of ``x``."""

    def above(self, x: Tensor) -> Tensor:
        """Probability of a value above, accurate where it is tiny (``1 - below`` is not)."""

    def draw(self, count: int, generator: Generator) -> Tensor:
        """That many independent values."""


@dataclass(frozen=True)
class Constant:
    """One number everywhere."""

    value: float

    def __str__(self) -> str:
        return f"{self.value:g}"


@dataclass(frozen=True)
class Uniform:
    """U(low, high)."""

    low: float
    high: float

    @property
    def mean(self) -> float:
        """The middle."""
        return (self.low + self.high) / 2

    @property
    def std(self) -> float:
        """(high − low) / √12."""
        return (self.high - self.low) / math.sqrt(12)

    @property
    def kurtosis(self) -> float:
        """9/5, the fourth moment 1/80 over the squared variance 1/144."""
        return 1.8

    def below(self, x: Tensor) -> Tensor:
        """Probability of a value below."""
        return ((x - self.low) / (self.high - self.low)).clamp(0, 1)

    def above(self, x: Tensor) -> Tensor:
        """Probability of a value above."""
        return ((self.high - x) / (self.high - self.low)).clamp(0, 1)

    def draw(self, count: int, generator: Generator) -> Tensor:
        """That many independent values."""
        u = torch.rand(count, generator=generator, dtype=torch.float64)
        return self.low + u * (self.high - self.low)

    def __str__(self) -> str:
        return f"U({self.low:.4g}, {self.high:.4g})"


@dataclass(frozen=True)
class Normal:
    """N(mean, std²)."""

    std: float
    mean: float = 0.0

    @property
    def kurtosis(self) -> float:
        """3, whatever the scale."""
        return 3.0

    def below(self, x: Tensor) -> Tensor:
        """Probability of a value below."""
        probability: Tensor = torch.special.ndtr((x - self.mean) / self.std)
        return probability

    def above(self, x: Tensor) -> Tensor:
        """Probability of a value above."""
        return self.below(2 * self.mean - x)

    def draw(self, count: int, generator: Generator) -> Tensor:
        """That many independent values."""
        z = torch.randn(count, generator=generator, dtype=torch.float64)
        return z * self.std + self.mean

    def __str__(self) -> str:
        return f"N({self.mean:.2g}, {self.std:.4g}²)"


@dataclass(frozen=True)
class TruncatedNormal:
    """N(mean, scale²), redrawn where it is more than ``cut`` scales from the mean."""

    scale: float
    cut: float = 2.0
    mean: float = 0.0

    @property
    def std(self) -> float:
        """Smaller than the scale: 0.8796 times at a cut of 2."""
        return self.scale * math.sqrt(_cut_variance(self.cut))

    @property
    def kurtosis(self) -> float:
        """Below 3, the tails being gone."""
        # By parts: E z⁴ = 3 E z² − 2c³φ(c)/Z.
        variance = _cut_variance(self.cut)
        fourth = 3 * variance - 2 * self.cut**3 * _density(self.cut) / _inside(self.cut)
        return fourth / variance**2

    def below(self, x: Tensor) -> Tensor:
        """Probability of a value below."""
        z = (x - self.mean) / self.scale
        outside = math.erfc(self.cut / math.sqrt(2)) / 2
        probability: Tensor = (torch.special.ndtr(z) - outside) / _inside(self.cut)
        return probability.clamp(0, 1)

    def above(self, x: Tensor) -> Tensor:
        """Probability of a value above."""
        return self.below(2 * self.mean - x)

    def draw(self, count: int, generator: Generator) -> Tensor:
        """That many independent values, by inverting the distribution function."""
        u = torch.rand(count, generator=generator, dtype=torch.float64)
        outside = math.erfc(self.cut / math.sqrt(2)) / 2
        z: Tensor = torch.special.ndtri(outside + u * _inside(self.cut))
        return z * self.scale + self.mean

    def __str__(self) -> str:
        return f"N({self.mean:.2g}, {self.scale:.4g}²) cut at ±{self.cut:.3g}σ"


def truncation_of(ratio: float) -> float:
    """The cut, in scales, of a truncated normal whose bound is ``ratio`` standard deviations away.

    Parameters
    ----------
    ratio
        Above √3, which is the limit of a narrow cut, where the distribution becomes uniform.

    Returns
    -------
    float
        The cut.

    Examples
    --------
    >>> round(truncation_of(2 / 0.8796257), 4)
    2.0
    """
    low, high = 1e-3, ratio  # the std is at most the scale, so the cut is at most the ratio
    for _ in range(60):  # bisection: cut / std(cut) grows with the cut
        middle = (low + high) / 2
        if middle / math.sqrt(_cut_variance(middle)) < ratio:
            low = middle
        else:
            high = middle
    return low


def _density(x: float) -> float:
    return math.exp(-x * x / 2) / math.sqrt(2 * math.pi)


def _inside(cut: float) -> float:
    """Probability that a normal value lies within the cut."""
    return math.erf(cut / math.sqrt(2))


def _cut_variance(cut: float) -> float:
    """Variance of a unit normal value within the cut: 1 − 2cφ(c)/Z."""
    if cut < 0.05:  # the difference cancels; a narrow cut is uniform to fourth order
        return cut * cut / 3
    return 1 - 2 * cut * _density(cut) / _inside(cut)

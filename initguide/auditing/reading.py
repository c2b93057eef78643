"""One tensor read in pieces: its moments and extremes from all values, its shape from a sample."""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

__all__ = ["CHUNK", "SAMPLE", "Summary", "flat_chunks", "read"]

CHUNK = 1 << 18
"""Values read at a time: a megabyte in float32, which stays in a processor's cache."""

SAMPLE = 1 << 16
"""Values kept for the tests of shape.

With these a Kolmogorov-Smirnov distance of 0.011 is told from 0. More would tell a draw in bfloat16
from the distribution that it rounds, whose steps are up to 0.002 high.
"""


@dataclass(frozen=True, eq=False)
class Summary:
    """What was read of a tensor.

    Attributes
    ----------
    count
        How many values it has.
    mean, std
        Of all values, each 0 or more; NaN where some are not finite.
    low, high
        The smallest and the largest.
    zeros
        How many are exactly 0.
    first_zero, last_zero
        Where the first and the last 0 is, counted through memory; −1 without one.
    denormal
        How many are not 0 and smaller than the smallest normal number of single precision.
    not_finite
        How many are infinite or NaN.
    sample
        In double precision, in the order of memory: all finite values, or `SAMPLE` of them.
    sampled, distinct
        How many values the sample had, and how many different ones.
    rounding
        Relative spacing of the numbers of its type.
    dtype
        Its type.
    """

    count: int
    mean: float
    std: float
    low: float
    high: float
    zeros: int
    first_zero: int
    last_zero: int
    denormal: int
    not_finite: int
    sample: Tensor
    sampled: int
    distinct: int
    rounding: float
    dtype: torch.dtype

    @property
    def largest(self) -> float:
        """The largest magnitude."""
        return max(abs(self.low), abs(self.high))


def flat_chunks(tensor: Tensor) -> tuple[Tensor, ...]:
    """Views of a tensor's values in the order of memory, at most `CHUNK` in each.

    A tensor whose memory has holes, as a slice of another, is copied once; all others are not.
    """
    return tuple(_flat(tensor).split(CHUNK))


def _flat(tensor: Tensor) -> Tensor:
    tensor = tensor.detach()
    if tensor.is_complex():
        tensor = torch.view_as_real(tensor)
    # Transposed and channels-last tensors are contiguous in another order of their dimensions, and
    # no test here minds the order.
    strides = tensor.stride()
    order = sorted(range(tensor.ndim), key=lambda dimension: -strides[dimension])
    return tensor.permute(order).reshape(-1)


def read(tensor: Tensor) -> Summary:
    """Read a tensor of floating-point or complex numbers once, in pieces.

    Parameters
    ----------
    tensor
        With at least one value, on a device that holds numbers.

    Returns
    -------
    Summary
        Moments, extremes and counts from all values; a sample for the tests of shape.
    """
    flat = _flat(tensor)
    total, mean, squares = 0, 0.0, 0.0
    low, high = math.inf, -math.inf
    zeros = denormal = not_finite = 0
    first_zero = last_zero = -1
    smallest = torch.finfo(torch.float32).tiny
    for start, chunk in zip(range(0, flat.numel(), CHUNK), flat.split(CHUNK), strict=True):
        values = chunk.float() if chunk.dtype.itemsize < 4 else chunk
        small = values.abs() < smallest
        if int(small.sum()):
            places = (values == 0).nonzero()
            if len(places):
                last_zero = start + int(places[-1])
                first_zero = start + int(places[0]) if first_zero < 0 else first_zero
            zeros += len(places)
            denormal += int(small.sum()) - len(places)
        least, most = (float(x) for x in torch.aminmax(values))
        if not (math.isfinite(least) and math.isfinite(most)):
            finite = values.isfinite()
            not_finite += len(values) - int(finite.sum())
            continue
        # Chan, Golub & LeVeque: moments of the parts give those of the whole.
        variance, middle = (float(x) for x in torch.var_mean(values, correction=0))
        number, shift = len(values), middle - mean
        total += number
        mean += shift * number / total
        squares += variance * number + shift * shift * number * (total - number) / total
        low, high = min(low, least), max(high, most)
    broken = not_finite > 0
    sample = _sample(flat)
    sample = sample[sample.isfinite()]
    return Summary(
        count=flat.numel(),
        mean=math.nan if broken else mean,
        std=math.nan if broken else math.sqrt(squares / max(total - 1, 1)),
        low=math.nan if broken else low,
        high=math.nan if broken else high,
        zeros=zeros,
        first_zero=first_zero,
        last_zero=last_zero,
        denormal=denormal,
        not_finite=not_finite,
        sample=sample,
        sampled=len(sample),
        distinct=len(sample.unique()),
        rounding=torch.finfo(flat.dtype).eps,
        dtype=tensor.dtype,
    )


def _sample(flat: Tensor) -> Tensor:
    if flat.numel() <= SAMPLE:
        return flat.to("cpu", torch.float64)
    # One value from each of SAMPLE equal stretches: no value twice, which would spoil the tests,
    # and no constant step, which could meet the same column of a matrix each time.
    generator = torch.Generator().manual_seed(0)
    places = torch.arange(SAMPLE) + torch.rand(SAMPLE, generator=generator, dtype=torch.float64)
    index = (places * (flat.numel() / SAMPLE)).long().clamp_(max=flat.numel() - 1)
    return flat[index.to(flat.device)].to("cpu", torch.float64)

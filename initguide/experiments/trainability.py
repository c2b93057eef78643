"""Maps of what trains: a tiny network for each pair of initial scale and learning rate."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812  torch's own idiom
from numpy.typing import ArrayLike, NDArray
from torch import Tensor, nn

from initguide.arguments import check_whole
from initguide.experiments.roughness import border, pixels_per_box
from initguide.training import fit_many

__all__ = ["TrainabilityMap", "trainability_map"]

# The loss near the border oscillates, so the verdict is about a mean over this many last steps.
LAST = 20
# A loss that has grown by this factor counts as this, so that one that overflowed has a number.
LOST = 1e6


@dataclass(frozen=True, eq=False)
class TrainabilityMap:
    """Which networks learnt: what `trainability_map` returns.

    Attributes
    ----------
    scales
        (S,) factors of the initial weights.
    learning_rates
        (R,) learning rates.
    losses
        (steps, S, R) float32: the loss of each network before each step. The first must not be
        negative, since the later ones are divided by it.

    Raises
    ------
    ValueError
        If a first loss is negative.
    """

    scales: NDArray[np.float64]
    learning_rates: NDArray[np.float64]
    losses: NDArray[np.float32]

    def __post_init__(self) -> None:
        first = self.losses[0]
        if (first < 0).any():
            raise ValueError(
                f"losses start with {first[first < 0][0]:g}; the verdict is about later losses "
                "divided by the first one, so the loss must not be negative at the start: add a "
                "constant to it"
            )

    @property
    def converged(self) -> NDArray[np.bool_]:
        """(S, R) whether the mean of the last 20 losses is below the first loss.

        The criterion of Sohl-Dickstein (2024, arXiv:2402.06184). Everything else diverged, also
        what starts with a loss that is not finite, or that no loss can be below: 0.
        """
        return np.asarray(self._relative()[-LAST:].mean(0) < 1)

    @property
    def speed(self) -> NDArray[np.float64]:
        """(S, R) how fast each network converged or diverged, by rank.

        Of those that converged, from just below 0, the slowest, to -1; of those that diverged, from
        just above 0 to 1. Slow is, as in the same paper, a large sum of the losses divided by the
        first one for a network that converged, and of the inverses for one that diverged. Networks
        that are equally fast share the mean of their ranks.
        """
        relative, converged = self._relative(), self.converged
        speed = np.empty(converged.shape)
        for those, sign, power in ((converged, -1, 1), (~converged, 1, -1)):
            sums = (relative[:, those] ** power).sum(0)
            _, group, sizes = np.unique(sums, return_inverse=True, return_counts=True)
            # Ranks from 0 on; a tie gets their mean. (scipy.stats would take a second to import.)
            ranks = (sizes.cumsum() - (sizes + 1) / 2)[group]
            speed[those] = sign * (1 - ranks / max(1, len(ranks)))
        return speed

    def richest(self, parts: int = 32) -> tuple[tuple[float, float], tuple[float, float]]:
        """Where to look closer: the part of the map that holds most of the border.

        Parameters
        ----------
        parts
            Into how many parts each side is divided, at least 1. It must divide both sides of the
            map.

        Returns
        -------
        tuple
            The ends of its scales, and the ends of its learning rates.

        Raises
        ------
        ValueError
            If ``parts`` is no whole number that divides the sides, the map is not as wide as it is
            high, or it has no border: all of its networks converged, or none did.
        """
        parts = check_whole("parts", parts, 1)
        side = len(self.scales)
        if len(self.learning_rates) != side or side % parts:
            raise ValueError(
                f"parts is {parts}, and the map has {side} scales and {len(self.learning_rates)} "
                "learning rates; it needs as many of both, and a number that divides them"
            )
        edge = border(self.converged)
        if not edge.any():
            raise ValueError(
                f"{'all' if self.converged.all() else 'none'} of the networks of this map "
                "converged, so it has no border to look at; take a wider range of learning rates"
            )
        size = side // parts
        # The last row and column never belong to the border, so no part of a single point wins.
        counts = pixels_per_box(edge, size)
        corner = divmod(int(counts.argmax()), parts)
        # An axis is a list of points, not of edges, so the last part ends at the last point.
        of_scales, of_rates = (
            (float(axis[i * size]), float(axis[min((i + 1) * size, side - 1)]))
            for i, axis in zip(corner, (self.scales, self.learning_rates), strict=True)
        )
        return of_scales, of_rates

    def _relative(self) -> NDArray[np.float32]:
        first = self.losses[0]
        # Against a first loss of 0, any other has grown beyond measure; one that is not finite is
        # lost from the start.
        measurable = np.isfinite(first) & (first != 0)
        still = np.where(self.losses == 0, np.float32(1), np.float32(LOST))
        divisor = np.where(measurable, first, np.float32(1))
        relative = np.fmin(self.losses, LOST * divisor) / divisor  # NaN counts as LOST
        return np.asarray(
            np.where(measurable, relative, np.where(first == 0, still, np.float32(LOST)))
        )


def trainability_map(
    model: nn.Module,
    inputs: Tensor,
    targets: Tensor,
    *,
    scales: ArrayLike,
    learning_rates: ArrayLike,
    steps: int,
    loss: Callable[[Tensor, Tensor], Tensor] = F.cross_entropy,
    dtype: torch.dtype | None = None,
) -> TrainabilityMap:
    """Train one network for each pair of initial scale and learning rate, all of them together.

    All networks start from the model's own parameters, times a scale, and each takes steps of
    gradient descent on all data. Nothing is random. For tiny networks: 65,536 of some hundred
    parameters take a minute or two (see `initguide.training.fit_many`); larger ones belong into
    `initguide.sweep`.

    Parameters
    ----------
    model
        What is trained, with its weights for scale 1. It is left as it was.
    inputs, targets
        (N, …) the data.
    scales
        (S,) factors of all parameters, finite and above 0.
    learning_rates
        (R,) learning rates, above 0.
    steps
        How many steps, at least 20.
    loss
        Function of outputs and targets that gives their mean loss, not negative at the start.
    dtype
        Of the numbers to train with, such as `torch.float64`; the model's own if ``None``. Scales
        and learning rates are rounded to it, too, so a map that was zoomed far into needs 64 bits.

    Returns
    -------
    TrainabilityMap
        The losses, with the verdict on each network.

    Raises
    ------
    ValueError
        If ``steps`` is no whole number or below 20, an axis is empty or no list of numbers, two
        neighbours on it are one number when rounded to ``dtype``, a scale is not finite and above
        0, a first loss is negative, or `fit_many` refuses the model, the data or a learning rate.

    Examples
    --------
    For one weight w and the loss w², a step multiplies w by 1 - 2 · rate: it grows from rate 1 on,
    whatever the scale.

    >>> line, x = nn.Linear(1, 1, bias=False), torch.ones(1, 1)
    >>> found = trainability_map(
    ...     line, x, 0 * x, scales=[0.1, 10], learning_rates=[0.5, 0.99, 1.01], steps=50,
    ...     loss=F.mse_loss)
    >>> found.converged
    array([[ True,  True, False],
           [ True,  True, False]])
    """
    if check_whole("steps", steps, 1) < LAST:
        raise ValueError(
            f"steps is {steps}; the verdict is about the last {LAST}, so give at least as many"
        )
    start = {name: p.detach() for name, p in model.named_parameters()}
    numbers = dtype or next((p.dtype for p in start.values()), torch.float32)
    s, r = _axis("scales", scales, numbers), _axis("learning_rates", learning_rates, numbers)
    rounded = torch.tensor(s).to(numbers)
    if not ((rounded > 0) & rounded.isfinite()).all():
        bad = s[~((rounded > 0) & rounded.isfinite()).numpy()][0]
        raise ValueError(f"scales has {bad:g}; a scale must be finite and above 0 ({numbers})")
    # All pairs in one row, of which the learning rate changes first: `reshape` below relies on it.
    factors = rounded.repeat_interleave(len(r))
    # Products are taken in the numbers of the training, or scales that lie close would become one.
    start = {
        name: p.to(dtype or p.dtype)
        * factors.to(p.device, dtype or p.dtype).view(-1, *[1] * p.ndim)
        for name, p in start.items()
    }
    as_trained = [x.to(dtype) if dtype and x.is_floating_point() else x for x in (inputs, targets)]
    fits = fit_many(
        model,
        start,
        *as_trained,
        steps=steps,
        learning_rate=torch.tensor(np.tile(r, len(s))),
        loss=loss,
    )
    return TrainabilityMap(s, r, fits.losses.reshape(steps, len(s), len(r)))


def _axis(
    name: str, given: ArrayLike | Sequence[float], numbers: torch.dtype
) -> NDArray[np.float64]:
    axis = np.asarray(given, np.float64)
    if axis.ndim != 1 or not len(axis):
        raise ValueError(f"{name} has shape {axis.shape}; give a list of at least one number")
    rounded = torch.tensor(axis).to(numbers)
    if (same := rounded[1:] == rounded[:-1]).any():
        i = int(same.int().argmax())
        raise ValueError(
            f"{name} has the neighbours {axis[i]!s} and {axis[i + 1]!s}, which are one number in "
            f"{numbers}; give values that lie further apart, or train with more bits: dtype="
            "torch.float64"
        )
    return axis

"""Maps of what trains: a tiny network for each pair of initial scale and learning rate."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812  torch's own idiom
from numpy.typing import ArrayLike, NDArray
from torch import Tensor, nn

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
        (steps, S, R) float32: the loss of each network before each step.
    """

    scales: NDArray[np.float64]
    learning_rates: NDArray[np.float64]
    losses: NDArray[np.float32]

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
        first one for a network that converged, and of the inverses for one that diverged.
        """
        relative, converged = self._relative(), self.converged
        speed = np.empty(converged.shape)
        for those, sign, power in ((converged, -1, 1), (~converged, 1, -1)):
            ranks = (relative[:, those] ** power).sum(0).argsort().argsort()
            speed[those] = sign * (1 - ranks / max(1, len(ranks)))
        return speed

    def richest(self, parts: int = 32) -> tuple[tuple[float, float], tuple[float, float]]:
        """Where to look closer: the part of the map that holds most of the border.

        Parameters
        ----------
        parts
            Into how many parts each side is divided. It must divide both sides of the map.

        Returns
        -------
        tuple
            The ends of its scales, and the ends of its learning rates.

        Raises
        ------
        ValueError
            If ``parts`` does not divide the sides, or the map is not as wide as it is high.
        """
        side = len(self.scales)
        if len(self.learning_rates) != side or side % parts:
            raise ValueError(
                f"parts is {parts}, and the map has {side} scales and {len(self.learning_rates)} "
                "learning rates; it needs as many of both, and a number that divides them"
            )
        size = side // parts
        counts = pixels_per_box(border(self.converged), size)
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
        (S,) factors of all parameters.
    learning_rates
        (R,) learning rates, above 0.
    steps
        How many steps, at least 20.
    loss
        Function of outputs and targets that gives their mean loss.
    dtype
        Of the numbers to train with, such as `torch.float64`; the model's own if ``None``. The
        start is computed in the model's own first, so with another one the same networks are
        trained with other rounding.

    Returns
    -------
    TrainabilityMap
        The losses, with the verdict on each network.

    Raises
    ------
    ValueError
        If ``steps`` is below 20, an axis is empty or no list of numbers, or `fit_many` refuses the
        model, the data or a learning rate.

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
    if steps < LAST:
        raise ValueError(
            f"steps is {steps}; the verdict is about the last {LAST}, so give at least as many"
        )
    s, r = _axis("scales", scales), _axis("learning_rates", learning_rates)
    start = {name: p.detach() for name, p in model.named_parameters()}
    # All pairs in one row, of which the learning rate changes first: `reshape` below relies on it.
    factors = torch.tensor(np.repeat(s, len(r)), dtype=torch.float32)
    start = {
        name: (p * factors.to(p).view(-1, *[1] * p.ndim)).to(dtype or p.dtype)
        for name, p in start.items()
    }
    as_trained = [x.to(dtype) if dtype and x.is_floating_point() else x for x in (inputs, targets)]
    fits = fit_many(
        model,
        start,
        *as_trained,
        steps=steps,
        learning_rate=torch.tensor(np.tile(r, len(s)), dtype=torch.float32),
        loss=loss,
    )
    return TrainabilityMap(s, r, fits.losses.reshape(steps, len(s), len(r)))


def _axis(name: str, given: ArrayLike | Sequence[float]) -> NDArray[np.float64]:
    axis = np.asarray(given, np.float64)
    if axis.ndim != 1 or not len(axis):
        raise ValueError(f"{name} has shape {axis.shape}; give a list of at least one number")
    return axis

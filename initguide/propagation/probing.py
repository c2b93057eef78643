"""How far each parameter can move an answer: a property of the network, not of the batch or labels.

The gradient of a loss over a batch is a sum over its answers. Where these want unrelated things, as
with labels drawn at random, the sum over N of them grows as √N only, so that a share of the loss
per answer shrinks as 1/√N. Here each probe asks about one answer alone. It is pushed along a random
direction of length 1, so that the mean square over probes is that over all numbers of the answers:
E‖∂(v·f)/∂w‖² = ‖∂f/∂w‖² / M for the M numbers of f, since E[v vᵀ] = 1 / M.
"""

import math
from collections.abc import Mapping

import torch
from torch import Tensor, nn

__all__ = ["directions", "sensitivities_of"]

_PASSES = 2  # backward passes at most


def directions(answers: Tensor, count: int, seed: int) -> list[Tensor] | None:
    """Choose what some answers are pushed along; one tensor for each backward pass.

    Answers that are pushed in one pass get directions that are orthogonal to each other, so that
    what they ask of the weights hardly adds up: not at all in a last layer that is linear.

    Parameters
    ----------
    answers
        Output of the model, (N, ...).
    count
        How many of the N answers to push at most; they are spread over the batch.
    seed
        Of the draws, which are made on the CPU, so that a seed means the same on every device.

    Returns
    -------
    list of Tensor, or None
        Of the shape of the answers, 0 but for those that are pushed; None if nothing can be.
    """
    if not count or not answers.numel() or not answers.requires_grad:
        return None
    number = answers.shape[0] if answers.ndim else 1
    size = answers.numel() // number
    pushed = min(count, number, _PASSES * size)
    at = torch.linspace(0, number - 1, pushed + 2)[1:-1].round().long().unique().tolist()
    generator = torch.Generator().manual_seed(seed)
    found = []
    for start in range(0, len(at), size):
        together = at[start : start + size]
        draws = torch.randn(size, len(together), generator=generator, dtype=torch.float64)
        vectors = torch.linalg.qr(draws).Q.T  # orthonormal
        probe = torch.zeros(number, size, dtype=torch.float64)
        probe[together] = vectors
        found.append(probe.reshape(answers.shape).to(answers))
    return found


def sensitivities_of(
    answers: Tensor, probes: list[Tensor], parameters: Mapping[str, nn.Parameter]
) -> dict[str, float]:
    """Root mean square, over the answers that are pushed, of ‖∂(v·f)/∂w‖ for each parameter.

    The graph is kept for the gradients of the loss.
    """
    trained = {name: p for name, p in parameters.items() if p.requires_grad}
    if not trained:
        return {}
    squares: dict[str, list[Tensor]] = {}
    pushed = sum(float(probe.double().square().sum()) for probe in probes)
    for probe in probes:
        found = torch.autograd.grad(
            answers, list(trained.values()), probe, retain_graph=True, allow_unused=True
        )
        for name, gradient in zip(trained, found, strict=True):
            if gradient is not None:
                values = gradient.coalesce().values() if gradient.is_sparse else gradient
                norm = torch.linalg.vector_norm(values, dtype=_wide(values))
                squares.setdefault(name, []).append(norm**2)
    return {name: math.sqrt(float(sum(parts)) / pushed) for name, parts in squares.items()}


def _wide(values: Tensor) -> torch.dtype:
    return torch.float64 if values.dtype == torch.float64 else torch.float32

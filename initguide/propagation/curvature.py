"""How curved the loss is at a model's weights."""

import torch
from torch import Tensor, nn
from torch.nn import functional

__all__ = ["sharpness"]


def sharpness(
    model: nn.Module, inputs: Tensor, targets: Tensor, *, iterations: int = 40, seed: int = 0
) -> float:
    """Largest eigenvalue, in absolute value, of the Hessian of a classifier's loss.

    The Hessian is the matrix of the second derivatives of the cross-entropy by the weights.
    Gradient descent on a parabola of curvature λ diverges if its rate is above 2/λ; how far that
    holds for networks is measured by Cohen et al. (2021, arXiv:2103.00065).

    A power iteration: products of the Hessian with a vector need no Hessian, and draw the vector
    towards the direction of the largest curvature.

    Parameters
    ----------
    model
        Takes ``inputs`` and gives class scores; used in the mode that it is in. All its parameters
        that are trained are varied; one that takes no part in the forward pass adds no curvature.
    inputs, targets
        (N, ...) and (N,) the batch, and its class numbers.
    iterations
        How many products, at least 1. Too few give too small a number.
    seed
        Of the first vector.

    Returns
    -------
    float
        At least 0; exactly 0 where the Hessian is 0, as with weights that change no score.

    Raises
    ------
    ValueError
        If ``iterations`` is below 1, or the model has no parameters that are trained.

    Examples
    --------
    With one weight, a score of w and one of 0, the loss is softplus(w), of curvature ¼ at w = 0:

    >>> from initguide.initializers import initialize
    >>> net = nn.Sequential(nn.Linear(1, 1, bias=False), nn.ZeroPad1d((1, 0)))
    >>> x, first = torch.ones(1, 1), torch.zeros(1, dtype=torch.long)
    >>> sharpness(initialize(net, "zeros"), x, first)
    0.25
    """
    if iterations < 1:
        raise ValueError(f"iterations is {iterations}; it must be at least 1")
    weights = [p for p in model.parameters() if p.requires_grad]
    if not weights:
        raise ValueError(f"{type(model).__name__} has no parameters that are trained to vary")
    with torch.enable_grad():
        loss = functional.cross_entropy(model(inputs), targets)
        if not loss.requires_grad:
            return 0.0  # no weight takes part
        slopes = torch.autograd.grad(loss, weights, create_graph=True, materialize_grads=True)
        slope = torch.cat([g.flatten() for g in slopes])
    if not slope.requires_grad:
        return 0.0  # the loss depends on something, such as the inputs, but on no weight
    # Drawn on the CPU, so that a seed means the same vector on every device.
    v = torch.randn(slope.shape, generator=torch.Generator().manual_seed(seed)).to(slope)
    for _ in range(iterations):
        length = v.norm()
        if length == 0:
            return 0.0  # no curvature in a random direction: there is none in any
        product = torch.autograd.grad(
            slope, weights, v / length, retain_graph=True, materialize_grads=True
        )
        v = torch.cat([p.flatten() for p in product])
    # v had length 1 before the last product, so this is by how much the Hessian stretches it.
    return float(v.norm())

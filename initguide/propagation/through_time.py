"""How much of a gradient is left after it has gone back through the steps of a recurrent layer."""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

__all__ = ["gradients_through_time"]


def gradients_through_time(
    layer: nn.RNNBase, inputs: Tensor, *, seed: int = 0
) -> NDArray[np.float64]:
    """Root mean square of the gradient in the last state, in the one before, and so on back.

    The gradient in the last state is drawn from N(0, 1), so the first number is about 1, and the
    others are shares of it. Only the states hand it back: no output of an earlier step has a loss.
    For an LSTM the state is the cell.

    Parameters
    ----------
    layer
        An ``nn.RNN``, ``nn.LSTM`` or ``nn.GRU`` in one direction; used in the mode that it is in.
    inputs
        (N, steps, features), or (steps, N, features) if the layer is not ``batch_first``.
    seed
        Of the gradient in the last state.

    Returns
    -------
    NDArray
        (steps,) the last state's first.

    Raises
    ------
    ValueError
        If the layer reads in both directions, or ``inputs`` has other than three dimensions or no
        steps.

    Examples
    --------
    Without weights, the forget gates of an LSTM are ½, and each step halves its cell:

    >>> from initguide.initializers import initialize
    >>> lstm = initialize(nn.LSTM(3, 100, batch_first=True), "zeros")
    >>> found = gradients_through_time(lstm, torch.zeros(5, 4, 3))
    >>> (found / found[0]).tolist()
    [1.0, 0.5, 0.25, 0.125]
    """
    if layer.bidirectional:
        raise ValueError(
            f"the {type(layer).__name__} is bidirectional; there is no last state of all, so give "
            "a layer that reads in one direction"
        )
    steps = 1 if layer.batch_first else 0
    if inputs.ndim != 3 or not inputs.shape[steps]:
        raise ValueError(
            f"inputs has shape {tuple(inputs.shape)}; it must be (N, steps, features), or (steps, "
            "N, features) if the layer is not batch_first, with at least one step"
        )
    state, states = None, []
    with torch.enable_grad():
        for now in inputs.split(1, dim=steps):
            _, state = layer(now, state)
            # The cell leads to the hidden state as well, but not the other way within a step.
            kept = state[1] if isinstance(layer, nn.LSTM) else state
            states.append(kept.requires_grad_())  # also where no weight is trained
        # Drawn on the CPU, so that a seed means the same gradient on every device.
        last = torch.randn(kept.shape, generator=torch.Generator().manual_seed(seed)).to(kept)
        gradients = torch.autograd.grad(kept, states, last)
    return np.array([g.double().square().mean().sqrt().item() for g in reversed(gradients)])

"""How much of a gradient is left after it has gone back through the steps of a recurrent layer."""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

__all__ = ["gradients_through_time"]


def gradients_through_time(
    layer: nn.RNNBase, inputs: Tensor, *, seed: int = 0
) -> NDArray[np.float64]:
    """Root mean square of the gradient in the last state, in the one before, and so on back.

    The gradient in the last state is drawn from N(0, 1), so the first number is about 1, and the
    others are shares of it. Only the states hand it back: no output of an earlier step has a loss.
    For an LSTM the state is the cell, and the gradient comes back by every way: from cell to cell,
    and from the cell to the hidden state and through the weights into the next cell.

    Parameters
    ----------
    layer
        An ``nn.RNN``, ``nn.LSTM`` or ``nn.GRU`` of one layer, in one direction, without projection.
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
    TypeError
        If ``layer`` is none of the three.
    ValueError
        If the layer has several layers, a projection or two directions, or ``inputs`` has other
        than three dimensions or no steps.

    Examples
    --------
    Without weights, the forget gates of an LSTM are ½, and each step halves its cell:

    >>> from initguide.initializers import initialize
    >>> lstm = initialize(nn.LSTM(3, 100, batch_first=True), "zeros")
    >>> found = gradients_through_time(lstm, torch.zeros(5, 4, 3))
    >>> (found / found[0]).tolist()
    [1.0, 0.5, 0.25, 0.125]
    """
    if not isinstance(layer, nn.RNN | nn.LSTM | nn.GRU):
        raise TypeError(
            f"layer is of type {type(layer).__name__}; it must be an nn.RNN, nn.LSTM or nn.GRU"
        )
    if layer.bidirectional or layer.num_layers > 1 or layer.proj_size:
        raise ValueError(
            f"layer is {layer}; it must have one layer and one direction, and no projection: only "
            "then is there one state from which the gradient comes back"
        )
    steps = 1 if layer.batch_first else 0
    if inputs.ndim != 3 or not inputs.shape[steps]:
        raise ValueError(
            f"inputs has shape {tuple(inputs.shape)}; it must be (N, steps, features), or (steps, "
            "N, features) if the layer is not batch_first, with at least one step"
        )
    states: list[Tensor] = []
    with torch.enable_grad():
        for kept in _states(layer, inputs.unbind(steps)):
            states.append(kept.requires_grad_())  # also where no weight is trained
        # Drawn on the CPU, so that a seed means the same gradient on every device.
        last = torch.randn(kept.shape, generator=torch.Generator().manual_seed(seed)).to(kept)
        gradients = torch.autograd.grad(kept, states, last)
    return np.array([g.double().square().mean().sqrt().item() for g in reversed(gradients)])


def _states(layer: nn.RNN | nn.LSTM | nn.GRU, rows: Sequence[Tensor]) -> Iterator[Tensor]:
    """The states of a layer, from each of which all that follows is computed."""
    if not isinstance(layer, nn.LSTM):
        state = None
        for row in rows:
            _, state = layer(row.unsqueeze(1 if layer.batch_first else 0), state)
            yield state
        return
    # The cell that nn.LSTM returns is not the one that its hidden state was computed from, so the
    # step is written out. The order of the gates is torch's: input, forget, cell, output.
    hidden = cell = rows[0].new_zeros(len(rows[0]), layer.hidden_size)

    def own(name: str) -> Any:
        return getattr(layer, f"{name}_l0")  # as an attribute: it may be parametrized

    biases = (own("bias_ih"), own("bias_hh")) if layer.bias else (None, None)
    for row in rows:
        gates = functional.linear(row, own("weight_ih"), biases[0])
        gates = gates + functional.linear(hidden, own("weight_hh"), biases[1])
        let_in, kept, new, shown = gates.chunk(4, dim=-1)
        cell = kept.sigmoid() * cell + let_in.sigmoid() * new.tanh()
        yield cell
        hidden = shown.sigmoid() * cell.tanh()

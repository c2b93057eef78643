"""Gradients through time, against layers whose states are known."""

import math

import numpy as np
import pytest
import torch
from torch import nn

from initguide.initializers import initialize
from initguide.propagation import gradients_through_time

STEPS = 12


def set_bias(layer, gate, bias):
    """Zeros everywhere but in the bias of one gate."""
    initialize(layer, "zeros")
    n = layer.hidden_size
    with torch.no_grad():
        layer.bias_ih_l0[gate * n : (gate + 1) * n] = bias
    return layer


@pytest.mark.parametrize(("kind", "gate"), [("LSTM", 1), ("GRU", 1)])
@pytest.mark.parametrize("batch_first", [True, False])
def test_a_gate_keeps_a_share(kind, gate, batch_first):
    """Forget gate of an LSTM's cell, update gate of a GRU: σ(b)ᵗ where there are no weights."""
    layer = set_bias(getattr(nn, kind)(3, 8, batch_first=batch_first), gate, math.log(4))
    x = torch.randn(5, STEPS, 3) if batch_first else torch.randn(STEPS, 5, 3)
    found = gradients_through_time(layer, x)
    assert found / found[0] == pytest.approx(0.8 ** np.arange(STEPS), rel=1e-5)


def test_it_is_the_derivative_by_the_states():
    """A plain network with inputs, against the product of its Jacobians."""
    torch.manual_seed(0)
    layer = nn.RNN(3, 4, batch_first=True).double()
    x = torch.randn(1, STEPS, 3, dtype=torch.float64)
    h, w = layer(x)[0][0], layer.weight_hh_l0.detach()
    gradient = torch.randn(1, 1, 4, generator=torch.Generator().manual_seed(3))[0, 0].double()
    expected = [gradient]
    for state in h.detach().flip(0)[:-1]:
        gradient = w.T @ ((1 - state**2) * gradient)
        expected.append(gradient)
    with torch.no_grad():  # the caller's mode does not matter
        found = gradients_through_time(layer, x, seed=3)
    assert found == pytest.approx(torch.stack(expected).square().mean(1).sqrt().numpy())


def test_the_layer_stays_as_it_was():
    """No gradient is left, and weights that are not trained do not matter."""
    layer, x = nn.GRU(3, 4, batch_first=True), torch.randn(2, STEPS, 3)
    found = gradients_through_time(layer, x)
    assert found.shape == (STEPS,)
    assert all(p.grad is None for p in layer.parameters())
    assert gradients_through_time(layer.requires_grad_(False), x) == pytest.approx(found)
    assert not any(p.requires_grad for p in layer.parameters())


def test_what_has_no_last_state_is_refused():
    """Several layers, two directions, a projection, no batch, no steps; what is no such layer."""
    for more in ({"bidirectional": True}, {"num_layers": 2}, {"proj_size": 2}):
        with pytest.raises(
            ValueError, match=r"layer is LSTM\(.*\); it must have one layer and one"
        ):
            gradients_through_time(nn.LSTM(3, 4, **more), torch.zeros(2, 5, 3))
    with pytest.raises(TypeError, match=r"layer is of type LSTMCell; it must be an nn\.RNN"):
        gradients_through_time(nn.LSTMCell(3, 4), torch.zeros(2, 5, 3))
    for shape in ((5, 3), (2, 0, 3)):
        with pytest.raises(ValueError, match=r"inputs has shape .*at least one step"):
            gradients_through_time(nn.RNN(3, 4, batch_first=True), torch.zeros(shape))


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("kind", ["RNN", "GRU", "LSTM"])
def test_it_is_the_derivative_through_cells(kind, bias):
    """Against torch's cells with the same random weights, by every way from state to state."""
    torch.manual_seed(1)
    layer = getattr(nn, kind)(3, 6, bias=bias, batch_first=True).double()
    cell = getattr(nn, f"{kind}Cell")(3, 6, bias=bias).double()
    cell.load_state_dict({k.removesuffix("_l0"): v * 3 for k, v in layer.state_dict().items()})
    layer.load_state_dict({k: v * 3 for k, v in layer.state_dict().items()})
    x = torch.randn(5, STEPS, 3, dtype=torch.float64)
    state, states = None, []
    for row in x.unbind(1):
        state = cell(row, state)
        states.append(state[1] if kind == "LSTM" else state)
    shape = states[-1].shape
    last = torch.randn(shape, generator=torch.Generator().manual_seed(2)).double()
    expected = [
        g.square().mean().sqrt().item() for g in torch.autograd.grad(states[-1], states, last)
    ]
    assert gradients_through_time(layer, x, seed=2) == pytest.approx(expected[::-1])


def test_parametrized_weights():
    """A recurrent matrix that torch computes from others is taken as it is computed."""
    layer, x = nn.LSTM(3, 6, batch_first=True), torch.randn(2, STEPS, 3)
    plain = gradients_through_time(layer, x)
    nn.utils.parametrizations.weight_norm(layer, "weight_hh_l0")
    assert gradients_through_time(layer, x) == pytest.approx(plain, rel=1e-4)

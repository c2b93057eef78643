"""Compiled steps against formulas in NumPy, and their random bits against torch's."""

import math

import numpy as np
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Generator, nn
from training_networks import needs_compiler

from initguide.models import mlp
from initguide.training import engine
from initguide.training.engine import connected, library


def _by_numpy(weights, biases, images, labels, masks, *, batch, optimizer, rate, relu):
    """Train in float64, by formulas that are written down anew: the parameters and the losses."""
    parameters = [np.float64(p) for pair in zip(weights, biases, strict=True) for p in pair]
    moments = [(np.zeros_like(p), np.zeros_like(p)) for p in parameters]
    losses = []
    starts = range(0, len(images), batch)
    for step, (start, drawn) in enumerate(zip(starts, masks, strict=True), start=1):
        x, y = np.float64(images[start : start + batch]), labels[start : start + batch]
        hidden = [x]
        for weight, bias, mask in zip(parameters[:-2:2], parameters[1:-2:2], drawn, strict=True):
            z = hidden[-1] @ weight.T + bias
            hidden.append((np.maximum(z, 0) if relu else z) * mask)
        scores = hidden[-1] @ parameters[-2].T + parameters[-1]
        logs = scores - np.logaddexp.reduce(scores, axis=1, keepdims=True)
        chances = np.exp(logs)
        losses.append(-logs[np.arange(len(y)), y].mean())
        grad = (chances - np.eye(scores.shape[1])[y]) / len(y)
        grads = []
        for layer in range(len(weights) - 1, -1, -1):
            grads[:0] = [grad.T @ hidden[layer], grad.sum(0)]
            if layer:
                grad = grad @ parameters[2 * layer] * drawn[layer - 1]
                if relu:
                    grad = grad * (hidden[layer] != 0)
        for p, (first, second), g in zip(parameters, moments, grads, strict=True):
            if optimizer == "adam":
                first[:] = 0.9 * first + 0.1 * g
                second[:] = 0.999 * second + 0.001 * g**2
                size = np.sqrt(second / (1 - 0.999**step)) + 1e-8
                p[:] -= rate * first / (1 - 0.9**step) / size
            else:
                first[:] = (0.9 if optimizer == "momentum" else 0) * first + g
                p[:] -= rate * first
    return parameters, losses


def _masks(generator, counts, widths, p):
    """Dropout masks of each mini-batch and layer, from torch's own generator."""
    dropped = round(p * 2**16)
    for count in counts:
        found = []
        for width in widths:
            if not p:
                found.append(np.ones((count, width)))
                continue
            words = torch.empty(math.ceil(count * width / 4), dtype=torch.int64)
            words.random_(-(2**63), None, generator=generator)
            bits = words.view(torch.int16)[: count * width].view(count, width).numpy()
            kept = bits.astype(np.int64) + 2**15 >= dropped
            found.append(kept * (2**16 / (2**16 - dropped)))
        yield found


@needs_compiler
@settings(deadline=None, max_examples=60)
@given(
    widths=st.lists(st.integers(1, 70), min_size=2, max_size=5),
    count=st.integers(1, 40),
    batch=st.integers(1, 25),
    p=st.sampled_from([0.0, 0.2, 0.75]),
    relu=st.booleans(),
    optimizer=st.sampled_from(["adam", "sgd", "momentum"]),
)
def test_steps_against_numpy(*, widths, count, batch, p, relu, optimizer):
    """Any widths, any mini-batches: the losses and parameters of formulas in float64."""
    generator = Generator().manual_seed(sum(widths) + count)
    model = mlp(widths, nn.ReLU if relu else nn.Identity, dropout=p)
    for parameter in model.parameters():
        spread = 1.5 / math.sqrt(parameter.shape[-1])
        parameter.data.uniform_(-spread, spread, generator=generator)
    images = torch.randn(count, widths[0], generator=generator)
    labels = torch.randint(widths[-1], (count,), generator=generator)
    linears = [module for module in model if isinstance(module, nn.Linear)]
    start = [linear.weight.detach().numpy().copy() for linear in linears]
    biases = [linear.bias.detach().numpy().copy() for linear in linears]
    network = engine.prepare(
        model, images, labels, batch_size=batch, optimizer=optimizer, learning_rate=0.01,
        masks=Generator().manual_seed(7),
    )  # fmt: skip
    found = network.steps(torch.arange(count))
    network.write_back()
    counts = [min(batch, count - start) for start in range(0, count, batch)]
    parameters, losses = _by_numpy(
        start, biases, images.numpy(), labels.numpy(),
        list(_masks(Generator().manual_seed(7), counts, widths[1:-1], p)),
        batch=batch, optimizer=optimizer, rate=0.01, relu=relu,
    )  # fmt: skip
    np.testing.assert_allclose(found, losses, rtol=1e-3, atol=1e-4)
    for linear, weight, bias in zip(linears, parameters[::2], parameters[1::2], strict=True):
        # Where a gradient is nearly 0, Adam makes a whole step of what is left by rounding.
        # (Where dropout at 0.75 makes the network explode, rounding grows with the parameters.)
        size = 1e-4 * max(1, np.abs(weight).max())
        off = [np.abs(linear.weight.detach().numpy() - weight) > size]
        off += [np.abs(linear.bias.detach().numpy() - bias) > size]
        assert np.concatenate([o.ravel() for o in off]).mean() <= (optimizer == "adam") * 0.02


@needs_compiler
@settings(deadline=None, max_examples=50)
@given(st.integers(0, 2**32 - 1), st.lists(st.integers(0, 900), max_size=6))
def test_random_bits_are_torchs(seed, counts):
    """To the last bit, however many are drawn at a time."""
    made = library._library()
    generator, state = Generator().manual_seed(seed), torch.empty(connected.GENERATOR).int()
    made.initguide_seed(state.data_ptr(), seed)
    for count in counts:
        ours = torch.empty(count, dtype=torch.int64)
        made.initguide_draw(state.data_ptr(), ours.data_ptr(), count)
        assert torch.equal(
            ours, torch.empty_like(ours).random_(-(2**63), None, generator=generator)
        )

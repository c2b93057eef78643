"""Whether what a compiler made gives PyTorch's numbers, tried on a small network."""

import math
from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F  # noqa: N812  torch's own idiom
from torch import Generator, Tensor

from initguide.training.engine.connected import Connected
from initguide.training.engine.layers import Layer
from initguide.training.optimizers import BETA_1, BETA_2, EPSILON, MOMENTUM
from initguide.training.processor import one_thread


def agrees(library: Any) -> bool:
    """Whether the compiled steps give what PyTorch gives, for a small network.

    It does not matter who asks: torch's defaults, modes and global generators are left alone.
    """
    # One thread, because a forked process waits for ever for threads that its parent had.
    with torch.inference_mode(mode=False), torch.autocast("cpu", enabled=False), one_thread():
        generator = Generator(device="cpu").manual_seed(0)

        def uniform(*shape: int) -> Tensor:
            numbers = torch.rand(shape, generator=generator, dtype=torch.float32, device="cpu")
            return numbers.mul_(0.6).sub_(0.3)

        # No case of the C file is left out: several panels, of which the last is not full (75), one
        # panel (10), and mini-batches of 15 and 10 images, which 6 rows at a time do not divide.
        layers = [
            Layer(uniform(75, 9), uniform(75), relu=True, dropout=0.25),
            Layer(uniform(20, 75), None, relu=True),
            Layer(uniform(10, 20), uniform(10)),
        ]
        images = uniform(40, 9)
        labels = torch.arange(40, device="cpu") % 10
        order = torch.randperm(40, generator=generator, device="cpu")
        spoilt = images.clone()
        spoilt[order[20], 2] = math.nan  # in the second mini-batch
        # Both: Adam would hide a gradient of the wrong size, and SGD does not use Adam's moments.
        # And once more, because some compilers may be told that there are no NaN.
        cases = (("momentum", 0.3, images), ("adam", 0.01, images), ("sgd", 0.3, spoilt))
        for optimizer, rate, pixels in cases:
            network = Connected(
                layers, library, pixels, labels, batch_size=15, optimizer=optimizer,
                learning_rate=rate, masks=Generator(device="cpu").manual_seed(1),
            )  # fmt: skip
            found = torch.cat([network.steps(order) for _ in range(3)])
            batches = order.split(15) * 3
            expected = _reference_losses(
                layers, pixels, labels, batches, optimizer=optimizer, rate=rate
            )
            if not torch.allclose(found, expected, rtol=1e-3, equal_nan=True):
                return False
        return True


def _reference_losses(
    layers: Sequence[Layer],
    images: Tensor,
    labels: Tensor,
    batches: Sequence[Tensor],
    *,
    optimizer: str,
    rate: float,
) -> Tensor:
    """Losses of PyTorch's operations; the layers are left as they were.

    The optimizers are written as their papers write them: `torch.optim` takes seconds to start.
    """
    masks = Generator(device="cpu").manual_seed(1)
    layers = [
        layer._replace(
            weight=layer.weight.clone().requires_grad_(),
            bias=None if layer.bias is None else layer.bias.clone().requires_grad_(),
        )
        for layer in layers
    ]
    weights = [p for layer in layers for p in layer.parameters]
    states = [(p, torch.zeros_like(p), torch.zeros_like(p)) for p in weights]
    losses = []
    for number, batch in enumerate(batches, start=1):
        x = images[batch]
        with torch.enable_grad():
            for layer in layers:
                x = F.linear(x, layer.weight, layer.bias)
                x = F.relu(x) if layer.relu else x
                if layer.dropout:
                    words = torch.empty(math.ceil(x.numel() / 4), dtype=torch.int64, device="cpu")
                    bits = words.random_(-(2**63), None, generator=masks).view(torch.int16)
                    kept = bits[: x.numel()].view(x.shape) >= layer.dropout * 2**16 - 2**15
                    x = x * kept / (1 - layer.dropout)
            loss = F.cross_entropy(x, labels[batch])
            grads = torch.autograd.grad(loss, weights)
        for (parameter, first, second), grad in zip(states, grads, strict=True):
            if optimizer == "adam":
                first.add_((1 - BETA_1) * (grad - first))
                second.add_((1 - BETA_2) * (grad**2 - second))
                size = second.div(1 - BETA_2**number).sqrt() + EPSILON
                parameter.data -= rate / (1 - BETA_1**number) * first / size
            else:
                first.mul_(MOMENTUM[optimizer]).add_(grad)
                parameter.data -= rate * first
        losses.append(loss.detach())
    return torch.stack(losses)

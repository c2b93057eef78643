"""A network in the memory of the C file, and the steps on it.

The structures and the layout of memory here are those of ``connected.c``, line for line.
"""

import ctypes
import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Generator, Tensor

from initguide.training.dropout import dropout_rule
from initguide.training.engine.layers import Layer
from initguide.training.optimizers import BETA_1, BETA_2, EPSILON, MOMENTUM

__all__ = ["Connected"]

NO_DROPOUT = -(2**31)
GENERATOR = 2 * 624 + 2  # the C file's `generator`, in numbers of 32 bits
# C cannot be interrupted. So many operations take a few tenths of a second, after which Python can
# notice Ctrl-C and ask `stop`.
OPERATIONS = 20_000_000_000


class _CLayer(ctypes.Structure):
    """`layer` of the C file."""

    _fields_ = (
        *((name, ctypes.c_int64) for name in ("inputs", "out", "width", "stride")),
        *((name, ctypes.c_int32) for name in ("relu", "dropped")),
        ("scale", ctypes.c_float),
        *((name, 3 * ctypes.c_void_p) for name in ("weight", "bias")),
        *((name, ctypes.c_void_p) for name in ("outputs", "grads", "turned", "bits")),
    )


class _CNetwork(ctypes.Structure):
    """`network` of the C file."""

    _fields_ = (
        *((name, ctypes.c_int64) for name in ("count", "pixels", "stride")),
        *((name, ctypes.c_void_p) for name in ("layers", "images", "labels", "inputs", "masks")),
        *((name, ctypes.c_int64) for name in ("adam", "steps")),
        *((name, ctypes.c_double) for name in ("rate", "momentum", "beta_1", "beta_2", "epsilon")),
        *((name, ctypes.c_float) for name in ("size", "whole")),
    )


class Connected:
    """A network that is trained by compiled steps. What comes in is not checked here.

    Parameters
    ----------
    layers
        The network's layers. `write_back` fills them with what was trained.
    library
        The compiled C file.
    images, labels
        Data that the network `takes`: (N, …) and (N,).
    batch_size
        Images in a mini-batch.
    optimizer
        ``"adam"``, ``"sgd"`` or ``"momentum"``.
    learning_rate
        Above 0.
    masks
        Where the dropout masks come from: a generator that has not drawn anything yet.

    Attributes
    ----------
    batches_at_once
        How many mini-batches take a few tenths of a second, at least 1.
    """

    def __init__(
        self,
        layers: Sequence[Layer],
        library: Any,
        images: Tensor,
        labels: Tensor,
        *,
        batch_size: int,
        optimizer: str,
        learning_rate: float,
        masks: Generator,
    ) -> None:
        self.library = library
        self.batch_size = min(batch_size, len(images))
        parameters = sum(layer.weight.numel() for layer in layers)
        # Per weight and image: 2 operations forward, and 2 for each of the two gradients.
        self.batches_at_once = max(1, OPERATIONS // (6 * parameters * self.batch_size))
        self.memory = [images, labels]  # kept alive: C knows their addresses alone
        self.layers_given = list(layers)
        self.panels: list[tuple[Tensor, Tensor]] = []  # weights and biases, as C lays them out
        self.layers = (_CLayer * len(layers))()
        below = 0  # the width of the layer below
        for layer, own in zip(layers, self.layers, strict=True):
            self._fill(own, layer, below)
            below = own.width
        pixels = layers[0].weight.shape[1]
        stride = _stride(pixels)
        self.network = _CNetwork(
            count=len(layers),
            pixels=pixels,
            stride=stride,
            layers=ctypes.addressof(self.layers),
            images=images.data_ptr(),
            labels=labels.data_ptr(),
            inputs=self._allocate(self.batch_size, stride),
            masks=self._allocate(GENERATOR),
            adam=optimizer == "adam",
            rate=learning_rate,
            momentum=MOMENTUM.get(optimizer, 0.0),
            beta_1=BETA_1,
            beta_2=BETA_2,
            epsilon=EPSILON,
        )
        library.initguide_seed(self.network.masks, masks.initial_seed())

    def steps(self, order: Tensor) -> Tensor:
        """Train on images of these numbers, (n,) int64; return each mini-batch's loss.

        Python's other threads go on meanwhile: ctypes lets go of the interpreter's lock.
        """
        losses = _zeros(math.ceil(len(order) / self.batch_size))
        order = order.contiguous()
        self.library.initguide_train(
            ctypes.addressof(self.network),
            order.data_ptr(),
            len(order),
            self.batch_size,
            losses.data_ptr(),
        )
        return losses

    @torch.no_grad()
    def write_back(self) -> None:
        """Fill the layers given with the parameters as they are now."""
        for layer, (weight, bias) in zip(self.layers_given, self.panels, strict=True):
            units = weight.transpose(1, 2).flatten(0, 1)
            layer.weight.copy_(units[: len(layer.weight)])
            if layer.bias is not None:
                layer.bias.copy_(bias[: len(layer.bias)])

    def _fill(self, own: _CLayer, layer: Layer, below: int) -> None:
        """Describe a layer to C, given the width of the panels of the layer below (0: none)."""
        lanes = self.library.initguide_lanes()
        own.out, own.inputs = layer.weight.shape
        vectors = math.ceil(own.out / lanes)
        # The C file has products that are 1, 2 and `VECTORS` vectors wide.
        own.width = lanes * (vectors if vectors <= 2 else self.library.initguide_vectors())
        panels = math.ceil(own.out / own.width)
        own.stride = _stride(panels * own.width)
        own.relu, own.dropped, own.scale = layer.relu, NO_DROPOUT, 1.0
        if layer.dropout:
            own.dropped, own.scale = dropout_rule(layer.dropout)
            # Room for whole draws of 64 bits, each of which decides about four units.
            own.bits = self._allocate(2 * math.ceil(self.batch_size * own.out / 4))
        own.outputs, own.grads = (self._allocate(self.batch_size, own.stride) for _ in range(2))
        if below:
            own.turned = self._allocate(math.ceil(own.inputs / below) * below * own.out)
        # (out, inputs) -> (panels, inputs, width): a product reads a panel from end to end.
        weights, biases = _zeros(panels * own.width, own.inputs), _zeros(panels * own.width)
        weights[: own.out] = layer.weight.detach()
        weights = weights.unflatten(0, (panels, own.width)).transpose(1, 2).contiguous()
        own.weight[:] = [weights.data_ptr(), *(self._allocate(weights.numel()) for _ in range(2))]
        # Without moments, C leaves the biases alone: 0, where the layer has none.
        own.bias[:] = [biases.data_ptr(), None, None]
        if layer.bias is not None:
            biases[: own.out] = layer.bias.detach()
            own.bias[1:] = [self._allocate(biases.numel()) for _ in range(2)]
        self.panels.append((weights, biases))

    def _allocate(self, *shape: int) -> int:
        """Make room for so many numbers of 32 bits, all 0, and return its address."""
        self.memory.append(_zeros(*shape))
        return self.memory[-1].data_ptr()


def _zeros(*shape: int) -> Tensor:
    """Memory that C understands, whatever torch's defaults are."""
    return torch.zeros(shape, dtype=torch.float32, device="cpu")


def _stride(numbers: int) -> int:
    """How far apart rows of so many numbers lie: an odd number of lines of the cache.

    At a power of two, all of them would meet in a few places of the cache.
    """
    lines = math.ceil(numbers / 16)
    return 16 * (lines + (lines + 1) % 2)

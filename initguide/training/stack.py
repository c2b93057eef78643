"""Networks of one shape, with one tensor for each parameter of all, computed by `torch.func`."""

import contextlib
import copy
import functools
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import cast

import torch
import torch.nn.functional as F  # noqa: N812  torch's own idiom
from torch import Generator, Tensor, nn
from torch.func import functional_call

from initguide.training.dropout import SeededDropout, StackedDropout

__all__ = ["StackWarning"]


class StackWarning(UserWarning):
    """The networks did not fit into memory together, and are trained in several parts."""


def warn_split(size: int) -> None:
    """Say that so many networks are trained in two parts."""
    warnings.warn(
        f"{size} networks do not fit into the memory of the device together; they are trained in "
        "two parts",
        StackWarning,
        stacklevel=4,
    )


class Stack:
    """Networks whose parameters are stacked.

    Parameters
    ----------
    model
        One like them; what it computes is what they compute, with their parameters.
    parameters
        Name -> (S, …) the parameters of all. They are trained in place.
    loss
        Function of one network's outputs and of the targets, that gives a number.
    masks
        Generators of the dropout masks, one for each network, or one for all.
    """

    def __init__(
        self,
        model: nn.Module,
        parameters: Mapping[str, Tensor],
        loss: Callable[[Tensor, Tensor], Tensor] = F.cross_entropy,
        masks: Sequence[Generator] = (),
    ) -> None:
        self.model = model
        self.parameters = {
            name: tensor.requires_grad_(tensor.is_floating_point())
            for name, tensor in parameters.items()
        }
        self.loss = loss
        self.masks = list(masks) * (len(self) if len(masks) == 1 else 1)
        self.dropouts = self._dropouts()

    @classmethod
    def of(cls, models: Sequence[nn.Module], masks: Sequence[Generator] = ()) -> "Stack":
        """Stack the parameters of networks, which are left as they are."""
        names = [name for name, _ in models[0].named_parameters()]
        stacked = {
            name: torch.stack([model.get_parameter(name).detach() for model in models])
            for name in names
        }
        # A copy, because its dropout layers get other forwards and its mode is changed.
        return cls(copy.deepcopy(models[0]), stacked, masks=masks)

    def losses(self, inputs: Tensor, targets: Tensor, *, shared: bool) -> Tensor:
        """Loss of each network, (S,).

        Parameters
        ----------
        inputs, targets
            (n, …) if they are shared, (S, n, …) otherwise.
        shared
            Whether all networks get the same.
        """
        each = None if shared else 0

        def one(parameters: dict[str, Tensor], x: Tensor, y: Tensor) -> Tensor:
            return self.loss(self._forward(parameters, x), y)

        return torch.vmap(one, in_dims=(0, each, each))(self.parameters, inputs, targets)

    def outputs(self, inputs: Tensor) -> Tensor:
        """Outputs of all networks for the same inputs, (S, n, …)."""
        return torch.vmap(self._forward, in_dims=(0, None))(self.parameters, inputs)

    def _forward(self, parameters: dict[str, Tensor], x: Tensor) -> Tensor:
        """Outputs of one network."""
        with self._stacked_dropout(next(iter(parameters.values())).detach()):
            return cast(Tensor, functional_call(self.model, parameters, (x,)))

    def __len__(self) -> int:
        return len(next(iter(self.parameters.values())))

    @property
    def device(self) -> torch.device:
        """Where the parameters are."""
        return next(iter(self.parameters.values())).device

    def write_back(self, models: Sequence[nn.Module]) -> None:
        """Copy the trained parameters into networks."""
        with torch.no_grad():
            for name, stacked in self.parameters.items():
                for model, own in zip(models, stacked, strict=True):
                    model.get_parameter(name).copy_(own)

    def keep(self, networks: Tensor) -> None:
        """Go on with these networks alone."""
        self.parameters = {
            name: tensor.detach()[networks].requires_grad_(tensor.requires_grad)
            for name, tensor in self.parameters.items()
        }
        self.masks = [self.masks[i] for i in networks.tolist()] if self.masks else []
        self.dropouts = self._dropouts()

    def _dropouts(self) -> list[SeededDropout]:
        layers = [m for m in self.model.modules() if type(m) is nn.Dropout and self.masks]
        return [SeededDropout(layer, self.masks) for layer in layers]

    @contextlib.contextmanager
    def _stacked_dropout(self, stacked: Tensor) -> Iterator[None]:
        # Under vmap, a layer sees the units of one network. torch would refuse to draw for it, or
        # draw for all networks from the one global generator.
        for dropout in self.dropouts:
            dropout.layer.forward = functools.partial(StackedDropout.apply, dropout, stacked)  # type: ignore[method-assign]
        try:
            yield
        finally:
            for dropout in self.dropouts:
                del dropout.layer.forward

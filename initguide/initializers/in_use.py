"""The fans of parameters that no layer holds, found from how a batch uses them."""

from collections.abc import Collection
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from initguide.initializers.fans import Fans
from initguide.initializers.matrices import Roles
from initguide.introspection import (
    arguments_of,
    check_kind,
    describe_arguments,
    left_alone,
    run_model,
)
from initguide.products import Product, Uses
from initguide.randomness import seeded

__all__ = ["found_in_use"]


class _Following(TorchFunctionMode):
    """Collects the products that a pass takes with some parameters."""

    def __init__(self, uses: Uses) -> None:
        super().__init__()
        self.products: dict[int, Product] = {}
        self._uses = uses

    def __torch_function__(
        self, func: Any, types: Any, args: Any = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        result = func(*args, **(kwargs or {}))
        product = self._uses.seen(func, args, kwargs or {}, result)
        if product is not None:
            self.products.setdefault(id(product.parameter), product)
        return result


def found_in_use(
    model: nn.Module, inputs: Any, parameters: Collection[Tensor]
) -> dict[int, tuple[Tensor, Roles, Fans]]:
    """Run a model once, and see which parameters it multiplies by, and along which axes.

    The model is left as it was. Parameters that are only added, or multiplied by number by number,
    have no fan-in, and are not among what is returned.

    Parameters
    ----------
    model
        Any module.
    inputs
        A batch: a tensor, a tuple of positional or a dictionary of keyword arguments.
    parameters
        Those to look at.

    Returns
    -------
    dict
        id of a parameter -> the parameter, what its axes are for, and its fans.
    """
    check_kind(model)
    args, kwargs = arguments_of(inputs)
    source = f"{type(model).__name__}; inputs: {describe_arguments(args, kwargs)}"
    following = _Following(Uses(parameters, model.buffers()))
    with left_alone(model), seeded(0), torch.no_grad(), following:
        run_model(model, args, kwargs, source)
    return {
        key: (p.parameter, Roles(p.outputs, p.inputs), Fans(p.fan_in, p.fan_out))
        for key, p in following.products.items()
        if p.inputs
    }

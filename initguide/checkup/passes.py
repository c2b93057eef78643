"""Run the model as it will be trained, and as it will be after the first step."""

import contextlib
import math
from collections.abc import Callable, Iterator, Mapping

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.modules.dropout import _DropoutNd
from torch.nn.parameter import is_lazy


@contextlib.contextmanager
def as_in_training(model: nn.Module) -> Iterator[bool]:
    """Switch dropout off, and new batch normalization to the batch; yield whether that was done."""
    before = [
        (module, module.training)
        for module in model.modules()
        if isinstance(module, _DropoutNd | _BatchNorm)
    ]
    switched = False
    try:
        for module, training in before:
            if isinstance(module, _DropoutNd):
                module.training = False
            elif not training and module.num_batches_tracked == 0:
                module.training = switched = True
        yield switched
    finally:
        for module, training in before:
            module.training = training


@contextlib.contextmanager
def gradients_of_equal(model: nn.Module) -> Iterator[dict[str, Tensor]]:
    """Keep gradients: of zeros, and of matrices whose rows are all the same: name -> gradient."""
    kept: dict[str, Tensor] = {}

    def keeper(name: str) -> Callable[[Tensor], None]:
        def keep(gradient: Tensor) -> None:
            kept[name] = gradient.detach().clone()

        return keep

    with contextlib.ExitStack() as stack:
        for name, tensor in model.named_parameters():
            usable = tensor.requires_grad and not is_lazy(tensor) and not tensor.is_meta
            if usable and not tensor.is_inference() and _is_even(tensor.detach()):
                stack.callback(tensor.register_hook(keeper(name)).remove)
        yield kept


def _is_even(tensor: Tensor) -> bool:
    """Whether a tensor is all 0, or a matrix of equal rows."""
    if tensor.ndim > 1 and len(tensor) > 1:
        # Most differ in their first two rows already; only then look at all.
        return torch.equal(tensor[0], tensor[1]) and bool((tensor == tensor[:1]).all())
    return tensor.numel() > 0 and not bool(tensor.any())


@contextlib.contextmanager
def stepped(model: nn.Module, gradients: Mapping[str, Tensor]) -> Iterator[None]:
    """Replace some parameters for a while by where a large step of gradient descent leads.

    A matrix moves by weights of variance 1 / fan-in, a factor by 1; of several that open as many
    ways, each moves less, so that what they add up to stays in size. Units that are equal lead to
    equal steps, so symmetries stay.
    """
    parameters = dict(model.named_parameters(remove_duplicate=False))
    held: list[tuple[nn.Module, str, nn.Parameter]] = []
    try:
        for name, gradient in gradients.items():
            old = parameters[name]
            norm = torch.linalg.vector_norm(gradient.float())
            size = math.sqrt((len(old) if old.ndim else 1) / len(gradients))
            step = gradient.float() * (size / norm)
            new = nn.Parameter((old.detach().float() - step).to(old))
            for other, tensor in parameters.items():  # a tied one has several names
                if tensor is old:
                    path, _, key = other.rpartition(".")
                    held.append((model.get_submodule(path), key, old))
                    held[-1][0]._parameters[key] = new  # noqa: SLF001  setattr keeps no order
        yield
    finally:
        for owner, key, tensor in reversed(held):
            owner._parameters[key] = tensor  # noqa: SLF001

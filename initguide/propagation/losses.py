"""The loss of a pass: the default, and what a network that knows nothing would have."""

import math
from collections.abc import Callable, Mapping
from typing import Any

import torch
import torch.nn.functional as F  # noqa: N812  torch's own idiom
from torch import Tensor

from initguide.propagation.moments import wide_dtype

__all__ = ["Loss", "blank_loss", "loss_of", "main_tensor", "needed_tensor"]

Loss = Callable[..., Tensor]


def main_tensor(value: Any) -> Tensor | None:
    """Find the floating-point tensor that an output is mainly about.

    The first one, but for what is called ``logits`` (Hugging Face's models) or ``out``
    (torchvision's for segmentation), beside which other tensors may come first.
    """
    if isinstance(value, Tensor):
        return value if value.is_floating_point() else None
    if isinstance(value, Mapping):
        named = [value[key] for key in ("logits", "out") if key in value]
        items = [*named, *value.values()]
    elif isinstance(value, tuple | list):
        items = list(value)
    else:
        items = [getattr(value, "logits", None)]
        if items == [None]:
            return None
    return next((found for item in items if (found := main_tensor(item)) is not None), None)


def needed_tensor(output: Any, name: str) -> Tensor:
    """Find the same; raise `ValueError` if an output has none (``name``: whose output)."""
    found = main_tensor(output)
    if found is None:
        what = f"{output.dtype}" if isinstance(output, Tensor) else type(output).__name__
        raise ValueError(
            f"the output of {name} holds no floating-point tensor ({what} came); give "
            "loss=, a function of the output that returns one number"
        )
    return found


def loss_of(
    output: Any, targets: Any, loss: Loss | None, seed: int, name: str
) -> tuple[Tensor, str]:
    """Return the loss, and its name in words.

    Parameters
    ----------
    output
        What the model returned.
    targets, loss, seed
        As in `initguide.propagation.measure`.
    name
        What the model is called in an error.
    """
    if loss is None:
        return _default_loss(needed_tensor(output, name), targets, seed, name)
    value = loss(output) if targets is None else loss(output, targets)
    if not isinstance(value, Tensor):
        raise ValueError(  # noqa: TRY004  about what the function did, not about an argument's type
            f"loss returned {value!r} of type {type(value).__name__}; it must return a tensor "
            "with one number, which the gradients can be taken of"
        )
    if value.numel() != 1 or not value.is_floating_point():
        kind = str(value.dtype).removeprefix("torch.")
        raise ValueError(
            f"loss returned a tensor of shape {tuple(value.shape)} and type {kind}; it must "
            "return one floating-point number, such as a mean"
        )
    known = loss if hasattr(loss, "__name__") else type(loss)
    return value.reshape(()), str(known.__name__)


def _default_loss(predicted: Tensor, targets: Any, seed: int, name: str) -> tuple[Tensor, str]:
    """Choose the loss by the targets; see `initguide.propagation.measure`."""
    if targets is None:
        # Draws of variance 1 send gradients of variance 1 back, so that the variance of a gradient
        # can be read as a gain; a plain sum would only see what all outputs have in common. They
        # are drawn on the CPU, so that a seed means the same loss on every device.
        draws = torch.randn(predicted.shape, generator=torch.Generator().manual_seed(seed))
        total = (predicted * draws.to(predicted)).sum(dtype=wide_dtype(predicted))
        return total, "sum of the outputs, each times a draw from N(0, 1)"
    if not isinstance(targets, Tensor):
        raise TypeError(
            f"targets is of type {type(targets).__name__}; give a tensor, or a loss that knows it"
        )
    if targets.layout != torch.strided:
        raise ValueError("targets is a sparse tensor; it must be a dense one: give its to_dense()")
    if targets.is_floating_point():
        if targets.shape != predicted.shape:
            advice = "If they are classes, give whole numbers: targets.long()"
            if targets.numel() == predicted.numel():  # as with (N,) and (N, 1)
                advice = f"Give targets.reshape({', '.join(map(str, predicted.shape))})"
            raise ValueError(
                f"targets has shape {tuple(targets.shape)}, but the output of {name} has "
                f"{tuple(predicted.shape)}; the mean squared error needs the same shape, or each "
                f"output is compared with all targets. {advice}"
            )
        return F.mse_loss(predicted, targets.to(predicted.dtype)), "mean squared error"
    return _cross_entropy(predicted, targets, name), "cross-entropy"


def _cross_entropy(output: Tensor, targets: Tensor, name: str) -> Tensor:
    """Take the cross-entropy: the classes stand second or, for sequences, also last."""
    shape, wanted = tuple(output.shape), tuple(targets.shape)
    if targets.dtype == torch.bool or targets.is_complex():
        raise ValueError(
            f"targets is of type {targets.dtype}; the loss by itself knows whole numbers (classes) "
            "and floating-point numbers: convert them, or give loss="
        )
    # Torch's own reading goes first: with as many positions as classes, both would fit.
    if len(shape) >= 2 and shape[:1] + shape[2:] == wanted:
        classes = shape[1]
    elif len(shape) >= 2 and shape[:-1] == wanted:  # a sequence: the classes stand last
        classes, output, targets = shape[-1], output.flatten(0, -2), targets.flatten()
    else:
        raise ValueError(
            f"targets has shape {wanted}, which does not fit the output of {name}, {shape}; "
            "whole-number targets are one class for each output: "
            f"{' or '.join(dict.fromkeys(map(str, (shape[:1], shape[:-1]))))} for this output"
        )
    used = targets[targets != -100]  # torch's `ignore_index`
    if not used.numel():
        raise ValueError(
            "targets are all -100, which is left out, so there is nothing to learn from"
        )
    if not 0 <= int(used.min()) <= int(used.max()) < classes:
        raise ValueError(
            f"targets reach from {int(used.min())} to {int(used.max())}, but the output of {name} "
            f"has {classes} classes; they must be 0 to {classes - 1}"
        )
    return F.cross_entropy(output, targets.long())


# Losses for which outputs of 0 mean that nothing is known, by the name of the function or class. Of
# a loss that somebody wrote, 0 may mean anything.
_KNOW_ZERO = {
    *("cross_entropy", "binary_cross_entropy_with_logits", "mse_loss", "l1_loss"),
    *("smooth_l1_loss", "huber_loss", "CrossEntropyLoss", "BCEWithLogitsLoss", "MSELoss"),
    *("L1Loss", "SmoothL1Loss", "HuberLoss"),
}


def blank_loss(output: Any, targets: Any, loss: Loss | None) -> float:
    """Return what the loss would be if all outputs were 0; NaN if that cannot be said."""
    if targets is None:
        return math.nan
    if loss is None:
        predicted = main_tensor(output)
        assert predicted is not None  # the loss was taken of it  # noqa: S101
        with torch.no_grad():
            return float(_default_loss(torch.zeros_like(predicted), targets, 0, "")[0])
    if not isinstance(output, Tensor):
        return math.nan
    name = str(getattr(loss, "__name__", type(loss).__name__))
    if name in ("nll_loss", "NLLLoss") and output.ndim > 1:  # log-probabilities of -ln C
        return math.log(output.shape[1])
    if name not in _KNOW_ZERO:
        return math.nan
    with torch.no_grad():
        return float(loss(torch.zeros_like(output), targets))

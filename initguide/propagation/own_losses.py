"""Models that return their own loss, and what else they return.

Hugging Face's give an object with ``.loss`` where labels are among the inputs; torchvision's for
detection, a dictionary of losses while they train; others, the loss alone or before the rest.
"""

from collections.abc import Mapping
from typing import Any

from torch import Tensor

from initguide.propagation.losses import main_tensor

__all__ = ["answers_of", "own_loss"]


def own_loss(output: Any) -> tuple[Tensor, str] | None:
    """Find the loss that a model returned: its value and name; ``None`` if it returned none.

    Parameters
    ----------
    output
        What the model returned: something with ``loss``, as an attribute or a key; a dictionary
        in which all are numbers, which are added up; a tuple that begins with one number; or one
        number. Only what has a graph, so that it can be trained by, is taken.
    """
    named = output.get("loss") if isinstance(output, Mapping) else getattr(output, "loss", None)
    if isinstance(named, Tensor) and _is_loss(named):
        return named.reshape(()), "the model's own loss"
    if isinstance(output, Mapping):
        losses = {key: value for key, value in output.items() if _is_loss(value)}
        if not losses or len(losses) < len(output):
            return None
        total = sum(value.reshape(()) for value in losses.values())
        assert isinstance(total, Tensor)  # there is at least one  # noqa: S101
        return total, f"the sum of the model's own losses: {', '.join(map(str, losses))}"
    first = output[0] if isinstance(output, tuple) and output else output
    if _is_loss(first) and first.ndim == 0:
        return first, "the model's own loss"
    return None


def _is_loss(value: Any) -> bool:
    return (
        isinstance(value, Tensor)
        and value.numel() == 1
        and value.is_floating_point()
        and value.requires_grad
    )


def answers_of(output: Any) -> Tensor | None:
    """Find the tensor that an output is mainly about, beside a loss that it holds."""
    if isinstance(output, Mapping):
        rest: Any = {key: value for key, value in output.items() if not _is_number(value)}
    elif isinstance(output, tuple) and not hasattr(output, "_fields"):
        rest = tuple(value for value in output if not _is_number(value))
    else:
        rest = None if _is_number(output) else output
    return main_tensor(rest)


def _is_number(value: Any) -> bool:
    return isinstance(value, Tensor) and value.ndim == 0

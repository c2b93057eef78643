"""What is compared with the targets, and by which loss: seen as the loss is taken.

A loss may be a function, a module, a lambda around one, or be taken inside the model. All end in a
few functions of torch, which a `TorchFunctionMode` sees being called, with what stands before them.
"""

import math
import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import torch
import torch.nn.functional as F  # noqa: N812  torch's own idiom
from torch import Tensor
from torch.overrides import TorchFunctionMode

__all__ = ["LOSSES", "Comparing", "Comparison"]

LOSSES: frozenset[Callable[..., Any]] = frozenset(
    {
        *(F.cross_entropy, F.nll_loss, F.kl_div, F.binary_cross_entropy),
        *(F.binary_cross_entropy_with_logits, F.mse_loss, F.l1_loss, F.smooth_l1_loss),
        F.huber_loss,
    }
)
"""The losses that are known, as functions; torch's modules call these."""

# What a loss that is written by hand begins with; in a model they mean something else.
_BEGINNINGS = frozenset(
    {
        *(F.log_softmax, torch.log_softmax, Tensor.log_softmax, F.logsigmoid),
        *(F.softmax, torch.softmax, Tensor.softmax, torch.sigmoid, Tensor.sigmoid),
    }
)

# What a node of the graph is called -> how an output ends.
_ENDINGS = {
    "Softmax": "softmax",
    "LogSoftmax": "log-softmax",
    "Sigmoid": "sigmoid",
    "Hardsigmoid": "sigmoid",
    "Relu": "ReLU",
    "Threshold": "ReLU",
    "ClampMin": "clamp",
    "Clamp": "clamp",
    "Tanh": "tanh",
    "Hardtanh": "tanh",
}
# Nodes that hand numbers on as they are.
_HANDING_ON = re.compile(
    "(Unsafe|Reshape)?(View|Alias|Transpose|Permute|Squeeze|Unsqueeze|Slice|Select|Clone|ToCopy|T)"
)


@dataclass(frozen=True)
class Comparison:
    """What a loss was given.

    Attributes
    ----------
    loss
        Name of the function, such as ``"cross_entropy"``; of that which a loss written by hand
        begins with, such as ``"log_softmax"``.
    ending
        What the first argument ends with: ``"softmax"``, ``"log-softmax"``, ``"sigmoid"``,
        ``"ReLU"``, ``"tanh"``; ``None`` if it is none of these.
    shape, target_shape
        Of both arguments; empty for targets that are no tensor.
    low, high
        Smallest and largest number of the first argument.
    target_low, target_high
        Those of the second one; NaN if it is no tensor.
    value
        The loss.
    blank
        What it would be for a network that knows nothing: logits or numbers of 0, or probabilities
        that are all the same; NaN if that cannot be said.
    base
        What the best answer would cost that is the same for all inputs: the classes' frequencies,
        or the mean of the targets. Each class is counted once more than it comes, so that few
        answers do not tell of many classes. NaN if that cannot be said.
    """

    loss: str
    ending: str | None
    shape: tuple[int, ...]
    target_shape: tuple[int, ...]
    low: float
    high: float
    target_low: float = math.nan
    target_high: float = math.nan
    value: float = math.nan
    blank: float = math.nan
    base: float = math.nan


class Comparing(TorchFunctionMode):
    """Use it as a context around what takes the loss; ``.found`` has what was compared.

    Examples
    --------
    >>> outputs = torch.rand(5, 3, requires_grad=True).softmax(1)
    >>> with Comparing() as comparing:
    ...     loss = torch.nn.CrossEntropyLoss()(outputs, torch.ones(5).long())
    >>> comparing.found[0].loss, comparing.found[0].ending
    ('cross_entropy', 'softmax')
    """

    def __init__(self) -> None:
        super().__init__()
        self.found: list[Comparison] = []

    def __torch_function__(
        self, func: Any, types: Any, args: Any = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        result = func(*args, **(kwargs or {}))
        if func in LOSSES or func in _BEGINNINGS:
            self.note(func, args, kwargs or {}, result)
        return result

    def note(
        self, func: Callable[..., Any], args: Any, kwargs: dict[str, Any], result: Any
    ) -> None:
        """Note what a loss was given, and what it gave."""
        given = args[0] if args else kwargs.get("input")
        if not isinstance(given, Tensor) or not given.is_floating_point() or not given.numel():
            return
        with torch.no_grad():
            low, high = (float(x) for x in given.aminmax())
            ending = _ending(given) or _ending_by_values(given, low, high)
            if ending == "clamp":  # at 0 it is a ReLU
                ending = "ReLU" if low == 0 else None
            found = Comparison(func.__name__, ending, tuple(given.shape), (), low, high)
            if func in LOSSES:
                found = replace(found, **_outcome(func, args, kwargs, result))
        self.found.append(found)

    def blank(self, loss: float) -> float:
        """What a loss would be for a network that knows nothing; NaN if that cannot be said.

        It can if the loss is what was seen, or the sum of all that was.
        """
        seen = [c for c in self.found if not math.isnan(c.value)]
        alone = next((c for c in reversed(seen) if math.isclose(c.value, loss, rel_tol=1e-3)), None)
        if alone is not None:
            return alone.blank
        if math.isclose(sum(c.value for c in seen), loss, rel_tol=1e-3):
            return sum(c.blank for c in seen)
        return math.nan


def _outcome(
    func: Callable[..., Any], args: Any, kwargs: dict[str, Any], result: Any
) -> dict[str, Any]:
    """What is known of the targets, and of the loss if it is one number."""
    found: dict[str, Any] = {}
    wanted = args[1] if len(args) > 1 else kwargs.get("target")
    if isinstance(wanted, Tensor):
        found["target_shape"] = tuple(wanted.shape)
        if wanted.numel() and not wanted.is_complex():
            found["target_low"], found["target_high"] = float(wanted.min()), float(wanted.max())
    if isinstance(result, Tensor) and result.numel() == 1:
        found["value"] = float(result)
        given = args[0] if args else kwargs["input"]
        even = None  # outputs that know nothing
        if func in (F.nll_loss, F.kl_div) and given.ndim > 1:
            even = torch.full_like(given, -math.log(given.shape[1]))
        elif func is F.binary_cross_entropy:
            even = torch.full_like(given, 0.5)
        elif func not in (F.nll_loss, F.kl_div):
            even = torch.zeros_like(given)
        if even is not None:
            rest = {key: value for key, value in kwargs.items() if key != "input"}
            found["blank"] = float(func(even, *args[1:], **rest))
        if isinstance(wanted, Tensor) and wanted.numel() and not wanted.is_complex():
            found["base"] = _base(func, given, wanted)
    return found


def _base(func: Callable[..., Any], given: Tensor, wanted: Tensor) -> float:
    """Cost of the best answer that is the same for all inputs, as a mean over answers."""
    if func in (F.cross_entropy, F.nll_loss) and not wanted.is_floating_point() and given.ndim > 1:
        classes = given.shape[1]
        counted = wanted[(wanted >= 0) & (wanted < classes)].flatten()
        counts = torch.bincount(counted, minlength=classes).double() + 1
        shares = counts / counts.sum()
        return float(-(shares * shares.log()).sum())
    if func in (F.binary_cross_entropy, F.binary_cross_entropy_with_logits):
        share = (wanted.double().sum() + 1) / (wanted.numel() + 2)
        entropy = -(share * share.log() + (1 - share) * (1 - share).log())
        return float(entropy)  # NaN for targets that are no probabilities
    if func in (F.cross_entropy, F.nll_loss, F.kl_div) or given.shape != wanted.shape:
        return math.nan
    if not wanted.is_floating_point() or wanted.ndim == 0 or len(wanted) < 2:
        return math.nan
    middle = wanted.mean(dim=0, keepdim=True)
    return float(func(middle.expand_as(wanted).to(given.dtype), wanted.to(given.dtype)))


def _ending(tensor: Tensor) -> str | None:
    """How a tensor was made, as the graph tells it."""
    node = tensor.grad_fn
    while node is not None:
        name = re.sub(r"Backward\d*$", "", node.name())
        if not _HANDING_ON.fullmatch(name):
            return _ENDINGS.get(name)
        node = node.next_functions[0][0] if node.next_functions else None
    return None


# Sums of a few thousand numbers in half precision are off by no more than this.
_CLOSE = 1e-2


def _ending_by_values(values: Tensor, low: float, high: float) -> str | None:
    """Tell probabilities and their logarithms by what they add up to, one answer at a time."""
    if values.ndim < 2 or values.shape[1] < 2:
        return None
    probabilities = values.exp() if high <= 0 else values
    if high > 1 + _CLOSE or (low < 0 < high):
        return None
    for axis in {1, values.ndim - 1}:
        sums = probabilities.sum(dim=axis, dtype=torch.float32)
        if bool(((sums - 1).abs() < _CLOSE).all()):
            return "log-softmax" if high <= 0 else "softmax"
    return None

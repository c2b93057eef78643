"""The inputs."""

import math
from collections.abc import Iterator, Sequence

from torch import Tensor

from initguide.checkup.batches import all_the_same
from initguide.checkup.facts import Facts, float_tensors
from initguide.checkup.findings.registry import Draft, finding
from initguide.checkup.remedies import Remedies
from initguide.checkup.report import Severity

INPUTS = (0.1, 10.0)
"""The healthy root mean square of the inputs, at its ends.

A step of gradient descent changes what a first layer gives by its inputs' mean square times as much
as inputs of mean square 1 would: 0.01 to 100.
"""


def explained(facts: Facts) -> str:
    """Code of what explains outputs that are too large, if the inputs do: they are, too."""
    size = facts.input_size()
    return "inputs" if size > INPUTS[1] and facts.size() <= INPUTS[1] * size else ""


@finding({"inputs": "the inputs are not scaled, not centred, or all the same"}, order=20)
def inputs(facts: Facts, advise: Remedies, found: Sequence[Draft]) -> Iterator[Draft]:
    """Inputs of an odd size, far from 0, or all the same."""
    tensors = [t for t in float_tensors(facts.judged) if t.numel() > 1]
    if not tensors:
        return
    if all_the_same(facts.judged, tensors[0].detach()) and (
        isinstance(facts.judged, list) or all(bool((t == t[:1]).all()) for t in tensors if t.ndim)
    ):
        yield Draft(
            "inputs",
            "warning",
            "inputs",
            f"all {facts.batch} inputs of the batch are the same; nothing can be told apart.",
            advise.other_inputs(),
        )
        return
    normalized_first = any("BatchNorm" in record.kind for record in facts.records[:2])
    mild: Severity = "note" if normalized_first else "warning"
    worst = max(tensors, key=_oddity)
    mean, std = _moments(worst)
    size = math.hypot(mean, std)
    # Where there are several, others are judged by the worst: a mask of ones has no variance.
    which = "" if len(tensors) == 1 else f" {tuple(worst.shape)}"
    remedies = advise.scale_inputs(lambda tensor: _odd(tensor) and _moments(tensor)[1] > 0)
    if not INPUTS[0] <= size <= INPUTS[1]:
        ends = f"{INPUTS[0]:g} to {INPUTS[1]:g}"
        text = f"the root mean square of the inputs{which} is {size:.3g}; {ends} is healthy."
        yield Draft("inputs", mild, "inputs", text, remedies)
    elif abs(mean) > std > 0:  # more than half of the mean square is the same for all inputs,
        far = abs(mean) > 3 * std  # or more than nine tenths
        yield Draft(
            "inputs",
            mild if far else "note",
            "inputs",
            f"the mean of the inputs{which} is {mean:.3g}, their standard deviation {std:.3g}; "
            "what all inputs share outweighs what tells them apart.",
            remedies,
        )


def _moments(tensor: Tensor) -> tuple[float, float]:
    """Mean and standard deviation."""
    values = tensor.detach().float() if tensor.is_mps else tensor.detach().double()
    return float(values.mean()), float(values.std(correction=0))


def _oddity(tensor: Tensor) -> float:
    """How far the size is from 1, or, if it is healthy, how far the mean is from 0."""
    mean, std = _moments(tensor)
    size = math.hypot(mean, std)
    if not INPUTS[0] <= size <= INPUTS[1] and size > 0:
        return 1 + abs(math.log(size))
    return abs(mean) / size if std > 0 else 0.0


def _odd(tensor: Tensor) -> bool:
    """Whether a tensor is worth scaling."""
    return _oddity(tensor) > math.sqrt(0.5)

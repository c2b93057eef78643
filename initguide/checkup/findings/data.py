"""The inputs."""

import math
from collections.abc import Iterator, Sequence

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
    tensor = next(float_tensors(facts.inputs), None)
    if tensor is None or tensor.numel() < 2:
        return
    values = tensor.detach().double() if not tensor.is_mps else tensor.detach().float()
    mean, std = float(values.mean()), float(values.std(correction=0))
    size = math.hypot(mean, std)
    advice = "inputs = (inputs - inputs.mean()) / inputs.std()"
    if all_the_same(facts.inputs, tensor.detach()):
        yield Draft(
            "inputs",
            "warning",
            "inputs",
            f"all {facts.batch} inputs of the batch are the same; nothing can be told apart.",
            "inputs = torch.randn_like(inputs)  # or a batch of different ones",
        )
        return
    normalized_first = any("BatchNorm" in record.kind for record in facts.records[:2])
    mild: Severity = "note" if normalized_first else "warning"
    if not INPUTS[0] <= size <= INPUTS[1]:
        ends = f"{INPUTS[0]:g} to {INPUTS[1]:g}"
        text = f"the root mean square of the inputs is {size:.3g}; {ends} is healthy."
        yield Draft("inputs", mild, "inputs", text, advice)
    elif abs(mean) > std:  # more than half of the mean square is the same for all inputs,
        far = abs(mean) > 3 * std  # or more than nine tenths
        yield Draft(
            "inputs",
            mild if far else "note",
            "inputs",
            f"the mean of the inputs is {mean:.3g}, their standard deviation {std:.3g}; what "
            "all inputs share outweighs what tells them apart.",
            advice,
        )

"""Numbers that are infinite or none."""

import math
from collections.abc import Iterator, Sequence

from initguide.checkup.facts import Facts, float_tensors
from initguide.checkup.findings.registry import Draft, finding
from initguide.checkup.remedies import Remedies


@finding(
    {"non-finite": "weights, outputs, the loss or gradients are infinite or not numbers"},
    order=10,
    decides=True,
)
def non_finite(facts: Facts, advise: Remedies, found: Sequence[Draft]) -> Iterator[Draft]:
    """Weights, inputs, outputs, the loss or gradients: the first of these that is not finite."""
    bad = [
        p
        for p in facts.measured.parameters
        if 0 not in p.shape and not math.isfinite(p.second_moment)
    ]
    for layer in dict.fromkeys(p.layer for p in bad):
        names = ", ".join(p.name.rpartition(".")[2] for p in bad if p.layer == layer)
        yield Draft(
            "non-finite",
            "error",
            layer,
            f"its {names} has values that are infinite or not numbers.",
            advise.fill(layer),
        )
    if bad:
        return
    for tensor in float_tensors(facts.judged):
        if not bool(tensor.isfinite().all()):
            count = int((~tensor.isfinite()).sum())
            yield Draft(
                "non-finite",
                "error",
                "inputs",
                f"{count} of {tensor.numel()} numbers are infinite or not numbers.",
                advise.finite_inputs(),
            )
            return
    for record in facts.records:
        if not math.isfinite(record.output_second_moment) and 0 not in record.shape:
            layer, words, advice = advise.blame(+1, record.name)
            yield Draft(
                "non-finite",
                "error",
                layer,
                f"the outputs of {record.name} overflow or are not numbers.{words}",
                advice,
            )
            return
    reached = [w for w in facts.weights if w.parameter.trained]
    if not math.isfinite(facts.measured.loss):
        layer, words, advice = advise.blame(+1, facts.records[-1].name)
        text = f"the loss is {facts.measured.loss}.{words}"
        yield Draft("non-finite", "error", layer, text, advice)
        return
    for w in reached:
        if math.isinf(w.parameter.grad_second_moment) or math.isinf(w.grad):
            layer, words, advice = advise.blame(+1, w.parameter.layer)
            text = f"the gradient of {w.parameter.name} overflows.{words}"
            yield Draft("non-finite", "error", layer, text, advice)
            return

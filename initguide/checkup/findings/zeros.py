"""Layers of zeros."""

import math
from collections.abc import Iterator, Sequence

from initguide.checkup.facts import Facts, is_weight
from initguide.checkup.findings.registry import Draft, finding
from initguide.checkup.remedies import Remedies


@finding({"zero-layer": "a layer's weights are all 0"}, order=30)
def zero_layers(facts: Facts, advise: Remedies, found: Sequence[Draft]) -> Iterator[Draft]:
    """Weights that are all 0: for good, until the first step, or on purpose."""
    weights = {w.parameter.name: w for w in facts.weights}
    trained = [w for w in facts.trained if w.parameter.name in weights]
    stuck_share = sum(w.grad == 0 for w in trained) / max(1, len(trained))
    first = {p.name: p for p in facts.before.parameters}
    nonzero = [w for w in trained if w.grad > 0 and w.size > 0]
    opens = any(w.grad > 0 and w.size == 0 for w in trained)  # the first step lets signal in
    for parameter in facts.measured.parameters:
        before = first[parameter.name]
        if before.second_moment != 0 or not parameter.trained or not is_weight(parameter):
            continue
        at = facts.where(parameter.layer)
        if at is None or math.isnan(before.grad_second_moment) or not math.prod(parameter.shape):
            continue
        layer, advice = parameter.layer, advise.fill(parameter.layer)
        if len(parameter.shape) < 2 or facts.records[at].normalizes:
            advice = f"torch.nn.init.ones_({advise.code(layer)}.weight)"
        if before.grad_second_moment == 0:
            yield Draft(
                "zero-layer",
                "error" if stuck_share > 0.5 and not opens else "warning",
                layer,
                f"{parameter.name} is all 0, and so is its gradient: it stays 0. "
                f"{100 * stuck_share:.0f} % of the layers get no gradient at all.",
                advice,
            )
        elif before is not parameter and parameter.second_moment > 0:
            yield Draft(
                "zero-layer",
                "note",
                layer,
                f"{parameter.name} is all 0, at the network's end: the outputs start equal. "
                "The layers before it get no gradient in the first step, and one from then on.",
                advice,
            )
        elif any(w.at < at for w in nonzero) or not facts.reaches_nothing():
            yield Draft(
                "zero-layer",
                "note",
                layer,
                f"{parameter.name} is all 0, but gets a gradient, and the inputs reach the "
                "last layer beside it: as in a residual branch that is meant to start as "
                "nothing.",
                advice,
            )
        else:
            yield Draft(
                "zero-layer",
                "warning",
                layer,
                f"{parameter.name} is all 0: nothing of the inputs gets through, and layers "
                "before it get no gradient, until it has moved.",
                advice,
            )

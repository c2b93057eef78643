"""Parameters that the loss does not reach."""

import math
from collections.abc import Iterator, Sequence

from initguide.checkup.facts import Facts
from initguide.checkup.findings.registry import Draft, finding
from initguide.checkup.remedies import Remedies
from initguide.propagation import ParameterRecord


@finding({"not-trained": "no parameter is trained, or the loss depends on none"}, order=15)
def nothing_trained(facts: Facts, advise: Remedies, found: Sequence[Draft]) -> Iterator[Draft]:
    """Models in which no parameter can be trained: all frozen, or the loss reaches none."""
    parameters = [p for p in facts.measured.parameters if math.prod(p.shape)]
    trained = [p for p in parameters if p.trained]
    if not parameters or any(not math.isnan(p.grad_second_moment) for p in trained):
        return
    if trained:
        text = f"the loss depends on none of the {len(trained)} parameters that are trained."
        yield Draft("not-trained", "error", "targets", text)
        return
    number = sum(math.prod(p.shape) for p in parameters)
    yield Draft(
        "not-trained",
        "error",
        parameters[0].layer,
        f"all {len(parameters)} parameters ({number} numbers) are frozen: there is nothing to "
        "train.",
        "model.requires_grad_(True)",
    )


@finding({"no-gradient": "parameters that the loss does not reach"}, order=130, always=True)
def unreached(facts: Facts, advise: Remedies, found: Sequence[Draft]) -> Iterator[Draft]:
    """Parameters that the loss does not reach, or that never ran.

    To freeze them would make the finding go away and nothing better, so that is no remedy.
    """
    if any(f.code in ("non-finite", "not-trained") for f in found):
        return  # a gradient that is no number does not tell what the loss reaches
    explained = any(f.severity == "error" or f.code == "zero-layer" for f in found)
    shut = _shut_for_good(facts)
    if facts.asleep() and shut and not explained:
        explained = True
        for gate in shut:
            key = gate.name.rpartition(".")[2]
            yield Draft(
                "no-gradient",
                "warning",
                gate.layer,
                f"{gate.name} is all 0 and frozen, and {len(facts.asleep())} parameters that are "
                "trained get a gradient of exactly 0: nothing ever gets past it.",
                f"{advise.code(gate.layer)}.{key}.requires_grad_(True)",
            )
    layers: dict[str, list[ParameterRecord]] = {}
    for parameter in facts.measured.parameters:
        zero = parameter.grad_second_moment == 0 and len(parameter.shape) > 1
        none = math.isnan(parameter.grad_second_moment)
        there = parameter.trained and 0 not in parameter.shape
        if there and (none or (zero and not explained)):
            layers.setdefault(parameter.layer, []).append(parameter)
    for layer, parameters in layers.items():
        names = ", ".join(p.name.rpartition(".")[2] for p in parameters)
        beside = any(
            p.layer == layer and p.grad_second_moment > 0 for p in facts.measured.parameters
        )
        ran = facts.where(layer) is not None
        none = all(math.isnan(p.grad_second_moment) for p in parameters)
        size = sum(math.prod(p.shape) for p in parameters)
        how = "no gradient" if none else "a gradient of exactly 0"
        why = "the loss does not depend on it, so it stays as it is."
        if none and beside:
            why = "others of this module do, so this batch had no use for it, or no batch has."
        elif not ran:
            why = "it never ran."
        elif not none:
            why = "what it gives is multiplied by 0, or what is behind it is flat."
        yield Draft(
            "no-gradient",
            "note" if none and (beside or not ran) else "warning",
            layer,
            f"its {names} ({size} numbers) {'gets' if len(parameters) == 1 else 'get'} {how}: "
            + why,
        )


def _shut_for_good(facts: Facts) -> list[ParameterRecord]:
    """Frozen parameters of zeros that might multiply something: no biases of layers."""
    shut = []
    for p in facts.measured.parameters:
        weight = p.name.rpartition(".")[0] + ".weight"
        bias = len(p.shape) < 2 and any(o.name == weight for o in facts.measured.parameters)
        if not p.trained and p.second_moment == 0 and not (bias and p.name != weight):
            shut.append(p)
    return shut

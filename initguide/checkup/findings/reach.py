"""Parameters that the loss does not reach."""

import math
from collections.abc import Iterator, Sequence

from initguide.checkup.facts import Facts
from initguide.checkup.findings.registry import Draft, finding
from initguide.checkup.remedies import Remedies
from initguide.propagation import ParameterRecord


@finding({"no-gradient": "parameters that the loss does not reach"}, order=130, always=True)
def unreached(facts: Facts, advise: Remedies, found: Sequence[Draft]) -> Iterator[Draft]:
    """Parameters that the loss does not reach, or that never ran."""
    if any(f.code == "non-finite" for f in found):
        return  # a gradient that is no number does not tell what the loss reaches
    explained = any(f.severity == "error" or f.code == "zero-layer" for f in found)
    layers: dict[str, list[ParameterRecord]] = {}
    for parameter in facts.measured.parameters:
        zero = parameter.grad_second_moment == 0 and len(parameter.shape) > 1
        if parameter.trained and (
            math.isnan(parameter.grad_second_moment) or (zero and not explained)
        ):
            layers.setdefault(parameter.layer, []).append(parameter)
    for layer, parameters in layers.items():
        if not sum(math.prod(p.shape) for p in parameters):
            continue
        names = ", ".join(p.name.rpartition(".")[2] for p in parameters)
        ran = facts.where(layer) is not None
        none = all(math.isnan(p.grad_second_moment) for p in parameters)
        size = sum(math.prod(p.shape) for p in parameters)
        how = "no gradient" if none else "a gradient of exactly 0"
        code = advise.code(layer)
        yield Draft(
            "no-gradient",
            "warning" if ran or not none else "note",
            layer,
            f"its {names} ({size} numbers) {'gets' if len(parameters) == 1 else 'get'} {how}"
            + (": it ran, but the loss does not depend on it." if ran else "; it never ran."),
            f"{code}.requires_grad_(False)\n# or use its output in the loss",
        )

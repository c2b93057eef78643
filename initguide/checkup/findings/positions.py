"""Positions of one input that become the same: tokens, steps, places, nodes."""

import itertools
from collections.abc import Iterator, Sequence

from initguide.checkup.facts import Facts
from initguide.checkup.findings.gradients import FROZEN, SLOW
from initguide.checkup.findings.registry import Draft, finding
from initguide.checkup.remedies import Remedies
from initguide.checkup.structure import skip_around


@finding(
    {"equal-positions": "tokens (positions, nodes) of one input are nearly the same at the end"},
    order=92,
)
def equal_positions(facts: Facts, advise: Remedies, found: Sequence[Draft]) -> Iterator[Draft]:
    """Positions of one input that are nearly the same to the last layer.

    Attention averages over tokens, and so does a graph over nodes: without a way around, each layer
    leaves a part of what tells them apart, whatever its weights (Dong, Cordonnier & Loukas 2021,
    arXiv:2103.03404). It is judged where there is an answer for each position.
    """
    seen = facts.position_spreads
    shape = facts.before.output_shape
    if len(seen) < 2 or len(shape) < 3 or any(f.severity == "error" for f in found):
        return
    (first, start), (record, last) = seen[0], seen[-1]
    if not start > 0 or not last < SLOW * start or record.name == first.name:
        return
    falls = [
        ((after + 1e-30) / (before + 1e-30), layer.name)
        for (layer, before), (_, after) in itertools.pairwise(seen)
    ]
    factor, worst = min(falls)
    steep = list(dict.fromkeys(name for fall, name in falls if fall < 0.5))
    named = steep[0] if len(steep) > 1 else worst
    kinds = {facts.measured[name].kind for name in steep or [worst]}
    alike = list(dict.fromkeys(layer.name for layer, _ in seen if layer.kind in kinds))
    more = f", and {len(steep) - 1} more layers at least a half each" if len(steep) > 1 else ""
    yield Draft(
        "equal-positions",
        "error" if last < FROZEN * start else "warning",
        named,
        f"of what the first layer is given, a share of {start:.2g} differs between the positions "
        f"of one input; of what reaches the last layer ({record.name}), {last:.1e} does, and each "
        f"position wants an answer of its own. Layer {worst} alone takes a factor of {factor:.1e}"
        f"{more}. Averaging over positions does that, whatever the weights are; a way around it "
        "(a skip connection) keeps them apart.",
        skip_around(alike),
    )

"""Units that are dead or saturated."""

import math
from collections.abc import Iterator, Sequence

from initguide.checkup.facts import KINDS, Facts
from initguide.checkup.findings.data import INPUTS
from initguide.checkup.findings.registry import Draft, finding
from initguide.checkup.remedies import Remedies

FLATTENED = (0.5, 0.98)
"""Fraction of saturated activations from which on there is a warning, or an error.

The slope of tanh is below 5 % of its steepest beyond ±2.2. Normal pre-activations of standard
deviation σ lie there for the larger half at σ = 3.2, ten times the variance of 1 that is usual, and
for 98 % at σ = 87, where tanh is little else than the sign.
"""


@finding(
    {"dead-units": "units whose activation is flat for the whole batch: no gradient passes"},
    order=50,
)
def dead_units(facts: Facts, advise: Remedies, found: Sequence[Draft]) -> Iterator[Draft]:
    """Units that give nothing for the whole batch."""
    for i, record in enumerate(facts.records):
        dead, units = record.dead_fraction, record.activated or record.units
        if math.isnan(dead) or record.units < 2 or record.kind in KINDS or record.call:
            continue
        # With weights around 0, a unit is as often on as off for any one input, so it is off
        # for all inputs with a probability of at most 1/2; beyond come 3 standard deviations.
        bound = 0.5 + 1.5 / math.sqrt(units)
        if dead < min(bound, 1.0) or record.output_second_moment == 0:  # 0: told already
            continue
        before = [w for w in facts.trained if w.at <= i]
        cut = dead == 1 and bool(before) and all(w.grad == 0 for w in before)
        if units < 2 and not cut:  # one unit is off as often as on
            continue
        which = f"{units} units" if units == record.units else f"the {units} that are activated"
        yield Draft(
            "dead-units",
            "error" if cut else "warning",
            record.name,
            f"{100 * dead:.3g} % of {which} give nothing for the whole batch; at most "
            f"{100 * min(bound, 1.0):.0f} % are to be expected."
            + (" No gradient gets past them." if cut else ""),
            advise.repair(record.name, biases=True),
        )


@finding({"saturated-units": "activations at the flat ends of a bounded function"}, order=60)
def saturated_units(facts: Facts, advise: Remedies, found: Sequence[Draft]) -> Iterator[Draft]:
    """Activations at the flat ends of a bounded function."""
    for record in facts.records:
        flat = record.saturated_fraction
        if math.isnan(flat) or record.kind in KINDS or record.call or flat < FLATTENED[0]:
            continue
        if record.activation in ("relu6", "hardsigmoid", "hardtanh") and flat < FLATTENED[1]:
            continue
        scheme = "lecun_normal" if record.activation != "sigmoid" else "xavier_normal"
        advice = advise.fill(record.name, scheme, biases=True)
        if (
            record.input_second_moment > INPUTS[1] ** 2
            and facts.where(record.name) == facts.first_layer()
        ):
            scaled = advise.scale_inputs()
            advice = (*(f"{s}\n{a}" for s in scaled for a in advice), *advice)
        yield Draft(
            "saturated-units",
            "error" if flat >= FLATTENED[1] else "warning",
            record.name,
            f"{100 * flat:.3g} % of its {record.activation} activations are at the flat ends, "
            f"where the slope is below 5 % of the steepest; below {100 * FLATTENED[0]:.0f} % "
            f"is healthy. The root mean square of what they are applied to is "
            f"{math.sqrt(record.output_second_moment):.3g}, where about 1 is.",
            advice,
        )

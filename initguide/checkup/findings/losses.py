"""The loss before the first step."""

import math
from collections.abc import Iterator, Sequence

from initguide.checkup.facts import Facts
from initguide.checkup.findings.data import explained
from initguide.checkup.findings.registry import Draft, finding
from initguide.checkup.remedies import Remedies

WRONG, CONFIDENT = 2.0, 30.0
"""An initial loss this many times that of a network that knows nothing is a warning, or an error.

Knowing nothing costs ln C. With normal logits of variance v it costs about ln C + v/2, so twice
that needs logits of variance 2 ln C, far beyond the 1 of a signal that is kept. The second number
is calibrated: ``benchmarks/check_networks.py`` prints how many of its networks beyond it train.
"""


SURE = ("cross_entropy", "nll_loss", "binary_cross_entropy_with_logits")


def _worst(facts: Facts) -> tuple[float, float]:
    """The loss, and what it would be for a network that knows nothing: of the worst part of it.

    A sum of losses, as that of a detector, may hide one of its parts, and of the sum it cannot
    always be said what it should be.
    """
    pairs = [(facts.before.loss, facts.before.blank_loss)]
    pairs += [(c.value, c.blank) for c in facts.before.comparisons if c.loss in SURE]
    known = [pair for pair in pairs if pair[1] > 0]
    return max(known, key=lambda pair: pair[0] / pair[1], default=(math.nan, math.nan))


@finding({"initial-loss": "the loss is far above that of a network that knows nothing"}, order=100)
def initial_loss(facts: Facts, advise: Remedies, found: Sequence[Draft]) -> Iterator[Draft]:
    """A loss far above that of a network that knows nothing."""
    now, blank = _worst(facts)
    if not now > WRONG * blank:
        return
    last = facts.records[facts.weights[-1].at].name if facts.weights else facts.records[-1].name
    layer, words, remedies = advise.blame(+1, last)
    if not advise.culprits(+1):
        remedies = (*advise.fill(last), *remedies)
    yield Draft(
        "initial-loss",
        "error" if now > CONFIDENT * blank else "warning",
        layer,
        f"the loss is {now:.4g}; with all outputs 0 it would be {blank:.4g}, and a network "
        f"that knows nothing should be near that.{words}",
        remedies,
        cause=explained(facts),
    )

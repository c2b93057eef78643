"""What the outputs are compared with."""

from collections.abc import Iterator, Sequence

from torch import Tensor

from initguide.checkup.facts import Facts
from initguide.checkup.findings.registry import Draft, finding
from initguide.checkup.remedies import Remedies

FAR = 100.0
"""Targets of a regression whose root mean square is above this are a warning.

A step of Adam moves each weight by about the learning rate. With 100 units of size 1 in front of an
output and a rate of 10⁻³, it moves the output by 0.1, so it takes 1,000 steps to get 100 away from
where a network starts; and plain gradient descent gets gradients that are as large as the targets.
"""


@finding(
    {"targets": "the targets of a regression are far larger than what it starts with"}, order=25
)
def targets(facts: Facts, advise: Remedies, found: Sequence[Draft]) -> Iterator[Draft]:
    """Targets of a regression that the outputs need long to get to."""
    wanted = facts.targets
    if not isinstance(wanted, Tensor) or not wanted.is_floating_point() or wanted.numel() < 2:
        return
    size = float(wanted.double().square().mean().sqrt())
    if not size > FAR:
        return
    yield Draft(
        "targets",
        "warning",
        "targets",
        f"the root mean square of the targets is {size:.3g}, and outputs start at about 1: getting "
        f"there takes most of the training. Below {FAR:g} is healthy; scale what comes out back.",
        "targets = (targets - targets.mean()) / targets.std()",
    )

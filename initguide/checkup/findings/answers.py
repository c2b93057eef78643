"""What the outputs are compared with."""

import math
from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from initguide.checkup.facts import Facts
from initguide.checkup.findings.losses import SURE, WRONG
from initguide.checkup.findings.output_and_loss import DISTANCES
from initguide.checkup.findings.registry import Draft, finding
from initguide.checkup.remedies import Remedies

FAR = 100.0
"""Targets of a regression whose root mean square is above this are a warning.

A step of Adam moves each weight by about the learning rate. With 100 units of size 1 in front of an
output and a rate of 10⁻³, it moves the output by 0.1, so it takes 1,000 steps to get 100 away from
where a network starts; and plain gradient descent gets gradients that are as large as the targets.
"""


SMALL = 0.01
"""Targets of a regression whose standard deviation is below this are a warning.

Outputs start at about 1, a hundred times as large: what is learnt first is to give less, and at a
rate of 10⁻³ the noise of Adam's steps alone, 0.1 in each output (see `FAR`), hides the targets.
"""

COMMON = 5.0
"""A warning, if what the best answer costs that is the same for all inputs is exceeded by this.

Classes of which one has 3 % or less of the answers are such, or numbers whose mean is five standard
deviations from 0. The first steps then teach what is common to all. In a network of two layers
whose answers were of one kind in a hundred, the loss after 200 steps was 1.3 to 1.6 times that of
one whose last bias gave the frequencies from the start; numbers 10 standard deviations from 0 were
not explained at all by 300 steps of Adam at 10⁻³, and 95 % of their variance was once centred.
"""


@finding(
    {"targets": "the targets of a regression are of an odd size, or far from where it starts"},
    order=25,
)
def targets(facts: Facts, advise: Remedies, found: Sequence[Draft]) -> Iterator[Draft]:
    """Targets of a regression that the outputs need long to get to."""
    wanted = facts.targets
    if not isinstance(wanted, Tensor) or not wanted.is_floating_point() or wanted.numel() < 2:
        return
    values = wanted.detach().double() if not wanted.is_mps else wanted.detach().float()
    size, std = float(values.square().mean().sqrt()), float(values.std(correction=0))
    mean = float(values.mean())
    start = f"outputs start at about {facts.start():.2g}"
    if size > FAR:
        text = (
            f"the root mean square of the targets is {size:.3g}, and {start}: getting there takes "
            f"most of the training. Below {FAR:g} is healthy; scale what comes out back."
        )
    elif 0 < std < SMALL:
        text = (
            f"the standard deviation of the targets is {std:.2g}, and {start}: single steps of "
            f"training move them by more. Above {SMALL:g} is healthy; scale what comes out back."
        )
    elif std > 0 and _off_by(facts) > COMMON:
        text = (
            f"the mean of the targets is {mean:.3g}, their standard deviation {std:.3g}, and "
            f"{start}: the first part of training goes into what all targets share. Below "
            f"{COMMON:g} standard deviations is healthy; shift what comes out back."
        )
    else:
        return
    yield Draft(
        "targets",
        "warning",
        "targets",
        text,
        advise.scale_targets(),
    )


def _off_by(facts: Facts) -> float:
    """How far outputs start from the targets, in units of these' own differences."""
    ratios = [
        math.sqrt(c.value / c.base) if c.loss == "mse_loss" else c.value / c.base
        for c in facts.before.comparisons
        if c.loss in DISTANCES and c.base > 0 and c.value <= WRONG * c.blank
    ]
    return max(ratios, default=0.0)


@finding(
    {"class-frequencies": "one class is so common that the first steps teach little but that"},
    order=105,
)
def frequencies(facts: Facts, advise: Remedies, found: Sequence[Draft]) -> Iterator[Draft]:
    """A first loss far above what the classes' frequencies alone would cost."""
    if any(f.code in ("initial-loss", "output-and-loss") for f in found):
        return
    for seen in facts.before.comparisons:
        if seen.loss not in SURE or not seen.value > COMMON * seen.base > 0:
            continue
        if not seen.value <= WRONG * seen.blank:  # it is not what a network that knows nothing says
            continue
        last = facts.records[facts.weights[-1].at].name if facts.weights else facts.records[-1].name
        yield Draft(
            "class-frequencies",
            "warning",
            last,
            f"the loss is {seen.value:.3g}; to answer with the classes' frequencies, whatever the "
            f"input, would cost {seen.base:.3g}. The first steps teach these alone, which a bias "
            "of the logarithms of the frequencies gives from the start.",
            tuple(_prior(facts, advise, last, seen.loss)),
        )
        return


def _prior(facts: Facts, advise: Remedies, layer: str, loss: str) -> Iterator[str]:
    """Code that lets the last layer's bias give the frequencies."""
    bias = getattr(facts.named.get(layer), "bias", None)
    if not isinstance(facts.targets, Tensor) or not isinstance(bias, Tensor):
        return
    code = advise.code(layer)
    if loss == "binary_cross_entropy_with_logits":
        yield (
            "share = (targets.sum() + 1) / (targets.numel() + 2)\n"
            f"{code}.bias.data.fill_(torch.logit(share))"
        )
    elif facts.targets.dtype in (torch.long, torch.int):
        yield (
            f"counts = torch.bincount(targets[targets >= 0], minlength={len(bias)}) + 1\n"
            f"{code}.bias.data.copy_(torch.log(counts / counts.sum()))"
        )

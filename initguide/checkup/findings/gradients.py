"""The gradient on its way back."""

import math
from collections.abc import Iterator, Sequence

from torch.nn.modules.batchnorm import _BatchNorm

from initguide.checkup.facts import Facts
from initguide.checkup.findings.registry import Draft, finding
from initguide.checkup.remedies import Remedies, range_text
from initguide.checkup.structure import without_batch_norm

SLOW, FROZEN = 1e-3, 1e-6
"""Below the first, a part of the network learns too slowly (a warning); below the second, it does
not learn (an error).

Both compare changes of the outputs, or of the weights in units of their own size, with those of the
part that learns fastest. A step that is stable for the fastest part moves a part that is slower by
10⁻⁶ by its own size in about 10⁶ steps; and a signal of 10⁻⁶ of its offset is within a few bits of
what float32 (10⁻⁷) can hold. 10⁻³ is a long training instead.
"""


MANY, GROWTH = 5, 1.25
"""So many batch normalizations, one behind another, are told to be the cause if gradients grow by
no more than this factor at each: a ReLU behind them makes √1.47 = 1.21 of it.
"""


OUTGROWN = 10.0
"""A warning, if a layer is too large by this factor and half of all layers have less than its
inverse square of the largest effect on the loss: what they add is drowned by what is too large.

A step that suits the largest effect moves the others by a hundredth of their size, or less.
"""


@finding(
    {
        "vanishing-gradients": "the gradient fades on its way back to the first layers",
        "exploding-gradients": "the gradient grows on its way back to the first layers",
    },
    order=80,
)
def gradients(facts: Facts, advise: Remedies, found: Sequence[Draft]) -> Iterator[Draft]:
    """Layers whose part in learning fades, or grows, on the way back.

    Only what reaches no layer at all up to here (or from here on) counts: a residual branch may be
    scaled down, and the trunk beside it is fine.
    """
    # What is used without being called (a weight that its owner takes) has no place in the order.
    placed = [w for w in facts.trained if facts.records[w.at].name == w.parameter.layer]
    effects = [(w, w.effect) for w in placed if w.effect > 0]
    stuck = {f.code for f in found if f.severity == "error"}
    # Equal outputs get gradients that cancel. None gets past dead units, and what is behind them
    # sees biases alone.
    if len(effects) < 3 or stuck & {"equal-units", "dead-units"}:
        return
    dead = [f for f in found if f.code == "dead-units"]
    largest = max(effect for _, effect in effects)
    peak = next(i for i, (_, effect) in enumerate(effects) if effect == largest)
    for code, side, words in (
        ("vanishing-gradients", effects[: peak + 1], "first"),
        ("exploding-gradients", effects[peak:][::-1], "last"),
    ):
        best, last = 0.0, side[0][0]
        steps = []  # (factor by which the next layer has more, layer, between which records)
        for w, effect in side:
            if effect > best:
                if best:  # what lies between the two is the doing of the earlier layer
                    early, late = (last, w) if words == "first" else (w, last)
                    steps.append((effect / best, early, range(early.at, late.at + 1)))
                best, last = effect, w
        ratio = side[0][1] / largest
        if ratio >= SLOW * facts.opening or not steps:  # a factor that is small opens
            continue
        sign = -1 if code == "vanishing-gradients" else +1
        _, jump, between = max(steps, key=lambda step: step[0])
        edge = side[0][0]
        # A gradient changes on its way from the layer where it is largest to the other end, so
        # nothing else is to blame; and if it vanishes, not that layer itself.
        at = effects[peak][0].at
        among = range(edge.at, at) if sign < 0 else range(at, edge.at + 1)
        layer, blame, remedies = advise.blame(sign, jump.parameter.layer, among)
        if norms := _growth_of_norms(facts, among, ratio if sign > 0 else 0.0):
            blame, remedies = norms, (without_batch_norm(),)
        for told in dead:
            if facts.where(told.layer) in between:
                layer, remedies = told.layer, tuple(told.remedies)
                blame = f" Units of {layer}, on the way between them, are dead."
                break
        slow = sum(effect < SLOW * largest for _, effect in side)
        yield Draft(
            code,
            "error" if ratio < FROZEN else "warning",
            layer,
            f"the {words} layer, {edge.parameter.layer}, changes the loss {ratio:.1e} times as "
            f"much as the layer with the largest effect; {SLOW:g} or more is healthy. "
            f"{slow} of {len(effects)} layers are below that.{blame}",
            remedies,
        )


def _growth_of_norms(facts: Facts, among: range, ratio: float) -> str:
    """Say it if normalizations by the batch explain gradients that grow; nothing if they do not."""
    modules = [facts.named.get(facts.records[i].name) for i in among]
    norms = sum(isinstance(module, _BatchNorm) for module in modules)
    if norms < MANY or not ratio > GROWTH**-norms:
        return ""
    return (
        f" Between them stand {norms} batch normalizations. Behind each with a ReLU, the mean "
        "square of gradients grows by up to π / (π - 1) = 1.47, whatever the weights are (Yang et "
        "al. 2019, arXiv:1902.08129): no scheme mends it. Skip connections around every two or "
        "three layers do, or fewer layers between, or another activation or normalization."
    )


@finding({"drowned-layers": "what one layer gives outweighs what all others add to it"}, order=90)
def drowned(facts: Facts, advise: Remedies, found: Sequence[Draft]) -> Iterator[Draft]:
    """A layer so large that those which add to it, as residual branches do, count for little."""
    effects = sorted(w.effect for w in facts.trained if w.effect > 0)
    if len(effects) < 5 or any(f.severity != "note" for f in found):
        return
    middle = effects[len(effects) // 2] / effects[-1]
    scales = [s for at in sorted({w.at for w in facts.trained}) if (s := facts.scale(at))]
    large = [s for s in scales if s.excess > math.log(OUTGROWN) and not s.record.normalizes]
    if not middle < OUTGROWN**-2 or not large:
        return
    worst = max(large, key=lambda s: s.excess)
    name = worst.record.name
    yield Draft(
        "drowned-layers",
        "warning",
        name,
        f"layer {name} multiplies the size of its input by {worst.measured:.3g}, where "
        f"{range_text(worst.low, worst.high)} keeps it, and half of the layers change the loss at "
        f"most {middle:.1e} times as much as the layer with the largest effect: what they add to "
        "it counts for little.",
        (*advise.repair(name), *advise.fit([worst])),
    )

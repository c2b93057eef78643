"""The signal on its way forward: its size, and what is left of the inputs' differences."""

import math
from collections.abc import Iterator, Sequence

from initguide.checkup.facts import Facts, Weight
from initguide.checkup.findings.data import INPUTS, explained
from initguide.checkup.findings.gradients import FROZEN, SLOW
from initguide.checkup.findings.losses import WRONG
from initguide.checkup.findings.registry import Draft, finding
from initguide.checkup.remedies import Remedies, range_text
from initguide.propagation import Record

QUIET = (1.0, SLOW)
"""The signal vanishes, as a warning or an error, if no change of a layer's weights by their usual
size moves an answer by this much.

The usual size is a variance of 1 / fan-in, and the change is the best one for the answer: with the
n inputs and m units of a layer, it moves what the layer gives √(nm) times as much as a random one
of its size. To move the answer by 1, which is the size of what it is compared with, then takes more
than all that the layer has. The first number is calibrated by ``benchmarks/check_reach.py``, of
whose healthy networks none has less than 2, and ``benchmarks/check_networks.py``, where all below
it are spoiled; the second is that of `SLOW`.
"""

FAINT, HUSHED = 0.3, 5.0
"""Where no weights are above the first part of their usual size, a reach below the second is too
little, as a warning.

Torch's own rule gives 1 / √3 of the usual size. All weights at a fifth of what is right cost a
perceptron and recurrent networks more than 0.05 of their accuracy in ``check_networks.py``, with a
reach of 2.4 to 3.3; the healthy ones have 12 or more.
"""

OFFSET = 5.0
"""A warning, if what a layer gives to all inputs alike is this many times what tells them apart,
and that is so up to the last layer: a share of 1 / (1 + 5²) = 4 % differs. What is behind such a
layer must first learn to take the offset away.
"""

STOPPED = 3e-3
"""An error, if a layer that has others behind it lets less than this part of the signal through,
and no other layer can move the outputs by more than this part of what it can.

In ``benchmarks/check_networks.py``, first layers of a hundredth of their size train as well as
whole ones: their steps are larger than they are. Three times below that, steps which are right for
such a layer leave all others as they are.
"""

# A layer that adds an offset of `OFFSET` makes its outputs at least so much larger. What selects a
# token or averages tokens, on the way to the next layer, does not.
_GROWN = 3.0

LARGE, HUGE = 10.0, 1 / SLOW
"""Outputs whose root mean square is this many times that of the targets (or 1, if that is larger)
are a warning, or an error.

Normal logits of standard deviation σ cost about σ√(2 ln C) when C is large, which is twice ln C at
σ = √(2 ln C): below 10 for any number of classes. At 1 / `SLOW` the answer is a thousandth of the
outputs, so weights must be right to a thousandth of their size before it counts.
"""


@finding(
    {
        "vanishing-signal": "the signal gets so small that no layer can change the outputs",
        "exploding-signal": "the outputs are far larger than what they are compared with",
    },
    order=70,
)
def signal(facts: Facts, advise: Remedies, found: Sequence[Draft]) -> Iterator[Draft]:
    """Outputs that no weights can move, or that are far larger than what they are compared with."""
    live = [w for w in facts.trained if w.grad > 0]
    yield from _quiet(facts, advise, live, found)
    yield from _stopped(facts, advise)
    # What a layer of zeros is applied to counts as soon as it has moved.
    first = [w for w in facts.first_weights if w.parameter.trained and w.grad > 0]
    others = max((w.move for w in first if w.size > 0), default=0.0)
    asleep = [w for w in first if w.size == 0 and w.move > LARGE * others > 0]
    for w in asleep:
        layer, words, advice = advise.blame(+1, w.parameter.layer)
        yield Draft(
            "exploding-signal",
            "warning",
            layer,
            f"{w.parameter.name} is all 0, but when it has moved by its usual size, the "
            f"outputs change by {w.move:.3g}; no other layer has more than "
            f"{others:.3g}.{words}",
            advice,
        )
    size, rms = facts.size(), math.sqrt(facts.before.output_second_moment)
    judged, blank = facts.before.loss, facts.before.blank_loss
    harmless = judged <= WRONG * blank  # such as an offset that all outputs share
    if size > (HUGE if harmless else LARGE):
        layer, words, advice = advise.blame(+1, facts.records[facts.weights[-1].at].name)
        yield Draft(
            "exploding-signal",
            "error" if size > HUGE else "warning",
            layer,
            f"the root mean square of the network's outputs is {rms:.3g}, where about "
            f"{rms / size:.3g} is expected.{words}",
            advice,
            cause=explained(facts),
        )


def _stopped(facts: Facts, advise: Remedies) -> Iterator[Draft]:
    """A layer that lets so little through that no other layer can move the outputs.

    What is in front of it moves them through it, and what is behind it sees next to nothing. A last
    layer may start so: nothing is behind it.
    """
    moves = {w.at: 0.0 for w in facts.trained if w.move > 0}
    for w in facts.trained:
        if w.at in moves:
            moves[w.at] = max(moves[w.at], w.move)
    for scale in facts.scales:
        others = [move for at, move in moves.items() if at != scale.at]
        behind = any(at > scale.at for at in moves)
        if scale.at not in moves or not behind or not scale.excess < math.log(STOPPED):
            continue
        if max(others) < STOPPED * moves[scale.at]:
            name = scale.record.name
            yield Draft(
                "vanishing-signal",
                "error",
                name,
                f"layer {name} multiplies the size of its input by {scale.measured:.2g}, where "
                f"{range_text(scale.low, scale.high)} keeps it: no other layer's weights can "
                f"move the outputs by more than {max(others):.1e}, and its own by "
                f"{moves[scale.at]:.2g}.",
                advise.repair(name),
            )


def _quiet(
    facts: Facts, advise: Remedies, live: Sequence[Weight], found: Sequence[Draft]
) -> Iterator[Draft]:
    """Weights that hardly move the outputs, whichever they are."""
    reach = facts.reach()
    largest = max((w.size / w.natural for w in facts.trained), default=math.inf)
    least = HUSHED if largest < FAINT else QUIET[0]
    if not live or not reach < least:
        return
    words = (
        "no layer's weights can move the outputs: a change of usual size moves them by "
        f"{reach:.2g} at most, where {least:g} or more is healthy."
    )
    if reach >= QUIET[0]:
        words = (
            f"all weights are small: {largest:.2g} times the size of a variance of 1 / fan-in at "
            f"most, and a change of that size moves the outputs by {reach:.2g} at most, where "
            f"{least:g} or more is healthy."
        )
    severe = reach < QUIET[1]
    layer, blame, advice = advise.blame(-1, facts.records[live[0].at].name)
    # Tables of embeddings have no input whose size they could change, but they may be small.
    small = [
        facts.records[w.at] for w in live if math.isnan(facts.records[w.at].input_second_moment)
    ]
    names = [r.name for r in small if r.output_second_moment < QUIET[0] ** 2]
    explaining = {"output-and-loss", "collapsed-outputs"}
    if facts.input_size() < INPUTS[0]:
        explaining.add("inputs")
    causes = [f.code for f in found if f.code in explaining]
    for name in names if names and not blame else [layer]:
        yield Draft(
            "vanishing-signal",
            "error" if severe else "warning",
            name,
            words + blame,
            advice,
            cause=causes[0] if causes else "",
        )


@finding({"collapsed-outputs": "different inputs are nearly the same to the last layer"}, order=65)
def collapse(facts: Facts, advise: Remedies, found: Sequence[Draft]) -> Iterator[Draft]:
    """Different inputs that are nearly the same to the last layer."""
    if len(facts.spreads) < 2 or facts.spreads[-1][0].name in facts.normalized:
        return
    record, last = facts.spreads[-1]
    start = facts.spreads[0][1]
    falls = [
        ((after + 1e-30) / (before + 1e-30), layer)
        for (layer, before), (_, after) in zip(facts.spreads, facts.spreads[1:], strict=False)
    ]
    factor, worst = min(falls, key=lambda fall: fall[0])
    # Behind a factor that is small on purpose, so are differences, until it has grown.
    if not start > 0 or not last < SLOW * start * facts.opening**2:
        if start > 0 and 0 < max(factor, last / start) < 1 / (1 + OFFSET**2):
            yield from _outweighed(facts, advise, worst, factor, last / start)
        return
    if any(w.size == 0 and w.grad >= 0 for w in facts.trained):  # said already
        return
    # If one of the layers up to there can move the outputs, the first steps undo it.
    at = facts.where(worst.name) or 0
    movable = any(w.move >= QUIET[0] for w in facts.trained if w.at <= at)
    drowned = advise.drowning()
    repair = (*(() if factor > SLOW else advise.repair(worst.name)), *advise.fill_all())
    layer, words, repair = drowned or (worst.name, "", repair)
    yield Draft(
        "collapsed-outputs",
        "error" if last < FROZEN * start and not movable else "warning",
        layer,
        f"a share of {start:.2g} of the inputs' mean square differs between inputs; of what "
        f"reaches the last layer ({record.name}), {last:.1e} does. Layer {worst.name} alone "
        f"takes a factor of {factor:.1e}.{words}",
        repair,
    )


def _outweighed(
    facts: Facts, advise: Remedies, layer: Record, factor: float, left: float
) -> Iterator[Draft]:
    """A layer that adds to all inputs alike far more than what tells them apart."""
    at = facts.where(layer.name)
    scale = None if at is None else facts.scale(at)
    if scale is None or not scale.excess > math.log(_GROWN):
        return
    if not layer.output_second_moment > _GROWN**2:  # it is the input that is small
        return
    yield Draft(
        "collapsed-outputs",
        "warning",
        layer.name,
        f"what layer {layer.name} gives is {scale.measured:.3g} times as large as its input, where "
        f"{range_text(scale.low, scale.high)} keeps it, and nearly the same for all inputs: of the "
        f"share that differs between them it leaves {factor:.1e}, and {left:.1e} of it reaches the "
        "last layer.",
        advise.repair(layer.name, biases=True),
    )

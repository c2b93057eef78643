"""Look again behind what starts as nothing: gates, branches and last layers of zeros.

What is behind a factor of 0 gets no gradient in the first step, and one from then on, as the factor
itself gets one. So zeros that get a gradient are moved, as the first step would, and the network is
measured once more: what is still without a gradient is stuck, and what has one is judged by it.
"""

import contextlib
from collections.abc import Callable

from torch import nn

from initguide.checkup.facts import Facts
from initguide.checkup.passes import gradients_of_equal, stepped
from initguide.propagation import Measurement

# A condition that is 0 behind a last layer of 0 sleeps twice (adaLN-Zero): two steps wake it.
_STEPS = 3


def opened(
    model: nn.Module,
    measured: Callable[[], Measurement],
    facts_of: Callable[[Measurement, Measurement | None], Facts],
) -> Facts:
    """Measure a model, and once more after each step that lets a signal in.

    Parameters
    ----------
    model
        It is as it was when this returns.
    measured
        Measures it as it is.
    facts_of
        Makes facts of the last measurement and of the first one (None if that is the last).

    Returns
    -------
    Facts
        Of the network with all that wakes up awake.
    """
    with contextlib.ExitStack() as stack:
        with gradients_of_equal(model) as gradients:
            first = measured()
        facts, done = facts_of(first, None), set[str]()
        for _ in range(_STEPS):
            names = facts.equal_head() or (facts.shut() if facts.asleep() else [])
            wanted = {name: gradients[name] for name in names if name in gradients}
            if not wanted or done >= wanted.keys():
                break
            done |= wanted.keys()
            stack.enter_context(stepped(model, wanted))
            with gradients_of_equal(model) as gradients:
                facts = facts_of(measured(), first)
    return facts

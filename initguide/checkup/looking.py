"""One look at a network: measure, gather the facts, and look for all that can be found."""

import contextlib
from dataclasses import dataclass, replace
from typing import Any

from torch import nn

from initguide.checkup.contents import contents_kept
from initguide.checkup.facts import Facts
from initguide.checkup.findings.registry import Draft, look_for_all
from initguide.checkup.noting import Notes
from initguide.checkup.opening import opened
from initguide.checkup.passes import as_in_training
from initguide.checkup.remedies import Remedies
from initguide.checkup.report import ORDER
from initguide.checkup.stepping import Step, Stepped, described, stepped
from initguide.introspection import left_alone
from initguide.propagation import Loss, Measurement, measure


@dataclass(frozen=True, eq=False)
class Case:
    """What is checked: the arguments of `initguide.checkup.check_init`."""

    model: nn.Module
    inputs: Any
    targets: Any
    loss: Loss | None
    seed: int
    step: Step | None = None

    @property
    def runs(self) -> nn.Module:
        """What is called with the inputs: the model, or a training step of the user's own."""
        return self.model if self.step is None else stepped(self.model, self.step)

    @property
    def given(self) -> Any:
        """What it is called with: a step takes its batch whole, whatever that is."""
        return self.inputs if self.step is None else (self.inputs,)

    def having(self, **changed: Any) -> "Case":
        """Return the same with some of it replaced."""
        return replace(self, **changed)


@dataclass(frozen=True, eq=False)
class Look:
    """What was seen, the worst first."""

    facts: Facts
    measured: Measurement
    drafts: tuple[Draft, ...]
    switched: bool  # whether batch normalization was switched to the batch
    passes: int  # forward and backward passes that it took
    notes: Notes | None  # what was seen of a step

    @property
    def errors(self) -> set[tuple[str, str]]:
        """Code and layer of each error."""
        return {(d.code, d.layer) for d in self.drafts if d.severity == "error"}

    def count(self, code: str, severity: str) -> tuple[int, ...]:
        """How many findings of a code there are: errors, then warnings, down to a severity."""
        alike: list[str] = [d.severity for d in self.drafts if d.code == code]
        return tuple(alike.count(s) for s in list(ORDER)[: ORDER[severity] + 1])


# So many answers are asked how far weights can move them: a fourth of what one alone says by
# accident is left, and a backward pass can ask them all if they have so many numbers.
_ANSWERS = 4


def _measured(case: Case) -> tuple[Measurement, Notes | None]:
    """Run the passes that all findings are drawn from; with a step, say what it gave to layers."""
    runs = case.runs
    with contextlib.ExitStack() as stack:
        if case.step:  # it may change attributes of the model, which `measure` then does not see
            stack.enter_context(contents_kept(case.model))
            stack.enter_context(left_alone(case.model))
        found = measure(
            runs,
            case.given,
            case.targets,
            case.loss,
            seed=case.seed,
            parameters=True,
            sensitivities=_ANSWERS,
        )
    if not isinstance(runs, Stepped):
        return found, None
    # What a step makes itself, as inputs that want a gradient for a penalty, is nobody's layer, and
    # weights that nothing of the model holds may be those of another network, trained beside it.
    held = tuple(stranger for stranger in found.strangers if stranger.attribute)
    runs.notes.foreign = sum(s.parameter for s in found.strangers if not s.attribute)
    source = f"{found.source.partition('; inputs: ')[0]}; batch: {described(case.inputs)}"
    name = "that of training_step"
    return replace(found, loss_name=name, strangers=held, source=source), runs.notes


def look(case: Case) -> Look:
    """Look at a network without trying anything."""
    model, passes = case.model, 0
    notes: Notes | None = None

    def measured() -> Measurement:
        nonlocal passes, notes
        passes += 1
        found, notes = _measured(case)
        return found

    def facts_of(found: Measurement, before: Measurement | None) -> Facts:
        fed = None if notes is None else notes.fed
        return Facts(model, found, case.inputs, case.targets, before=before, fed=fed)

    with as_in_training(model) as switched:
        facts = opened(model, measured, facts_of)
    drafts = tuple(_sorted(facts))
    return Look(facts, facts.before, drafts, switched, passes, notes)


def _sorted(facts: Facts) -> list[Draft]:
    """Everything that is to be said, the worst first."""
    advise = Remedies(facts)

    whole = advise.fill_all()

    def order(draft: Draft) -> tuple[bool, int, bool, int]:
        # Unscaled inputs make layers look faulty that are not: cause before consequence. Advice
        # for one layer comes before that for all.
        first = draft.layer == "inputs" and draft.severity != "note"
        remedy = next(iter(draft.remedies), "")
        everything = remedy in whole or remedy.startswith("initguide.initialize(model,")
        return not first, ORDER[draft.severity], everything, facts.where(draft.layer) or 0

    return sorted(look_for_all(facts, advise), key=order)

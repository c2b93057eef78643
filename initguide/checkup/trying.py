"""Advice is tried before it is given: on a copy, as it will be printed."""

import math
import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from importlib import import_module
from itertools import islice
from typing import Any, NamedTuple

import torch
from torch import nn

from initguide.checkup.descent import OPTIMIZERS, can_descend, descend, gained
from initguide.checkup.findings.registry import Draft
from initguide.checkup.looking import Case, Look, look
from initguide.checkup.remedies import together
from initguide.checkup.report import Attempt, Finding
from initguide.checkup.sandbox import sandbox
from initguide.progress import somebody_watches, tqdm

CANDIDATES, HIDDEN = 4, 4
"""How many remedies of a finding are tried, and how many faults that one hid may be mended."""

SMALL = 10**6
"""Up to this many numbers (parameters, and outputs of layers), passes are cheap: more is tried."""

TOLERATED = 0.1
"""A remedy must let one of the `OPTIMIZERS` learn better, and may cost the others this share more.

A few steps on one batch cannot tell smaller losses: weights that are too large learn it by heart.
"""

# Costs in plain steps of training: a pass that measures, a step, all that may be spent.
_PASS, _STEP = 4.0, 1.3


class Effort(NamedTuple):
    """How much is tried."""

    steps: int  # of each training
    limit: float  # of all that is tried, in plain steps of training


@dataclass(frozen=True)
class State:
    """What some advice leads to."""

    code: str
    look: Look
    learnt: Mapping[str, float]  # loss after some steps, by optimizer; empty if not known
    unit: float  # what the losses are measured in if the targets are others


class _RejectedError(Exception):
    """A remedy is not kept: why, and what else there is to be done."""

    def __init__(self, outcome: str, then: str = "") -> None:
        super().__init__(outcome)
        self.outcome, self.then = outcome, then


class Trials:
    """Tries the remedies of all that was found at one network.

    Findings of one severity and code are mended together. What is kept for one group is what the
    next ones start from, so that the advice of a report works in the order in which it is printed.
    """

    def __init__(self, case: Case, first: Look) -> None:
        self.case = case
        facts = first.facts
        size = sum(math.prod(p.shape) for p in first.measured.parameters)
        size += sum(math.prod(r.shape) for r in facts.records)
        self.effort = Effort(16, 400.0) if size <= SMALL else Effort(5, 40.0)
        self.spent = 0.0
        self.first = first
        self.state = State("", first, {}, math.nan)
        self.trained = _trainable(case.model)

    def findings(self) -> tuple[Finding, ...]:
        """Everything that was found, each with what was tried and what helped."""
        groups: dict[tuple[str, str], list[Draft]] = {}
        for draft in self.first.drafts:
            groups.setdefault((draft.severity, draft.code), []).append(draft)
        said: dict[tuple[str, str], tuple[str, tuple[Attempt, ...]]] = {}
        with tqdm(
            groups, "trying advice", delay=3, leave=False, disable=not somebody_watches()
        ) as bar:
            for key in bar:
                said[key] = self._mend(*key, groups[key])
        for key, (advice, tried) in said.items():  # what came later may have mended it, too
            if not advice and self._mended(*key, self.state.look):
                last = Attempt(
                    self.state.code, "the advice for other findings clears it", kept=True
                )
                said[key] = self.state.code, (*tried, last)
        return tuple(
            Finding(d.code, d.severity, d.layer, d.evidence, *said[d.severity, d.code])
            for d in self.first.drafts
        )

    def _mended(self, severity: str, code: str, now: Look, before: Look | None = None) -> bool:
        """Whether there is less of a finding than there was."""
        before = before or self.first
        if any(before.count(code, severity)):
            return now.count(code, severity) < before.count(code, severity)
        return now.count(code, "note") < before.count(code, "note")  # a milder one was left

    def _mend(
        self, severity: str, code: str, drafts: Sequence[Draft]
    ) -> tuple[str, tuple[Attempt, ...]]:
        """Return the advice for a group of findings, and what was tried."""
        here = self.state.look
        left = [d for d in here.drafts if d.code == code]
        tried = []
        if self.state.code and self._mended(severity, code, here):
            if not left:
                done = Attempt(self.state.code, "the advice above clears it", kept=True)
                return self.state.code, (done,)
            tried.append(Attempt(self.state.code, "the advice above lessens it", kept=True))
        for candidate in islice(candidates(left or drafts), CANDIDATES):
            if self.spent > self.effort.limit:
                break
            for attempt, state in self._follow(severity, code, candidate):
                tried.append(attempt)
                if state is not None:
                    self.state = state
                    return state.code, tuple(tried)
        return (self.state.code if tried and tried[0].kept else ""), tuple(tried)

    def _follow(
        self, severity: str, code: str, candidate: str
    ) -> Iterator[tuple[Attempt, State | None]]:
        """Try a remedy, and with it those of faults that it brings to light."""
        text = _pasted(self.state.code, candidate)
        for _ in range(1 + HIDDEN):
            state, outcome, then = self._try(text, severity, code)
            yield Attempt(text, outcome, kept=state is not None), state
            if state is not None or not then or self.spent > self.effort.limit:
                return
            text = _pasted(text, then)

    def _try(self, text: str, severity: str, code: str) -> tuple[State | None, str, str]:
        """Try code: what it leads to if it is kept, what it did, what else there is to be done."""
        case = self.case
        try:
            with sandbox(case.model, case.inputs, case.targets, seed=case.seed) as copies:
                new, then = self._looked(text, copies)
                cleared = self._judged(text, then, severity, code)
                state = State(text, then, *self._learnt(new, then, copies))
        except _RejectedError as rejected:
            return None, rejected.outcome, rejected.then
        if not can_descend(case, self.first.measured):
            return state, cleared, ""
        self._train_base()
        better, words = _compared(state, self.state)
        outcome = f"{cleared}; after {self.effort.steps} steps of training, the loss is {words}"
        return (state if better else None), outcome, _next(then, text)

    def _looked(self, text: str, copies: Sequence[Any]) -> tuple[Case, Look]:
        """Execute code, and look again."""
        try:
            new = executed(text, self.case, copies)
        except Exception as error:  # whatever the code raises
            raise _RejectedError(f"it raises {_words(error)}") from error
        if _trainable(new.model) < self.trained:
            raise _RejectedError("it trains less than before")
        try:
            then = look(new)
        except Exception as error:  # what the model makes of its new weights
            raise _RejectedError(f"then the check-up raises {_words(error)}") from error
        self.spent += _PASS * then.passes
        return new, then

    def _judged(self, text: str, then: Look, severity: str, code: str) -> str:
        """Say what became of a finding; refuse what does not help, or brings new errors."""
        if not self._mended(severity, code, then, self.state.look):
            raise _RejectedError("it is found all the same")
        cleared = "lessens it" if any(then.count(code, "note")) else "clears it"
        for draft in then.drafts:
            if (draft.code, draft.layer) in then.errors - self.first.errors:
                outcome = f"{cleared}, and brings to light {draft.code} at {draft.layer}"
                raise _RejectedError(outcome, _next(then, text, draft.code))
        return cleared

    def _learnt(
        self, case: Case, now: Look, copies: Sequence[Any]
    ) -> tuple[Mapping[str, float], float]:
        """Train for some steps; return the losses, and their unit if the targets are others."""
        if not can_descend(self.case, self.first.measured):
            return {}, math.nan
        self.spent += _STEP * self.effort.steps * len(OPTIMIZERS)
        other = case.targets is not copies[2] or case.loss is not self.case.loss
        unit = _unit(now) if other else math.nan
        try:
            return descend(case, self.effort.steps), unit
        except Exception:  # noqa: BLE001  a model that cannot be trained has learnt nothing
            return dict.fromkeys(OPTIMIZERS, math.inf), unit

    def _train_base(self) -> None:
        """Train what a remedy starts from, if that was not done."""
        if self.state.learnt:
            return
        case = self.case
        with sandbox(case.model, case.inputs, case.targets, seed=case.seed) as copies:
            same = case.having(model=copies[0], inputs=copies[1], targets=copies[2])
            learnt, _ = self._learnt(same, self.first, copies)
        self.state = replace(self.state, learnt=learnt)


def executed(text: str, case: Case, copies: Sequence[Any]) -> Case:
    """Execute advice as a user would who pasted it; return what it leaves."""
    names = {
        "model": copies[0],
        "inputs": copies[1],
        "targets": copies[2],
        "loss": case.loss,
        "torch": torch,
        # The package is what advice calls; importing it above would be a circle.
        "initguide": import_module(__name__.partition(".")[0]),
    }
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        exec(text, names)  # noqa: S102  our own advice
    return case.having(**{key: names[key] for key in ("model", "inputs", "targets", "loss")})


def candidates(drafts: Sequence[Draft]) -> Iterator[str]:
    """Remedies of several findings of one kind, joined: their first ones, then their second."""
    seen = set()
    for number in range(max((len(d.remedies) for d in drafts), default=0)):
        chosen = [
            (d.layer, d.remedies[min(number, len(d.remedies) - 1)]) for d in drafts if d.remedies
        ]
        text = together(chosen)
        if text not in seen:
            seen.add(text)
            yield text


def _next(then: Look, text: str, code: str | None = None) -> str:
    """Return a remedy, not in the text yet, of the worst finding that is left, or of a code."""
    for draft in then.drafts:
        if draft.remedies and draft.severity != "note" and code in (None, draft.code):
            alike = [d for d in then.drafts if (d.code, d.severity) == (draft.code, draft.severity)]
            return next((other for other in candidates(alike) if other not in text), "")
    return ""


def _compared(state: State, base: State) -> tuple[bool, str]:
    """Whether a state learns better than what it started from, and the losses in words."""
    unit = before_unit = 1.0
    if not math.isnan(state.unit):  # the targets are others, so losses are shares
        unit, before_unit = state.unit, _unit(base.look)
    pairs = {
        name: (now / unit, base.learnt[name] / before_unit) for name, now in state.learnt.items()
    }
    words = " and ".join(
        f"{now:.3g} with {name} ({before:.3g} without the advice)"
        for name, (now, before) in pairs.items()
    )
    if base.look.measured.blank_loss > 0 > min((b for _, b in pairs.values()), default=0.0):
        return True, f"{words}, which is no measure: without this, it has no lowest value"
    gains = [gained(*pair) for pair in pairs.values()]
    return max(gains) > 0 and sum(gains) > -TOLERATED, words


def _unit(seen: Look) -> float:
    """What it costs to answer the same for all inputs: the best answer, or 0."""
    known = [c.base for c in seen.measured.comparisons if c.base > 0]
    known += [b for b in (seen.measured.blank_loss, abs(seen.measured.loss)) if b > 0]
    return known[0] if known else 1.0


def _pasted(*texts: str) -> str:
    """Code below code."""
    return "\n".join(text for text in texts if text)


def _trainable(model: nn.Module) -> int:
    """How many numbers are trained."""
    return sum(p.numel() for p in model.parameters() if p.requires_grad)


def _words(error: Exception) -> str:
    """First line of an error."""
    first = (str(error).splitlines() or [""])[0]
    return f"{type(error).__name__}: {first}" if first else type(error).__name__

"""What a finding is made by: a registered function of the facts.

To add a finding, write a function in the file of its family (or a new file in this folder)::

    @finding({"too-many-units": "a layer has more units than the batch has numbers"}, order=55)
    def too_many_units(facts, advise, found):
        for weight in facts.weights:
            if weight.natural**2 > 1000:
                yield Draft("too-many-units", "note", weight.parameter.layer, "...", "...")

Nothing else has to be touched: the files of this folder are imported by themselves. A threshold
stands beside the function that uses it, with its reason.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import NamedTuple

from initguide.checkup.facts import Facts
from initguide.checkup.remedies import Remedies
from initguide.checkup.report import ORDER, Severity


@dataclass(frozen=True)
class Draft:
    """What was found, before its remedies are tried.

    Attributes
    ----------
    code, severity, layer, evidence
        As in `Finding`.
    remedies
        Code that may mend it, the best first; one string is one remedy, and none is known if it is
        empty. Written by `Remedies`; the first that mends it becomes the advice.
    cause
        Code of a finding that it follows from, if that is found: it is then said under that one,
        whose severity becomes the worse of the two.
    """

    code: str
    severity: Severity
    layer: str
    evidence: str
    remedies: Sequence[str] = ()
    cause: str = ""

    def __post_init__(self) -> None:
        if isinstance(self.remedies, str):
            object.__setattr__(self, "remedies", (self.remedies,))
        object.__setattr__(self, "remedies", tuple(dict.fromkeys(self.remedies)))


Look = Callable[[Facts, Remedies, Sequence[Draft]], Iterable[Draft]]


class Rule(NamedTuple):
    """A registered function, and when it is asked."""

    look: Look
    order: int
    decides: bool
    always: bool


_rules: list[Rule] = []
_codes: dict[str, str] = {}
CODES: Mapping[str, str] = MappingProxyType(_codes)
"""The code of each finding, with what it says. Codes are stable; a new version may add some."""


def finding(
    codes: Mapping[str, str], *, order: int, decides: bool = False, always: bool = False
) -> Callable[[Look], Look]:
    """Register a function that looks for something.

    It is called with the facts, with what writes advice, and with all that was found before, and
    yields drafts of findings.

    Parameters
    ----------
    codes
        The codes that it may give, each with what it says.
    order
        When it is asked: causes before what follows from them. Of findings of one severity about
        one layer, what was found first is said first.
    decides
        If it finds something, nothing else is worth asking, as where numbers are not finite.
    always
        It is asked all the same.

    Raises
    ------
    ValueError
        If a code is taken.
    """
    if taken := codes.keys() & _codes.keys():
        raise ValueError(f"there is a finding {min(taken)!r} already; choose another code")

    def register(look: Look) -> Look:
        _codes.update(codes)
        _rules.append(Rule(look, order, decides, always))
        return look

    return register


def look_for_all(facts: Facts, advise: Remedies) -> list[Draft]:
    """Ask all registered functions, in their order."""
    found: list[Draft] = []
    decided = False
    for rule in sorted(_rules, key=lambda rule: rule.order):
        if not decided or rule.always:
            new = list(rule.look(facts, advise, found))
            decided = decided or (rule.decides and bool(new))
            for draft in new:
                _add(found, draft)
    return found


def _add(found: list[Draft], draft: Draft) -> None:
    """Add what was found, or say it under its cause."""
    for i, cause in enumerate(found):
        if draft.cause and cause.code == draft.cause:
            found[i] = replace(
                cause,
                severity=min(cause.severity, draft.severity, key=list(ORDER).index),
                evidence=f"{cause.evidence} It follows ({draft.code}): {draft.evidence}",
            )
            return
    found.append(draft)

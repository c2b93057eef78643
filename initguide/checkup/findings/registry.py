"""What a finding is made by: a registered function of the facts.

To add a finding, write a function in the file of its family (or a new file in this folder)::

    @finding({"too-many-units": "a layer has more units than the batch has numbers"}, order=55)
    def too_many_units(facts, advise, found):
        for weight in facts.weights:
            if weight.natural**2 > 1000:
                yield Finding("too-many-units", "note", weight.parameter.layer, "...", "...")

Nothing else has to be touched: the files of this folder are imported by themselves. A threshold
stands beside the function that uses it, with its reason.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import NamedTuple

from initguide.checkup.facts import Facts
from initguide.checkup.remedies import Remedies
from initguide.checkup.report import Finding

Look = Callable[[Facts, Remedies, Sequence[Finding]], Iterable[Finding]]


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
    yields findings.

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


def look_for_all(facts: Facts, advise: Remedies) -> list[Finding]:
    """Ask all registered functions, in their order."""
    found: list[Finding] = []
    decided = False
    for rule in sorted(_rules, key=lambda rule: rule.order):
        if not decided or rule.always:
            new = list(rule.look(facts, advise, found))
            decided = decided or (rule.decides and bool(new))
            found += new
    return found

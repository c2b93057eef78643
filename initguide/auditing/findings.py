"""What an audit warns of: one registered function each.

To add one, write a function of all that was read::

    @flag({"huge-mean": "the mean is larger than the standard deviation"})
    def huge_mean(looked):
        for one in looked.read:
            if abs(one.seen.mean) > one.seen.std > 0:
                yield Finding("huge-mean", "note", one.place.name, "...")

Nothing else has to be touched.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import NamedTuple

import torch
from torch import Generator, Tensor

from initguide.auditing.families import Match
from initguide.auditing.places import Place
from initguide.auditing.reading import Summary, flat_chunks
from initguide.auditing.report import Finding, Severity
from initguide.auditing.watching import Write

__all__ = ["CODES", "Look", "Looked", "Seen", "flag", "look_for_all"]


class Seen(NamedTuple):
    """A parameter that was read: where it stands, its values, and what they look like."""

    place: Place
    seen: Summary
    match: Match


@dataclass(frozen=True, eq=False)
class Looked:
    """All that the findings are made of.

    Attributes
    ----------
    read
        The parameters that hold numbers.
    unread
        The others, each with the reason.
    deviations
        Name of a parameter -> how it differs from what was meant.
    writes
        Name of a parameter -> who wrote it, in order; empty if that was not watched.
    """

    read: tuple[Seen, ...]
    unread: Mapping[str, str]
    deviations: Mapping[str, str]
    writes: Mapping[str, tuple[Write, ...]]


Look = Callable[[Looked], Iterable[Finding]]
_looks: list[Look] = []
_codes: dict[str, str] = {}
CODES: Mapping[str, str] = MappingProxyType(_codes)
"""The code of each finding, with what it says."""


def flag(codes: Mapping[str, str]) -> Callable[[Look], Look]:
    """Register a function that looks for something, with the codes that it may give.

    Raises
    ------
    ValueError
        If a code is taken.
    """
    if taken := codes.keys() & _codes.keys():
        raise ValueError(f"there is a finding {min(taken)!r} already; choose another code")

    def register(look: Look) -> Look:
        _codes.update(codes)
        _looks.append(look)
        return look

    return register


def look_for_all(looked: Looked) -> tuple[Finding, ...]:
    """Ask all registered functions; errors first, then in the order of the parameters."""
    found = [finding for look in _looks for finding in look(looked)]
    names = [one.place.name for one in looked.read] + list(looked.unread)
    order = {name: i for i, name in enumerate(names)}
    severities = ("error", "warning", "note")
    return tuple(
        sorted(found, key=lambda f: (severities.index(f.severity), order.get(f.parameter, 0)))
    )


@flag({"not-as-intended": "the values are not what the intended scheme gives"})
def not_as_intended(looked: Looked) -> Iterator[Finding]:
    """What was meant is held against what is there by the caller; here it is said."""
    for name, deviation in looked.deviations.items():
        yield Finding("not-as-intended", "error", name, deviation)


HUGE = 1e10
"""No scheme draws weights of this size, and random bytes are often larger."""


@flag(
    {
        "uninitialized": "memory that nothing was written to, or that holds what no scheme draws",
        "hole": "a stretch of zeros inside a draw",
    }
)
def uninitialized(looked: Looked) -> Iterator[Finding]:
    """Bytes that were there before, read as numbers: not finite, huge, or tiny beyond any draw."""
    for place, seen, match in looked.read:
        writes = looked.writes.get(place.name, ())
        if writes and writes[-1].kind == "unfilled":
            yield Finding(
                "uninitialized", "error", place.name, f"nothing was written after {writes[-1].by}"
            )
        elif seen.not_finite:
            evidence = f"{seen.not_finite:,} of {seen.count:,} values are not finite"
            yield Finding("uninitialized", "error", place.name, evidence)
        elif seen.largest > HUGE:
            evidence = f"a magnitude of {seen.largest:.2g}, which no scheme draws"
            yield Finding("uninitialized", "error", place.name, evidence)
        elif seen.denormal:
            # Float16 has none of these: its smallest number is 6e-8.
            evidence = (
                f"{seen.denormal:,} values between 0 and 1.2e-38, which no scheme draws: bytes of "
                "something else"
            )
            yield Finding("uninitialized", "error", place.name, evidence)
        elif _is_hole(place, seen, match):
            evidence = (
                f"{seen.zeros:,} zeros in one stretch from value {seen.first_zero:,} on, "
                f"among {seen.count:,}"
            )
            yield Finding("hole", "warning", place.name, evidence)


def _is_hole(place: Place, seen: Summary, match: Match) -> bool:
    """Whether the zeros of a draw lie in one stretch, as rows that were not filled do."""
    stretch = seen.last_zero - seen.first_zero + 1
    padding = getattr(place.layer, "padding_idx", None)
    if padding is not None and seen.zeros == place.tensor.shape[-1]:
        return False  # an embedding's padding row means "nothing"
    # No draw has sixteen zeros in a row, and so few would not show in the tests of shape.
    drawn = match.drawn or match.family == "other"
    return drawn and 16 <= seen.zeros == stretch < seen.count


@flag(
    {
        "equal-copies": "two parameters have the same values, and are not one tensor",
        "equal-parts": "the matrices that are stacked in one parameter are equal",
        "same-draw": "two parameters start with the same random numbers: a seed was used again",
    }
)
def equal_copies(looked: Looked) -> Iterator[Finding]:
    """Random numbers that occur twice, as after a layer was copied or a seed set again."""
    drawn = [one for one in looked.read if one.match.drawn or one.match.family == "other"]
    groups: dict[tuple[object, ...], list[Seen]] = {}
    said: set[str] = set()
    for one in drawn:
        seen = one.seen
        key = (tuple(one.place.tensor.shape), seen.dtype, seen.mean, seen.std, seen.low, seen.high)
        for other in groups.setdefault(key, []):
            if _equal(one.place.tensor, other.place.tensor):
                evidence = f"the same {seen.count:,} values as {other.place.name}"
                yield Finding("equal-copies", "warning", one.place.name, evidence)
                said.add(one.place.name)
                break
        groups[key].append(one)
        tensor = one.place.tensor
        if tensor.ndim > 2 and len(tensor) > 1 and _is_stack(one.place):
            first = tensor[0]
            if all(torch.equal(first, part) for part in tensor[1:]):
                evidence = f"its {len(tensor)} matrices are equal"
                yield Finding("equal-parts", "warning", one.place.name, evidence)
    yield from _same_draws([one for one in drawn if one.place.name not in said])


def _is_stack(place: Place) -> bool:
    """Whether the first dimension counts matrices, as for experts; for a convolution, it is units.

    Equal units are what `initguide.check_init` looks for.
    """
    return not isinstance(place.layer, torch.nn.modules.conv._ConvNd)  # noqa: SLF001


def _equal(one: Tensor, other: Tensor) -> bool:
    if one.device != other.device or one.stride() != other.stride():
        return False
    pairs = zip(flat_chunks(one), flat_chunks(other), strict=True)
    return all(torch.equal(a, b) for a, b in pairs)


FIRST = 64
"""Values by which draws are told apart: two independent ones have a correlation of 0 ± 0.13."""


def _same_draws(drawn: list[Seen]) -> Iterator[Finding]:
    rows = [
        (one, flat_chunks(one.place.tensor)[0][:FIRST].to("cpu", torch.float64))
        for one in drawn
        if one.seen.count >= FIRST and not one.place.tensor.is_complex()
    ]
    usable = [(one, row - row.mean()) for one, row in rows if float(row.std()) > 0]
    if len(usable) < 2:
        return
    matrix = torch.stack([row / row.norm() for _, row in usable])
    # In low precision two scalings of one draw are rounded apart by up to 0.4 %.
    alike = (matrix @ matrix.T > 0.999).tril(-1)
    for i, (one, _) in enumerate(usable):
        if bool(alike[i].any()):
            first = usable[int(alike[i].nonzero()[0])][0]
            evidence = f"its first {FIRST} values are those of {first.place.name}, up to a scale"
            yield Finding("same-draw", "warning", one.place.name, evidence)


@flag({"tied": "one tensor has several names"})
def tied(looked: Looked) -> Iterator[Finding]:
    """Whoever fills one of them fills the others."""
    for place, *_ in looked.read:
        if len(place.names) > 1:
            evidence = f"the same tensor as {', '.join(place.names[1:])}"
            yield Finding("tied", "note", place.name, evidence)


COARSE = 0.6
"""Share of the distinct values that a draw should have, below which it counts as damaged.

Drawn afresh and rounded to the same type, the share is 1 within a few percent.
"""


@flag({"low-precision": "fewer distinct values than a draw of this type has"})
def low_precision(looked: Looked) -> Iterator[Finding]:
    """A draw that was rounded more coarsely than its type, or fell below its smallest numbers."""
    for place, seen, match in looked.read:
        if match.family == "orthogonal" or seen.sampled < 1000 or seen.std == 0:
            continue
        if match.member is None and match.family != "other":
            continue
        generator = Generator().manual_seed(0)
        if match.member is not None:
            fresh = match.member.draw(seen.sampled, generator)
        else:
            z = torch.randn(seen.sampled, generator=generator, dtype=torch.float64)
            fresh = z * seen.std + seen.mean
        expected = len(fresh.to(seen.dtype).unique())
        if seen.distinct < COARSE * expected:
            evidence = (
                f"{seen.distinct:,} distinct values among {seen.sampled:,}, where a draw in "
                f"{str(seen.dtype).removeprefix('torch.')} has about {expected:,}"
            )
            yield Finding("low-precision", "warning", place.name, evidence)


@flag(
    {
        "overwritten": "a fill was replaced by a later one, or loaded values by a fill",
        "not-loaded": "others were loaded and this was not: missing in the checkpoint",
    }
)
def overwritten(looked: Looked) -> Iterator[Finding]:
    """Who wrote last, where that was watched."""
    any_loaded = any(w.kind == "loaded" for writes in looked.writes.values() for w in writes)
    for name, writes in looked.writes.items():
        whole = [w for w in writes if w.whole and w.kind != "unfilled"]
        loaded = any(w.kind == "loaded" for w in whole)
        if any_loaded and writes and not loaded:
            wrote = whole[-1].by if whole else "nothing"
            evidence = f"missing in what was loaded; written last by {wrote}"
            yield Finding("not-loaded", "warning", name, evidence)
        lost = _lost(whole)
        if lost is not None:
            evidence = f"what {lost.by} wrote was replaced by {whole[-1].by}"
            severity: Severity = "note" if whole[-1].kind == "loaded" else "warning"
            yield Finding("overwritten", severity, name, evidence)


def _lost(whole: list[Write]) -> Write | None:
    """The fill that somebody asked for, and that the last write replaced."""
    if not whole:
        return None
    for before in reversed(whole[:-1]):
        # Scaling in place, as by `orthogonal_`'s gain, keeps what was drawn.
        if before.kind in {"filled", "loaded"} and _source(before) != _source(whole[-1]):
            return None if _keeps(whole[-1]) else before
    return None


def _source(write: Write) -> str:
    """The line without the operation: several operations of one scheme are one fill."""
    return write.by.partition(" in ")[2].rpartition(":")[0]


def _keeps(write: Write) -> bool:
    return write.by.partition(" ")[0] in {"mul_", "div_", "add_", "sub_", "clamp_", "__setitem__"}


@flag({"not-read": "a parameter without numbers"})
def not_read(looked: Looked) -> Iterator[Finding]:
    """Parameters that could not be audited are named, not passed over."""
    for name, reason in looked.unread.items():
        yield Finding("not-read", "note", name, reason)

"""The audit itself: each parameter is read once, named, and held against what was meant."""

import dataclasses
import math
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from typing import ParamSpec, Protocol, TypeVar, cast

import torch
from torch import nn

from initguide.arguments import check_whole
from initguide.auditing.families import match
from initguide.auditing.findings import Looked, Seen, look_for_all
from initguide.auditing.intentions import Intended, Intentions
from initguide.auditing.places import Place, places_of, why_unreadable
from initguide.auditing.reading import read
from initguide.auditing.report import Audit, Parameter
from initguide.auditing.rules import rules_that_fit
from initguide.auditing.testing import FALSE_ALARM
from initguide.auditing.watching import Write, Writes, watch
from initguide.initializers import Fans

__all__ = ["audit"]

P = ParamSpec("P")
Result_co = TypeVar("Result_co", covariant=True)


class _WithWatch(Protocol[P, Result_co]):
    """A function that has `watch` as an attribute, for type checkers."""

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> Result_co: ...

    def watch(self) -> AbstractContextManager[Writes]:
        """See `initguide.auditing.watch`."""


def _with_watch(function: Callable[P, Result_co]) -> _WithWatch[P, Result_co]:
    """Let a function be called as it is, and `watch` be had from it: ``audit.watch()``."""
    carrying = cast(_WithWatch[P, Result_co], function)
    carrying.watch = watch  # type: ignore[method-assign]
    return carrying


@_with_watch
def audit(
    model: nn.Module,
    intended: Intended | Mapping[str, Intended] | None = None,
    *,
    writes: Writes | None = None,
    seed: int = 0,
) -> Audit:
    """Tell what each parameter of a model really got.

    Every parameter is read once, in pieces, so memory stays bounded; the model is left as it is.

    Parameters
    ----------
    model
        Any module. Parameters on the meta device and others without numbers are named, not read.
    intended
        What was meant: a scheme by name (see `initguide.initializers.from_name`) or as a function
        of a module; or a mapping of patterns to schemes, where ``*`` stands for any characters
        (`fnmatch`), a pattern fits the name of a parameter or of a module that it is in, and the
        first that fits decides. Parameters that a scheme leaves alone are not judged. A scheme that
        fills layer by layer is tried on a copy of one layer at a time; one that needs the
        architecture, and a function of your own, on a copy of the model.
    writes
        What `watch` yielded: tells who wrote each parameter last.
    seed
        At least 0: of the draws that are compared with what was meant.

    Returns
    -------
    Audit
        A table: distribution, moments, std × √fan-in, known rules, what was found.

    Raises
    ------
    TypeError
        If ``model`` is no module, or ``intended`` neither a scheme nor a mapping of them.
    ValueError
        If a scheme is unknown, a pattern fits no parameter, or ``seed`` is out of range.

    Examples
    --------
    >>> import initguide
    >>> torch.set_num_threads(1)
    >>> net = nn.Sequential(nn.Linear(64, 256), nn.ReLU(), nn.Linear(256, 10))
    >>> net = initguide.initialize(net, "he_normal", seed=0)
    >>> report = audit(net, "he_normal")
    >>> report.ok, report["0.weight"].distribution, report["0.weight"].rules
    (True, 'normal', ('He normal',))
    >>> audit(net, {"0": "he_normal", "2.weight": "lecun_normal"}).findings[0].parameter
    '2.weight'
    """
    if not isinstance(model, nn.Module):
        raise TypeError(f"model is of type {type(model).__name__}; it must be a torch.nn.Module")
    if writes is not None and not isinstance(writes, Writes):
        raise TypeError(
            f"writes is of type {type(writes).__name__}; it must be what `initguide.audit.watch()` "
            "yields"
        )
    check_whole("seed", seed, 0)
    intentions = None if intended is None else Intentions(model, intended, seed)
    rows: list[Parameter] = []
    looks: list[Seen] = []
    unread: dict[str, str] = {}
    deviations: dict[str, str] = {}
    written: dict[str, tuple[Write, ...]] = {}
    with torch.no_grad():
        for place, countings in places_of(model):
            history = () if writes is None else writes.of(place.tensor)
            if history:
                written[place.name] = history
            if reason := why_unreadable(place.tensor):
                unread[place.name] = reason
                rows.append(_unread(place, reason))
                continue
            row, look, deviation = _look(place, countings, intentions, history)
            rows.append(row)
            looks.append(look)
            if deviation:
                deviations[place.name] = deviation
        findings = look_for_all(Looked(tuple(looks), unread, deviations, written))
    return Audit(type(model).__name__, tuple(rows), findings, FALSE_ALARM)


def _look(
    place: Place,
    countings: tuple[Fans, ...],
    intentions: Intentions | None,
    history: tuple[Write, ...],
) -> tuple[Parameter, Seen, str]:
    """Read one parameter: its line, what the findings need, and how it differs from what is meant.

    The sample is forgotten with the values: half a megabyte for each of thousands of parameters.
    """
    seen = read(place.tensor)
    found = match(place, seen)
    rules: tuple[str, ...] = ()
    # Orthogonal weights look like normal ones of std 1/√n, and are not drawn by such a rule.
    if found.family not in {"not finite", "orthogonal", "identity", "sparse"}:
        rules = rules_that_fit(place, countings, seen)
    intended, deviation = intentions.judge(place, seen) if intentions is not None else (None, "")
    row = Parameter(
        name=place.name,
        shape=tuple(place.tensor.shape),
        dtype=_dtype(place),
        distribution=found.family,
        written=found.written,
        test=found.evidence,
        mean=seen.mean,
        std=seen.std,
        fan_in=place.fan_in,
        scaled=seen.std * math.sqrt(place.fan_in) if place.role == "weight" else math.nan,
        rules=rules,
        intended=intended,
        as_intended=None if intended is None else not deviation,
        last_write=history[-1].by if history else None,
    )
    nothing = torch.empty(0, dtype=torch.float64)
    return row, Seen(place, dataclasses.replace(seen, sample=nothing), found), deviation


def _unread(place: Place, reason: str) -> Parameter:
    nan = math.nan
    lazy = nn.parameter.is_lazy(place.tensor)
    return Parameter(
        name=place.name,
        shape=() if lazy else tuple(place.tensor.shape),
        dtype=_dtype(place),
        distribution="not read",
        written="not read",
        test=reason,
        mean=nan,
        std=nan,
        fan_in=place.fan_in,
        scaled=nan,
        rules=(),
    )


def _dtype(place: Place) -> str:
    return str(place.tensor.dtype).removeprefix("torch.")

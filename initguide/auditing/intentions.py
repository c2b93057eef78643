"""What was meant: a scheme fills a copy of each layer, with which the layer is then compared.

So anything that fills a model can be asked for, without the audit knowing what it draws: a scheme
by name, or somebody's own function.
"""

import copy
import difflib
import fnmatch
import math
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from initguide.auditing.families import match
from initguide.auditing.places import Place, why_unreadable
from initguide.auditing.reading import Summary, read
from initguide.auditing.testing import ALPHA, compare
from initguide.initializers import Scheme, from_name, written
from initguide.randomness import seeded

__all__ = ["Intended", "Intentions"]

Intended = str | Callable[[nn.Module], object]


class Intentions:
    """Which scheme each parameter should have had, and what that would have given.

    Parameters
    ----------
    model
        The model that is audited; it is only copied, a layer at a time where the scheme fills
        layers, as a whole where it needs the architecture or is a function of the user's own.
    intended
        A scheme for all, or a mapping of patterns to schemes, the first that fits deciding.
    seed
        Of the draws that are compared with.
    """

    def __init__(
        self, model: nn.Module, intended: Intended | Mapping[str, Intended], seed: int
    ) -> None:
        patterns = dict(intended) if isinstance(intended, Mapping) else {"*": intended}
        if not patterns:
            raise ValueError("intended is empty; give a scheme, or a mapping of names to schemes")
        self._schemes = {pattern: _scheme(value) for pattern, value in patterns.items()}
        self._model = model
        self._seed = seed
        # Only the last layer's copy is kept: a layer's parameters come one after the other.
        self._filled: dict[tuple[str, str], dict[str, Tensor]] = {}
        names = [name for name, _ in model.named_parameters(remove_duplicate=False)]
        layers = [name for name, _ in model.named_modules()]
        for pattern in patterns:
            if not fnmatch.filter([*names, *layers], pattern):
                nearest = difflib.get_close_matches(pattern, names, n=3, cutoff=0.0)
                hint = f"; the nearest are {', '.join(map(repr, nearest))}" if nearest else ""
                raise ValueError(
                    f"intended[{pattern!r}] fits no parameter of {type(model).__name__}{hint}"
                )

    def judge(self, place: Place, seen: Summary) -> tuple[str | None, str]:
        """Hold a parameter against the scheme that was meant for it.

        Returns
        -------
        words
            The scheme; ``None`` where none was meant, or where the scheme leaves the parameter
            alone.
        deviation
            What differs; empty if the parameter is as intended.
        """
        for pattern, scheme in self._schemes.items():
            if any(_fits(pattern, name) for name in place.names):
                reference = self._reference(pattern, scheme, place)
                if reference is None or why_unreadable(reference):
                    return None, ""
                return written(scheme), _deviation(place, seen, reference)
        return None, ""

    def _reference(
        self, pattern: str, scheme: Callable[[nn.Module], object], place: Place
    ) -> Tensor | None:
        owner, _, own = place.name.rpartition(".")
        by_layer = isinstance(scheme, Scheme) and scheme.require is None
        key = (pattern, owner if by_layer else "")
        if key not in self._filled:
            source = self._model.get_submodule(owner) if by_layer else self._model
            kept = {k: v for k, v in self._filled.items() if not k[1]}
            self._filled = {**kept, key: _filled(source, scheme, self._seed, alone=by_layer)}
        return self._filled[key].get(own if by_layer else place.name)


def _scheme(value: object) -> Callable[[nn.Module], object]:
    if isinstance(value, str):
        return from_name(value)
    if not callable(value):
        raise TypeError(
            f"intended is {value!r}; it must be a scheme's name such as 'he_normal', a function of "
            "a module, or a mapping of name patterns to these"
        )
    return value


def _fits(pattern: str, name: str) -> bool:
    """Whether a pattern names a parameter, or a module that it is in."""
    parts = name.split(".")
    return any(
        fnmatch.fnmatchcase(".".join(parts[:end]), pattern) for end in range(len(parts), 0, -1)
    )


def _filled(
    source: nn.Module, scheme: Callable[[nn.Module], Any], seed: int, *, alone: bool
) -> dict[str, Tensor]:
    """What a scheme fills in a copy: the parameters that it leaves alone are not there."""
    twin = copy.deepcopy(source)
    with torch.no_grad():
        for tensor in twin.parameters():
            if tensor.is_floating_point() and not tensor.is_meta:
                tensor.fill_(math.nan)
    with seeded(seed):
        if alone:
            scheme(twin)
        elif isinstance(scheme, Scheme):
            scheme.fill_model(twin)
        else:
            twin.apply(scheme)
    return {
        name: tensor.detach()
        for name, tensor in twin.named_parameters(remove_duplicate=False)
        if tensor.is_floating_point()
        and not tensor.is_meta
        and not bool(tensor.flatten()[:1].isnan().any())
    }


def _deviation(place: Place, seen: Summary, reference: Tensor) -> str:
    expected = read(reference)
    # One value, unlike a 0, tells nothing about what it was drawn from.
    if expected.not_finite or (seen.count == 1 and expected.low != 0):
        return ""
    if seen.not_finite:
        return f"{seen.not_finite:,} values are not finite"
    twin = Place(
        place.names,
        reference,
        place.layer,
        place.role,
        place.fan_in,
        place.fan_out,
        place.depth,
    )
    found, meant = match(place, seen), match(twin, expected)
    # These are known exactly: no sampling error, but that of the type. A matrix is at right angles
    # whatever its values are, so its size is compared by their mean square.
    if {"zero", "constant", "identity", "orthogonal"} & {found.family, meant.family}:
        sizes = [math.hypot(s.mean, s.std * math.sqrt(1 - 1 / s.count)) for s in (seen, expected)]
        close = 1e-2 if found.family == "orthogonal" else seen.rounding
        same = found.family == meant.family and math.isclose(*sizes, rel_tol=close)
        if found.family == "constant":  # its sign counts, too
            same = same and seen.low * expected.low > 0
        return "" if same else f"{found.written} where {meant.written} was meant"
    verdict = compare(seen, expected)
    if verdict.fits:
        return ""
    if verdict.test == "std":
        ratio = seen.std / expected.std
        what = f"std {seen.std:.4g} is {ratio:.3g} times the {expected.std:.4g} that was meant"
    elif verdict.test == "mean":
        what = f"mean {seen.mean:.3g} where {expected.mean:.3g} was meant"
    else:
        what = f"{found.family}, {found.written}, where {meant.family}, {meant.written}, was meant"
    return f"{what} (p below {ALPHA:g})"

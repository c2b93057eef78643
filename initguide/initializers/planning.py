"""What `initialize` will fill, what it will leave alone, and why."""

import difflib
import fnmatch
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, overload

from torch import Tensor, nn
from torch.nn.parameter import is_lazy

from initguide.arguments import check_choice, check_number
from initguide.initializers.fans import Fans
from initguide.initializers.in_use import found_in_use
from initguide.initializers.matrices import Roles, roles_of
from initguide.initializers.purpose import is_zero, on_purpose
from initguide.initializers.scheme import Scheme, is_computed, is_known, names_filled
from initguide.tables import Table

__all__ = ["BIASES", "Bias", "Fate", "InitializeWarning", "Plan", "make_plan"]

_COMPUTED = "the layer's weight is computed from it (a parametrization)"
_OWN = "which keeps its own start"
_BARE = "a bare parameter: its fan-in is not known; give inputs= or fans="

Bias = Literal["auto", "fill", "keep"]
BIASES = ("auto", "fill", "keep")


class InitializeWarning(UserWarning):
    """`initialize` left something alone that one would expect it to fill."""


@dataclass(frozen=True)
class Fate:
    """What becomes of one parameter.

    Attributes
    ----------
    name
        As in ``model.named_parameters()``.
    shape
        Its shape; empty for one that has none yet.
    filled
        Whether the scheme fills it (or the rest of it, where a part is kept).
    why
        Why it is left alone or kept in part, or what else is filled with it; often empty.
    expected
        Whether one would expect it to be filled, and it is not: `initialize` warns of those.
    """

    name: str
    shape: tuple[int, ...]
    filled: bool
    why: str = ""
    expected: bool = False


class Plan(Sequence[Fate]):
    """What becomes of each parameter: what `plan_of` returns. Printed, it is a table."""

    def __init__(self, fates: Sequence[Fate], caption: str) -> None:
        self._fates, self._caption = tuple(fates), caption

    @property
    def filled(self) -> tuple[str, ...]:
        """Names of the parameters that are filled."""
        return tuple(fate.name for fate in self if fate.filled)

    @property
    def left(self) -> Mapping[str, str]:
        """Names of the parameters that are left alone or kept in part -> why."""
        return {fate.name: fate.why for fate in self if not fate.filled or fate.expected}

    def __len__(self) -> int:
        return len(self._fates)

    @overload
    def __getitem__(self, key: int) -> Fate: ...
    @overload
    def __getitem__(self, key: slice) -> tuple[Fate, ...]: ...
    def __getitem__(self, key: int | slice) -> Fate | tuple[Fate, ...]:
        return self._fates[key]

    def _table(self) -> Table:
        return Table(
            {
                "parameter": [fate.name for fate in self],
                "shape": [" × ".join(map(str, fate.shape)) or "–" for fate in self],
                "filled": [fate.filled for fate in self],
                "why": [fate.why for fate in self],
            },
            caption=self._caption,
        )

    def __str__(self) -> str:
        return str(self._table())

    __repr__ = __str__

    def _repr_html_(self) -> str:
        return self._table()._repr_html_()

    def words(self) -> str:
        """Say what is left alone against expectation, by reason; empty if nothing is."""
        reasons: dict[str, list[str]] = {}
        for fate in self:
            if fate.expected:
                reasons.setdefault(fate.why, []).append(fate.name)
        return "; ".join(
            f"{', '.join(names[:3])}{f' and {len(names) - 3} more' * (len(names) > 3)} ({why})"
            for why, names in reasons.items()
        )


@dataclass(frozen=True)
class Work:
    """The plan, and what is needed to carry it out."""

    plan: Plan
    kept: Mapping[int, tuple[Tensor, Tensor | None]]  # id -> parameter, and which entries
    extra: Sequence[tuple[Tensor, Roles, Fans]]  # parameters to be filled with fans that are given


def make_plan(
    model: nn.Module,
    scheme: Scheme | Callable[[nn.Module], object],
    *,
    bias: Bias = "auto",
    fans: Mapping[str, tuple[float, float]] | None = None,
    only: str | Sequence[str] | None = None,
    inputs: Any = None,
) -> Work:
    """Look at every parameter of a model, and decide."""
    check_choice("bias", bias, BIASES)
    names: dict[int, list[str]] = {}
    tensors: dict[int, Tensor] = {}
    for name, parameter in model.named_parameters(remove_duplicate=False):
        names.setdefault(id(parameter), []).append(name)
        tensors[id(parameter)] = parameter
    given = _given(model, names, tensors, fans or {})
    asked = _asked(model, names, only)
    known, computed = _known(model, scheme)
    if inputs is not None:
        bare = [t for k, t in tensors.items() if k not in known and t.is_floating_point()]
        given = found_in_use(model, inputs, bare) | given
    weights = [k for k, (layer, _) in known.items() if _is_weight(layer, tensors[k])]
    zero = {key for key in weights if is_zero(tensors[key])}
    # A scheme that needs the architecture, or a function of one's own, says itself where zeros are.
    # Where all is 0, none of it is there for a purpose; and who passes one layer wants that filled.
    own = not isinstance(scheme, Scheme)
    if len(zero) == len(weights) or not isinstance(scheme, Scheme) or scheme.require is not None:
        zero = set()
    zero -= {key for key in zero if known[key][0] is model or (only is not None and key in asked)}
    kept: dict[int, tuple[Tensor, Tensor | None]] = {}
    fates = []
    for key, tensor in tensors.items():
        name, shape = names[key][0], () if is_lazy(tensor) else tuple(tensor.shape)
        large = sum(size > 1 for size in shape) > 1
        if key not in asked:
            kept[key] = (tensor, None)
            fates.append(Fate(name, shape, filled=False, why="not asked for"))
        elif why := _why_kept(tensor, known.get(key), bias, zero=key in zero):
            kept[key] = (tensor, None)
            fates.append(Fate(name, shape, filled=False, why=why, expected=large))
        elif key in given:
            fates.append(Fate(name, shape, filled=True))
        elif key not in known:
            why = _why_unknown(model, name, computed, scheme, large=large)
            missed = large and bool(why) and not why.endswith(_OWN)
            fates.append(Fate(name, shape, filled=False, why=why, expected=missed))
        elif not own and (mask := _set(tensor, known[key], bias)) is not None:
            kept[key] = (tensor, mask)
            why = _set_words(tensor, mask)
            fates.append(Fate(name, shape, filled=not bool(mask.all()), why=why, expected=True))
        else:
            tied = f"tied with {', '.join(names[key][1:])}" if names[key][1:] else ""
            fates.append(Fate(name, shape, filled=True, why=tied))
    caption = f"What {scheme if isinstance(scheme, Scheme) else 'the function'} fills"
    return Work(Plan(fates, f"{caption} in {type(model).__name__}"), kept, list(given.values()))


def _known(
    model: nn.Module, scheme: Scheme | Callable[[nn.Module], object]
) -> tuple[dict[int, tuple[nn.Module, str]], set[str]]:
    """Parameters that a scheme fills: id -> layer, name in it; and the layers that it cannot."""
    known: dict[int, tuple[nn.Module, str]] = {}
    computed = set()
    layerwise = isinstance(scheme, Scheme) and scheme.require is None
    for name, module in model.named_modules():
        if is_computed(module):
            computed.add(name)
            continue
        if isinstance(scheme, Scheme) and layerwise:
            fills = scheme.fills(module) if scheme.accepts(module) else []
        else:
            fills = names_filled(module)
        for key in fills:
            known.setdefault(id(module._parameters[key]), (module, key))  # noqa: SLF001
    return known, computed


def _is_weight(layer: nn.Module, parameter: Tensor) -> bool:
    return bool(names_filled(layer)) and not is_lazy(parameter) and parameter.ndim > 1


def _is_bias(layer: nn.Module, name: str) -> bool:
    return name in names_filled(layer) and (name == "bias" or "bias" in name)


def _why_kept(
    parameter: Tensor, known: tuple[nn.Module, str] | None, bias: Bias, *, zero: bool
) -> str:
    """Say why a whole parameter is kept; empty if it is not."""
    if not parameter.requires_grad:
        return "frozen"
    if zero:
        return "0 on purpose, as other weights are not"
    return 'bias="keep"' if bias == "keep" and known is not None and _is_bias(*known) else ""


def _set(parameter: Tensor, known: tuple[nn.Module, str], bias: Bias) -> Tensor | None:
    """Mark the entries of a bias that were set on purpose and are to be kept."""
    fills = bias != "auto" or is_lazy(parameter) or not _is_bias(*known)
    return None if fills else on_purpose(known[0], parameter)


def _set_words(bias: Tensor, mask: Tensor) -> str:
    values = bias.detach()[mask]
    low, high = float(values.min()), float(values.max())
    which = "" if bool(mask.all()) else f"{int(mask.sum())} of its {len(bias)} entries "
    size = f"{low:.3g}" if low == high else f"{low:.3g} to {high:.3g}"
    return f'{which}set on purpose to {size}; bias="fill" fills it'


def _why_unknown(
    model: nn.Module,
    name: str,
    computed: set[str],
    scheme: Scheme | Callable[[nn.Module], object],
    *,
    large: bool,
) -> str:
    path, _, key = name.rpartition(".")
    owner = model.get_submodule(path)
    if path.partition(".parametrizations")[0] in computed:
        return _COMPUTED
    if not isinstance(scheme, Scheme):
        return ""  # what a function of one's own does is not known
    if is_lazy(getattr(owner, key)):
        return "no shape yet: run the model once on a batch"
    kind = type(owner).__name__
    if not large:
        why = "no weights of a layer"
    elif type(owner).__module__.startswith("torch.nn"):
        why = f"of torch's {kind}, {_OWN}"
    else:
        why = f"of a {kind}, which {scheme} does not know" if is_known(owner) else _BARE
    return why


def _given(
    model: nn.Module,
    names: Mapping[int, list[str]],
    tensors: Mapping[int, Tensor],
    fans: Mapping[str, tuple[float, float]],
) -> dict[int, tuple[Tensor, Roles, Fans]]:
    """Read `fans`: id -> parameter, what its axes are for, and its fans."""
    if not isinstance(fans, Mapping):
        raise TypeError(
            f"fans is of type {type(fans).__name__}; it must be a dictionary from the name of a "
            "parameter to its (fan_in, fan_out)"
        )
    found = {}
    every = [name for group in names.values() for name in group]
    for pattern, value in fans.items():
        fitting = fnmatch.filter(every, pattern)
        if not fitting:
            nearest = difflib.get_close_matches(str(pattern), every, n=3, cutoff=0.0)
            hint = f"; the nearest are {', '.join(map(repr, nearest))}" if nearest else ""
            raise ValueError(f"fans[{pattern!r}] fits no parameter of {type(model).__name__}{hint}")
        pair = _pair(pattern, value)
        for key, group in names.items():
            if not set(group) & set(fitting):
                continue
            roles = None if is_lazy(tensors[key]) else roles_of(tensors[key].shape, pair)
            if roles is None:
                raise ValueError(
                    f"fans[{pattern!r}] is {value!r}, but no axes of {group[0]}, whose shape is "
                    f"{'unknown' if is_lazy(tensors[key]) else tuple(tensors[key].shape)}, make "
                    f"a matrix of {pair.fan_in:g} inputs and {pair.fan_out:g} outputs"
                )
            found[key] = (tensors[key], roles, pair)
    return found


def _asked(
    model: nn.Module, names: Mapping[int, list[str]], only: str | Sequence[str] | None
) -> set[int]:
    """Read `only`: ids of the parameters that may be filled."""
    if only is None:
        return set(names)
    patterns = [only] if isinstance(only, str) else only
    if not isinstance(patterns, Sequence) or not all(isinstance(p, str) for p in patterns):
        raise TypeError(
            f"only is {only!r}; it must be a pattern of names of parameters or modules such as "
            "'blocks.*.mlp', or a list of them"
        )
    found: set[int] = set()
    for pattern in patterns:
        fitting = {
            key
            for key, group in names.items()
            if any(fnmatch.fnmatchcase(part, pattern) for name in group for part in _parts(name))
        }
        if not fitting:
            every = {part for group in names.values() for name in group for part in _parts(name)}
            nearest = difflib.get_close_matches(pattern, every, n=3, cutoff=0.0)
            hint = f"; the nearest are {', '.join(map(repr, nearest))}" if nearest else ""
            raise ValueError(
                f"only={pattern!r} fits no parameter or module of {type(model).__name__}{hint}"
            )
        found |= fitting
    return found


def _parts(name: str) -> list[str]:
    """A parameter's name, and those of the modules that it is in."""
    parts = name.split(".")
    return [".".join(parts[:end]) for end in range(len(parts), 0, -1)]


def _pair(pattern: str, value: Any) -> Fans:
    if not isinstance(value, Sequence) or isinstance(value, str) or len(value) != 2:
        raise TypeError(f"fans[{pattern!r}] is {value!r}; it must be (fan_in, fan_out)")
    numbers = [check_number(f"fans[{pattern!r}]", number, above=0) for number in value]
    if not all(math.isclose(number, round(number)) for number in numbers):
        raise ValueError(f"fans[{pattern!r}] is {value!r}; both must be whole numbers")
    return Fans(round(numbers[0]), round(numbers[1]))

"""How a rule is written: what it gets, what it gives back, and how it declines.

While a model runs, every torch function that it calls is looked up here by its name. Files in
`initguide.prediction.rules` register, for the names that they serve, one of three things:

- `rule`, a function that makes a `Belief` about the result out of those about the arguments;
- `layer`, the same for a function that applies weights to an input. Layers have a record each;
- `reason`, in words, why nothing can be said about the result from the arguments alone.

A function that nobody has registered is tried as an elementwise activation. So a new kind of layer
is one registered function, in a file that is there or a new one. The whole of a rule::

    @rule("neg", "neg_", "negative")
    def negate(call: Call) -> Belief:
        return call.known(call["input"]).scaled(-1)

**What it gets.** A `Call`: the function, its arguments, its result (the function has run), and what
is known of all tensors at this moment. ``takes`` names the function's arguments in order, so that
``call["weight"]`` is found whether it was given by place or by name. A function may have worked in
place: ``call.held(tensor)`` are an argument's numbers from before. A rule is only asked if there is
a belief about one of the arguments; a layer always, and ``call.before`` is about its input.

**What it gives back.** A `Belief` about the result, of which it claims no more than is certain:
`dataclasses.replace` on the argument's belief keeps what stays, and ``measured=False`` has to be
said where the numbers change.

**How it declines.** ``raise Gap("why")``. The result is then measured, and what follows starts from
there; later records say "from what was measured after f (why)". Any other exception counts as a
declined call too, reported as a rule that failed: models call functions in ways that no rule
foresees.
"""

import functools
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812  torch's own idiom
from torch import Tensor

from initguide.introspection import tensors_in
from initguide.prediction.belief import Belief, Gap
from initguide.prediction.knowledge import Knowledge

__all__ = ["RULES", "Call", "Rule", "layer", "reason", "rule"]


@dataclass(frozen=True, eq=False)
class Call:
    """One call of a torch function, after it has run.

    Attributes
    ----------
    func, args, kwargs
        The function and what it was called with.
    out
        Its result, or the first of several.
    takes
        Names of the function's arguments, in order, as far as the rule has named them.
    knowledge
        What is known at this moment: beliefs, groups of inputs, keys of weights.
    copies
        id of an argument that the call may have overwritten -> what it held before; see `held`.
    """

    func: Any
    args: tuple[Any, ...]
    kwargs: Mapping[str, Any]
    out: Tensor
    takes: tuple[str, ...]
    knowledge: Knowledge
    copies: Mapping[int, Tensor]

    @functools.cached_property
    def values(self) -> dict[str, Any]:
        """Name -> argument, for the arguments that are named by the rule or the caller."""
        return {**dict(zip(self.takes, self.args, strict=False)), **self.kwargs}

    @functools.cached_property
    def tensors(self) -> list[Tensor]:
        """All tensors among the arguments, in lists, too."""
        return tensors_in([self.args, self.kwargs])

    @functools.cached_property
    def before(self) -> Belief:
        """The belief about a layer's input; measured if there is none, as behind a custom step."""
        x = self["input"]
        belief = self.about(x)
        if belief is not None:
            return belief
        if not x.is_floating_point():  # indices, which pick rows whatever their size
            return Belief(np.ones(len(self.knowledge.groups)))
        return self.knowledge.measured(x, "a step that theory does not see", frozenset())

    def __getitem__(self, name: str) -> Any:
        return self.values[name]

    def get(self, name: str, default: Any = None) -> Any:
        """The argument of that name, or the default where the caller has left it out."""
        return self.values.get(name, default)

    def held(self, tensor: Tensor) -> Tensor:
        """The numbers of an argument before the call, which may have worked in place."""
        return self.copies.get(id(tensor), tensor).detach()

    def about(self, tensor: Any) -> Belief | None:
        """The belief about an argument, if there is one."""
        return self.knowledge.about(tensor)

    def known(self, tensor: Any) -> Belief:
        """The belief about an argument; decline the call if there is none."""
        belief = self.about(tensor)
        if belief is None:
            raise Gap("no rule for it")
        return belief


_Compute = Callable[[Call], Belief]


@dataclass(frozen=True)
class Rule:
    """A registered function.

    Attributes
    ----------
    compute
        Makes a belief from a call.
    takes
        Names of the arguments of the torch functions that it serves, in order.
    layer
        Whether its results are recorded as those of a layer.
    """

    compute: _Compute
    takes: tuple[str, ...] = ("input",)
    layer: bool = False


RULES: dict[str, Rule] = {}  # name of a torch function -> what to do with it
# Names that the installed torch does not have; another version may. A test requires the newest one
# to know all of them: it finds a typo, while an older torch can still import these files.
UNKNOWN: set[str] = set()
# Where torch has functions that a model may call; names such as __get__ (of x.T) are descriptors'.
_HOMES = (torch, F, Tensor, type(Tensor.T))


def rule(*names: str, takes: tuple[str, ...] = ("input",)) -> Callable[[_Compute], _Compute]:
    """Register a rule for torch functions of these names, which take these arguments in order.

    Raises
    ------
    ValueError
        If a name is taken.
    """
    return _registered(names, takes, layer=False)


def layer(*names: str, takes: tuple[str, ...]) -> Callable[[_Compute], _Compute]:
    """Register the rule of layers, among whose arguments are ``"input"`` and ``"weight"``.

    Raises
    ------
    ValueError
        If a name is taken.
    """
    return _registered(names, takes, layer=True)


def reason(why: str, *names: str) -> None:
    """Register why the results of torch functions of these names are not predicted.

    Raises
    ------
    ValueError
        If a name is taken.
    """

    def decline(_: Call) -> Belief:
        raise Gap(why)

    _registered(names, ("input",), layer=False)(decline)


def _registered(
    names: tuple[str, ...], takes: tuple[str, ...], *, layer: bool
) -> Callable[[_Compute], _Compute]:
    def register(compute: _Compute) -> _Compute:
        for name in names:
            _check_name(name)
            RULES[name] = Rule(compute, takes, layer)
        return compute

    return register


def _check_name(name: str) -> None:
    """Refuse a second rule that would silently take the place of the first."""
    if name in RULES:
        raise ValueError(f"{name!r} has a rule or a reason already, and can only have one")
    if not any(hasattr(home, name) for home in _HOMES):
        UNKNOWN.add(name)

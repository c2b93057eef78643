"""The follower: it sees every torch function of a forward pass, and asks its rule for a belief.

Two views of the pass are put together. torch's function mode shows each function with its
arguments, but not on whose behalf it is called; hooks show which module is at work, but not what it
does inside. So functions are followed by the mode, and the hooks name the layers and find those for
which no function had a rule.

For each function the follower looks up its rule (`initguide.prediction.protocol`), asks it for a
`Belief` about the result, and notes that in its `Knowledge` of the pass. Where a rule declines, the
result is measured instead, and what follows starts afresh: a model with one odd step has one gap in
its predictions, and not a gap from there to its end.
"""

import contextlib
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from initguide.introspection import tensors_in
from initguide.prediction.belief import Belief, Gap, joint_sources
from initguide.prediction.knowledge import Knowledge
from initguide.prediction.protocol import RULES, Call, Rule
from initguide.prediction.records import Prediction
from initguide.prediction.rules.elementwise import elementwise
from initguide.theory import Array

__all__ = ["Follower"]

_ELEMENTWISE = Rule(elementwise)  # what an unregistered function is taken for


@dataclass(frozen=True)
class _AtWork:  # on the stack: a layer's name is that of the innermost one
    """A module whose forward pass has begun, and how many records there were then."""

    name: str
    module: nn.Module
    records: int


class Follower(TorchFunctionMode):
    """Follows one forward pass; as a context manager it sees torch's functions.

    Parameters
    ----------
    model
        The module that will run.
    inputs
        All tensors that it will be called with.

    Attributes
    ----------
    records
        A prediction for each layer, in execution order.
    """

    def __init__(self, model: nn.Module, inputs: list[Tensor]) -> None:
        super().__init__()
        self.records: list[Prediction] = []
        self._knowledge = Knowledge(inputs)
        self._model = model
        self._names = {id(p): name for name, p in model.named_parameters()}
        self._stack: list[_AtWork] = []  # innermost last

    @contextlib.contextmanager
    def watching(self) -> Iterator[None]:
        """Know which module is at work, by hooks that are gone afterwards."""
        names = {id(module): name for name, module in self._model.named_modules()}

        def enter(module: nn.Module, _: Any) -> None:
            self._stack.append(_AtWork(names[id(module)], module, len(self.records)))
            # A module may be called twice: `used` is about the present call.
            self._knowledge.used -= {id(p) for p in module.parameters(recurse=False)}

        def leave(_: nn.Module, args: Any, kwargs: Any, output: Any) -> None:
            self._leave(self._stack.pop(), tensors_in([args, kwargs]), output)

        hooks = []
        try:
            for module in self._model.modules():
                hooks.append(module.register_forward_pre_hook(enter))
                hooks.append(module.register_forward_hook(leave, with_kwargs=True))
            yield
        finally:
            for hook in hooks:
                hook.remove()

    def _leave(self, ended: _AtWork, given: list[Tensor], output: Any) -> None:
        """Record a module whose own parameters no rule has made use of, such as an LSTM."""
        about = self._knowledge.about
        if all(t.is_floating_point() and about(t) is None for t in given):
            return  # computes weights, as a parametrization does
        own = {id(p) for p in ended.module.parameters(recurse=False)}
        # A rule has used its parameters, or something inside it has a record already.
        if not own or own & self._knowledge.used or len(self.records) > ended.records:
            return
        floats = [t for t in tensors_in(output) if t.is_floating_point()]
        if floats:
            kind = type(ended.module).__name__
            self._record((ended.name or kind, kind), None, floats[0], f"no rule for {kind}", "")

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        knowledge = self._knowledge
        tensors = tensors_in([args, kwargs])
        given = [(t, belief) for t in tensors if (belief := knowledge.about(t)) is not None]
        overwritten = tensors[:1] if given and _may_overwrite(func, args, kwargs) else []
        copies = {id(tensor): tensor.detach().clone() for tensor in overwritten}
        out = func(*args, **kwargs)
        # A function that works in place has changed its argument before the rule sees it. The rule
        # asks for what held before, so that belief is held a little longer.
        changed = [(tensor, belief) for tensor, belief in given if knowledge.outdated(tensor)]
        for tensor, belief in changed:
            knowledge.believe(tensor, belief)
        self._follow(func, args, kwargs, out, copies)
        for tensor, belief in changed:
            # Where it is the result, as of relu_, the rule has spoken; else (copy_, out=) measure.
            kept = knowledge.about(tensor) is belief
            if kept and not any(tensor is t for t in tensors_in(out)):
                after = getattr(func, "__name__", "a change in place")
                knowledge.believe(tensor, knowledge.measured(tensor, after, belief.sources))
        return out

    def _follow(
        self,
        func: Any,
        args: Any,
        kwargs: Mapping[str, Any],
        out: Any,
        copies: Mapping[int, Tensor],
    ) -> None:
        """Believe something about the results of a call, by its rule or by measuring them."""
        results = [t for t in tensors_in(out) if t.is_floating_point()]
        if not results:
            return  # shapes, devices, indices, comparisons
        name = getattr(func, "__name__", str(func))
        # By name, since torch.add and Tensor.add are different objects.
        rule = RULES.get(name, _ELEMENTWISE)
        call = Call(func, args, kwargs, results[0], rule.takes, self._knowledge, copies)
        if rule.layer:
            self._follow_layer(rule, name, call)
            return
        known = [belief for t in call.tensors if (belief := call.about(t)) is not None]
        if not known:
            return  # nothing of the inputs in it: weights being computed, masks, positions
        try:
            belief = _applied(rule, call, "its result is not finite")
            # Only now: where the rule declined, `_leave` reports the module that owns these.
            self._knowledge.use(*call.tensors)
        except Exception as gap:  # noqa: BLE001  a rule may meet any call
            keys = {self._knowledge.key(t) for t in call.tensors if isinstance(t, nn.Parameter)}
            sources, after = joint_sources(known) | keys, f"{name} ({_told(gap)})"
            if isinstance(gap, Gap) and not gap.args:
                # The reason is the measurement before: "fc1, then relu", not a chain of them.
                first = known[0].basis.removeprefix("what was measured after ")
                after = f"{first.split(', then ')[0]}, then {name}"
            for tensor in results:
                self._knowledge.believe(tensor, self._knowledge.measured(tensor, after, sources))
        else:
            for tensor in results:
                self._knowledge.believe(tensor, belief)

    def _follow_layer(self, rule: Rule, function: str, call: Call) -> None:
        """The same for a layer with weights, which gets a record whether it is predicted or not."""
        knowledge, before, weight = self._knowledge, call.before, call["weight"]
        knowledge.use(weight, call.get("bias"))
        called = self._called(function, weight)
        try:
            _check_independence(call)
            belief = _applied(rule, call, "its weights or inputs are not finite")
        except Exception as gap:  # noqa: BLE001  a rule may meet any call
            self._record(called, None, call.out, _told(gap), before.basis)
            sources = before.sources | {knowledge.key(weight)}
            belief = knowledge.measured(call.out, called[0], sources)
        else:
            self._record(called, belief.second, call.out, "", before.basis)
        knowledge.believe(call.out, belief)

    def _called(self, function: str, weight: Tensor) -> tuple[str, str]:
        """Name and kind of the layer that a weight belongs to."""
        at_work = self._stack[-1] if self._stack else _AtWork("", self._model, 0)
        kind = type(at_work.module).__name__
        parameter = self._names.get(id(weight))
        # A weight that a parametrization computed has no name of its own, and takes its layer's.
        if parameter is None or weight is getattr(at_work.module, "weight", None):
            return at_work.name or kind, kind
        # A model that calls F.linear with a parameter of its own: named after the parameter.
        return parameter.removesuffix(".weight"), function

    def _record(
        self, called: tuple[str, str], second: Array | None, out: Tensor, reason: str, basis: str
    ) -> None:
        name, kind = called
        predicted = math.nan if second is None else self._knowledge.groups.overall(second)
        measured = float(out.detach().double().square().mean())
        self.records.append(
            Prediction(name, kind, predicted, measured, second is not None, reason, basis)
        )


def _may_overwrite(func: Any, args: Any, kwargs: Mapping[str, Any]) -> bool:
    """Whether a call may work in place, on its first tensor: by its name, or as it is told to.

    ``inplace`` may be given by place, so any True counts; a copy too many only costs memory.
    """
    name = getattr(func, "__name__", "")
    by_name = (name.endswith("_") and not name.endswith("__")) or name.startswith("__i")
    return by_name or "out" in kwargs or any(given is True for given in (*args, *kwargs.values()))


def _check_independence(call: Call) -> None:
    """Refuse weights that depend on the layer's input, or on which the input depends."""
    if call.about(call["weight"]) is not None:
        raise Gap("its weights are activations")
    if call.knowledge.key(call["weight"]) in call.before.sources:
        raise Gap("its weights were used before, so its inputs depend on them")


def _applied(rule: Rule, call: Call, otherwise: str) -> Belief:
    """What a rule says; decline what is infinite or NaN, for the reason ``otherwise``."""
    with np.errstate(all="ignore"):
        belief = rule.compute(call)
    if not np.isfinite(belief.second).all():
        raise Gap(otherwise)
    return belief


def _told(error: Exception) -> str:
    """Why there is no prediction; a rule that raises is one more reason, and the pass goes on."""
    if isinstance(error, Gap):
        return str(error)
    return f"its rule failed: {type(error).__name__}: {error}".split("\n", maxsplit=1)[0]

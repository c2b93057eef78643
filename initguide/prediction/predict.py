"""What a model's own weights predict about the mean squares of its pre-activations.

`predict_variances` can be called as `initguide.theory.predict_variances`, too.
"""

import contextlib
import math
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, cast, overload

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812  torch's own idiom
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode
from torch.utils.weak import WeakTensorKeyDictionary

from initguide.introspection import (
    arguments_of,
    check_kind,
    describe_arguments,
    left_alone,
    run_model,
    tensors_in,
)
from initguide.randomness import seeded
from initguide.tables import Table
from initguide.theory import Activation, Array

__all__ = ["Prediction", "Predictions", "predict_variances"]


@dataclass(frozen=True)
class Prediction:
    """What the weights of one layer predict about its pre-activations.

    Attributes
    ----------
    name
        The layer's name in the model; for a weight that a model uses by itself, the weight's.
    kind
        The layer's class, such as ``"Linear"``, or the function that used the weight.
    second_moment
        Predicted mean square of the pre-activations, over inputs, units and draws of the weights
        that have these statistics; NaN if it is not predicted.
    measured
        The mean square that this one pass had.
    predicted
        Whether there is a prediction.
    reason
        Why not, in words; empty if there is one.
    basis
        What the prediction starts from: ``"the inputs"``, or what was measured last because theory
        could not follow, and why.
    """

    name: str
    kind: str
    second_moment: float
    measured: float
    predicted: bool
    reason: str
    basis: str

    def __float__(self) -> float:
        return self.second_moment


class Predictions(Sequence[Prediction]):
    """The predictions for a model, in execution order: what `predict_variances` returns.

    A layer is found by its place or its name (the first use, if there are several). Printed, it is
    a table.
    """

    def __init__(self, records: Sequence[Prediction]) -> None:
        self._records = tuple(records)

    def __len__(self) -> int:
        return len(self._records)

    @overload
    def __getitem__(self, index: int | str) -> Prediction: ...
    @overload
    def __getitem__(self, index: slice) -> "Predictions": ...
    def __getitem__(self, index: int | str | slice) -> "Prediction | Predictions":
        if isinstance(index, slice):
            return Predictions(self._records[index])
        if isinstance(index, str):
            for record in self._records:
                if record.name == index:
                    return record
            names = ", ".join(record.name for record in self._records)
            raise KeyError(f"no layer {index!r} was predicted; the layers are: {names}")
        return self._records[index]

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Predictions) and self._records == other._records

    def __hash__(self) -> int:
        return hash(self._records)

    def table(self) -> Table:
        """Predicted beside measured, and why where there is no prediction."""
        return Table(
            {
                "layer": [record.name for record in self],
                "kind": [record.kind for record in self],
                "predicted": [record.second_moment for record in self],
                "measured": [record.measured for record in self],
                "remark": [
                    record.reason
                    or ("" if record.basis == "the inputs" else f"from {record.basis}")
                    for record in self
                ],
            },
            caption="Mean square of the pre-activations",
        )

    def __str__(self) -> str:
        return str(self.table())

    __repr__ = __str__

    def _repr_html_(self) -> str:
        return self.table()._repr_html_()

    def to_csv(self, path: str | os.PathLike[str] | None = None) -> str:
        """Comma-separated text of the table, written to a file if ``path`` is given."""
        return self.table().to_csv(path)


def predict_variances(model: nn.Module, inputs: Any, *, seed: int = 0) -> Predictions:
    """Predict the mean square of every layer's pre-activations from the weights as they are.

    One forward pass is followed operation by operation:

    - a linear layer or convolution: E[z²] = taps · E[w²] · E[x²] + E[b²], where taps is the
      fan-in, less what lies on a convolution's padding. Layers with zero padding leave less at the
      borders than in the middle, so positions are weighed by their shares of E[x²]. The shares are
      taken from this pass, and only E[x²], their mean, is predicted;
    - an elementwise activation of pre-activations: E[φ(z)²] with normal z of the predicted
      variance, which in images is spread over the positions in the same way;
    - dropout: 1 / (1 - p) times while training, nothing in evaluation mode;
    - normalization (batch, layer, group, instance, RMS): E[γ²] + E[β²];
    - sums: second moments add where a summand comes from a zero-mean layer that the other does not
      know, as in a residual block; scaling, concatenation, padding, and changes of shape.

    Inputs differ in length, and so does what they lead to: the inputs are followed in up to eight
    groups of about equal length. Where theory cannot follow (pooling depends on how neighbours
    correlate, attention on how tokens do; weights whose mean is not 0 add up what inputs have in
    common; activations of what is not normal) the record says so, and the next layer starts from
    the measured value.

    Parameters
    ----------
    model
        Any module, in the mode that is of interest. It comes back as it was, BatchNorm's running
        statistics, attributes and embeddings with a ``max_norm`` included. If the forward pass
        changes other weights in place, a warning says which (a change through ``.data`` is not
        seen): they stay changed.
    inputs
        What the model is called with: a tensor (or list), given as its only argument; a tuple of
        positional arguments; or a dictionary of keyword arguments.
    seed
        Draws the dropout masks of the measured values; torch's generators are left as they were.

    Returns
    -------
    Predictions
        A record for each linear layer, convolution and embedding, in execution order, and one
        without a prediction for each recurrent or attention layer.

    Raises
    ------
    TypeError
        If ``model`` is not a module, or was compiled by ``torch.jit``, or ``inputs`` is none of
        what is named above.
    ValueError
        If the inputs hold no numbers, or some that are not finite, or the model's weights hold
        none, as those of lazy layers that were never run.
    RuntimeError
        If the model cannot be run on the inputs; the message says which came.

    Examples
    --------
    >>> import torch
    >>> _ = torch.manual_seed(0)
    >>> net = nn.Sequential(nn.Linear(500, 500), nn.Tanh(), nn.Linear(500, 500))
    >>> for record in predict_variances(net, torch.randn(100, 500)):
    ...     print(record.name, round(record.second_moment, 2), round(record.measured, 2))
    0 0.33 0.33
    2 0.07 0.07
    """
    check_kind(model)
    args, kwargs = arguments_of(inputs)
    mode = "training" if model.training else "evaluation"
    came = describe_arguments(args, kwargs)
    source = f"{type(model).__name__} in {mode} mode; inputs: {came}"
    with torch.inference_mode(mode=False), torch.no_grad():
        args, kwargs = _copied(args), _copied(kwargs)
        tensors = tensors_in([args, kwargs])
        if not all(t.isfinite().all() for t in tensors):
            raise ValueError("inputs hold NaN or infinite numbers; theory needs finite ones")
        follower = _Follower(model, tensors)
        with seeded(seed), left_alone(model), follower.watching(), follower:
            run_model(model, args, kwargs, source)
    return Predictions(follower.records)


def _copied(inputs: Any) -> Any:
    """Copy the tensors, which the model may change in place."""
    if isinstance(inputs, Tensor):
        return inputs.clone()
    if isinstance(inputs, Mapping):
        return {key: _copied(value) for key, value in inputs.items()}
    if type(inputs) in (tuple, list):
        return type(inputs)(_copied(value) for value in inputs)
    return inputs


@dataclass(frozen=True, eq=False)
class _Belief:
    """What is thought of a tensor.

    ``second`` holds its mean square for each group of inputs. ``normal``: its numbers are normal
    with mean ``mean`` (NaN: unknown). It depends on the weights ``sources``; if ``heads`` is not
    None, flipping the signs of those weights flips its sign, so that its product with anything that
    does not depend on them is 0 on average.
    """

    second: Array
    mean: float = math.nan
    normal: bool = False
    sources: frozenset[int] = frozenset()
    heads: frozenset[int] | None = None
    basis: str = "the inputs"
    measured: bool = False

    def scaled(self, factor: float) -> "_Belief":
        return replace(
            self, second=self.second * factor**2, mean=self.mean * factor, measured=False
        )


class _Gap(Exception):  # noqa: N818  not an error: theory ends here, and goes on from a measurement
    """Why an operation cannot be followed."""


def _reason(error: Exception) -> str:
    """Why there is no prediction; a rule that fails is a reason, not the end of everything."""
    if isinstance(error, _Gap):
        return str(error)
    return f"its rule failed: {type(error).__name__}: {error}".split("\n", maxsplit=1)[0]


_POOLING = "pooling depends on how neighbours correlate"
_MIXING = "it depends on how the things that it mixes correlate"


class _Follower(TorchFunctionMode):
    """Sees every torch function of a forward pass, and keeps a belief about each result."""

    def __init__(self, model: nn.Module, inputs: list[Tensor]) -> None:
        super().__init__()
        self._model = model
        self._names = {id(p): name for name, p in model.named_parameters()}
        self._stack: list[tuple[str, nn.Module, int]] = []
        self._used: set[int] = set()
        self._kept: dict[int, torch.UntypedStorage] = {}
        self._beliefs = WeakTensorKeyDictionary()
        self._activations: dict[Any, Activation] = {}
        self.records: list[Prediction] = []
        first = next((t for t in inputs if t.is_floating_point()), inputs[0])
        self._groups = self._grouped(first)
        self._shares = np.bincount(self._groups) / max(1, len(self._groups))
        for tensor in inputs:
            if tensor.is_floating_point():
                self._believe(tensor, _Belief(self._mean_square(tensor), measured=True))

    @staticmethod
    def _grouped(first: Tensor) -> NDArray[np.int64]:
        """Which of up to eight groups of about equal mean square each input is in."""
        if first.ndim < 2:
            return np.zeros(1, dtype=np.int64)
        lengths = first.double().square().flatten(1).mean(1).cpu().numpy()
        groups = np.empty(len(lengths), dtype=np.int64)
        count = min(8, len(lengths))
        groups[lengths.argsort()] = np.arange(len(lengths)) * count // len(lengths)
        return groups

    def _mean_square(self, tensor: Tensor) -> Array:
        """(groups,) mean squares, one for all if the first axis is not that of the inputs."""
        squares = tensor.detach().double().square()
        count = len(self._groups)
        if tensor.ndim < 2 or len(tensor) != count:
            return np.full(len(self._shares), float(squares.mean()))
        means = squares.flatten(1).mean(1).cpu().numpy()
        return np.bincount(self._groups, means) / (self._shares * count)

    def _overall(self, second: Array) -> float:
        return float(second @ self._shares)

    def _believe(self, tensor: Tensor, belief: _Belief) -> None:
        self._beliefs[tensor] = (belief, tensor._version)  # noqa: SLF001  counts changes in place

    def _about(self, tensor: Any) -> _Belief | None:
        """What is thought of a tensor; measured anew if it was changed through a view."""
        if not isinstance(tensor, Tensor) or tensor not in self._beliefs:
            return None
        belief, version = self._beliefs[tensor]
        if version != tensor._version:  # noqa: SLF001
            belief = self._measured(tensor, "a change in place", belief.sources)
            self._believe(tensor, belief)
        return cast(_Belief, belief)

    def _measured(self, tensor: Tensor, after: str, sources: frozenset[int]) -> _Belief:
        return _Belief(
            self._mean_square(tensor),
            sources=sources,
            basis=f"what was measured after {after}",
            measured=True,
        )

    def _key(self, weight: Tensor) -> int:
        """The same for a weight and for views of it.

        Their memory is kept to the end of the pass, so that nothing else gets its address.
        """
        storage = weight.untyped_storage()
        self._kept[storage.data_ptr()] = storage
        return storage.data_ptr()

    def _constant(self, tensor: Tensor) -> _Belief:
        """A parameter, or a tensor made on the way, that stands beside activations."""
        key = frozenset({self._key(tensor)})
        mean = float(tensor.double().mean())
        second = np.full(len(self._shares), float(tensor.double().square().mean()))
        centred = isinstance(tensor, nn.Parameter) and mean**2 <= 1e-2 * second[0]
        return _Belief(second, mean, sources=key, heads=key if centred else None)

    @contextlib.contextmanager
    def watching(self) -> Iterator[None]:
        """Know which module is at work, by hooks that are gone afterwards."""
        names = {id(module): name for name, module in self._model.named_modules()}

        def enter(module: nn.Module, _: Any) -> None:
            self._stack.append((names[id(module)], module, len(self.records)))
            self._used -= {id(p) for p in module.parameters(recurse=False)}

        def leave(module: nn.Module, args: Any, kwargs: Any, output: Any) -> None:
            name, _, before = self._stack.pop()
            given = tensors_in([args, kwargs])
            if all(t.is_floating_point() and self._about(t) is None for t in given):
                return  # computes weights, as a parametrization does
            own = {id(p) for p in module.parameters(recurse=False)}
            if own and not own & self._used and before == len(self.records):
                floats = [t for t in tensors_in(output) if t.is_floating_point()]
                kind = type(module).__name__
                if floats:
                    self._record((name or kind, kind), None, floats[0], f"no rule for {kind}", "")

        hooks = []
        try:
            for module in self._model.modules():
                hooks.append(module.register_forward_pre_hook(enter))
                hooks.append(module.register_forward_hook(leave, with_kwargs=True))
            yield
        finally:
            for hook in hooks:
                hook.remove()

    def _record(
        self, called: tuple[str, str], second: Array | None, out: Tensor, reason: str, basis: str
    ) -> None:
        name, kind = called
        predicted = math.nan if second is None else self._overall(second)
        measured = float(out.detach().double().square().mean())
        self.records.append(
            Prediction(name, kind, predicted, measured, second is not None, reason, basis)
        )

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        given = [(t, b) for t in tensors_in([args, kwargs]) if (b := self._about(t)) is not None]
        out = func(*args, **kwargs)
        changed = []
        for tensor, belief in given:
            if self._beliefs[tensor][1] != tensor._version:  # noqa: SLF001
                self._believe(tensor, belief)  # what held before, which the rules ask for
                changed.append((tensor, belief))
        self._follow(func, args, kwargs, out)
        for tensor, belief in changed:
            if self._beliefs[tensor][0] is belief and not any(tensor is t for t in tensors_in(out)):
                after = getattr(func, "__name__", "a change in place")
                self._believe(tensor, self._measured(tensor, after, belief.sources))
        return out

    def _follow(self, func: Any, args: Any, kwargs: dict[str, Any], out: Any) -> None:
        name = getattr(func, "__name__", str(func))
        given = tensors_in([args, kwargs])
        results = [t for t in tensors_in(out) if t.is_floating_point()]
        known = [belief for t in given if (belief := self._about(t)) is not None]
        if not results:
            return
        if name in _LAYERS:
            self._layer(func, name, args, kwargs, results[0])
            return
        if not known:
            return
        rule = _RULES.get(name, _Follower._elementwise)
        try:
            belief = self._ruled(rule, func, args, kwargs, results[0])
            self._used |= {id(t) for t in given if isinstance(t, nn.Parameter)}
        except Exception as gap:  # noqa: BLE001  a rule may meet any call
            if name in _NORMS:  # no layer, so no record without a prediction
                self._used |= {id(t) for t in given}
            sources = frozenset[int]().union(*(belief.sources for belief in known))
            keys = {self._key(t) for t in given if isinstance(t, nn.Parameter)}
            after = f"{name} ({_reason(gap)})"
            if isinstance(gap, _Gap) and not gap.args:
                first = known[0].basis.removeprefix("what was measured after ")
                after = f"{first.split(', then ')[0]}, then {name}"
            for tensor in results:
                self._believe(tensor, self._measured(tensor, after, sources | keys))
            return
        for tensor in results:
            self._believe(tensor, belief)

    def _ruled(
        self, rule: Any, func: Any, args: Any, kwargs: dict[str, Any], out: Tensor
    ) -> _Belief:
        if isinstance(rule, str):
            raise _Gap(rule)
        with np.errstate(all="ignore"):
            belief = cast(_Belief, rule(self, func, args, kwargs, out))
        if not np.isfinite(belief.second).all():
            raise _Gap("its result is not finite")
        return belief

    # Layers with weights

    def _layer(self, func: Any, name: str, args: Any, kwargs: dict[str, Any], out: Tensor) -> None:
        embedding = name == "embedding"
        values = dict(zip(_LAYERS[name], args, strict=False)) | kwargs
        x, weight, bias = values["input"], values["weight"], values.get("bias")
        self._used |= {id(weight), id(bias)}
        before = self._about(x)
        if before is None and not embedding:
            before = self._measured(x, "a step that theory does not see", frozenset())
        called, kind = self._called(name, weight)
        before = before or _Belief(np.ones(len(self._shares)))
        try:
            if self._about(weight) is not None:
                raise _Gap("its weights are activations")  # noqa: TRY301  told below
            if self._key(weight) in before.sources:
                raise _Gap("its weights were used before, so its inputs depend on them")  # noqa: TRY301
            rows = _rows(weight.detach().double(), name, int(values.get("groups", 1)))
            second = np.full(len(self._shares), float(rows.square().mean()))
            if not embedding:
                _check_weights(rows)
                second = second * self._taps(func, name, values, before, rows.shape[1])
            mean = 0.0
            if bias is not None:
                second = second + float(bias.detach().double().square().mean())
                mean = float(bias.detach().double().mean())
            if not np.isfinite(second).all():
                raise _Gap("its weights or inputs are not finite")  # noqa: TRY301  told below
        except Exception as gap:  # noqa: BLE001  a rule may meet any call
            self._record((called, kind), None, out, _reason(gap), before.basis)
            belief = self._measured(out, called, before.sources | {self._key(weight)})
        else:
            self._record((called, kind), second, out, "", before.basis)
            table_mean = float(rows.mean()) if embedding else 0.0
            odd = mean**2 <= 1e-4 * self._overall(second) and not table_mean**2 > 1e-2 * second[0]
            key = frozenset({self._key(weight)})
            belief = _Belief(
                second,
                mean=table_mean if embedding else mean,
                normal=not embedding,
                sources=before.sources | key,
                heads=key if odd else None,
                basis=before.basis,
            )
        self._believe(out, belief)

    def _called(self, function: str, weight: Tensor) -> tuple[str, str]:
        """Name and kind of the layer that a weight belongs to."""
        path, module, _ = self._stack[-1] if self._stack else ("", self._model, 0)
        kind = type(module).__name__
        parameter = self._names.get(id(weight))
        if parameter is None or weight is getattr(module, "weight", None):
            return path or kind, kind
        return parameter.removesuffix(".weight"), function

    def _taps(
        self, func: Any, name: str, values: dict[str, Any], before: _Belief, fan_in: int
    ) -> Array:
        """(groups,) sum of x² that an output sees, on average: the padding's zeros left out.

        After layers with padding the borders hold less than the middle, so positions are weighed by
        what they hold in this pass.
        """
        x, weight = values["input"], values["weight"]
        if name == "linear":
            return fan_in * before.second
        kernel = weight.shape[2:]
        squares = x.detach().double().square()
        each = before.measured and x.ndim == len(kernel) + 2 and len(x) == len(self._groups)
        if each:
            energy = squares.mean(1, keepdim=True)
        else:  # how it is spread over the positions; how large it is, theory says
            energy = squares.reshape(-1, *x.shape[-len(kernel) :]).mean(0)[None, None]
            whole = energy.mean()
            energy = energy / whole if whole else torch.ones_like(energy)
        one = torch.ones(1, 1, *kernel, dtype=torch.float64, device=x.device)
        changed = {"input": energy, "weight": one, "bias": None, "groups": 1}
        seen = func(**(values | changed)).flatten(1).mean(1).cpu().numpy()
        channels = fan_in / math.prod(kernel)
        if not each:
            return cast(Array, channels * float(seen[0]) * before.second)
        sums = np.bincount(self._groups, seen) / (self._shares * len(self._groups))
        return cast(Array, channels * sums)

    # Everything else. Each rule is called with the function, its arguments, and the result.

    def _elementwise(self, func: Any, args: Any, kwargs: dict[str, Any], out: Tensor) -> _Belief:
        name = getattr(func, "__name__", "it")
        x = args[0] if args else kwargs.get("input")
        rest, settings = args[1:], {k: v for k, v in kwargs.items() if k != "input"}
        belief = self._about(x)
        if name == "prelu" and isinstance(rest[0], Tensor):
            # E[φ²] is linear in the squared slope: the channels' mean square will do.
            slope = float(rest[0].detach().double().square().mean().sqrt())
            func, rest, settings = F.leaky_relu, (slope,), {}
        if belief is None or tensors_in([rest, settings]) or out.shape != cast(Tensor, x).shape:
            raise _Gap("no rule for it")
        if belief.measured and belief.basis.startswith("what was measured"):
            raise _Gap  # for the same reason as before
        if not belief.normal or math.isnan(belief.mean):
            raise _Gap("its input is not normal")
        mean = belief.mean if belief.mean**2 > 1e-8 * belief.second.min() else 0.0
        key = (func, repr(rest), repr(settings), mean)
        try:
            if key not in self._activations:
                self._activations[key] = Activation(
                    lambda z: func(z + mean if mean else z, *rest, **settings)
                )
            phi = self._activations[key].second
            second = np.array([phi(float(q)) for q in np.maximum(belief.second - mean**2, 0)])
            q = self._overall(belief.second)
            here = phi(max(q - mean**2, 0))
            if here > 0:  # positions differ in strength, and phi may be curved
                there = [
                    phi(max(q * share - mean**2, 0)) for share in _position_shares(cast(Tensor, x))
                ]
                second = second * (sum(there) / len(there) / here)
        except ValueError as error:
            wrong = str(error).split(": ", 1)[-1].split(";")[0].split("\n")[0]
            raise _Gap(f"not elementwise, or without finite moments: {wrong}") from error
        return replace(
            belief, second=second, mean=math.nan, normal=False, heads=None, measured=False
        )

    def same(self, _: Any, args: Any, kwargs: dict[str, Any], out: Tensor) -> _Belief:
        x = tensors_in([args, kwargs])[0]
        belief = self._about(x)
        if belief is None or out.numel() % x.numel():
            raise _Gap("no rule for it")
        return replace(belief, measured=False) if out.shape != x.shape else belief

    def part(self, _: Any, args: Any, kwargs: dict[str, Any], out: Tensor) -> _Belief:
        x = tensors_in([args, kwargs])[0]
        belief = self._about(x)
        if belief is None or not belief.normal or len(out.shape) == 0 or len(out) != len(x):
            raise _Gap("a part may differ from the whole")
        return belief

    def join(self, _: Any, args: Any, kwargs: dict[str, Any], _out: Tensor) -> _Belief:
        parts = tensors_in([args, kwargs])
        beliefs = [self._about(part) or self._constant(part) for part in parts]
        sizes = np.array([part.numel() for part in parts], dtype=float)
        second = sizes / sizes.sum() @ np.stack([belief.second for belief in beliefs])
        return _Belief(
            second,
            sources=frozenset[int]().union(*(belief.sources for belief in beliefs)),
            basis=_bases(beliefs),
        )

    def dropout(self, _: Any, args: Any, kwargs: dict[str, Any], _out: Tensor) -> _Belief:
        belief = self._about(args[0] if args else kwargs["input"])
        rate = args[1] if len(args) > 1 else kwargs.get("p", 0.5)
        on = args[2] if len(args) > 2 else kwargs.get("training", kwargs.get("train", True))
        if belief is None:
            raise _Gap("no rule for it")
        if not on or rate == 0:
            return belief
        second = belief.second / (1 - rate) if rate < 1 else 0 * belief.second
        return replace(belief, second=second, normal=False, measured=False)

    def add(self, func: Any, args: Any, kwargs: dict[str, Any], _: Tensor) -> _Belief:
        a, b = _operands(args, kwargs)
        if "rsub" in func.__name__:  # b - alpha · a
            a, b = b, a
        sign = -1.0 if "sub" in func.__name__ else 1.0
        factor = sign * kwargs.get("alpha", 1)
        if a is b:
            return cast(_Belief, self._about(a)).scaled(1 + factor)
        if not isinstance(a, Tensor) or not isinstance(b, Tensor):
            x, number = (a, b) if isinstance(a, Tensor) else (b, a)
            belief = cast(_Belief, self._about(x))
            if x is b:
                belief = belief.scaled(factor)
            else:
                number = factor * number
            if math.isnan(belief.mean):
                raise _Gap("the mean of what a number is added to is unknown")
            second = belief.second + 2 * number * belief.mean + number**2
            return replace(
                belief, second=second, mean=belief.mean + number, heads=None, measured=False
            )
        one = self._about(a) or self._constant(a)
        two = (self._about(b) or self._constant(b)).scaled(factor)
        if not (_apart(one, two) or _apart(two, one)):
            raise _Gap("the summands may be correlated")
        heads = None if one.heads is None or two.heads is None else one.heads | two.heads
        return _Belief(
            one.second + two.second,
            mean=one.mean + two.mean,
            normal=one.normal and two.normal,
            sources=one.sources | two.sources,
            heads=heads,
            basis=_bases([one, two]),
        )

    def scale(self, func: Any, args: Any, kwargs: dict[str, Any], _: Tensor) -> _Belief:
        a, b = _operands(args, kwargs)
        divide = "div" in func.__name__
        if kwargs.get("rounding_mode") is not None:
            raise _Gap("it rounds")
        x, factor = (a, b) if self._about(a) is not None else (b, a)
        belief = cast(_Belief, self._about(x))
        if self._about(factor) is not None or (divide and x is not a):
            raise _Gap("a product of activations depends on how they correlate")
        if func.__name__ in {"neg", "neg_", "__neg__", "negative"}:
            return belief.scaled(-1)
        if isinstance(factor, Tensor):
            if factor.numel() > 1 and not isinstance(factor, nn.Parameter):
                raise _Gap("a product with a tensor that theory knows nothing of")
            values = factor.detach().double()
            values = values.reciprocal() if divide else values
            size = float(values.square().mean().sqrt())
            if not bool((values == values.flatten()[0]).all()):
                belief = replace(belief, normal=False, mean=math.nan)
            elif float(values.flatten()[0]) < 0:
                size = -size
            scaled = belief.scaled(size)
            key = {self._key(factor)} if isinstance(factor, nn.Parameter) else set()
            return replace(scaled, sources=scaled.sources | key)
        return belief.scaled(1 / factor if divide else float(factor))

    def pad(self, _: Any, args: Any, kwargs: dict[str, Any], out: Tensor) -> _Belief:
        values = dict(zip(("input", "pad", "mode", "value"), args, strict=False)) | kwargs
        belief, x = self._about(values["input"]), values["input"]
        mode = values.get("mode", "constant")
        if belief is not None and mode == "circular":  # repeats borders: their share, as `_taps`
            before, after = (float(t.detach().double().square().mean()) for t in (x, out))
            share = after / before if before else 1.0
            return replace(belief, second=belief.second * share, measured=False)
        if belief is None or mode != "constant" or values.get("value"):
            raise _Gap("what is padded with may differ from the rest")
        return replace(
            belief, second=belief.second * (x.numel() / out.numel()), normal=False, measured=False
        )

    def norm(self, func: Any, args: Any, kwargs: dict[str, Any], _: Tensor) -> _Belief:
        name = func.__name__
        values = dict(zip(_NORMS[name], args, strict=False)) | kwargs
        belief = self._about(values["input"])
        if belief is None:
            raise _Gap("no rule for it")
        weight, bias = values.get("weight"), values.get("bias")
        gamma = torch.ones(1) if weight is None else weight.detach()
        beta = torch.zeros(1) if bias is None else bias.detach()
        uniform = bool((gamma == gamma.flatten()[0]).all() and (beta == beta.flatten()[0]).all())
        size, offset = float(gamma.double().square().mean()), float(beta.double().square().mean())
        eps = values.get("eps")
        eps = (
            (torch.finfo(values["input"].dtype).eps if name == "rms_norm" else 1e-5)
            if eps is None
            else eps
        )
        live = values.get("training", values.get("use_input_stats", name != "batch_norm"))
        q = belief.second
        if not live:
            mean, var = (values[k].detach().double() for k in ("running_mean", "running_var"))
            if float(mean.square().mean()) > 1e-2 * self._overall(q):
                raise _Gap("its running mean may or may not be that of its input")
            shift = gamma.double() * mean / (var + eps).sqrt()
            factor = float((gamma.double().square() / (var + eps)).mean())
            uniform = uniform and bool((var == var[0]).all() and (mean == 0).all())
            second = factor * q + float((beta.double() - shift).square().mean())
        else:
            whole = np.full_like(q, self._overall(q)) if name == "batch_norm" else q
            kept, thought = _kept_by(name, values, eps), self._overall(whole / (whole + eps))
            if not abs(kept - thought) <= 0.05:
                raise _Gap(
                    f"it keeps {kept:.2g} of the mean square, not {thought:.2g}: part of its input "
                    "is constant, or as small as eps"
                )
            second = size * whole / (whole + eps) + offset
        middle = float(beta.double().mean())
        plain = belief.normal and uniform and float(gamma.flatten()[0]) != 0
        odd = offset <= 1e-4 * self._overall(second)
        keys = {self._key(t) for t in (weight, bias) if t is not None}
        return replace(
            belief,
            second=second,
            mean=middle if plain else math.nan,
            normal=plain,
            sources=belief.sources | keys,
            heads=belief.heads if odd else None,
            measured=False,
        )


def _position_shares(x: Tensor) -> list[float]:
    """Mean squares of up to eight equal parts of an image's positions, relative to the whole."""
    if x.ndim < 4:
        return [1.0]
    energy = x.detach().double().square().mean((0, 1)).flatten().sort().values
    if not energy.any():
        return [1.0]
    parts = energy.tensor_split(min(8, len(energy)))
    means = torch.stack([part.mean() for part in parts])
    return cast(list[float], (means / means.mean()).tolist())


def _operands(args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> tuple[Any, Any]:
    """The two operands, by place or by name; None if there is no second one."""
    named = [kwargs[key] for key in ("input", "other") if key in kwargs]
    first, second, *_ = (*args, *named, None)
    return first, second


def _kept_by(name: str, values: Mapping[str, Any], eps: float) -> float:
    """Mean square that a normalization of this very input has: var / (var + eps) on average."""
    x = values["input"].detach().double()
    if name == "rms_norm":
        spread = x.square().mean(_last(x, values["normalized_shape"]))
    elif name == "layer_norm":
        spread = x.var(_last(x, values["normalized_shape"]), correction=0)
    elif name == "group_norm":
        spread = x.reshape(len(x), values["num_groups"], -1).var(2, correction=0)
    elif name == "instance_norm":
        spread = x.flatten(2).var(2, correction=0)
    else:
        spread = x.transpose(0, 1).flatten(1).var(1, correction=0)
    return float((spread / (spread + eps)).mean())


def _last(x: Tensor, shape: Sequence[int]) -> list[int]:
    return list(range(x.ndim - len(shape), x.ndim))


def _apart(one: _Belief, other: _Belief) -> bool:
    """Whether one changes its sign with weights that the other does not depend on."""
    return one.heads is not None and not one.heads & other.sources


def _bases(beliefs: Sequence[_Belief]) -> str:
    """What several beliefs start from: the first measurement among them, if there is one."""
    return next((b.basis for b in beliefs if b.basis != "the inputs"), "the inputs")


def _rows(weight: Tensor, name: str, groups: int) -> Tensor:
    """(units, fan-in) weights of each unit."""
    if name.startswith("conv_transpose"):
        split = weight.reshape(groups, weight.shape[0] // groups, *weight.shape[1:])
        return split.transpose(1, 2).flatten(0, 1).flatten(1)
    return weight.flatten(1)


def _check_weights(rows: Tensor) -> None:
    """Refuse weights for which E[z²] = n E[w²] E[x²] does not hold for every kind of input."""
    units, fan_in = rows.shape
    square = float(rows.square().mean())
    if square == 0 or not math.isfinite(square):
        return
    mean = float(rows.mean())
    # With equal inputs the mean would add this share to E[z²]; and it is no chance: 5 deviations.
    matters = fan_in > 1 and fan_in * mean**2 > 0.05 * square
    if matters and rows.numel() * mean**2 > 25 * (square - mean**2):
        raise _Gap(f"its weights have mean {mean:.3g}, not 0, and add up what inputs share")
    for axis, count, what in ((1, units, "of a unit"), (0, fan_in, "of an input")):
        size = rows.shape[axis]
        ratio = size * float(rows.mean(axis).square().mean()) / square
        if ratio > 2 + 5 * math.sqrt(2 / count) and ratio > 0.1 * size:
            raise _Gap(f"the weights {what} are alike, not drawn independently of each other")
    energy = rows.square().mean(0)
    if float((energy / square - 1).square().mean()) > 1 + 5 / units:
        raise _Gap("its weights single out some of its inputs")


_CONV = ("input", "weight", "bias", "stride", "padding", "dilation", "groups")
_CONV_T = ("input", "weight", "bias", "stride", "padding", "output_padding", "groups", "dilation")
_LAYERS: Mapping[str, tuple[str, ...]] = {
    "linear": ("input", "weight", "bias"),
    "embedding": ("input", "weight"),
    **{f"conv{d}d": _CONV for d in (1, 2, 3)},
    **{f"conv_transpose{d}d": _CONV_T for d in (1, 2, 3)},
}
_STATS = ("input", "running_mean", "running_var", "weight", "bias")
_NORMS: Mapping[str, tuple[str, ...]] = {
    "batch_norm": (*_STATS, "training", "momentum", "eps"),
    "instance_norm": (*_STATS, "use_input_stats", "momentum", "eps"),
    "layer_norm": ("input", "normalized_shape", "weight", "bias", "eps"),
    "group_norm": ("input", "num_groups", "weight", "bias", "eps"),
    "rms_norm": ("input", "normalized_shape", "weight", "eps"),
}


_POOLS = " ".join(
    f"{size}{kind}_pool{d}d{end}"
    for size in ("", "adaptive_")
    for kind in ("max", "avg")
    for d in (1, 2, 3)
    for end in ("", "_with_indices")
)
# Names of torch functions, and the rule for each, or why there is none.
_TABLE: Mapping[str, Any] = {
    "flatten view reshape permute transpose t swapaxes swapdims movedim contiguous": "same",
    "squeeze unsqueeze clone detach to float double half bfloat16 cpu cuda type type_as": "same",
    "unflatten expand expand_as repeat view_as reshape_as pixel_shuffle pixel_unshuffle": "same",
    "channel_shuffle flip roll __get__ requires_grad_": "same",
    "__getitem__ narrow select chunk split unbind index_select": "part",
    "cat concat concatenate stack hstack vstack": "join",
    "dropout dropout_ dropout1d dropout2d dropout3d feature_dropout": "dropout",
    "add add_ __add__ __radd__ __iadd__ sub sub_ subtract __sub__ __isub__ rsub __rsub__": "add",
    "mul mul_ multiply __mul__ __rmul__ __imul__ neg neg_ __neg__ negative": "scale",
    "div div_ divide true_divide __div__ __truediv__ __itruediv__": "scale",
    "pad": "pad",
    " ".join(_NORMS): "norm",
    f"{_POOLS} fractional_max_pool2d lp_pool2d mean sum amax max interpolate upsample": _POOLING,
    "matmul __matmul__ bmm mm einsum addmm baddbmm softmax log_softmax": _MIXING,
    "scaled_dot_product_attention multi_head_attention_forward lstm gru rnn_tanh": _MIXING,
}
_RULES: Mapping[str, Any] = {
    name: getattr(_Follower, rule, rule) for names, rule in _TABLE.items() for name in names.split()
}

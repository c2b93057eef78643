"""Follow parameters through a pass, to the products in which they are the weights."""

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from torch import Tensor

from initguide.products.factors import READERS, Factors
from initguide.products.notes import TensorNotes

__all__ = ["Product", "Uses"]

Axes = tuple[tuple[int, ...], ...]


class Product(NamedTuple):
    """A parameter as the weights of one product.

    Attributes
    ----------
    parameter
        The parameter itself, also where a view of it was multiplied, or what was computed from it.
    signal
        What it was multiplied with.
    fan_in, fan_out
        How many terms each result sums, and how many results each input reaches.
    outputs, inputs
        Axes of the parameter that count results and terms; empty where that is not known, as after
        a reshape of what was computed from it.
    unit_axis
        Axis of the result that counts the units.
    ndim
        How many axes the result has.
    """

    parameter: Tensor
    signal: Tensor
    fan_in: int
    fan_out: int
    outputs: tuple[int, ...]
    inputs: tuple[int, ...]
    unit_axis: int
    ndim: int


_ELEMENTWISE = {"mul", "mul_", "__mul__", "__rmul__", "__imul__", "multiply"}
_ADDING = {"add", "radd", "iadd", "sub", "rsub", "isub", "subtract"}
_NORMALIZING = {"layer_norm", "rms_norm", "group_norm", "batch_norm", "instance_norm"}


class _Source(NamedTuple):
    """What a tensor that was computed from parameters alone goes back to."""

    parameter: Tensor | None  # the one whose shape it has; None for a mixture
    axes: Axes = ()  # of the parameter, for each axis of the tensor


class _Pending(NamedTuple):
    """A parameter times a signal, element by element, which a sum would make a product."""

    source: _Source
    factors: Factors


class Uses:
    """Follows parameters through a pass: ask it after every function that was called.

    Parameters
    ----------
    parameters
        Those to follow.
    constants
        Tensors that are no signal either, such as buffers.

    Attributes
    ----------
    roles
        What was done with a parameter, by its id, where a signal was multiplied by it (``"gate"``)
        or it was added to one (``"shift"``), number by number.
    beside
        Mean square of the signal that a parameter was added to, by the parameter's id.
    """

    def __init__(self, parameters: Iterable[Tensor], constants: Iterable[Tensor] = ()) -> None:
        self._parameters = {id(p): p for p in parameters}
        self._constants = {id(tensor): tensor for tensor in constants}
        self.roles: dict[int, str] = {}
        self.beside: dict[int, Tensor] = {}
        self._sources: TensorNotes[_Source] = TensorNotes()
        self._pending: TensorNotes[_Pending] = TensorNotes()

    def __bool__(self) -> bool:
        return bool(self._parameters)

    def clear(self) -> None:
        """Forget what was computed; the pass is over."""
        self._sources.clear()
        self._pending.clear()

    def source(self, tensor: Any) -> _Source | None:
        """Which parameter a tensor is, or is a view of, or was computed from; None for a signal."""
        if id(tensor) in self._parameters:
            return _Source(tensor, tuple((axis,) for axis in range(tensor.ndim)))
        if id(tensor) in self._constants:
            return _Source(None)
        noted = self._sources.read(tensor)
        base = getattr(tensor, "_base", None)  # torch's word for what a view looks at
        if noted is not None or base is None:
            return noted
        behind = self.source(base)
        if behind is None or behind.parameter is None or not behind.axes:
            return behind
        axes = _axes_of_view(tensor, base)
        if axes is None:
            return _Source(behind.parameter)
        return _Source(
            behind.parameter,
            tuple(tuple(a for axis in group for a in behind.axes[axis]) for group in axes),
        )

    def seen(
        self, function: Any, args: Sequence[Any], kwargs: Mapping[str, Any], result: Any
    ) -> Product | None:
        """Note what a function gave; return the product with a parameter, if it was one."""
        if not isinstance(result, Tensor) or not result.is_floating_point():
            return None
        tensors = [t for t in (*args, *kwargs.values()) if isinstance(t, Tensor)]
        if not tensors:  # einsum takes its factors as a list, too
            tensors = [t for a in args if isinstance(a, list | tuple) for t in a if _is(t)]
        name = str(getattr(function, "__name__", ""))
        if name == "sum" and tensors:
            return self._summed(tensors[0], args, kwargs)
        sources = [self.source(tensor) for tensor in tensors]
        if not any(sources):
            return None
        if all(sources):
            self._note_mixture([s for s in sources if s], result)
            return None
        self._note_roles(name, tensors, sources)
        if name in _ELEMENTWISE and len(tensors) == 2:
            self._note_elementwise(tensors, sources, result)
            return None
        read = READERS.get(name)
        factors = read(args, kwargs, result) if read else None
        return self._product(factors) if factors else None

    def _note_roles(
        self, name: str, tensors: Sequence[Tensor], sources: Sequence[_Source | None]
    ) -> None:
        """Note which parameters are gates and which are added."""
        bare = name.strip("_")
        roles = ["gate"] if name in _ELEMENTWISE else ["shift"] if bare in _ADDING else []
        if bare in _NORMALIZING:  # its scale, then its shift
            roles = ["gate", "shift"]
        parameters = [s.parameter for s in sources if s is not None and s.parameter is not None]
        for parameter, role in zip(parameters, roles, strict=False):
            self.roles.setdefault(id(parameter), role)
        if bare in _ADDING and len(parameters) == 1 and len(tensors) == 2:
            signal = tensors[0 if sources[0] is None else 1].detach()
            self.beside.setdefault(id(parameters[0]), signal.double().square().mean())

    def _note_mixture(self, sources: Sequence[_Source], result: Tensor) -> None:
        """Something was computed from parameters alone."""
        if id(result) in self._parameters or result._base is not None:  # noqa: SLF001
            return  # the base knows more
        for source in sources:
            known = source.parameter
            if known is not None and len(source.axes) == result.ndim and source.axes:
                sizes = [math.prod(known.shape[a] for a in group) for group in source.axes]
                if tuple(sizes) == tuple(result.shape):
                    self._sources.write(result, source)
                    return
        self._sources.write(result, _Source(None))

    def _note_elementwise(
        self, tensors: Sequence[Tensor], sources: Sequence[_Source | None], result: Tensor
    ) -> None:
        at = 0 if sources[0] else 1
        source, weight, signal = sources[at], tensors[at], tensors[1 - at]
        if source is None or source.parameter is None or weight.numel() < 2:
            return

        def axes(tensor: Tensor) -> list[object]:  # broadcasting aligns the last axes
            first = result.ndim - tensor.ndim
            return [
                first + a if size > 1 else ("one", id(tensor), a)
                for a, size in enumerate(tensor.shape)
            ]

        factors = Factors(weight, signal, axes(weight), axes(signal), list(range(result.ndim)))
        self._pending.write(result, _Pending(source, factors))

    def _summed(
        self, tensor: Tensor, args: Sequence[Any], kwargs: Mapping[str, Any]
    ) -> Product | None:
        pending = self._pending.read(tensor)
        if pending is None:
            return None
        dims = kwargs.get("dim", args[1] if len(args) > 1 else None)
        if dims is None:
            over = set(range(tensor.ndim))
        else:
            over = {d % tensor.ndim for d in ([dims] if isinstance(dims, int) else dims)}
        keep = bool(kwargs.get("keepdim", args[2] if len(args) > 2 else False))
        factors = pending.factors
        left = [
            ("gone", axis) if keep and axis in over else axis
            for axis in factors.result_axes
            if keep or axis not in over
        ]
        return self._product(factors._replace(result_axes=left))

    def _product(self, factors: Factors) -> Product | None:
        """Tell which factor is the parameter, and what its axes are for."""
        sources = self.source(factors.left), self.source(factors.right)
        if (sources[0] is None) == (sources[1] is None):
            return None
        at = 0 if sources[0] is not None else 1
        source = sources[at]
        if source is None or source.parameter is None:
            return None
        weight, signal = (factors.left, factors.right)[:: 1 if at == 0 else -1]
        own, other = (factors.left_axes, factors.right_axes)[:: 1 if at == 0 else -1]
        result = list(factors.result_axes)
        large = [i for i, size in enumerate(weight.shape) if size > 1]
        inputs = [i for i in large if own[i] not in result]
        outputs = [i for i, axis in enumerate(own) if axis in result and axis not in other]
        fan_in = math.prod(weight.shape[i] for i in inputs)
        if fan_in < 2 and weight.numel() < 2:
            return None
        places = [result.index(own[i]) for i in outputs if weight.shape[i] > 1]
        last = max((i for i, axis in enumerate(result) if axis in other), default=0)

        def behind(positions: Sequence[int]) -> tuple[int, ...]:
            if len(source.axes) != weight.ndim:
                return ()
            return tuple(sorted({a for i in positions for a in source.axes[i]}))

        return Product(
            parameter=source.parameter,
            signal=signal,
            fan_in=fan_in,
            fan_out=math.prod(weight.shape[i] for i in outputs),
            outputs=behind(outputs),
            inputs=behind(inputs),
            unit_axis=max(places, default=last),
            ndim=len(result),
        )


def _is(thing: Any) -> bool:
    return isinstance(thing, Tensor)


def _axes_of_view(view: Tensor, base: Tensor) -> Axes | None:
    """Which axes of the base each axis of a view goes along; None if strides do not tell."""
    strides = base.stride()
    found: list[tuple[int, ...]] = []
    for size, stride in zip(view.shape, view.stride(), strict=True):
        if size == 1 or stride == 0:
            found.append(())
            continue
        # A split axis goes along a part of one, a merged one along several.
        along = tuple(
            axis
            for axis, (length, step) in enumerate(zip(base.shape, strides, strict=True))
            if length > 1 and step < stride * size and stride < step * length
        )
        if not along:
            return None
        found.append(along)
    return tuple(found)

"""Watch one pass: hooks on the layers, and an eye on the functions that are called between them.

Hooks on modules alone would miss half of what people write: ``F.relu(self.fc(x))`` and
``x.clamp(min=0)`` apply an activation that is no module. And torch's functions alone do not tell
which layer an output belongs to, nor do they show what a module returns in the end, after hooks of
its own. So hooks make a draft of a record for each call of a layer, and a `TorchFunctionMode`,
through which every call of a torch function goes, notices the activations. What ties both together
is the tensor: an activation belongs to the layer whose output it was applied to, if nothing changed
that output in between.

The backward pass is seen by :mod:`~initguide.propagation.backward`.
"""

import contextlib
import functools
import math
from collections.abc import Iterator
from typing import Any, Self

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize
from torch.overrides import TorchFunctionMode

from initguide.products import Product, TensorNotes, Uses
from initguide.propagation.activations import Bounds, recognized
from initguide.propagation.backward import Backward
from initguide.propagation.comparing import LOSSES, Comparing
from initguide.propagation.drafts import Active, Draft, Origin, Weights
from initguide.propagation.layers import (
    default_axis,
    layers_of,
    parameters_used_bare,
    unit_axis,
    weights_of,
)
from initguide.propagation.looks import Request, look_at
from initguide.propagation.losses import main_tensor
from initguide.propagation.normalizing import NORMALIZING, is_normalization
from initguide.propagation.records import Record
from initguide.propagation.statistics import Seen

__all__ = ["Watch"]


class Watch(TorchFunctionMode):
    """What is seen of one pass: use it as a context around the forward pass, then go backward.

    Parameters
    ----------
    model
        Whose layers are watched.
    request
        What is wanted beyond the statistics.

    Attributes
    ----------
    comparing
        What losses that are taken inside the model are given; to be entered around one outside.
    backward
        What comes back; closed with this.
    products
        How the model multiplied by a parameter itself: its id -> the first such product.
    """

    def __init__(self, model: nn.Module, request: Request) -> None:
        super().__init__()
        self.comparing = Comparing()
        self.backward = Backward(request)
        self.products: dict[int, Product] = {}
        self._bare, self._alone = parameters_used_bare(model)
        known = {id(p): p for p in model.parameters()}
        self._uses = Uses([known[key] for key in self._bare], model.buffers())
        self._running: list[nn.Module] = []
        self._found: dict[nn.Module, Product] = {}  # of layers that run, by what they compute
        self._uses_of: dict[str, int] = {}  # of parameters with a record of their own
        self._layers = layers_of(model)
        self._request = request
        self._drafts: list[Draft] = []
        self._origins: TensorNotes[Origin] = TensorNotes()
        self._behind: TensorNotes[Draft] = TensorNotes()  # by what outputs are views of
        self._activations = 0  # how many there were in this pass
        self._started: dict[nn.Module, int] = {}  # how many there were when the layer started
        self._calls: dict[nn.Module, int] = {}
        self._stack = contextlib.ExitStack()
        self._busy = False

    # Forward

    def __enter__(self) -> Self:
        # If a hook cannot be registered, the stack removes those that are there already.
        with contextlib.ExitStack() as stack:
            for name, module in self._layers.items():
                finished = functools.partial(self._layer_finished, name)
                stack.callback(module.register_forward_pre_hook(self._layer_started).remove)
                stack.callback(module.register_forward_hook(finished).remove)
            if any(map(parametrize.is_parametrized, self._layers.values())):
                # Without the cache, we would compute a weight of our own, which no layer used.
                stack.enter_context(parametrize.cached())
            super().__enter__()  # type: ignore[no-untyped-call]
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *error: object) -> None:
        super().__exit__(*error)  # type: ignore[no-untyped-call]
        self._stack.close()
        self._origins.clear()
        self._behind.clear()
        self._uses.clear()

    def close(self) -> None:
        """Look no more at gradients."""
        self.backward.close()

    def __torch_function__(
        self, func: Any, types: Any, args: Any = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        if self._busy:
            return func(*args, **kwargs)
        if func in LOSSES:  # a model that takes its own loss
            result = func(*args, **kwargs)
            with self._own_work():
                self.comparing.note(func, args, kwargs, result)
            return result
        known = recognized(func, args, kwargs)
        if known is None:
            return self._called(func, args, kwargs)
        # Asked before the call: an in-place activation puts the note on the tensor out of date.
        given = args[0] if args else kwargs.get("input")
        source, part = self._origins.read(given), None
        if source is None and isinstance(given, Tensor) and given._base is not None:  # noqa: SLF001
            part = self._behind.read(given._base)  # noqa: SLF001
            axis = _axis_along(given, part.stride) if part is not None else None
        result = func(*args, **kwargs)
        if isinstance(result, Tensor) and result.is_floating_point():
            with self._own_work():
                if part is not None:
                    self._note_part(*known, part, axis, result)
                else:
                    self._note_activation(*known, source.draft if source else None, result)
        return result

    def _called(self, func: Any, args: Any, kwargs: dict[str, Any]) -> Any:
        """Call a function that is no activation: a normalization, a product, or of no interest."""
        if args and getattr(func, "__name__", "") in NORMALIZING:
            source = self._origins.read(args[0])
            if source is not None and source.draft is not None:
                source.draft.normalized = True
        result = func(*args, **kwargs)
        if self._uses:
            with self._own_work():
                product = self._uses.seen(func, args, kwargs, result)
                if product is not None:
                    self._note_product(product, result)
        return result

    @contextlib.contextmanager
    def _own_work(self) -> Iterator[None]:
        """Compute without being watched, and without a graph.

        Statistics call torch functions themselves, some of which are activations here, such as
        ``clamp``. Watching these would go round in circles.
        """
        self._busy = True
        try:
            with torch.no_grad():
                yield
        finally:
            self._busy = False

    def _note_activation(
        self, name: str, bounds: Bounds, draft: Draft | None, result: Tensor
    ) -> None:
        """Look at what an activation gave, for the layer that it was applied to, if any.

        The result is remembered, too. If a module returns it, such as `torch.nn.ReLU`, it is that
        module's own activation; and a layer that is given it was given the output of ``draft``.
        """
        axis = draft.axis if draft else default_axis(result)
        seen = Seen(tensors=[result], axis=axis, bounds=bounds)
        units = result.shape[axis] if result.ndim else 1
        active = Active(name, look_at("activations", seen, self._request), units)
        if draft is not None and draft.active is None:  # the first one counts
            draft.active = active
        self._activations += 1
        self._origins.write(result, Origin(draft, active, self._activations))

    def _note_part(
        self, name: str, bounds: Bounds, draft: Draft, axis: int | None, result: Tensor
    ) -> None:
        """Look at what an activation gave that was applied to a view of a layer's output."""
        looked = result
        if axis is None and result.numel() * draft.shape[draft.axis] == math.prod(draft.shape):
            axis, looked = result.ndim, result.unsqueeze(-1)  # one unit, whose axis is gone
        axis = default_axis(result) if axis is None else axis
        seen = Seen(tensors=[looked], axis=axis, bounds=bounds)
        units = looked.shape[axis] if looked.ndim else 1
        active = Active(name, look_at("activations", seen, self._request), units)
        draft.parts.append(active)
        self._activations += 1
        self._origins.write(result, Origin(None, active, self._activations))

    def _note_product(self, product: Product, result: Tensor) -> None:
        """A parameter was multiplied by: it is a layer, or the weights of the one that runs."""
        parameter = product.parameter
        self.products.setdefault(id(parameter), product._replace(signal=parameter))
        if self._alone.get(id(parameter)) in self._running:
            self._found[self._alone[id(parameter)]] = product._replace(signal=parameter)
            return
        name = self._bare[id(parameter)]
        source = self._origins.read(product.signal)
        draft = Draft(
            name=name,
            module=None,
            call=self._uses_of.get(name, 0),
            shape=tuple(result.shape),
            axis=min(product.unit_axis, max(0, result.ndim - 1)),
            weights=self.backward.weights(None, (parameter,)),
            given_by=source.draft.name if source and source.draft else None,
            active=None,
        )
        self._uses_of[name] = draft.call + 1
        self._finish(draft, (product.fan_in, product.fan_out), product.signal, result)

    def _layer_started(self, module: nn.Module, _: Any) -> None:
        self._started[module] = self._activations
        self._running.append(module)

    def _layer_finished(self, name: str, module: nn.Module, args: Any, output: Any) -> None:
        if module in self._running:
            del self._running[self._running.index(module) :]
        tensor = main_tensor(output)
        if tensor is None:
            return
        with self._own_work():
            self._layer(name, module, args, tensor)

    def _layer(self, name: str, module: nn.Module, args: Any, output: Tensor) -> None:
        """Look at a layer that has just run, before anything changes its output in place."""
        given = main_tensor(args)
        source = self._origins.read(given)
        giver = source.draft if source else None
        product = self._found.pop(module, None)
        axis = unit_axis(module, output)
        if product is not None:
            axis = product.unit_axis - product.ndim + output.ndim
            axis = axis if axis >= 0 else output.ndim - 1
        if axis is None and giver and giver.shape == output.shape:
            axis = giver.axis  # dropout, say, leaves the units where they are
        if axis is None:
            axis = default_axis(output)
        made = self._origins.read(output)
        # An activation that the layer itself called, not one that it hands through (as an identity
        # does): the layer is an activation, or ends with one.
        ends_active = made is not None and made.number > self._started.get(module, 0)
        weights = self._weights_of(module)
        draft = Draft(
            name=name,
            module=module,
            call=self._calls.get(module, 0),
            shape=tuple(output.shape),
            axis=axis,
            weights=weights,
            given_by=giver.name if giver else None,
            active=made.active if made and ends_active else None,
        )
        if draft.active is None and isinstance(args, tuple):
            draft.normalizes = is_normalization(module, args, output)
        if draft.normalizes and giver is not None:
            giver.normalized = True
        self._calls[module] = draft.call + 1
        fans = None if product is None else (product.fan_in, product.fan_out)
        self._finish(draft, fans, given, output)

    def _finish(
        self,
        draft: Draft,
        fans: tuple[float, float] | None,
        given: Tensor | None,
        output: Tensor,
    ) -> None:
        """Look at what a layer was given and gave."""
        request, module = self._request, draft.module
        draft.looks.append(look_at("layer", Seen(module, fans=fans), request))
        if given is not None and draft.weights.tensors:
            draft.looks.append(look_at("inputs", Seen(module, [given.detach()]), request))
        draft.looks.append(look_at("outputs", Seen(module, [output], draft.axis), request))
        # From here on it is this layer's output, even if an activation inside the layer made it.
        self._origins.write(output, Origin(draft))
        draft.stride = output.stride(draft.axis) if output.ndim else 0
        base = output._base  # noqa: SLF001  what a slice of the output will be a view of
        self._behind.write(output if base is None else base, draft)
        self._drafts.append(draft)
        if output.requires_grad:
            self.backward.look_at_gradient(output, draft)

    def _weights_of(self, module: nn.Module) -> Weights:
        """Look at the weights of a layer, but not at those that have a record of their own."""
        own = (t for t in weights_of(module) if self._bare.get(id(t)) not in self._uses_of)
        return self.backward.weights(module, tuple(own))

    # After the pass

    def has_own_record(self, parameter: str) -> bool:
        """Whether a parameter of this name was multiplied by outside of any layer."""
        return parameter in self._uses_of

    def use_of(self, parameter: Tensor) -> str:
        """Say what was done with a parameter that no layer of torch's holds: see `Uses`."""
        if id(parameter) in self.products:
            return "product"
        return self._uses.roles.get(id(parameter), "")

    def beside(self, parameter: Tensor) -> float:
        """Mean square of the signal that a parameter was added to; NaN if it was to none."""
        return float(self._uses.beside.get(id(parameter), math.nan))

    def saw_a_layer(self) -> bool:
        """Whether any layer gave a floating-point tensor."""
        return bool(self._drafts)

    def records(self) -> tuple[Record, ...]:
        """Turn the drafts into records, in the order in which the layers finished."""
        return tuple(draft.record(Record) for draft in self._drafts)


def _axis_along(view: Tensor, stride: int) -> int | None:
    """Which axis of a view goes from unit to unit, told by the distance in memory."""
    strides = view.stride()
    return strides.index(stride) if stride in strides else None

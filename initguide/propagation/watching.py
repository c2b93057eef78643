"""Watch one pass: hooks on the layers, and an eye on the functions that are called between them.

Hooks on modules alone would miss half of what people write: ``F.relu(self.fc(x))`` and
``x.clamp(min=0)`` apply an activation that is no module. And torch's functions alone do not tell
which layer an output belongs to, nor do they show what a module returns in the end, after hooks of
its own. So hooks make a draft of a record for each call of a layer, and a `TorchFunctionMode`,
through which every call of a torch function goes, notices the activations. What ties both together
is the tensor: an activation belongs to the layer whose output it was applied to, if nothing changed
that output in between.

The backward pass is seen by hooks on tensors. Hooks on modules (``register_full_backward_hook``)
would wrap the outputs in a view, which in-place activations refuse.
"""

import contextlib
import functools
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Self

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize
from torch.overrides import TorchFunctionMode

from initguide.propagation.activations import Bounds, recognized
from initguide.propagation.comparing import LOSSES, Comparing
from initguide.propagation.layers import default_axis, layers_of, unit_axis, weights_of
from initguide.propagation.looks import Look, Request, look_at, read
from initguide.propagation.losses import main_tensor
from initguide.propagation.moments import Moments, moments_of, wide_dtype
from initguide.propagation.records import Record
from initguide.propagation.statistics import Seen
from initguide.propagation.tensors import TensorNotes

__all__ = ["Watch"]


@dataclass
class _Weights:
    """The weights of one layer, looked at once however often the layer is used."""

    tensors: tuple[Tensor, ...]
    looks: list[Look]


class _Active(NamedTuple):
    """An activation that was applied."""

    name: str
    look: Look


@dataclass
class _Draft:
    """A record in the making; its numbers stay on their device until the pass is over."""

    name: str
    module: nn.Module
    call: int
    shape: tuple[int, ...]
    axis: int
    weights: _Weights
    given_by: str | None
    active: _Active | None
    looks: list[Look] = field(default_factory=list)

    def record(self) -> Record:
        """Read the numbers."""
        looks = [*self.weights.looks, *self.looks]
        if self.active is not None:
            looks.append(self.active.look)
        return Record(
            name=self.name,
            kind=parametrize.type_before_parametrizations(self.module).__name__,
            call=self.call,
            shape=self.shape,
            units=self.shape[self.axis] if self.shape else 1,
            activation=self.active.name if self.active else None,
            given_by=self.given_by,
            **read(looks),
        )


class _Origin(NamedTuple):
    """Where a tensor comes from."""

    draft: _Draft | None  # of the layer that it comes from
    active: _Active | None = None  # what made it, if that was an activation
    number: int = 0  # of that activation, counted over the pass


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
    output, output_shape
        Moments and shape of the tensor that the loss is mainly about.
    output_grad_sum
        Sum of the absolute gradients of the loss with respect to it.
    """

    def __init__(self, model: nn.Module, request: Request) -> None:
        super().__init__()
        self.comparing = Comparing()
        self.output: Moments | None = None
        self.output_shape: tuple[int, ...] = ()
        self.output_grad_sum: Tensor | float = math.nan
        self._layers = layers_of(model)
        self._request = request
        self._drafts: list[_Draft] = []
        self._weights: dict[tuple[int, ...], _Weights] = {}  # by the tensors' ids
        self._origins: TensorNotes[_Origin] = TensorNotes()
        self._activations = 0  # how many there were in this pass
        self._started: dict[nn.Module, int] = {}  # how many there were when the layer started
        self._calls: dict[nn.Module, int] = {}
        self._tensor_hooks: list[Any] = []
        self._stack = contextlib.ExitStack()
        self._busy = False
        self._probing = False

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

    def close(self) -> None:
        """Remove the hooks on tensors: a layer may return a parameter, which outlives the pass."""
        for handle in self._tensor_hooks:
            handle.remove()

    def __torch_function__(
        self, func: Any, types: Any, args: Any = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        if func in LOSSES and not self._busy:  # a model that takes its own loss
            result = func(*args, **kwargs)
            with self._own_work():
                self.comparing.note(func, args, kwargs, result)
            return result
        known = None if self._busy else recognized(func, args, kwargs)
        if known is None:
            return func(*args, **kwargs)
        # Asked before the call: an in-place activation puts the note on the tensor out of date.
        source = self._origins.read(args[0] if args else kwargs.get("input"))
        result = func(*args, **kwargs)
        if isinstance(result, Tensor) and result.is_floating_point():
            with self._own_work():
                self._note_activation(*known, source.draft if source else None, result)
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
        self, name: str, bounds: Bounds, draft: _Draft | None, result: Tensor
    ) -> None:
        """Look at what an activation gave, for the layer that it was applied to, if any.

        The result is remembered, too. If a module returns it, such as `torch.nn.ReLU`, it is that
        module's own activation; and a layer that is given it was given the output of ``draft``.
        """
        axis = draft.axis if draft else default_axis(result)
        seen = Seen(tensors=[result], axis=axis, bounds=bounds)
        active = _Active(name, look_at("activations", seen, self._request))
        if draft is not None and draft.active is None:  # the first one counts
            draft.active = active
        self._activations += 1
        self._origins.write(result, _Origin(draft, active, self._activations))

    def _layer_started(self, module: nn.Module, _: Any) -> None:
        self._started[module] = self._activations

    def _layer_finished(self, name: str, module: nn.Module, args: Any, output: Any) -> None:
        tensor = main_tensor(output)
        if tensor is None:
            return
        with self._own_work():
            draft = self._draft(name, module, main_tensor(args), tensor)
        self._drafts.append(draft)
        if tensor.requires_grad:
            self._on_gradient(tensor, functools.partial(self._look_at_gradient, draft))

    def _draft(self, name: str, module: nn.Module, given: Tensor | None, output: Tensor) -> _Draft:
        """Look at a layer that has just run, before anything changes its output in place."""
        source = self._origins.read(given)
        giver = source.draft if source else None
        axis = unit_axis(module, output)
        if axis is None and giver and giver.shape == output.shape:
            axis = giver.axis  # dropout, say, leaves the units where they are
        if axis is None:
            axis = default_axis(output)
        made = self._origins.read(output)
        # An activation that the layer itself called, not one that it hands through (as an identity
        # does): the layer is an activation, or ends with one.
        ends_active = made is not None and made.number > self._started.get(module, 0)
        weights = self._weights_of(module)
        draft = _Draft(
            name=name,
            module=module,
            call=self._calls.get(module, 0),
            shape=tuple(output.shape),
            axis=axis,
            weights=weights,
            given_by=giver.name if giver else None,
            active=made.active if made and ends_active else None,
        )
        request = self._request
        draft.looks.append(look_at("layer", Seen(module), request))
        if given is not None and weights.tensors:
            draft.looks.append(look_at("inputs", Seen(module, [given.detach()]), request))
        draft.looks.append(look_at("outputs", Seen(module, [output], axis), request))
        self._calls[module] = draft.call + 1
        # From here on it is this layer's output, even if an activation inside the layer made it.
        self._origins.write(output, _Origin(draft))
        return draft

    def _weights_of(self, module: nn.Module) -> _Weights:
        """Look at the weights of a layer, unless a layer with the same ones has run before."""
        tensors = weights_of(module)
        key = tuple(map(id, tensors))  # they are held, so that the ids are not given again
        if key not in self._weights:
            looks = [look_at("weights", Seen(module, tensors), self._request)] if tensors else []
            self._weights[key] = _Weights(tensors, looks)
        return self._weights[key]

    # Backward

    def _on_gradient(self, tensor: Tensor, look: Callable[[Tensor], None]) -> None:
        """Call a function with the gradient of a tensor as soon as it is there.

        The hook is bound to the value that the tensor has now, also if an in-place operation
        overwrites it later.
        """

        def hook(gradient: Tensor) -> None:
            if not self._probing:
                with torch.no_grad():
                    look(gradient)

        self._tensor_hooks.append(tensor.register_hook(hook))

    def _look_at_gradient(self, draft: _Draft, gradient: Tensor) -> None:
        seen = Seen(draft.module, [gradient])
        draft.looks.append(look_at("output_grads", seen, self._request))

    def _sum_output_gradient(self, gradient: Tensor) -> None:
        self.output_grad_sum = gradient.abs().sum(dtype=wide_dtype(gradient))

    @contextlib.contextmanager
    def looking_away(self) -> Iterator[None]:
        """Go backward without being seen: what comes is no gradient of the loss."""
        self._probing = True
        try:
            yield
        finally:
            self._probing = False

    def watch_output(self, output: Tensor | None) -> None:
        """Look at what the loss is taken of, now and on the way back."""
        if output is None:
            return
        with torch.no_grad():
            self.output, self.output_shape = moments_of([output]), tuple(output.shape)
        if output.requires_grad:
            self._on_gradient(output, self._sum_output_gradient)

    def backward(
        self, loss: Tensor, leaves: Sequence[Tensor], parameters: Sequence[nn.Parameter]
    ) -> Mapping[int, Tensor | None]:
        """Take the gradients, which the hooks see on their way; no ``.grad`` is touched.

        Returns those of the layers' weights and of the parameters, by the tensors' ids.
        """
        used = [tensor for weights in self._weights.values() for tensor in weights.tensors]
        trained = {id(t): t for t in [*used, *parameters] if t.requires_grad}
        gradients: dict[int, Tensor | None] = {}
        if loss.requires_grad and (trained or leaves):
            # `torch.autograd.grad` in place of `loss.backward()`: it leaves `.grad` alone.
            found = torch.autograd.grad(loss, [*trained.values(), *leaves], allow_unused=True)
            # Shorter than `found`, which ends with the leaves: their gradients only had to be
            # reached.
            gradients = dict(zip(trained, found, strict=False))
        with torch.no_grad():
            for weights in self._weights.values():
                got = [gradients.get(id(tensor)) for tensor in weights.tensors]
                there = [gradient for gradient in got if gradient is not None]
                if there:
                    look = look_at("weight_grads", Seen(tensors=there), self._request)
                    weights.looks.append(look)
        return gradients

    # After the pass

    def saw_a_layer(self) -> bool:
        """Whether any layer gave a floating-point tensor."""
        return bool(self._drafts)

    def records(self) -> tuple[Record, ...]:
        """Turn the drafts into records, in the order in which the layers finished."""
        return tuple(draft.record() for draft in self._drafts)

"""Watch the way back: the gradients of one loss, as soon as they are there.

They are seen by hooks on tensors. Hooks on modules (``register_full_backward_hook``) would wrap the
outputs in a view, which in-place activations refuse.
"""

import contextlib
import functools
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from initguide.propagation.drafts import Draft, Weights
from initguide.propagation.looks import Request, look_at
from initguide.propagation.moments import Moments, moments_of, wide_dtype
from initguide.propagation.statistics import Seen

__all__ = ["Backward"]


class Backward:
    """What is seen of the way back.

    Parameters
    ----------
    request
        What is wanted beyond the statistics.

    Attributes
    ----------
    output, output_shape
        Moments and shape of the tensor that the loss is mainly about.
    output_grad_sum
        Sum of the absolute gradients of the loss with respect to it.
    """

    def __init__(self, request: Request) -> None:
        self.output: Moments | None = None
        self.output_shape: tuple[int, ...] = ()
        self.output_grad_sum: Tensor | float = math.nan
        self._request = request
        self._weights: dict[tuple[int, ...], Weights] = {}  # by the tensors' ids
        self._handles: list[Any] = []
        self._probing = False

    def close(self) -> None:
        """Remove the hooks on tensors: a layer may return a parameter, which outlives the pass."""
        for handle in self._handles:
            handle.remove()

    def weights(self, module: nn.Module | None, tensors: tuple[Tensor, ...]) -> Weights:
        """Look at weights, unless a layer with the same ones has run before."""
        key = tuple(map(id, tensors))  # they are held, so that the ids are not given again
        if key not in self._weights:
            looks = [look_at("weights", Seen(module, tensors), self._request)] if tensors else []
            self._weights[key] = Weights(tensors, looks)
        return self._weights[key]

    def look_at_gradient(self, output: Tensor, draft: Draft) -> None:
        """Look at the gradient of a layer's output when it comes."""
        self._on_gradient(output, functools.partial(self._note, draft))

    def look_at_output(self, output: Tensor | None) -> None:
        """Look at what the loss is taken of, now and on the way back."""
        if output is None:
            return
        with torch.no_grad():
            self.output, self.output_shape = moments_of([output]), tuple(output.shape)
        if output.requires_grad:
            self._on_gradient(output, self._sum_output_gradient)

    @contextlib.contextmanager
    def looking_away(self) -> Iterator[None]:
        """Go backward without being seen: what comes is no gradient of the loss."""
        self._probing = True
        try:
            yield
        finally:
            self._probing = False

    def go(
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

    def _on_gradient(self, tensor: Tensor, look: Callable[[Tensor], None]) -> None:
        """Call a function with the gradient of a tensor as soon as it is there.

        The hook is bound to the value that the tensor has now, also if an in-place operation
        overwrites it later.
        """

        def hook(gradient: Tensor) -> None:
            if not self._probing:
                with torch.no_grad():
                    look(gradient)

        self._handles.append(tensor.register_hook(hook))

    def _note(self, draft: Draft, gradient: Tensor) -> None:
        seen = Seen(draft.module, [gradient])
        draft.looks.append(look_at("output_grads", seen, self._request))

    def _sum_output_gradient(self, gradient: Tensor) -> None:
        self.output_grad_sum = gradient.abs().sum(dtype=wide_dtype(gradient))

"""What is known during a forward pass: one belief per tensor, and which weights were used."""

from typing import Any, cast

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.weak import WeakTensorKeyDictionary

from initguide.prediction.belief import Belief
from initguide.prediction.groups import Groups

__all__ = ["Knowledge"]


class Knowledge:
    """Beliefs about the tensors of one forward pass.

    A belief is held with the tensor's version, which torch counts up with every change in place. A
    tensor that was changed through a view (``x.view(-1).relu_()``) has a new version though no
    function was called on it. Its belief is out of date, so the tensor is measured.

    Parameters
    ----------
    inputs
        All tensors that the model is called with. The first one of floating point says how many
        inputs there are.
    """

    def __init__(self, inputs: list[Tensor]) -> None:
        floats = [tensor for tensor in inputs if tensor.is_floating_point()]
        # Of token ids the sizes mean nothing, and any grouping is as good as another.
        self.groups = Groups((floats or inputs)[0])
        self.used: set[int] = set()  # ids of the parameters that a rule has taken account of
        self.memo: dict[Any, Any] = {}  # costly results that rules share until the pass ends
        self._beliefs = WeakTensorKeyDictionary()  # a tensor's belief ends with the tensor
        self._storages: dict[int, torch.UntypedStorage] = {}
        for tensor in floats:
            self.believe(tensor, Belief(self.groups.mean_square(tensor), measured=True))

    def about(self, tensor: Any) -> Belief | None:
        """The belief about a tensor, if any; measured again if it was changed through a view."""
        if not isinstance(tensor, Tensor) or tensor not in self._beliefs:
            return None
        if self.outdated(tensor):
            belief, _ = self._beliefs[tensor]
            self.believe(tensor, self.measured(tensor, "a change in place", belief.sources))
        return cast(Belief, self._beliefs[tensor][0])

    def believe(self, tensor: Tensor, belief: Belief) -> None:
        """Hold a belief about a tensor as it is now."""
        self._beliefs[tensor] = (belief, tensor._version)  # noqa: SLF001  counts changes in place

    def outdated(self, tensor: Tensor) -> bool:
        """Whether a tensor was changed in place since its belief was noted."""
        return bool(self._beliefs[tensor][1] != tensor._version)  # noqa: SLF001

    def measured(self, tensor: Tensor, after: str, sources: frozenset[int]) -> Belief:
        """A belief that starts from what the tensor holds, because theory ended ``after``."""
        return Belief(
            self.groups.mean_square(tensor),
            sources=sources,
            basis=f"what was measured after {after}",
            measured=True,
        )

    def constant(self, tensor: Tensor, values: Tensor) -> Belief:
        """A parameter, or a tensor made on the way, that stands beside activations.

        A parameter with a mean of about 0, such as a position embedding, counts as a random draw,
        of either sign with equal probability. Anything else counts as fixed.

        The values are the tensor's own, unless a call has overwritten them (`Call.held`).
        """
        key = frozenset({self.key(tensor)})
        mean = float(values.double().mean())
        second = np.full(len(self.groups), float(values.double().square().mean()))
        # A sum leaves out 2 E[x] E[p] then: with |E[p]| up to a tenth of the root mean square of p,
        # at most 10 % of E[x²] + E[p²].
        centred = isinstance(tensor, nn.Parameter) and mean**2 <= 1e-2 * second[0]
        return Belief(second, mean, sources=key, heads=key if centred else None)

    def key(self, weight: Tensor) -> int:
        """The same number for a weight and for views of it, such as its transpose.

        It is the address of their memory, which is kept to the end of the pass, so that nothing
        else gets it: weights that a parametrization computes are gone after each use.
        """
        storage = weight.untyped_storage()
        self._storages[storage.data_ptr()] = storage
        return storage.data_ptr()

    def use(self, *parameters: Any) -> None:
        """Note that a rule has taken account of the parameters among these."""
        self.used |= {id(p) for p in parameters if isinstance(p, nn.Parameter)}

"""What a training step gives to the parts of a model, and what they give back.

A step need not call the model as a whole, and not all that is in its batch is for the model. So
inputs are what reaches layers, and answers what the model gives to the step.
"""

import contextlib
from collections.abc import Iterator
from typing import Any

from torch import Tensor, nn
from torch.nn.modules.loss import _Loss

from initguide.checkup.facts import float_tensors
from initguide.introspection import tensors_in
from initguide.propagation import answers_of
from initguide.propagation.strangers import leaves_of


class Notes:
    """What was seen in the last pass of a step.

    Attributes
    ----------
    ran
        Whether any part of the model was called.
    fed
        Floating-point tensors that layers with weights were given: those of the batch, also seen
        through views, and what the first such layer got, if no weights had a part in it.
    answered
        Name of the part whose answers are judged; empty for the model itself, None if there are no
        answers.
    foreign
        How many weights the outputs depend on that no attribute of the model was seen to hold.
    """

    def __init__(self) -> None:
        self._begin()

    def _begin(self) -> None:
        self.ran = False
        self.fed: list[Tensor] = []
        self.answered: str | None = None
        self.foreign = 0

    @contextlib.contextmanager
    def taken(self, model: nn.Module, batch: Any) -> Iterator[list[Tensor]]:
        """Take notes while a step runs; yield a list whose last entry will be the answers."""
        self._begin()
        answers: list[Tensor] = []
        known = {t.untyped_storage().data_ptr() for t in tensors_in(batch)}
        names = {id(part): name for name, part in model.named_modules()}
        open_: list[list[Tensor]] = []  # calls that have not ended, with what each was fed
        reached = False

        def before(part: nn.Module, args: Any, kwargs: Any) -> None:
            nonlocal reached
            self.ran, fed = True, []
            if _has_weights(part):
                fed = [
                    tensor.detach()
                    for tensor in float_tensors((args, kwargs))
                    if tensor.untyped_storage().data_ptr() in known
                    or not (reached or _is_made_by_weights(tensor))
                ]
                reached = True
            open_.append(fed)

        def after(part: nn.Module, _args: Any, output: Any) -> None:
            fed, found = open_.pop() if open_ else [], answers_of(output)
            if found is None:  # an error, or one number: a loss with weights of its own is no layer
                return
            self.fed += fed
            # What is called last within no other call is the answer, but the model goes first. A
            # metric or a teacher has no graph behind what it gives.
            last = not open_ and found.requires_grad and not isinstance(part, _Loss)
            if last and (part is model or self.answered != ""):
                self.answered = names[id(part)]
                answers.append(found)

        with contextlib.ExitStack() as stack:
            for part in model.modules():
                handle = part.register_forward_pre_hook(before, with_kwargs=True)
                stack.callback(handle.remove)
                # Also where a part raises, and the step goes on.
                handle = part.register_forward_hook(after, always_call=True)
                stack.callback(handle.remove)
            yield answers


def _has_weights(part: nn.Module) -> bool:
    """Whether a part is a layer: it holds weights, and parts of it do not, but for torch's own."""
    if not any(True for _ in part.parameters(recurse=False)):
        return False
    inner = any(True for child in part.children() for _ in child.parameters())
    return not inner or type(part).__module__.startswith("torch.nn.")


def _is_made_by_weights(tensor: Tensor) -> bool:
    """Whether weights, of any network, have a part in a tensor: it is then no input."""
    return any(isinstance(leaf, nn.Parameter) for leaf in leaves_of([tensor]))

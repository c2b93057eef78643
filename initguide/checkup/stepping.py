"""A training step of the user's own, run as if it were a model that returns its own loss."""

import contextlib
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from torch import Tensor, nn

from initguide.checkup.noting import Notes
from initguide.introspection import describe_arguments
from initguide.propagation import own_loss

Step = Callable[[Any, Any], Any]


class Stepped(nn.Module):
    """Calls a training step; it has the parts of the model, under their names.

    The tables of parts are those of the model itself and no copies, so that what a measurement
    hangs on a layer, or replaces for a while, is there when the step runs the model.
    """

    def __init__(self, model: nn.Module, step: Step) -> None:
        super().__init__()
        # Layers in a plain list are looked for among the attributes.
        own = {name: value for name, value in vars(model).items() if name not in vars(self)}
        vars(self).update({name: own[name] for name in own if not hasattr(nn.Module, name)})
        for table in ("_parameters", "_buffers", "_modules"):
            vars(self)[table] = vars(model)[table]
        self.training = model.training
        # In a tuple, since the model is not to be a part of itself.
        self._given = (model, step, Notes())

    @property
    def notes(self) -> Notes:
        """What the parts were given in the last pass, and which of them answered."""
        return self._given[2]

    def forward(self, batch: Any) -> Any:
        """Return the loss and, if parts of the model were called, what the last one answered."""
        model, step, notes = self._given
        with notes.taken(model, batch) as answers, _without_gradients(model):
            result = step(model, batch)
        if not notes.ran:
            raise ValueError(
                "training_step ran no layer of the model that it was given; it must use its first "
                "argument, since advice is tried on copies of the model"
            )
        loss = _loss_of(result)
        return (loss, answers[-1]) if answers else loss


@contextlib.contextmanager
def _without_gradients(model: nn.Module) -> Iterator[None]:
    """Refuse a step that goes back by itself, at its first gradient: before it moves a weight.

    Gradients that were there are put away, since torch would add to them in place.
    """
    trained = [(p, p.grad) for p in model.parameters() if p.requires_grad]
    hooks = []
    try:
        for parameter, _ in trained:
            parameter.grad = None
            hooks.append(parameter.register_post_accumulate_grad_hook(_refuse))
        yield
    finally:
        for hook in hooks:
            hook.remove()
        for parameter, gradient in trained:
            parameter.grad = gradient


def _refuse(_: Tensor) -> None:
    raise ValueError(
        "training_step called backward(); it must return the loss, and neither go back nor take a "
        "step: the check-up does"
    )


def _loss_of(result: Any) -> Tensor:
    """Return the loss that a step gave, alone, as ``loss``, or as models return their own."""
    if found := own_loss(result):
        return found[0]
    loss = result.get("loss") if isinstance(result, Mapping) else result
    if isinstance(loss, Tensor) and loss.numel() == 1 and loss.is_floating_point():
        if loss.requires_grad:
            return loss.reshape(())
        raise ValueError(
            "the loss that training_step returned cannot be trained by: it has no gradient; return "
            "it before .item() or .detach(), and leave torch.no_grad() out"
        )
    raise ValueError(
        f"training_step returned {_described(result)}; it must return the loss, a tensor of one "
        'number (or a dictionary with "loss"), and take no step itself'
    )


def _described(result: Any) -> str:
    """What a step returned, in a few words."""
    if isinstance(result, Tensor):
        return f"a tensor of shape {tuple(result.shape)}"
    if isinstance(result, Mapping):
        return f"a dictionary with {', '.join(map(str, result)) or 'nothing in it'}"
    if isinstance(result, tuple | list):
        return f"a {type(result).__name__} of {len(result)}"
    return repr(result)


def described(batch: Any) -> str:
    """Describe the batch of a step in a few words, whatever holds its tensors."""
    if isinstance(batch, Mapping):
        return describe_arguments((), {str(key): value for key, value in batch.items()})
    return describe_arguments(tuple(batch) if isinstance(batch, tuple | list) else (batch,), {})


def stepped(model: nn.Module, step: Step) -> Stepped:
    """Make a module that runs a training step, given the batch.

    Its class has the name of the model's, by which reports call it.
    """
    return type(type(model).__name__, (Stepped,), {})(model, step)  # type: ignore[no-any-return]

"""A training step of the user's own, run as if it were a model that returns its own loss."""

from collections.abc import Callable, Mapping
from typing import Any

from torch import Tensor, nn

from initguide.propagation import answers_of

Step = Callable[[Any, Any], Any]


class _Stepped(nn.Module):
    """Calls a training step; it has the parts of the model, under their names.

    The tables of parts are those of the model itself and no copies, so that what a measurement
    hangs on a layer, or replaces for a while, is there when the step runs the model.
    """

    def __init__(self, model: nn.Module, step: Step, kind: type) -> None:
        super().__init__()
        for table in ("_parameters", "_buffers", "_modules"):
            vars(self)[table] = vars(model)[table]
        self.training = model.training
        # Layers in a plain list are looked for among the attributes.
        own = {name: value for name, value in vars(model).items() if not name.startswith("_")}
        vars(self).update({name: own[name] for name in own if not hasattr(nn.Module, name)})
        # In a tuple, since the model is not to be a part of itself.
        self._given = (model, step, kind)

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """Return the loss and, if the model was called, what it answered last."""
        model, step, kind = self._given
        batch: Any = kind(*args) if hasattr(kind, "_fields") else args
        if not issubclass(kind, tuple):
            batch = kwargs if issubclass(kind, Mapping) else args[0]
        ran: list[Any] = []
        answers: list[Tensor | None] = []
        # The model itself need not be called: a step may call its parts.
        hooks = [part.register_forward_hook(lambda *_: ran.append(1)) for part in model.modules()]
        hooks.append(
            model.register_forward_hook(lambda _, __, output: answers.append(answers_of(output)))
        )
        hooks += [
            p.register_post_accumulate_grad_hook(_refusing(p.grad))
            for p in model.parameters()
            if p.requires_grad
        ]
        try:
            result = step(model, batch)
        finally:
            for hook in hooks:
                hook.remove()
        if not ran:
            raise ValueError(
                "training_step ran no layer of the model that it was given; it must use its first "
                "argument, since advice is tried on copies of the model"
            )
        loss = _loss_of(result)
        return (loss, answers[-1]) if answers and answers[-1] is not None else loss


def _refusing(before: Tensor | None) -> Callable[[Tensor], None]:
    """Refuse a step that goes back by itself, at its first gradient: before it moves a weight."""

    def refuse(parameter: Tensor) -> None:
        parameter.grad = before
        raise ValueError(
            "training_step called backward(); it must return the loss, and neither go back nor "
            "take a step: the check-up does"
        )

    return refuse


def _loss_of(result: Any) -> Tensor:
    """Return the loss that a step gave, alone or as ``loss``."""
    loss = result.get("loss") if isinstance(result, Mapping) else result
    if isinstance(loss, Tensor) and loss.numel() == 1 and loss.is_floating_point():
        if loss.requires_grad:
            return loss.reshape(())
        raise ValueError(
            "the loss that training_step returned cannot be trained by: it has no gradient; return "
            "it before .item() or .detach(), and leave torch.no_grad() out"
        )
    came = f"a tensor of shape {tuple(loss.shape)}" if isinstance(loss, Tensor) else repr(loss)
    raise ValueError(
        f"training_step returned {came}; it must return the loss, a tensor of one number "
        '(or a dictionary with "loss"), and take no step itself'
    )


def stepped(model: nn.Module, step: Step | None, inputs: Any) -> nn.Module:
    """Make a module that runs a training step; the model itself if there is none.

    Its class has the name of the model's, by which reports call it.
    """
    if step is None:
        return model
    kind = type(type(model).__name__, (_Stepped,), {})
    return kind(model, step, type(inputs))  # type: ignore[no-any-return]

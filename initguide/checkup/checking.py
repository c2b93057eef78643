"""`check_init`: measure, gather the facts, look for all that can be found, and report."""

import math
from typing import Any

from torch import nn

from initguide.checkup.facts import Facts, float_tensors
from initguide.checkup.looking import Case, look
from initguide.checkup.noting import Notes
from initguide.checkup.report import Checkup, Finding
from initguide.checkup.stepping import Step
from initguide.checkup.trying import Trials
from initguide.introspection import tensors_in, uncompiled
from initguide.propagation import Loss


def check_init(
    model: nn.Module,
    inputs: Any,
    targets: Any = None,
    loss: Loss | None = None,
    *,
    seed: int = 0,
    advice: bool = True,
    training_step: Step | None = None,
) -> Checkup:
    """Say whether a network can be trained from the weights that it has, and if not, why.

    Judged is what the network does with a batch, not which scheme made its weights. Weights of odd
    sizes in front of a normalization change nothing of what the network gives, so they are a note
    at most. They may still do harm: the steps that gradient descent makes there, in units of the
    weights' own size, are proportional to 1 / size² (1 / size with Adam). Whether that is too much
    or too little depends on the learning rate, which is not known here.

    Dropout is switched off, to see the weights alone. Batch normalization whose statistics are
    still those of a new layer normalizes by the batch, in evaluation mode too, as it will in
    training.

    Parameters
    ----------
    model
        Any module, before training; see `initguide.propagation.measure` for what is left alone.
    inputs
        A batch as the network will see it, of at least two different inputs: a tensor, a tuple of
        positional arguments or a dictionary of keyword arguments.
    targets
        What the loss compares the output with. Without them, the initial loss is not judged.
    loss
        As in `initguide.propagation.measure`, which also says what is used if it is ``None``; the
        report says it, too.
    seed
        For everything that torch draws during the passes; at least 0.
    advice
        Whether to look for advice. Each remedy is executed, as it would be printed, on a copy of
        the model (on the model itself, which is put back, where that cannot be copied). It becomes
        the advice if it runs, clears or lessens its finding, brings no new error, and if the model
        then learns its batch better, where there is a loss: a few steps, with two optimizers. What
        did not help is said. All this may take up to 60 times as long as a step of training.
    training_step
        For a loop of your own: called as ``training_step(model, inputs)``, it returns the loss (one
        number, alone, first in a tuple or as ``"loss"`` in a dictionary), and neither goes back nor
        takes a step. ``inputs`` is then the batch as the step wants it, targets and all: tensors,
        or tuples, lists and dictionaries (also of a class of their own) with tensors inside.
        ``targets`` and ``loss`` are left out. It must use the model that it is given: on others,
        advice is tried. Inputs are then what reaches a layer, and outputs what the model gives the
        step, or the last part that it calls. What attributes of the model hold is put back, also in
        lists, dictionaries and plain objects; what the step changes elsewhere is not.

    Returns
    -------
    Checkup
        ``.findings``, ``.ok``, ``.layers``, ``.to_json()``; print it.

    Raises
    ------
    TypeError, ValueError, RuntimeError
        As `initguide.propagation.measure` does: lazy or meta parameters, inputs of a wrong shape, a
        loss that is not one number. If ``training_step`` comes with ``targets`` or ``loss``, or a
        batch without tensors, runs no layer of its model, or returns no loss that can be trained
        by.

    Notes
    -----
    A layer's part in learning is told by s‖∂L/∂w‖, where s is the root mean square of its n
    weights w: the root mean square of the change ⟨v, ∂L/∂w⟩ of the loss, to first order, if each
    weight moves by a draw v from N(0, s²). Divided by the change of the loss when every output
    changes by 1, it is a pure number: see `SLOW`.

    This suits layers of unequal widths. In a network of ReLUs without biases, the outputs f are
    homogeneous in each layer's weights, so for a loss ⟨c, f⟩ it is ⟨w, ∂L/∂w⟩ = L that all layers
    have in common (Euler; Du, Hu & Lee 2018, arXiv:1806.00900); ‖w‖‖∂L/∂w‖ goes like L√n. And if
    all weights are independent normal draws around 0, and c from N(0, 1), E⟨v, ∂L/∂w⟩² = E L² for
    each layer and any widths: both are E‖J V h‖² with the layer's input h, the derivative J of what
    is behind it, and V = v or w. Of the coordinates of V h, whose mean square is ‖h‖²s² for both,
    the ReLU passes half of the square: for w, those where w's own sign is positive; for v, which
    does not know that sign, each as often as not. In a later layer, a row u passes
    E[1(⟨u, a⟩ > 0)⟨u, b⟩²] = ‖b‖²E u₁²/2 for any a and b, as u and -u are equally likely.

    The measure is also the same before and after the weights in front of a normalization are
    scaled.

    Examples
    --------
    >>> import torch
    >>> import initguide
    >>> net = initguide.initialize(initguide.Net(), "he_normal", seed=0)
    >>> images = torch.randn(20, 1, 28, 28, generator=torch.Generator().manual_seed(1))
    >>> print(check_init(net, images, torch.arange(20) % 10))  # doctest: +ELLIPSIS
    Net, 5 layers: nothing found
    ...

    With a step of your own:

    >>> def step(model, batch):
    ...     images, labels = batch
    ...     return torch.nn.functional.cross_entropy(model(images), labels)
    >>> check_init(net, (images, torch.arange(20) % 10), training_step=step).ok
    True
    """
    if not isinstance(model, nn.Module):
        raise TypeError(f"model is of type {type(model).__name__}; it must be a torch.nn.Module")
    if training_step is not None:
        _check_step(training_step, inputs, targets, loss)
    case = Case(uncompiled(model), inputs, targets, loss, seed, training_step)
    first = look(case)
    facts, found = first.facts, first.measured
    if advice:
        findings = Trials(case, first).findings()
    else:
        findings = tuple(Finding(d.code, d.severity, d.layer, d.evidence, "") for d in first.drafts)
    remarks = [f"{found.source}.", f"Loss: {found.loss:.4g} ({found.loss_name})."]
    if not math.isfinite(found.blank_loss):
        unknown = targets is not None or training_step is not None
        why = "this loss is not known at outputs of 0" if unknown else "there are no targets"
        remarks.append(f"The initial loss was not judged: {why}.")
    if first.notes is not None:
        remarks += _of_a_step(facts, first.notes)
    if facts.batch == 1:
        remarks.append("A batch of one does not tell whether different inputs stay different.")
    if first.switched:
        remarks.append("Batch normalization used the batch, as it will in training.")
    return Checkup(findings, found, tuple(remarks))


def _of_a_step(facts: Facts, notes: Notes) -> list[str]:
    """What was taken for the outputs of a training step, and for its inputs."""
    remarks = []
    if notes.answered is None:
        remarks.append(
            "The outputs were not judged: the model gave training_step nothing but single numbers, "
            "as of a loss, or no float tensor with a graph."
        )
    elif notes.answered:
        remarks.append(
            f"The outputs are those of {notes.answered}, the last part that the step called."
        )
    if not facts.judged and any(True for _ in float_tensors(facts.inputs)):
        remarks.append(
            "The inputs were not judged: no layer was given a floating-point tensor of the batch."
        )
    if notes.foreign:
        remarks.append(
            f"The step uses weights that the model does not hold ({notes.foreign} tensors), which "
            "were not judged. Layers of the model itself belong in attributes or an nn.ModuleList."
        )
    return remarks


def _check_step(step: Step, inputs: Any, targets: Any, loss: Loss | None) -> None:
    """Refuse what is no function, no batch, and arguments that nobody would look at."""
    if not callable(step):
        raise TypeError(
            f"training_step is {step!r}; it must be a function of the model and the batch that "
            "returns the loss"
        )
    if not tensors_in(inputs):
        raise TypeError(
            f"no tensor is found in inputs, which is of type {type(inputs).__name__}; the batch of "
            "a training_step is a tensor, or tuples, lists and dictionaries with tensors inside: "
            "give those, and make of them in the step what it needs"
        )
    for name, value in {"targets": targets, "loss": loss}.items():
        if value is not None:
            raise ValueError(
                f"{name} is given beside training_step, which takes the loss itself; leave {name} "
                "out, and give the step's whole batch as inputs"
            )

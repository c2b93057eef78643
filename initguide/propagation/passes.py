"""Measure what a batch does on its way forward and back through any model.

>>> from initguide import Net, initialize
>>> net = initialize(Net(), "he_normal", seed=0).eval()
>>> found = measure(net, torch.rand(50, 1, 28, 28, generator=torch.Generator().manual_seed(0)))
>>> [record.name for record in found if record.kind == "Linear"]
['fc1', 'fc2', 'fc3']
>>> found["fc1"].fan_in, round(found["fc1"].weight_std, 2)
(784, 0.05)

One forward and one backward pass are run, and the model is left as it was.
"""

import contextlib
import math
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from initguide.arguments import check_whole
from initguide.introspection import (
    arguments_of,
    describe_arguments,
    left_alone,
    run_model,
    tensors_in,
)
from initguide.propagation.jacobian import singular_values
from initguide.propagation.looks import Request
from initguide.propagation.losses import Loss, blank_loss, loss_of
from initguide.propagation.measurement import Measurement
from initguide.propagation.own_losses import answers_of, own_loss
from initguide.propagation.parameters import parameter_record
from initguide.propagation.probing import directions, sensitivities_of
from initguide.propagation.roles import roles_of
from initguide.propagation.running import check_model, check_quantiles, prepared
from initguide.propagation.strangers import strangers_of
from initguide.propagation.watching import Watch
from initguide.randomness import seeded

__all__ = ["measure"]


def measure(
    model: nn.Module,
    inputs: Any,
    targets: Any = None,
    loss: Loss | None = None,
    *,
    seed: int = 0,
    histograms: int = 0,
    quantiles: Sequence[float] = (),
    jacobian: int = 0,
    parameters: bool = False,
    sensitivities: int = 0,
) -> Measurement:
    """Run a batch forward and back through a model, and record what each layer did with it.

    The model runs in the mode that it is in: call ``model.eval()`` first to leave dropout out. It
    comes back as it was, also if the forward pass raises: weights, buffers, gradients, mode, hooks
    and attributes, and so do the global generators of torch, NumPy and Python. Weights that the
    forward pass itself changes in place are put back in modules with a ``max_norm``; a warning
    names the others, which stay changed (a change through ``.data`` is not seen).

    There is a record for each module without modules inside, and for each that holds parameters of
    its own, such as `torch.nn.MultiheadAttention`. Modules that give no floating-point tensor, or
    are not called, have none. What a function such as `torch.nn.functional.relu` did is seen in the
    record of the layer that it was applied to.

    Parameters
    ----------
    model
        Any module, on any device, of any floating-point type.
    inputs
        A tensor (or list), given to the model as its only argument; a tuple of positional
        arguments; or a dictionary of keyword arguments.
    targets
        What the loss compares the output with.
    loss
        A function, called as ``loss(output, targets)``, or as ``loss(output)`` without targets,
        with what the model returned. It returns one number. If ``None``, the loss is

        - the cross-entropy for whole-number targets, one class per output;
        - the mean squared error for floating-point targets of the output's shape;
        - without targets, the loss that the model itself returns: ``loss``, as an attribute or a
          key, a dictionary of losses, which are added up, or one number, alone or first in a tuple;
        - if there is none, the sum of the outputs, each times a draw from N(0, 1): the gradients of
          the outputs then have variance 1, whatever the outputs are.

        These use the first floating-point tensor of the output, or what it calls ``logits`` or
        ``out``.
    seed
        For everything that torch draws during the pass, such as dropout masks; at least 0.
    histograms
        The number of bins of a histogram of everything; none if 0.
    quantiles
        Which quantiles to record of everything, each in [0, 1]. They need a sorted copy of one
        tensor at a time.
    jacobian
        For how many of the inputs to record the singular values of the output's derivative by the
        input, others fixed; none if 0. This takes another pass. The input is the first
        floating-point tensor among the inputs, the output is as above, both with the batch first.
    parameters
        Whether to record each parameter and its gradient, too.
    sensitivities
        For how many answers of the batch to record, with the parameters, how far each parameter can
        move them; not at all if 0. This takes another backward pass, or two if the answers have
        fewer numbers than that; of answers of one number, at most two are asked.

    Returns
    -------
    Measurement
        One record per layer, in the order in which they finished.

    Raises
    ------
    TypeError
        If ``model`` is not a module or was compiled by ``torch.jit``, or ``inputs`` or ``loss`` are
        of a wrong type.
    ValueError
        If the model has parameters without values (lazy ones, or on the meta device), gives no
        floating-point tensor or has no layer that was called, if the inputs are empty, the targets
        do not fit the output, the loss is not one number, or a number is out of range.
    RuntimeError
        If torch cannot do the forward pass, say for inputs of a wrong shape. The message says what
        came.

    Notes
    -----
    Sums are taken in float64 (float32 where the device has no other), over blocks, so that nothing
    as large as a layer's output is copied. If a parameter is frozen, the gradient is followed to
    the inputs, to see it at all layers.

    Examples
    --------
    All weights equal make all units equal:

    >>> from initguide import Net
    >>> found = measure(Net(constant_weight=0.1).eval(), torch.rand(20, 1, 28, 28))
    >>> [record.distinct_units for record in found if record.kind == "Linear"]
    [1, 1, 1]
    """
    check_model(model)
    args, kwargs = arguments_of(inputs)
    if loss is not None and not callable(loss):
        raise TypeError(f"loss is {loss!r}; it must be a function such as F.cross_entropy, or None")
    bins = check_whole("histograms", histograms, 0)
    request = Request(bins, check_quantiles(quantiles))
    sensitivities = check_whole("sensitivities", sensitivities, 0)
    seed, jacobian = check_whole("seed", seed, 0), check_whole("jacobian", jacobian, 0)
    name = type(model).__name__
    source = f"{name} in {'training' if model.training else 'evaluation'} mode; inputs: " + (
        describe_arguments(args, kwargs)
    )
    stretched = None
    with (
        # Inside somebody's inference mode, no graph would be recorded.
        torch.inference_mode(mode=False),
        torch.enable_grad(),
        left_alone(model),
        contextlib.closing(Watch(model, request)) as watch,
    ):
        with seeded(seed):
            leaves: list[Tensor] = []
            given = prepared((args, kwargs), leaves if _needs_leaves(model) else None)
            with watch:
                output = run_model(model, given[0], given[1], source)
            if not watch.saw_a_layer():
                raise ValueError(
                    f"no layer of {name} gave a floating-point tensor, so there is nothing to "
                    "measure; layers must be modules that the forward pass calls"
                )
            with watch.comparing:
                own = own_loss(output) if loss is None and targets is None else None
                value, loss_name = own or loss_of(output, targets, loss, seed, name)
            blank = blank_loss(output, targets, loss) if own is None else math.nan
            if math.isnan(blank):
                blank = watch.comparing.blank(float(value.detach()))
            answers = answers_of(output)
            watch.backward.look_at_output(answers)
            probes = None if answers is None else directions(answers, sensitivities, seed)
            strangers = strangers_of(
                model,
                tensors_in(output),
                [*leaves, *tensors_in(given), *tensors_in((args, kwargs))],
            )
            # The graph holds what the gradients need. All else is freed before they take memory.
            del output, given, own
            known = dict(model.named_parameters()) if parameters or sensitivities else {}
            moved: Mapping[str, float] = {}
            if answers is not None and probes is not None:
                with watch.backward.looking_away():
                    moved = sensitivities_of(answers, probes, known)
            del answers
            roles = roles_of(value, list(known.values()))
            gradients = watch.backward.go(value, leaves, list(known.values()))
            with torch.no_grad():
                parameter_records = tuple(
                    parameter_record(
                        model,
                        name,
                        tensor,
                        gradients.get(id(tensor)),
                        sensitivity=moved.get(name, math.nan),
                        product=watch.products.get(id(tensor)),
                        itself=watch.has_own_record(name),
                        used_as=watch.use_of(tensor),
                        role=roles.get(id(tensor)),
                        beside=watch.beside(tensor),
                    )
                    for name, tensor in known.items()
                )
            del gradients  # before a Jacobian takes its memory
            number = float(value.detach())
            del value, leaves
        if jacobian:
            with seeded(seed):
                stretched = singular_values(model, args, kwargs, jacobian, source)
    back = watch.backward
    # The layers' numbers are fetched from the device here, where nothing waits for them any more.
    return Measurement(
        layers=watch.records(),
        loss=number,
        loss_name=loss_name,
        source=source,
        jacobian_singular_values=stretched,
        parameters=parameter_records,
        blank_loss=blank,
        output_shape=back.output_shape,
        output_second_moment=back.output.mean_square() if back.output else math.nan,
        output_grad_sum=float(back.output_grad_sum),
        strangers=strangers,
        comparisons=tuple(watch.comparing.found),
    )


def _needs_leaves(model: nn.Module) -> bool:
    """Whether the graph must reach back to the inputs for gradients to pass all layers.

    A frozen layer gets no gradient for its weights, but its output does, on the way to the input.
    """
    trained = [p.requires_grad for p in model.parameters()]
    return not trained or not all(trained)

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
import html
import math
import textwrap
import weakref
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from numbers import Real
from types import MappingProxyType
from typing import Any, NamedTuple, Self, overload

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812  torch's own idiom
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _NormBase
from torch.nn.modules.conv import _ConvTransposeNd
from torch.nn.utils import parametrize
from torch.overrides import TorchFunctionMode

from initguide.arguments import check_whole
from initguide.initializers import fans
from initguide.introspection import (
    arguments_of,
    check_kind,
    describe_arguments,
    left_alone,
    run_model,
    tensors_in,
)
from initguide.randomness import seeded

__all__ = [
    "FLAT",
    "SAME",
    "VALUES",
    "Histogram",
    "Measurement",
    "ParameterRecord",
    "Record",
    "measure",
]

Loss = Callable[..., Tensor]

FLAT = 0.05
"""An activation is saturated where its slope is below this part of its steepest slope."""

SAME = 1e-5
"""Two units count as one if their outputs agree to within this part of their size."""

VALUES: Mapping[str, str] = MappingProxyType(
    {
        "fan_in": "fan-in",
        "fan_out": "fan-out",
        "weight_std": "standard deviation of the weights",
        "output_mean": "mean of the outputs",
        "output_var": "variance of the outputs",
        "output_second_moment": "mean square of the outputs",
        "weight_grad_var": "variance of the weights' gradients",
        "output_grad_var": "variance of the outputs' gradients",
        "dead_fraction": "dead units (fraction)",
        "saturated_fraction": "saturated activations (fraction)",
        "distinct_units": "distinct units",
    }
)
"""The numbers of a `Record`, with what each is in words."""


class Histogram(NamedTuple):
    """Counts of the finite values.

    Attributes
    ----------
    counts
        (bins,) how many values there are in each bin.
    edges
        (bins + 1,) the ends of the bins, from the smallest to the largest finite value.
    mean, std
        Of all values.
    """

    counts: NDArray[np.int64]
    edges: NDArray[np.float64]
    mean: float
    std: float


@dataclass(frozen=True, eq=False)
class Record:
    """What one layer did with the batch; a layer that is used twice has two records.

    A number that a layer does not have is NaN: a ReLU has no weights, and a layer with no
    activation behind it has no dead units. Variances are means of squared distances from the mean,
    over all elements of the batch.

    Attributes
    ----------
    name, kind
        As in ``model.named_modules()`` (the model's class if it is itself a layer), and the class.
    call
        0 for the first use of the layer in the pass, 1 for the second, and so on.
    shape
        Shape of the output; of the first floating-point tensor where there are several.
    units
        How many units (channels, features) the output has.
    fan_in, fan_out
        As in `initguide.initializers.fans`; NaN for a layer that it does not know.
    weight_std
        Standard deviation of the weights that the layer computed with (not of the biases).
    output_mean, output_var, output_second_moment
        Mean, variance and mean square of the output, taken before anything changes it in place.
    weight_grad_var
        Variance of the gradient of the loss with respect to the weights, summed over all uses of
        them. NaN if they are not trained, or did not take part.
    output_grad_var
        Variance of the gradient of the loss with respect to this output; NaN if none came here.
    activation
        Which activation was applied to the output (or is this layer): ReLU, ReLU6, hard tanh, hard
        sigmoid, tanh, sigmoid or softsign, as a module or as a function; ``None`` if none was.
    dead_fraction
        In [0, 1]: units whose activation had slope 0 for the whole batch, so that no gradient gets
        through. For a ReLU, those that never exceeded 0.
    saturated_fraction
        In [0, 1]: activations where a bounded function is flat, its slope below `FLAT` of its
        steepest: beyond ±0.975 for tanh, outside 0.013 to 0.987 for sigmoid, at a bound for hard
        tanh (only the upper one for ReLU6). NaN for ReLU, which has no upper bound.
    distinct_units
        How many different units (channels, features) the output has, told by their outputs on the
        batch: see `SAME`. Units that are not finite count as one together.
    input_second_moment
        Mean square of the first floating-point tensor that a layer with weights was given.
    input_spread
        In [0, 1]: how much of that mean square differs between the entries of the batch (the first
        axis): the variance over the batch, at the same place, divided by the mean square. 0 if all
        entries are the same to the layer; NaN for a batch of one. At most 2¹⁸ numbers are looked
        at.
    given_by
        The layer whose output, or activated output, this layer was given as it was; ``None`` if
        something was done to it in between.
    histograms
        On request: ``"weights"``, ``"outputs"``, ``"activations"`` (the outputs after their
        activation), ``"weight_grads"`` and ``"output_grads"``, as far as there are any.
    quantiles
        On request, under the same names: the quantiles asked for.
    """

    name: str
    kind: str
    call: int
    shape: tuple[int, ...]
    units: int
    fan_in: float
    fan_out: float
    weight_std: float
    output_mean: float
    output_var: float
    output_second_moment: float
    weight_grad_var: float
    output_grad_var: float
    activation: str | None
    dead_fraction: float
    saturated_fraction: float
    distinct_units: int
    input_second_moment: float = math.nan
    input_spread: float = math.nan
    given_by: str | None = None
    histograms: Mapping[str, Histogram] = field(default_factory=dict, repr=False)
    quantiles: Mapping[str, NDArray[np.float64]] = field(default_factory=dict, repr=False)


@dataclass(frozen=True, eq=False)
class ParameterRecord:
    """What one parameter was in the pass.

    Attributes
    ----------
    name
        As in ``model.named_parameters()``; the first one of a tensor with several names.
    layer
        The module that it belongs to, named as in a `Record`.
    shape
        Of the parameter.
    trained
        Whether it has ``requires_grad``.
    second_moment
        Mean square of its values.
    grad_second_moment
        Mean square of the gradient of the loss; NaN if it is not trained or took no part.
    units
        How many units it gives weights to: rows of a matrix or of convolution kernels, columns of
        an embedding. 0 for biases and the like, and where the shape does not tell.
    shared
        In [0, 1]: how much of the mean square is the mean over the units, which all of them share:
        1 if all units have the same weights, 1 / units for independent ones around 0. NaN without
        units.
    distinct, grad_distinct
        How many different units there are, and how many different gradients these get, told apart
        as in `SAME`. NaN without units.
    """

    name: str
    layer: str
    shape: tuple[int, ...]
    trained: bool
    second_moment: float
    grad_second_moment: float
    units: int
    shared: float
    distinct: float
    grad_distinct: float


@dataclass(frozen=True, eq=False, repr=False)
class Measurement(Sequence[Record]):
    """The records of one pass, in the order in which the layers ran: what `measure` returns.

    An immutable sequence: ``m[0]`` and ``m[2:5]`` as in a tuple, and ``m["fc1"]`` is the first
    record of that name. Printed, it is a table; a notebook shows the same table in HTML.

    Attributes
    ----------
    layers
        The records.
    loss
        Value of the loss.
    loss_name
        Which loss that is, in words.
    source
        The model, its mode and its inputs, in words.
    jacobian_singular_values
        On request: (k, min(inputs, outputs)) in falling order, one row for each of the first k
        inputs of the batch.
    parameters
        On request: a record of each parameter, in the model's order.
    blank_loss
        What the loss would be if all outputs were 0, as from a network that knows nothing: ln C
        for the cross-entropy of C classes. NaN without targets, or if the loss is of a kind of
        which that cannot be said.
    output_shape, output_second_moment
        Shape and mean square of the output that the loss is mainly about; empty and NaN if that is
        no tensor.
    output_grad_sum
        Sum of the absolute gradients of the loss with respect to that output: by how much the loss
        falls, to first order, if every output moves by 1 in its best direction. NaN if there are
        none.
    """

    layers: tuple[Record, ...]
    loss: float
    loss_name: str
    source: str
    jacobian_singular_values: NDArray[np.float64] | None = None
    parameters: tuple[ParameterRecord, ...] = ()
    blank_loss: float = math.nan
    output_shape: tuple[int, ...] = ()
    output_second_moment: float = math.nan
    output_grad_sum: float = math.nan

    def __len__(self) -> int:
        return len(self.layers)

    @overload
    def __getitem__(self, key: int | str) -> Record: ...
    @overload
    def __getitem__(self, key: slice) -> tuple[Record, ...]: ...
    def __getitem__(self, key: int | str | slice) -> Record | tuple[Record, ...]:
        if not isinstance(key, str):
            return self.layers[key]
        for record in self.layers:
            if record.name == key:
                return record
        names = list(dict.fromkeys(record.name for record in self.layers))
        raise KeyError(f"no layer {key!r} ran; those that did are {', '.join(names)}")

    def values(self, value: str) -> NDArray[np.float64]:
        """One number a record.

        Parameters
        ----------
        value
            A name from `VALUES`.

        Raises
        ------
        ValueError
            If there is no such number; the message lists those that there are.
        """
        if value not in VALUES:
            raise ValueError(f"unknown value {value!r}; the values are {', '.join(VALUES)}")
        return np.array([getattr(record, value) for record in self.layers], dtype=np.float64)

    # Tables

    def _table(self) -> tuple[list[str], list[list[str]]]:
        """Return header and rows, without the columns that are empty."""
        header, rows = ["layer", "kind"], [[_label(r), r.kind] for r in self.layers]
        for title, value in _COLUMNS.items():
            column = self.values(value)
            if np.isnan(column).all():
                continue
            header.append(title)
            for row, record, number in zip(rows, self.layers, column, strict=True):
                row.append(
                    f"{number:.0f}/{record.units}"
                    if value == "distinct_units"
                    else _short(number, percent=value.endswith("fraction"))
                )
        return header, rows

    @property
    def _footnote(self) -> str:
        return f"{self.source}. Loss: {self.loss:.4g} ({self.loss_name})."

    def __str__(self) -> str:
        header, rows = self._table()
        widths = [max(map(len, column)) for column in zip(header, *rows, strict=True)]
        for i in (0, 1):  # names give way where the line gets longer than 100
            over = max(0, sum(widths) + len(widths) - 1 - 100)
            widths[i] -= min(over, max(0, widths[i] - 10))
        lines = []
        for row in [header, *rows]:
            cells = [_squeezed(cell, w) for cell, w in zip(row[:2], widths, strict=False)]
            cells += [cell.rjust(w) for cell, w in zip(row[2:], widths[2:], strict=True)]
            lines.append(" ".join(cells).rstrip())
        rule = "─" * max(map(len, lines))
        notes = textwrap.wrap(self._footnote, max(len(rule), 72))
        return "\n".join([rule, lines[0], rule, *lines[1:], rule, *notes])

    __repr__ = __str__

    def _repr_html_(self) -> str:
        header, rows = self._table()
        head = "".join(f'<th scope="col">{html.escape(title)}</th>' for title in header)
        body = ""
        for first, *cells in rows:
            body += f'<tr><th scope="row">{html.escape(first)}</th>'
            body += "".join(f"<td>{html.escape(cell)}</td>" for cell in cells) + "</tr>"
        return (
            '<div class="initguide-table"><table><caption>What the batch does, layer by layer'
            f"</caption><thead><tr>{head}</tr></thead>"
            f"<tbody>{body}</tbody></table></div>"
            f'<p class="initguide-note">{html.escape(self._footnote, quote=False)}</p>'
        )


_COLUMNS = {
    "weight sd": "weight_std",
    "mean": "output_mean",
    "variance": "output_var",
    "grad var": "output_grad_var",
    "w-grad var": "weight_grad_var",
    "dead": "dead_fraction",
    "flat": "saturated_fraction",
    "distinct": "distinct_units",
}


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

        - the cross-entropy for whole-number targets, of one class an output;
        - the mean squared error for floating-point targets of the output's shape;
        - without targets, the sum of the outputs, each times a draw from N(0, 1): the gradients of
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

    Returns
    -------
    Measurement
        One record a layer, in the order in which they finished.

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
    _check_model(model)
    args, kwargs = arguments_of(inputs)
    if loss is not None and not callable(loss):
        raise TypeError(f"loss is {loss!r}; it must be a function such as F.cross_entropy, or None")
    bins = check_whole("histograms", histograms, 0)
    request = _Request(bins=bins, quantiles=_check_quantiles(quantiles))
    seed, jacobian = check_whole("seed", seed, 0), check_whole("jacobian", jacobian, 0)
    name = type(model).__name__
    source = f"{name} in {'training' if model.training else 'evaluation'} mode; inputs: " + (
        describe_arguments(args, kwargs)
    )
    # A frozen layer gets no gradient for its weights, but its output does, on the way to the input.
    to_inputs = not all(p.requires_grad for p in model.parameters()) or not any(
        True for _ in model.parameters()
    )
    watch = _Watch(model, request)
    singular_values = None
    with (
        torch.inference_mode(mode=False),
        torch.enable_grad(),
        left_alone(model),
        contextlib.closing(watch),
    ):
        with seeded(seed):
            leaves: list[Tensor] = []
            prepared = _prepared((args, kwargs), leaves if to_inputs else None)
            with watch:
                output = run_model(model, prepared[0], prepared[1], source)
            if not watch.drafts:
                raise ValueError(
                    f"no layer of {name} gave a floating-point tensor, so there is nothing to "
                    "measure; layers must be modules that the forward pass calls"
                )
            value, loss_name = _loss(output, targets, loss, seed, name)
            blank = _blank_loss(output, targets, loss)
            watch.watch_output(_first_float(output))
            del output, prepared
            known = list(model.named_parameters()) if parameters else []
            parameter_records = watch.backward(value, leaves, known)
            number = float(value.detach())
            del value, leaves
        if jacobian:
            with seeded(seed):
                singular_values = _jacobian(model, args, kwargs, jacobian, source)
    records = tuple(watch.records())
    output_second_moment = _finished(watch.output)[2]
    output_grad_sum = float(watch.output_grad_sum)
    return Measurement(
        records,
        number,
        loss_name,
        source,
        singular_values,
        parameter_records,
        blank,
        watch.output_shape,
        output_second_moment,
        output_grad_sum,
    )


# Arguments


class _Request(NamedTuple):
    """What is wanted beyond the moments."""

    bins: int
    quantiles: tuple[float, ...]


def _check_quantiles(quantiles: Sequence[float]) -> tuple[float, ...]:
    numbers = tuple(quantiles) if isinstance(quantiles, Sequence | np.ndarray) else (quantiles,)
    if not all(isinstance(q, Real) and 0 <= q <= 1 for q in numbers):
        raise ValueError(f"quantiles is {quantiles!r}; each must be a number in [0, 1]")
    return tuple(float(q) for q in numbers)


def _check_model(model: nn.Module) -> None:
    check_kind(model)
    for name, tensor in [*model.named_parameters(), *model.named_buffers()]:
        if tensor.is_inference():
            raise ValueError(
                f"{name} was made in torch.inference_mode(), so it cannot have gradients; make the "
                "model outside of it"
            )


def _prepared(value: Any, leaves: list[Tensor] | None) -> Any:
    """Make inputs that a graph can start from; the copies with gradients are added to leaves."""
    if isinstance(value, Tensor):
        if value.is_inference():
            value = value.clone()
        if leaves is not None and value.is_floating_point():
            leaves.append(value.detach().requires_grad_())
            return leaves[-1].clone()  # the model may change its input in place, a leaf it may not
        return value
    if isinstance(value, dict):
        return {key: _prepared(item, leaves) for key, item in value.items()}
    if isinstance(value, list):
        return [_prepared(item, leaves) for item in value]
    if isinstance(value, tuple):
        items = [_prepared(item, leaves) for item in value]
        return type(value)(*items) if hasattr(value, "_fields") else tuple(items)
    return value


# The loss


def _first_float(value: Any) -> Tensor | None:
    """Find the floating-point tensor that an output is mainly about."""
    if isinstance(value, Tensor):
        return value if value.is_floating_point() else None
    if isinstance(value, Mapping):
        named = [value[key] for key in ("logits", "out") if key in value]
        items = [*named, *value.values()]
    elif isinstance(value, tuple | list):
        items = list(value)
    else:
        items = [getattr(value, "logits", None)]
        if items == [None]:
            return None
    return next((found for item in items if (found := _first_float(item)) is not None), None)


def _float_output(output: Any, name: str) -> Tensor:
    found = _first_float(output)
    if found is None:
        what = f"{output.dtype}" if isinstance(output, Tensor) else type(output).__name__
        raise ValueError(
            f"the output of {name} holds no floating-point tensor ({what} came); give "
            "loss=, a function of the output that returns one number"
        )
    return found


def _loss(output: Any, targets: Any, loss: Loss | None, seed: int, name: str) -> tuple[Tensor, str]:
    """Return the loss, and its name in words."""
    if loss is not None:
        value = loss(output) if targets is None else loss(output, targets)
        if not isinstance(value, Tensor):
            raise ValueError(
                f"loss returned {value!r} of type {type(value).__name__}; it must return a tensor "
                "with one number, which the gradients can be taken of"
            )
        if value.numel() != 1 or not value.is_floating_point():
            kind = str(value.dtype).removeprefix("torch.")
            raise ValueError(
                f"loss returned a tensor of shape {tuple(value.shape)} and type {kind}; it must "
                "return one floating-point number, such as a mean"
            )
        known = loss if hasattr(loss, "__name__") else type(loss)
        return value.reshape(()), str(known.__name__)
    predicted = _float_output(output, name)
    if targets is None:
        draws = torch.randn(predicted.shape, generator=torch.Generator().manual_seed(seed))
        total = (predicted * draws.to(predicted)).sum(dtype=_wide(predicted))
        return total, "sum of the outputs, each times a draw from N(0, 1)"
    if not isinstance(targets, Tensor):
        raise TypeError(
            f"targets is of type {type(targets).__name__}; give a tensor, or a loss that knows it"
        )
    if targets.is_floating_point():
        if targets.shape != predicted.shape:
            raise ValueError(
                f"targets has shape {tuple(targets.shape)}, but the output of {name} has "
                f"{tuple(predicted.shape)}; the mean squared error needs the same shape. If they "
                "are classes, give whole numbers: targets.long()"
            )
        return F.mse_loss(predicted, targets.to(predicted.dtype)), "mean squared error"
    return _cross_entropy(predicted, targets, name), "cross-entropy"


# Losses that can be told at outputs of 0: the function's name, or the class's.
_KNOW_ZERO = {
    *("cross_entropy", "binary_cross_entropy_with_logits", "mse_loss", "l1_loss"),
    *("smooth_l1_loss", "huber_loss", "CrossEntropyLoss", "BCEWithLogitsLoss", "MSELoss"),
    *("L1Loss", "SmoothL1Loss", "HuberLoss"),
}


def _blank_loss(output: Any, targets: Any, loss: Loss | None) -> float:
    """Return the loss if the outputs were 0, as far as that is known to mean nothing is known."""
    if targets is None:
        return math.nan
    if loss is None:
        predicted = _first_float(output)
        assert predicted is not None  # the loss was taken of it  # noqa: S101
        with torch.no_grad():
            return float(_loss(torch.zeros_like(predicted), targets, None, 0, "")[0])
    if not isinstance(output, Tensor):
        return math.nan
    name = str(getattr(loss, "__name__", type(loss).__name__))
    if name in ("nll_loss", "NLLLoss") and output.ndim > 1:  # of the logarithms of equal shares
        return math.log(output.shape[1])
    if name not in _KNOW_ZERO:
        return math.nan
    with torch.no_grad():
        return float(loss(torch.zeros_like(output), targets))


def _cross_entropy(output: Tensor, targets: Tensor, name: str) -> Tensor:
    shape, wanted = tuple(output.shape), tuple(targets.shape)
    if targets.dtype == torch.bool or targets.is_complex():
        raise ValueError(
            f"targets is of type {targets.dtype}; the loss by itself knows whole numbers (classes) "
            "and floating-point numbers: convert them, or give loss="
        )
    if len(shape) >= 2 and shape[:1] + shape[2:] == wanted:
        classes = shape[1]
    elif len(shape) >= 2 and shape[:-1] == wanted:  # a sequence: the classes stand last
        classes, output, targets = shape[-1], output.flatten(0, -2), targets.flatten()
    else:
        raise ValueError(
            f"targets has shape {wanted}, which does not fit the output of {name}, {shape}; "
            "whole-number targets are one class for each output: "
            f"{' or '.join(dict.fromkeys(map(str, (shape[:1], shape[:-1]))))} for this output"
        )
    used = targets[targets != -100]  # torch leaves these out
    if not used.numel():
        raise ValueError(
            "targets are all -100, which is left out, so there is nothing to learn from"
        )
    if not 0 <= int(used.min()) <= int(used.max()) < classes:
        raise ValueError(
            f"targets reach from {int(used.min())} to {int(used.max())}, but the output of {name} "
            f"has {classes} classes; they must be 0 to {classes - 1}"
        )
    return F.cross_entropy(output, targets.long())


# Watch the pass


class _Bounds(NamedTuple):
    """Where an activation is flat, told by its outputs."""

    low: float  # the slope is 0 from here on
    high: float
    flat_low: float  # the slope is below FLAT of the steepest from here on; NaN: no such bound
    flat_high: float


_NO = math.nan
_TANH = math.sqrt(1 - FLAT)  # the slope is 1 - a², at most 1
_SIGMOID = (1 - math.sqrt(1 - FLAT)) / 2  # a(1 - a), at most 1/4
_SOFTSIGN = 1 - math.sqrt(FLAT)  # (1 - |a|)², at most 1
_ACTIVATIONS = {
    "relu": _Bounds(0, math.inf, _NO, _NO),
    "relu6": _Bounds(0, 6, _NO, 6),
    "hardsigmoid": _Bounds(0, 1, 0, 1),
    "tanh": _Bounds(-1, 1, -_TANH, _TANH),
    "sigmoid": _Bounds(0, 1, _SIGMOID, 1 - _SIGMOID),
    "softsign": _Bounds(-1, 1, -_SOFTSIGN, _SOFTSIGN),
}


def _activation(
    function: Callable[..., Any], args: Sequence[Any], kwargs: Mapping[str, Any]
) -> tuple[str, _Bounds] | None:
    """Return the name of an activation, and where it is flat; None for any other function."""
    name = str(getattr(function, "__name__", "")).rstrip("_")  # relu_ is relu in place
    if name == "hardtanh":
        given = dict(zip(("min_val", "max_val"), args[1:], strict=False)) | dict(kwargs)
        low, high = float(given.get("min_val", -1.0)), float(given.get("max_val", 1.0))
        # From 0 up it is a ReLU with an upper bound, and a ReLU is meant to be flat at 0.
        return name, _Bounds(low, high, low if low < 0 else _NO, high)
    if name in ("clamp", "clamp_min"):  # x.clamp(min=0) is a ReLU written by hand
        given = dict(zip(("min", "max"), args[1:], strict=False)) | dict(kwargs)
        bound = given.get("min")
        is_relu = isinstance(bound, Real) and bound == 0 and given.get("max") is None
        return ("relu", _ACTIVATIONS["relu"]) if is_relu else None
    return (name, _ACTIVATIONS[name]) if name in _ACTIVATIONS else None


class _Active(NamedTuple):
    """What an activation did."""

    name: str
    counts: Tensor  # (2,) dead units, saturated activations
    bounded: bool
    extras: "_Extras"


@dataclass
class _Draft:
    """A record in the making; its numbers stay on their device until the pass is over."""

    name: str
    module: nn.Module
    call: int
    shape: tuple[int, ...]
    axis: int
    output: "_Units"
    weights: tuple[int, ...]  # the key in _Watch.weights
    extras: "_Extras"
    given: Tensor | None = None  # (2,) mean square and spread of the input
    given_by: str | None = None
    active: _Active | None = None
    output_grad: "_Moments | None" = None


class _Seen(NamedTuple):
    """A tensor that a layer or an activation gave, as long as nothing changes it."""

    tensor: "weakref.ref[Tensor]"
    version: int
    draft: _Draft | None  # of the layer that it comes from
    active: _Active | None = None  # what made it, if that was an activation
    number: int = 0  # of that activation


@dataclass
class _Weights:
    """The weights of one layer, however often it is used."""

    tensors: tuple[Tensor, ...]
    moments: "_Moments | None"
    extras: "_Extras"
    grad: "_Moments | None" = None


class _Watch(TorchFunctionMode):
    """Hooks on the layers, and an eye on the functions that are called between them."""

    def __init__(self, model: nn.Module, request: _Request) -> None:
        super().__init__()
        self.model = model
        self.layers = _layers(model)
        self.request = request
        self.drafts: list[_Draft] = []
        self.weights: dict[tuple[int, ...], _Weights] = {}
        self.seen: dict[int, _Seen] = {}  # by the tensor's id
        self.activations = 0
        self.started: dict[nn.Module, int] = {}  # how many there were when the layer started
        self.calls: dict[nn.Module, int] = {}
        self.gradient_hooks: list[Any] = []
        self.output: _Moments | None = None
        self.output_shape: tuple[int, ...] = ()
        self.output_grad_sum: Tensor | float = math.nan
        self.stack = contextlib.ExitStack()
        self.busy = False

    # Forward

    def __enter__(self) -> Self:
        with contextlib.ExitStack() as stack:
            for name, module in self.layers.items():
                stack.callback(module.register_forward_pre_hook(self._start).remove)
                stack.callback(module.register_forward_hook(self._hook(name)).remove)
            if any(map(parametrize.is_parametrized, self.layers.values())):
                # A weight that is computed is then one tensor, the one that the layer uses.
                stack.enter_context(parametrize.cached())
            super().__enter__()  # type: ignore[no-untyped-call]
            self.stack = stack.pop_all()
        return self

    def __exit__(self, *error: object) -> None:
        super().__exit__(*error)  # type: ignore[no-untyped-call]
        self.stack.close()
        self.seen.clear()

    def close(self) -> None:
        """Remove the hooks on tensors: one may be a parameter, which stays."""
        for handle in self.gradient_hooks:
            handle.remove()

    def __torch_function__(
        self, func: Any, types: Any, args: Any = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        known = None if self.busy else _activation(func, args, kwargs)
        if known is None:
            return func(*args, **kwargs)
        source = self._find(args[0] if args else kwargs.get("input"))
        result = func(*args, **kwargs)
        if isinstance(result, Tensor) and result.is_floating_point():
            with self._own_work():
                self._note(*known, source.draft if source else None, result)
        return result

    def _find(self, tensor: Any) -> _Seen | None:
        seen = self.seen.get(id(tensor))
        known = seen is not None and seen.tensor() is tensor and seen.version == _version(tensor)
        return seen if known else None

    @contextlib.contextmanager
    def _own_work(self) -> Iterator[None]:
        """Compute without being watched, and without a graph."""
        self.busy = True
        try:
            with torch.no_grad():
                yield
        finally:
            self.busy = False

    def _note(self, name: str, bounds: _Bounds, draft: _Draft | None, result: Tensor) -> None:
        axis = draft.axis if draft else _default_axis(result)
        active = _Active(
            name,
            _activity(result, axis, bounds),
            not math.isnan(bounds.flat_high),
            _extras("activations", [result], self.request),
        )
        if draft is not None and draft.active is None:
            draft.active = active
        self.activations += 1
        self.seen[id(result)] = _Seen(
            weakref.ref(result), _version(result), draft, active, self.activations
        )

    def _start(self, module: nn.Module, _: Any) -> None:
        self.started[module] = self.activations

    def _hook(self, name: str) -> Callable[..., None]:
        def hook(module: nn.Module, args: Any, output: Any) -> None:
            tensor = _first_float(output)
            if tensor is None:
                return
            with self._own_work():
                draft = self._draft(name, module, _first_float(args), tensor)
            self.drafts.append(draft)
            if tensor.requires_grad:
                self._watch_gradient(tensor, draft)

        return hook

    def _draft(self, name: str, module: nn.Module, given: Tensor | None, tensor: Tensor) -> _Draft:
        axis = _unit_axis(module, tensor)
        source = self._find(given)
        if axis is None and source and source.draft and source.draft.shape == tensor.shape:
            axis = source.draft.axis
        if axis is None:
            axis = _default_axis(tensor)
        weights = _weights(module)
        key = tuple(map(id, weights))
        if key not in self.weights:
            self.weights[key] = _Weights(
                weights, _moments(weights), _extras("weights", weights, self.request)
            )
        draft = _Draft(
            name,
            module,
            self.calls.get(module, 0),
            tuple(tensor.shape),
            axis,
            _units(tensor, axis),
            key,
            _extras("outputs", [tensor], self.request),
        )
        if source and source.draft:
            draft.given_by = source.draft.name
        if given is not None and weights:
            draft.given = _given(given.detach())
        self.calls[module] = draft.call + 1
        made = self._find(tensor)
        if made and made.active and made.number > self.started.get(module, 0):
            draft.active = made.active  # the layer is an activation, or ends with one
        self.seen[id(tensor)] = _Seen(weakref.ref(tensor), _version(tensor), draft)
        return draft

    # Backward

    def _watch_gradient(self, tensor: Tensor, draft: _Draft) -> None:
        request = self.request

        def hook(gradient: Tensor) -> None:
            with torch.no_grad():
                draft.output_grad = _moments([gradient])
                draft.extras.update(_extras("output_grads", [gradient], request))

        self.gradient_hooks.append(tensor.register_hook(hook))

    def watch_output(self, output: Tensor | None) -> None:
        """Look at what the loss is taken of, now and on the way back."""
        if output is None:
            return
        with torch.no_grad():
            self.output, self.output_shape = _moments([output]), tuple(output.shape)
        if not output.requires_grad:
            return

        def hook(gradient: Tensor) -> None:
            with torch.no_grad():
                self.output_grad_sum = gradient.abs().sum(dtype=_wide(gradient))

        self.gradient_hooks.append(output.register_hook(hook))

    def backward(
        self,
        loss: Tensor,
        leaves: Sequence[Tensor],
        parameters: Sequence[tuple[str, nn.Parameter]],
    ) -> tuple[ParameterRecord, ...]:
        """Take the gradients, which the hooks see on their way; no ``.grad`` is touched.

        Returns the records of these parameters.
        """
        trained = {
            id(tensor): tensor
            for weights in self.weights.values()
            for tensor in weights.tensors
            if tensor.requires_grad
        }
        trained |= {id(tensor): tensor for _, tensor in parameters if tensor.requires_grad}
        gradients: dict[int, Tensor | None] = {}
        if loss.requires_grad and (trained or leaves):
            found = torch.autograd.grad(loss, [*trained.values(), *leaves], allow_unused=True)
            gradients = dict(zip(trained, found, strict=False))
        with torch.no_grad():
            for weights in self.weights.values():
                got = [gradients.get(id(tensor)) for tensor in weights.tensors]
                there = [gradient for gradient in got if gradient is not None]
                weights.grad = _moments(there)
                weights.extras.update(_extras("weight_grads", there, self.request))
            return tuple(
                self._parameter(name, tensor, gradients.get(id(tensor)))
                for name, tensor in parameters
            )

    def _parameter(
        self, name: str, tensor: nn.Parameter, gradient: Tensor | None
    ) -> ParameterRecord:
        path = name.split(".")
        last = path.index("parametrizations") if "parametrizations" in path else -1
        owner = ".".join(path[:last])
        module = self.model.get_submodule(owner)
        axis = 0 if tensor.ndim > 1 else None
        if isinstance(module, nn.Embedding | nn.EmbeddingBag):
            axis = 1
        elif isinstance(module, _ConvTransposeNd) and axis is not None:
            axis = 1 if module.groups == 1 else None
        numbers = []
        for values in (tensor, gradient):
            second = distinct = math.nan
            if values is not None and values.numel():
                dense = values if values.layout == torch.strided else values.to_dense()
                if axis is None:
                    second = _finished(_moments([dense]))[2]
                else:
                    units = _units(dense, axis)
                    second, distinct = _finished(units.moments)[2], float(_count_distinct(units))
            numbers.append((second, distinct))
        return ParameterRecord(
            name=name,
            layer=owner or type(self.model).__name__,
            shape=tuple(tensor.shape),
            trained=tensor.requires_grad,
            second_moment=numbers[0][0],
            grad_second_moment=numbers[1][0],
            units=tensor.shape[axis] if axis is not None else 0,
            shared=_shared(tensor, axis) if axis is not None and tensor.numel() else math.nan,
            distinct=numbers[0][1],
            grad_distinct=numbers[1][1],
        )

    def records(self) -> Iterator[Record]:
        """Turn the drafts into records."""
        for draft in self.drafts:
            weights, active = self.weights[draft.weights], draft.active
            mean, var, second = _finished(draft.output.moments)
            try:
                fan_in, fan_out = fans(draft.module)
            except TypeError:
                fan_in = fan_out = math.nan
            units = draft.output.signature.shape[1]
            dead = saturated = math.nan
            given = [math.nan, math.nan] if draft.given is None else draft.given.tolist()
            if active is not None:
                dead, saturated = active.counts.tolist()
            extras = weights.extras | draft.extras | (active.extras if active else {})
            yield Record(
                name=draft.name,
                kind=parametrize.type_before_parametrizations(draft.module).__name__,
                call=draft.call,
                shape=draft.shape,
                units=units,
                fan_in=fan_in,
                fan_out=fan_out,
                weight_std=math.sqrt(_finished(weights.moments)[1]),
                output_mean=mean,
                output_var=var,
                output_second_moment=second,
                weight_grad_var=_finished(weights.grad)[1],
                output_grad_var=_finished(draft.output_grad)[1],
                activation=active.name if active else None,
                dead_fraction=dead / units if units else math.nan,
                saturated_fraction=(
                    saturated / max(1, math.prod(draft.shape))
                    if active and active.bounded
                    else math.nan
                ),
                distinct_units=_count_distinct(draft.output),
                input_second_moment=given[0],
                input_spread=given[1],
                given_by=draft.given_by,
                histograms=MappingProxyType(
                    {name: extra.histogram for name, extra in extras.items() if extra.histogram}
                ),
                quantiles=MappingProxyType(
                    {
                        name: extra.quantiles
                        for name, extra in extras.items()
                        if extra.quantiles is not None
                    }
                ),
            )


def _version(tensor: Any) -> int:
    """How often a tensor was changed in place."""
    return int(tensor._version)  # noqa: SLF001  torch documents it, under this name


def _layers(model: nn.Module) -> dict[str, nn.Module]:
    """Modules that get a record, by name."""
    layers = {}
    for name, module in model.named_modules():
        if "parametrizations" in name.split("."):
            continue  # what computes a weight is no layer
        inside = [child for child, _ in module.named_children() if child != "parametrizations"]
        own = next(module.parameters(recurse=False), None) is not None
        if not inside or own or parametrize.is_parametrized(module):
            layers[name or type(model).__name__] = module
    return layers


def _weights(module: nn.Module) -> tuple[Tensor, ...]:
    """Return the weights that a layer computes with, which may be computed themselves."""
    weight = getattr(module, "weight", None)
    if isinstance(weight, Tensor):
        found = [weight]
    else:
        names = [name for name, _ in module.named_parameters(recurse=False)]
        names += list(getattr(module, "parametrizations", {}))
        tensors = [getattr(module, name) for name in dict.fromkeys(names)]
        found = [tensor for tensor in tensors if tensor.ndim > 1] or tensors
        if isinstance(module, nn.MultiheadAttention):  # used, but never called
            found.append(module.out_proj.weight)
    return tuple(tensor for tensor in found if tensor.is_floating_point())


def _unit_axis(module: nn.Module, output: Tensor) -> int | None:
    """Which axis of the output counts the units, as far as the layer's kind tells."""
    if isinstance(module, nn.Linear | nn.Embedding | nn.MultiheadAttention) or (
        isinstance(module, nn.LayerNorm) and len(module.normalized_shape) == 1
    ):
        return output.ndim - 1
    if isinstance(module, _NormBase | nn.GroupNorm):
        return 1
    for base in type(module).__mro__:  # Conv2d, MaxPool2d, Dropout2d: the channels, then 2 more
        if base.__module__.startswith("torch.nn") and base.__name__[-2:] in ("1d", "2d", "3d"):
            return max(0, output.ndim - 1 - int(base.__name__[-2]))
    return None


def _default_axis(output: Tensor) -> int:
    return 1 if output.ndim >= 4 else max(0, output.ndim - 1)


# Sums

# Elements that are worked on at once, in float64. On a CPU, 1 MB of them stays in the cache; a GPU
# needs more to do to be busy.
_BLOCK_CPU, _BLOCK = 2**17, 2**22


def _block_size(x: Tensor) -> int:
    return _BLOCK_CPU if x.device.type == "cpu" else _BLOCK


def _wide(x: Tensor) -> torch.dtype:
    return torch.float32 if x.device.type == "mps" else torch.float64


def _by_stride(x: Tensor, dims: Sequence[int]) -> list[int]:
    """Order dimensions as they lie in memory, so that reshaping them makes no copy."""
    strides = x.stride()
    return sorted(dims, key=lambda dim: strides[dim], reverse=True)


def _flat(x: Tensor) -> Tensor:
    if x.layout != torch.strided:
        x = x.to_dense()
    return x.permute(_by_stride(x, range(x.ndim))).reshape(-1)


class _Moments(NamedTuple):
    """Sums of distances from one of the values, so that equal values have a spread of exactly 0."""

    number: int  # of elements
    shift: Tensor  # ()
    sums: Tensor  # (2,): of the distances, and of their squares


def _shift(x: Tensor) -> Tensor:
    first = x[(0,) * x.ndim].to(_wide(x))
    return torch.where(first.isfinite(), first, torch.zeros_like(first))


def _moments(tensors: Sequence[Tensor]) -> _Moments | None:
    """Sums over all elements of some tensors; None if there are no elements."""
    flats = [_flat(tensor.detach()) for tensor in tensors if tensor.numel()]
    if not flats:
        return None
    shift = _shift(flats[0])
    sums = torch.zeros(2, dtype=shift.dtype, device=shift.device)
    for flat in flats:
        for block in flat.split(_block_size(flat)):
            distance = block.to(shift.dtype) - shift
            sums[0] += distance.sum()
            sums[1] += distance.dot(distance)
    return _Moments(sum(flat.numel() for flat in flats), shift, sums)


def _finished(moments: _Moments | None) -> tuple[float, float, float]:
    """Mean, variance and mean square."""
    if moments is None:
        return math.nan, math.nan, math.nan
    shift = float(moments.shift)
    first, second = (total / moments.number for total in moments.sums.tolist())
    if math.isinf(second):  # an infinite value, or squares that no float64 holds
        return first + shift, math.nan if math.isinf(first) else second, second
    square = second + 2 * shift * first + shift * shift
    return first + shift, _above_0(second - first * first), _above_0(square)


def _above_0(value: float) -> float:
    return value if math.isnan(value) else max(0.0, value)  # rounding may leave it below


_SPREAD = 2**18  # numbers that are looked at


def _given(x: Tensor) -> Tensor:
    """Mean square, and the share of it that differs between the entries of the batch: (2,)."""
    if not x.numel() or x.layout != torch.strided:
        return torch.full((2,), math.nan)
    norm = torch.linalg.vector_norm(x, dtype=torch.promote_types(x.dtype, torch.float32))
    second = norm.to(_wide(x)).square() / x.numel()
    if x.ndim == 0 or x.shape[0] < 2:
        return torch.stack([second, torch.full_like(second, math.nan)])
    rows = x.permute(0, *_by_stride(x, range(1, x.ndim))).reshape(x.shape[0], -1)
    width = max(1, _SPREAD // len(rows))
    if rows.shape[1] > width:
        generator = torch.Generator().manual_seed(0)
        places = torch.randint(rows.shape[1], (width,), generator=generator)
        rows = rows.index_select(1, places.to(rows.device))
    rows = rows.to(_wide(x))
    size = rows.square().mean()
    distance = rows - rows[0]  # of equal entries, exactly 0
    varying = (distance.square().mean(dim=0) - distance.mean(dim=0).square()).mean()
    spread = torch.where(size == 0, size, varying.clamp(min=0) / size)
    return torch.stack([second, spread])


def _shared(x: Tensor, axis: int) -> float:
    """Mean square of the mean along an axis, over the mean square."""
    x = x.detach() if x.dtype == torch.float64 else x.detach().float()
    second = float(torch.linalg.vector_norm(x)) ** 2 / x.numel()
    mean = x.mean(dim=axis)
    return float(torch.linalg.vector_norm(mean)) ** 2 / mean.numel() / second if second else 0.0


class _Units(NamedTuple):
    """What is known of each unit of an output."""

    moments: _Moments | None
    signature: Tensor  # (3, units): sum, squared norm, product with a random vector
    values: int  # of one unit


def _rows(x: Tensor, axis: int) -> Tensor:
    """View as (rows, units, positions), whatever the order of rows and of positions."""
    if x.ndim == 0:
        return x.reshape(1, 1, 1)
    before, after = range(axis), range(axis + 1, x.ndim)
    x = x.permute([*_by_stride(x, before), axis, *_by_stride(x, after)])
    shape = x.shape
    return x.reshape(math.prod(shape[:axis]), shape[axis], math.prod(shape[axis + 1 :]))


def _blocks(rows: Tensor) -> Iterator[tuple[slice, slice, Tensor]]:
    """Yield which rows and units, and the block of them."""
    size = _block_size(rows)
    count, units, positions = rows.shape
    height = min(count, max(1, size // max(1, units * positions)))
    width = min(units, max(1, size // max(1, height * positions)))
    for top in range(0, count, max(1, height)):
        for left in range(0, units, max(1, width)):
            at, of = slice(top, top + height), slice(left, left + width)
            yield at, of, rows[at, of]


def _units(x: Tensor, axis: int) -> _Units:
    rows = _rows(x.detach(), axis)
    count, units, positions = rows.shape
    if not rows.numel():
        return _Units(None, rows.new_zeros(3, units, dtype=_wide(rows)), 0)
    shift = _shift(rows)
    sums = torch.zeros(3, units, dtype=shift.dtype, device=shift.device)
    # The random vector is the product of one over the rows and one over the positions: fewer draws.
    generator = torch.Generator().manual_seed(0)
    over_rows = torch.randn(count, generator=generator).to(sums)
    over_positions = torch.randn(positions, generator=generator).to(sums)
    for at, of, block in _blocks(rows):
        distance = block.to(shift.dtype) - shift
        if positions == 1:
            distance = distance[:, :, 0]
            total, products = distance.sum(dim=0), over_rows[at] @ distance
            squares = (distance * distance).sum(dim=0)
        else:
            total = distance.sum(dim=2).sum(dim=0)
            products = over_rows[at] @ (distance @ over_positions)
            squares = distance.mul_(distance).sum(dim=2).sum(dim=0)
        sums[:, of] += torch.stack([total, squares, products])
    values = count * positions
    moments = _Moments(values * units, shift, sums[:2].sum(dim=1))
    sums[1] += 2 * shift * sums[0] + values * shift * shift  # of the values, not the distances
    return _Units(moments, sums, values)


def _count_distinct(units: _Units) -> int:
    """Count the units whose signatures differ by more than rounding does.

    Units are sorted by one number of the signature, and parted where neighbours differ; then each
    part by the next number.
    """
    signature = units.signature.double().cpu().numpy()
    finite = np.isfinite(signature).all(axis=0)
    total, squares, product = signature[:, finite]
    if not total.size:
        return int(finite.size > 0)
    norm = np.sqrt(np.maximum(squares, 0))
    part = np.zeros(total.size, dtype=np.int64)
    for number, scale in ((product, 1.0), (norm, 1.0), (total, math.sqrt(units.values))):
        order = np.lexsort((number, part))
        ranked, size = number[order], norm[order]
        apart = np.diff(ranked) > SAME * scale * np.maximum(size[1:], size[:-1])
        steps = apart | (np.diff(part[order]) > 0)
        part[order] = np.concatenate([[0], np.cumsum(steps)])
    return int(part.max()) + 1 + int(not finite.all())


def _activity(x: Tensor, axis: int, bounds: _Bounds) -> Tensor:
    """Count dead units and saturated activations: (2,)."""
    rows = _rows(x.detach(), axis)
    alive = torch.zeros(rows.shape[1], dtype=torch.bool, device=rows.device)
    flat = torch.zeros((), dtype=torch.int64, device=rows.device)
    for _, of, block in _blocks(rows):
        # Asked this way round, a unit with NaN is not dead.
        if math.isinf(bounds.high):
            moving = ~(block.amax(dim=(0, 2)) <= bounds.low)
        else:
            moving = (~((block <= bounds.low) | (block >= bounds.high))).any(dim=2).any(dim=0)
        alive[of] |= moving
        for low_end, bound in ((True, bounds.flat_low), (False, bounds.flat_high)):
            if not math.isnan(bound):
                flat += torch.count_nonzero(block <= bound if low_end else block >= bound)
    return torch.stack([torch.count_nonzero(~alive), flat])


# Histograms and quantiles


class _Extra(NamedTuple):
    histogram: Histogram | None
    quantiles: NDArray[np.float64] | None


_Extras = dict[str, _Extra]


def _extras(name: str, tensors: Sequence[Tensor], request: _Request) -> _Extras:
    """Make what was requested; nothing if that is nothing, or there is no finite value."""
    if not request.bins and not request.quantiles:
        return {}
    flats = [_flat(tensor.detach()) for tensor in tensors if tensor.numel()]

    def blocks() -> Iterator[NDArray[np.float64]]:
        for flat in flats:
            for block in flat.split(_block_size(flat)):
                array = block.float().cpu().numpy() if flat.is_mps else block.double().cpu().numpy()
                yield array[np.isfinite(array)]

    ends = [(block.min(), block.max()) for block in blocks() if block.size]
    if not ends:
        return {}
    histogram = quantiles = None
    if request.bins:
        histogram = _histogram(
            blocks, request.bins, float(min(e[0] for e in ends)), float(max(e[1] for e in ends))
        )
    if request.quantiles:
        every = np.concatenate([flat.float().cpu().numpy() for flat in flats])
        finite = every[np.isfinite(every)]
        if finite.size:
            quantiles = np.quantile(finite.astype(np.float64, copy=False), request.quantiles)
    return {name: _Extra(histogram, quantiles)}


def _histogram(
    blocks: Callable[[], Iterator[NDArray[np.float64]]], bins: int, low: float, high: float
) -> Histogram:
    if high - low <= 1e-9 * max(abs(low), abs(high)):  # too narrow for bins, or one value
        half = max(0.5, 1e-3 * abs(low))
        low, high = low - half, high + half
    counts, number, total, squares = np.zeros(bins, dtype=np.int64), 0, 0.0, 0.0
    shift = low / 2 + high / 2
    for block in blocks():
        counts += np.histogram(block, bins=bins, range=(low, high))[0]
        number += block.size
        distance = block - shift
        total += float(distance.sum())
        squares += float(distance @ distance)
    mean = total / number
    variance = _above_0(squares / number - mean * mean)
    return Histogram(counts, np.linspace(low, high, bins + 1), shift + mean, math.sqrt(variance))


# The Jacobian

_VECTORS = 256  # gradients that are taken at once


def _jacobian(
    model: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any], count: int, source: str
) -> NDArray[np.float64]:
    """Singular values of the derivative of each of the first outputs by its own input."""
    first = next((t for t in tensors_in((args, kwargs)) if t.is_floating_point()), None)
    if first is None:
        raise ValueError(
            f"jacobian is {count}, but the inputs hold no floating-point tensor to differentiate "
            f"by: {describe_arguments(args, kwargs)}; leave it at 0"
        )
    batch = first.shape[0] if first.ndim else 0
    if count > batch:
        raise ValueError(f"jacobian is {count}, but the batch has {batch} inputs")

    def cut(value: Any) -> Any:
        if isinstance(value, Tensor):
            return value[:count] if value.ndim and value.shape[0] == batch else value
        if isinstance(value, Mapping):
            return {key: cut(item) for key, item in value.items()}
        if isinstance(value, list | tuple) and not hasattr(value, "_fields"):
            return type(value)(cut(item) for item in value)
        return value

    leaves: list[Tensor] = []
    few_args, few_kwargs = _prepared((cut(args), cut(kwargs)), leaves)
    output = _float_output(run_model(model, few_args, few_kwargs, source), type(model).__name__)
    if output.ndim == 0 or output.shape[0] != count or not output.requires_grad:
        raise ValueError(
            f"jacobian is {count}, but the output of {type(model).__name__} for {count} inputs has "
            f"shape {tuple(output.shape)}, or does not depend on them; it must have the batch first"
        )
    flat = output.reshape(count, -1)
    size = flat.shape[1]
    rows = []
    for i in range(count):
        found = []
        for start in range(0, size, _VECTORS):
            numbers = torch.arange(start, min(size, start + _VECTORS))
            vectors = flat.new_zeros(len(numbers), count, size)
            vectors[torch.arange(len(numbers)), i, numbers] = 1
            found.append(_vector_products(flat, leaves[0], vectors)[:, i].flatten(1).double().cpu())
        matrix = torch.cat(found)
        finite = bool(matrix.isfinite().all())
        rows.append(
            torch.linalg.svdvals(matrix).numpy() if finite else np.full(min(matrix.shape), math.nan)
        )
    return np.stack(rows)


def _vector_products(output: Tensor, leaf: Tensor, vectors: Tensor) -> Tensor:
    """Gradients of the output along each of the vectors: (vectors, *leaf)."""
    try:
        found = torch.autograd.grad(
            output, leaf, vectors, retain_graph=True, allow_unused=True, is_grads_batched=True
        )[0]
    except RuntimeError:  # an operation that torch cannot do for many vectors at once
        each = [
            torch.autograd.grad(output, leaf, vector, retain_graph=True, allow_unused=True)[0]
            for vector in vectors
        ]
        found = None if each[0] is None else torch.stack(each)
    return leaf.new_zeros(len(vectors), *leaf.shape) if found is None else found


# Texts


def _label(record: Record) -> str:
    return f"{record.name} #{record.call + 1}" if record.call else record.name


def _short(number: float, *, percent: bool) -> str:
    if math.isnan(number):
        return "–"
    return f"{100 * number:.3g}%" if percent else f"{number:.3g}"


def _squeezed(text: str, width: int) -> str:
    """Fill a text up to a width, or cut its middle out."""
    if len(text) <= width:
        return text.ljust(width)
    end = (width - 1) // 2
    return f"{text[: width - 1 - end]}…{text[len(text) - end :]}"

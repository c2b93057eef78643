"""Predict the mean squares of a model's pre-activations from the weights as they are."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from initguide.arguments import check_whole
from initguide.introspection import (
    arguments_of,
    check_kind,
    describe_arguments,
    left_alone,
    run_model,
    tensors_in,
)
from initguide.prediction.follow import Follower
from initguide.prediction.records import Predictions
from initguide.randomness import seeded

__all__ = ["predict_variances"]


def predict_variances(model: nn.Module, inputs: Any, *, seed: int = 0) -> Predictions:
    """Predict the mean square of every layer's pre-activations from the weights as they are.

    One forward pass is followed operation by operation:

    - a linear layer or convolution: E[z²] = taps · E[w²] · E[x²] + E[b²], where taps is the
      fan-in, less what lies on a convolution's padding. Layers with zero padding leave less at the
      borders than in the middle, so positions are weighed by their shares of E[x²]. The shares are
      taken from this pass, and only E[x²], their mean, is predicted;
    - an elementwise activation of pre-activations: E[φ(z)²] with normal z of the predicted
      variance, which in images is spread over the positions in the same way;
    - dropout: 1 / (1 - p) times while training, nothing in evaluation mode;
    - normalization (batch, layer, group, instance, RMS): E[γ²] + E[β²];
    - sums: second moments add where a summand comes from a zero-mean layer that the other does not
      know, as in a residual block; scaling, concatenation, padding, and changes of shape.

    Inputs differ in length, and so does what they lead to: the inputs are followed in up to eight
    groups of about equal length. Where theory cannot follow (pooling depends on how neighbours
    correlate, attention on how tokens do; weights whose mean is not 0 add up what inputs have in
    common; activations of what is not normal) the record says so, and the next layer starts from
    the measured value.

    Parameters
    ----------
    model
        Any module, in the mode that is of interest. It comes back as it was, BatchNorm's running
        statistics, attributes and embeddings with a ``max_norm`` included. If the forward pass
        changes other weights in place, a warning says which (a change through ``.data`` is not
        seen): they stay changed.
    inputs
        What the model is called with: a tensor (or list), given as its only argument; a tuple of
        positional arguments; or a dictionary of keyword arguments.
    seed
        At least 0: draws the dropout masks of the measured values; torch's generators are left as
        they were.

    Returns
    -------
    Predictions
        A record for each linear layer, convolution and embedding, in execution order, and one
        without a prediction for each recurrent or attention layer.

    Raises
    ------
    TypeError
        If ``model`` is not a module, or was compiled by ``torch.jit``, or ``inputs`` is none of
        what is named above.
    ValueError
        If the inputs hold no numbers, or some that are not finite, or the model's weights hold
        none, as those of lazy layers that were never run.
    RuntimeError
        If the model cannot be run on the inputs; the message says which came.

    Examples
    --------
    >>> import torch
    >>> _ = torch.manual_seed(0)
    >>> net = nn.Sequential(nn.Linear(500, 500), nn.Tanh(), nn.Linear(500, 500))
    >>> for record in predict_variances(net, torch.randn(100, 500)):
    ...     print(record.name, round(record.second_moment, 2), round(record.measured, 2))
    0 0.33 0.33
    2 0.07 0.07
    """
    seed = check_whole("seed", seed, 0)
    check_kind(model)
    args, kwargs = arguments_of(inputs)
    mode = "training" if model.training else "evaluation"
    came = describe_arguments(args, kwargs)
    source = f"{type(model).__name__} in {mode} mode; inputs: {came}"
    with torch.inference_mode(mode=False), torch.no_grad():
        # Copies count changes in place, which tensors that came out of inference mode do not.
        args, kwargs = _copied(args), _copied(kwargs)
        tensors = tensors_in([args, kwargs])
        if not all(t.isfinite().all() for t in tensors):
            raise ValueError("inputs hold NaN or infinite numbers; theory needs finite ones")
        follower = Follower(model, tensors)
        # The follower goes in last: it must not follow what `left_alone` computes.
        with seeded(seed), left_alone(model), follower.watching(), follower:
            run_model(model, args, kwargs, source)
    return Predictions(follower.records)


def _copied(inputs: Any) -> Any:
    """Copy the tensors, which the model may change in place."""
    if isinstance(inputs, Tensor):
        return inputs.clone()
    if isinstance(inputs, Mapping):
        return {key: _copied(value) for key, value in inputs.items()}
    # By exact type: the class of a named tuple takes its fields one by one.
    if type(inputs) in (tuple, list):
        return type(inputs)(_copied(value) for value in inputs)
    return inputs

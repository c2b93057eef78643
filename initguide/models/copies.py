"""A wide network of equal units, which trains as a narrow one."""

import copy

from torch import Tensor, nn

from initguide.arguments import check_whole

_HOMOGENEOUS = (nn.Identity, nn.ReLU, nn.LeakyReLU)
"""What may stand between the layers: twice as large an input makes twice as large an output."""

_BEFORE = (nn.Flatten, *_HOMOGENEOUS)
"""What may stand before the first: behind it, units of several positions would be mixed."""


def with_copies(narrow: nn.Sequential, copies: int) -> nn.Sequential:
    """Copy every hidden unit of a ReLU network, so that outputs and training by SGD stay.

    With m copies, weights into or out of one copied layer are divided by √m, those between two
    copied layers by m, and hidden biases by √m. Each copy's step of SGD, with momentum or without,
    is then the step of the one weight, divided by the same number. Adam divides by the size of the
    gradients, and does not keep the two together.

    Parameters
    ----------
    narrow
        What `mlp` makes, without normalization and dropout, and with ReLU or another activation
        for which φ(a·z) = a·φ(z) for a > 0.
    copies
        How often each hidden unit is to stand in the new network, at least once.

    Returns
    -------
    nn.Sequential
        Of the same names, with hidden layers so many times as wide. It shares no weights with
        ``narrow``.

    Raises
    ------
    ValueError
        If ``copies`` is no whole number of at least 1, there is no `torch.nn.Linear`, or one is in
        two places.
    TypeError
        If something else stands between the layers.

    Examples
    --------
    >>> import torch
    >>> from initguide.models import mlp
    >>> narrow = mlp([784, 2, 2, 10])
    >>> wide = with_copies(narrow, 32)
    >>> wide.fc2
    Linear(in_features=64, out_features=64, bias=True)
    >>> images = torch.rand(5, 784)
    >>> torch.allclose(wide(images), narrow(images), atol=1e-5)
    True
    """
    copies = check_whole("copies", copies, 1)
    wide = copy.deepcopy(narrow)
    linear = [layer for layer in wide if isinstance(layer, nn.Linear)]
    if not linear:
        raise ValueError("narrow has no nn.Linear layer; give what initguide.mlp makes")
    if len(set(linear)) < len(linear):
        raise ValueError("narrow has one layer in two places; give it layers of their own")
    inside = False
    for name, layer in wide.named_children():
        inside = inside or isinstance(layer, nn.Linear)
        if not isinstance(layer, (nn.Linear, *(_HOMOGENEOUS if inside else _BEFORE))):
            raise TypeError(
                f"narrow has {type(layer).__name__} as {name!r}, which need not scale with its "
                f"input; only {', '.join(kind.__name__ for kind in _HOMOGENEOUS)} may stand "
                "between the layers, and Flatten before the first"
            )
    for layer in linear:
        into = copies if layer is not linear[0] else 1
        out = copies if layer is not linear[-1] else 1
        layer.in_features, layer.out_features = layer.in_features * into, layer.out_features * out
        layer.weight = _repeated(layer.weight, (out, into))
        if layer.bias is not None:
            layer.bias = _repeated(layer.bias, (out,))
    return wide


def _repeated(parameter: Tensor, times: tuple[int, ...]) -> nn.Parameter:
    """Divide by the root of how often each number stands there then."""
    many = parameter.detach().repeat(times)
    root = (many.numel() / parameter.numel()) ** 0.5
    return nn.Parameter(many / root, requires_grad=parameter.requires_grad)

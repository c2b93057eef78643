"""Schemes that look at a batch of data: layer-sequential unit variance, and unit by unit."""

import zlib
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.conv import _ConvNd

from initguide.initializers.scheme import Scheme
from initguide.initializers.structured import orthogonal


def lsuv(batch: Tensor, *, per_unit: bool = False) -> Scheme:
    """Orthogonal weights, each layer then divided by the spread of its outputs on a batch.

    Layer-sequential unit variance (Mishkin & Matas 2016, arXiv:1511.06422): from the first layer
    to the last, outputs get standard deviation 1 over the batch and all units. It knows nothing of
    activations, so it serves where no formula does. ``per_unit`` gives each unit mean 0 and
    variance 1 of its own, by its bias and its weights, which is the within-layer part of Krähenbühl
    et al. (2016, arXiv:1511.06856) and the start of weight normalization (Salimans & Kingma 2016).

    The model runs once, in the mode that it is in. Linear layers and convolutions are rescaled.

    Parameters
    ----------
    batch
        (N, ...) what the model takes, scaled as in training. Tens of entries will do, but
        ``per_unit`` estimates two numbers for each unit and wants some hundreds.
    per_unit
        Whether each unit has its own mean and scale. Layers must have biases then.

    Raises
    ------
    ValueError
        If ``batch`` has no two entries; and by the scheme, if a layer has no bias to shift where
        ``per_unit`` asks for it, or its outputs do not vary over the batch.

    Examples
    --------
    >>> import initguide
    >>> net = nn.Sequential(nn.Linear(50, 80), nn.Softplus(), nn.Linear(80, 10))
    >>> x = torch.randn(200, 50, generator=torch.Generator().manual_seed(0))
    >>> net = initguide.initialize(net, lsuv(x), seed=0)
    >>> print(f"{net(x).std().item():.2f}")
    1.00
    """
    if batch.ndim < 2 or len(batch) < 2:
        raise ValueError(
            f"batch has shape {tuple(batch.shape)}; it must be (N, ...) with at least 2 entries, "
            "for a spread to be measured over them"
        )
    start = orthogonal()

    def rescale(layer: Any, _: object, out: Tensor) -> Tensor:
        # Units are the last axis of a linear layer's outputs, and the channels of a convolution's.
        units = 1 if isinstance(layer, _ConvNd) and out.ndim > 1 else out.ndim - 1
        others = [axis for axis in range(out.ndim) if axis != units]
        middle = out.mean(others) if per_unit else torch.zeros(1).to(out)
        spread = out.std(others) if per_unit else out.std().expand(1)
        if not bool((spread > 0).all()):
            raise ValueError(
                f"outputs of {layer} do not vary over the batch, so no scale gives them "
                "variance 1; look for dead units in the layer before, or give a larger batch"
            )
        if per_unit and layer.bias is None:
            raise ValueError(f"{layer} has no bias, which per_unit=True needs to centre its units")
        layer.weight.div_(spread.reshape(-1, *[1] * (layer.weight.ndim - 1)))
        if layer.bias is not None:
            layer.bias.copy_((layer.bias - middle) / spread)
        wide = [-1 if axis == units else 1 for axis in range(out.ndim)]
        # A layer is affine in its parameters, so what it would give now needs no second pass.
        return (out - middle.reshape(wide)) / spread.reshape(wide)

    def fill(model: nn.Module) -> None:
        model.apply(start)
        layers = [m for m in model.modules() if isinstance(m, (nn.Linear, _ConvNd))]
        hooks = [layer.register_forward_hook(rescale) for layer in layers]
        try:
            model(batch.to(next(model.parameters()).device))
        finally:
            for hook in hooks:
                hook.remove()

    # The batch is part of what the scheme is: stores of results tell schemes by their description.
    digest = zlib.crc32(batch.detach().cpu().contiguous().numpy().tobytes())
    return Scheme(
        f"lsuv(batch of {len(batch)} with checksum {digest:08x}, per_unit={per_unit})",
        fill,
        lambda module: any(map(start.accepts, module.modules())),
        lambda _: None,
    )

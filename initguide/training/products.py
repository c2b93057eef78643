"""Linear layers of several networks, and of one, by the fastest product that torch has."""

import functools
from collections.abc import Callable, Iterable, Sequence
from typing import Any, cast

import torch
import torch.nn.functional as F  # noqa: N812  torch's own idiom
from torch import Tensor, nn


def by_network(x: Tensor, count: int) -> Tensor:
    """(S·n, …) -> (S, n, …)."""
    return x.reshape(count, -1, *x.shape[1:])


def _joined(parts: list[Tensor]) -> Tensor:
    return torch.cat(parts) if len(parts) > 1 else parts[0]


def each_on_its_part(forwards: Sequence[Callable[[Tensor], Tensor]], x: Tensor) -> Tensor:
    """Let each of several networks compute its part of a batch."""
    parts = by_network(x, len(forwards))
    return _joined([forward(part) for forward, part in zip(forwards, parts, strict=True)])


def linears(layers: Sequence[nn.Linear], x: Tensor) -> Tensor:
    """Linear layers of several networks, each on its part of a batch."""
    plain = x.ndim == 2 and x.dtype == layers[0].weight.dtype
    if not plain or torch.is_autocast_enabled("cpu"):
        return each_on_its_part(
            [functools.partial(F.linear, weight=k.weight, bias=k.bias) for k in layers], x
        )
    parameters = [*(k.weight for k in layers), *(k.bias for k in layers)]
    return cast(Tensor, _Linears.apply(x, *parameters))


class _Linears(torch.autograd.Function):
    """Linear layers of several networks: x, then all weights, then all biases.

    One step of autograd for all of them, and the large products go through oneDNN.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, *parameters: Tensor | None) -> Tensor:
        count = len(parameters) // 2
        weights = cast(tuple[Tensor, ...], parameters[:count])
        biases = parameters[count:]
        ctx.save_for_backward(x, *weights)
        ctx.has_bias = biases[0] is not None
        product = _product_for(weights[0])
        return _joined(_products(product, by_network(x, count), weights, biases))

    @staticmethod
    def backward(ctx: Any, *grads: Any) -> Any:
        x, *weights = ctx.saved_tensors
        count, product = len(weights), _product_for(weights[0])
        for_x, *wanted = ctx.needs_input_grad
        x, grad = by_network(x, count), by_network(grads[0], count)
        nothing: list[Tensor | None] = [None] * count
        x_grad, weight_grads, bias_grads = None, nothing, nothing
        if for_x:
            turned = [weight.t() for weight in weights]
            x_grad = _joined(_products(product, grad, turned, nothing))
        if any(wanted[:count]):
            # grad.mT @ x: a product transposes its second factor, as a linear layer does.
            weight_grads = _products(product, grad.mT, x.mT, nothing)
        if ctx.has_bias and any(wanted[count:]):
            bias_grads = [*grad.sum(1).unbind()]
        return x_grad, *weight_grads, *bias_grads


# One product

# x, weight, bias -> x @ weight.t() + bias
Product = Callable[[Tensor, Tensor, Tensor | None], Tensor]


def _product_for(weight: Tensor) -> Product:
    """Choose how a layer with weights like this one, and its gradients, are computed.

    torch sends float32 products on a CPU to MKL. For large ones, oneDNN takes about half of the
    time on some processors: benchmarks/lesson_speed.py shows it. But torch cannot differentiate
    that product, so gradients that are to be differentiated again do without it.
    """
    differentiated = torch.is_grad_enabled()  # inside an autograd function: by ``create_graph``
    return _by_onednn if onednn_pays(weight) and not differentiated else _plainly


def _products(
    product: Product, x: Tensor, weights: Iterable[Tensor], biases: Iterable[Tensor | None]
) -> list[Any]:
    return [product(*given) for given in zip(x, weights, biases, strict=True)]


def _plainly(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    return x @ weight.t() if bias is None else torch.addmm(bias, x, weight.t())


def _by_onednn(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    product = torch.ops.mkldnn._linear_pointwise.default  # noqa: SLF001
    return cast(Tensor, product(x, weight, bias, "none", [], ""))


def onednn_pays(weight: Tensor) -> bool:
    """Whether a product with such weights is faster through oneDNN."""
    return (
        weight.numel() >= 2**14  # below that, the call costs more than the product
        and weight.dtype == torch.float32
        and _onednn_works()
    )


@functools.cache
def _onednn_works() -> bool:
    """Whether torch's product through oneDNN is there and right; it is no public name of torch."""
    shapes = ((2, 3), (4, 3), (4,))
    x, weight, bias = (torch.ones(n, dtype=torch.float32, device="cpu") for n in shapes)
    try:
        return bool((_by_onednn(x, weight, bias) == 4).all())
    except (AttributeError, RuntimeError, TypeError):
        return False

"""Linear layers of one network and of several, and their product through oneDNN."""

from functools import partial

import pytest
import torch
import torch.nn.functional as F
from torch import Generator, nn
from training_networks import seeded, several

from initguide.training import products, quick_layers


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("rows", [1, 7, 100])
def test_quick_linear_layer_gradients(bias, rows):
    """The faster linear layer gives the output and all three gradients of torch's own."""
    layer = seeded(lambda: nn.Linear(160, 110, bias=bias))
    x = torch.randn(rows, 160, generator=Generator().manual_seed(1), requires_grad=True)
    inputs = [x, *layer.parameters()]
    expected = F.linear(x, layer.weight, layer.bias)
    direction = torch.randn(expected.shape, generator=Generator().manual_seed(2))
    with quick_layers([layer], [Generator()]):
        assert ("forward" in vars(layer)) == torch.backends.mkldnn.is_available()
        output = layer(x)
        grads = torch.autograd.grad(output, inputs, direction)
    torch.testing.assert_close(output, expected, rtol=1e-4, atol=1e-5)
    for grad, plain in zip(grads, torch.autograd.grad(expected, inputs, direction), strict=True):
        torch.testing.assert_close(grad, plain, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("onednn", [True, False])
@pytest.mark.parametrize("sizes", [(160, 110), (12, 7)])
@pytest.mark.parametrize("count", [1, 3])
def test_linear_layers_of_several_networks(monkeypatch, count, sizes, onednn):
    """Outputs, gradients, and gradients of gradients are those of torch's own layers, in float64.

    Each number is a sum of products of float32, whose rounding follows the size of the sums, not of
    the number: second derivatives here are up to 1,860, and cancel. Plain torch is off by up to 2
    units in the last place of the largest, ours by up to 4 (Intel, AVX-512), and 16 are allowed.
    """
    if not onednn:
        monkeypatch.setattr(products, "_onednn_works", lambda: False)
    layers = several(lambda: nn.Linear(*sizes), count)
    x = torch.randn(5 * count, sizes[0], generator=Generator().manual_seed(0), requires_grad=True)
    inputs = [x, *(p for layer in layers for p in layer.parameters())]

    def derivatives(y):
        first = torch.autograd.grad(y.tanh().sum(), inputs, create_graph=True)
        return y, *first, *torch.autograd.grad(sum(g.square().sum() for g in first), inputs)

    with quick_layers(layers, [Generator()]):
        found = derivatives(layers[0](x))
    inputs = [tensor.detach().double().requires_grad_() for tensor in inputs]
    each = zip(inputs[0].chunk(count), inputs[1::2], inputs[2::2], strict=True)
    expected = derivatives(torch.cat([F.linear(part, w, b) for part, w, b in each]))
    for tensor, exact in zip(found, expected, strict=True):
        error = (tensor.double() - exact).abs().max() / exact.abs().max()
        assert error < 16 * torch.finfo(torch.float32).eps


@pytest.mark.parametrize(("inputs", "calls"), [(160, 3), (16, 0)])
def test_large_products_go_through_onednn(monkeypatch, inputs, calls):
    """All three of a large layer; those of a small one do not."""
    if not torch.backends.mkldnn.is_available():
        pytest.skip("needs a torch with oneDNN")
    seen, real = [], products._by_onednn
    monkeypatch.setattr(products, "_by_onednn", lambda *given: seen.append(0) or real(*given))
    layer = nn.Linear(inputs, 110)
    with quick_layers([layer], [Generator()]):
        layer(torch.ones(5, inputs, requires_grad=True)).sum().backward()
    assert len(seen) == calls


def test_onednn_is_found_whatever_the_default_dtype():
    """Whether there is a faster product is asked once, for float32."""
    products._onednn_works.cache_clear()
    torch.set_default_dtype(torch.float64)
    try:
        assert products._onednn_works() == torch.backends.mkldnn.is_available()
    finally:
        torch.set_default_dtype(torch.float32)
        products._onednn_works.cache_clear()


@pytest.mark.parametrize("build", [partial(nn.Linear, 160, 110), partial(nn.Linear, 160, 9)])
@pytest.mark.parametrize("rows", [(10,), (10, 2)])
def test_a_batch_that_is_not_for_all_networks(build, rows):
    """What cannot be shared out equally is refused, not computed with some of the networks."""
    for layers in (several(build, 4), several(partial(nn.LayerNorm, 160), 4)):
        with (
            quick_layers(layers, [Generator()]),
            pytest.raises(RuntimeError, match="shape"),
        ):
            layers[0](torch.ones(*rows, 160))

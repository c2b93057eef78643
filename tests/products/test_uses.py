"""Products with a parameter are read right, however they are written."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.overrides import TorchFunctionMode

from initguide.products import Uses


class _Following(TorchFunctionMode):
    def __init__(self, parameters, constants=()):
        super().__init__()
        self.uses, self.found = Uses(parameters, constants), []

    def __torch_function__(self, func, types, args=(), kwargs=None):
        result = func(*args, **(kwargs or {}))
        product = self.uses.seen(func, args, kwargs or {}, result)
        if product is not None:
            self.found.append((product, result))
        return result


def _each(x, w):
    return torch.stack([x @ w[i] for i in range(len(w))])


def _grouped(x, w):
    return torch.baddbmm(torch.zeros(4, 5, 7), x.expand(4, 5, 6), w)


CASES = {  # name -> shape of the parameter, shape of the signal, the product, the summed axes
    "matmul": ((6, 7), (5, 6), lambda x, w: x @ w, (0,)),
    "transposed": ((7, 6), (5, 6), lambda x, w: x @ w.t(), (1,)),
    "mT": ((7, 6), (3, 5, 6), lambda x, w: torch.matmul(x, w.mT), (1,)),
    "from the left": ((7, 6), (6, 5), lambda x, w: w @ x, (1,)),
    "a vector": ((6,), (5, 6), lambda x, w: x @ w, (0,)),
    "mv": ((7, 6), (6,), lambda x, w: torch.mv(w, x), (1,)),
    "linear": ((7, 6), (2, 5, 6), lambda x, w: F.linear(input=x, weight=w), (1,)),
    "addmm": ((6, 7), (5, 6), lambda x, w: torch.addmm(torch.zeros(7), x, w), (0,)),
    "experts": ((4, 6, 7), (4, 5, 6), torch.bmm, (1,)),
    "experts, each": ((4, 6, 7), (5, 6), _each, (1,)),
    "experts, added": ((4, 6, 7), (1, 5, 6), _grouped, (1,)),
    "experts, one input": ((4, 6, 7), (5, 6), lambda x, w: x @ w, (1,)),
    "heads": ((2, 6, 3), (5, 6), lambda x, w: torch.einsum("nd,hdk->nhk", x, w), (1,)),
    "implicit einsum": ((6, 7), (5, 6), lambda x, w: torch.einsum("ij,jk", x, w), (0,)),
    "einsum with dots": (
        (6, 7),
        (2, 5, 6),
        lambda x, w: torch.einsum("...i,io->...o", [x, w]),
        (0,),
    ),
    "out of heads": ((2, 3, 6), (5, 2, 3), lambda x, w: torch.einsum("nhk,hkd->nd", x, w), (0, 1)),
    "tensordot": ((2, 3, 6), (5, 2, 3), lambda x, w: torch.tensordot(x, w, 2), (0, 1)),
    "tensordot by axes": ((6, 2, 3), (5, 6), lambda x, w: torch.tensordot(x, w, ([1], [0])), (0,)),
    "convolution": ((7, 2, 3), (1, 2, 3), F.conv1d, (1, 2)),
    "capsules": ((1, 4, 2, 7, 6), (5, 4, 1, 6, 1), lambda x, w: w @ x, (4,)),
    "attention": ((1, 2, 6), (5, 2, 6), lambda x, w: (x * w).sum(-1), (2,)),
    "attention, kept": ((1, 2, 6), (5, 2, 6), lambda x, w: (w * x).sum(dim=2, keepdim=True), (2,)),
    "merged": ((7, 2, 3), (5, 6), lambda x, w: x @ w.view(7, 6).t(), (1, 2)),
    "split": ((7, 6), (2, 5, 3), lambda x, w: x @ w.view(7, 2, 3).permute(1, 2, 0), (1,)),
    "a part": ((14, 6), (5, 6), lambda x, w: F.linear(x, w[7:]), (1,)),
    "normalized": ((7, 6), (5, 6), lambda x, w: F.linear(x, F.normalize(w)), (1,)),
    "divided": ((7, 6), (5, 6), lambda x, w: F.linear(x, w / w.norm(dim=1, keepdim=True)), (1,)),
    "in half precision": ((7, 6), (5, 6), lambda x, w: F.linear(x.bfloat16(), w.bfloat16()), (1,)),
}


@pytest.mark.parametrize("name", CASES)
def test_fan_in_is_the_number_of_weights_that_one_result_depends_on(name):
    """Told by the derivative of one number of the result, which knows nothing of names of axes."""
    shape, other, product, inputs = CASES[name]
    weight = nn.Parameter(torch.rand(shape) + 0.5)
    with _Following([weight]) as seen:
        product(torch.ones(other), weight)
    found, result = seen.found[0]
    assert found.parameter is weight
    assert found.inputs == inputs
    if name not in {"normalized", "divided"}:  # there, each weight depends on a whole row
        (slope,) = torch.autograd.grad(result.flatten()[0], weight)
        assert found.fan_in == torch.count_nonzero(slope)
    assert found.fan_in * found.fan_out <= weight.numel()
    assert not set(found.outputs) & set(found.inputs)
    if found.outputs and name != "a part":
        axis = result.shape[found.unit_axis]
        assert axis in (found.fan_out, weight.shape[found.outputs[-1]])


def test_what_is_no_product_with_a_parameter():
    """A gate, a shift, a product of two signals or of two parameters, a table's rows."""
    a, b, table = nn.Parameter(torch.ones(6)), nn.Parameter(torch.ones(6, 6)), torch.ones(6, 6)
    x = torch.ones(5, 6)
    with _Following([a, b], [table]) as seen:
        _ = x * a + a
        _ = x @ x.t()
        _ = b @ b
        _ = x @ table
        _ = b[torch.tensor([1, 2])]
        _ = x.sum(-1)
        _ = (x * a).exp().sum(-1)
    assert seen.found == []


def test_every_expert_is_one_use():
    """Parts of a tensor that are multiplied one by one are so many products with it."""
    weight = nn.Parameter(torch.ones(4, 6, 7))
    with _Following([weight]) as seen:
        _each(torch.ones(5, 6), weight)
    assert len(seen.found) == 4

"""How far each parameter can move an answer."""

import math

import pytest
import torch
from torch import nn
from torch.func import functional_call, jacrev

from initguide.propagation import measure


def net(seed=0, outputs=4):
    """Two layers of tanh."""
    torch.manual_seed(seed)
    return nn.Sequential(nn.Linear(6, 30), nn.Tanh(), nn.Linear(30, outputs)).double()


def batch(count=12, seed=1):
    """Inputs from N(0, 1)."""
    draws = torch.Generator().manual_seed(seed)
    return torch.randn(count, 6, generator=draws, dtype=torch.float64)


def sensitivities(model, inputs, targets=None, count=4, **kw):
    """Names of the parameters, with what is recorded of each."""
    found = measure(model, inputs, targets, parameters=True, sensitivities=count, **kw)
    return {p.name: p.sensitivity for p in found.parameters}


def exact(model, inputs):
    """Root of the mean, over all numbers of all answers, of ‖∂f/∂w‖², by torch's Jacobian."""
    values = {name: p.detach() for name, p in model.named_parameters()}
    jacobian = jacrev(lambda v: functional_call(model, v, (inputs,)))(values)
    answers = model(inputs).numel()
    return {name: float((j.square().sum() / answers).sqrt()) for name, j in jacobian.items()}


def test_over_all_answers_it_is_the_jacobian():
    """With as many answers as the batch has, averaged over draws, nothing is left of the draws."""
    model, inputs = net(outputs=3), batch(3)
    runs = [sensitivities(model, inputs, count=3, seed=seed) for seed in range(60)]
    for name, wanted in exact(model, inputs).items():
        found = math.sqrt(sum(run[name] ** 2 for run in runs) / len(runs))
        assert found == pytest.approx(wanted, rel=0.1)
    # In a linear last layer, directions that are orthogonal do not add up at all.
    assert runs[0]["2.bias"] == pytest.approx(1, rel=1e-6)


def test_one_answer_of_one_number_is_exact():
    """Two answers of one number each, in a pass of its own."""
    model, inputs = net(outputs=1), batch(2)
    found = sensitivities(model, inputs)
    assert found == pytest.approx(exact(model, inputs), rel=1e-6)


@pytest.mark.parametrize("targets", [None, torch.arange(12) % 4, torch.zeros(12, 4).double()])
def test_the_loss_has_no_part_in_it(targets):
    """With any targets it is the same to the last bit."""
    model, inputs = net(), batch()
    assert sensitivities(model, inputs, targets) == sensitivities(model, inputs)


def test_the_gradients_of_the_loss_are_those_without_it():
    """The other backward pass leaves no trace in the records, nor in the model."""
    model, inputs, targets = net(), batch(), torch.arange(12) % 4
    plain = measure(model, inputs, targets, parameters=True)
    probed = measure(model, inputs, targets, parameters=True, sensitivities=4)
    assert [r.output_grad_var for r in plain] == [r.output_grad_var for r in probed]
    assert [r.weight_grad_var for r in plain] == [r.weight_grad_var for r in probed]
    assert plain.output_grad_sum == probed.output_grad_sum
    for a, b in zip(plain.parameters, probed.parameters, strict=True):
        assert a.grad_second_moment == b.grad_second_moment
        assert math.isnan(a.sensitivity)
    assert all(p.grad is None for p in model.parameters())


def test_what_no_answer_depends_on_has_none():
    """A frozen layer, one that is not used, and answers that nothing trained made."""
    model = net()
    model.add_module("unused", nn.Identity())
    model[0].requires_grad_(requires_grad=False)
    found = sensitivities(model, batch())
    assert math.isnan(found["0.weight"])
    assert found["2.weight"] > 0
    model.requires_grad_(requires_grad=False)
    assert all(math.isnan(value) for value in sensitivities(model, batch()).values())


def test_sparse_gradients():
    """An embedding's rows are counted once each, however often a token comes."""
    torch.manual_seed(0)
    tokens = torch.randint(0, 5, (6, 7), generator=torch.Generator().manual_seed(0))
    dense = nn.Sequential(nn.Embedding(5, 4), nn.Linear(4, 3))
    sparse = nn.Sequential(nn.Embedding(5, 4, sparse=True), dense[1])
    sparse[0].weight.data.copy_(dense[0].weight.data)
    found = sensitivities(sparse, tokens)
    assert found == pytest.approx(sensitivities(dense, tokens), rel=1e-5)


def test_refusal():
    """A number of answers below 0 is refused."""
    with pytest.raises(ValueError, match="sensitivities"):
        measure(net(), batch(), sensitivities=-1)

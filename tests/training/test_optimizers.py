"""Optimizers by name and by function, and steps without `torch.optim`, which are the same."""

from functools import partial

import pytest
import torch
from torch import Generator, nn

from initguide.training import make_optimizer
from initguide.training.steps import FusedSteps, StackedSteps

TORCHS = {
    "adam": torch.optim.Adam,
    "sgd": torch.optim.SGD,
    "momentum": partial(torch.optim.SGD, momentum=0.9),
}


def test_optimizer_by_name_and_function():
    """Names make the optimizers they name, with the rate; functions are called the same way."""
    parameters = [nn.Parameter(torch.ones(2))]
    assert type(make_optimizer("adam", parameters, 0.5)) is torch.optim.Adam
    for name, momentum in (("sgd", 0), ("momentum", 0.9)):
        optimizer = make_optimizer(name, parameters, 0.5)
        assert type(optimizer) is torch.optim.SGD
        assert optimizer.param_groups[0]["momentum"] == momentum
        assert optimizer.param_groups[0]["lr"] == 0.5
    optimizer = make_optimizer(partial(torch.optim.AdamW, weight_decay=0.1), parameters, 0.25)
    assert type(optimizer) is torch.optim.AdamW
    assert optimizer.param_groups[0]["lr"] == 0.25
    assert optimizer.param_groups[0]["weight_decay"] == 0.1


def _stepped(make_steps, networks, *, steps=5):
    """Weights after some steps with made-up gradients; the third network's last has none."""
    draws = Generator().manual_seed(0)
    own = [[torch.randn(4, 3, generator=draws), torch.randn(2, generator=draws)] for _ in networks]
    own = [[p.requires_grad_() for p in each] for each in own]
    do = make_steps(own)
    for _ in range(steps):
        for k, parameters in enumerate(own):
            for i, p in enumerate(parameters):
                grad = torch.randn(p.shape, generator=draws)
                p.grad = None if (k, i) == (2, 1) else grad
        do()
    return own


@pytest.mark.parametrize("name", TORCHS)
def test_fused_steps_are_torchs(name):
    """Each network's steps are those of torch's class, to the last bit; no gradient, no step."""
    rates = [0.1, 0.01, 0.1, 0.2]

    def ours(own):
        steps = FusedSteps(name, own, rates)
        return steps.step

    def theirs(own):
        made = [make_optimizer(name, p, rate) for p, rate in zip(own, rates, strict=True)]
        return lambda: [one.step() for one in made]

    found, expected = _stepped(ours, rates), _stepped(theirs, rates)
    for own, other in zip(found, expected, strict=True):
        for a, b in zip(own, other, strict=True):
            assert torch.equal(a, b)


def test_fused_steps_of_what_is_left():
    """Networks that are left out stay as they are; frozen parameters, too."""
    own = [[torch.zeros(2, requires_grad=True), torch.zeros(2)] for _ in range(3)]
    steps = FusedSteps("sgd", own, [1.0, 2.0, 1.0])
    steps.keep([1, 2])
    for free, frozen in own:
        free.grad = frozen.grad = torch.ones(2)
    steps.step()
    assert [free[0].item() for free, _ in own] == [0, -2, -1]
    assert [frozen[0].item() for _, frozen in own] == [0, 0, 0]
    steps.drop_gradients()
    assert [free.grad is None for free, _ in own] == [False, True, True]


@pytest.mark.parametrize("fused", [False, True])
@pytest.mark.parametrize("rates", [[0.1, 0.01, 0.3], [0.1] * 3])
@pytest.mark.parametrize("name", TORCHS)
def test_stacked_steps_are_torchs(name, rates, fused):
    """Rows of a stack move as torch's class moves them, also once some have been left out."""
    draws = Generator().manual_seed(0)
    stack = [torch.randn(3, *shape, generator=draws) for shape in ((4, 2), (5,), ())]
    untouched = torch.ones(3, requires_grad=True)
    rows = [[p[k].clone().requires_grad_() for p in stack] for k in range(3)]
    stack = [p.requires_grad_() for p in stack]
    steps = StackedSteps(name, [*stack, untouched], torch.tensor(rates), fused=fused)
    theirs = [TORCHS[name](row, lr=rate) for row, rate in zip(rows, rates, strict=True)]
    left = [0, 1, 2]
    for step in range(6):
        if step == 3:
            left = [0, 2]
            stack = [p.detach()[left].requires_grad_() for p in stack]
            steps.keep([*stack, untouched.detach()[left]], torch.tensor(left))
        for i, p in enumerate(stack):
            p.grad = torch.randn(p.shape, generator=draws)
            for k, grad in zip(left, p.grad, strict=True):
                rows[k][i].grad = grad.clone()
        steps.step()
        assert all(p.grad is None for p in stack)
        for k in left:
            theirs[k].step()
    for i, p in enumerate(stack):
        torch.testing.assert_close(p, torch.stack([rows[k][i] for k in left]))
    assert (untouched == 1).all()

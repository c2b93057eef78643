"""Sums, differences and residual stacks; what may be correlated is not followed."""

import pytest
import torch
import torch.nn.functional as F
from torch import Generator, nn

import initguide
from initguide import initializers as init
from initguide import theory


class Sum(nn.Module):
    """Two layers, and a function of what they give."""

    def __init__(self, function):
        super().__init__()
        self.one, self.two = nn.Linear(100, 100), nn.Linear(100, 100)
        self.last, self.function = nn.Linear(100, 100), function

    def forward(self, x):
        """The last layer sees the function's result."""
        return self.last(self.function(self.one(x), self.two(x)))


@pytest.mark.parametrize(
    ("function", "by_hand"),
    [
        (lambda a, _: torch.rsub(a, 1.0, alpha=2), lambda a, _: 1 - 2 * a),
        (lambda a, _: 1.0 - a, lambda a, _: 1 - a),
        (lambda a, _: torch.sub(a, 1.0, alpha=2), lambda a, _: a - 2),
        (lambda a, b: torch.rsub(a, b, alpha=2).relu(), lambda a, b: (b - 2 * a).relu()),
        (lambda a, b: torch.sub(a, b, alpha=2).relu(), lambda a, b: (a - 2 * b).relu()),
    ],
)
def test_differences(function, by_hand):
    """Differences either way round, with the factor that alpha is."""
    generator = Generator().manual_seed(0)
    net, x = Sum(function), torch.randn(200, 100, generator=generator)
    initguide.initialize(net, init.normal(0.1, generator=generator))
    nn.init.constant_(net.one.bias, 0.8)
    with torch.no_grad():
        q = by_hand(net.one(x), net.two(x)).square().mean() * net.last.weight.square().sum(1).mean()
    record = theory.predict_variances(net, x)["last"]
    assert record.basis == "the inputs"
    assert record.second_moment == pytest.approx(float(q), rel=0.1)


class Residual(nn.Module):
    """A residual block, with what a test wants in it."""

    def __init__(self, width, scale=1.0, *, tied=False):
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.first = nn.Linear(width, width)
        self.last = self.first if tied else nn.Linear(width, width)
        self.scale = scale

    def forward(self, x):
        """The block: x + s f(x)."""
        return x + self.scale * self.last(F.relu(self.first(self.norm(x))))


def test_residual_stacks():
    """Branches add up as `residual_growth` says, where they can be followed."""
    generator = Generator().manual_seed(0)
    blocks = [Residual(400, 0.5) for _ in range(6)]
    net = nn.Sequential(*blocks, nn.Linear(400, 400)).apply(init.he_normal(generator=generator))
    x = torch.randn(32, 400, generator=generator)
    table = theory.predict_variances(net, x)
    assert all(r.basis == "the inputs" for r in table)
    # LayerNorm makes each branch's output 2: six times 0.25 · 2, then He doubles.
    assert table[-1].second_moment == pytest.approx(2 * (1 + 6 * 0.5), rel=0.02)
    assert table[-1].measured == pytest.approx(table[-1].second_moment, rel=0.1)


def test_correlated_sums_and_tied_weights():
    """A sum of a thing and what was made of it by the same layer is not followed."""

    class Twice(nn.Module):
        def __init__(self):
            super().__init__()
            self.layer, self.out = nn.Linear(200, 200), nn.Linear(200, 5)

        def forward(self, x):
            y = self.layer(x)
            return self.out(y + torch.tanh(y))

    table = theory.predict_variances(Twice(), torch.randn(20, 200))
    assert table["out"].basis.endswith("add (the summands may be correlated)")
    table = theory.predict_variances(Residual(100, tied=True), torch.randn(20, 100))
    assert [r.name for r in table] == ["first", "first"]
    assert [r.predicted for r in table] == [True, False]
    assert table[1].reason.startswith("its weights were used before")


@pytest.mark.parametrize(
    "add",
    [
        lambda p, h: p + h,
        lambda p, h: p.__iadd__(h),
        lambda p, h: p.add_(h),
        lambda p, h: torch.add(p, h, out=p),
        lambda p, h: p.sub_(h),
        lambda p, h: p.sub_(h, alpha=-1),
    ],
)
def test_sums_in_place_of_what_theory_does_not_know(add):
    """What is added counts once: the tensor counts as it was before the sum overwrote it."""
    generator = Generator().manual_seed(0)
    position = 0.7 * torch.randn(400, generator=generator)

    class Positions(nn.Module):
        def __init__(self):
            super().__init__()
            self.one, self.two = nn.Linear(400, 400), nn.Linear(400, 400)

        def forward(self, x):
            p = position.clone().expand(len(x), -1).contiguous()
            return self.two(add(p, self.one(x)))

    net = initguide.initialize(Positions(), init.lecun_normal(generator=generator))
    x = torch.randn(100, 400, generator=generator)
    record = theory.predict_variances(net, x)["two"]
    assert record.basis == "the inputs"
    assert record.second_moment == pytest.approx(1 + 0.49, rel=0.1)
    assert record.measured == pytest.approx(record.second_moment, rel=0.1)

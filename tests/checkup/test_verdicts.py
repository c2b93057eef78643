"""The right verdict on one small network of each kind that was once judged wrongly.

What is right was established by training. Where a kind has more to it (other sizes, other ways to
write it, what its advice does), the files of its findings have the tests of that.
"""

from typing import NamedTuple

import pytest
import torch
import torch.nn.functional as F
from checkup_networks import Using, draws, labels
from torch import nn

import initguide
from initguide.checkup import check_init


class Right(NamedTuple):
    """What is to be said: the worst that is said, by which codes, at which layers."""

    worst: str  # "" if nothing at all is
    codes: str = ""
    layers: str = ""


def classes():
    """Inputs, and classes that can be learnt from them."""
    x = draws(64, 8)
    return x, (x[:, 0] > 0).long() * 2 + (x[:, 1] > 0).long()


def small(*last, outputs=4):
    """Two layers as torch makes them, and what comes behind."""
    return nn.Sequential(nn.Linear(8, 32), nn.ReLU(), nn.Linear(32, outputs), *last)


def weighing(function, *shape, size=1.0, **modules):
    """A module with a parameter of its own, ``w``."""
    model = Using(function, **modules)
    model.w = nn.Parameter(size * torch.randn(shape))
    return model


def gated(size):
    """A gate in front of a normalization, and no way around it."""
    model = Using(
        lambda m, x: m.out(m.norm(m.gate * m.value(F.relu(m.embed(x))))),
        embed=nn.Linear(8, 32),
        value=nn.Linear(32, 32),
        norm=nn.LayerNorm(32),
        out=nn.Linear(32, 4),
    )
    model.gate = nn.Parameter(torch.full((32,), size))
    return model


def whitening(m, x):
    """A normalization of one's own."""
    return m.w * (x - x.mean(-1, keepdim=True)) / x.std(-1, keepdim=True)


def whitened():
    """Two such, of a hundredth of the usual scale."""
    parts = []
    for width in (8, 32):
        parts += [nn.Linear(width, 32), weighing(whitening, 32, size=0.0), nn.ReLU()]
        nn.init.constant_(parts[-2].w, 0.01)
    return nn.Sequential(*parts, nn.Linear(32, 4)), *classes()


def factors(count, size):
    """The dot product of two tables' rows."""
    model = Using(lambda m, a, b: (m.a(a) * m.b(b)).sum(-1), a=nn.Embedding(300, 32))
    model.b = nn.Embedding(200, 32)
    for table in (model.a, model.b):
        nn.init.uniform_(table.weight, -size, size)
    return model, (torch.randint(300, (count,)), torch.randint(200, (count,))), torch.randn(count)


def frozen_and_large():
    """A layer that was trained before, and is far too large."""
    model = small()
    model[0].weight.data.mul_(40)
    model[0].requires_grad_(False)
    return model, *classes()


def half_dead():
    """A product with a ReLU of one output, whose bias shuts it."""
    model = Using(lambda m, x: F.relu(m.net(x)[:, :1]) * m.net(x)[:, 1:].sigmoid(), net=small())
    nn.init.constant_(model.net[2].bias, -3.0)
    return model, draws(64, 8), torch.rand(64, 3)


def letters():
    """PyTorch's own LSTM, the next letter asked for at each."""
    ids = torch.randint(30, (8, 17))
    model = Using(lambda m, x: m.head(m.rnn(x)[0]), head=nn.Linear(64, 30))
    model.rnn = nn.LSTM(30, 64, batch_first=True)
    return model, F.one_hot(ids[:, :-1], 30).float(), ids[:, 1:]


def narrow_end():
    """He's rule from wide layers to narrow ones."""
    model = initguide.mlp([256, 1024, 1024, 8, 2])
    x = draws(64, 256)
    return initguide.initialize(model, "he_normal"), x, (x[:, 0] > 0).long()


def attending():
    """Attention without skips, one answer a token."""

    def run(m, x):
        for layer in m.layers:
            x = layer(F.layer_norm(x, (32,)))
        return m.out(x)

    one = lambda m, x: m.inner(x, x, x, need_weights=False)[0]  # noqa: E731
    layers = [Using(one, inner=nn.MultiheadAttention(32, 4, batch_first=True)) for _ in range(12)]
    model = Using(run, layers=nn.ModuleList(layers), out=nn.Linear(32, 10))
    loss = lambda o, t: F.cross_entropy(o.flatten(0, 1), t.flatten())  # noqa: E731
    return model, draws(8, 16, 32), labels(128, 10).reshape(8, 16), loss


def masked(x, y):
    """Two inputs, of which one is 300 times too large."""
    return Using(lambda m, x, mask: m.net(x * mask), net=small()), (300 * x, torch.ones(64, 1)), y


def _averaged(m, x):
    return (x @ m.w).mean(0, keepdim=True).expand(len(x), -1)


def _cosine(m, x):
    return 30 * F.normalize(x, dim=1) @ F.normalize(m.w, dim=1).T


def _bare(m, x):
    return m.b(F.relu(m.a(x)) @ m.w)


X, Y = classes()
YES = (X[:, :4] > 0).float()
KINDS = {
    "dead by a ReLU on a slice": (half_dead, Right("error", "dead-units", "net.2")),
    "nothing is trained": (
        lambda: (small().requires_grad_(False), X, Y),
        Right("error", "not-trained"),
    ),
    "a frozen layer is too large": (frozen_and_large, Right("warning", "initial-loss", "0")),
    "targets are not scaled": (
        lambda: (small(outputs=1), X, 1e5 * X[:, :1]),
        Right("warning", "targets", "targets"),
    ),
    "softmax before logits": (
        lambda: (small(nn.Softmax(1)), X, Y),
        Right("warning", "output-and-loss", "3"),
    ),
    "ReLU before logits": (
        lambda: (small(nn.ReLU()), X, Y),
        Right("warning", "output-and-loss", "3"),
    ),
    "sigmoid twice": (
        lambda: (small(nn.Sigmoid()), X, YES, F.binary_cross_entropy_with_logits),
        Right("warning", "output-and-loss", "3"),
    ),
    "factors, 16 answers": (lambda: factors(16, 0.2), Right("")),
    "factors, 4,096 answers": (lambda: factors(4096, 0.2), Right("")),
    "small factors": (lambda: factors(256, 0.01), Right("warning", "vanishing-signal", "a b")),
    "random labels": (lambda: (small(), draws(1024, 8), labels(1024, 4)), Right("")),
    "a small bare parameter": (
        lambda: (
            weighing(_bare, 32, 32, size=2e-4, a=nn.Linear(8, 32), b=nn.Linear(32, 4)),
            X,
            Y,
        ),
        Right("error", "vanishing-signal", "w"),
    ),
    "all inputs become the same": (
        lambda: (nn.Sequential(weighing(_averaged, 8, 8, size=0.35), nn.Linear(8, 4)), X, Y),
        Right("error", "collapsed-outputs", "0"),
    ),
    "one input of two is large": (lambda: masked(X, Y), Right("error", "inputs", "inputs")),
    "a cosine of 30": (
        lambda: (
            nn.Sequential(nn.Linear(8, 32), nn.ReLU(), weighing(_cosine, 4, 32)),
            X,
            Y,
        ),
        Right("warning", "initial-loss", "2"),
    ),
    "small scales of one's own norms": (whitened, Right("note", "small-gate", "1 4")),
    "LSTM on letters": (letters, Right("")),
    "a small gate": (lambda: (gated(1e-5), X, Y), Right("note", "small-gate", "Using")),
    "a gate of 0": (lambda: (gated(0.0), X, Y), Right("note", "zero-layer", "Using")),
    "unequal widths": (narrow_end, Right("")),
    "tokens become equal": (attending, Right("error", "equal-positions", "layers.0.inner")),
    "a loss that is no number": (
        lambda: (small(), X, Y, lambda o, t: F.cross_entropy(o, t) * float("nan")),
        Right("error", "non-finite"),
    ),
}


@pytest.mark.parametrize("kind", KINDS)
def test_verdict(kind):
    """The worst that is said, and where: neither more nor less."""
    make, right = KINDS[kind]
    torch.manual_seed(0)
    report = check_init(*make(), advice=False)
    order = ("error", "warning", "note")
    worst = min((f.severity for f in report.findings), key=order.index, default="")
    assert worst == right.worst, report
    said = [f for f in report.findings if f.severity == worst]
    assert {f.code for f in said} == set(right.codes.split()), report
    if right.layers:
        assert [f.layer for f in said] == right.layers.split(), report


def test_small_factors_get_the_size_of_the_targets():
    """What is advised leads to outputs of about 1, and not to 30 times that."""
    torch.manual_seed(0)
    model, pairs, targets = factors(256, 0.01)
    report = check_init(model, pairs, targets)
    exec(report.advice, {"model": model, "torch": torch, "initguide": initguide})  # noqa: S102
    assert 0.3 < model(*pairs).std() < 3
    left = check_init(model, pairs, targets, advice=False).findings
    assert "vanishing-signal" not in {f.code for f in left}

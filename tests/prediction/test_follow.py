"""What the follower sees: layers with and without a rule, and calls of any kind."""

import re

import pytest
import torch
import torch.nn.functional as F
from torch import Generator, nn

from initguide import initializers as init
from initguide import theory


def test_embedding_bag_is_told_as_unpredicted():
    """A layer without a rule has a record that says so, also if whole numbers go in."""
    net = nn.Sequential(nn.EmbeddingBag(10, 8), nn.Linear(8, 3))
    table = theory.predict_variances(net, (torch.arange(20) % 10).reshape(4, 5))
    assert [(r.kind, r.predicted) for r in table] == [("EmbeddingBag", False), ("Linear", True)]
    assert table[0].reason == "no rule for EmbeddingBag"


def test_pools_attention_and_recurrent_layers():
    """What cannot be followed is named, and the next layer goes on from the measurement."""
    net = nn.Sequential(
        nn.Conv2d(1, 16, 3), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(16, 16, 3), nn.AvgPool2d(2),
        nn.Flatten(), nn.Linear(400, 10), nn.Softmax(-1), nn.Linear(10, 3),
    )  # fmt: skip
    table = theory.predict_variances(net, torch.randn(4, 1, 28, 28))
    assert [r.predicted for r in table] == [True] * 4
    bases = [r.basis for r in table]
    assert bases[0] == "the inputs"
    assert bases[1].startswith("what was measured after max_pool2d (pooling depends")
    assert bases[2].startswith("what was measured after avg_pool2d (pooling depends")
    assert bases[3].startswith("what was measured after softmax")

    class Tokens(nn.Module):
        def __init__(self):
            super().__init__()
            self.embed = nn.Embedding(50, 32)
            self.mix = nn.MultiheadAttention(32, 4, batch_first=True)
            self.rnn = nn.GRU(32, 16, batch_first=True)
            self.out = nn.Linear(16, 2)

        def forward(self, tokens):
            x = self.embed(tokens)
            x = x + self.mix(x, x, x, need_weights=False)[0]
            return self.out(self.rnn(x)[0][:, -1])

    table = theory.predict_variances(Tokens(), torch.arange(20).reshape(4, 5))
    assert [(r.name, r.predicted, r.reason) for r in table] == [
        ("embed", True, ""),
        ("mix", False, "no rule for MultiheadAttention"),
        ("rnn", False, "no rule for GRU"),
        ("out", True, ""),
    ]


def test_computed_weights_are_not_mistaken_for_each_other():
    """Memory that one computed weight leaves may become the next one's: still another weight."""
    generator = Generator().manual_seed(0)
    net = nn.Sequential()
    for _ in range(5):
        layer = nn.Linear(50, 50)
        init.he_normal(generator=generator)(layer)
        net.append(nn.utils.parametrizations.weight_norm(layer)).append(nn.ReLU())
    table = theory.predict_variances(net, torch.randn(20, 50, generator=generator))
    assert [r.reason for r in table] == [""] * 5


@pytest.mark.parametrize(
    ("step", "basis"),
    [
        (lambda h: torch.add(input=h, other=torch.zeros(60)), "the inputs"),
        (lambda h: torch.mul(input=h, other=2.0), "the inputs"),
        (lambda h: torch.sub(h, other=torch.zeros(60)), "the inputs"),
        (lambda h: torch.div(h, 2.0, rounding_mode="floor"), r"measured after div \(it rounds\)"),
        (lambda h: torch.cat([h, h[:, :0].reshape(len(h), 0)], 1), "its result is not finite"),
        (lambda h: (h / 0).clamp(-1, 1), r"rule failed: ZeroDivisionError: .*division by zero"),
        (lambda h: (h / torch.tensor(0.0)).clamp(-1, 1), "its result is not finite"),
    ],
)
def test_any_call_is_followed_or_told(step, basis):
    """Keywords, rounding, empty parts and divisions by 0: a prediction, or why not; no crash."""

    class Steps(nn.Module):
        def __init__(self):
            super().__init__()
            self.a, self.b = nn.Linear(60, 60), nn.Linear(60, 60)

        def forward(self, x):
            return self.b(step(self.a(x)))

    generator = Generator().manual_seed(0)
    net, x = Steps(), torch.randn(20, 60, generator=generator)
    for layer in (net.a, net.b):
        init.he_normal(generator=generator)(layer)
    first, second = theory.predict_variances(net, x)
    assert (first.name, second.name) == ("a", "b")
    assert re.search(basis, second.basis)


def test_weights_used_without_a_module(images):
    """Functions with a model's own weights are layers, too."""

    class Own(nn.Module):
        def __init__(self):
            super().__init__()
            self.matrix = nn.Parameter(torch.randn(50, 784, generator=Generator().manual_seed(0)))

        def forward(self, x):
            return F.linear(x.flatten(1), self.matrix)

    (record,) = theory.predict_variances(Own(), images)
    assert (record.name, record.kind, record.predicted) == ("matrix", "linear", True)

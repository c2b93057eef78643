"""Positions of one input that become equal, and what many batch normalizations do to gradients."""

import pytest
import torch
import torch.nn.functional as F
from checkup_networks import draws, labels, said
from torch import nn

import initguide
from initguide.checkup import check_init
from initguide.propagation import measure


class Attention(nn.Module):
    """Attention with normalization, with or without a way around each layer."""

    def __init__(self, depth, *, skips, pooled=False):
        super().__init__()
        kind = nn.MultiheadAttention
        self.layers = nn.ModuleList(kind(32, 4, batch_first=True) for _ in range(depth))
        self.norms = nn.ModuleList(nn.LayerNorm(32) for _ in range(depth))
        self.out, self.skips, self.pooled = nn.Linear(32, 10), skips, pooled

    def forward(self, x):
        """Scores of each token, or of all."""
        for norm, layer in zip(self.norms, self.layers, strict=True):
            h = norm(x)
            mixed = layer(h, h, h, need_weights=False)[0]
            x = x + mixed if self.skips else mixed
        return self.out(x.mean(dim=1) if self.pooled else x)


def token_loss(scores, targets):
    """Cross-entropy of each token."""
    return F.cross_entropy(scores.flatten(0, 1), targets.flatten())


@pytest.mark.parametrize("depth", [6, 12])
@pytest.mark.parametrize("own_loss", [False, True])
def test_tokens_that_become_equal(depth, own_loss):
    """Without skips, attention leaves nothing of what tells tokens apart; with them, it does."""
    inputs, targets = draws(8, 16, 32), labels(8 * 16, 10).reshape(8, 16)
    loss = token_loss if own_loss else None
    torch.manual_seed(0)
    model = Attention(depth, skips=False)
    report = check_init(model, inputs, targets, loss)
    assert [(f.severity, f.layer) for f in report.findings if f.code == "equal-positions"] == [
        ("error", "layers.0")
    ]
    exec(report.findings[0].advice, {"model": model, "torch": torch})  # noqa: S102
    assert "equal-positions" not in said(check_init(model, inputs, targets, loss))
    torch.manual_seed(0)
    healthy = check_init(Attention(depth, skips=True), inputs, targets, loss)
    assert not said(healthy, "error", "warning"), healthy


def test_a_mean_over_tokens_is_no_fault():
    """Where one answer is asked of all tokens, nothing is said of what tells them apart."""
    torch.manual_seed(0)
    report = check_init(Attention(6, skips=False, pooled=True), draws(8, 16, 32), labels(8, 10))
    assert "equal-positions" not in said(report)


def test_spread_of_positions():
    """The share that differs between positions: of noise nearly 1, of one offset the rest."""
    model = nn.Sequential(nn.Linear(6, 6), nn.Conv1d(50, 4, 1))
    noise = draws(20, 50, 6)
    assert measure(model, noise)["0"].position_spread == pytest.approx(49 / 50, abs=0.01)
    shared = noise[:, :1].expand(20, 50, 6)
    assert measure(model, shared)["0"].position_spread == 0
    both = measure(model, noise + 1)
    assert both["0"].position_spread == pytest.approx(0.49, abs=0.02)
    assert both["1"].position_spread > 0  # of a convolution, the last axis
    assert measure(model, noise[:1])["0"].position_spread > 0.9  # one input has positions, too
    flat = measure(nn.Linear(6, 6), noise[:, 0])
    assert flat[0].position_spread != flat[0].position_spread


@pytest.mark.parametrize("scheme", ["he_normal", "orthogonal"])
def test_deep_batch_normalization(scheme):
    """Fifty layers of it: found with any scheme, and no scheme is advised."""
    layers = []
    for _ in range(50):
        layers += [nn.Linear(32, 32, bias=False), nn.BatchNorm1d(32), nn.ReLU()]
    model = initguide.initialize(nn.Sequential(*layers, nn.Linear(32, 5)), scheme, seed=0)
    inputs, targets = draws(64, 32), labels(64, 5)
    report = check_init(model, inputs, targets)
    found = [f for f in report.findings if f.code == "exploding-gradients"]
    assert len(found) == 1, report
    assert "50 batch normalizations" in found[0].evidence
    assert "initialize" not in found[0].advice
    exec(found[0].advice, {"model": model, "torch": torch})  # noqa: S102
    assert "exploding-gradients" not in said(check_init(model, inputs, targets))

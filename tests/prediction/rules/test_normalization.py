"""Normalization in both modes, with features that vary and that do not."""

import pytest
import torch
from torch import Generator, nn

from initguide import initializers as init
from initguide import theory


def test_norms():
    """Batch norm in both modes, group, instance and RMS norm: E[γ²] + E[β²]."""
    generator = Generator().manual_seed(0)
    for norm in (nn.BatchNorm2d(64), nn.GroupNorm(4, 64), nn.InstanceNorm2d(64, affine=True)):
        with torch.no_grad():
            norm.weight.uniform_(0.5, 1.5, generator=generator)
        net = nn.Sequential(nn.Conv2d(3, 64, 3, bias=False), norm, nn.Conv2d(64, 256, 3))
        for layer in (net[0], net[2]):
            init.he_normal(generator=generator)(layer)
        record = theory.predict_variances(net, torch.randn(16, 3, 9, 9, generator=generator))[1]
        assert record.second_moment == pytest.approx(record.measured, rel=0.15)
        assert record.second_moment == pytest.approx(
            2 * float(norm.weight.detach().square().mean()),
            rel=0.04,  # by chance not the same everywhere, and the middle is seen more often
        )
    net = nn.Sequential(nn.Linear(300, 300), nn.BatchNorm1d(300), nn.ReLU(), nn.Linear(300, 300))
    net.apply(init.normal(0.2, generator=generator)).eval()  # running statistics: 0 and 1
    record = theory.predict_variances(net, torch.randn(50, 300, generator=generator))[1]
    assert record.basis == "the inputs"
    assert record.second_moment == pytest.approx(record.measured, rel=0.1)
    net[1].running_mean += 5
    record = theory.predict_variances(net, torch.randn(50, 300, generator=generator))[1]
    assert "running mean" in record.basis


def test_norms_of_constant_features():
    """Features that never change come out as 0, not as 1: measured, and told."""
    generator = Generator().manual_seed(0)
    x = torch.randn(50, 200, generator=generator)
    x[:, :100] = 3.0
    net = nn.Sequential(nn.BatchNorm1d(200), nn.Linear(200, 200))
    init.normal(0.05, generator=generator)(net[1])
    record = theory.predict_variances(net, x)[0]
    assert "batch_norm (it keeps 0.5 of the mean square, not 1: part of its" in record.basis
    assert record.second_moment == pytest.approx(record.measured, rel=0.1)
    net = nn.Sequential(nn.LayerNorm(200), nn.Linear(200, 200))
    init.normal(0.05, generator=generator)(net[1])
    assert "is constant, or as small as eps" in theory.predict_variances(net, x.mul(1e-3))[0].basis
    other = nn.InstanceNorm1d(4, track_running_stats=True).eval()  # running statistics: 0 and 1
    net = nn.Sequential(other, nn.Flatten(), nn.Linear(40, 100))
    init.normal(0.1, generator=generator)(net[2])
    record = theory.predict_variances(net, 3 * torch.randn(50, 4, 10, generator=generator))[0]
    assert record.second_moment == pytest.approx(record.measured, rel=0.1)

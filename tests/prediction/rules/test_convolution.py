"""Convolutions: what lies on the padding is counted out."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Generator, nn

import initguide
from initguide import initializers as init
from initguide import theory


def test_convolutions():
    """Padding, stride, groups, dilation and transposes: the taps are counted exactly."""
    generator = Generator().manual_seed(0)
    net = nn.Sequential(
        nn.Conv2d(8, 64, 3, padding=1),
        nn.Tanh(),
        nn.Conv2d(64, 64, 5, padding=2, stride=2, groups=2),
        nn.ReLU(),
        nn.Conv2d(64, 64, 3, padding="same", dilation=2),
        nn.ReLU(),
        nn.ConvTranspose2d(64, 64, 4, stride=2, padding=1, groups=4),
        nn.ReLU(),
        nn.Conv2d(64, 64, 3, padding=1, padding_mode="circular"),
    )
    x = torch.randn(8, 8, 8, 8, generator=generator)
    ratios = []
    for _ in range(12):
        initguide.initialize(net, init.he_normal(generator=generator))
        ratios.append([r.measured / r.second_moment for r in theory.predict_variances(net, x)])
    assert np.mean(ratios, axis=0) == pytest.approx(np.ones(5), abs=0.06)
    single = nn.Conv1d(1, 500, 3, padding=1, bias=False)
    initguide.initialize(single, init.normal(1.0, generator=generator))
    # Three places: the outer ones see two numbers, the middle one three.
    second = float(single.weight.detach().double().square().mean())
    x = torch.tensor([[[1.0, 2.0, 3.0]]])
    assert theory.predict_variances(single, x)[0].second_moment == pytest.approx(
        second * (5 + 14 + 13) / 3, rel=1e-6
    )


@pytest.mark.parametrize("padded_before", [False, True])
def test_borders_of_deep_convolutions(padded_before):
    """On small maps zero padding takes what a box filter over the map says, 20 layers deep."""
    net, box = nn.Sequential(), torch.ones(1, 1, 3, 3) / 9
    for i in range(20):
        pad = [nn.ZeroPad2d(1)] if padded_before else []
        conv = nn.Conv2d(32 if i else 1, 32, 3, padding=0 if pad else 1)
        net.extend([*pad, conv, nn.ReLU()])
    initguide.initialize(net, init.he_normal(generator=Generator().manual_seed(0)))
    x = torch.randn(8, 1, 5, 5, generator=Generator().manual_seed(0))
    records = theory.predict_variances(net, x)
    q = F.conv2d(x.square().mean(0, keepdim=True), box, padding=1)
    kept = 1 / q.mean()
    for _ in range(19):
        q = F.conv2d(q, box, padding=1)
    kept = float(kept * q.mean())  # 0.02; with all positions equally strong it would be 0.0006
    assert records[-1].basis == "the inputs"
    assert 0.6 < records[-1].second_moment / records[0].second_moment / kept < 1.6

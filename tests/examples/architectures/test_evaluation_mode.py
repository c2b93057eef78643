"""What examples/architectures/plot_4_evaluation_mode.py concludes, at reduced size."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.optim.swa_utils import update_bn

import initguide
from initguide import training
from initguide.models import NormalizedMLP

WIDTH = 32


@pytest.fixture(scope="module")
def small(sample):
    """Images of 14 × 14 pixels."""
    mean, std = sample.train.images.mean(), sample.train.images.std()
    data = sample.subset(train=1500, valid=500, test=10)
    return data.transformed(lambda x: F.avg_pool2d((x - mean) / std, 2).flatten(1), "standardized")


def test_running_averages_remember_their_start(small):
    """After k batches, the variance is 0.9ᵏ + (1 − 0.9ᵏ) v, and the output as predicted."""
    x = small.train.images
    for scale in (0.01, 1.0, 10.0):
        layer = nn.Sequential(nn.Linear(196, WIDTH, bias=False), nn.BatchNorm1d(WIDTH))
        initguide.initialize(layer[0], f"normal({scale * (2 / 196) ** 0.5})", seed=0)
        draws = torch.Generator().manual_seed(0)
        with torch.no_grad():
            variance, mean = torch.var_mean(layer[0](x), 0)
            for _ in range(20):
                layer.train()(x[torch.randint(len(x), (100,), generator=draws)])
            found = layer.eval()(x).square().mean().sqrt().item()
        old = 0.9**20
        expected = (variance + (old * mean) ** 2) / (old + (1 - old) * variance)
        assert found == pytest.approx(expected.mean().sqrt().item(), rel=0.1)


def test_small_weights_are_fine_in_training_and_guess_in_evaluation(small):
    """In evaluation mode, batch normalization remembers its start; new averages mend that."""
    by_batch, evaluated, mended = {}, {}, {}
    x, y = small.train.images, small.train.labels
    batches = list(zip(x.split(100), y.split(100), strict=True))
    for scale in (0.01, 1.0):
        net = NormalizedMLP(nn.BatchNorm1d, width=WIDTH)
        initguide.initialize(net, "he_normal", seed=0)
        hidden = [part[0].weight for part in (net.first, net.second, net.third)]
        rest = [p for p in net.parameters() if all(p is not weight for weight in hidden)]
        for weight in hidden:
            weight.data.mul_(scale)
        groups = [{"params": hidden, "lr": 0.3 * scale**2}, {"params": rest}]
        training.fit(net, batches, torch.optim.SGD(groups, lr=0.3))
        evaluated[scale] = training.evaluate(net, small.valid).accuracy
        with torch.no_grad():
            right = net.train()(small.valid.images).argmax(1) == small.valid.labels
        by_batch[scale] = right.float().mean().item()
        update_bn(batches, net)
        mended[scale] = training.evaluate(net, small.valid).accuracy
    assert by_batch[0.01] == pytest.approx(by_batch[1.0], abs=0.08)
    assert evaluated[0.01] < 0.3
    assert evaluated[1.0] > 0.5
    for scale in (0.01, 1.0):
        assert mended[scale] == pytest.approx(by_batch[scale], abs=0.04)

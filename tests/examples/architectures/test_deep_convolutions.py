"""What examples/architectures/plot_9_deep_convolutions.py concludes, at reduced size."""

import math

import numpy as np
import pytest
import torch
from torch import nn

import initguide
from initguide import initializers as init
from initguide import models, theory


def delta(draw):
    """LeCun's first and last layers; between them, zeros around a matrix."""

    def weights_init(module):
        init.lecun_normal()(module)
        if isinstance(module, nn.Conv2d) and module.in_channels > 1:
            with torch.no_grad():
                module.weight.zero_()
                draw(module.weight[:, :, 1, 1])

    return weights_init


STARTS = {
    "default": init.default(),
    "gaussian": init.lecun_normal(),
    "delta gaussian": delta(lambda centre: centre.normal_(0, centre.shape[1] ** -0.5)),
    "delta orthogonal": delta(nn.init.orthogonal_),
}


def test_package_has_the_same_delta_orthogonal_weights():
    """Zero around the centre, an orthogonal matrix there."""
    layer = initguide.initialize(nn.Conv2d(8, 8, 3), init.delta_orthogonal(), seed=0)
    centre = layer.weight[:, :, 1, 1]
    assert torch.allclose(centre @ centre.T, torch.eye(8), atol=1e-5)
    assert int((layer.weight != 0).sum()) == int((centre != 0).sum())


@pytest.fixture(scope="module")
def small(sample):
    """Return 1,000 images of 7 × 7 pixels."""
    mean, std = sample.train.images.mean(), sample.train.images.std()
    return sample.subset(train=800, valid=300, test=50).transformed(
        lambda x: nn.functional.avg_pool2d((x - mean) / std, 4), "7 × 7"
    )


def test_delta_orthogonal_sees_no_border_and_keeps_to_theory(small):
    """Its mean square follows the length map over 50 layers; Gaussian weights fall below."""
    images, ends, gradients = small.train.images[:10], {}, {}
    for name, scheme in STARTS.items():
        ends[name], gradients[name] = [], []
        for seed in range(3):
            net = initguide.initialize(models.plain_cnn(), scheme, seed=seed)
            convs = [r for r in initguide.measure(net, images) if r.kind == "Conv2d"]
            ends[name].append(convs[-1].output_second_moment)
            gradients[name].append(convs[0].output_grad_var / convs[-1].output_grad_var)
    q = 0.5
    for _ in range(49):
        q = theory.length_map(q, "tanh", 1.0)
    assert np.mean(ends["delta orthogonal"]) == pytest.approx(q, rel=0.35)
    assert np.mean(ends["gaussian"]) < 0.4 * q
    assert np.mean(ends["delta gaussian"]) < 0.7 * q
    assert max(gradients["default"]) < 1e-15
    assert min(gradients["delta orthogonal"]) > 1e-3


@pytest.mark.slow
def test_fifty_layers_learn_from_delta_orthogonal_and_not_from_the_default(small):
    """Trained best from delta-orthogonal weights, and not at all from PyTorch's default."""
    loss = {}
    for name, seeds in {"default": 1, "gaussian": 2, "delta orthogonal": 2}.items():
        result = initguide.compare_init_weights(
            {name: STARTS[name]},
            small,
            model=models.plain_cnn,
            epochs=1,
            batch_size=50,
            seeds=seeds,
        )
        loss[name] = result.values(name, "valid_loss")
    assert loss["default"] == pytest.approx([math.log(10)], abs=0.05)
    assert loss["gaussian"].max() < 2.0
    assert (loss["delta orthogonal"] < loss["gaussian"] - 0.05).all()

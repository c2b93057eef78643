"""Dropout counts while training only."""

import numpy as np
import pytest

import initguide
from initguide import theory


def test_dropout_counts_while_training(images):
    """Each dropout of 0.2 multiplies the mean square by 1 / 0.8 while training."""
    net = initguide.initialize(initguide.Net(), "he_normal", seed=0)
    on = [r.second_moment for r in theory.predict_variances(net, images)]
    off = [r.second_moment for r in theory.predict_variances(net.eval(), images)]
    assert np.array(on) / off == pytest.approx([1, 1.25, 1.5625], rel=1e-9)

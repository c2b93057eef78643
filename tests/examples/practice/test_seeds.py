"""What page 8 of "In practice" concludes, at reduced size: noise, pairs, power."""

import itertools
import math

import numpy as np
import pytest
import torch
from scipy import stats

import initguide
from initguide.experiments import power


def test_normal_schemes_draw_the_same_numbers():
    """With one seed, they differ by a factor; a uniform scheme has other numbers."""
    he, lecun, uniform = (
        initguide.initialize(initguide.Net(), scheme, seed=0).fc2.weight
        for scheme in ("he_normal", "lecun_normal", "he_uniform")
    )
    torch.testing.assert_close(he, math.sqrt(2) * lecun)
    assert (he / uniform).std() > 1


def test_pairing_takes_noise_away(result):
    """Most of all where both schemes draw the same numbers."""
    values = {label: result.values(label) for label in result.labels}
    ratios = {}
    for a, b in itertools.combinations(values, 2):
        unrelated = math.hypot(values[a].std(ddof=1), values[b].std(ddof=1))
        ratios[a, b] = (values[a] - values[b]).std(ddof=1) / unrelated
    assert np.mean(list(ratios.values())) < 0.9
    assert ratios["lecun_normal", "he_normal"] < 0.75
    assert ratios["lecun_normal", "he_normal"] < ratios["he_normal", "he_uniform"]


def test_power_holds_for_real_differences(result):
    """Resampling our own seeds gives what the formula says."""
    rng = np.random.default_rng(0)
    for a, b in (("general_rule", "lecun_normal"), ("lecun_normal", "he_normal")):
        d = result.difference(b, a).per_seed
        d = d * np.sign(d.mean())
        for n in (5, 10):
            drawn = rng.choice(d, (4000, n))
            half = stats.t.ppf(0.975, n - 1) * drawn.std(1, ddof=1) / math.sqrt(n)
            share = np.mean(drawn.mean(1) > half)
            assert share == pytest.approx(power(n, d.mean() / d.std()), abs=0.12)

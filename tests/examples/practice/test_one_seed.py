"""What page 9 of "In practice" concludes, at reduced size: wrong winners, sources of the noise."""

import itertools
import math

import numpy as np
import pytest
import torch
from dozen import SCHEMES, SEEDS
from scipy import stats

import initguide


def weights_of(other_seed):
    """He's normal weights as a run with another seed draws them."""

    def weights_init(module):
        if isinstance(module, initguide.Net):
            with torch.random.fork_rng(devices=[]):
                torch.manual_seed(other_seed)
                net = initguide.initialize(initguide.Net(), "he_normal")
            module.load_state_dict(net.state_dict())

    return weights_init


def test_one_seed_is_wrong_as_often_as_predicted(result):
    """Counted over all pairs of seeds that are not the same."""
    same = np.eye(SEEDS, dtype=bool)
    for a, b in itertools.combinations(SCHEMES, 2):
        one, other = result.values(a), result.values(b)
        sign = np.sign((other - one).mean())
        apart = sign * (other[:, None] - one)[~same]
        wrong = np.mean(apart < 0) + np.mean(apart == 0) / 2
        sd = math.hypot(one.std(ddof=1), other.std(ddof=1))
        predicted = stats.norm.cdf(-abs((other - one).mean()) / sd)
        assert wrong == pytest.approx(predicted, abs=0.12)


def test_large_differences_need_one_seed(result):
    """The general rule is behind He's in every single seed, on so few images."""
    assert (result.difference("he_normal", "general_rule").per_seed > 0).all()


def test_each_source_alone_makes_most_of_the_noise(small, result):
    """Weights fixed, or order fixed: what varies gives more than half of the deviation."""
    order = initguide.compare_init_weights({"fixed": weights_of(1000)}, small, seeds=SEEDS)
    schemes = {f"weights {seed}": weights_of(seed) for seed in range(SEEDS)}
    weights = initguide.sweep({"scheme": schemes}, small, seeds=[1000])
    both = result.values("he_normal").std(ddof=1)
    assert order.values("fixed").std(ddof=1) > both / 2
    assert weights.values().std(ddof=1) > both / 2
    again = initguide.compare_init_weights({"fixed": weights_of(3)}, small, seeds=[3])
    assert again.values("fixed")[0] == result.values("he_normal")[3]  # nothing else is random


def test_binomial_error(sample):
    """Over sets of images; smaller for a difference, as two networks fail on the same ones."""
    small = sample.subset(train=1500)

    def right(scheme):
        net = initguide.initialize(initguide.Net(), scheme, seed=0)
        initguide.training.train(net, small, seed=0)
        images, labels = (
            torch.cat([getattr(part, name) for part in (sample.valid, sample.test)])
            for name in ("images", "labels")
        )
        with torch.no_grad():
            return (net.eval()(images).argmax(1) == labels).double()

    he, xavier = right("he_normal"), right("xavier_normal")
    found = {}
    for name, x in (("one", he), ("difference", he - xavier)):
        size = len(x) // 40
        found[name] = x.view(40, size).mean(1).std().item()
        predicted = math.sqrt(x.var(correction=0) / size)
        assert found[name] == pytest.approx(predicted, rel=0.45)
    p = he.mean().item()
    assert he.var(correction=0).item() == pytest.approx(p * (1 - p))
    assert found["difference"] < found["one"]


def test_at_one_seed_either_of_two_equal_schemes_can_be_ahead(sample):
    """At one seed either of two equal schemes can be ahead; the interval is t·s/√n to each side."""
    result = initguide.compare_init_weights(
        {"normal": "he_normal", "uniform": "he_uniform"},
        sample.subset(train=1000, valid=500, test=100),
        model=lambda: initguide.Net(64, 32),
        epochs=1,
        seeds=12,
    )
    difference = result.difference("normal", "uniform")
    signs = difference.per_seed > 0
    assert 0 < signs.sum() < len(signs)
    spread = difference.per_seed.std(ddof=1)
    half = stats.t.ppf(0.975, 11) * spread / math.sqrt(12)
    low, high = difference.interval
    assert (high - low) / 2 == pytest.approx(half)
    own = result.values("normal")
    assert own.std(ddof=1) > 0.005  # a scheme differs from itself

"""What page 7 of "In practice" concludes, at reduced size: noise, pairs, power, wrong winners."""

import itertools
import math

import numpy as np
import pytest
import torch
from scipy import stats

import initguide

SEEDS = 12
SCHEMES = ("general_rule", "lecun_normal", "he_normal", "he_uniform")


@pytest.fixture(scope="module")
def small(sample):
    """Return 1,500 training images, and all validation images of the sample."""
    return sample.subset(train=1500, test=100)


@pytest.fixture(scope="module")
def result(small):
    """Return a comparison of four schemes over a dozen seeds."""
    return initguide.compare_init_weights(SCHEMES, small, seeds=SEEDS)


def power(n, effect):
    """Chance that the 95 % interval from n seeds is wholly above 0, if δ/σ is the effect."""
    n = np.asarray(n, dtype=float)
    return stats.nct.sf(stats.t.ppf(0.975, n - 1), n - 1, effect * np.sqrt(n))


def seeds_needed(difference, sd, wanted=0.8):
    """Smallest number of seeds with the wanted power."""
    n = np.arange(2, 5000)
    return int(n[np.argmax(power(n, difference / sd) >= wanted)])


def weights_of(other_seed):
    """He's normal weights as a run with another seed draws them."""

    def weights_init(module):
        if isinstance(module, initguide.Net):
            with torch.random.fork_rng(devices=[]):
                torch.manual_seed(other_seed)
                net = initguide.initialize(initguide.Net(), "he_normal")
            module.load_state_dict(net.state_dict())

    return weights_init


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


@pytest.mark.parametrize(("effect", "n"), [(0.0, 5), (0.4, 10), (0.4, 40), (1.0, 5), (2.0, 4)])
def test_power_by_drawing(effect, n):
    """The noncentral t distribution says how often Student's interval lies above 0."""
    draws = np.random.default_rng(0).normal(effect, 1, (20_000, n))
    half = stats.t.ppf(0.975, n - 1) * draws.std(1, ddof=1) / math.sqrt(n)
    share = np.mean(draws.mean(1) > half)
    assert share == pytest.approx(power(n, effect), abs=4 * math.sqrt(0.25 / 20_000))


@pytest.mark.parametrize(("effect", "n"), [(0.2, 199), (0.5, 34), (0.8, 15)])
def test_seeds_needed_as_in_textbooks(effect, n):
    """Cohen's small, medium and large effects, paired, power of 80 %, two-sided test at 5 %."""
    assert seeds_needed(effect, 1) == n


def test_seeds_go_with_the_square():
    """A third of the difference takes nine times the seeds; large ones a few because of t."""
    assert seeds_needed(0.1, 0.5) / seeds_needed(0.3, 0.5) == pytest.approx(9, rel=0.1)
    assert seeds_needed(1, 0.5) > 9.5 * seeds_needed(0.3, 0.5) / 100
    assert seeds_needed(1, 0.5) <= 6


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

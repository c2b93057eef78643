"""How many seeds a comparison takes."""

import math

import numpy as np
import pytest
from scipy import stats

from initguide.experiments import estimate_effect, estimate_sd, power, seeds_needed


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


def test_smallest_number():
    """One seed fewer has less than the wanted power, and two are the least there is."""
    n = seeds_needed(0.3, 0.5, wanted=0.9, confidence=0.99)
    assert power(n, 0.6, 0.99) >= 0.9 > power(n - 1, 0.6, 0.99)
    assert seeds_needed(1000, 1) == 2


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: power(1, 1), "seeds is 1"),
        (lambda: power(5, -1), "effect is -1"),
        (lambda: power(5, 1, confidence=95), "confidence is 95"),
        (lambda: seeds_needed(0, 1), "difference is 0"),
        (lambda: seeds_needed(1, 1, wanted=80), "wanted is 80"),
        (lambda: seeds_needed(1e-6, 1), "more than 100,000 seeds"),
    ],
)
def test_errors(call, message):
    """What is out of range is named."""
    with pytest.raises(ValueError, match=message):
        call()


@pytest.mark.parametrize("n", [2, 5, 30])
@pytest.mark.parametrize("shift", [-3.0, 0.0, 0.3, 20.0])
def test_intervals_of_noise_and_effect_against_scipy(n, shift):
    """At the ends of its interval, what was observed is as unlikely as it may be."""
    values = np.random.default_rng(n).normal(shift, 1, n)
    sd, effect = estimate_sd(values), estimate_effect(values)
    assert sd.mean == pytest.approx(np.std(values, ddof=1))
    low, high = sd.interval
    found = stats.chi2(n - 1).cdf((n - 1) * sd.mean**2 / np.square([high, low]))
    assert found == pytest.approx([0.025, 0.975])
    t = stats.ttest_1samp(values, 0).statistic
    assert effect.mean == pytest.approx(t / math.sqrt(n))
    low, high = effect.interval
    assert low < effect.mean < high
    if abs(t) < 30:  # farther out, scipy's own numbers are rough
        found = [stats.nct(n - 1, end * math.sqrt(n)).sf(t) for end in (low, high)]
        assert found == pytest.approx([0.025, 0.975], abs=1e-4)


@pytest.mark.parametrize("values", [[], [1.0], [1.0, math.nan], [[1.0, 2.0]]])
def test_noise_of_too_few_is_refused(values):
    """One number has no spread; a run that diverged leaves no fair sample."""
    for ask in (estimate_sd, estimate_effect):
        with pytest.raises(ValueError, match=r"^values has the shape \(.*at least 2, all of them"):
            ask(values)
    with pytest.raises(ValueError, match=r"^values are all equal"):
        estimate_effect([0.5, 0.5])

"""Right answers pass with any seed; each misconception is named; nothing else is touched."""

import copy
import math
import pickle
import re
from pathlib import Path

import numpy as np
import pytest
import torch
from answers import RIGHT, WRONG, bound, linear, spread
from scipy import stats
from torch import nn

import initguide
from initguide import initializers as init
from initguide.exercises import (
    COMMON,
    EXERCISES,
    WrongAnswerError,
    check,
    list_exercises,
    questions,
)
from initguide.exercises.trial import lesson_networks, try_on


def wrong(name, scheme, **settings):
    """The error that `check` raises."""
    with pytest.raises(WrongAnswerError) as caught:
        check(name, scheme, **settings)
    return caught.value


@pytest.mark.parametrize("name", EXERCISES)
def test_right_answers_pass(name):
    """Each of them with two seeds; what it did is shown, layer by layer."""
    for seed in range(2):
        for answer in RIGHT[name]:
            table = check(name, answer, seed=seed)
    assert table.caption == f"{name}: right"
    assert len(table.columns["layer"]) >= 2
    assert np.isfinite(table.columns["std × √n"]).all()


@pytest.mark.parametrize(("name", "misconception"), WRONG)
def test_misconceptions_are_named(name, misconception):
    """The message has the name, what is said about it, and what was measured."""
    for seed in range(2):
        error = wrong(name, WRONG[name, misconception], seed=seed)
        assert (error.exercise, error.misconception) == (name, misconception)
    said = EXERCISES[name].misconceptions[misconception]
    assert str(error).startswith(f"{name}, not yet. {misconception.capitalize()}: {said}. [")
    assert error.evidence in str(error)


def test_every_misconception_has_an_answer_that_shows_it():
    """None is only promised, and none is tested that is not declared."""
    declared = {(e.name, m) for e in EXERCISES.values() for m in e.misconceptions}
    assert declared == set(WRONG)
    assert set(RIGHT) == set(EXERCISES)
    assert len(EXERCISES) >= 10


def _rule(m):
    return 1 / math.sqrt(m.in_features)


def _nothing(m):
    if isinstance(m, nn.Linear):
        torch.randn(m.weight.shape) * _rule(m)


def _every_module_with_a_weight(m):
    if hasattr(m, "weight"):
        nn.init.normal_(m.weight, 0, m.weight.shape[-1] ** -0.5)
        nn.init.zeros_(m.bias)


def _last_layer_left_out(m):
    if isinstance(m, nn.Linear) and m.out_features > 10:
        nn.init.normal_(m.weight, 0, _rule(m))
        nn.init.zeros_(m.bias)


def _seeded(m):
    if isinstance(m, nn.Linear):
        torch.manual_seed(0)
        nn.init.normal_(m.weight, 0, _rule(m))
        nn.init.zeros_(m.bias)


def _forgets_no_grad(m):
    if isinstance(m, nn.Linear):
        m.weight.normal_(0, _rule(m))


def _one_row(m):
    m.weight.data = torch.randn(1, m.in_features).repeat(m.out_features, 1) * _rule(m)


def _one_column(m):
    m.weight.data = torch.randn(m.out_features, 1).repeat(1, m.in_features) * _rule(m)


def _shorter(m):
    m.weight = nn.Parameter(torch.randn(3, m.in_features))


COMMON_MISTAKES = {
    "it fails": _forgets_no_grad,
    "nothing changed": _nothing,
    "a layer was left out": _last_layer_left_out,
    "another shape": linear(_shorter),
    "not finite": linear(lambda m: m.weight.data.div_(0)),
    "default biases": linear(lambda m: m.weight.data.normal_(0, _rule(m)), bias=None),
    "biases filled, too": linear(
        lambda m: m.weight.data.normal_(0, _rule(m)), bias=lambda b: b.data.normal_(0, 0.1)
    ),
    "other modules": lambda m: [p.data.normal_(0, 0.1) for p in m.parameters(recurse=False)],
    "one number for a layer": init.constant(0.03),
    "equal units": linear(_one_row),
    "one number for a unit": linear(_one_column),
    "the same every time": _seeded,
    "off centre": linear(lambda m: m.weight.data.normal_(0.5 * _rule(m), _rule(m))),
    "another spread": spread(lambda n, _: 0.7 * n**-0.5),
}


@pytest.mark.parametrize("misconception", COMMON_MISTAKES)
def test_common_misconceptions_are_named(misconception):
    """Those that any exercise may show."""
    error = wrong("normal", COMMON_MISTAKES[misconception])
    assert error.misconception == misconception
    assert COMMON[misconception] in str(error)


def test_the_common_ones_are_all_tested():
    """The last of them is for exercises that give no other name to it."""
    assert set(COMMON) == {*COMMON_MISTAKES, "another distribution"}
    error = wrong("any_network", bound(lambda n, _: math.sqrt(3 / n)))
    assert error.misconception == "another distribution"
    assert re.search(r"\[5[78]% of .* are within one standard deviation; .* 68% are", str(error))


def test_nothing_changed_says_what_it_is():
    """The start that PyTorch gives is named."""
    assert "nothing changed: this is PyTorch's default" in str(wrong("normal", _nothing))


def test_a_network_with_other_modules():
    """A function that asks only for a weight meets a layer without a bias, or a normalization."""
    error = wrong("any_network", _every_module_with_a_weight)
    assert error.misconception == "it fails"
    assert "AttributeError on Embedding" in error.evidence


def test_the_smallest_deviation_that_is_seen():
    """A tenth more or less is another spread, whatever the seed."""
    for seed in range(5):
        for factor in (0.9, 1.1):
            error = wrong("he", spread(lambda n, _, f=factor: f * math.sqrt(2 / n)), seed=seed)
            assert error.misconception == "another spread"


def test_false_alarms():
    """Summed over all that is asked, fewer than one right answer in a million is refused."""
    per_mean = 2 * stats.norm.sf(questions.SIGMAS)
    total = 0.0
    for network in lesson_networks().values():
        for layer in network.modules():
            if not isinstance(layer, nn.Linear):
                continue
            count = layer.weight.numel()
            margin = questions.SIGMAS * math.sqrt(2 / (4 * count))
            # Normal numbers: their sample variance has a chi-square distribution.
            free = count - 1
            total += stats.chi2.sf(free * (1 + margin) ** 2, free)
            total += stats.chi2.cdf(free * (1 - margin) ** 2, free)
            total += per_mean + questions.LEAST_P
    assert 0 < total < 1e-6


def test_margins_are_those_of_chance():
    """Over many draws, the standard errors are what the deviations really are."""
    deviations = []
    for seed in range(40):
        trial = try_on(init.lecun_normal(), lesson_networks, (nn.Linear,), 2 * seed)
        for layer in trial.layers:
            values = layer.values
            error = math.sqrt(2 / (4 * values.numel()))
            deviations.append((values.std().item() * layer.fans.fan_in**0.5 - 1) / error)
    # 200 standard normal numbers: their standard deviation is 1 ± 0.05.
    assert np.std(deviations) == pytest.approx(1, abs=0.25)
    assert np.max(np.abs(deviations)) < questions.SIGMAS


def test_the_generators_are_left_as_they_were():
    """Also where the answer sets a seed, or fails."""
    before = torch.get_rng_state()
    check("normal", RIGHT["normal"][0])
    wrong("normal", _seeded)
    wrong("normal", _forgets_no_grad)
    assert torch.equal(torch.get_rng_state(), before)


def test_a_name_that_is_none():
    """The message lists the exercises, and the nearest of them."""
    with pytest.raises(ValueError, match=r'no exercise \'norml\'; .*"ones", .*mean "normal"\?'):
        check("norml", init.ones())


@pytest.mark.parametrize("scheme", ["he_normal", None, 3, nn.Linear(2, 2)], ids=repr)
def test_what_is_no_answer(scheme):
    """An answer is a function; None is what a function returned that was called."""
    with pytest.raises(TypeError, match=r"it must be a function of a module, such as def"):
        check("normal", scheme)
    with pytest.raises(TypeError, match=r"hand over the function itself, without calling it"):
        check("normal", None)


@pytest.mark.parametrize("seed", [-1, 0.5])
def test_bad_seed(seed):
    """It is named."""
    with pytest.raises(ValueError, match=r"seed is .*; it must be a whole number, at least 0"):
        check("normal", init.ones(), seed=seed)


def test_the_error_travels():
    """To another process, as all errors of a test do."""
    error = wrong("normal", init.ones())
    again = pickle.loads(pickle.dumps(error))  # noqa: S301  our own
    assert str(again) == str(error)
    assert str(copy.copy(error)) == str(error)


def test_the_list():
    """All exercises, with what is to be written; pages that exist."""
    table = list_exercises()
    assert list(table.columns["exercise"]) == list(EXERCISES)
    assert str(EXERCISES["he"]).startswith("he: He's rule")
    examples = Path(initguide.__file__).parent.parent / "examples"
    if examples.is_dir():  # not where the package is installed alone
        assert not [
            page for page in table.columns["page"] if not (examples / f"{page}.py").exists()
        ]


def test_words_are_sentences_without_their_end():
    """What is said about a misconception is followed by a full stop and what was measured."""
    for exercise in EXERCISES.values():
        assert exercise.task[0].isupper()
        assert exercise.task.endswith(".")
        for said in {**COMMON, **exercise.misconceptions}.values():
            assert not said.endswith(".")

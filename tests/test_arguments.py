"""Checks of arguments, and that functions of all wings speak of one thing in the same words."""

import math

import numpy as np
import pytest
import torch
from torch import nn

import initguide
from initguide.arguments import check_choice, check_number, check_whole
from initguide.training import train


@pytest.mark.parametrize("value", [0, 7, np.int64(7), 2**63 - 1])
def test_whole_numbers_of_any_library(value):
    """They come back as Python's own."""
    assert check_whole("seed", value, 0) == value
    assert type(check_whole("seed", value, 0)) is int


@pytest.mark.parametrize("value", [-1, 1.5, 1.0, "1", None, True, np.nan, 2**63])
def test_what_is_no_whole_number(value):
    """It is named with what is allowed."""
    with pytest.raises(ValueError, match=r"^seed is .*; it must be (a whole number|below 2⁶³)"):
        check_whole("seed", value, 0)


@pytest.mark.parametrize("value", [0.5, np.float32(0.5), 1])
def test_numbers_of_any_library(value):
    """They come back as Python's own."""
    assert check_number("std", value, above=0) == value
    assert type(check_number("std", value, above=0)) in (int, float)


@pytest.mark.parametrize(
    ("value", "error", "message"),
    [
        (True, TypeError, "^std is True; it must be a number$"),
        ("1", TypeError, "^std is '1'; it must be a number$"),
        (0, ValueError, "^std is 0; it must be above 0 and below 2$"),
        (2.0, ValueError, r"^std is 2\.0; it must be above 0 and below 2$"),
        (math.nan, ValueError, "^std is nan; it must be above 0"),
        (10**400, ValueError, "^std is 1000"),
    ],
)
def test_what_is_no_number_between_the_ends(value, error, message):
    """Ends are not allowed themselves, and are named."""
    with pytest.raises(error, match=message):
        check_number("std", value, above=0, below=2)


def test_choices_are_listed():
    """What is none of them is named beside them."""
    assert check_choice("mode", "fan_in", ("fan_in", "fan_out")) == "fan_in"
    with pytest.raises(ValueError, match=r"^mode is 'fan'; it must be one of 'fan_in', 'fan_out'$"):
        check_choice("mode", "fan", ("fan_in", "fan_out"))


X = torch.ones(3, 4)
CALLS = {
    "fashion_mnist": lambda seed, _: initguide.fashion_mnist(source="sample", seed=seed),
    "initialize": lambda seed, _: initguide.initialize(nn.Linear(4, 2), "he_normal", seed=seed),
    "measure": lambda seed, _: initguide.measure(nn.Linear(4, 2), X, seed=seed),
    "check_init": lambda seed, _: initguide.check_init(nn.Linear(4, 2), X, seed=seed),
    "predict_variances": lambda seed, _: initguide.theory.predict_variances(
        nn.Linear(4, 2), X, seed=seed
    ),
    "train": lambda seed, data: train(initguide.Net(8, 8), data, epochs=1, seed=seed),
    "compare_init_weights": lambda seed, data: initguide.compare_init_weights(
        ["zeros"], data, epochs=1, seeds=[seed]
    ),
    "sweep": lambda seed, data: initguide.sweep(
        {"learning_rate": [0.1]}, data, epochs=1, seeds=[seed]
    ),
}


@pytest.mark.parametrize("seed", [1.5, -1, "1", True])
@pytest.mark.parametrize("function", CALLS)
def test_a_bad_seed_is_refused_in_the_same_words(function, seed, data):
    """By every function that takes one; those that take several say so."""
    words = r"^(seed is .*; it must be a whole number, at least 0|seeds is .*; it must be)"
    with pytest.raises(ValueError, match=words):
        CALLS[function](seed, data)

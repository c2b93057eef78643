"""Arguments that are refused before anything is trained."""

import pytest

import initguide
from initguide.experiments import (
    compare_init_weights,
)
from initguide.experiments.jobs import worker


def _no_space(*_, **__):
    raise OSError(28, "No space left on device")


SEEDS = "it must be how many, at least 1, or a list of different numbers"


@pytest.mark.parametrize(
    ("changes", "error", "message"),
    [
        (
            {"schemes": []},
            ValueError,
            r"schemes is empty; give at least one, such as \['he_normal'\]",
        ),
        ({"schemes": {}}, ValueError, r"schemes is empty; give at least one, such as .*"),
        (
            {"schemes": "he_normal"},
            TypeError,
            r"schemes is the text 'he_normal'; give a list of names, such as \['he_normal'\]",
        ),
        (
            {"schemes": ["zeros", "ones", "zeros"]},
            ValueError,
            r"schemes is labelled \[.*\]; a name stands there twice",
        ),
        (
            {"schemes": ["he_norml"]},
            ValueError,
            "unknown scheme 'he_norml', did you mean 'he_normal'.*",
        ),
        ({"schemes": {"x": "he_norml"}}, ValueError, "unknown scheme 'he_norml', .*"),
        ({"schemes": {"x": 3}}, TypeError, "schemes is to have 3 under 'x'; a scheme is a name .*"),
        ({"seeds": 0}, ValueError, f"seeds is 0; {SEEDS}"),
        ({"seeds": -2}, ValueError, f"seeds is -2; {SEEDS}"),
        ({"seeds": []}, ValueError, rf"seeds is \[\]; {SEEDS}"),
        ({"seeds": [1, 1]}, ValueError, rf"seeds is \[1, 1\]; {SEEDS}"),
        ({"seeds": [0, -1]}, ValueError, "seed is -1; it must be a whole number, at least 0"),
        ({"workers": 0}, ValueError, "workers is 0; it must be a whole number, at least 1"),
        ({"epochs": 0}, ValueError, "epochs is 0; it must be a whole number, at least 1"),
        ({"batch_size": -1}, ValueError, "batch_size is -1; it must be a whole number, at least 1"),
        (
            {"learning_rate": 0},
            ValueError,
            "learning_rate is 0; it must be a finite number above 0",
        ),
        (
            {"optimizer": "Adam"},
            ValueError,
            "unknown optimizer 'Adam'; the names are adam, sgd, .*",
        ),
        (
            {"model": lambda: None},
            TypeError,
            "model is of type NoneType; it must be a torch.nn.Module(?s:.*)",
        ),
    ],
    ids=lambda value: repr(value).split(" at 0x")[0],
)
def test_bad_arguments(made_up, monkeypatch, changes, error, message):
    """What is wrong is refused before the first network is trained, with what is allowed."""
    monkeypatch.setattr(worker, "train_many", _no_space)
    arguments = {"schemes": ["zeros"], "model": initguide.Net, "seeds": 1} | changes
    schemes = arguments.pop("schemes")
    with pytest.raises(error, match=f"^{message}$"):
        compare_init_weights(schemes, made_up, **arguments)


@pytest.mark.parametrize(
    "changes",
    [
        {"seeds": [0.5, 1.5]},
        {"seeds": "12"},
        {"seeds": True},
        {"seeds": 2.0},
        {"seeds": [2**64]},
        {"workers": 1.5},
        {"workers": "2"},
        {"schemes": {1: "zeros", "1": "ones"}},
        {"schemes": 3},
        {"schemes": {"fine": "zeros", "bad": 3}},
        {"model": initguide.Net()},
    ],
    ids=lambda changes: str(changes).split("\n", maxsplit=1)[0],
)
def test_bad_arguments_that_slip_through(made_up, monkeypatch, changes):
    """The argument is named, in a message of the package's own, before anything is trained."""
    trained = []
    monkeypatch.setattr(worker, "train_many", lambda *_, **settings: trained.append(settings))
    arguments = {"schemes": ["zeros"], "model": initguide.Net, "seeds": 1} | changes
    schemes = arguments.pop("schemes")
    (name,) = changes
    with pytest.raises((ValueError, TypeError), match=rf"^{name.rstrip('s')}s? is "):
        compare_init_weights(schemes, made_up, **arguments)
    assert not trained

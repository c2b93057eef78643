"""Sweeps: the grid, the points and their table, files, and what is refused."""

import functools
import json
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace

import numpy as np
import pytest
import torch

import initguide
from initguide import initializers as init
from initguide.experiments import (
    METRICS,
    Comparison,
    Failure,
    Sweep,
    compare_init_weights,
    sweep,
)

Tiny = functools.partial(initguide.Net, 4, 4)  # a tiny network that any process can make


GRID = {"scheme": ["he_normal", "zeros"], "learning_rate": [1e-3, 0.1, 10.0], "dropout": [0.0, 0.5]}


# The grid


def test_every_combination(swept):
    """Points in the order of the grid, the last setting fastest; seeds within a point."""
    result = swept(GRID)
    expected = [
        ({"scheme": scheme, "learning_rate": rate, "dropout": dropout}, seed)
        for scheme in GRID["scheme"]
        for rate in GRID["learning_rate"]
        for dropout in GRID["dropout"]
        for seed in (0, 1)
    ]
    assert [(run.settings, run.seed) for run in result.runs] == expected
    assert result.grid == {name: tuple(values) for name, values in GRID.items()}
    assert result.settings["seeds"] == [0, 1]
    assert result.settings["epochs"] == 1
    assert "learning_rate" not in result.settings
    assert result.data_source == "made up: 134 images"
    assert not result.failures


def test_a_sweep_over_schemes_is_a_comparison(swept, made_up, measured):
    """The same engine: the same numbers to the last bit."""
    result = swept({"scheme": ["he_normal", "default"]})
    expected = compare_init_weights(
        ["he_normal", "default"], made_up, model=Tiny, epochs=1, batch_size=16, seeds=2
    )
    assert [n[1:] for n in measured(result)] == [n[1:] for n in measured(expected)]
    assert [row.mean for row in result.rows()] == [row.mean for row in expected.rows()]
    assert [row.interval for row in result.rows()] == [row.interval for row in expected.rows()]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("learning_rate", 0.05),
        ("optimizer", "sgd"),
        ("epochs", 2),
        ("batch_size", 8),
        ("scheme", "ones"),
        ("scale", 0.5),
        ("hidden_1", 7),
    ],
)
def test_each_setting_reaches_the_run(swept, name, value, measured):
    """A value in the grid does what the same keyword outside it does."""
    in_grid = swept({name: [value]}, model=initguide.Net)
    keywords = {name: value} if name != "hidden_1" else {}
    model = functools.partial(initguide.Net, hidden_1=7) if name == "hidden_1" else initguide.Net
    outside = swept({"seed": [0, 1]}, model=model, **keywords)
    assert [n[1:] for n in measured(in_grid)] == [n[1:] for n in measured(outside)]
    unchanged = swept({"seed": [0, 1]}, model=initguide.Net)
    assert [n[1:] for n in measured(in_grid)] != [n[1:] for n in measured(unchanged)]


def test_seeds_in_the_grid(swept):
    """`seed` in the grid is which seeds there are, not an axis of the table."""
    result = swept({"seed": [5, 2], "scale": [1, 2]})
    assert result.settings["seeds"] == [5, 2]
    assert result.grid == {"scale": (1, 2)}
    assert [run.seed for run in result.runs] == [5, 2, 5, 2]


def test_values_with_labels_and_functions(swept):
    """A dictionary labels its values; functions and schemes are named; arrays are numbers."""
    result = swept(
        {
            "scheme": {"small": init.normal(0.01), "large": init.normal(1.0)},
            "optimizer": ["sgd", torch.optim.RMSprop],
            "learning_rate": np.geomspace(0.01, 0.1, 2),
        },
        seeds=1,
    )
    assert result.grid == {
        "scheme": ("small", "large"),
        "optimizer": ("sgd", "RMSprop"),
        "learning_rate": (0.01, 0.1),
    }
    assert type(result.grid["learning_rate"][0]) is float
    assert result.values(optimizer=torch.optim.RMSprop).shape == (4,)


def test_choosing_runs(swept):
    """By any settings, and a seed; in the order of the grid; as an array of all."""
    result = swept(GRID)
    array = result.array()
    assert array.shape == (2, 3, 2, 2)
    chosen = result.values("valid_accuracy", scheme="zeros", dropout=0.5)
    np.testing.assert_array_equal(chosen, array[1, :, 1].reshape(-1))
    np.testing.assert_array_equal(result.values(learning_rate=0.1 + 1e-17), array[:, 1].reshape(-1))
    assert [run.seed for run in result.of(seed=1)] == [1] * 12
    assert result.of() == result.runs
    with pytest.raises(
        ValueError, match=r"'depth' was not varied.*scheme, learning_rate, dropout, s"
    ):
        result.of(depth=3)
    with pytest.raises(
        ValueError, match=r"^dropout 0\.3 is not in the grid; its values are 0\.0, 0"
    ):
        result.values(dropout=0.3)
    with pytest.raises(ValueError, match=r"^unknown metric 'accuracy'; the metrics are valid_acc"):
        result.values("accuracy")


def test_the_table(swept):
    """A line a point with its settings; the best is marked; the note says what was common."""
    result = swept({"learning_rate": [1e-3, 1e-30], "hidden_1": [3]}, model=initguide.Net)
    table = result.table()
    assert list(table.columns)[:3] == ["learning rate", "hidden 1", "accuracy, %"]
    assert table.columns["learning rate"] == [1e-3, 1e-30]
    best = result.best()
    assert table.columns["remark"].count("best") == 1
    assert max(row.mean for row in result.rows()) == best.mean
    text = str(result)
    assert text.startswith("Validation accuracy after 1 epoch, mean of 2 seeds\n")
    words = " ".join(text.split())
    for part in ("scheme he_normal", "model Net", "batch size 16", "seeds 0, 1;", "made up"):
        assert part in words
    assert "<table>" in result._repr_html_()
    assert result.to_csv().splitlines()[0].startswith("learning_rate,hidden_1,seed,valid_accuracy")
    assert len(result.to_csv().splitlines()) == 5


def test_divergence_is_a_result(swept):
    """Runs that diverge are counted, and their point is not the best."""
    result = swept({"learning_rate": [1e-3, 1e30]}, optimizer="sgd", scheme="normal", epochs=3)
    good, bad = result.rows()
    assert good.diverged == 0
    assert bad.diverged >= 1
    assert bad.failed == 0
    assert f"{bad.diverged} of 2 diverged" in str(result)
    assert result.best().settings == {"learning_rate": 1e-3}


def test_save_and_load(swept, tmp_path, measured):
    """What comes back is what was saved, diverged and failed runs too."""
    result = swept({"learning_rate": [1e-3, 1e30], "scale": [1, 2]}, optimizer="sgd", scheme="ones")
    failed = Failure("x", 1, dict(result.runs[-1].settings), "ValueError: no")
    result = Sweep(result.runs[:-1], (failed,), result.grid, result.settings, result.data_source)
    result.save(tmp_path / "s.json")
    again = Sweep.load(tmp_path / "s.json")
    assert measured(again) == measured(result)
    assert again.failures == result.failures
    assert again.grid == result.grid
    assert again.settings == result.settings
    assert str(again) == str(result)
    assert "1 of 2 failed" in str(again)
    assert "Why runs failed: ValueError: no." in " ".join(str(again).split())


def test_load_refuses(swept, tmp_path):
    """A comparison, a damaged file and another kind of store are refused with what they are."""
    path = tmp_path / "s.json"
    swept({"scale": [1]}, seeds=1).save(path)
    with pytest.raises(
        ValueError, match='not a saved comparison: it has no "format": "initguide c'
    ):
        Comparison.load(path)
    document = json.loads(path.read_text())
    del document["runs"][0]["settings"]
    path.write_text(json.dumps(document))
    with pytest.raises(ValueError, match=r"is a damaged sweep: 'settings' is missing$"):
        Sweep.load(path)
    path.write_text("{}")
    with pytest.raises(ValueError, match=r"is JSON, but not a saved sweep: .* what Sweep\.save"):
        Sweep.load(path)


@pytest.mark.parametrize(
    ("grid", "changes", "message"),
    [
        (
            {"hiden_1": [3]},
            {},
            r"grid has the unknown setting 'hiden_1', did you mean 'hidden_1'\?",
        ),
        ({"depth": [3]}, {}, r"unknown setting 'depth'.* and of Net: hidden_1, hidden_2, c"),
        ({3: [3]}, {}, "unknown setting 3"),
        ({"scale": []}, {}, "grid has no value for 'scale'; give at least one"),
        ({"scale": 3}, {}, "grid has 3 for 'scale'; give a list of values"),
        ({"scheme": "zeros"}, {}, "grid has 'zeros' for 'scheme'; give a list of values"),
        ({"scale": [1, 2, 1]}, {}, r"grid has \[1, 2, 1\] for 'scale'; one stands there twice"),
        ({"scale": [-1]}, {}, "scale is -1; it must be a finite number, at least 0"),
        ({"scale": ["large"]}, {}, "scale is 'large'; it must be a finite number"),
        ({"scheme": ["zeros", "he_norml"]}, {}, "unknown scheme 'he_norml', did you mean"),
        ({"learning_rate": [0.1, 0]}, {}, "learning_rate is 0; it must be a finite number above 0"),
        ({"epochs": [1, 0]}, {}, "epochs is 0; it must be a whole number, at least 1"),
        ({"optimizer": ["sgd", "Adam"]}, {}, "unknown optimizer 'Adam'; the names are adam, sgd"),
        ({"hidden_1": [4, 0]}, {}, "hidden_1 is 0; a layer needs at least 1 unit"),
        ({"seed": [0, -1]}, {}, "seed is -1; it must be a whole number, at least 0"),
        ({"scale": [1]}, {"seeds": 0}, "seeds is 0; it must be how many"),
        ({"scale": [1]}, {"workers": 0}, "workers is 0; it must be a whole number, at least 1"),
        ({"scale": [1]}, {"retries": -1}, "retries is -1; it must be a whole number, at least 0"),
        ({"scale": [1]}, {"model": Tiny()}, "model is one Net; it must make a new network"),
        (
            {"scale": [1]},
            {"model": lambda: 3},
            "model is of type int; it must be a torch.nn.Module",
        ),
        (["scale"], {}, r"grid is \['scale'\]; give a dictionary of settings and their values"),
        (
            {"scale": [1]},
            {"executor": 4},
            "executor is 4; it must be a concurrent.futures.Executor",
        ),
        ({"scale": [1]}, {"executor": lambda: 4}, "executor made an object of type int; it must"),
        (
            {"scale": [1]},
            {"executor": ThreadPoolExecutor, "workers": 2},
            "workers is how many threads .* and executor is what is used instead; give one",
        ),
        (
            {"scale": [1]},
            {"executor": SimpleNamespace(get_executor=None)},
            r"or a function that makes one; give its get_executor\(\)",
        ),
    ],
    ids=lambda value: repr(value).split(" at 0x")[0][:50],
)
def test_bad_arguments(swept, trained, grid, changes, message):
    """What is wrong is refused before the first network is trained, with what is allowed."""
    changes = {"model": initguide.Net} | changes
    with pytest.raises((ValueError, TypeError), match=message):
        swept(grid, **changes)
    assert not trained


@pytest.mark.parametrize(
    "call", [compare_init_weights, lambda *args: sweep({"scale": [1]}, args[1])]
)
def test_data_without_splits(call):
    """Data of another kind are refused with what they must have."""
    with pytest.raises(TypeError, match=r"data is of type tuple, without a split \.train that has"):
        call(["zeros"], (1, 2))


def test_comparisons_of_this_module():
    """Names that others rely on."""
    assert initguide.sweep is sweep
    assert initguide.Sweep is Sweep


# Differences


def test_differences_are_those_of_a_comparison(swept, made_up):
    """Over schemes alone, the same runs give the same paired difference and its interval."""
    grid = swept({"scheme": ["he_normal", "zeros"]}, seeds=3)
    pair = compare_init_weights(
        ["he_normal", "zeros"], made_up, model=Tiny, epochs=1, batch_size=16, seeds=3
    )
    for metric in METRICS:
        found = grid.difference({"scheme": "he_normal"}, {"scheme": "zeros"}, metric)
        expected = pair.difference("he_normal", "zeros", metric)
        np.testing.assert_array_equal(found.per_seed, expected.per_seed)
        assert found.interval == expected.interval
        assert (found.mean, found.seeds, found.complete) == (
            expected.mean,
            expected.seeds,
            expected.complete,
        )
        assert (found.a, found.b) == ("scheme he_normal", "scheme zeros")
    assert pair.difference({"scheme": "zeros"}, "he_normal").a == "zeros"


def test_points_are_found_by_label_or_settings(swept):
    """Settings of one value may be left out; numbers need not be exact to the last bit."""
    result = swept({"learning_rate": [1e-3, 0.1], "hidden_1": [3]}, model=initguide.Net)
    low, high = result.labels
    assert low == "learning rate 0.001, hidden 1 3"
    assert [run.label for run in result.runs_at(high)] == [high, high]
    assert result.runs_at({"learning_rate": 0.1 + 1e-17}) == result.runs_at(high)
    difference = result.difference({"learning_rate": 0.1}, low)
    by_hand = result.values(learning_rate=0.1) - result.values(learning_rate=1e-3)
    np.testing.assert_array_equal(difference.per_seed, by_hand)
    with pytest.raises(ValueError, match=r"^2 points of this sweep have the settings.*labels are"):
        result.runs_at({"hidden_1": 3})
    with pytest.raises(ValueError, match=r"^0 points of this sweep have the settings {'depth': 3}"):
        result.runs_at({"depth": 3})
    with pytest.raises(ValueError, match=r"^there is no point labelled 'high' in this sweep; the"):
        result.difference("high", low)


def test_a_failed_run_has_no_partner(swept):
    """Pairs are found by their seed, and what is left after a failure decides nothing."""
    result = swept({"scale": [1, 2]}, seeds=3)
    lost = result.runs[0]
    failed = Failure(lost.label, lost.seed, dict(lost.settings), "ValueError: no")
    part = Sweep(result.runs[1:], (failed,), result.grid, result.settings, result.data_source)
    found, whole = (r.difference({"scale": 2}, {"scale": 1}) for r in (part, result))
    assert whole.complete
    assert found.seeds == (1, 2)
    np.testing.assert_array_equal(found.per_seed, whole.per_seed[1:])
    assert not found.complete
    assert found.verdict() == "undecided"
    assert found.missing == {"scale 1": (0,)}
    assert str(found).endswith(
        "(2 paired seeds, one split)\n  undecided: scale 1 has no run with seed 0; "
        "the seeds that are left are no fair sample"
    )


def test_labels_tell_close_numbers_apart(swept):
    """Two values that are alike in six digits are two points."""
    result = swept({"scale": [1.0, 1.00000001]}, seeds=1)
    assert len(result.labels) == 2
    assert [len(result.runs_at(label)) for label in result.labels] == [1, 1]

"""Runs in a store: done once, found again, refused where they are of other settings."""

import functools
from types import SimpleNamespace

import pytest

import initguide
from initguide.experiments import (
    Comparison,
    Store,
    StoreError,
    StoreWarning,
    Sweep,
    compare_init_weights,
    sweep,
)
from initguide.experiments.store import read

Tiny = functools.partial(initguide.Net, 4, 4)  # a tiny network that any process can make
GRID = {"scheme": ["he_normal", "zeros"], "learning_rate": [1e-3, 0.1, 10.0], "dropout": [0.0, 0.5]}


def _made(value, default=1):
    def scheme(module, factor=default):
        return module, factor, value

    return scheme


def test_only_what_is_missing(swept, trained, tmp_path, measured):
    """The same call does nothing again; a larger grid and more seeds add what they need."""
    path = tmp_path / "runs.sqlite"
    first = swept(GRID, store=path)
    assert len(trained) == 24
    assert not first.remark
    again = swept(GRID, store=path)
    assert len(trained) == 24
    assert measured(again) == measured(first)
    assert again.remark == f"24 of the 24 runs were found in {path}."
    assert again.remark in " ".join(str(again).split())
    del trained[:]
    more = swept(GRID | {"dropout": [0.0, 0.5, 0.9]}, store=str(path), seeds=3)
    assert len(trained) == 2 * 3 * 3 * 3 - 24
    assert more.remark.startswith("24 of the 54 runs were found in ")
    assert len(read(path)[1]) == 54
    loaded = Sweep.load(path)
    assert measured(loaded) == measured(more)
    assert loaded.settings == more.settings
    assert loaded.grid == more.grid


def test_a_comparison_in_a_store(made_up, trained, tmp_path, measured):
    """Runs of a comparison are kept and found; the file is the comparison."""
    path = tmp_path / "runs.sqlite"
    keywords = {"model": Tiny, "epochs": 1, "batch_size": 16, "store": path}
    compare_init_weights(["zeros", "he_normal"], made_up, seeds=2, **keywords)
    del trained[:]
    more = compare_init_weights(["zeros", "he_normal", "ones"], made_up, seeds=3, **keywords)
    assert sorted(trained) == [
        *(("he_normal", 2), ("ones", 0), ("ones", 1), ("ones", 2)),
        ("zeros", 2),
    ]
    plain = compare_init_weights(
        ["zeros", "he_normal", "ones"], made_up, seeds=3, **keywords | {"store": None}
    )
    loaded = Comparison.load(path)
    assert measured(loaded) == measured(more) == measured(plain)
    assert str(loaded) == str(plain)
    assert loaded.settings == plain.settings
    with pytest.raises(
        StoreError, match=r"is the store of a comparison, not of a sweep; read it by"
    ):
        Sweep.load(path)
    with pytest.raises(StoreError, match='kind is "comparison" there and "sweep" here'):
        sweep({"scheme": ["zeros"]}, made_up, store=path, model=Tiny)


def test_half_a_comparison(made_up, tmp_path):
    """Seeds that lack a run of a scheme are left out, and that is said."""
    path = tmp_path / "runs.sqlite"
    keywords = {"model": Tiny, "epochs": 1, "store": path}
    compare_init_weights(["zeros"], made_up, seeds=3, **keywords)
    compare_init_weights(["ones"], made_up, seeds=2, **keywords)
    loaded = Comparison.load(path)
    assert loaded.labels == ("zeros", "ones")
    assert loaded.settings["seeds"] == [0, 1]
    assert loaded.remark == "Left out: 1 runs whose seeds lack a run of another scheme."
    compare_init_weights(["general_rule"], made_up, seeds=[7], **keywords)
    with pytest.raises(StoreError, match=r"no seed yet with a run of every scheme; it has 6 of 12"):
        Comparison.load(path)


def _changed(data):
    changed = SimpleNamespace(**vars(data))
    images = data.train.images.clone()
    images[5, 0, 3, 3] += 0.001
    changed.train = SimpleNamespace(images=images, labels=data.train.labels)
    return changed


@pytest.mark.fault(
    "store",
    tried="a sweep goes on with another model, other data, another grid or settings",
    happens="it is refused with the difference, and nothing is trained",
)
def test_a_store_of_other_settings(swept, made_up, trained, tmp_path):
    """Another model, other data or settings: refused with the difference, file as it was."""
    path = tmp_path / "runs.sqlite"
    swept({"scale": [1, 2]}, store=path)
    before = path.read_bytes()
    del trained[:]
    for changes, message in [
        ({"epochs": 2}, "epochs is 1 there and 2 here"),
        ({"model": functools.partial(initguide.Net, 5, 4)}, r"model is 'Net\(4, 4\)' there and 'N"),
        ({"scheme": "zeros"}, "scheme is 'he_normal' there and 'zeros' here"),
        (
            {"optimizer": "sgd", "batch_size": 8},
            "optimizer is 'adam' there .* batch size is 16 there",
        ),
    ]:
        with pytest.raises(StoreError, match=f"holds runs made with other settings: .*{message}"):
            swept({"scale": [1, 2]}, store=path, **changes)
    with pytest.raises(
        StoreError, match=r"the grid is over \['scale'\] there and over \['learning"
    ):
        swept({"learning_rate": [1, 2]}, store=path)
    with pytest.raises(
        StoreError, match=r"data is 'made up: 134 images' \(SHA-256 \w{12}…\) there"
    ):
        sweep({"scale": [1, 2]}, _changed(made_up), store=path, model=Tiny, epochs=1, batch_size=16,
              seeds=2, scheme="he_normal")  # fmt: skip
    assert path.read_bytes() == before
    assert not trained


@pytest.mark.fault(
    "store",
    tried="a label stands for another scheme, or the scheme for other code, than in the store",
    happens="the store is refused with the difference",
)
def test_a_scheme_that_changed(made_up, tmp_path):
    """A label stands for another scheme, or a function of one name for another code: refused."""
    path = tmp_path / "runs.sqlite"
    keywords = {"model": Tiny, "epochs": 1, "store": path, "seeds": 1}
    compare_init_weights({"mine": "zeros", "own": _made(1)}, made_up, **keywords)
    with pytest.raises(StoreError, match=r"the scheme 'mine' is zeros\(\) there and ones\(\) here"):
        compare_init_weights({"mine": "ones"}, made_up, **keywords)
    with pytest.raises(StoreError, match=r"the code of the scheme 'own' is .*scheme#\w+ there and"):
        compare_init_weights({"own": _made(2)}, made_up, **keywords)
    assert compare_init_weights({"own": _made(1)}, made_up, **keywords).remark.startswith(
        "1 of the 1"
    )


@pytest.mark.fault(
    "store",
    tried="a run that raised an error is in the store",
    happens="the next call does it again",
)
def test_failed_runs_are_tried_again(swept, faulty, tmp_path):
    """They are stored with the reason, and the same call later does them again."""
    path = tmp_path / "runs.sqlite"
    hook = faulty.folder / "hold "
    result = swept({"fault": ["", "raises"]}, model=faulty.model, store=path)
    assert not hook.exists()
    errors = [row["error"] for row in read(path)[1]]
    assert sorted(filter(None, errors)) == ["ValueError: no good"] * 2
    loaded = Sweep.load(path)
    assert [f[1:] for f in loaded.failures] == [f[1:] for f in result.failures]
    assert str(loaded) == str(result)
    again = swept({"fault": ["", "raises"]}, model=faulty.model, store=path)
    assert again.remark.startswith("2 of the 4 runs were found")
    assert len(again.failures) == 2


@pytest.mark.fault(
    "store",
    tried="the store's folder does not exist",
    happens="it is said before anything is trained",
)
def test_a_store_in_no_folder(swept, trained, tmp_path):
    """Refused before anything is trained."""
    with pytest.raises(FileNotFoundError, match="there is no folder"):
        swept({"scale": [1]}, store=tmp_path / "no" / "runs.sqlite")
    assert not trained


def test_progress(swept, tmp_path, capfd):
    """The bar counts runs, begins with those that were found, and says how many."""
    path = tmp_path / "runs.sqlite"
    swept({"scale": [1]}, store=path)
    assert capfd.readouterr() == ("", "")
    swept({"scale": [1, 2]}, store=path, progress=True)
    printed = capfd.readouterr()
    assert not printed.out
    assert "4/4" in printed.err
    assert "2 found in runs.sqlite" in printed.err


# Names


def test_a_renamed_scheme_keeps_its_runs(made_up, trained, measured, tmp_path):
    """Another label is not another run: nothing is trained, and the file has both names."""
    path = tmp_path / "runs.sqlite"
    keywords = {"model": Tiny, "epochs": 1, "batch_size": 16, "store": path, "seeds": 2}
    old = compare_init_weights({"old": "he_normal"}, made_up, **keywords)
    del trained[:]
    for _ in range(2):
        new = compare_init_weights({"new": "he_normal"}, made_up, **keywords)
        assert [run.label for run in new.runs] == ["new", "new"]
        assert measured(new) == measured(old)
        assert new.remark.startswith("2 of the 2 runs were found")
    assert not trained
    loaded = Comparison.load(path)
    assert loaded.labels == ("old", "new")
    assert measured(loaded) == measured(old) * 2
    assert len(read(path)[1]) == 4


@pytest.mark.parametrize("with_store", [False, True])
def test_one_scheme_under_two_names(made_up, measured, tmp_path, with_store):
    """In one call: both names get the run, from the call and from the file."""
    path = tmp_path / "runs.sqlite" if with_store else None
    keywords = {"model": Tiny, "epochs": 1, "batch_size": 16, "store": path, "seeds": 2}
    schemes = {"one": "he_normal", "zero": "zeros", "two": "he_normal"}
    result = compare_init_weights(schemes, made_up, **keywords)
    assert result.labels == ("one", "zero", "two")
    assert [run.label for run in result.runs] == ["one", "one", "zero", "zero", "two", "two"]
    assert measured(result)[:2] == measured(result)[4:]
    if with_store:
        assert not result.remark
        again = compare_init_weights(schemes, made_up, **keywords)
        assert again.remark.startswith("6 of the 6 runs were found")
        assert measured(again) == measured(Comparison.load(path)) == measured(result)


def test_one_setting_under_two_names(swept, trained, measured, faulty, tmp_path):
    """Points of a grid that are the same run are done once; so is one that fails."""
    path = tmp_path / "runs.sqlite"
    grid = {"scheme": {"a": "he_normal", "b": "he_normal"}, "fault": ["", "raises"]}
    result = swept(grid, model=faulty.model, store=path)
    assert len(trained) == len(set(trained)) == 4
    assert [run.settings for run in result.runs] == [
        {"scheme": name, "fault": ""} for name in "ab" for _ in range(2)
    ]
    assert [f.settings for f in result.failures] == [
        {"scheme": name, "fault": "raises"} for name in "ab" for _ in range(2)
    ]
    loaded = Sweep.load(path)
    assert measured(loaded) == measured(result)
    assert [f[1:] for f in loaded.failures] == [f[1:] for f in result.failures]
    renamed = swept({**grid, "scheme": {"c": "he_normal"}}, model=faulty.model, store=path)
    assert renamed.remark.startswith("2 of the 4 runs were found")
    assert [n[1:] for n in measured(renamed)] == [n[1:] for n in measured(result)[:2]]


@pytest.mark.fault(
    "store",
    tried="one bit of a loss flips between two calls",
    happens="the run is named and done again, and the numbers are the same as before",
)
def test_a_damaged_run_is_done_again(swept, trained, tmp_path, measured):
    """One flipped bit in a loss: the run is named and done again, and the numbers are the same."""
    path = tmp_path / "runs.sqlite"
    first = swept(GRID, store=path)
    losses = first.runs[5].train_losses.astype("<f4").tobytes()
    content = path.read_bytes()
    assert content.count(losses) == 1
    path.write_bytes(content.replace(losses, bytes([losses[0] ^ 1]) + losses[1:]))
    with pytest.warns(StoreWarning, match=r"has damaged runs: 'scheme .*' with seed"):
        assert len(Sweep.load(path).runs) == 23
    with pytest.warns(StoreWarning, match="does them again"):
        again = swept(GRID, store=path)
    assert len(trained) == 25
    assert measured(again) == measured(first)
    assert again.remark.startswith("23 of the 24 runs were found in")
    assert measured(Sweep.load(path)) == measured(first)


@pytest.mark.fault(
    "store",
    tried="a run failed under two labels, and succeeds later under one",
    happens="neither keeps the failure",
)
def test_a_failure_under_two_names_is_mended_under_both(swept, faulty, tmp_path):
    """When the run succeeds later, no name keeps the old failure."""
    path = tmp_path / "runs.sqlite"
    grid = {"scheme": {"a": "zeros", "b": "zeros"}, "fault": ["raises"]}
    assert len(swept(grid, model=faulty.model, store=path, seeds=1).failures) == 2
    about, rows = read(path)  # as if it had been done elsewhere, under its first name
    Store(path, about).add([rows[0] | {"error": None, "train_losses": b""}])
    assert len(swept(grid, model=faulty.model, store=path, seeds=1).runs) == 2
    assert not Sweep.load(path).failures

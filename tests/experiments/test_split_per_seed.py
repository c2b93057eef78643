"""A split into training and validation images for each seed: in comparisons, sweeps and stores."""

import functools

import pytest

import initguide
from initguide.data import SplitPerSeed
from initguide.experiments import Comparison, StoreError, Sweep, compare_init_weights
from initguide.experiments.jobs.fingerprints import fingerprint_of_data
from initguide.experiments.jobs.shipping import ship

SCHEMES = ["he_normal", "lecun_normal"]
Tiny = functools.partial(initguide.Net, 4, 4)


def _compare(data, schemes=SCHEMES, **changes):
    defaults = {"model": Tiny, "epochs": 1, "batch_size": 16, "seeds": 3}
    return compare_init_weights(schemes, data, **defaults | changes)


def test_schemes_of_a_seed_share_its_split(made_up, measured):
    """Each run is that on its seed's images, so differences between schemes are paired by them."""
    found, shared = _compare(made_up, split="per seed"), _compare(made_up)
    assert found.settings["split"] == "per seed"
    assert shared.settings["split"] == "shared"
    assert measured(found) == measured(_compare(SplitPerSeed(made_up)))
    for seed in range(3):
        own = _compare(SplitPerSeed(made_up).of(seed), seeds=[seed])
        for label in SCHEMES:
            numbers = measured(found.select(label))[seed]
            assert measured(own.select(label)) == [numbers]
            assert measured(shared.select(label))[seed] != numbers


def test_tables_say_on_which_split(made_up, swept):
    """The interval is explained by what was varied; files of earlier versions had one split."""
    anew = "over seeds, each of which divides training and validation images anew."
    one = "over seeds, on one split into training and validation images, the same for all."
    result = _compare(made_up, split="per seed")
    assert anew in result.table().note
    assert "divided anew by each seed" in result.table().note
    assert one in _compare(made_up).table().note
    assert "(3 paired seeds, a split for each)" in str(result.difference(*SCHEMES))
    points = swept({"scale": [1, 2]}, split="per seed")
    assert anew in points.table().note
    assert one in swept({"scale": [1, 2]}).table().note
    old = {name: value for name, value in result.settings.items() if name != "split"}
    assert one in Comparison(result.runs, result.schemes, old, "").table().note


def test_files_keep_the_split(made_up, swept, tmp_path):
    """Saved and loaded, and in a store."""
    for result in (_compare(made_up, split="per seed"), swept({"scale": [1]}, split="per seed")):
        result.save(tmp_path / "results.json")
        again = type(result).load(tmp_path / "results.json")
        assert str(again) == str(result)
    _compare(made_up, split="per seed", store=tmp_path / "a.sqlite")
    assert Comparison.load(tmp_path / "a.sqlite").settings["split"] == "per seed"
    swept({"scale": [1]}, split="per seed", store=tmp_path / "b.sqlite")
    assert Sweep.load(tmp_path / "b.sqlite").settings["split"] == "per seed"


@pytest.mark.parametrize("splits", [("shared", "per seed"), ("per seed", "shared")])
def test_a_store_is_of_one_split(splits, made_up, swept, tmp_path, trained):
    """Runs of the other split are no part of the table; the same call finds its own."""
    there, here = splits
    message = f"split is '{there}' there and '{here}' here"
    for name, call in (
        ("a.sqlite", lambda split: _compare(made_up, split=split, store=tmp_path / "a.sqlite")),
        ("b.sqlite", lambda split: swept({"scale": [1]}, split=split, store=tmp_path / "b.sqlite")),
    ):
        call(there)
        done = len(trained)
        before = (tmp_path / name).read_bytes()
        with pytest.raises(StoreError, match=message):
            call(here)
        assert (tmp_path / name).read_bytes() == before
        assert "were found in" in call(there).remark
        assert len(trained) == done


def test_fingerprints_tell_the_splits_apart(made_up):
    """The same images, divided once or by each seed, are not the same data."""
    assert fingerprint_of_data(SplitPerSeed(made_up)) == fingerprint_of_data(SplitPerSeed(made_up))
    assert fingerprint_of_data(SplitPerSeed(made_up)) != fingerprint_of_data(made_up)


@pytest.mark.parametrize("kind", ["tensors", "a recipe"])
def test_workers_elsewhere_divide_alike(kind, made_up, sample, tmp_path):
    """What is sent are the parts as they came, by a file or by how to make them."""
    data = SplitPerSeed(made_up if kind == "tensors" else sample)
    source = ship(data, tmp_path)
    loaded = source.load()
    assert source.mark == fingerprint_of_data(data) == fingerprint_of_data(loaded)
    assert loaded.valid_of(3).labels.tolist() == data.valid_of(3).labels.tolist()
    assert (tmp_path / "data.pt").exists() == (kind == "tensors")


@pytest.mark.parametrize("split", ["per-seed", None, 3])
def test_what_is_no_split_is_refused(split, made_up, swept, trained):
    """In words, before anything is trained."""
    message = rf"^split is {split!r}; it must be one of 'shared', 'per seed'$"
    with pytest.raises(ValueError, match=message):
        _compare(made_up, split=split)
    with pytest.raises(ValueError, match=message):
        swept({"scale": [1]}, split=split)
    assert not trained

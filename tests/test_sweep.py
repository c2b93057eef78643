"""Sweeps: the grid, the same numbers wherever runs are done, and nothing lost when things break."""

import abc
import copy
import functools
import itertools
import json
import math
import multiprocessing
import os
import pickle
import re
import signal
import subprocess
import sys
import textwrap
import threading
import time
from collections import deque
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from fractions import Fraction
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Generator, nn

import initguide
from initguide import initializers as init
from initguide.experiments import (
    Comparison,
    Job,
    StoreError,
    Sweep,
    WorkerWarning,
    compare_init_weights,
    comparison,
    fingerprint,
    jobs,
    sweep,
    written,
)
from initguide.experiments.store import read
from initguide.training import Plan

HOME = str(Path(initguide.__file__).parents[1])
Tiny = functools.partial(initguide.Net, 4, 4)  # a tiny network that any process can make


@pytest.fixture(scope="module")
def data(noise):
    """64 + 40 + 30 images of noise, which no other process knows how to make."""
    return SimpleNamespace(
        train=noise(64, 0), valid=noise(40, 1), test=noise(30, 2), source="made up: 134 images"
    )


@pytest.fixture
def swept(data):
    """`sweep` with everything small."""
    defaults = {"model": Tiny, "epochs": 1, "batch_size": 16, "seeds": 2, "scheme": "he_normal"}
    return lambda grid, **changes: sweep(grid, data, **defaults | changes)


GRID = {"scheme": ["he_normal", "zeros"], "learning_rate": [1e-3, 0.1, 10.0], "dropout": [0.0, 0.5]}


def _numbers(result):
    """Everything that was measured, without the times."""
    return [
        (
            dict(getattr(run, "settings", {})),
            run.seed,
            repr(run.train_losses.tolist()),
            repr(run.valid_loss),
            repr(run.valid_accuracy),
            repr(run.test_accuracy),
        )
        for run in result.runs
    ]


@pytest.fixture
def trained(monkeypatch):
    """List of (label, seed) of the networks that are trained in this process."""
    done, real = [], jobs.train_many

    def train(*arguments, **keywords):
        done.extend(zip(keywords["labels"], keywords["seeds"], strict=True))
        return real(*arguments, **keywords)

    monkeypatch.setattr(jobs, "train_many", train)
    return done


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


def test_a_sweep_over_schemes_is_a_comparison(swept, data):
    """The same engine: the same numbers to the last bit."""
    result = swept({"scheme": ["he_normal", "default"]})
    expected = compare_init_weights(
        ["he_normal", "default"], data, model=Tiny, epochs=1, batch_size=16, seeds=2
    )
    assert [n[1:] for n in _numbers(result)] == [n[1:] for n in _numbers(expected)]
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
def test_each_setting_reaches_the_run(swept, name, value):
    """A value in the grid does what the same keyword outside it does."""
    in_grid = swept({name: [value]}, model=initguide.Net)
    keywords = {name: value} if name != "hidden_1" else {}
    model = functools.partial(initguide.Net, hidden_1=7) if name == "hidden_1" else initguide.Net
    outside = swept({"seed": [0, 1]}, model=model, **keywords)
    assert [n[1:] for n in _numbers(in_grid)] == [n[1:] for n in _numbers(outside)]
    unchanged = swept({"seed": [0, 1]}, model=initguide.Net)
    assert [n[1:] for n in _numbers(in_grid)] != [n[1:] for n in _numbers(unchanged)]


def test_scale_multiplies_weights():
    """Matrices are multiplied once they are filled, biases are not."""

    def built(scale):
        return Job(
            label="x", seed=3, scheme=init.default(), model=Tiny, epochs=1, batch_size=1,
            learning_rate=1, optimizer="sgd", scale=scale,
        ).build()  # fmt: skip

    one, three = built(1.0), built(3.0)
    assert torch.equal(three.fc1.weight, one.fc1.weight * 3)
    assert torch.equal(three.fc1.bias, one.fc1.bias)
    assert one.fc1.bias.abs().sum() > 0


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


def test_save_and_load(swept, tmp_path):
    """What comes back is what was saved, diverged and failed runs too."""
    result = swept({"learning_rate": [1e-3, 1e30], "scale": [1, 2]}, optimizer="sgd", scheme="ones")
    failed = jobs.Failure("x", 1, dict(result.runs[-1].settings), "ValueError: no")
    result = Sweep(result.runs[:-1], (failed,), result.grid, result.settings, result.data_source)
    result.save(tmp_path / "s.json")
    again = Sweep.load(tmp_path / "s.json")
    assert _numbers(again) == _numbers(result)
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


# What tells one run from another


def _job(**changes):
    common = {
        "label": "x",
        "seed": 0,
        "scheme": init.he_normal(),
        "model": initguide.Net,
        "epochs": 1,
        "batch_size": 16,
        "learning_rate": 0.1,
        "optimizer": "sgd",
        "scale": 1.0,
        "keywords": {},
    }
    return Job(**common | changes)


VALUES = {
    "seed": st.integers(0, 2**63 - 1),
    "scheme": st.sampled_from(["zeros", "ones", "normal(0.1)", "normal(0.2)", "he_normal"]).map(
        init.from_name
    ),
    "epochs": st.integers(1, 5),
    "batch_size": st.integers(1, 500),
    "learning_rate": st.floats(1e-6, 10),
    "optimizer": st.sampled_from(["sgd", "adam", torch.optim.RMSprop, torch.optim.Adagrad]),
    "scale": st.floats(0, 10),
    "keywords": st.dictionaries(
        st.sampled_from(["hidden_1", "dropout", "activation"]),
        st.one_of(st.integers(1, 9), st.floats(0, 1), st.sampled_from([nn.ReLU, nn.Tanh])),
    ),
}


@settings(deadline=None, max_examples=80)
@given(one=st.fixed_dictionaries(VALUES), other=st.fixed_dictionaries(VALUES), data=st.data())
def test_keys(one, other, data):
    """Equal where everything that determines a run is equal, different otherwise."""
    assert _job(**one).key("data") == _job(**one).key("data")
    name = data.draw(st.sampled_from(sorted(VALUES)))
    changed = one | {name: other[name]}
    is_same = repr(changed[name]) == repr(one[name])
    assert (_job(**changed).key("data") == _job(**one).key("data")) is is_same
    assert _job(**one).key("data") != _job(**one).key("other data")
    keywords = dict(reversed(one["keywords"].items()))
    assert _job(**one | {"keywords": keywords}).key("data") == _job(**one).key("data")


def _made(value, default=1):
    def scheme(module, factor=default):
        return module, factor, value

    return scheme


def test_functions_are_told_apart():
    """By their code, their default values, and what they close over; not by their place."""
    assert fingerprint(_made(1)) == fingerprint(_made(1))
    assert fingerprint(_made(1)) != fingerprint(_made(2))
    assert fingerprint(_made(1, 1)) != fingerprint(_made(1, 2))
    assert fingerprint(lambda m: m) != fingerprint(lambda m: None)  # noqa: ARG005
    assert fingerprint(functools.partial(_made, 1)) != fingerprint(functools.partial(_made, 2))
    assert fingerprint(init.normal(0.1)) != fingerprint(init.normal(0.2))
    assert fingerprint(init.normal(0.1)) == fingerprint(init.normal(std=0.1))
    assert fingerprint(init.zero_last(_made(1))) == fingerprint(init.zero_last(base=_made(1)))
    assert fingerprint(init.zero_last(_made(1))) != fingerprint(init.zero_last(_made(2)))
    ours = [init.zero_last(init.normal(generator=Generator().manual_seed(i))) for i in (0, 1)]
    assert fingerprint(ours[0]) != fingerprint(ours[1])
    assert fingerprint(initguide.Net) == "initguide.models.mlp.Net"
    assert fingerprint(np.arange(3)) != fingerprint(np.arange(4))
    assert fingerprint({"a": 1, "b": {2, 3}}) == fingerprint({"b": {3, 2}, "a": 1})


def test_classes_are_told_apart():
    """By the code of their methods, and of those of their own bases."""

    def made(number, layer=nn.Linear):
        class Model(nn.Module):
            size = number

            def __init__(self, width=number):
                super().__init__()
                self.fc = layer(width, 10)

        return Model

    assert fingerprint(made(3)) == fingerprint(made(3))
    assert fingerprint(made(3)) != fingerprint(made(4))


def test_classes_are_told_apart_by_their_attributes():
    """Of whatever kind, nested classes and functions that are no methods too."""

    def made(value):
        class Model(nn.Module):
            setting = value

        return fingerprint(Model)

    class Small:
        width = 8

    class Large:
        width = 64

    Large.__qualname__ = Small.__qualname__
    kinds = [(8,), (64,), [8], [64], {"a": 8}, {"a": 64}, {8}, {64}, Small, Large]
    kinds += [functools.partial(_made, 8), functools.partial(_made, 64), torch, math, None, 0.5]
    for one, other in itertools.pairwise(kinds):
        assert made(one) == made(one)
        assert made(one) != made(other)


class _Slots:
    __slots__ = ("width",)

    def __init__(self, width):
        self.width = width


def test_values_without_attributes_are_told_apart():
    """By what pickle keeps of them; parts of compiled classes by name."""
    things = [
        range(3), range(5), slice(1), slice(2), Fraction(1, 2), Fraction(1, 3), deque([1]),
        deque([2]), _Slots(8), _Slots(64), torch.Tensor.tanh, torch.Tensor.relu, np.tanh, np.sin,
        np.dtype("f4"), np.dtype("f8"), torch.float32, torch.float64, functools.cache(_made),
        functools.cache(_by_hand), Path("a"), Path("b"), re.compile("a"), re.compile("b"), ...,
        object(),
    ]  # fmt: skip
    for one, other in itertools.combinations(things, 2):
        assert fingerprint(one) != fingerprint(other)
    for one in things:
        assert fingerprint(copy.deepcopy(one)) == fingerprint(one)
        assert not re.search("0x[0-9a-f]{6}", fingerprint(one))


def test_descriptions_hold_no_address():
    """The same in every process, so that a store can be gone on with; neither do fingerprints."""
    mine = functools.partial(_made, torch.tanh, default=[nn.ReLU, {"a": (torch.relu,)}, _Slots(3)])
    assert written(
        mine
    ) == "_made(tanh, default=[ReLU, {'a': (relu,)}, <tests.test_sweep._Slots object>])".replace(
        "tests.test_sweep", __name__
    )
    assert written(torch.tanh) == "tanh"
    assert written((1, "a")) == "(1, 'a')"
    assert written(init.normal(0.1)) == "normal(std=0.1)"
    assert fingerprint(torch.tanh) == "torch._VariableFunctionsClass.tanh"
    assert fingerprint([1].append) != fingerprint([2].append)
    assert fingerprint(math.sin) != fingerprint(math.cos)


def test_what_cannot_be_told_apart():
    """It is refused, not taken for another."""
    with pytest.raises(TypeError, match="what a lock holds cannot be told, so runs that depend on"):
        fingerprint(functools.partial(_made, threading.Lock()))


def test_things_that_hold_themselves():
    """They have a fingerprint, too."""

    def made(number):
        class Node(abc.ABC):  # noqa: B024
            kinds: list = []  # noqa: RUF012
            size = number

            @functools.cached_property
            def half(self):
                return Node.size / 2

        Node.kinds += [Node, Node()]
        Node.kinds[1].me = Node.kinds
        return Node

    assert fingerprint(made(1)) == fingerprint(made(1))
    assert fingerprint(made(1)) != fingerprint(made(2))
    assert fingerprint(made(1).kinds[1]) != fingerprint(made(2).kinds[1])


def test_fingerprints_are_the_same_in_another_process():
    """Whatever the seed of Python's own hashes."""
    code = (
        "import functools, torch\nfrom fractions import Fraction\nfrom torch import nn\n"
        "from initguide.experiments import fingerprint\n"
        "class Mine(nn.Module):\n    def forward(self, x):\n        return x in {'a', 'b', 'c'}\n"
        "things = [Mine, lambda x: x in {'a', 'b'}, {'d', 'e'}, functools.partial(Mine, 3),"
        " range(3), Fraction(1, 2), torch.Tensor.relu, torch.tanh]\n"
        "print(fingerprint(things))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=True,
        timeout=300,
        env=os.environ | {"PYTHONPATH": HOME, "PYTHONHASHSEED": "1"},
    )
    here = {"__name__": "__main__"}
    exec(code.replace("print(fingerprint(things))", ""), here)  # noqa: S102  the same code
    assert done.stdout.strip() == fingerprint(here["things"])


# Other processes


@pytest.fixture(scope="session")
def context():
    """Processes are forked from one that has imported torch and has no threads."""
    if "forkserver" not in multiprocessing.get_all_start_methods():
        pytest.skip("needs a system with forkserver")
    found = multiprocessing.get_context("forkserver")
    # torch._dynamo is what any process imports at its first step of an optimizer.
    found.set_forkserver_preload(["initguide.experiments", "torch._dynamo", "distributed"])
    first = found.Process(target=int)  # starts the server, which Dask is to use too
    first.start()
    first.join()
    return found


@pytest.fixture
def pool(context):
    """Makes pools of two processes."""
    return functools.partial(ProcessPoolExecutor, 2, mp_context=context)


FAULTY = """
    import contextlib, os, signal, time
    from pathlib import Path
    import torch
    import initguide

    class Faulty(initguide.Net):
        '''A network that does something while it is trained.'''

        def __init__(self, fault=""):
            super().__init__(4, 4)
            self.fault = fault

        def forward(self, images):
            if torch.is_grad_enabled():
                folder = Path(__file__).parent
                (folder / f"{self.fault}-{os.getpid()}").touch()
                if self.fault == "raises":
                    raise ValueError("no good\\nat all")
                if self.fault == "dies":
                    os.kill(os.getpid(), signal.SIGKILL)
                if self.fault == "dies once" and not (folder / "died").exists():
                    (folder / "died").touch()
                    os.kill(os.getpid(), signal.SIGKILL)
                while (folder / f"hold {self.fault}").exists():
                    time.sleep(0.01)
                with contextlib.suppress(FileNotFoundError):
                    time.sleep(float((folder / "slow").read_text() or 0.02))
            return super().forward(images)
"""


@pytest.fixture
def faulty(tmp_path, monkeypatch):
    """Class of networks with faults, importable by every process, and a folder of its own."""
    folder = tmp_path / "faulty"
    folder.mkdir()
    (folder / "faulty.py").write_text(textwrap.dedent(FAULTY))
    monkeypatch.syspath_prepend(folder)
    monkeypatch.setenv("PYTHONPATH", f"{folder}{os.pathsep}{HOME}")
    monkeypatch.delitem(sys.modules, "faulty", raising=False)
    import faulty

    yield SimpleNamespace(model=faulty.Faulty, folder=folder)
    sys.modules.pop("faulty", None)


def test_the_same_numbers_everywhere(swept, pool):
    """One thread, several, a pool of threads, other processes: the same to the last bit."""
    expected = _numbers(swept(GRID, workers=1))
    assert _numbers(swept(GRID, workers=3)) == expected
    with ThreadPoolExecutor(2) as threads:
        assert _numbers(swept(GRID, executor=threads)) == expected
    assert _numbers(swept(GRID, executor=pool)) == expected
    with pool() as processes:  # one that is given is not shut down
        assert _numbers(swept(GRID, executor=processes)) == expected
        assert processes.submit(abs, -1).result() == 1


def test_known_data_are_loaded_by_their_recipe(sample, pool, monkeypatch):
    """What `fashion_mnist` made is made again by each worker, and never sent."""
    small = sample.subset(64, 40, 30).transformed(torch.square, "squared")
    monkeypatch.setattr(jobs, "_to_file", pytest.fail)
    grid = {"scheme": ["he_normal"]}
    keywords = {"model": Tiny, "epochs": 1, "seeds": 2}
    result = sweep(grid, small, executor=pool, **keywords)
    assert _numbers(result) == _numbers(sweep(grid, small, **keywords))
    assert len(pickle.dumps(small.recipe)) < 1000


def test_recipes(sample):
    """They make the same data; what was put together in another way has none."""
    import dataclasses

    assert sample.recipe() is sample
    part = sample.subset(train=50).transformed(torch.sqrt, "roots")
    again = pickle.loads(pickle.dumps(part.recipe))()  # noqa: S301  made on the line before
    assert torch.equal(again.train.images, part.train.images)
    assert again.source == part.source
    assert dataclasses.replace(sample, train=sample.valid).recipe is None


def test_data_that_changed_are_noticed(sample, pool):
    """An image that was changed in place is not in the files: the workers notice."""
    own = sample.transformed(torch.clone, "copied").subset(64, 40, 30)
    own.train.images[0] = 0
    result = sweep({"scheme": ["he_normal"]}, own, executor=pool, model=Tiny, seeds=1)
    (failure,) = result.failures
    assert "are not those that the call was given" in failure.reason


def test_schemes_can_be_sent():
    """A scheme of the package is sent as the call that makes it; a generator's is not."""
    for name in init.INITIALIZERS:
        scheme = init.from_name(f"{name}(0.5)" if name == "constant" else name)
        again = pickle.loads(pickle.dumps(scheme))  # noqa: S301  made on the line before
        assert repr(again) == repr(scheme)
    with pytest.raises((pickle.PicklingError, AttributeError, TypeError)):
        pickle.dumps(init.normal(generator=Generator()))


def _by_hand(module):
    """A scheme at the top level of a module."""


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"model": lambda: initguide.Net(4, 4)},
            r"model <lambda> cannot be sent to another process \(.*\); define it by def .*lambda",
        ),
        (
            {"scheme": lambda module: None},  # noqa: ARG005
            "the scheme <lambda> cannot be sent .* or give the name of a scheme, such as",
        ),
        ({"scheme": init.normal(generator=Generator())}, r"the scheme normal\(std=1.0\) cannot be"),
        ({"optimizer": lambda p, lr: torch.optim.SGD(p, lr / 2)}, "optimizer <lambda> cannot be"),
    ],
    ids=["model", "scheme", "generator", "optimizer"],
)
def test_what_cannot_be_sent(swept, tmp_path, changes, message):
    """Refused before anything is started or written, with what it is and what to do."""
    with pytest.raises(TypeError, match=message):
        swept({"scale": [1]}, executor=ProcessPoolExecutor, store=tmp_path / "x.sqlite", **changes)
    assert not list(tmp_path.iterdir())
    assert pickle.dumps(_by_hand)


def test_a_run_that_raises(swept, faulty, pool):
    """It is recorded with its reason, and the others go on; in threads and in processes."""
    for executor in (None, pool):
        result = swept({"fault": ["", "raises"]}, model=faulty.model, executor=executor)
        assert [run.settings for run in result.runs] == [{"fault": ""}] * 2
        assert [(f.settings, f.seed, f.reason) for f in result.failures] == [
            ({"fault": "raises"}, seed, "ValueError: no good") for seed in (0, 1)
        ]
        assert [row.failed for row in result.rows()] == [0, 2]
        assert "2 of 2 failed" in str(result)
        assert np.isnan(result.array()[1]).all()


def test_a_comparison_raises(data, faulty, pool):
    """What a run of a comparison raises comes out, also from another process, and names the run."""
    model = functools.partial(faulty.model, "raises")
    with pytest.raises(ValueError, match="no good") as caught:
        compare_init_weights(["zeros"], data, model=model, seeds=1, executor=pool)
    assert "while training 'zeros' with seed 0" in caught.value.__notes__


def test_a_worker_that_dies_once(swept, faulty, pool):
    """Reported, and everything that was in progress is done again: nothing is missing."""
    expected = swept({"fault": ["", "dies once"]}, model=Tiny_with_fault)
    with pytest.warns(
        WorkerWarning, match=r"^a worker died; \d+ runs? in progress with it (is|are)"
    ):
        result = swept({"fault": ["", "dies once"]}, model=faulty.model, executor=pool)
    assert _numbers(result) == _numbers(expected)


class _Faultless(initguide.Net):
    """Of a class of its own, like the faulty ones: trained by PyTorch's steps."""


def Tiny_with_fault(fault):  # noqa: ARG001, N802
    """Networks like the faulty ones, without the faults."""
    return _Faultless(4, 4)


@pytest.mark.parametrize("given", ["function", "pool"])
def test_a_worker_that_always_dies(swept, faulty, pool, given):
    """Given up after some times, with the reason; all others are done, whoever made the pool."""
    executor = pool if given == "function" else pool()
    with pytest.warns(WorkerWarning):
        result = swept(
            {"fault": ["", "dies"]}, model=faulty.model, executor=executor, seeds=3, retries=1
        )
    if given == "pool":
        executor.shutdown()
    assert [run.settings["fault"] for run in result.runs] == ["", "", ""]
    assert {(f.settings["fault"], f.reason) for f in result.failures} == {
        ("dies", "a worker died 2 times while it did this run")
    }
    assert [f.seed for f in result.failures] == [0, 1, 2]


def test_an_executor_that_cannot_be_replaced(swept, faulty, context):
    """A broken executor of another kind, given as an object, ends the call with what to do."""

    class Other(ProcessPoolExecutor):
        pass

    message = r"the executor broke.*give executor= a function"
    with Other(1, mp_context=context) as executor, pytest.raises(RuntimeError, match=message):
        swept({"fault": ["dies"]}, model=faulty.model, executor=executor)


def test_executors_that_all_break(swept):
    """Workers that cannot even start: not tried for ever."""

    class Broken(ThreadPoolExecutor):
        def submit(self, *_):
            from concurrent.futures import BrokenExecutor

            raise BrokenExecutor("cannot start")

    with pytest.raises(RuntimeError, match="11 executors in a row broke before any run ended"):
        swept({"scale": [1]}, executor=functools.partial(Broken, 1))


# The store


def test_only_what_is_missing(swept, trained, tmp_path):
    """The same call does nothing again; a larger grid and more seeds add what they need."""
    path = tmp_path / "runs.sqlite"
    first = swept(GRID, store=path)
    assert len(trained) == 24
    assert not first.remark
    again = swept(GRID, store=path)
    assert len(trained) == 24
    assert _numbers(again) == _numbers(first)
    assert again.remark == f"24 of the 24 runs were found in {path}."
    assert again.remark in " ".join(str(again).split()) or str(path)[:20] in str(again)
    del trained[:]
    more = swept(GRID | {"dropout": [0.0, 0.5, 0.9]}, store=str(path), seeds=3)
    assert len(trained) == 2 * 3 * 3 * 3 - 24
    assert more.remark.startswith("24 of the 54 runs were found in ")
    assert len(read(path)[1]) == 54
    loaded = Sweep.load(path)
    assert _numbers(loaded) == _numbers(more)
    assert loaded.settings == more.settings
    assert loaded.grid == more.grid


def test_a_comparison_in_a_store(data, trained, tmp_path):
    """Runs of a comparison are kept and found; the file is the comparison."""
    path = tmp_path / "runs.sqlite"
    keywords = {"model": Tiny, "epochs": 1, "batch_size": 16, "store": path}
    compare_init_weights(["zeros", "he_normal"], data, seeds=2, **keywords)
    del trained[:]
    more = compare_init_weights(["zeros", "he_normal", "ones"], data, seeds=3, **keywords)
    assert sorted(trained) == [
        *(("he_normal", 2), ("ones", 0), ("ones", 1), ("ones", 2)),
        ("zeros", 2),
    ]
    plain = compare_init_weights(
        ["zeros", "he_normal", "ones"], data, seeds=3, **keywords | {"store": None}
    )
    loaded = Comparison.load(path)
    assert _numbers(loaded) == _numbers(more) == _numbers(plain)
    assert str(loaded) == str(plain)
    assert loaded.settings == plain.settings
    with pytest.raises(
        StoreError, match=r"is the store of a comparison, not of a sweep; read it by"
    ):
        Sweep.load(path)
    with pytest.raises(StoreError, match='kind is "comparison" there and "sweep" here'):
        sweep({"scheme": ["zeros"]}, data, store=path, model=Tiny)


def test_half_a_comparison(data, tmp_path):
    """Seeds that lack a run of a scheme are left out, and that is said."""
    path = tmp_path / "runs.sqlite"
    keywords = {"model": Tiny, "epochs": 1, "store": path}
    compare_init_weights(["zeros"], data, seeds=3, **keywords)
    compare_init_weights(["ones"], data, seeds=2, **keywords)
    loaded = Comparison.load(path)
    assert loaded.labels == ("zeros", "ones")
    assert loaded.settings["seeds"] == [0, 1]
    assert loaded.remark == "Left out: 1 runs whose seeds lack a run of another scheme."
    compare_init_weights(["general_rule"], data, seeds=[7], **keywords)
    with pytest.raises(StoreError, match=r"no seed yet with a run of every scheme; it has 6 of 12"):
        Comparison.load(path)


def _changed(data):
    changed = SimpleNamespace(**vars(data))
    images = data.train.images.clone()
    images[5, 0, 3, 3] += 0.001
    changed.train = SimpleNamespace(images=images, labels=data.train.labels)
    return changed


def test_a_store_of_other_settings(swept, data, trained, tmp_path):
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
        sweep({"scale": [1, 2]}, _changed(data), store=path, model=Tiny, epochs=1, batch_size=16,
              seeds=2, scheme="he_normal")  # fmt: skip
    assert path.read_bytes() == before
    assert not trained


def test_a_scheme_that_changed(data, tmp_path):
    """A label stands for another scheme, or a function of one name for another code: refused."""
    path = tmp_path / "runs.sqlite"
    keywords = {"model": Tiny, "epochs": 1, "store": path, "seeds": 1}
    compare_init_weights({"mine": "zeros", "own": _made(1)}, data, **keywords)
    with pytest.raises(StoreError, match=r"the scheme 'mine' is zeros\(\) there and ones\(\) here"):
        compare_init_weights({"mine": "ones"}, data, **keywords)
    with pytest.raises(StoreError, match=r"the code of the scheme 'own' is .*scheme#\w+ there and"):
        compare_init_weights({"own": _made(2)}, data, **keywords)
    assert compare_init_weights({"own": _made(1)}, data, **keywords).remark.startswith("1 of the 1")


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


def test_a_store_that_cannot_be_written(swept, tmp_path, monkeypatch):
    """The disk fills up half-way: one sentence, and what was stored is there for the next call."""
    path = tmp_path / "runs.sqlite"
    real, count = jobs.Store.add, []

    def full(self, rows):
        count.append(1)
        if len(count) > 2:
            raise OSError(28, f"{path}: the disk is full; what was stored before is intact")
        real(self, rows)

    monkeypatch.setattr(jobs.Store, "add", full)
    monkeypatch.setattr(jobs, "plan", lambda *_: Plan("alone", 1))
    with pytest.raises(OSError, match="the disk is full; what was stored before is intact"):
        swept({"scale": [1, 2, 3, 4]}, store=path, workers=1)
    monkeypatch.undo()
    stored = len(read(path)[1])
    assert stored >= 2
    result = swept({"scale": [1, 2, 3, 4]}, store=path)
    assert result.remark.startswith(f"{stored} of the 8 runs were found")
    assert len(result.runs) == 8


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


# Killed, interrupted, side by side

SWEEPING = """
import abc
import functools
import itertools
import multiprocessing
import signal
import types
from concurrent.futures import ProcessPoolExecutor
import torch
from initguide import sweep
from faulty import Faulty

def noise():
    data = types.SimpleNamespace(source="noise")
    for seed, part in enumerate(("train", "valid", "test")):
        generator = torch.Generator().manual_seed(seed)
        images = torch.rand(64, 1, 28, 28, generator=generator)
        labels = torch.randint(0, 10, (64,), generator=generator)
        setattr(data, part, types.SimpleNamespace(images=images, labels=labels))
    return data

def main(store=None, executor=None):
    grid = {"fault": ["", "other"]}
    keywords = {"epochs": 2, "batch_size": 4, "seeds": 10, "executor": executor}
    return sweep(grid, noise(), model=Faulty, store=store, **keywords)

def work(store, told, method=None):
    # Whoever runs the tests behind a shell's "&" has interrupts switched off, and so have children.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    if method is not None:
        context = multiprocessing.get_context(method)
        main(store, executor=functools.partial(ProcessPoolExecutor, 2, mp_context=context))
    try:
        told.write_text(main(store).remark or "all done here")
    except KeyboardInterrupt:
        told.write_text("stopped")
"""


@pytest.fixture
def sweeping(faulty, context, monkeypatch):
    """Start processes that do the same sweep of twenty runs; and the sweep itself."""
    (faulty.folder / "sweeping.py").write_text(SWEEPING)
    monkeypatch.delitem(sys.modules, "sweeping", raising=False)
    import sweeping

    processes = []

    def start(path, *more):
        told = faulty.folder / f"told {len(processes)}"
        process = context.Process(target=sweeping.work, args=(path, told, *more))
        processes.append(process)
        process.start()
        return process, told

    yield SimpleNamespace(start=start, main=sweeping.main, folder=faulty.folder)
    sys.modules.pop("sweeping", None)
    for process in processes:
        process.kill()
        process.join()


def _stored(path):
    with_runs = path.exists() and path.stat().st_size
    try:
        return len(read(path)[1]) if with_runs else 0
    except StoreError:  # it is just being made
        return 0


def _until(condition, process=None):
    """Wait, on a busy machine for long, until something is the case."""
    end = time.monotonic() + 240
    while not condition():
        assert time.monotonic() < end
        assert process is None or process.is_alive()
        time.sleep(0.02)


def test_killed_and_resumed(sweeping, tmp_path):
    """SIGKILL: what had ended is there, the next call does the rest, and the result is the same."""
    path = tmp_path / "runs.sqlite"
    (sweeping.folder / "slow").touch()
    process, told = sweeping.start(path)
    _until(lambda: _stored(path) >= 3, process)
    process.kill()
    process.join()
    (sweeping.folder / "slow").unlink()
    assert not told.exists()
    stored = _stored(path)
    assert 3 <= stored < 20
    result = sweeping.main(path)
    assert result.remark == f"{stored} of the 20 runs were found in {path}."
    assert _numbers(result) == _numbers(sweeping.main())
    assert _stored(path) == 20


def _is_alive(process):
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    return True


def test_killed_with_a_pool(sweeping, tmp_path):
    """When the process that sweeps is killed, its workers end, too."""
    path = tmp_path / "runs.sqlite"
    (sweeping.folder / "slow").touch()
    process, _ = sweeping.start(path, "fork")
    _until(lambda: _stored(path) >= 3, process)
    marks = [*sweeping.folder.glob("-*"), *sweeping.folder.glob("other-*")]
    workers = {int(mark.name.rpartition("-")[2]) for mark in marks}
    assert len(workers) == 2
    assert all(map(_is_alive, workers))
    process.kill()
    process.join()
    _until(lambda: not any(map(_is_alive, workers)))
    assert _stored(path) >= 3


def test_interrupted(sweeping, tmp_path):
    """Ctrl-C: it ends soon, runs that had ended are stored, those in progress are not."""
    path = tmp_path / "runs.sqlite"
    (sweeping.folder / "slow").write_text("0.1")  # half a minute if nobody interrupts
    process, told = sweeping.start(path)
    _until(lambda: _stored(path) >= 2, process)
    start = time.monotonic()
    os.kill(process.pid, signal.SIGINT)
    _until(told.exists)
    assert time.monotonic() - start < 20  # 2 s on a machine that has nothing else to do
    process.join(240)
    assert told.read_text() == "stopped"
    lengths = {len(row["train_losses"]) for row in read(path)[1]}
    assert lengths == {4 * 2 * 16}  # whole runs only
    assert 2 <= _stored(path) < 20


def test_two_processes_share_a_sweep(sweeping, tmp_path):
    """Each does some of the runs, both end with all of them, none is done twice."""
    path = tmp_path / "runs.sqlite"
    (sweeping.folder / "slow").touch()
    started = [sweeping.start(path) for _ in range(2)]
    for process, told in started:
        process.join(480)
        assert re.fullmatch(r"all done here|\d+ of the 20 runs were found in .*", told.read_text())
    assert len(read(path)[1]) == 20
    (sweeping.folder / "slow").unlink()
    assert _numbers(sweeping.main(path)) == _numbers(sweeping.main())


def test_runs_that_another_process_does(swept, tmp_path):
    """Claimed by a process that lives: waited for, taken when they are there, done if it dies."""
    path = tmp_path / "runs.sqlite"
    full = swept({"scale": [1, 2, 3]}, store=path)
    rows = read(path)[1]
    path.unlink()
    swept({"scale": [1]}, store=path)
    other = jobs.Store(path, *_about_of(path))
    assert len(other.claim([row["key"] for row in rows])) == 4
    with ThreadPoolExecutor(1) as executor:
        ours = executor.submit(swept, {"scale": [1, 2, 3]}, store=path)
        time.sleep(0.1)
        other.add(rows[2:4])
        other.release()
        assert _numbers(ours.result()) == _numbers(full)


def _about_of(path):
    about, _ = read(path)
    return about, {name: lambda old, new: old or new for name in about}


@pytest.mark.slow
@pytest.mark.skipif(os.name != "posix", reason="SIGKILL is POSIX's")
@pytest.mark.usefixtures("context")
def test_a_dask_cluster(swept, faulty, tmp_path):
    """A cluster of separate processes, one of which is killed at work: all runs are done."""
    distributed = pytest.importorskip("distributed")
    import dask

    expected = swept({"fault": ["", "once"]}, model=Tiny_with_fault, seeds=3)
    hold = faulty.folder / "hold once"
    hold.touch()
    path = tmp_path / "runs.sqlite"
    with (
        dask.config.set({"distributed.worker.multiprocessing-method": "forkserver"}),
        distributed.LocalCluster(
            n_workers=2, threads_per_worker=1, processes=True, dashboard_address=":0",
            silence_logs="CRITICAL",
        ) as cluster,
        distributed.Client(cluster) as client,
        ThreadPoolExecutor(1) as thread,
    ):  # fmt: skip
        assert jobs._Pool(client.get_executor(), 1).workers == 2  # two processes, one core each
        keywords = {"model": faulty.model, "executor": client.get_executor(), "store": path}
        ours = thread.submit(swept, {"fault": ["", "once"]}, seeds=3, **keywords)
        _until(lambda: list(faulty.folder.glob("once-*")) or ours.done())
        victim = int(next(faulty.folder.glob("once-*")).name.removeprefix("once-"))
        os.kill(victim, signal.SIGKILL)
        hold.unlink()
        result = ours.result()
        assert _numbers(result) == _numbers(expected)
        assert len(read(path)[1]) == 6
        made = swept({"fault": [""]}, seeds=3, model=faulty.model, executor=client.get_executor)
        assert _numbers(made) == _numbers(result)[:3]
    assert not result.failures


class KilledWorker(Exception):  # noqa: N818  Dask's name
    """As Dask raises it, for the run only: its executor goes on."""


def test_dask_gives_a_run_up(swept):
    """What Dask calls a killed worker is done again, up to the limit, then recorded."""
    calls = []

    class Dask(ThreadPoolExecutor):
        def submit(self, do, jobs, *rest):
            def maybe():
                if fatal := [job.seed for job in jobs if job.settings["scale"] == 2]:
                    calls.extend(fatal)
                    raise KilledWorker
                return do(jobs, *rest)

            return super().submit(maybe)

        def shutdown(self, wait=True):  # without cancel_futures, as Dask's
            super().shutdown(wait)

    with pytest.warns(WorkerWarning, match="a worker died"):
        result = swept({"scale": [1, 2]}, executor=functools.partial(Dask, 2))
    assert len(result.runs) == 2
    assert {f.reason for f in result.failures} == {"a worker died 3 times while it did this run"}
    assert sorted(calls) == [0, 0, 0, 1, 1, 1]


def test_comparisons_of_this_module():
    """Names that others rely on."""
    assert initguide.sweep is comparison.sweep
    assert initguide.Sweep is Sweep

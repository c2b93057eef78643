"""The same numbers wherever runs are done, and what is done when a worker dies."""

import functools
import pickle
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor

import numpy as np
import pytest
import torch
from torch import Generator

import initguide
from initguide import initializers as init
from initguide.experiments import WorkerWarning, compare_init_weights, sweep
from initguide.experiments.jobs import shipping

Tiny = functools.partial(initguide.Net, 4, 4)  # a tiny network that any process can make
GRID = {"scheme": ["he_normal", "zeros"], "learning_rate": [1e-3, 0.1, 10.0], "dropout": [0.0, 0.5]}


def test_the_same_numbers_everywhere(swept, pool, measured):
    """One thread, several, a pool of threads, other processes: the same to the last bit."""
    expected = measured(swept(GRID, workers=1))
    assert measured(swept(GRID, workers=3)) == expected
    with ThreadPoolExecutor(2) as threads:
        assert measured(swept(GRID, executor=threads)) == expected
    assert measured(swept(GRID, executor=pool)) == expected
    with pool() as processes:  # one that is given is not shut down
        assert measured(swept(GRID, executor=processes)) == expected
        assert processes.submit(abs, -1).result() == 1


def test_known_data_are_loaded_by_their_recipe(sample, pool, monkeypatch, measured):
    """What `fashion_mnist` made is made again by each worker, and never sent."""
    small = sample.subset(64, 40, 30).transformed(torch.square, "squared")
    monkeypatch.setattr(shipping, "_to_file", pytest.fail)
    grid = {"scheme": ["he_normal"]}
    keywords = {"model": Tiny, "epochs": 1, "seeds": 2}
    result = sweep(grid, small, executor=pool, **keywords)
    assert measured(result) == measured(sweep(grid, small, **keywords))
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


@pytest.mark.fault(
    "workers",
    tried="an image is changed in place, which a worker loads from the files",
    happens="its runs fail with a sentence: the data are not those of the call",
)
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


@pytest.mark.fault(
    "workers",
    tried="a lambda or a generator is to be sent to another process",
    happens="refused before anything is started or written, with the remedy",
)
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


@pytest.mark.fault(
    "workers",
    tried="a run raises an error, in a thread and in a process",
    happens="it is recorded with its reason, and the others go on",
)
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


@pytest.mark.fault(
    "workers",
    tried="a run of a comparison raises an error in another process",
    happens="it comes out as it is, with the name of the run",
)
def test_a_comparison_raises(made_up, faulty, pool):
    """What a run of a comparison raises comes out, also from another process, and names the run."""
    model = functools.partial(faulty.model, "raises")
    with pytest.raises(ValueError, match="no good") as caught:
        compare_init_weights(["zeros"], made_up, model=model, seeds=1, executor=pool)
    assert "while training 'zeros' with seed 0" in caught.value.__notes__


@pytest.mark.fault(
    "workers",
    tried="a worker is killed in the middle of a run (SIGKILL)",
    happens="what was in progress is done again, with a warning",
)
def test_a_worker_that_dies_once(swept, faulty, pool, measured):
    """Reported, and everything that was in progress is done again: nothing is missing."""
    expected = swept({"fault": ["", "dies once"]}, model=Tiny_with_fault)
    with pytest.warns(
        WorkerWarning, match=r"^a worker died; \d+ runs? in progress with it (is|are)"
    ):
        result = swept({"fault": ["", "dies once"]}, model=faulty.model, executor=pool)
    assert measured(result) == measured(expected)


class _Faultless(initguide.Net):
    """Of a class of its own, like the faulty ones: trained by PyTorch's steps."""


def Tiny_with_fault(fault):  # noqa: ARG001, N802
    """Networks like the faulty ones, without the faults."""
    return _Faultless(4, 4)


@pytest.mark.fault(
    "workers",
    tried="a run kills every worker that does it",
    happens="it is tried alone, given up with a reason, and all others are done",
)
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


@pytest.mark.fault(
    "workers",
    tried="an executor breaks, and it is not known how to make another",
    happens="the call ends with what to give in place of it",
)
def test_an_executor_that_cannot_be_replaced(swept, faulty, context):
    """A broken executor of another kind, given as an object, ends the call with what to do."""

    class Other(ProcessPoolExecutor):
        pass

    message = r"the executor broke.*give executor= a function"
    with Other(1, mp_context=context) as executor, pytest.raises(RuntimeError, match=message):
        swept({"fault": ["dies"]}, model=faulty.model, executor=executor)


@pytest.mark.fault(
    "workers",
    tried="workers cannot even start",
    happens="after eleven executors the call ends with the likely reason",
)
def test_executors_that_all_break(swept):
    """Workers that cannot even start: not tried for ever."""

    class Broken(ThreadPoolExecutor):
        def submit(self, *_):
            from concurrent.futures import BrokenExecutor

            raise BrokenExecutor("cannot start")

    with pytest.raises(RuntimeError, match="11 executors in a row broke before any run ended"):
        swept({"scale": [1]}, executor=functools.partial(Broken, 1))

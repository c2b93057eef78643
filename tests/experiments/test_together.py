"""Jobs that are trained together: one that fails takes no other with it."""

from functools import partial
from threading import Event

import numpy as np
import pytest

from initguide.experiments import Job, run_jobs
from initguide.experiments.jobs import batches, shipping, worker
from initguide.experiments.jobs.worker import Terms, run_together
from initguide.models import Net
from initguide.training import Plan
from initguide.training.engine import library

SMALL = partial(Net, 8, 8)


@pytest.fixture(autouse=True)
def _without_a_compiler(monkeypatch):
    """Compiled steps train one after the other; others train such small networks in a stack."""
    monkeypatch.setattr(library, "works", lambda: False)
    monkeypatch.setenv("INITGUIDE_CC", "off")


@pytest.fixture
def groups(monkeypatch):
    """How many networks are handed to training at once, in the order of beginning."""
    seen, real = [], worker.train_many

    def watched(models, *args, **keywords):
        seen.append(len(models))
        return real(models, *args, **keywords)

    monkeypatch.setattr(worker, "train_many", watched)
    return seen


def _assert_close(runs, expected):
    """The same to rounding; an image or so may fall on the other side."""
    for run, other in zip(runs, expected, strict=True):
        assert (run.label, run.seed) == (other.label, other.seed)
        np.testing.assert_allclose(run.train_losses, other.train_losses, rtol=1e-3, atol=1e-4)
        np.testing.assert_allclose(run.valid_loss, other.valid_loss, rtol=1e-3)
        assert abs(run.valid_accuracy - other.valid_accuracy) <= 0.051
        assert abs(run.test_accuracy - other.test_accuracy) <= 0.051


def _job(seed, scheme=lambda module: None):  # noqa: ARG005
    return Job(
        label=f"run {seed}", seed=seed, scheme=scheme, model=SMALL,
        epochs=1, batch_size=32, learning_rate=0.01, optimizer="adam",
    )  # fmt: skip


def _raising(module):
    raise RuntimeError(f"no weights for {type(module).__name__}")


@pytest.fixture
def expected(data):
    """What comes of five jobs that are done one by one."""
    return [
        run_together([_job(k)], shipping.Here(data), Event(), Terms(strict=True))[0]
        for k in range(5)
    ]


def test_jobs_whose_scheme_raises(data, groups, expected):
    """Only that run fails, and the others are trained together."""
    groups.clear()
    given = [_job(k) if k != 2 else _job(k, _raising) for k in range(5)]
    outcome = run_jobs(given, data, workers=1, progress=False)
    assert groups == [4]
    assert outcome.results[2].reason == "RuntimeError: no weights for Linear"
    assert outcome.results[2].label == "run 2"
    others = [0, 1, 3, 4]
    _assert_close([outcome.results[k] for k in others], [expected[k] for k in others])


@pytest.fixture
def fail_third(monkeypatch):
    """Function that lets training fail as soon as the third run is among those to be done."""
    real = worker.train_many

    def trained(models, *args, labels, **keywords):
        if "run 2" in labels:
            raise RuntimeError("planted")
        return real(models, *args, labels=labels, **keywords)

    return lambda: monkeypatch.setattr(worker, "train_many", trained)


def test_jobs_whose_training_raises(data, expected, fail_third):
    """Only that run fails: the others are done again, from the weights that they began with."""
    fail_third()
    outcome = run_jobs([_job(k) for k in range(5)], data, workers=1, progress=False)
    assert outcome.results[2].reason == "RuntimeError: planted"
    others = [0, 1, 3, 4]
    _assert_close([outcome.results[k] for k in others], [expected[k] for k in others])


@pytest.mark.parametrize("raises", ["scheme", "training"])
def test_strict_names_the_run(data, monkeypatch, fail_third, raises):
    """The error comes through, with a note that says which run it was; no other is named."""
    given = [_job(k) for k in range(5)]
    if raises == "scheme":
        given[2] = _job(2, _raising)
    else:
        fail_third()
    monkeypatch.setattr(batches, "plan", lambda *_: Plan("stacked", 5))
    with pytest.raises(RuntimeError, match=r"planted|no weights") as caught:
        run_jobs(given, data, workers=1, progress=False, strict=True)
    assert caught.value.__notes__ == ["while training 'run 2' with seed 2"]

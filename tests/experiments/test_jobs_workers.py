"""Workers that must not do runs, and errors that do not travel."""

import functools
import pickle
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from torch import nn

import initguide
from initguide import initializers
from initguide.experiments import Job, WorkerError
from initguide.experiments.jobs import errors, shipping, software, worker


@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        pytest.param(
            "odd",
            "Odd: an odd error",
            marks=pytest.mark.fault(
                "workers",
                tried="a run raises an exception that cannot be pickled",
                happens="its name and message arrive, and the other runs go on",
            ),
        ),
        pytest.param(
            "one-way",
            "OneWay: one way only",
            marks=pytest.mark.fault(
                "workers",
                tried="a run raises an exception that cannot be unpickled",
                happens="its name and message arrive, and the pool does not break",
            ),
        ),
        pytest.param(
            "huge",
            "RuntimeError",
            marks=pytest.mark.fault(
                "workers",
                tried="a run raises an exception that holds 10 MB",
                happens="what it says is sent, cut to 1 MB, and nothing else of it",
            ),
        ),
        pytest.param(
            "exits",
            "SystemExit: 7",
            marks=pytest.mark.fault(
                "workers",
                tried="a model calls sys.exit() in a worker",
                happens="the run is recorded as failed, and the call goes on",
            ),
        ),
    ],
)
def test_errors_that_cannot_be_sent(swept, faulty, pool, fault, reason):
    """Each is recorded in words as that of its run."""
    result = swept({"fault": ["", fault]}, model=faulty.model, seeds=1, executor=pool)
    assert [run.settings for run in result.runs] == [{"fault": ""}]
    (failure,) = result.failures
    assert failure.settings == {"fault": fault}
    assert failure.reason.startswith(reason if fault != "huge" else "ValueError: ('huge', b'")
    assert len(failure.reason) < 2 * errors.LINE


def test_what_is_sent_of_an_error():
    """The error itself with its notes where it can be, and where it was raised."""
    try:
        raise KeyError("a")  # noqa: TRY301
    except KeyError as error:
        error.add_note("while trying")
        sent = pickle.loads(pickle.dumps(errors.told(error)))  # noqa: S301  made here
    again = errors.heard(sent)
    assert isinstance(again, KeyError)
    assert again.__notes__ == ["while trying"]
    assert "test_jobs_workers.py" in str(again.__cause__)
    there = errors.heard(sent._replace(pickled=b"of a class that only the worker knows"))
    assert errors.in_a_line(there) == "KeyError: 'a'"
    assert there.__notes__ == ["while trying"]


def _silent(lock):
    class SilentError(Exception):
        def __str__(self):
            raise ValueError

    return SilentError(lock)


def test_an_error_that_cannot_speak():
    """Not even its message is to be had: its name is."""
    again = errors.heard(errors.told(_silent(threading.Lock())))
    assert errors.in_a_line(again) == "SilentError: (it could not say what went wrong)"


class _Elsewhere(ThreadPoolExecutor):
    """Like workers of another kind: it is not known that they share memory."""

    def __init__(self, before):
        super().__init__(1)
        self.before = before

    def submit(self, do, *rest):
        return super().submit(lambda: (self.before(), do(*rest))[1])


@pytest.fixture
def elsewhere(monkeypatch):
    """Makes executors whose threads are taken for other processes, and which do something first."""
    monkeypatch.setattr("initguide.experiments.jobs.running.shares_memory", lambda _: False)
    return lambda before: lambda: _Elsewhere(before)


@pytest.mark.parametrize(
    ("name", "version"),
    [
        pytest.param(
            "initguide",
            "0.0.9 (SHA-256 of its files 0123456789ab…)",
            marks=pytest.mark.fault(
                "cluster",
                tried="another version of the package is installed on a worker",
                happens="the worker refuses, with its host and both versions",
            ),
        ),
        pytest.param(
            "torch",
            "2.4.0",
            marks=pytest.mark.fault(
                "cluster",
                tried="another version of torch is installed on a worker",
                happens="the same: the row would say the other version",
            ),
        ),
    ],
)
def test_another_version_on_a_worker(swept, elsewhere, tmp_path, name, version):
    """Refused with a sentence, and nothing is stored."""
    real = software.software()
    monkeypatch = pytest.MonkeyPatch()

    def change():
        monkeypatch.setattr(software, "software", lambda: {**real, name: version})

    path = tmp_path / "runs.sqlite"
    message = rf"the worker on .* has {name} .* and not .*Install the same versions on all"
    with pytest.raises(WorkerError, match=message):
        swept({"scale": [1]}, executor=elsewhere(change), store=path)
    monkeypatch.undo()
    assert not swept({"scale": [1]}, store=path).remark


@pytest.mark.fault(
    "cluster",
    tried="a worker with another version joins when some runs have ended",
    happens="its runs fail with a sentence, and what had ended stays",
)
def test_a_wrong_worker_joins_late(swept, elsewhere, monkeypatch):
    """The others are not thrown away."""
    real, begun = software.software(), []

    def change():
        begun.append(1)
        if len(begun) > 1:
            monkeypatch.setattr(software, "software", lambda: {**real, "torch": "2.4.0"})

    monkeypatch.setattr("initguide.experiments.jobs.batches.Batches.size", lambda *_: 1)
    result = swept({"scale": [1, 2]}, executor=elsewhere(change), seeds=1)
    assert len(result.runs) == 1
    (failure,) = result.failures
    assert failure.reason.startswith("WorkerError: the worker on")


@pytest.mark.fault(
    "cluster",
    tried="the user's own model is of another version on a worker, and there is a store",
    happens="the worker refuses: the number would be kept under the wrong key",
)
def test_another_version_of_the_model_on_a_worker(swept, elsewhere, faulty, monkeypatch, tmp_path):
    """The worker looks at the code that it has imported."""
    monkeypatch.setattr(worker, "is_child_of", lambda _: False)
    monkeypatch.setattr(software, "_here", {})
    old = faulty.model.forward

    def change():
        faulty.model.forward = lambda self, images: old(self, images) + 1

    message = r"the model Faulty on .* is of another version"
    with pytest.raises(WorkerError, match=message):
        swept({"fault": [""]}, model=faulty.model, executor=elsewhere(change), store=tmp_path / "a")
    faulty.model.forward = old
    software._here.clear()
    result = swept(
        {"fault": [""]}, model=faulty.model, executor=elsewhere(int), store=tmp_path / "b"
    )
    assert len(result.runs) == 2


ACTIVATION = [nn.ReLU]


def _model(activation):
    return initguide.mlp([784, 4, 10], *activation, *ACTIVATION[1:])


def test_a_worker_has_copies():
    """What was sent is a copy of a global variable there; that alone makes no other version."""
    job = Job(
        label="x", seed=0, scheme=initializers.he_normal(), epochs=1, batch_size=1, optimizer="sgd",
        learning_rate=0.1, model=functools.partial(_model, ACTIVATION),
    )  # fmt: skip
    codes = software.codes_of(job, {})
    software.check_code(pickle.loads(pickle.dumps(job)), codes)  # noqa: S301


@pytest.mark.fault(
    "cluster",
    tried="a worker lacks the module that has the model",
    happens="the call ends with a sentence that names the module",
)
def test_a_worker_without_the_module(swept, elsewhere):
    """It fails before the run begins, as unpickling does there."""

    def fail():
        raise ModuleNotFoundError("No module named 'mine'")

    message = (
        r"a worker could not begin a run \(ModuleNotFoundError: No module named 'mine'\); it needs"
    )
    with pytest.raises(WorkerError, match=message):
        swept({"scale": [1]}, executor=elsewhere(fail))


def test_the_files_of_the_package_are_in_its_version(monkeypatch, tmp_path):
    """Two checkouts of one number are told apart."""
    package = tmp_path / "initguide" / "experiments" / "jobs"
    package.mkdir(parents=True)
    monkeypatch.setattr(software, "__file__", str(package / "software.py"))
    seen = set()
    for text in ("a = 1", "a = 2", "a = 1"):
        (package / "software.py").write_text(text)
        seen.add(software.software.__wrapped__()["initguide"])
    assert len(seen) == 2


def test_data_come_with_versions(sample):
    """A worker hears the versions before it loads anything."""
    source = shipping.Elsewhere("mark", lambda: sample, {})
    with pytest.raises(WorkerError, match="has Python 3"):
        source.load()


@pytest.mark.fault(
    "cluster",
    tried="a model holds more than 50 MB, which would be sent with each run",
    happens="refused before anything is sent, with what to do",
)
def test_what_is_too_large_to_be_sent(swept, elsewhere, monkeypatch):
    """The scheduler would hold it as often as there are runs."""
    monkeypatch.setattr("initguide.experiments.jobs.running.LARGEST", 1_000_000)
    model = functools.partial(_with_table, table=bytes(2_000_000))
    with pytest.raises(ValueError, match=r"model .* holds 2 MB, which would be sent with"):
        swept({"scale": [1]}, model=model, executor=elsewhere(int))


def _with_table(table):
    return initguide.Net(4, 4 + len(table[:0]))

"""Dask: a cluster of processes, and runs that it gives up."""

import functools
import os
import signal
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace

import pytest

import initguide
from initguide.experiments import WorkerWarning
from initguide.experiments.jobs.pools import open_pool
from initguide.experiments.store import read


class _Faultless(initguide.Net):
    """Of a class of its own, like the faulty ones: trained by PyTorch's steps."""


def Tiny_with_fault(fault):  # noqa: ARG001, N802
    """Networks like the faulty ones, without the faults."""
    return _Faultless(4, 4)


@pytest.mark.fault(
    "cluster",
    tried="a worker of a Dask cluster is killed at work (SIGKILL)",
    happens="another does its run, and all results are those without the accident",
)
@pytest.mark.slow
@pytest.mark.skipif(os.name != "posix", reason="SIGKILL is POSIX's")
@pytest.mark.usefixtures("context")
def test_a_dask_cluster(swept, faulty, tmp_path, measured, until):
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
        assert open_pool(client.get_executor(), 1).workers == 2  # two processes, one core each
        keywords = {"model": faulty.model, "executor": client.get_executor(), "store": path}
        ours = thread.submit(swept, {"fault": ["", "once"]}, seeds=3, **keywords)
        until(lambda: list(faulty.folder.glob("once-*")) or ours.done())
        victim = int(next(faulty.folder.glob("once-*")).name.removeprefix("once-"))
        os.kill(victim, signal.SIGKILL)
        hold.unlink()
        result = ours.result()
        assert measured(result) == measured(expected)
        assert len(read(path)[1]) == 6
        made = swept({"fault": [""]}, seeds=3, model=faulty.model, executor=client.get_executor)
        assert measured(made) == measured(result)[:3]
    assert not result.failures


class KilledWorker(Exception):  # noqa: N818  Dask's name
    """As Dask raises it, for the run only: its executor goes on."""


@pytest.mark.fault(
    "cluster",
    tried="Dask gives a run up because its workers died (KilledWorker)",
    happens="it is tried up to the limit, then recorded, and the others are done",
)
def test_dask_gives_a_run_up(swept):
    """What Dask calls a killed worker is done again, up to the limit, then recorded."""
    calls = []

    class Dask(ThreadPoolExecutor):
        _client = SimpleNamespace(nthreads=lambda: {"a worker": 2})

        def submit(self, do, jobs, *rest, pure):
            assert not pure

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

"""A Dask cluster as an operator knows it: schedulers and workers that end, in every way."""

import os
import signal
import sys
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace

import pytest

import initguide
from initguide.experiments import WorkerError
from initguide.experiments.store import read

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(os.name != "posix", reason="signals are POSIX's"),
]

SERVING = """
import asyncio, logging, signal
from pathlib import Path

def scheduler(port, told):
    from distributed import Scheduler
    logging.disable()

    async def serve():
        async with Scheduler(host="127.0.0.1", port=port, dashboard=False) as server:
            Path(told).write_text(server.address)
            await server.finished()

    asyncio.run(serve())

def worker(address, changes):
    from distributed import Worker
    from initguide.experiments.jobs import software
    logging.disable()
    if changes:
        there = {**software.software(), **changes}
        software.software = lambda: there

    async def serve():
        async with Worker(address, nthreads=1, dashboard=False) as server:
            # As the command "dask worker" does.
            closing = lambda: asyncio.create_task(server.close())
            asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, closing)
            await server.finished()

    asyncio.run(serve())
"""


class _Cluster:
    """A scheduler and workers, each a process that may be ended as one likes."""

    def __init__(self, context, folder, until):
        self.context, self.folder, self.until = context, folder, until
        self.processes, self.address = [], None

    def start(self, target, *arguments):
        import serving

        process = self.context.Process(target=getattr(serving, target), args=arguments)
        process.start()
        self.processes.append(process)
        return process

    def scheduler(self):
        told = self.folder / "address"
        told.unlink(missing_ok=True)
        port = 0 if self.address is None else int(self.address.rpartition(":")[2])
        process = self.start("scheduler", port, str(told))
        self.until(lambda: told.exists() and told.read_text(), process)
        self.address = told.read_text()
        return process

    def worker(self, **changes):
        return self.start("worker", self.address, changes)


@pytest.fixture
def cluster(context, faulty, until, monkeypatch):
    """A scheduler, and what starts workers."""
    pytest.importorskip("distributed")
    (faulty.folder / "serving.py").write_text(SERVING)
    monkeypatch.delitem(sys.modules, "serving", raising=False)
    cluster = _Cluster(context, faulty.folder, until)
    cluster.first = cluster.scheduler()
    yield cluster
    for process in cluster.processes:
        process.kill()
        process.join()
    sys.modules.pop("serving", None)


@pytest.fixture
def client(cluster):
    """Its client, which is patient."""
    import distributed

    with distributed.Client(cluster.address, timeout=120) as client:
        yield client


class _Faultless(initguide.Net):
    """Of a class of its own, like the faulty ones: trained by PyTorch's steps."""


def Tiny_with_fault(fault):  # noqa: ARG001, N802
    """Networks like the faulty ones, without the faults."""
    return _Faultless(4, 4)


@pytest.fixture
def held(swept, faulty, client, until, tmp_path):
    """Start a sweep of six runs, of which three wait to be let go; hand on what tells of it."""
    hold = faulty.folder / "hold once"
    hold.touch()
    path = tmp_path / "runs.sqlite"
    keywords = {"model": faulty.model, "executor": client.get_executor(), "store": path}
    with ThreadPoolExecutor(1) as thread:
        future = thread.submit(swept, {"fault": ["", "once"]}, seeds=3, retries=0, **keywords)

        def at_work():
            until(lambda: list(faulty.folder.glob("once-*")) or future.done())
            return int(next(faulty.folder.glob("once-*")).name.removeprefix("once-"))

        def forget():
            for mark in faulty.folder.glob("once-*"):
                mark.unlink()

        yield SimpleNamespace(
            future=future, release=hold.unlink, at_work=at_work, forget=forget, path=path
        )
        hold.unlink(missing_ok=True)


@pytest.fixture
def expected(swept, measured):
    """What comes of these runs without a cluster and without faults."""
    return measured(swept({"fault": ["", "once"]}, model=Tiny_with_fault, seeds=3))


@pytest.mark.fault(
    "cluster",
    tried="Dask's scheduler is killed in the middle, and started again with new workers",
    happens="the client finds it, and what was lost is done again; no run is blamed",
)
def test_a_scheduler_that_is_restarted(cluster, held, expected, measured):
    """All results, although the scheduler forgot everything."""
    first = cluster.worker()
    held.at_work()
    cluster.first.kill()
    cluster.first.join()
    first.kill()
    held.forget()
    cluster.scheduler()
    cluster.worker()
    held.at_work()
    held.release()
    result = held.future.result(240)
    assert measured(result) == expected
    assert len(read(held.path)[1]) == 6


@pytest.mark.fault(
    "cluster",
    tried="a batch system ends a worker by SIGTERM, as SLURM does when the time is up",
    happens="another worker does its run, and no run is blamed",
)
def test_a_worker_that_is_told_to_end(cluster, held, expected, measured):
    """Even with retries=0: Dask hands the run to another."""
    workers = [cluster.worker(), cluster.worker()]
    victim = held.at_work()
    assert victim in {worker.pid for worker in workers}
    os.kill(victim, signal.SIGTERM)
    held.release()
    assert measured(held.future.result(240)) == expected


@pytest.mark.fault(
    "cluster",
    tried="all workers are killed at once (preemption), and others start later",
    happens="the call waits for workers, and they do what was lost",
)
def test_preemption(cluster, held, expected, measured):
    """Nothing but time is lost."""
    workers = [cluster.worker(), cluster.worker()]
    held.at_work()
    for worker in workers:
        worker.kill()
        worker.join()
    held.forget()
    assert not held.future.done()
    cluster.worker()
    held.at_work()
    held.release()
    assert measured(held.future.result(240)) == expected


@pytest.mark.fault(
    "cluster",
    tried="Dask's scheduler is killed and never comes back",
    happens="the call ends with what to do, and what had ended is stored",
)
def test_a_scheduler_that_stays_away(cluster, client, swept, faulty, until):
    """Told when the client gives up, which it does after its own patience."""
    (faulty.folder / "slow").touch()
    cluster.worker()
    path, many = (
        faulty.folder / "runs.sqlite",
        300,
    )  # so many that some are left, whatever ends first
    keywords = {"model": faulty.model, "executor": client.get_executor(), "store": path}
    with ThreadPoolExecutor(1) as thread:
        future = thread.submit(swept, {"fault": [""]}, seeds=many, **keywords)
        until(lambda: (path.exists() and read(path)[1]) or future.done())
        client._timeout = 1
        cluster.first.kill()
        with pytest.raises(RuntimeError, match=r"scheduler was lost.*call again"):
            future.result(240)
    assert 0 < len(read(path)[1]) < many


@pytest.mark.fault(
    "cluster",
    tried="a Dask worker has another version of the package",
    happens="the call ends at its first run, with the host and both versions",
)
def test_a_worker_of_another_version(cluster, client, swept):
    """Dask itself would have taken it."""
    cluster.worker(initguide="0.0.9")
    with pytest.raises(WorkerError, match=r"has initguide 0\.0\.9 and not"):
        swept({"scale": [1]}, executor=client.get_executor())


@pytest.mark.fault(
    "cluster",
    tried="a run hangs on a Dask worker, and its limit passes",
    happens="it is recorded as hanging, the worker ends itself, another does the rest",
)
def test_a_run_that_hangs_on_a_cluster(cluster, client, swept, faulty):
    """The others are done."""
    cluster.worker()
    cluster.worker()
    result = swept(
        {"fault": ["hangs", ""]},
        model=faulty.model,
        seeds=1,
        time_limit=2,
        executor=client.get_executor(),
    )
    assert [run.settings for run in result.runs] == [{"fault": ""}]
    assert [f.reason.partition(":")[0] for f in result.failures] == ["HungError"]


@pytest.mark.fault(
    "cluster",
    tried="errors of 10 MB each come from a Dask worker",
    happens="their words arrive; the scheduler never held them",
)
def test_errors_from_a_cluster(cluster, client, swept, faulty):
    """Of all kinds."""
    cluster.worker()
    faults = ["huge", "odd", "one-way", "exits"]
    result = swept({"fault": faults}, model=faulty.model, seeds=1, executor=client.get_executor())
    kinds = [f.reason.partition(":")[0] for f in result.failures]
    assert kinds == ["ValueError", "Odd", "OneWay", "SystemExit"]


@pytest.mark.fault(
    "cluster",
    tried="a run kills its Dask workers, one after the other",
    happens="Dask gives it up, it is recorded as failed, and the others are done",
)
def test_a_run_that_kills_its_workers(cluster, client, swept, faulty):
    """With retries=0: Dask has tried it on several."""
    for _ in range(6):
        cluster.worker()
    client.wait_for_workers(6)
    result = swept(
        {"fault": ["", "dies"]},
        model=faulty.model,
        seeds=1,
        retries=0,
        executor=client.get_executor(),
    )
    assert [run.settings for run in result.runs] == [{"fault": ""}]
    assert [f.reason for f in result.failures] == ["a worker died once while it did this run"]

"""Ten thousand runs over two worker processes: time, memory, the table and the map.

    python benchmarks/ten_thousand.py [--repeats 1]

A hundred scales by a hundred learning rates, each a run of a few steps, so that nearly all of the
time is what it takes to hand runs out and take them back. They are done by two processes of a pool,
and by two workers of Dask whose scheduler is a process of its own; first a thousand of them, then
all, so that it shows whether memory grows with their number. Then the table and the map are drawn.
Needs ``pip install "initguide[dask]"``.
"""

import contextlib
import functools
import importlib.util
import multiprocessing
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Executor, ProcessPoolExecutor
from pathlib import Path
from typing import NamedTuple

import numpy as np
import timing

import initguide
from initguide import Table

SIDE = 100  # scales, and learning rates
WORKERS = 2


class Cluster(NamedTuple):
    """An executor, and the numbers of the processes behind it."""

    executor: Executor
    workers: list[int]
    scheduler: int | None = None


@contextlib.contextmanager
def processes() -> Iterator[Cluster]:
    """Two processes of a pool; there is no scheduler."""
    with ProcessPoolExecutor(WORKERS, mp_context=multiprocessing.get_context("spawn")) as pool:
        list(pool.map(abs, range(100)))  # starts them
        yield Cluster(pool, [child.pid or 0 for child in multiprocessing.active_children()])


@contextlib.contextmanager
def dask() -> Iterator[Cluster]:
    """Two workers of a cluster, started as on a command line."""
    from dask.distributed import Client  # noqa: PLC0415  may be missing

    with contextlib.ExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory())
        file = ["--scheduler-file", str(Path(folder) / "scheduler.json")]
        quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        program = [sys.executable, "-m", "dask"]
        scheduler = subprocess.Popen(  # noqa: S603  our own words
            [*program, "scheduler", "--port", "0", "--no-dashboard", *file], **quiet
        )
        stack.callback(scheduler.terminate)
        one = [*program, "worker", "--nthreads", "1", "--no-dashboard", "--no-nanny", *file]
        workers = [subprocess.Popen(one, **quiet) for _ in range(WORKERS)]  # noqa: S603  the same
        for worker in workers:
            stack.callback(worker.terminate)
        client = stack.enter_context(Client(scheduler_file=file[1], timeout=60))
        client.wait_for_workers(WORKERS)
        yield Cluster(client.get_executor(), [worker.pid for worker in workers], scheduler.pid)


WAYS: dict[str, Callable[[], contextlib.AbstractContextManager[Cluster]]] = {
    "processes": processes,
    "Dask": dask,
}


def processor_seconds(process: int) -> float:
    """Seconds that a process has kept processors busy, of itself and the system (Linux)."""
    status = Path(f"/proc/{process}/stat").read_text(encoding="utf-8")
    user, system = status.rpartition(")")[2].split()[11:13]
    return (int(user) + int(system)) / os.sysconf("SC_CLK_TCK")


def hand_out(way: str, side: int) -> timing.Numbers:
    """Seconds for all runs; megabytes of scheduler and client after a tenth of them and after all.

    The tenth comes first, with other learning rates, and is not counted in the seconds.
    """
    data = initguide.fashion_mnist().subset(200, 100, 100)
    scales = np.geomspace(0.01, 10, side).tolist()
    rates = np.geomspace(1e-4, 1, side).tolist()
    numbers: timing.Numbers = {}
    with WAYS[way]() as cluster:
        everybody = [os.getpid(), *cluster.workers]
        everybody += [] if cluster.scheduler is None else [cluster.scheduler]

        def work(rates: list[float], when: str) -> initguide.Sweep:
            grid = {"scale": scales, "learning_rate": rates}
            began = time.perf_counter()
            used = sum(map(processor_seconds, everybody))
            result = initguide.sweep(
                grid, data, model=initguide.Net, seeds=1, epochs=1, executor=cluster.executor
            )
            numbers[f"seconds {when}"] = time.perf_counter() - began
            numbers[f"processor {when}"] = sum(map(processor_seconds, everybody)) - used
            numbers[f"client {when}"] = timing.peak_memory()
            if cluster.scheduler is not None:
                numbers[f"scheduler {when}"] = timing.peak_memory(cluster.scheduler)
            return result

        work([1.5 * rate for rate in rates[:: max(1, side // 10)]], "first")
        result = work(rates, "all")
    assert len(result.runs) == side * side
    # The same runs in this thread: what is more elsewhere is what it takes to hand them out.
    grid = {"scale": scales[:2], "learning_rate": rates}
    for _ in range(2):  # the first time it warms up
        used, began = time.process_time(), time.perf_counter()
        initguide.sweep(grid, data, model=initguide.Net, seeds=1, epochs=1, workers=1)
        here = 1000 * (time.process_time() - used) / (2 * side)
    numbers["here"] = here
    numbers["overhead"] = 1000 * numbers["processor all"] / len(result.runs) - here
    began = time.perf_counter()
    text = str(result)
    numbers["table"] = time.perf_counter() - began
    began = time.perf_counter()
    page = result._repr_html_()
    numbers["page"] = time.perf_counter() - began
    assert text
    assert page
    import matplotlib as mpl  # noqa: PLC0415

    mpl.use("agg")
    from initguide import plots  # noqa: PLC0415

    began = time.perf_counter()
    ax = plots.plot_map(result)
    with tempfile.TemporaryDirectory() as folder:
        ax.figure.savefig(Path(folder) / "map.png")
    numbers["map"] = time.perf_counter() - began
    return numbers


def tables(results: timing.Results) -> Mapping[str, Table]:
    """Time of a run, and memory after some and after all; and how long the drawing took."""
    side, ways = results["settings"]["side"], list(results["measured"])
    get = functools.partial(timing.column, results)

    def middle(way: str, what: str) -> float | None:
        return timing.median(get(way, what))

    common = timing.note(
        results,
        f"{side * side:,} runs of two steps of the lesson's network, by two worker processes.",
    )
    first = f"{side * len(range(0, side, max(1, side // 10))):,}"
    memory = {
        f"{who}, MB, after {when}": [middle(way, f"{who} {name}") for way in ways]
        for who in ("scheduler", "client")
        for name, when in (("first", first), ("all", f"{side**2:,} more"))
    }
    return {
        "runs": Table(
            {
                "way": ways,
                "ms a run": [
                    timing.summary([1000 * x / side**2 for x in get(way, "seconds all")])
                    for way in ways
                ],
                "processor, ms a run": [
                    timing.summary([1000 * x / side**2 for x in get(way, "processor all")])
                    for way in ways
                ],
                "more than in a thread, ms": [
                    timing.summary(get(way, "overhead"), 2) for way in ways
                ],
                **memory,
            },
            caption="Handing out ten thousand runs",
            note=f"{common} Processor: the time that client, workers and scheduler keep processors "
            "busy, which another program on the machine changes little; beside it, how much more "
            "that is than for the same runs in a thread. Memory is the peak of each process.",
            formats=dict.fromkeys(memory, ",.0f"),
        ),
        "drawing": Table(
            {
                "what": ["table as text", "table as HTML", "map, with the file"],
                "seconds": [
                    timing.summary([x for way in ways for x in get(way, name)], 2)
                    for name in ("table", "page", "map")
                ],
            },
            caption="Drawing ten thousand points",
            note=common,
        ),
    }


def main() -> None:
    """Run the ways in turn, each in a fresh process, and print the tables."""
    options = timing.arguments(__doc__, repeats=3).parse_args()
    side = 4 if options.quick else SIDE
    ways = list(WAYS)
    if importlib.util.find_spec("distributed") is None:
        ways.remove("Dask")
        if not options.part:
            print('Dask is not installed, so it is left out: pip install "initguide[dask]"')
    timing.run(
        __file__,
        options,
        {way: functools.partial(hand_out, way, side) for way in ways},
        tables,
        settings={"side": side},
        packages=("distributed",),
    )


if __name__ == "__main__":
    main()

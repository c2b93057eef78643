"""What Dask costs a run, against threads and a pool of processes on the same machine.

    python benchmarks/dask_overhead.py [--repeats 3]

The cluster has one worker process on each core, as the pool has, once as Dask sets it up and once
with workers that keep the memory they have freed. Each way first does a few runs that do not count,
in which it starts its processes and loads the images; how long that takes is a column of its own.
Long runs are done without a compiler, too. Needs ``pip install "initguide[dask]"``.
"""

import contextlib
import functools
import importlib.util
import logging
import multiprocessing
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Executor, ProcessPoolExecutor

import timing

import initguide
from initguide import Table
from initguide.training import cores

# Length -> images that a run trains on for an epoch, and the number of runs
LENGTHS = {"short": (500, 200), "long": (40_000, 10), "long without a compiler": (40_000, 10)}
WITHOUT = {"INITGUIDE_CC": "off"}


@contextlib.contextmanager
def threads() -> Iterator[None]:
    """What the package does by itself."""
    yield None


@contextlib.contextmanager
def processes() -> Iterator[Executor]:
    """A process on each core."""
    with ProcessPoolExecutor(cores(), mp_context=multiprocessing.get_context("spawn")) as pool:
        yield pool


# Dask has each worker's allocator give memory back to the system at once, only to ask for it anew.
KEEP_MEMORY = {"distributed.nanny.pre-spawn-environ.MALLOC_TRIM_THRESHOLD_": None}


@contextlib.contextmanager
def dask(settings: Mapping[str, object]) -> Iterator[Executor]:
    """A cluster on this machine, with a worker process on each core."""
    import dask.config  # noqa: PLC0415  may be missing
    from dask.distributed import Client, LocalCluster  # noqa: PLC0415

    with (
        dask.config.set(settings),
        LocalCluster(
            n_workers=cores(),
            threads_per_worker=1,
            dashboard_address=None,
            silence_logs=logging.ERROR,
        ) as cluster,
        Client(cluster) as client,
    ):
        yield client.get_executor()


WAYS: dict[str, Callable[[], contextlib.AbstractContextManager[Executor | None]]] = {
    "threads": threads,
    "processes": processes,
    "Dask": functools.partial(dask, {}),
    "Dask, memory kept": functools.partial(dask, KEEP_MEMORY),
}


def overhead(way: str, train: int, runs: int) -> timing.Numbers:
    """Seconds to get ready, and then for so many runs."""
    data = initguide.fashion_mnist().subset(train, 200, 200)
    began = time.perf_counter()
    with WAYS[way]() as executor:

        def work(count: int) -> float:
            result = initguide.compare_init_weights(
                ["default"], data, epochs=1, seeds=count, executor=executor
            )
            assert len(result.runs) == count
            return time.perf_counter()

        ready = work(2 * cores())
        seconds = work(runs) - ready
    return {"start": ready - began, "seconds": seconds}


def tables(results: timing.Results) -> Mapping[str, Table]:
    """Time of a run each way, and what that is beside the pool of processes."""
    lengths, measured = results["settings"]["lengths"], results["measured"]
    ways = list(dict.fromkeys(part.rpartition(", ")[0] for part in measured))
    columns: dict[str, list[object]] = {
        name: []
        for name in (
            *("way", "steps", "runs", "images"),
            *("ms a run", "ms more than processes", "start, s"),
        )
    }
    for length, (train, runs) in lengths.items():
        single = {
            way: [1000 * x / runs for x in timing.column(results, f"{way}, {length}", "seconds")]
            for way in ways
        }
        middle = {way: timing.median(numbers) for way, numbers in single.items()}
        for way in ways:
            row = (
                way,
                "PyTorch's" if "without" in length else "compiled",
                runs,
                train,
                timing.summary(single[way]),
                None if way == "processes" else middle[way] - middle["processes"],
                timing.summary(timing.column(results, f"{way}, {length}", "start"), 2),
            )
            for name, value in zip(columns, row, strict=True):
                columns[name].append(value)
    return {
        "dask": Table(
            columns,
            caption="Short and long runs by threads, by a pool of processes, and by Dask",
            note=timing.note(
                results,
                "One epoch of the lesson's network on so many images. The start, with the first "
                "few runs, is not counted in the time of a run.",
            ),
            formats={"ms more than processes": "+.1f"},
        )
    }


def main() -> None:
    """Run the ways in turn, each in a fresh process, and print the table."""
    options = timing.arguments(__doc__, repeats=3).parse_args()
    lengths = dict.fromkeys(LENGTHS, (500, 4)) if options.quick else LENGTHS
    ways = list(WAYS)
    if importlib.util.find_spec("distributed") is None:
        ways = [way for way in ways if not way.startswith("Dask")]
        if not options.part:
            print('Dask is not installed, so it is left out: pip install "initguide[dask]"')
    timing.run(
        __file__,
        options,
        {
            f"{way}, {length}": functools.partial(overhead, way, *sizes)
            for length, sizes in lengths.items()
            for way in ways
        },
        tables,
        settings={"lengths": lengths},
        packages=("distributed",),
        environments={
            f"{way}, {length}": WITHOUT for way in ways for length in lengths if "without" in length
        },
    )


if __name__ == "__main__":
    main()

"""Which way of doing many runs is the fastest, for networks of which size?

    python benchmarks/ways.py [--repeats 3]

The ways are threads of one process (what the package does by itself), a pool of processes, and
networks that are trained stacked. The networks have two hidden layers, of h and h/2 units. Each way
first does a few runs that do not count, in which a pool starts its processes and loads the images.
"""

import functools
import multiprocessing
import time
from collections.abc import Callable, Mapping
from concurrent.futures import Executor, ProcessPoolExecutor

import timing

import initguide
from initguide import Table
from initguide.jobs import cores

HIDDEN = {8: 64, 32: 64, 128: 64, 256: 32, 512: 16, 1024: 8}  # units -> runs
TRAIN, EPOCHS = 4000, 2


def images() -> initguide.data.FashionMNIST:
    """A part of them: what matters here is the size of the network."""
    return initguide.fashion_mnist().subset(TRAIN, 1000, 1000)


def compare(
    data: initguide.data.FashionMNIST, hidden: int, runs: int, executor: Executor | None = None
) -> initguide.Comparison:
    """Do so many runs."""
    model = functools.partial(initguide.Net, hidden, hidden // 2)
    return initguide.compare_init_weights(
        ["default"], data, model=model, epochs=EPOCHS, seeds=runs, executor=executor
    )


def timed(work: Callable[[int], initguide.Comparison], runs: int) -> float:
    """Seconds of so many runs, after a few that do not count."""
    work(2 * cores())
    began = time.perf_counter()
    result = work(runs)
    seconds = time.perf_counter() - began
    assert len(result.runs) == runs
    return seconds


def threads(hidden: int, runs: int) -> timing.Numbers:
    """One thread on each core."""
    return {"seconds": timed(functools.partial(compare, images(), hidden), runs)}


def processes(hidden: int, runs: int) -> timing.Numbers:
    """One process on each core."""
    with ProcessPoolExecutor(cores(), mp_context=multiprocessing.get_context("spawn")) as pool:
        work = functools.partial(compare, images(), hidden, executor=pool)
        seconds = timed(work, runs)
        workers = [child.pid for child in multiprocessing.active_children()]
        peak = sum(timing.peak_memory(process) for process in ("self", *workers))
    return {"seconds": seconds, "peak": peak}


WAYS: dict[str, Callable[[int, int], timing.Numbers]] = {
    "threads": threads,
    "processes": processes,
}


def tables(results: timing.Results) -> Mapping[str, Table]:
    """Runs a second of each way and size."""
    sizes = {int(hidden): runs for hidden, runs in results["settings"]["runs"].items()}
    ways = list(dict.fromkeys(part.partition(",")[0] for part in results["measured"]))
    columns: dict[str, list[object]] = {"hidden units": [f"{h}, {h // 2}" for h in sizes]}
    for way in ways:
        speeds = [
            [runs / seconds for seconds in timing.column(results, f"{way}, {hidden}", "seconds")]
            for hidden, runs in sizes.items()
        ]
        columns[f"{way}, runs/s"] = [timing.median(numbers) for numbers in speeds]
        columns[f"range, {way}"] = [timing.spread(numbers) for numbers in speeds]
    for way in ways:
        columns[f"{way}, MB"] = [
            timing.median(timing.column(results, f"{way}, {hidden}", "peak")) for hidden in sizes
        ]
    formats: dict[str, object] = {f"{way}, runs/s": timing.significant for way in ways}
    formats |= {f"{way}, MB": ",.0f" for way in ways}
    return {
        "ways": Table(
            columns,
            caption=f"Runs a second, {EPOCHS} epochs of {TRAIN:,} images each",
            note=timing.note(
                results,
                "MB is the peak memory, of all processes together; what they share counts in each.",
            ),
            formats=formats,
        )
    }


def main() -> None:
    """Run the ways in turn, each in a fresh process, and print the table."""
    options = timing.arguments(__doc__, repeats=3).parse_args()
    sizes = {8: 4, 256: 4} if options.quick else HIDDEN
    timing.run(
        __file__,
        options,
        {
            f"{name}, {hidden}": functools.partial(way, hidden, runs)
            for hidden, runs in sizes.items()
            for name, way in WAYS.items()
        },
        tables,
        settings={"runs": sizes},
    )


if __name__ == "__main__":
    main()

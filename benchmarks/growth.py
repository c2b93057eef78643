"""How time and memory grow with the number of runs.

    python benchmarks/growth.py [--repeats 3]

The lesson's network is trained on a part of the images, so that a thousand runs take a minute
or so. Printed are the time of each number of runs, the memory, and the exponents that fit best:
1 for a time in proportion to the runs, 0 for a memory that does not depend on them.
"""

import functools
import time
from collections.abc import Mapping, Sequence

import numpy as np
import timing

import initguide
from initguide import Table
from initguide.training import cores

COUNTS = (10, 30, 100, 300, 1000)


def grow(runs: int) -> timing.Numbers:
    """Train so many networks for 40 steps."""
    data = initguide.fashion_mnist().subset(4000, 1000, 1000)
    initguide.compare_init_weights(["default"], data, epochs=1, seeds=cores())  # warms up
    began = time.perf_counter()
    result = initguide.compare_init_weights(["default"], data, epochs=1, seeds=runs)
    seconds = time.perf_counter() - began
    assert len(result.runs) == runs
    return {"seconds": seconds}


def exponents(results: timing.Results, what: str) -> list[float]:
    """Slopes of the straight lines through the logarithms of runs and of a number, turn by turn."""
    counts = results["settings"]["runs"]
    turns = zip(*(timing.column(results, str(count), what) for count in counts), strict=True)
    return [slope(np.log(counts), np.log(turn)) for turn in turns]


def slope(x: Sequence[float], y: Sequence[float]) -> float:
    """Slope of the straight line that fits best."""
    return float(np.polyfit(x, y, 1)[0])


def tables(results: timing.Results) -> Mapping[str, Table]:
    """Time and memory of each number of runs."""
    counts = results["settings"]["runs"]
    seconds = [timing.column(results, str(count), "seconds") for count in counts]
    single = [
        [1000 * x / count for x in turns] for turns, count in zip(seconds, counts, strict=True)
    ]
    fits = {}
    for what, name in (("seconds", "time"), ("peak", "memory")):
        powers = exponents(results, what)
        fits[name] = ", ".join(f"{power:.2f}" for power in sorted(powers))
    return {
        "growth": Table(
            {
                "runs": counts,
                "seconds": [timing.summary(turns) for turns in seconds],
                "ms a run": [timing.summary(turns) for turns in single],
                "peak memory, MB": [
                    timing.median(timing.column(results, str(count), "peak")) for count in counts
                ],
            },
            caption="More and more runs, each of 40 steps",
            note=timing.note(
                results,
                f"Fitted exponents, turn by turn: time {fits['time']}; memory {fits['memory']}. "
                "1 is growth in proportion, 0 is none.",
            ),
            formats={"peak memory, MB": ",.0f"},
        )
    }


def main() -> None:
    """Run the numbers of runs in turn, each in a fresh process, and print the table."""
    options = timing.arguments(__doc__, repeats=3).parse_args()
    counts = COUNTS[:2] if options.quick else COUNTS
    timing.run(
        __file__,
        options,
        {str(count): functools.partial(grow, count) for count in counts},
        tables,
        settings={"runs": list(counts)},
    )


if __name__ == "__main__":
    main()

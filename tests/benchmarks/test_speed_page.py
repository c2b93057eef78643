"""What docs/speed.rst and docs/time.rst say about their tables, from the numbers behind them.

Nothing is measured here: the numbers are those of benchmarks/results.json.
"""

import importlib
import json
import statistics
import sys
from pathlib import Path

import pytest

FOLDER = Path(__file__).parents[2] / "benchmarks"
if not FOLDER.exists():
    pytest.skip("the package is installed without its repository", allow_module_level=True)
sys.path.append(str(FOLDER))

import timing  # noqa: E402  through the line above

RESULTS = json.loads((FOLDER / "results.json").read_text(encoding="utf-8"))


def measured(benchmark):
    """Results of a benchmark that somebody has run in earnest."""
    results = RESULTS[benchmark]
    if results["settings"]["quick"]:
        pytest.skip(f"the results of {benchmark} are those of a trial")
    return results


def median(results, part, what="seconds"):
    """Median over the turns."""
    return statistics.median(timing.column(results, part, what))


def test_lesson_beside_the_original_loop():
    """Several runs of ours are many times as fast; a single run cannot use two cores well."""
    results = measured("lesson_speed")
    lesson = importlib.import_module("lesson_speed")
    seconds = lesson.trained(results)
    ours = {results["settings"]["runs"][part]: x for part, x in seconds.items() if "guide," in part}
    original = next(iter(seconds.values()))
    assert min(timing.ratios(original, ours[10])) > 10
    without = seconds["initguide without a compiler, 10"]
    assert 5.5 < statistics.median(timing.ratios(original, without)) < 6.8
    assert statistics.median(ours[1]) > 1.2 * statistics.median(ours[2])


def test_lesson_beside_jax():
    """Compiled steps are ahead of JAX, and JAX is ahead of what goes without a compiler."""
    results = measured("lesson_speed")
    jax = [median(results, "JAX, 10"), median(results, "JAX on 2 devices, 10")]
    ours = median(results, "initguide, 10")
    assert 0.6 < ours / min(jax) < 0.74
    without = median(results, "initguide without a compiler, 10")
    assert 0.82 < jax[0] / without < 0.92
    assert 0.62 < jax[1] / without < 0.77


def test_compiling():
    """Ours takes half a second, and JAX's longer than ten runs of ours."""
    results = measured("lesson_speed")
    assert 0.35 < median(results, "initguide, 10", "compiling") < 0.65
    for part in ("JAX, 10", "JAX on 2 devices, 10"):
        assert median(results, part, "compiling") > median(results, "initguide, 10")


def test_nobody_gets_to_the_floor():
    """Each program takes longer than its products would at the best rate."""
    results = measured("lesson_speed")
    lesson = importlib.import_module("lesson_speed")
    libraries = [part.removeprefix("products: ") for part in results["measured"] if ":" in part]
    floor = min(statistics.median(lesson.floor(results, library)) for library in libraries)
    assert all(statistics.median(x) > floor for x in lesson.trained(results).values())


def test_where_the_time_goes():
    """Making pictures is a large part of the original loop, and longer than a run of ours."""
    results = measured("lesson_speed")
    part = "where the time goes"
    pictures = median(results, part, "original: images")
    assert pictures > 0.3 * median(results, part, "original")
    assert pictures > median(results, part, "run")
    assert 0.005 < median(results, part, "run: images") / pictures < 0.02
    things = [key for key in results["measured"][part][0] if key.startswith("run: ")]
    assert max(things, key=lambda key: median(results, part, key)) == "run: products"
    assert 0.4 < median(results, part, "compiled run") / median(results, part, "run") < 0.6


def test_products_by_library():
    """PyTorch's own product is not the fastest, and large products have a higher rate."""
    results = measured("lesson_speed")
    best = {
        what: {part: median(results, part, what) for part in results["measured"] if ":" in part}
        for what in ("own", "large")
    }
    assert max(best["own"], key=best["own"].get) != "products: PyTorch"
    assert max(best["large"].values()) > max(best["own"].values())


def test_growth():
    """Time grows in proportion to the runs, and memory hardly at all."""
    results = measured("growth")
    growth = importlib.import_module("growth")
    assert all(0.85 < power < 1.1 for power in growth.exponents(results, "seconds"))
    assert all(abs(power) < 0.1 for power in growth.exponents(results, "peak"))


def test_compiled_steps_are_the_fastest_way():
    """Of all ways, at every size; and the smaller the network, the more of its time they save."""
    results = measured("ways")
    sizes = sorted(map(int, results["settings"]["runs"]))
    others = ("alone", "side by side", "stacked", "processes")
    ahead = [
        min(median(results, f"{way}, {hidden}") for way in others)
        / median(results, f"compiled, {hidden}")
        for hidden in sizes
    ]
    assert min(ahead) > 1
    assert ahead[0] > 2
    assert ahead[-1] < 1.3


def test_small_networks_gain_most_from_being_done_together():
    """Stacking is far ahead for tiny networks, and of little use for large ones."""
    results = measured("ways")
    sizes = sorted(map(int, results["settings"]["runs"]))

    def gain(way, hidden):
        return median(results, f"alone, {hidden}") / median(results, f"{way}, {hidden}")

    smallest, largest = sizes[0], sizes[-1]
    assert gain("stacked", smallest) > 2
    assert gain("processes", smallest) > 1.2
    assert gain("stacked", smallest) > 1.3 * gain("processes", smallest)
    assert sum(gain("processes", h) > gain("side by side", h) for h in sizes) > len(sizes) / 2
    assert 0.95 < gain("side by side", 512) < 1.05
    assert all(gain("processes", h) / gain("side by side", h) < 1.25 for h in sizes)
    assert max(gain(way, largest) for way in ("stacked", "side by side")) < 1.2


def test_package_takes_what_is_fast():
    """The rule's choices are the fastest ways of threads, or within a quarter of them."""
    results = measured("ways")
    for choices, ways in (
        ("chosen", ("alone", "side by side", "stacked", "compiled")),
        ("without a compiler", ("alone", "side by side", "stacked")),
    ):
        for hidden, way in results["settings"][choices].items():
            seconds = {name: median(results, f"{name}, {hidden}") for name in ways}
            assert seconds[way] < 1.25 * min(seconds.values()), (choices, hidden)


def test_tiny_networks_by_the_thousand():
    """`fit_many` is many times as fast as the loop."""
    results = measured("ways")
    (loop, one), (many, all_) = results["settings"]["tiny"].items()
    assert median(results, loop) / one > 20 * median(results, many) / all_


def test_dask():
    """It costs milliseconds a run, and twice the time of PyTorch's steps unless memory is kept."""
    results = measured("dask_overhead")

    def more(way, length):
        """Milliseconds a run, and how many times those of a pool."""
        own, pool = (median(results, f"{name}, {length}") for name in (way, "processes"))
        return 1000 * (own - pool) / results["settings"]["lengths"][length][1], own / pool

    milliseconds, ratio = more("Dask", "short")
    assert 2 < milliseconds < 9
    assert 2.1 < ratio < 3
    assert 1.05 < more("Dask", "long")[1] < 1.25
    by_pytorch = "long without a compiler"
    assert 1.8 < more("Dask", by_pytorch)[1] < 2.2
    assert more("Dask, memory kept", by_pytorch)[1] < 1.15


def test_one_machine_needs_no_cluster():
    """Threads and a pool are faster than Dask as it sets up its workers, at every length."""
    results = measured("dask_overhead")
    for length in results["settings"]["lengths"]:
        for way in ("threads", "processes"):
            assert median(results, f"{way}, {length}") < median(results, f"Dask, {length}")

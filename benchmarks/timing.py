"""What the benchmarks of speed share; no benchmark itself.

A benchmark has parts: functions that time something and return numbers. Each part is measured
several times, each time in a process of its own, and the parts take turns, so that a machine whose
speed drifts treats them alike. The numbers, with the machine, the versions and the settings, are
printed as tables, and kept in a file from which docs/speed.rst shows the same tables.
"""

import argparse
import json
import math
import os
import platform
import statistics
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from initguide import Table

Numbers = dict[str, float]
Parts = Mapping[str, Callable[[], Numbers]]
Results = Mapping[str, Any]  # "machine", "settings", and "measured": part -> numbers of each turn

PACKAGES = ("torch", "numpy")


def arguments(description: str, *, repeats: int) -> argparse.ArgumentParser:
    """Options that all benchmarks have."""
    parser = argparse.ArgumentParser(description=description.split("\n", maxsplit=1)[0])
    words = f"how often each part is timed ({repeats})"
    parser.add_argument("--repeats", type=int, default=repeats, help=words)
    parser.add_argument("--quick", action="store_true", help="only see whether it works")
    parser.add_argument("--json", type=Path, metavar="FILE", help="put the results into this file")
    parser.add_argument("--part", help=argparse.SUPPRESS)  # what a process of its own has to do
    return parser


def run(
    script: str,
    options: argparse.Namespace,
    parts: Parts,
    tables: Callable[[Results], Mapping[str, Table]],
    *,
    settings: Mapping[str, Any],
    packages: Sequence[str] = (),
    environments: Mapping[str, Mapping[str, str]] | None = None,
) -> None:
    """Measure the parts in turn, print the tables and keep the numbers.

    Parameters
    ----------
    script
        The benchmark's ``__file__``, which each process runs, with the same words and ``--part``.
    options
        From `arguments`.
    parts
        Name -> what is done in a process of its own. Returns ``"seconds"`` and other numbers, to
        which the peak of the process's memory is added if ``"peak"`` is not among them.
    tables
        Makes tables from the results: name -> table.
    settings
        What else has to be known to read the numbers.
    packages
        Whose versions are kept, beside torch and numpy.
    environments
        Part -> environment variables of its processes, for libraries that read them when imported.
    """
    if options.part:
        numbers = parts[options.part]()
        print(json.dumps({"peak": peak_memory(), **numbers}))
        return
    measured: dict[str, list[Numbers]] = {part: [] for part in parts}
    for turn in range(1, options.repeats + 1):
        for part, turns in measured.items():
            print(f"{turn} of {options.repeats}: {part}", file=sys.stderr, flush=True)
            turns.append(_in_own_process(script, part, (environments or {}).get(part, {})))
    results = {
        "machine": machine(packages),
        "settings": {"repeats": options.repeats, "quick": options.quick, **settings},
        "measured": measured,
    }
    for table in tables(results).values():
        print(f"\n{table}")
    if options.json:
        keep(options.json, Path(script).stem, results)


def _in_own_process(script: str, part: str, environment: Mapping[str, str]) -> Numbers:
    done = subprocess.run(  # noqa: S603  our own file
        [sys.executable, script, *sys.argv[1:], "--part", part],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, **environment},
        check=True,
    )
    numbers: Numbers = json.loads(done.stdout.splitlines()[-1])
    return numbers


def peak_memory(process: int | str = "self") -> float:
    """Megabytes that a process had in memory at its peak; NaN where the system does not say.

    This is Linux's VmHWM. ``ru_maxrss`` would count what the process that started this one had.
    """
    status = Path(f"/proc/{process}/status")
    lines = status.read_text(encoding="utf-8").splitlines() if status.exists() else []
    kibibytes = (int(line.split()[1]) for line in lines if line.startswith("VmHWM:"))
    return next(kibibytes, math.nan) * 1024 / 1e6


def machine(packages: Sequence[str] = ()) -> dict[str, Any]:
    """What the numbers depend on, beside the code: processor, cores, versions."""
    from initguide.training import cores  # noqa: PLC0415  not every process needs torch

    versions = {"Python": platform.python_version()}
    for package in (*PACKAGES, *packages):
        try:
            versions[package] = version(package)
        except PackageNotFoundError:
            continue
    return {"processor": processor(), "cores": cores(), "versions": versions}


def processor() -> str:
    """Kind of the processor, and the widest instructions of it that matter for products."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text(encoding="utf-8").splitlines() if info.exists() else []
    facts = {key.strip(): value.strip() for key, _, value in (x.partition(":") for x in lines)}
    name = facts.get("model name") or platform.processor() or platform.machine()
    flags = facts.get("flags", "").split()
    widest = {"avx512f": "AVX-512", "avx2": "AVX2"}
    return name + next((f" with {word}" for flag, word in widest.items() if flag in flags), "")


def keep(path: Path, benchmark: str, results: Results) -> None:
    """Put the results of one benchmark into a file, and leave those of the others."""
    old = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    text = json.dumps(_rounded(old | {benchmark: results}), indent=1)
    path.write_text(f"{text}\n", encoding="utf-8")


def _rounded(value: Any) -> Any:
    """Five digits: more than a repetition would agree in. NaN becomes None, as JSON has it."""
    if isinstance(value, Mapping):
        return {key: _rounded(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_rounded(item) for item in value]
    if isinstance(value, float):
        return float(f"{value:.5g}") if math.isfinite(value) else None
    return value


def column(results: Results, part: str, what: str) -> list[float]:
    """One number of a part, in each turn; empty if the part was not measured."""
    turns = results["measured"].get(part, [])
    return [math.nan if turn[what] is None else turn[what] for turn in turns if what in turn]


def ratios(numbers: Sequence[float], others: Sequence[float]) -> list[float]:
    """Quotients, turn by turn: what both parts of a turn shared does not count."""
    return [number / other for number, other in zip(numbers, others, strict=False)]


def median(numbers: Sequence[float]) -> float | None:
    """Median, or None of nothing."""
    return statistics.median(numbers) if numbers else None


def summary(numbers: Sequence[float], digits: int = 3) -> str | None:
    """Median, and in brackets the smallest and the largest: ``"0.85 (0.81–0.93)"``."""
    if not numbers:
        return None
    middle, *ends = (significant(f(numbers), digits) for f in (statistics.median, min, max))
    return f"{middle} ({'–'.join(ends)})" if len(numbers) > 1 else middle


def significant(number: float, digits: int = 3) -> str:
    """Write a number with so many significant digits, and without an exponent."""
    if not number or not math.isfinite(number):
        return f"{number:.0f}"
    places = max(0, digits - 1 - math.floor(math.log10(abs(number))))
    return f"{number:.{places}f}"


def note(results: Results, *sentences: str) -> str:
    """What stands below a table: what is special about it, then the machine and the versions."""
    place, count = results["machine"], results["settings"]["repeats"]
    versions = ", ".join(f"{name} {number}" for name, number in place["versions"].items())
    times = f"Medians of {count} repeats in turn (and their range)" if count > 1 else "One repeat"
    words = [f"{times}. {place['cores']} cores, {place['processor']}; {versions}."]
    if results["settings"]["quick"]:
        words.append("Made with --quick: these numbers mean nothing.")
    return " ".join([*sentences, *words])

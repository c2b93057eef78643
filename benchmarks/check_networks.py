"""How well `initguide.check_init` tells networks that train from those that do not.

    python benchmarks/check_networks.py [--part small] [--part timm] [--trained FILE] [--json FILE]

Families of networks (the files of ``benchmarks/checked``) are checked before training, as they are
and with planted faults, and then trained, which decides what is right. A fault *spoils* training if
it costs more than 0.05 of what the healthy network learns with all optimizers that are tried, and
*hurts* if it does with one. Four figures are printed, with their counts:

- of the faults that spoil, how many are found (anything worse than a note),
- of those found, how many at the right layer,
- of those that spoil, how many are mended by the advice alone: the code that the report prints is
  executed as it stands, the network is trained as before, and it learns as much as the healthy one
  does from other seeds (the mean of four, less two standard deviations) with every optimizer,
- of the networks that train, how many have an error, and how many a warning.

With ``--trained``, what was learnt is kept in a file, so that a changed check-up is held against
the same trainings without running them again. ``--json`` keeps the counts, of which
docs/trust.rst is made.
"""

import argparse
import math
import pkgutil
import sys
from collections import defaultdict
from collections.abc import Mapping, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

import torch

sys.path.append(str(Path(__file__).parent))

import checked
import timing
from checked.bench import Bench
from checked.outcome import SPOILED, Outcome
from checked.registry import FAMILIES
from checked.thresholds import calibration

from initguide import Table

for _family in pkgutil.iter_modules(checked.__path__):
    import_module(f"checked.{_family.name}")

PARTS = ("small", "today")
LIBRARIES = ("torchvision", "timm", "transformers")  # families that carry a package's name
COUNTS = ("planted", "spoil", "found", "named", "mended", "hurt", "hurt found", "harmless")
COUNTS += ("harmless error", "harmless warning")


def counted(outcomes: Sequence[Outcome]) -> dict[str, int]:
    """Count what came out of some faults."""
    spoiled = [r for r in outcomes if r.spoiled]
    hurt = [r for r in outcomes if r.hurt]
    fine = [r for r in outcomes if not r.hurt]
    found = [r for r in spoiled if r.worse]
    numbers = (
        len(outcomes),
        len(spoiled),
        len(found),
        sum(r.named for r in found),
        sum(r.recovered for r in spoiled),
        len(hurt),
        sum(bool(r.worse) for r in hurt),
        len(fine),
        sum(r.error for r in fine),
        sum(bool(r.worse) for r in fine),
    )
    return dict(zip(COUNTS, numbers, strict=True))


def measured(outcomes: Sequence[Outcome]) -> dict[str, Any]:
    """All that is kept: counts by family, fault and place, and what went wrong."""
    faulty = [r for r in outcomes if r.fault]
    healthy = [r for r in outcomes if not r.fault and r.trains]
    groups: dict[str, dict[str, list[Outcome]]] = {"fault": defaultdict(list)}
    groups["place"] = defaultdict(list)
    for r in faulty:
        groups["fault"][r.fault].append(r)
        groups["place"][r.place or "of its kind"].append(r)
    networks = {}
    for part in dict.fromkeys(r.family for r in outcomes):
        own = [r for r in outcomes if r.family == part and not r.fault]
        fine = [r for r in own if r.trains]
        networks[part] = {
            "networks": len(own),
            "train": len(fine),
            "error": sum(r.error for r in fine),
            "warning": sum(bool(r.worse) for r in fine),
        }
    spoiled = [r for r in faulty if r.spoiled]
    return {
        "all": counted(faulty),
        **{kind: {k: counted(rows) for k, rows in by.items()} for kind, by in groups.items()},
        "networks": networks,
        "missed": [_where(r) for r in spoiled if not r.worse],
        "misplaced": [_where(r) for r in spoiled if r.worse and not r.named],
        "not mended": [_where(r) for r in spoiled if r.worse and not r.recovered],
        "thresholds": calibration(outcomes),
        "false": [[r.network, *dict.fromkeys(f[1] for f in r.worse)] for r in healthy if r.worse],
    }


def _where(r: Outcome) -> list[str]:
    return [r.network, r.fault, r.place]


def figures(found: Mapping[str, Any]) -> dict[str, tuple[int, int, str]]:
    """The figures: what -> how many, of how many, and what is wanted."""
    every, networks = found["all"], found["networks"].values()
    train = sum(n["train"] for n in networks)
    return {
        "faults that spoil training, found": (every["found"], every["spoil"], "≥ 95 %"),
        "of those found, at the right layer": (every["named"], every["found"], "≥ 90 %"),
        "faults that spoil, mended by the printed advice alone": (
            every["mended"],
            every["spoil"],
            "≥ 80 %",
        ),
        "networks that train, with an error": (sum(n["error"] for n in networks), train, "0"),
        "networks that train, with a warning or an error": (
            sum(n["warning"] for n in networks),
            train,
            "≤ 2 %",
        ),
        "faults that do no harm, with an error": (every["harmless error"], every["harmless"], "0"),
        "faults that do no harm, with a warning or an error": (
            every["harmless warning"],
            every["harmless"],
            "–",
        ),
    }


def share_interval(count: int, of: int) -> tuple[float, float]:
    """Wilson's 95 % interval of a share, which also holds where all or none are counted."""
    z2 = 1.959964**2
    middle = (count + z2 / 2) / (of + z2)
    half = math.sqrt(z2 * (count * (of - count) / of + z2 / 4)) / (of + z2)
    return max(0.0, middle - half), min(1.0, middle + half)


def _shares(count: int, of: int) -> tuple[str, str]:
    """A share and its interval, in words."""
    if not of:
        return "–", "–"
    low, high = share_interval(count, of)
    return f"{100 * count / of:.1f} %", f"{100 * low:.1f} to {100 * high:.1f} %"


def tables(results: Mapping[str, Any]) -> dict[str, Table]:
    """Tables from the results, for the terminal and for docs/trust.rst."""
    found, place = results["measured"], results["machine"]
    versions = ", ".join(
        f"{name} {number}"
        for name, number in place["versions"].items()
        if name not in LIBRARIES or name in found["networks"]
    )
    settings = results["settings"]
    note = (
        f"{settings['steps']} steps of training, {settings['seeds']} seed"
        f"{'s' * (settings['seeds'] > 1)}. {place['processor']}; {versions}."
    )
    rows = figures(found)
    shown = {
        "figures": Table(
            {
                "figure": list(rows),
                "count": [f"{n} of {of}" for n, of, _ in rows.values()],
                "share": [_shares(n, of)[0] for n, of, _ in rows.values()],
                "95 % interval": [_shares(n, of)[1] for n, of, _ in rows.values()],
                "wanted": [wanted for *_, wanted in rows.values()],
            },
            caption="How often the check-up is right",
            note=note,
        )
    }
    for kind, words in (("fault", "By kind of fault"), ("place", "By place of the fault")):
        by = {**found[kind], "all": found["all"]}
        columns: dict[str, list[Any]] = {kind: list(by)}
        for count in COUNTS:
            columns[count] = [row[count] for row in by.values()]
        shown[kind] = Table(columns, caption=words, note=note)
    networks = found["networks"]
    columns = {"family": list(networks)}
    for count in ("networks", "train", "error", "warning"):
        columns[count] = [row[count] for row in networks.values()]
    shown["networks"] = Table(columns, caption="Networks as they are meant", note=note)
    for key, words in (
        ("missed", "Faults that spoil training and are not found"),
        ("not mended", "Faults that are found, but that the advice does not mend"),
    ):
        names = ("network", "fault", "place")
        columns = {name: [row[i] for row in found[key]] for i, name in enumerate(names)}
        shown[key.replace(" ", "-")] = Table(columns, caption=words, note=note)
    words = "How many networks lie beyond each threshold"
    named = {"hurt": "hurt, not spoilt"}  # here, those that spoil are not among them
    columns = {named.get(name, name): cells for name, cells in found["thresholds"].items()}
    shown["thresholds"] = Table(columns, caption=words, note=note)
    false = found["false"]
    columns = {"network": [row[0] for row in false], "said": [", ".join(r[1:]) for r in false]}
    shown["false"] = Table(columns, caption="Networks that train and have a warning", note=note)
    return shown


def line(r: Outcome) -> str:
    """What is printed of a network while the script runs."""
    learnt = ", ".join(f"{o} {x:.2f}" for o, x in r.learnt.items())
    said = " ".join(sorted({f"{s[0]}:{code}@{layer}" for s, code, layer in r.worse}))
    mark = "SPOILS" if r.spoiled else "hurts" if r.hurt else ""
    if r.spoiled and not r.worse:
        mark += " MISSED"
    elif r.spoiled and not r.named:
        mark += " MISPLACED"
    elif r.spoiled:
        after = ", ".join(f"{o} {x:.2f}" for o, x in r.mended.items())
        mark += f" -> {after or 'no advice'} {'mended' if r.recovered else 'NOT MENDED'}"
    elif not r.hurt and r.worse:
        mark += " FALSE"
    return f"{r.family}: {r.network} | {r.fault} {r.place} | {learnt} {mark} | {said}"


def main() -> None:
    """Run the parts, and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    words = f"family, several times ({', '.join(PARTS)})"
    parser.add_argument("--part", action="append", choices=sorted(FAMILIES), help=words)
    parser.add_argument("--steps", type=int, default=200, help="of training (200)")
    parser.add_argument("--seeds", type=int, default=1, help="of each network (1)")
    parser.add_argument("--trained", default="", help="file that keeps what was learnt")
    parser.add_argument("--only", default="", help="networks whose name holds this")
    words = "after which no more networks of a family are begun"
    parser.add_argument("--seconds", type=float, default=math.inf, help=words)
    parser.add_argument("--no-advice", action="store_true", help="do not see what advice mends")
    parser.add_argument("--verbose", action="store_true", help="a line for each network and fault")
    parser.add_argument("--json", type=Path, metavar="FILE", help="put the results into this file")
    options = parser.parse_args()
    torch.set_num_threads(1)
    bench, outcomes = Bench(options.steps, options.trained), []
    for part in options.part or PARTS:
        found = bench.outcomes(
            part,
            options.seeds,
            options.only,
            advice=not options.no_advice,
            seconds=options.seconds,
        )
        for one in found:
            outcomes.append(one)
            if options.verbose:
                print(line(one), flush=True)
    results = {
        "machine": timing.machine(LIBRARIES),
        "settings": {"steps": options.steps, "seeds": options.seeds, "spoiled": SPOILED},
        "measured": measured(outcomes),
    }
    for table in tables(results).values():
        print(f"\n{table}")
    if options.json:
        timing.keep(options.json, Path(__file__).stem, results)


if __name__ == "__main__":
    main()

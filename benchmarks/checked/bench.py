"""Looking at networks: what the check-up says, what training says, what the advice mends."""

import copy
import hashlib
import json
import math
import statistics
import sys
import time
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch

import initguide
from checked.outcome import Outcome
from checked.registry import FAMILIES, Batch, Family, Planted
from checked.thresholds import judged
from initguide.checkup import Checkup, check_init
from initguide.randomness import seeded

AGAIN = 3  # more seeds of a healthy network, for its spread
WITHIN = 2.0  # standard deviations below the mean that are still within the spread


class Kept:
    """What was learnt, kept in a file if there is one: training takes longest."""

    def __init__(self, path: str, steps: int) -> None:
        self.path, self.steps = Path(path) if path else None, steps
        self.known: dict[str, float] = {}
        if self.path is not None and self.path.exists():
            for line in self.path.read_text(encoding="utf-8").splitlines():
                self.known.update(json.loads(line))

    def __call__(
        self, family: Family, batch: Batch, one: Outcome, optimizer: str, advice: str = ""
    ) -> float:
        """What a copy of a network learns, now or as it did before."""
        words = [one.family, one.network, str(one.seed), one.fault, one.place, optimizer]
        words += [str(self.steps)]
        if advice:
            words.append(hashlib.sha256(advice.encode()).hexdigest()[:12])
        key = " | ".join(words)
        if key not in self.known:
            other = Batch(copy.deepcopy(batch.model), batch.inputs, batch.targets)
            self.known[key] = family.train(other, optimizer, self.steps, one.seed)
            if self.path is not None:
                with self.path.open("a", encoding="utf-8") as file:
                    file.write(json.dumps({key: self.known[key]}) + "\n")
        return self.known[key]


def printed(report: Checkup) -> str:
    """All the code that a report prints, as somebody would copy it out of it."""
    lines = [line[9:] for line in str(report).splitlines() if line.startswith(" " * 9)]
    return "\n".join(line[4:] for line in lines if line.startswith((">>> ", "    ")))


def followed(code: str, batch: Batch) -> Batch:
    """Execute code on a copy of what was checked."""
    names: dict[str, Any] = {
        "model": copy.deepcopy(batch.model),
        "inputs": batch.inputs,
        "targets": batch.targets,
        "torch": torch,
        "initguide": initguide,
    }
    exec(code, names)  # noqa: S102  pasting it is what is measured
    return Batch(names["model"], names["inputs"], names["targets"])


class Bench:
    """Looks at the networks of the families, one after another."""

    def __init__(self, steps: int, kept: str) -> None:
        self.kept = Kept(kept, steps)
        self.spreads: dict[tuple[str, str], dict[str, float]] = {}
        self.number = 0

    def outcomes(
        self, part: str, seeds: int, only: str, *, advice: bool, seconds: float = math.inf
    ) -> Iterator[Outcome]:
        """Yield what came out of each network of a family, and of each with a fault."""
        family, start = FAMILIES[part](), time.monotonic()
        for name, build in family.networks.items():
            if time.monotonic() - start > seconds:
                print(f"{part}: stopped before {name}", file=sys.stderr)
                return
            for seed in range(seeds if only in name else 0):
                with seeded(seed):
                    try:
                        batch = build()
                    except Exception as error:  # noqa: BLE001  another version of a library
                        print(f"{part}: {name} cannot be built: {error}", file=sys.stderr)
                        continue
                one = Outcome(part, name, seed)
                healthy = self._look(family, batch, one, advice=False)
                yield one
                with seeded(seed):
                    planted = list(family.faults(name, build))
                for case in planted:
                    yield self._faulty(family, case, healthy, advice=advice)

    def _look(self, family: Family, batch: Batch, one: Outcome, *, advice: bool) -> Outcome:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            report = check_init(*batch, advice=advice)
            one.learnt = {o: self.kept(family, batch, one, o) for o in family.optimizers}
        one.found = [(f.severity, f.code, f.layer) for f in report.findings]
        one.advised = bool(report.advice)
        one.numbers = judged(batch.model, report, batch.inputs, batch.targets)
        self.report = report
        return one

    def _faulty(self, family: Family, case: Planted, healthy: Outcome, *, advice: bool) -> Outcome:
        one = Outcome(healthy.family, healthy.network, healthy.seed, case.fault, case.place)
        one.blame = list(case.layers)
        self._look(family, case.batch, one, advice=False)
        one.drops = {o: healthy.learnt[o] - one.learnt[o] for o in one.learnt}
        if advice and one.spoiled and one.worse:
            self._look(family, case.batch, one, advice=True)
            self._mend(family, case.batch, one)
        return one

    def _mend(self, family: Family, batch: Batch, one: Outcome) -> None:
        """Follow the advice, train, and see whether that is as good as a healthy network."""
        code = printed(self.report)
        if not one.advised:
            return
        self.number += 1
        with seeded(self.number):  # draws of their own, not the same for all faults of a network
            after = followed(code, batch)
        same = after.inputs is batch.inputs and after.targets is batch.targets
        if not (same or family.on_batch):
            return
        one.mended = {
            o: self.kept(family, after, one, o, f"{self.number} {code}") for o in one.learnt
        }
        floor = self._floor(family, one)
        one.recovered = all(one.mended[o] >= floor[o] for o in one.mended)

    def _floor(self, family: Family, one: Outcome) -> dict[str, float]:
        """The lower end of what the healthy network learns, from several seeds."""
        key = one.family, one.network
        if key not in self.spreads:
            found: dict[str, list[float]] = {o: [] for o in family.optimizers}
            for seed in range(1 + AGAIN):
                with seeded(seed):
                    batch = family.networks[one.network]()
                other = Outcome(one.family, one.network, seed)
                for o, values in found.items():
                    values.append(self.kept(family, batch, other, o))
            # Of four the standard deviation is known to a half: at least that of 1,000 answers.
            self.spreads[key] = {
                o: statistics.mean(v) - WITHIN * max(0.013, statistics.stdev(v))
                for o, v in found.items()
            }
        return self.spreads[key]

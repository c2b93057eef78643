"""Plant faults in the package, one at a time, and count those that the tests of its wing notice.

``nox -s mutants -- --count 60 --seed 0`` draws 60 places, plants a fault at each with one of Cosmic
Ray's operators, and runs the quick tests of that wing: ``tests/<wing>``, which mirror the tree. A
fault that no test notices is shown as a diff: the tests miss something, or it changes nothing.

Each worker has a copy of the repository of its own; the working tree is left alone.
"""

import argparse
import ast
import difflib
import json
import os
import random
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from queue import Queue

from cosmic_ray.ast import ast_nodes, get_ast
from cosmic_ray.mutating import mutate_code
from cosmic_ray.plugins import get_operator, operator_names

ROOT = Path(__file__).parents[1]
NEEDED = ("initguide", "tests", "docs", "examples", "benchmarks", "pyproject.toml", "noxfile.py")
TIMEOUT = 600  # seconds; a fault that makes the tests hang is noticed


@dataclass(frozen=True)
class Mutant:
    """A fault: the operator's n-th place in a file, and the line there."""

    path: str
    operator: str
    occurrence: int
    line: int


@dataclass(frozen=True)
class Verdict:
    """What the tests said of a fault."""

    mutant: Mutant
    killed: bool
    diff: str


def lines_without_effect(code: str) -> set[int]:
    """Lines of annotations, of ``__all__`` and of what only type checkers read."""
    found: set[int] = set()
    for node in ast.walk(ast.parse(code)):
        part: ast.AST | None = None
        if isinstance(node, ast.arg | ast.AnnAssign):
            part = node.annotation
        elif isinstance(node, ast.FunctionDef):
            part = node.returns
        elif (isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "__all__") or (
            isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"
        ):
            part = node
        if isinstance(part, ast.stmt | ast.expr):
            found |= set(range(part.lineno, (part.end_lineno or part.lineno) + 1))
    return found


def mutants_in(path: Path) -> Iterator[Mutant]:
    """All faults that can be planted in a file."""
    code = path.read_text(encoding="utf-8")
    nodes, idle = list(ast_nodes(get_ast(code))), lines_without_effect(code)
    for name in operator_names():
        operator = get_operator(name)
        if operator.arguments():
            continue  # needs to be told what to plant
        places = (start for node in nodes for start, _ in operator().mutation_positions(node))
        for occurrence, (line, _) in enumerate(places):
            if line not in idle:
                yield Mutant(str(path), name, occurrence, line)


def drawn(package: Path, count: int, seed: int) -> list[Mutant]:
    """So many faults, each line of the package as likely as any other that has one."""
    lines: dict[tuple[str, int], list[Mutant]] = {}
    for path in sorted(package.rglob("*.py")):
        for mutant in mutants_in(path):
            lines.setdefault((mutant.path, mutant.line), []).append(mutant)
    generator = random.Random(seed)
    chosen = generator.sample(sorted(lines), min(count, len(lines)))
    return [generator.choice(lines[place]) for place in chosen]


def tests_of(path: Path) -> list[str]:
    """Tests of the wing that a file of the package is in, relative to the repository."""
    wing = path.relative_to(ROOT / "initguide").parts[0].removesuffix(".py")
    mirrored = [f"tests/{wing}", f"tests/test_{wing}.py"]
    return [name for name in mirrored if (ROOT / name).exists()] or ["tests/test_package.py"]


def tried(mutant: Mutant, copy: Path, tests: list[str]) -> Verdict:
    """Plant a fault in a copy of the repository, run the tests, and put the file back."""
    path = copy / Path(mutant.path).relative_to(ROOT)
    before = path.read_text(encoding="utf-8")
    after = mutate_code(before, get_operator(mutant.operator)(), mutant.occurrence) or before
    diff = "".join(
        difflib.unified_diff(
            before.splitlines(keepends=True), after.splitlines(keepends=True), n=1, lineterm="\n"
        )
    )
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-q",
        "-x",
        "-m",
        "not slow",
        "-p",
        "no:cacheprovider",
    ]
    path.write_text(after, encoding="utf-8")
    try:
        done = subprocess.run(
            [*command, *tests],
            cwd=copy,
            env={**os.environ, "PYTHONPATH": str(copy), "OMP_NUM_THREADS": "1"},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            timeout=TIMEOUT,
            check=False,
        )
        killed = done.returncode != 0
    except subprocess.TimeoutExpired:
        killed = True
    finally:
        path.write_text(before, encoding="utf-8")
    return Verdict(mutant, killed, diff)


def survey(
    mutants: list[Mutant], workers: int, tests: Callable[[Path], list[str]] = tests_of
) -> list[Verdict]:
    """Try all of them, on several copies at once, and say how it went."""
    copies: Queue[Path] = Queue()
    with tempfile.TemporaryDirectory() as folder:
        for i in range(workers):
            copy = Path(folder, str(i))
            for name in NEEDED:
                source = ROOT / name
                if source.is_dir():
                    ignore = shutil.ignore_patterns("_build", "auto_examples", "__pycache__")
                    shutil.copytree(source, copy / name, ignore=ignore)
                else:
                    shutil.copy2(source, copy / name)
            copies.put(copy)

        def one(mutant: Mutant) -> Verdict:
            copy = copies.get()
            try:
                verdict = tried(mutant, copy, tests(Path(mutant.path)))
            finally:
                copies.put(copy)
            place = f"{Path(mutant.path).relative_to(ROOT)}:{mutant.line}"
            print("noticed " if verdict.killed else "MISSED  ", place, mutant.operator, flush=True)
            return verdict

        with ThreadPoolExecutor(workers) as pool:
            return list(pool.map(one, mutants))


def main() -> None:
    """Read the command line, and print what was found."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--count", type=int, default=60)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--json", type=Path, help="write the verdicts to this file")
    options = parser.parse_args()
    mutants = drawn(ROOT / "initguide", options.count, options.seed)
    verdicts = survey(mutants, options.workers)
    for verdict in verdicts:
        if not verdict.killed:
            print(f"\n{Path(verdict.mutant.path).relative_to(ROOT)}\n{verdict.diff}")
    killed = sum(verdict.killed for verdict in verdicts)
    print(
        f"\nseed {options.seed}: {killed} of {len(verdicts)} noticed ({killed / len(verdicts):.0%})"
    )
    if options.json:
        options.json.write_text(json.dumps([asdict(verdict) for verdict in verdicts], indent=1))


if __name__ == "__main__":
    main()

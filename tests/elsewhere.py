"""Run the tests and the pages as other machines round, and with other seeds, and say what changes.

``nox -s elsewhere`` first runs everything as it is here, then once for each of `ROUNDINGS`, in a
copy of the repository, and prints a table: the tests that fail, the bound sentences that come out
otherwise, and the words that a page's outputs have there and not here. Numbers may differ, and so
may a sentence that can also say that nothing is decided; a test that fails, and a sentence of two
outcomes that turns over, hang on a processor. The exit status is 1 if there is one.
"""

import argparse
import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from difflib import unified_diff
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

ROOT = Path(__file__).parents[1]
sys.path[:0] = [str(ROOT / "docs"), str(ROOT / "docs" / "_ext")]

import bound  # noqa: E402  one of the site's extensions
import compare_builds  # noqa: E402  a program beside the site's sources

ROUNDINGS: dict[str, dict[str, str]] = {
    "plain": {"ATEN_CPU_CAPABILITY": "default"},  # no vector instructions
    "avx2": {"ATEN_CPU_CAPABILITY": "avx2"},
    "onednn": {"DNNL_MAX_CPU_ISA": "AVX2"},
    "mkl": {"MKL_CBWR": "COMPATIBLE"},
    "coarse": {"ONEDNN_DEFAULT_FPMATH_MODE": "ANY"},  # lower precision, where a processor has it
    "torch": {"INITGUIDE_CC": "off"},  # no compiled steps
    "one-thread": {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"},
    "four-threads": {"OMP_NUM_THREADS": "4", "MKL_NUM_THREADS": "4"},
    "seeds": {"INITGUIDE_TEST_SEED_OFFSET": "1000"},  # see offset/sitecustomize.py
}
NUMBER = re.compile(r"[-−+±]?\d[\d.,]*(e[-+]?\d+|[⁻⁰¹²³⁴⁵⁶⁷⁸⁹]+)?")


@dataclass
class Seen:
    """What came of one rounding."""

    failed: list[str] = field(default_factory=list)
    lines: dict[str, list[str]] = field(
        default_factory=dict
    )  # page -> its outputs, without numbers
    sentences: dict[str, list[dict[str, Any]]] = field(default_factory=dict)  # page -> in order


def copied(folder: Path) -> None:
    """Copy what the repository holds, committed or not, but for what git ignores."""
    listed = git(["ls-files", "-z", "--cached", "--others", "--exclude-standard"])
    for name in filter(None, listed.decode().split("\0")):
        if (ROOT / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, folder / name)


def environment(folder: Path, rounding: dict[str, str]) -> dict[str, str]:
    """What the programs see: the copy before what is installed, and the rounding."""
    paths = [
        str(folder),
        str(folder / "tests" / "offset"),
    ]  # the latter acts only if it is asked to
    return {**os.environ, "OMP_NUM_THREADS": "1", **rounding, "PYTHONPATH": os.pathsep.join(paths)}


def failures(folder: Path, rounding: dict[str, str], words: Sequence[str]) -> list[str]:
    """Run the tests; return those that fail."""
    report = folder / "report.xml"
    options = ["-q", "-n", "auto", "--dist", "worksteal", "-p", "no:cacheprovider"]
    command = [sys.executable, "-m", "pytest", *options, f"--junitxml={report}", *words]
    ended = subprocess.run(command, cwd=folder, env=environment(folder, rounding))  # noqa: PLW1510
    if ended.returncode not in (0, 1):
        sys.exit(f"pytest ended with {ended.returncode}: see above")
    return sorted(
        f"{case.get('classname')}::{case.get('name')}"
        for case in ET.parse(report).iter("testcase")  # noqa: S314
        if case.find("failure") is not None or case.find("error") is not None
    )


def without_numbers(lines: Sequence[str]) -> list[str]:
    """Lines in which numbers of any size are alike."""
    return [" ".join(NUMBER.sub("#", line).split()) for line in lines]


def outputs(folder: Path, rounding: dict[str, str]) -> dict[str, list[str]]:
    """Build the site; return what its pages printed and their tables say, without numbers."""
    site = folder / "docs" / "_build" / "html"
    command = [sys.executable, "-m", "sphinx", "-q", "-b", "html", "docs", str(site)]
    subprocess.run(command, cwd=folder, env=environment(folder, rounding), check=True)
    return {
        name: without_numbers(lines)
        for name, lines in compare_builds.contents(site).items()
        if name.endswith(".html")
    }


def said(folder: Path) -> dict[str, list[dict[str, Any]]]:
    """Read what the pages of a copy said, as ``docs/_ext/bound.py`` wrote it down."""
    gallery = folder / "docs" / "auto_examples"
    return {
        str(page.relative_to(gallery)): [
            sentence
            for line in bound.WRITTEN.findall(page.read_text(encoding="utf-8"))
            for sentence in bound.flat(json.loads(line))
        ]
        for page in sorted(gallery.rglob("plot_*.rst"))
    }


def turned(here: Seen, there: Seen) -> Iterator[tuple[bool, str]]:
    """Sentences that came out otherwise: whether they can say that nothing is decided; and which.

    A page that says more here than there, or less, is compared as far as both go.
    """
    for page in sorted(here.sentences.keys() & there.sentences.keys()):
        for old, new in zip(here.sentences[page], there.sentences[page], strict=False):
            if old["outcome"] != new["outcome"]:
                line = f"{page}: {old['outcome']} → {new['outcome']}: {old['branches']['so']}"
                yield "undecided" in old["branches"], line


def changes(here: Seen, there: Seen) -> Iterator[str]:
    """What is otherwise there, a line at a time."""
    yield from (f"test fails: {name}" for name in there.failed if name not in here.failed)
    for may, line in turned(here, there):
        yield f"sentence {'of three outcomes' if may else 'HANGS on this'}: {line}"
    for page in sorted(here.lines.keys() & there.lines.keys()):
        diff = list(unified_diff(here.lines[page], there.lines[page], n=0, lineterm=""))[2:]
        changed = [line for line in diff if not line.startswith("@@")]
        yield from (f"{page}: {line}" for line in changed)


def state(folder: Path, words: Sequence[str]) -> str:
    """A digest of all that was copied, and of what was asked."""
    digest = hashlib.sha256("\0".join(words).encode())
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            digest.update(str(path.relative_to(folder)).encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()


def git(words: Sequence[str]) -> bytes:
    """What git prints."""
    command = ["git", *words]
    return subprocess.run(command, cwd=ROOT, capture_output=True, check=True).stdout


def look(name: str, rounding: dict[str, str], options: argparse.Namespace) -> Seen:
    """Run what was asked for, in a copy; or read what was kept of it."""
    seen = Seen()
    with tempfile.TemporaryDirectory(prefix="elsewhere-") as place:
        folder = Path(place)
        copied(folder)
        now = state(folder, options.pytest)
        if not options.pages:
            seen.failed = kept(
                options.keep,
                f"{name}-tests",
                now,
                lambda: failures(folder, rounding, options.pytest),
            )
        if not options.tests:

            def pages() -> list[Any]:
                return [outputs(folder, rounding), said(folder)]

            seen.lines, seen.sentences = kept(options.keep, f"{name}-pages", now, pages)
    return seen


def kept(keep: Path | None, name: str, now: str, do: Callable[[], Any]) -> Any:
    """Do something that takes long, once for a state: what came of it is kept in a file."""
    if keep is None:
        return do()
    file = keep / f"{name}.json"
    if file.exists():
        old = json.loads(file.read_text(encoding="utf-8"))
        if old["state"] == now:
            return old["found"]
    found = do()
    keep.mkdir(parents=True, exist_ok=True)
    text = json.dumps({"state": now, "found": found}, ensure_ascii=False)
    file.write_text(text, encoding="utf-8")
    return found


def arguments() -> argparse.Namespace:
    """What was asked for."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("names", nargs="*", help="roundings; all of them if none is named")
    parser.add_argument("--list", action="store_true", help="list the roundings")
    part = parser.add_mutually_exclusive_group()
    part.add_argument("--tests", action="store_true", help="only the tests")
    part.add_argument("--pages", action="store_true", help="only the pages")
    parser.add_argument(
        "--keep",
        type=Path,
        metavar="FOLDER",
        help="keep what came of each part there, and do no part again that is there for the "
        "same files and words: what takes hours can be stopped and gone on with",
    )
    parser.add_argument("--pytest", nargs=argparse.REMAINDER, default=[], help="words for pytest")
    options = parser.parse_args()
    for name in options.names:
        if name not in ROUNDINGS:
            parser.error(f"there is no rounding {name!r}; they are {', '.join(ROUNDINGS)}")
    return options


def main() -> int:
    """Run them all."""
    options = arguments()
    if options.list:
        for name, rounding in ROUNDINGS.items():
            print(f"{name:<13}", " ".join(f"{key}={value}" for key, value in rounding.items()))
        return 0
    here = look("here", {}, options)
    print("as it is here:", *(f"  test fails: {name}" for name in here.failed), sep="\n")
    bad = bool(here.failed)
    for name in options.names or ROUNDINGS:
        there = look(name, ROUNDINGS[name], options)
        found = list(changes(here, there))
        bad = bad or bool(there.failed) or not all(may for may, _ in turned(here, there))
        print(
            f"{name}:",
            *(f"  {line}" for line in found or ["nothing changes"]),
            sep="\n",
            flush=True,
        )
    return int(bad)


if __name__ == "__main__":
    sys.exit(main())

"""Show where two builds of the site differ in what their pages measured.

``python docs/compare_builds.py OLD NEW`` compares what the cells printed, the tables, and the
numbers behind the figures, page by page; ``nox -s docs -- --compare OLD`` does so after a build.
Times are left out: they never repeat. The exit status is 0 if nothing differs, 1 if something does,
and 2 if there is nothing to compare.
"""

import csv
import difflib
import io
import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NoReturn

from bs4 import BeautifulSoup

TIMES = ("seconds",)  # columns of tables
PRINTED_TIME = re.compile(r"\b\d+(\.\d+)? s\b")


def refuse(reason: str) -> NoReturn:
    """End with a sentence."""
    print(reason, file=sys.stderr)  # noqa: T201  a command
    sys.exit(2)


def outputs(page: Path) -> list[str]:
    """Lines that the cells of a page printed, and the rows of its tables."""
    soup = BeautifulSoup(page.read_text(encoding="utf-8"), "html.parser")
    lines = []
    for part in soup.select(".sphx-glr-script-out pre, .initguide-table tr"):
        if part.name == "tr":
            lines.append(" | ".join(cell.get_text() for cell in part.find_all(["th", "td"])))
        else:
            lines += PRINTED_TIME.sub("… s", part.get_text()).splitlines()
    return lines


def numbers(file: Path) -> list[str]:
    """Lines to compare of a file with the numbers behind a figure or table."""
    text = file.read_text(encoding="utf-8")
    if file.suffix == ".json":
        return json.dumps(json.loads(text), indent=1, ensure_ascii=False).splitlines()
    rows = list(csv.DictReader(io.StringIO(text)))
    return [str({k: v for k, v in row.items() if k not in TIMES}) for row in rows]


def contents(build: Path) -> dict[str, list[str]]:
    """Name of each page, and of each file with numbers -> its lines.

    Raises
    ------
    SystemExit
        If the folder holds no pages of the gallery.
    """
    pages = sorted((build / "auto_examples").rglob("plot_*.html"))
    if not pages:
        refuse(f"{build} holds no built site: there is no page auto_examples/**/plot_*.html")
    files = [
        file
        for kind in ("json", "csv")
        for file in sorted((build / "_downloads").rglob(f"sphx_glr_*.{kind}"))
    ]
    return {page.relative_to(build).as_posix(): outputs(page) for page in pages} | {
        file.name: numbers(file) for file in files
    }


def differences(old: Path, new: Path) -> Iterator[str]:
    """Say what differs, a line at a time."""
    before, after = contents(old), contents(new)
    for name in sorted(before.keys() | after.keys()):
        if name not in after or name not in before:
            yield f"{name}: only in {old if name in before else new}"
        elif before[name] != after[name]:
            diff = difflib.unified_diff(before[name], after[name], n=0, lineterm="")
            changed = [line for line in list(diff)[2:] if not line.startswith("@@")]
            if name.endswith(".html"):
                yield from (f"{name}:", *(f"    {line}" for line in changed))
            else:
                yield f"{name}: {len(changed)} of its lines"


def main() -> None:
    """Compare the two folders given."""
    if len(sys.argv) != 3:
        refuse(f"usage: {sys.argv[0]} OLD NEW, two folders with a built site")
    old, new = map(Path, sys.argv[1:])
    found = list(differences(old, new))
    print("\n".join(found) if found else "both builds measured the same")  # noqa: T201  a command
    sys.exit(1 if found else 0)


if __name__ == "__main__":
    main()

"""What can be said about the built site from its files alone: pages, links, downloads, size."""

import json
import re
import zipfile
from dataclasses import dataclass, field
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

MEGABYTE = 1_000_000
DOWNLOADS = {".csv", ".ipynb", ".json", ".pdf", ".py", ".zip"}

# What Sphinx writes for an index entry before a comment, and before a title.
EMPTY_TARGET = re.compile(r'<span (?:class="target" )?id="(index-\d+)"></span>')


@dataclass
class Page(HTMLParser):
    """The anchors and the references of one page."""

    text: str
    anchors: set[str] = field(default_factory=set)
    references: set[str] = field(default_factory=set)
    downloads: set[str] = field(default_factory=set)

    def __post_init__(self) -> None:
        super().__init__()
        self.feed(self.text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note what an element is called and where it points."""
        given = {name: value or "" for name, value in attrs}
        self.anchors |= {given["id"]} if "id" in given else set()
        self.anchors |= {given["name"]} if tag == "a" and "name" in given else set()
        found = [given[name] for name in ("href", "src", "poster") if name in given]
        found += [part.split()[0] for part in given.get("srcset", "").split(",") if part.split()]
        self.references |= set(found)
        if tag == "a" and "href" in given:
            suffix = Path(urlsplit(given["href"]).path).suffix
            if "download" in given or suffix in DOWNLOADS:
                self.downloads.add(given["href"])


def is_external(reference: str) -> bool:
    """Whether a reference leaves the site: another host, an e-mail address, embedded data."""
    parts = urlsplit(reference)
    return bool(parts.scheme or parts.netloc)


def resolve(folder: Path, page: Path, reference: str) -> tuple[Path, str]:
    """File and anchor that an internal reference of a page means."""
    parts = urlsplit(reference)
    path, anchor = unquote(parts.path), unquote(parts.fragment)
    start = folder if path.startswith("/") else page.parent
    target = (start / path.lstrip("/")).resolve() if path else page.resolve()
    return (target / "index.html" if target.is_dir() else target), anchor


def pages(folder: Path) -> list[Path]:
    """All pages of the site, in a fixed order.

    Raises
    ------
    FileNotFoundError
        If there are none: a check of nothing must not pass.
    """
    found = sorted(folder.rglob("*.html"))
    if not found:
        raise FileNotFoundError(f"no page in {folder}; run `nox -s docs` first")
    return found


def dead_links(folder: Path) -> list[str]:
    """Internal references to a file or an anchor that is not there, one line each."""
    read = {path.resolve(): Page(path.read_text("utf-8")) for path in pages(folder)}
    faults = []
    for path, page in read.items():
        for reference in sorted(page.references):
            if is_external(reference):
                continue
            target, anchor = resolve(folder, path, reference)
            inside = target.is_relative_to(folder.resolve())
            if not inside or not target.is_file():
                trouble = "no such file"
            elif anchor and target in read and anchor not in read[target].anchors:
                trouble = "no such anchor"
            else:
                continue
            faults.append(f"{path.relative_to(folder.resolve())}: {reference!r}: {trouble}")
    return faults


def empty_index_targets(folder: Path) -> list[str]:
    """Index entries that point at nothing: the search page shows the text there, and stops."""
    return [
        f"{path.relative_to(folder)}: nothing stands at #{anchor}; put the index directive "
        "directly before a paragraph or an admonition"
        for path in pages(folder)
        for anchor in EMPTY_TARGET.findall(path.read_text("utf-8"))
    ]


def downloads(folder: Path) -> list[str]:
    """Paths, relative to the folder, of all internal files that pages offer for download."""
    found = set()
    for path in pages(folder):
        for reference in Page(path.read_text("utf-8")).downloads:
            if not is_external(reference):
                target, _ = resolve(folder, path, reference)
                found.add(target.relative_to(folder.resolve()).as_posix())
    return sorted(found)


def unusable(name: str, content: bytes) -> str:
    """What is wrong with a downloaded file; empty if nothing is."""
    if not content:
        return "empty"
    suffix = Path(name).suffix
    try:
        if suffix in {".ipynb", ".json"}:
            json.loads(content)
        elif suffix == ".py":
            compile(content, name, "exec", dont_inherit=True)
    except (SyntaxError, ValueError) as error:
        return f"no valid {suffix}: {error}"
    if suffix == ".zip" and not content.startswith((b"PK\3\4", b"PK\5\6")):
        return str(zipfile.BadZipFile("no zip archive"))
    return ""


def size(folder: Path) -> int:
    """Bytes of all files in a folder."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())

"""What a page says of itself in its head: how others show it, before anybody has opened it."""

import re
from collections import defaultdict
from html.parser import HTMLParser
from pathlib import Path

from links import pages

LONGEST = 100  # characters of a title; search engines show about 60
# Pages that are made by Sphinx alone: an index, and the search.
MADE = {"genindex.html", "py-modindex.html", "search.html"}
BUILD = re.compile(r"minutes? to read|ran in [\d.]+ s|· script ·")


class Head(HTMLParser):
    """The title and the described properties of one page."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.title = ""
        self.said: dict[str, str] = {}
        self._reading = False
        self.feed(text.partition("</head>")[0])

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note what a meta element says."""
        given = {name: value or "" for name, value in attrs}
        self._reading = tag == "title"
        if tag == "meta" and (name := given.get("name") or given.get("property")):
            self.said[name] = given.get("content", "")

    def handle_endtag(self, tag: str) -> None:
        """The title is over."""
        self._reading = self._reading and tag != "title"

    def handle_data(self, data: str) -> None:
        """Read on in the title."""
        self.title += data if self._reading else ""


def _of_a_page(head: Head) -> list[str]:
    """What is wrong with one head, a line each."""
    faults = []
    title, description = head.title.strip(), head.said.get("description", "")
    if not title or len(title) > LONGEST or re.match(r"\d", title):
        faults.append(f"the title {title!r} is no name of up to {LONGEST} characters")
    if not description.endswith((".", "?", "!")) or not description[:1].isupper():
        faults.append(f"the description {description[:80]!r} is no sentence")
    if BUILD.search(description):
        faults.append(f"the description {description[:80]!r} is of the build and not of the page")
    for name, own in (("og:title", title), ("og:description", description)):
        if head.said.get(name) != own:
            faults.append(f"{name} is {head.said.get(name)!r} and not {own!r}")
    return faults


def faults(folder: Path) -> list[str]:
    """All that is wrong with the heads of a site, a line each."""
    found, same = [], defaultdict(list)
    for path in pages(folder):
        name = path.relative_to(folder).as_posix()
        if name in MADE or 'http-equiv="refresh"' in path.read_text("utf-8")[:2000]:
            continue
        head = Head(path.read_text("utf-8"))
        found += [f"{name}: {fault}" for fault in _of_a_page(head)]
        same["title", head.title].append(name)
        same["description", head.said.get("description")].append(name)
    for (what, text), names in same.items():
        if len(names) > 1:
            found.append(f"{', '.join(names)} have the same {what}: {text!r}")
    return found

"""Tell a dead external link from a machine without a network.

Reads the file that Sphinx's ``linkcheck`` builder writes, one JSON object a line. A link is

- *alive* if its host answered and did not say that the page is gone;
- *dead* if its host said so (404, 410), if the page lacks the anchor, or if the host's name does
  not exist while other hosts do;
- *silent* otherwise: refused, timed out, blocked, or busy. Nothing is known about it.

Links within the site are not looked at; test_site.py does that.

If no host answered at all, there is no network, and no link is called dead. The exit status is 1 if
a link is dead, 2 if Sphinx did not get as far as checking, and otherwise 0.
"""

import json
import re
import sys
from dataclasses import dataclass
from pathlib import Path

GONE = re.compile(r"^(404|410) Client Error|^Anchor '.*' not found", re.DOTALL)
# What the linked host itself said, not a proxy on the way to it.
ANSWERED = re.compile(r"^\d{3} (Client|Server) Error|^Anchor '|^unauthorized$")
NO_NAME = re.compile(
    r"NameResolutionError|getaddrinfo|Name or service not known|nodename nor servname"
    r"|No address associated|Temporary failure in name resolution"
)
TRIED = {"broken", "redirected", "timeout", "working"}
NOT_TRIED = {"ignored", "local", "unchecked"}


@dataclass(frozen=True)
class Link:
    """One external link of one page, as Sphinx found it."""

    page: str
    line: int
    uri: str
    status: str
    info: str

    @property
    def answered(self) -> bool:
        """Whether its host said anything."""
        return self.status in {"working", "redirected"} or bool(ANSWERED.search(self.info))

    def __str__(self) -> str:
        """Where the link stands, where it leads, and what happened."""
        return f"{self.page}:{self.line}: {self.uri}: {self.info or self.status}"


@dataclass(frozen=True)
class Verdict:
    """What became of all external links."""

    alive: list[Link]
    dead: list[Link]
    silent: list[Link]

    @property
    def no_network(self) -> bool:
        """Whether no host answered although there were links."""
        return bool(self.silent) and not self.alive and not self.dead

    @property
    def exit_status(self) -> int:
        """1 if a link is dead."""
        return 1 if self.dead else 0

    def __str__(self) -> str:
        """A report of a few lines."""
        if self.no_network:
            return (
                f"No network: none of {len(self.silent)} external links could be reached, so "
                f"nothing is known about them. The first: {self.silent[0]}"
            )
        lines = [f"dead: {link}" for link in self.dead]
        lines += [f"silent, look yourself: {link}" for link in self.silent]
        counts = f"{len(self.alive)} alive, {len(self.dead)} dead, {len(self.silent)} silent"
        return "\n".join([*lines, f"External links: {counts}."])


def read(text: str) -> list[Link]:
    """External links that were tried, from the lines of ``output.json``.

    Raises
    ------
    ValueError
        If a link has a status that is not known here.
    """
    links = []
    for entry in map(json.loads, text.splitlines()):
        status, info = entry["status"], entry["info"]
        if status not in TRIED | NOT_TRIED:
            known = ", ".join(sorted(TRIED | NOT_TRIED))
            raise ValueError(f"unknown status {status!r} of {entry['uri']}; known are {known}")
        busy = info == "service unavailable"  # an answer 503, which Sphinx calls ignored
        if entry["uri"].startswith(("http:", "https:")) and (status in TRIED or busy):
            links.append(Link(entry["filename"], entry["lineno"], entry["uri"], status, info))
    return links


def judge(links: list[Link]) -> Verdict:
    """Sort links into alive, dead and silent."""
    network = any(link.answered for link in links)
    alive, dead, silent = [], [], []
    for link in links:
        gone = link.status == "broken" and GONE.search(link.info)
        nowhere = link.status == "broken" and NO_NAME.search(link.info)
        if link.status in {"working", "redirected"}:
            alive.append(link)
        elif gone or (nowhere and network):
            dead.append(link)
        else:
            silent.append(link)
    return Verdict(alive, dead, silent)


def main(path: Path) -> int:
    """Print the verdict on a file; return the exit status."""
    if not path.is_file():
        print(f"{path} is missing: Sphinx ended before it had checked a link; see above")
        return 2
    verdict = judge(read(path.read_text("utf-8")))
    print(verdict)
    return verdict.exit_status


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))

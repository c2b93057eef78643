"""What a visitor meets on a page: looked at in headless Chromium, listed as faults."""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

from axe_playwright_python.base import AXE_SCRIPT
from playwright.sync_api import Browser, ConsoleMessage, Page, Playwright, Request, Response

Scheme = Literal["light", "dark"]
SCHEMES: tuple[Scheme, ...] = ("light", "dark")
WIDTHS = (1280, 390)
PAGE_LIMIT = 1_500_000  # bytes
PROBE = Path(__file__).with_name("probe.js").read_text("utf-8")
CHROMIUM = ("chromium", "chromium-browser", "google-chrome")
FLAGS = (
    "--no-sandbox",  # Chromium refuses to run as root with one, and CI is root
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-sync",
    "--no-first-run",
    # Whatever a page asks of another host fails at once, with and without a network.
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
)
# Waiting for a movement to end would take a quarter of a second at each stop of the focus.
STILL = "*, ::before, ::after { transition: none !important; scroll-behavior: auto !important }"
SEARCHED = "document.querySelector('.search-summary')?.innerText.trim()"
MOST_STOPS = 1000  # a page on which Tab goes on for longer is a trap


def chromium() -> str:
    """Path of the browser.

    Raises
    ------
    FileNotFoundError
        If there is none. The message says how to get one.
    """
    given = os.environ.get("INITGUIDE_CHROMIUM")
    for name in (given,) if given else CHROMIUM:
        if path := shutil.which(name):
            return path
    raise FileNotFoundError(
        f"found no browser ({given or ', '.join(CHROMIUM)}); install Debian's package chromium, or "
        "name one in the environment variable INITGUIDE_CHROMIUM"
    )


def launch(playwright: Playwright) -> Browser:
    """Start the browser."""
    return playwright.chromium.launch(executable_path=chromium(), args=list(FLAGS))


@contextmanager
def opened(
    browser: Browser, url: str, scheme: Scheme, width: int
) -> Iterator[tuple[Page, "Traffic"]]:
    """Load a page in a fresh session, without cache and memory, and scroll through it once."""
    context = browser.new_context(
        color_scheme=scheme,
        viewport={"width": width, "height": 900},
        reduced_motion="reduce",
    )
    try:
        page = context.new_page()
        traffic = Traffic(page, url)
        page.goto(url, wait_until="load")
        page.evaluate(PROBE)
        page.add_style_tag(content=STILL)
        if "?q=" in url:
            page.wait_for_function(SEARCHED)
        page.evaluate("probe.settle()")
        yield page, traffic
    finally:
        context.close()


class Traffic:
    """What a page asks for, what it gets, and what it complains about in the console."""

    def __init__(self, page: Page, url: str) -> None:
        self.home = url.split("/", 3)[:3]
        self.faults: list[str] = []
        self.sizes: dict[str, int] = {}
        page.on("console", self.console)
        page.on("pageerror", lambda error: self.note(f"error in a script: {error}"))
        page.on("request", self.request)
        page.on("requestfailed", lambda r: self.note(f"request failed: {r.url} ({r.failure})"))
        page.on("response", self.response)

    def note(self, fault: str) -> None:
        """Add a fault."""
        self.faults.append(fault)

    def console(self, message: ConsoleMessage) -> None:
        """Note an error, whoever wrote it."""
        if message.type == "error":
            self.note(f"console error: {message.text}")

    def request(self, request: Request) -> None:
        """Note a request to another host."""
        if (
            not request.url.startswith(("data:", "blob:"))
            and request.url.split("/", 3)[:3] != self.home
        ):
            self.note(f"external request: {request.url}")

    def response(self, response: Response) -> None:
        """Note how many bytes came, as they lie on the disk: a real server would compress them."""
        if response.status >= 400:
            self.note(f"answer {response.status}: {response.url}")
        self.sizes[response.url] = int(response.headers.get("content-length", 0))

    @property
    def bytes(self) -> int:
        """Bytes of everything that the page has fetched so far."""
        return sum(self.sizes.values())

    def overweight(self, limit: int) -> list[str]:
        """Say so if the page has fetched more than allowed, and name the three heaviest files."""
        if self.bytes <= limit:
            return []
        heaviest = sorted(self.sizes, key=self.sizes.__getitem__, reverse=True)[:3]
        names = ", ".join(f"{url} ({self.sizes[url]:,})" for url in heaviest)
        return [f"fetched {self.bytes:,} bytes, more than {limit:,}; the most for {names}"]


def look(
    browser: Browser,
    url: str,
    scheme: Scheme,
    width: int,
    *,
    limit: int = PAGE_LIMIT,
    screenshot: Path | None = None,
) -> list[str]:
    """Faults of one page in one colour scheme at one width, everything but the keyboard.

    Folded parts are opened first, so that they are looked at too.
    """
    with opened(browser, url, scheme, width) as (page, traffic):
        if screenshot:
            screenshot.parent.mkdir(parents=True, exist_ok=True)
            page.screenshot(path=screenshot, full_page=True)
        page.evaluate("probe.unfold()")
        page.evaluate("probe.settle()")
        faults = page.evaluate("probe.overflow()") + page.evaluate("probe.images()")
        faults += traffic.faults + traffic.overweight(limit)
        page.evaluate(AXE_SCRIPT)
        return [*faults, *page.evaluate("probe.axeFaults()")]


def tab_through(browser: Browser, url: str, width: int) -> list[str]:
    """Faults that somebody meets who uses nothing but the keyboard.

    Tab is pressed until the focus has been everywhere. Everything that a mouse can use must have
    been reached, and each stop must show that it has the focus. Drawers are opened with Enter,
    walked through, and closed with Escape.
    """
    with opened(browser, url, "light", width) as (page, _):
        page.evaluate("probe.unfold()")
        page.evaluate("probe.begin()")
        faults = walk(page, "true")
        faults += page.evaluate("probe.missed()")
        for drawer in page.evaluate("probe.openers()"):
            faults += use_drawer(page, drawer)
        return faults


def use_drawer(page: Page, drawer: str) -> list[str]:
    """Open a closed part of the page, walk through it and close it."""

    def ask(question: str) -> Any:
        return page.evaluate(f"id => probe.{question}(id)", drawer)

    def enter() -> None:
        ask("focusOpener")
        page.keyboard.press("Enter")

    enter()
    if not ask("isOpen"):
        return [f"Enter does not open {drawer}"]
    ask("begin")
    faults = [] if ask("focusIsIn") else [f"opening {drawer} leaves the focus behind"]
    first = ask("focused")
    faults += first["faults"] if first else []
    faults += walk(page, f"probe.focusIsIn({drawer!r})")
    faults += page.evaluate("probe.missed()")
    if ask("isOpen"):
        ask("focusInside")
    else:
        enter()  # it closes by itself when the focus leaves it, which is as well
    page.keyboard.press("Escape")
    if ask("isOpen"):
        faults.append(f"Escape does not close {drawer}")
    if not ask("openerHasFocus"):
        faults.append(f"closing {drawer} loses the focus")
    return faults


def walk(page: Page, inside: str) -> list[str]:
    """Press Tab until the focus leaves the page, or the part in which ``inside`` is true."""
    faults: list[str] = []
    for _ in range(MOST_STOPS):
        page.keyboard.press("Tab")
        stop = page.evaluate(f"{inside} ? probe.focused() : null")
        if stop is None:
            return faults
        if stop["again"]:
            return [*faults, "Tab goes in a circle and never leaves: a keyboard trap"]
        faults += stop["faults"]
    return [*faults, f"more than {MOST_STOPS} stops"]


def search(browser: Browser, home: str, query: str, *, count: int = 3) -> list[str]:
    """Pages of the first results that the site's search shows, as paths without ``.html``.

    Raises
    ------
    AssertionError
        If a script of the search page fails: the results after it are then missing.
    """
    context = browser.new_context()
    errors: list[str] = []
    try:
        page = context.new_page()
        page.on("pageerror", lambda error: errors.append(str(error)))
        page.goto(f"{home}search.html?q={query.replace(' ', '+')}")
        page.wait_for_function(SEARCHED)
        links = page.evaluate(
            "[...document.querySelectorAll('#search-results ul.search > li > a')].map(a => a.href)"
        )
    finally:
        context.close()
    if errors:
        raise AssertionError(f"error in a script of the search for {query!r}: {errors[0]}")
    found = [link.removeprefix(home).split("#")[0].split("?")[0] for link in links[:count]]
    return [name.removesuffix(".html") for name in found]

"""For the checks of the built site: the site, its server, the browser."""

import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE))

import links  # noqa: E402  found through the line above
import visits  # noqa: E402
from playwright.sync_api import sync_playwright  # noqa: E402
from serving import serve  # noqa: E402

KEY_PAGES = (
    "index.html",
    "auto_examples/plot_start_here.html",
    "auto_examples/lesson/plot_3_uniform.html",
    "api/initializers.html",
    "search.html?q=xavier",
)
SEARCH_RESULTS = (
    "search.html?q=xavier",
    "search.html?q=the+network",
)  # a few, and nearly all pages


def pytest_addoption(parser):
    """Let another build be checked."""
    site = HERE.parent / "docs" / "_build" / "html"
    parser.addoption("--site", type=Path, default=site, help="the built site's folder")


def pytest_generate_tests(metafunc):
    """Run a test that asks for `name` on each page of the site, and on pages of search results."""
    if "name" in metafunc.fixturenames:
        site = metafunc.config.getoption("site")
        try:
            names = [path.relative_to(site).as_posix() for path in links.pages(site)]
        except FileNotFoundError as error:
            raise pytest.UsageError(str(error)) from None
        metafunc.parametrize("name", [*names, *SEARCH_RESULTS])


@pytest.fixture(scope="session")
def site(request):
    """Folder of the built site."""
    return request.config.getoption("site")


@pytest.fixture(scope="session")
def home(site):
    """Address of the served site."""
    with serve(site) as address:
        yield address


@pytest.fixture(scope="session")
def browser():
    """The browser, shared by all checks of a worker."""
    with sync_playwright() as playwright:
        started = visits.launch(playwright)
        yield started
        started.close()


@pytest.fixture
def screenshot(site):
    """Function that says where the picture of a key page goes; for other pages, nowhere."""

    def place(name, scheme, width):
        if name not in KEY_PAGES:
            return None
        stem = name.split("?")[0].removesuffix(".html").replace("/", "-")
        return site.parent / "screenshots" / f"{stem}-{scheme}-{width}.png"

    return place

"""The built site, as a visitor meets it. Every test lists all the faults it finds."""

from urllib.request import urlopen

import heads
import links
import pytest
import searches
import visits
from conftest import KEY_PAGES

SCREENS = [(scheme, width) for scheme in visits.SCHEMES for width in visits.WIDTHS]
SITE_LIMIT = 120 * links.MEGABYTE


@pytest.mark.parametrize("screen", SCREENS, ids=str)
def test_page_is_sound(browser, home, screenshot, name, screen):
    """Accessible, whole, quiet, self-contained, light, and no wider than the screen."""
    scheme, width = screen
    picture = screenshot(name, scheme, width)
    faults = visits.look(browser, home + name, scheme, width, screenshot=picture)
    assert not faults, "\n".join(faults)


@pytest.mark.parametrize("width", visits.WIDTHS)
def test_keyboard_reaches_everything(browser, home, name, width):
    """What a mouse can use, Tab and Enter can; and the focus can be seen on its way."""
    faults = visits.tab_through(browser, home + name, width)
    assert not faults, "\n".join(faults)


@pytest.mark.parametrize(("query", "page"), searches.SEARCHES)
def test_search_finds_the_page(browser, home, query, page):
    """The expected page is among the first three results."""
    assert page in visits.search(browser, home, query)


def test_internal_links_are_alive(site):
    """Every reference within the site leads to a file and an anchor that exist."""
    faults = links.dead_links(site)
    assert not faults, "\n".join(faults)


def test_index_entries_point_at_text(site):
    """What the search shows of a result is the text at its target."""
    faults = links.empty_index_targets(site)
    assert not faults, "\n".join(faults)


def test_pages_introduce_themselves(site):
    """Each with a title that names the subject, and a description that is a sentence of its own."""
    faults = heads.faults(site)
    assert not faults, "\n".join(faults)


def test_downloads_answer(site, home):
    """Every offered file comes, is not empty, and is what its name says."""
    offered = links.downloads(site)
    assert offered
    faults = []
    for name in offered:
        with urlopen(home + name, timeout=30) as answer:  # noqa: S310  our own server
            trouble = links.unusable(name, answer.read())
        faults += [f"{name}: {trouble}"] if trouble else []
    assert not faults, "\n".join(faults)


def test_site_is_small(site):
    """The whole site stays below its limit."""
    assert links.size(site) <= SITE_LIMIT


def test_key_pages_exist(site):
    """A renamed page must not end the screenshots in silence."""
    assert [name for name in KEY_PAGES if not (site / name.split("?")[0]).is_file()] == []

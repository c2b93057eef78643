"""The parts of tests_site that need no browser: links, downloads, and the verdict on links."""

import importlib
import json
import sys
from pathlib import Path

import pytest

sys.path.append(str(Path(__file__).parents[2] / "tests_site"))
linkcheck = importlib.import_module("linkcheck")
links = importlib.import_module("links")


@pytest.fixture
def site(tmp_path):
    """Function that writes a page's body to a file of a small site with a second page."""
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep" / "other.html").write_text('<h1 id="top part">Other</h1><a name="old"></a>')

    def write(body):
        (tmp_path / "index.html").write_text(f'<p id="here">Text</p>{body}')
        return tmp_path

    return write


# -- Links within the site -------------------------------------------------------------------------


@pytest.mark.parametrize(
    "reference",
    [
        "deep/other.html",
        "deep/other.html#top%20part",
        "deep/other.html#old",
        "deep/../index.html?q=1#here",
        "/deep/other.html",
        "#here",
        "#",
        "",
        "https://example.org/gone",
        "//example.org/gone",
        "mailto:nobody@example.org",
        "data:,",
    ],
)
def test_living_links_pass(site, reference):
    """A file or an anchor that exists, and whatever leaves the site, is no fault."""
    assert links.dead_links(site(f'<a href="{reference}">x</a>')) == []


@pytest.mark.parametrize(
    ("element", "fault"),
    [
        ('<a href="gone.html">', "index.html: 'gone.html': no such file"),
        ('<a href="deep/other.html#gone">', "'deep/other.html#gone': no such anchor"),
        ('<a href="#gone">', "'#gone': no such anchor"),
        ('<a href="deep">', "'deep': no such file"),
        ('<a href="../outside.html">', "'../outside.html': no such file"),
        ('<img src="gone.png">', "'gone.png': no such file"),
        ('<img srcset="gone.png 1x, /deep/other.html 2x">', "'gone.png': no such file"),
        ('<link rel="icon" href="gone.svg">', "'gone.svg': no such file"),
        ('<script src="gone.js"></script>', "'gone.js': no such file"),
    ],
)
def test_dead_links_are_found(site, element, fault):
    """Pages, anchors, pictures, icons and scripts that are missing are named with their page."""
    found = links.dead_links(site(element))
    assert len(found) == 1
    assert found[0].endswith(fault)


def test_no_page_is_an_error(tmp_path):
    """A check of nothing must not pass; the message says how to get a site."""
    with pytest.raises(FileNotFoundError, match=r"no page in .*nox -s docs"):
        links.pages(tmp_path)


# -- Downloads and size ----------------------------------------------------------------------------


def test_downloads_are_found_once(site):
    """By their ending or by the attribute; other links and other hosts' files are left out."""
    folder = site(
        '<a href="a.py">1</a><a href="./a.py">2</a><a download href="deep/b.txt">3</a>'
        '<a href="deep/other.html">4</a><a href="https://example.org/c.zip">5</a>'
    )
    assert links.downloads(folder) == ["a.py", "deep/b.txt"]


@pytest.mark.parametrize(
    ("name", "content", "trouble"),
    [
        ("a.csv", b"", "empty"),
        ("a.json", b"{", "no valid .json"),
        ("a.ipynb", b"<html>", "no valid .ipynb"),
        ("a.py", b"def", "no valid .py"),
        ("a.zip", b"text", "no zip archive"),
    ],
)
def test_unusable_downloads_are_told(name, content, trouble):
    """A file that is empty, or not what its name says, is no download."""
    assert links.unusable(name, content).startswith(trouble)


def test_usable_downloads_pass():
    """So does a file of a kind that is not looked into."""
    assert links.unusable("a.json", b'{"a": 1}') == ""
    assert links.unusable("a.py", b"a = 1\n") == ""
    assert links.unusable("a.csv", b"a,b\n") == ""
    assert links.unusable("a.zip", b"PK\3\4...") == ""


def test_size_counts_every_file(tmp_path):
    """Files in folders count too."""
    (tmp_path / "deep").mkdir()
    (tmp_path / "a").write_bytes(b"123")
    (tmp_path / "deep" / "b").write_bytes(b"4567")
    assert links.size(tmp_path) == 7


# -- External links --------------------------------------------------------------------------------

NO_NAME = (
    "HTTPSConnectionPool(host='x.org', port=443): Max retries exceeded with url: / (Caused by "
    "NameResolutionError(\"Failed to resolve 'x.org' ([Errno -2] Name or service not known)\"))"
)
REFUSED = (
    "HTTPSConnectionPool(host='x.org', port=443): Max retries exceeded with url: / (Caused by "
    "NewConnectionError('Failed to establish a new connection: [Errno 111] Connection refused'))"
)
BLOCKED = (
    "HTTPSConnectionPool(host='x.org', port=443): Max retries exceeded with url: / (Caused by "
    "ProxyError('Unable to connect to proxy', OSError('Tunnel connection failed: 403 Forbidden')))"
)
GONE = "404 Client Error: Not Found for url: https://x.org/page"


def judged(*results):
    """Verdict on links of given statuses and infos."""
    lines = [
        json.dumps(
            {
                "filename": "numbers.rst",
                "lineno": number,
                "status": status,
                "code": 0,
                "uri": f"https://x.org/{number}",
                "info": info,
            }
        )
        for number, (status, info) in enumerate(results)
    ]
    return linkcheck.judge(linkcheck.read("\n".join(lines)))


@pytest.mark.parametrize(
    "info",
    [GONE, "410 Client Error: Gone for url: https://x.org/page", "Anchor 'part' not found"],
)
def test_a_host_that_denies_a_page_makes_the_link_dead(info):
    """Even where it is the only link: somebody answered."""
    verdict = judged(("broken", info))
    assert verdict.exit_status == 1
    assert f"dead: numbers.rst:0: https://x.org/0: {info}" in str(verdict)


def test_a_name_that_does_not_exist_is_dead_only_if_others_answer():
    """Otherwise it is the resolver that is missing."""
    assert judged(("broken", NO_NAME), ("working", "")).exit_status == 1
    assert judged(("broken", NO_NAME), ("broken", "403 Client Error: x")).exit_status == 1
    alone = judged(("broken", NO_NAME), ("broken", NO_NAME))
    assert alone.exit_status == 0
    assert str(alone).startswith("No network: none of 2 external links could be reached")


@pytest.mark.parametrize("info", [NO_NAME, REFUSED, BLOCKED])
def test_silence_of_all_is_no_network(info):
    """Neither refused connections nor a proxy that blocks everything makes a link dead."""
    verdict = judged(("broken", info), ("timeout", "read timed out"))
    assert verdict.no_network
    assert verdict.exit_status == 0


@pytest.mark.parametrize(
    ("status", "info"),
    [
        ("broken", REFUSED),
        ("broken", BLOCKED),
        ("broken", "403 Client Error: Forbidden for url: https://x.org/404 Client Error"),
        ("broken", "500 Server Error: x"),
        ("broken", "unauthorized"),
        ("timeout", "read timed out"),
        ("ignored", "service unavailable"),
    ],
)
def test_one_silent_host_is_told_and_not_called_dead(status, info):
    """It is listed for somebody to look at."""
    verdict = judged((status, info), ("redirected", "https://x.org/new"))
    assert not verdict.no_network
    assert verdict.exit_status == 0
    assert "silent, look yourself: numbers.rst:0: https://x.org/0" in str(verdict)
    assert str(verdict).endswith("External links: 1 alive, 0 dead, 1 silent.")


def test_local_and_unchecked_links_say_nothing_about_the_network():
    """Sphinx calls a file of the site `working`; that is no answer from outside."""
    local = '{"filename": "a", "lineno": 1, "status": "working", "uri": "a.py", "info": ""}'
    unchecked = '{"filename": "a", "lineno": 1, "status": "unchecked", "uri": "#a", "info": ""}'
    assert linkcheck.read(f"{local}\n{unchecked}") == []


def test_no_links_at_all_is_no_missing_network():
    """A site without external links is sound."""
    assert str(judged()) == "External links: 0 alive, 0 dead, 0 silent."


def test_an_unknown_status_is_an_error():
    """A later Sphinx may invent one; it must not count as alive."""
    with pytest.raises(
        ValueError, match=r"unknown status 'odd' of https://x\.org/0; known are bro"
    ):
        judged(("odd", ""))


def test_a_missing_file_is_told_apart_from_dead_links(tmp_path, capsys):
    """Sphinx and this check both end with 1 for a dead link; a crash before that gives 2."""
    path = tmp_path / "output.json"
    assert linkcheck.main(path) == 2
    assert "Sphinx ended before" in capsys.readouterr().out
    path.write_text("")
    assert linkcheck.main(path) == 0

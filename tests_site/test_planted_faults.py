"""Each check fails where there is a fault, and passes on the same page without it.

The pages are small, and sound but for the one fault that a test plants.
"""

import re

import heads
import pytest
import visits
from serving import serve

SOUND = """<!doctype html>
<html lang="en">
<head><meta charset="utf-8"><title>A page</title>
<meta name="viewport" content="width=device-width,initial-scale=1">
<link rel="icon" href="data:,">
<style>
  body {{ font-family: sans-serif; background: #fff; color: #111 }}
  a, button {{ display: inline-block; padding: 8px; color: #0b5c8a }}
  a:focus-visible, button:focus-visible {{ outline: 2px solid #0b5c8a }}
  {style}
</style></head>
<body><main><h1>A page</h1>
<p>It has some text and <a href="index.html">a link</a>.</p>
<img src="dot.svg" alt="A dot" width="20" height="20">
{body}
</main>{end}</body></html>
"""
DOT = '<svg xmlns="http://www.w3.org/2000/svg" width="20" height="20"><circle r="9"/></svg>'
DRAWER = """
<button aria-controls="drawer" aria-expanded="false" id="opener">Open</button>
<div id="drawer" style="visibility: hidden"><a href="index.html">inside</a></div>
"""
DRAWER_SCRIPT = """<script>
  const drawer = document.getElementById("drawer"), opener = document.getElementById("opener");
  function set(open) {
    drawer.style.visibility = open ? "visible" : "hidden";
    opener.setAttribute("aria-expanded", open);
  }
  opener.onclick = () => { set(true); drawer.querySelector("a").focus() };
  drawer.onkeydown = (event) => {
    if (event.key === "Escape") { set(false); opener.focus() }
  };
</script>"""


@pytest.fixture
def plant(tmp_path):
    """Function that writes and serves the page with a fault in it."""
    servers = []

    def write(body="", *, style="", end=""):
        page = SOUND.format(body=body, style=style, end=end)
        (tmp_path / "index.html").write_text(page, "utf-8")
        (tmp_path / "dot.svg").write_text(DOT, "utf-8")
        (tmp_path / "heavy.js").write_text(f"// {'x' * visits.PAGE_LIMIT}", "utf-8")
        server = serve(tmp_path)
        servers.append(server)
        return server.__enter__() + "index.html"

    yield write
    for server in servers:
        server.__exit__(None, None, None)


@pytest.mark.parametrize("width", visits.WIDTHS)
@pytest.mark.parametrize("scheme", visits.SCHEMES)
def test_sound_page_has_no_faults(browser, plant, scheme, width):
    """Without a fault there is nothing to say."""
    url = plant()
    assert visits.look(browser, url, scheme, width) == []
    assert visits.tab_through(browser, url, width) == []


@pytest.mark.parametrize(
    ("body", "style", "said"),
    [
        ('<img src="dot.svg" width="9" height="9">', "", "no alt text"),
        ('<img src="dot.svg" alt="" width="9" height="9">', "", "no alt text"),
        ('<img src="dot.svg" width="9" height="9">', "", "axe image-alt"),
        ('<img src="none.png" alt="Nothing">', "", "does not decode"),
        ('<img src="none.png" alt="Nothing">', "", "answer 404: .*none.png"),
        ("<img src='index.html' alt='No picture'>", "", "does not decode"),
        ('<div style="height:5000px"></div><img loading=lazy src="no.png" alt="N">', "", "404"),
        ('<script src="https://example.org/x.js"></script>', "", "external request: .*example.org"),
        ('<script src="https://example.org/x.js"></script>', "", "request failed"),
        ("<script>console.error('planted')</script>", "", "console error: planted"),
        ("<script>throw new Error('planted')</script>", "", "error in a script: .*planted"),
        ('<script src="heavy.js"></script>', "", r"fetched 1,50.*heavy\.js"),
        ('<div style="width: 2000px">wide</div>', "", "scrolls sideways"),
        ('<div style="width: 2000px">wide</div>', "html{overflow-x:hidden}", "reaches to 20"),
        ('<div style="width: 2000px">wide</div>', "main{overflow-x:auto}", "reaches to 20"),
        ('<p style="color: #999">pale</p>', "", "axe color-contrast"),
        (
            "<p>pale text</p>",
            "@media (prefers-color-scheme: dark) {p {color: #999}}",
            "color-contrast",
        ),
        (
            "<details><summary>S</summary><p style='color:#bbb'>pale text</p></details>",
            "",
            "color-contrast",
        ),
        ('<a href="a"></a>', "", "axe link-name"),
        ("<h1>Once more</h1><h4>Deep</h4>", "", "axe heading-order"),  # a best practice
        (
            "<button>one</button><button>two</button>",
            "button {all: unset; display: block; font-size: 6px}",
            "axe target-size",  # new in WCAG 2.2
        ),
    ],
)
def test_fault_is_found(browser, plant, body, style, said):
    """Each kind of fault is named, on the screen or in the scheme where it shows."""
    scheme = "dark" if "dark" in style else "light"
    faults = visits.look(browser, plant(body, style=style), scheme, 390)
    assert any(re.search(said, fault) for fault in faults), faults


def test_fault_of_one_scheme_is_no_fault_of_the_other(browser, plant):
    """The colour scheme does reach the page."""
    url = plant("<p>pale text</p>", style="@media (prefers-color-scheme: dark) {p {color: #999}}")
    assert visits.look(browser, url, "light", 390) == []


def test_fault_of_one_width_is_no_fault_of_the_other(browser, plant):
    """The width does reach the page."""
    url = plant('<div style="width: 900px">wide</div>')
    assert visits.look(browser, url, "light", 1280) == []
    assert visits.look(browser, url, "light", 390) != []


def test_a_box_may_scroll_by_itself(browser, plant):
    """Wide code in a box of its own is no fault."""
    url = plant('<pre tabindex="0" style="overflow-x: auto">' + "wide " * 500 + "</pre>")
    assert visits.look(browser, url, "light", 390) == []


@pytest.mark.parametrize(
    ("body", "style", "said"),
    [
        ("<a href='x'>x</a>", "a:focus-visible{outline:none}", "no visible focus: <a"),
        ("", "a:focus-visible{outline:2px solid #eee}", "no visible focus: <a"),
        ("<button style='opacity:0'>x</button>", "", "no visible focus: <button"),
        ('<a href="x" style="position:fixed;left:-900px">off</a>', "", "off the screen"),
        (
            "<a href='x'>x</a><div style='position:fixed;inset:0;background:#fff'></div>",
            "",
            "off the screen",
        ),
        (
            "<p style='position:relative'>Card<a href='x' style='font-size:0;padding:0'>x</a></p>",
            "a::after{content:'';position:absolute;inset:0}",
            "no visible focus",  # a ring around nothing
        ),
        ("<span onclick='go()'>click</span>", "", "not reached by Tab: <span onclick"),
        ("<span style='cursor:pointer'>click</span>", "", "not reached by Tab: <span style"),
        ("<button tabindex='-1'>click</button>", "", "not reached by Tab: <button"),
        (
            "<label for='b'>Toggle</label><input id='b' type='checkbox' style='display:none'>",
            "",
            "not reached by Tab: <label",
        ),
        (
            "<button onkeydown='event.preventDefault()'>t</button>",
            "",
            "keyboard trap",
        ),
        (DRAWER, "", "Enter does not open drawer"),
        (DRAWER + DRAWER_SCRIPT.replace(".focus() };\n  drawer", " };\n  drawer"), "", "behind"),
        (DRAWER + DRAWER_SCRIPT.replace("Escape", "F9"), "", "Escape does not close drawer"),
        (DRAWER + DRAWER_SCRIPT.replace("opener.focus()", ""), "", "loses the focus"),
        (
            DRAWER.replace("inside</a>", "i</a><b onclick='go()'>b</b>") + DRAWER_SCRIPT,
            "",
            "by Tab: <b",
        ),
    ],
)
def test_fault_for_the_keyboard_is_found(browser, plant, body, style, said):
    """What the keyboard does not reach, cannot leave or does not show is named."""
    faults = visits.tab_through(browser, plant(body, style=style), 390)
    assert any(re.search(said, fault) for fault in faults), faults


def test_sound_drawer_has_no_faults(browser, plant):
    """A drawer that opens, closes and gives the focus back passes."""
    assert visits.tab_through(browser, plant(DRAWER + DRAWER_SCRIPT), 390) == []


def test_missing_browser_says_what_to_do(monkeypatch):
    """The error names what was looked for and the remedy."""
    monkeypatch.setenv("INITGUIDE_CHROMIUM", "no-such-browser")
    with pytest.raises(FileNotFoundError, match=r"no-such-browser.*install.*INITGUIDE_CHROMIUM"):
        visits.chromium()


def test_one_stop_for_a_group_of_buttons(browser, plant):
    """Tab reaches one of its buttons, arrow keys the others; a label goes with its button."""
    button = "<label style='cursor: pointer'><input type='radio' name='{0}'{1}> {2}</label>"
    group = "".join(button.format("one", "", answer) for answer in "abc")
    assert visits.tab_through(browser, plant(group), 390) == []
    faults = visits.tab_through(browser, plant(button.format("two", " tabindex='-1'", "d")), 390)
    assert any(fault.startswith("not reached by Tab: <label") for fault in faults)


HEAD = """<!doctype html><html><head><title>{title}</title>
<meta name="description" content="{description}">
<meta property="og:title" content="{title}">
<meta property="og:description" content="{preview}">
</head><body>A <title>no title</title></body></html>"""
GOOD = {
    "title": "Gains · site",
    "description": "It asks. It tells.",
    "preview": "It asks. It tells.",
}


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({}, ""),
        ({"title": "4. Gains"}, "is no name"),
        ({"title": "x" * 200}, "is no name"),
        ({"description": "It is cut off in the mid"}, "is no sentence"),
        ({"description": "9 minutes to read · ran in 5 s."}, "is no sentence"),
        ({"description": "Takes 9 minutes to read."}, "of the build"),
        ({"preview": "Another."}, "og:description is 'Another.'"),
    ],
)
def test_heads(tmp_path, changes, said):
    """A title and a description that others can show."""
    (tmp_path / "a.html").write_text(HEAD.format(**(GOOD | changes)), "utf-8")
    (tmp_path / "search.html").write_text("<title>1</title>", "utf-8")
    faults = heads.faults(tmp_path)
    assert said in "\n".join(faults)
    assert bool(faults) is bool(changes)


def test_two_pages_with_the_same_head(tmp_path):
    """Nobody could choose between them."""
    for name in ("a.html", "b.html"):
        (tmp_path / name).write_text(HEAD.format(**GOOD), "utf-8")
    assert [fault.partition(":")[0] for fault in heads.faults(tmp_path)] == [
        "a.html, b.html have the same title",
        "a.html, b.html have the same description",
    ]

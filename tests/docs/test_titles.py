"""What a page is called outside of the site."""

import sys
from pathlib import Path

import pytest

pytest.importorskip("sphinx_gallery", reason="the group `docs` is not installed")
ROOT = Path(__file__).parents[2]
sys.path.append(str(ROOT / "docs" / "_ext"))
import titles  # noqa: E402  one of the site's extensions


@pytest.mark.parametrize(
    ("title", "page", "expected"),
    [
        (
            "5. Transformers",
            "auto_examples/architectures/plot_5_transformers",
            "Transformers: weight initialization, measured · initguide",
        ),
        (
            "How many seeds?",
            "auto_examples/practice/plot_8",
            "How many seeds? Weight initialization, measured · initguide",
        ),
        (
            "5. Depth: the edge of chaos",
            "auto_examples/theory/plot_5_depth",
            "Depth: the edge of chaos · weight initialization, measured · initguide",
        ),
        ("Glossary", "glossary", "Glossary: weight initialization · initguide"),
        (
            "Which initialization should I use?",
            "which",
            "Which initialization should I use? · initguide",
        ),
        ("initguide.plots", "api/plots", "initguide.plots · initguide"),
        ("initguide", "index", "Weight initialization, measured · initguide"),
    ],
)
def test_a_title_names_the_subject(title, page, expected):
    """Without the number that it has in its section."""
    assert titles.full(title, page, "initguide") == expected

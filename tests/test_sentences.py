"""Sentences that a measurement chooses."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from initguide import all_of, bullets, says

BRANCHES = ("It grows.", "It shrinks.", "It may do either.")


@pytest.mark.parametrize(
    ("holds", "text"),
    [
        (True, BRANCHES[0]),
        (np.bool_(False), BRANCHES[1]),
        (torch.tensor(True), BRANCHES[0]),
        (None, BRANCHES[2]),
    ],
)
def test_a_measurement_chooses(holds, text):
    """A truth value of Python, NumPy or PyTorch, or None."""
    assert str(says(holds, *BRANCHES)) == text


def test_numbers_stand_in_the_sentence():
    """Formatted as asked, with a minus that is no hyphen; words keep their hyphens."""
    said = says(True, "{name}: {by:+.1f}.", "No.", by=-1.25, name="so-so")
    assert str(said) == "so-so: −1.2."
    assert said.text("no") == "No."
    assert str(says(True, "{x:.2f}{{}}", "No.", x=torch.tensor(0.5))) == "0.50{}"


@pytest.mark.parametrize(
    ("spec", "value", "text"),
    [
        ("≤.2f", 1.001, "1.01"),
        ("≤.2f", 1.0, "1.00"),
        ("≤.1f", 14.39, "14.4"),
        ("≥.1f", 14.39, "14.3"),
        ("≤.0%", 0.1441, "15%"),
        ("≤+.1f", 0.31, "+0.4"),
        ("≥.3f", 0.9996, "0.999"),
        ("≤.1f", 1e300, f"{10**300}.0"),
        ("≤d", 2.5, "3"),
        ("≤.0f", -2.5, "−2"),
        ("≥.0f", -2.5, "−3"),
        ("≤,.0f", 1999.5, "2,000"),
        ("≤d", 3, "3"),
        ("≤.1f", float("inf"), "inf"),
    ],
)
def test_a_bound_is_rounded_so_that_it_stays_one(spec, value, text):
    """Upwards if it is the most, downwards if it is the least."""
    assert str(says(True, "At {x:" + spec + "}.", "No.", x=value)) == f"At {text}."


@given(st.floats(-1e6, 1e6), st.integers(0, 5))
def test_no_bound_is_crossed(value, digits):
    """Whatever the number, and by less than one of the last digit."""
    for sign, sense in (("≤", 1), ("≥", -1)):
        said = says(True, f"{{x:{sign}.{digits}f}}", "No.", x=value)
        shown = float(str(said).replace("−", "-"))
        assert -1e-9 <= sense * (shown - value) <= 10.0**-digits + 1e-9


@pytest.mark.parametrize(
    ("spec", "value"), [(".1f", "x"), (".1f", True), (".2g", 1.0), (".1e", 1.0), ("", 1.0)]
)
def test_what_is_no_bound(spec, value):
    """An interval has no side to be rounded to, and decimals have to be said."""
    with pytest.raises(TypeError, match="give a number, and a format that says how many decimals"):
        says(True, f"{{x:≤{spec}}}", "No.", x=value)


@pytest.mark.parametrize("holds", [0.3, 1, "yes", np.float64(1), torch.tensor([True, False])])
def test_refused_conditions(holds):
    """A number is no truth value."""
    with pytest.raises(TypeError, match="must be True, False, or None"):
        says(holds, *BRANCHES)


def test_undecided_needs_a_sentence():
    """Silence would be taken for one of the other two."""
    with pytest.raises(ValueError, match=r"no sentence for that beside 'It grows\.'"):
        says(None, *BRANCHES[:2])


def test_a_field_without_value_is_found_in_every_branch():
    """Also in the one that is not chosen today."""
    with pytest.raises(ValueError, match=r"\{gain\}.*add gain=.*there are: by"):
        says(True, "By {by}.", "By {gain}.", by=1)


def test_paragraphs_and_lists():
    """Added sentences are a paragraph, and a list has one item a line."""
    one, two = says(True, "One.", "None."), says(False, "Two.", "None.")
    assert str(one + two + one) == "One. None. One."
    assert str(one + (two + one)) == "One. None. One."
    assert str(bullets(one, one + two)) == "- One.\n- One. None."
    with pytest.raises(TypeError, match="inside bullets"):
        bullets(one) + two


def test_markup():
    """Plain in a terminal, Markdown in a notebook."""
    said = says(
        True,
        "``a_b`` is *not* :math:`\\sqrt{{2}}`: see :doc:`that page </x/y>`, :func:`~a.b.c`.",
        "No.",
    )
    assert str(said) == r"a_b is not \sqrt{2}: see that page, c."
    assert said._repr_markdown_() == r"`a_b` is *not* $\sqrt{2}$: see that page, `c`."
    assert bullets(said, said)._repr_markdown_().count("\n- `a_b`") == 1


@given(st.sampled_from([True, False, None]), st.floats(allow_nan=False))
def test_only_one_branch_is_said(holds, value):
    """Whatever the value."""
    said = says(holds, "A{v:g}A", "B{v:g}B", "C{v:g}C", v=value)
    letter = {True: "A", False: "B", None: "C"}[holds]
    text = str(said).strip(letter)
    assert not text.startswith("-")
    assert float(text.replace("−", "-")) == float(f"{value:g}")


@given(st.lists(st.sampled_from([True, False, None]), max_size=4))
def test_all_of_several(holds):
    """It is decided against by one, and in favour only by all: whatever the undecided are."""
    worlds = [[h if h is not None else other for h in holds] for other in (True, False)]
    found = {all(world) for world in worlds}
    assert all_of(*holds) is (found.pop() if len(found) == 1 else None)

"""Questions before a result, whose answer a measurement chooses."""

import numpy as np
import pytest
import torch

from initguide import asks, says

QUESTION = "Behind {depth} layers, what is left of ``x``?"
ANSWERS = ["About *half*.", "About 1/{depth}.", "Nothing."]
BECAUSE = says(True, "It halves: :math:`2^{{-n}}`.", "It does not.")


def _asked(right, because=BECAUSE):
    return asks(QUESTION, ANSWERS, right, because, depth=5)


def test_printed():
    """As plain text, with the letters of the answers, and the right one at the end."""
    assert str(_asked([False, True, False])) == (
        "Behind 5 layers, what is left of x?\n"
        "  a) About half.\n"
        "  b) About 1/5.\n"
        "  c) Nothing.\n"
        "The answer is b. It halves: 2^{-n}."
    )
    assert repr(_asked([True, False, False])) == str(_asked([True, False, False]))


def test_in_a_notebook():
    """The answer is folded; formulas and code are marked as a notebook does."""
    shown = _asked([True, False, False])._repr_markdown_()
    before, _, folded = shown.partition("<details><summary>Check your prediction</summary>\n\n")
    assert before.startswith("**Predict, then check.** Behind 5 layers, what is left of `x`?\n\n")
    assert before.count("\n- **") == 3
    assert "- **a**: About *half*." in before
    assert folded == "**The answer is a.** It halves: $2^{-n}$.\n\n</details>"
    assert "answer is" not in before


@pytest.mark.parametrize(
    ("right", "at"),
    [
        ([np.True_, False, False], 0),
        ((False, torch.tensor(True), None), 1),
        ([False, False, False], None),
        ([None, None, False], None),
    ],
)
def test_a_measurement_chooses(right, at):
    """Truth values as `says` knows them; where none holds, it is told whether one still may."""
    asked = _asked(right)
    assert asked.right == at
    assert ("None of them is decided." in str(asked)) == (at is None and None in right)
    assert ("None of them came out." in str(asked)) == (at is None and None not in right)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("It grows.", ["a", "b"], [1 > 0, 0 > 1], BECAUSE), "must end with a question mark"),  # noqa: PLR0133
        (("Why?", ["a"], [True], BECAUSE), "give two to ten, each different"),
        (("Why?", ["a", "a"], [True, False], BECAUSE), "give two to ten, each different"),
        (("Why?", ["a", "b"], [True], BECAUSE), "right has 1 values for 2 answers"),
        (("Why?", ["a", "b"], [True, True], BECAUSE), "right holds for 'a' and 'b'"),
        (("Why {x}?", ["a", "b"], [True, False], BECAUSE), "field {x}, which has no value"),
    ],
)
def test_refused(arguments, message):
    """Each with what came and what is allowed."""
    with pytest.raises(ValueError, match=message):
        asks(*arguments)


def test_refused_types():
    """A number is no truth value, and a text no sentence that was measured."""
    with pytest.raises(TypeError, match="must be True, False, or None"):
        asks("Why?", ["a", "b"], [0.3, False], BECAUSE)
    with pytest.raises(TypeError, match=r"because is 'so'; it must be what says\(...\) returns"):
        asks("Why?", ["a", "b"], [True, False], "so")

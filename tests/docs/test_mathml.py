"""Formulas."""

import re
from importlib import import_module as extension

import pytest


@pytest.mark.parametrize(
    ("latex", "part"),
    [
        (r"\frac{1}{\sqrt{n}}", "<msqrt>"),
        (r"a < b", "&lt;"),
        (r"\operatorname{Var}(z)", "Var"),
        (r"\mathbb{E}[\phi'(z)^2]", "𝔼"),
    ],
)
def test_formulas_become_mathml(latex, part):
    """Inline formulas are converted, and no LaTeX is left."""
    result = extension("mathml").convert(latex)
    assert result.startswith("<math")
    assert part in result
    assert "\\" not in result


def test_aligned_formulas_become_a_table():
    r"""``align`` and bare lines give the same rows."""
    convert = extension("mathml").convert
    lines = r"a &= b \\ &= c"
    assert convert(lines, block=True).count("<mtr>") == 2
    assert convert(rf"\begin{{align}}{lines}\end{{align}}", block=True) == convert(
        lines, block=True
    )


@pytest.mark.parametrize("latex", [r"\foo{x}", r"\frac{1", r"a & b", r"\tfrac13"])
def test_formulas_that_cannot_be_converted_are_refused(latex):
    """An unknown command, open braces and a stray ``&`` are errors that show the formula."""
    with pytest.raises(ValueError, match=re.escape(repr(latex))):
        extension("mathml").convert(latex)

"""Sentences that a measurement chooses: what it says is what came out, on any machine."""

import re
import string
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import ROUND_CEILING, ROUND_FLOOR, Decimal, localcontext
from numbers import Number, Real
from typing import Any

import numpy as np
import torch
from torch import Tensor

__all__ = ["Sentence", "Sentences", "all_of", "bullets", "says", "with_minus"]

# Inline markup of reStructuredText, which the site reads as it is: code, and roles.
_MARKUP = re.compile(
    r"``(?P<code>.+?)``"
    r"|:(?P<role>[\w:-]+):`(?P<words>[^`<]*[^`<\s])\s*(?:<[^`>]+>)?`"
)
_BOUNDS = ("≤", "≥")  # a number that is at most, or at least, what is written
_OUTCOMES = {True: "so", False: "no", None: "undecided"}


@dataclass(frozen=True, repr=False)
class Sentence:
    """What `says` returns. Printed, it is its text; a notebook shows it as text, too.

    Two of them added make a paragraph.

    Attributes
    ----------
    outcome
        Which of the branches came out: ``"so"``, ``"no"`` or ``"undecided"``.
    branches
        Outcome -> the sentence for it, with fields such as ``{gain:.1f}``.
    values
        Field, as it is written between the braces -> the text that stands there.
    key
        By which the site's tables find it; may be empty.
    """

    outcome: str
    branches: Mapping[str, str]
    values: Mapping[str, str]
    key: str = ""

    def text(self, outcome: str | None = None) -> str:
        """The sentence, with its markup; of another ``outcome``, if one is given."""
        template = self.branches[self.outcome if outcome is None else outcome]
        parts = string.Formatter().parse(template)
        return "".join(
            words + ("" if field is None else self.values[_field(field, spec or "")])
            for words, field, spec, _ in parts
        )

    def __add__(self, other: "Sentence | Sentences") -> "Sentences":
        more = other.items if isinstance(other, Sentences) else (other,)
        return Sentences((self, *more))

    def __str__(self) -> str:
        return _plain(self.text())

    __repr__ = __str__

    def _repr_markdown_(self) -> str:
        return _markdown(self.text())


@dataclass(frozen=True, repr=False)
class Sentences:
    """Several sentences: a paragraph, or a list.

    Attributes
    ----------
    items
        `Sentence` or, in a list, paragraphs of them.
    bulleted
        Whether it is a list.
    """

    items: "tuple[Sentence | Sentences, ...]"
    bulleted: bool = False

    def __add__(self, other: "Sentence | Sentences") -> "Sentences":
        if self.bulleted:
            raise TypeError("a list of bullets is whole; add sentences inside bullets(...)")
        more = other.items if isinstance(other, Sentences) else (other,)
        return Sentences((*self.items, *more))

    def __str__(self) -> str:
        return "\n".join(f"- {item}" for item in self.items) if self.bulleted else self._joined(str)

    __repr__ = __str__

    def _joined(self, write: Any) -> str:
        return " ".join(map(write, self.items))

    def _repr_markdown_(self) -> str:
        texts = [item._repr_markdown_() for item in self.items]
        return "\n".join(f"- {text}" for text in texts) if self.bulleted else " ".join(texts)


def says(
    holds: bool | np.bool_ | Tensor | None,
    so: str,
    no: str,
    undecided: str | None = None,
    /,
    *,
    key: str = "",
    **values: Any,
) -> Sentence:
    """Say what a measurement shows, whichever way it came out.

    A sentence that is typed beside a number outlives it: on another machine, or with other seeds,
    the number is another, and the sentence is wrong. So all its forms are written, and the
    measurement chooses.

    Parameters
    ----------
    holds
        Whether it is so: a comparison of numbers, or what an interval decides, such as
        ``result.difference("a", "b").better()``, which is ``None`` where these seeds cannot tell.
    so, no, undecided
        The sentence for ``True``, for ``False`` and for ``None``. ``{gain:.1f}`` stands for the
        value of that name. A bound is rounded so that it stays one: ``{most:≤.1f}`` upwards, and
        ``{least:≥.1f}`` downwards. Markup is that of the pages: ````code````, ``*emphasis*``,
        ``:math:`x```.
    key
        By which the site's tables find what came out.
    **values
        What the fields stand for. A minus is written as one.

    Returns
    -------
    Sentence
        It is shown by a cell that ends with it.

    Raises
    ------
    TypeError
        If ``holds`` is neither a truth value nor ``None``.
    ValueError
        If it is ``None`` and nothing is said for that, or a sentence has a field without a value.

    Examples
    --------
    >>> ratio = 2.04
    >>> print(says(ratio > 1.5, "It grows {by:.1f}-fold.", "It hardly grows.", by=ratio))
    It grows 2.0-fold.
    >>> print(says(ratio < 3, "Within a factor of {by:≤.1f}.", "By {by:.1f}.", by=ratio))
    Within a factor of 2.1.
    """
    holds = _truth(holds)
    branches = {"so": so, "no": no}
    if undecided is not None:
        branches["undecided"] = undecided
    elif holds is None:
        raise ValueError(
            f"nothing is decided, and there is no sentence for that beside {so!r}; add a third one"
        )
    texts = {}
    for template in branches.values():  # all of them: tomorrow another one may be chosen
        for _, field, spec, _ in string.Formatter().parse(template):
            if field is None:
                continue
            if field not in values:
                raise ValueError(
                    f"{template!r} has the field {{{field}}}, which has no value; "
                    f"add {field or 'a name'}=... (there are: {', '.join(values) or 'none'})"
                )
            texts[_field(field, spec or "")] = _written(values[field], spec or "")
    return Sentence(_OUTCOMES[holds], branches, texts, key)


def _truth(holds: bool | np.bool_ | Tensor | None) -> bool | None:
    if isinstance(holds, np.bool_):
        return bool(holds)
    if isinstance(holds, Tensor) and holds.dtype == torch.bool and holds.numel() == 1:
        return bool(holds.item())
    if holds is None or isinstance(holds, bool):
        return holds
    raise TypeError(f"holds is {holds!r}; it must be True, False, or None where nothing is decided")


def all_of(*holds: bool | np.bool_ | Tensor | None) -> bool | None:
    """Whether all of several things hold, where some may be undecided.

    Raises
    ------
    TypeError
        If one of them is neither a truth value nor ``None``.

    Examples
    --------
    >>> all_of(True, None, False), all_of(True, None), all_of(True, True)
    (False, None, True)
    """
    known = [_truth(one) for one in holds]
    return False if False in known else None if None in known else True


def bullets(*items: Sentence | Sentences) -> Sentences:
    """Make a list of sentences: each item is what `says` returns, or a sum of such.

    Examples
    --------
    >>> print(bullets(says(2 > 1, "Two is more.", "Two is less."), says(True, "Yes.", "No.")))
    - Two is more.
    - Yes.
    """
    return Sentences(items, bulleted=True)


def _field(name: str, spec: str) -> str:
    return f"{name}:{spec}" if spec else name


def _written(value: Any, spec: str) -> str:
    """Format a value; a number's sign is a minus and no hyphen."""
    value = value.item() if isinstance(value, Tensor) else value
    bound = spec[:1] if spec[:1] in _BOUNDS else ""
    text = _rounded_outwards(value, bound, spec[1:]) if bound else format(value, spec)
    return with_minus(text) if isinstance(value, Number) else text


def _rounded_outwards(value: Any, bound: str, spec: str) -> str:
    """Format a number as a bound: no less than it for "≤", no more for "≥"."""
    form = re.fullmatch(r"[+]?,?(?:\.(\d+))?([f%]|d)", spec)
    if form is None or not isinstance(value, Real) or isinstance(value, bool | np.bool_):
        raise TypeError(
            f"{bound + spec!r} is to round {value!r} as a bound; give a number, and a format that "
            f"says how many decimals, such as {bound}.1f or {bound}.0%"
        )
    digits = 0 if form[2] == "d" else int(form[1] or 6) + (2 if form[2] == "%" else 0)
    exact = Decimal(str(value))
    if not exact.is_finite():
        return format(value, spec)
    rounding = ROUND_CEILING if bound == "≤" else ROUND_FLOOR
    with localcontext(prec=400):  # the largest float has 309 digits
        rounded = exact.quantize(Decimal(1).scaleb(-digits), rounding)
    return format(int(rounded) if form[2] == "d" else rounded, spec)


def with_minus(text: str) -> str:
    """Write a number's sign as a minus and no hyphen; a zero has none.

    Examples
    --------
    >>> with_minus("-0.21"), with_minus("-0.0"), with_minus("1e-07")
    ('−0.21', '0.0', '1e-07')
    """
    text = re.sub(r"(?<![\de])-(0(?:\.0*)?)(?![\d.e])", r"\1", text)
    return re.sub(r"(?<![\de])-(?=[\d.i])", "−", text)


def _markdown(text: str) -> str:
    """Rewrite roles for a notebook: formulas between dollar signs, objects as code, else words."""

    def written(match: re.Match[str]) -> str:
        if match["code"] is not None:
            return f"`{match['code']}`"
        if match["role"] == "math":
            return f"${match['words']}$"
        words = match["words"].rpartition(".")[2] if match["words"][0] == "~" else match["words"]
        return words if match["role"] in {"doc", "ref", "term"} else f"`{words}`"

    return _MARKUP.sub(written, text)


def _plain(text: str) -> str:
    """Take the markup out, for a terminal."""
    bare = re.sub(r"(?<![\w*])\*{1,2}(\S(?:.*?\S)?)\*{1,2}(?![\w*])", r"\1", _markdown(text))
    return re.sub(r"[`$]", "", bare)

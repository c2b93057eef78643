"""What is to be seen in a figure, in words: alt texts, and numbers for people."""

import textwrap
from collections.abc import Sequence
from weakref import WeakKeyDictionary

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from initguide.training import Run

# Weak, so that a figure that is closed is freed with its texts: pages draw many.
_TEXTS: WeakKeyDictionary[Figure | Axes, str] = WeakKeyDictionary()


_ALT_LENGTH = 400  # as `describe` advises; longer ones are read past


def describe(target: Figure | Axes, text: str) -> None:
    """Say in words what is to be seen, for those who cannot see it.

    The text is kept beside the figure and changes nothing in the drawing. It replaces an earlier
    one.

    Parameters
    ----------
    target
        A figure, or one Axes of it.
    text
        Plain text, best under 400 characters, with the numbers that matter.

    Raises
    ------
    TypeError
        If ``target`` is something else, such as an array of Axes.
    """
    if not isinstance(target, Figure | Axes):
        raise TypeError(
            f"target is a {type(target).__name__}; describe takes a Figure or one Axes of it"
        )
    _TEXTS[target] = text


def alt_text(figure: Figure) -> str:
    """Alt text of a figure.

    Parameters
    ----------
    figure
        Any figure.

    Returns
    -------
    str
        The figure's own text if it has one, else its Axes' texts joined by a space, else ``""``.

    Examples
    --------
    >>> import matplotlib.pyplot as plt
    >>> from initguide.plots import subplots
    >>> figure, (left, right) = subplots(1, 2)
    >>> describe(left, "A line that rises.")
    >>> describe(right, "A line that falls.")
    >>> alt_text(figure)
    'A line that rises. A line that falls.'
    >>> plt.close(figure)
    """
    if figure in _TEXTS:
        return _TEXTS[figure]
    return " ".join(_TEXTS[ax] for ax in figure.axes if _TEXTS.get(ax))


def say_after(ax: Axes, text: str, *, after: str) -> None:
    """Describe what a plot function drew, after the text for what was there already."""
    describe(ax, f"{after} {text}".strip())


def text_so_far(ax: Axes) -> str:
    """Return the text for what is drawn already; none after ``ax.clear()``."""
    return _TEXTS.get(ax, "") if ax.has_data() else ""


def fitting(start: str, parts: Sequence[str], instead: str) -> str:
    """Join a sentence from its parts, or say it in short where it gets too long."""
    full = f"{start}{'; '.join(parts)}."
    return (
        full
        if len(full) <= _ALT_LENGTH
        else textwrap.shorten(start + instead, _ALT_LENGTH, placeholder=" …")
    )


def number_text(value: float, digits: int | None = None) -> str:
    """Write a number for people, with a true minus sign."""
    if digits is not None:
        text = f"{value:.{digits}f}"
    elif value == 0 or 0.1 <= abs(value) < 1e6:  # three digits, more if they stand before the point
        text = f"{value:,.{2 if abs(value) < 10 else 1 if abs(value) < 100 else 0}f}"
    else:
        text = f"{value:#.2g}"
    return text.replace("-", "−")


def capital(text: str) -> str:
    """Begin with a capital letter."""
    return text[:1].upper() + text[1:]


def counted(number: int, noun: str) -> str:
    """Write a number with its noun: ``one seed``, ``5 seeds``."""
    return f"one {noun}" if number == 1 else f"{number} {noun}s"


def lost_text(runs: Sequence[Run]) -> str:
    """Say in words how many of the runs diverged, or that there is none; empty if all is well."""
    if not runs:
        return "no run"
    number = sum(run.diverged for run in runs)
    if not number:
        return ""
    return "diverged" if number == len(runs) == 1 else f"{number} of {len(runs)} diverged"

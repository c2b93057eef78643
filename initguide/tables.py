"""Tables: the same numbers in a terminal, in a notebook, on the site and in a file."""

import csv
import dataclasses
import functools
import html
import io
import math
import os
import textwrap
from collections.abc import Collection, Mapping, Sequence
from numbers import Integral, Real
from typing import Any, Self

import numpy as np
from torch import Tensor

from initguide.writing import write_whole

__all__ = ["Code", "Table"]


class Code(str):
    """A cell of code: in HTML its lines and spaces are kept, so that it can be copied.

    Parameters
    ----------
    code
        The code.
    before
        Words above it, in the same cell: a code needs the whole width of a narrow page.
    """

    __slots__ = ("before", "code")

    code: str
    before: str

    def __new__(cls, code: str, before: str = "") -> Self:
        """The text of the cell, where there is no HTML."""
        cell = super().__new__(cls, f"{before}\n{code}" if before else code)
        cell.code, cell.before = code, before
        return cell


@dataclasses.dataclass(frozen=True, repr=False)
class Table:
    """Columns of numbers and words under a caption.

    A cell that ends with this object shows it as an HTML table; ``print`` writes it as text.

    Parameters
    ----------
    columns
        Name of each column -> its values, all columns equally long. The first column names the
        rows. A tensor or array without axes counts as the number that it holds.
    caption
        What the table shows, in a line.
    note
        What has to be known to read it, below the table.
    formats
        Name of a column -> how its numbers are written: a format specification such as ``".3f"``,
        or a function that returns the text. Numbers have four significant digits where nothing is
        said. ``None`` and NaN are written as "–", truth values as "yes" and "no".
    marked
        Numbers of the rows to be highlighted, counted from 0.
    width
        Text lines longer than this have the middle cut out of their words, down to ten letters per
        column. ``None`` leaves lines as long as they are.

    Raises
    ------
    ValueError
        If there is no column, the columns differ in length, one has tensors or arrays of several
        numbers as its values, or ``formats`` names one that is not there.

    Examples
    --------
    >>> print(Table({"activation": ["ReLU", "tanh"], "gain": [2**0.5, 1.59254]}, caption="Gains"))
    Gains
    ─────────────────
    activation   gain
    ─────────────────
    ReLU        1.414
    tanh        1.593
    ─────────────────
    """

    columns: Mapping[str, Sequence[Any]]
    caption: str
    note: str = ""
    formats: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    marked: Collection[int] = ()
    width: int | None = None

    def __post_init__(self) -> None:
        if not self.columns:
            raise ValueError("columns is empty; give at least one name with its values")
        lengths = {name: len(values) for name, values in self.columns.items()}
        if len(set(lengths.values())) > 1:
            found = ", ".join(f"{name!r} {length}" for name, length in lengths.items())
            raise ValueError(f"the columns must be equally long, but they have: {found}")
        if unknown := [name for name in self.formats if name not in self.columns]:
            raise ValueError(
                f"formats names {unknown[0]!r}, which is no column; "
                f"the columns are {', '.join(map(repr, self.columns))}"
            )

        plain = {name: _plain(name, values) for name, values in self.columns.items()}
        object.__setattr__(self, "columns", plain)  # the class is frozen

    def _cells(self) -> list[list[str]]:
        """Texts of the rows."""
        texts = [
            [_text(value, self.formats.get(name)) for value in values]
            for name, values in self.columns.items()
        ]
        return [list(row) for row in zip(*texts, strict=True)]

    def _is_numeric(self) -> list[bool]:
        """Whether each column is numbers, to be set flush right."""
        return [
            # The first column names the rows, even where the names are numbers.
            i > 0 and not any(_is_word(value) for value in values)
            for i, values in enumerate(self.columns.values())
        ]

    def __str__(self) -> str:
        lines = [list(self.columns), *self._cells()]
        widths = [max(len(line[i]) for line in lines) for i in range(len(self.columns))]
        numeric = self._is_numeric()
        for i, is_number in enumerate(numeric):
            if self.width is not None and not is_number:  # a cut number would be another number
                over = max(0, sum(widths) + 2 * (len(widths) - 1) - self.width)
                widths[i] -= min(over, max(0, widths[i] - 10))

        def joined(line: list[str]) -> str:
            cells = zip(line, widths, numeric, strict=True)
            return "  ".join(
                c.rjust(w) if n else _shortened(c, w).ljust(w) for c, w, n in cells
            ).rstrip()

        header, *body = map(joined, lines)
        rule = "─" * max(map(len, (header, *body)))
        # A path is to be copied from the note, so it stays whole.
        notes = textwrap.wrap(
            self.note, max(len(rule), 72), break_long_words=False, break_on_hyphens=False
        )
        return "\n".join([self.caption, rule, header, rule, *body, rule, *notes])

    __repr__ = __str__

    def _repr_html_(self) -> str:
        # Quotes matter in attributes only, and no cell goes there.
        text = functools.partial(html.escape, quote=False)
        kinds = [
            "" if is_number else ' class="words long"' if _is_long(values) else ' class="words"'
            for is_number, values in zip(self._is_numeric(), self.columns.values(), strict=True)
        ]
        head = "".join(
            f'<th scope="col"{kind}>{text(name)}</th>'
            for name, kind in zip(self.columns, kinds, strict=True)
        )
        body = ""
        for i, (first, *cells) in enumerate(self._cells()):
            body += '<tr class="best">' if i in self.marked else "<tr>"
            body += f'<th scope="row">{text(first)}</th>'
            body += "".join(
                f"<td{kind}>{text(cell.before)}<pre>{text(cell.code)}</pre></td>"
                if isinstance(cell, Code)
                else f"<td{kind}>{text(cell)}</td>"
                for cell, kind in zip(cells, kinds[1:], strict=True)
            )
            body += "</tr>"
        return (
            '<div class="initguide-table"><table>'
            f"<caption>{text(self.caption)}</caption>"
            f"<thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>"
        ) + (f'<p class="initguide-note">{text(self.note)}</p>' if self.note else "")

    def to_csv(self, path: str | os.PathLike[str] | None = None) -> str:
        r"""Write the values, unrounded, as comma-separated text with a header.

        ``None`` and NaN are left empty.

        Parameters
        ----------
        path
            A file to write, whole or not at all; only the text is returned if ``None``.

        Returns
        -------
        str
            The text.

        Raises
        ------
        ValueError
            If ``path`` is something else than a file, such as a folder or a device.
        OSError
            If the folder does not exist, or the file cannot be written.

        Examples
        --------
        >>> Table({"n": [1, 2], "1/n": [1.0, 0.5]}, caption="Inverses").to_csv()
        'n,1/n\n1,1.0\n2,0.5\n'
        """
        file = io.StringIO()
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(self.columns)
        for row in zip(*self.columns.values(), strict=True):
            writer.writerow([None if _is_missing(value) else value for value in row])
        text = file.getvalue()
        if path is not None:
            write_whole(path, text)
        return text


def _is_missing(value: Any) -> bool:
    return value is None or (isinstance(value, Real) and math.isnan(value))


def _plain(name: str, values: Sequence[Any]) -> Sequence[Any]:
    """A column with numbers in place of the tensors and arrays that hold one."""
    if not any(isinstance(value, Tensor | np.ndarray) for value in values):
        return values
    wrong = next((v for v in values if isinstance(v, Tensor | np.ndarray) and v.ndim), None)
    if wrong is not None:
        raise ValueError(
            f"column {name!r} has a value of shape {tuple(wrong.shape)}; "
            "a cell holds one number, so give a column for each, or a mean"
        )
    return [v.item() if isinstance(v, Tensor | np.ndarray) else v for v in values]


def _is_word(value: Any) -> bool:
    """Whether a cell is more than a number, a range of numbers or a placeholder."""
    if isinstance(value, bool | np.bool_):
        return True  # yes or no
    if not isinstance(value, str):
        return False
    # The e of 1e-05 does not make a word.
    return any(character.isalpha() for character in value.replace("e+", "").replace("e-", ""))


def _is_long(values: Sequence[Any]) -> bool:
    """Whether there are sentences among some cells, which want a wide column."""
    return any(isinstance(value, str) and len(value) > 40 for value in values)


def _shortened(text: str, width: int) -> str:
    """Cut the middle out of a text that is too long: names differ at their ends."""
    if len(text) <= width:
        return text
    end = (width - 1) // 2
    return f"{text[: width - 1 - end]}…{text[len(text) - end :]}"


def _text(value: Any, spec: Any) -> str:
    if _is_missing(value):
        return "–"
    if callable(spec):
        return str(spec(value))
    if isinstance(value, bool | np.bool_):  # before numbers: a Python bool is an Integral, too
        return "yes" if value else "no"
    if not isinstance(value, Real):
        return value if isinstance(value, str) else str(value)
    # Whole numbers first, since they are Real, too: they get no decimals.
    if isinstance(value, Integral):
        return f"{value:{spec or ','}}".replace("-", "−")
    number = float(value)
    if spec is None:
        spec = "#.4g" if number and 1e-4 <= abs(number) < 1e5 else ".3e" if number else "g"
    return format(number, spec).replace("-", "−")

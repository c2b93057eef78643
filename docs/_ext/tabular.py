"""A table of docutils' nodes, for extensions that make one after the text has been read."""

from collections.abc import Iterable, Sequence

from docutils import nodes


def table(
    heads: Sequence[str],
    rows: Iterable[Sequence[list[nodes.Node]]],
    widths: Sequence[int],
    *,
    title: str = "",
    classes: Sequence[str] = (),
) -> nodes.table:
    """Make a table.

    Parameters
    ----------
    heads
        What stands above the columns.
    rows
        A sequence of cells for each row; a cell is what stands in its paragraph.
    widths
        Of the columns, relative to each other.
    title
        The caption; none if empty.
    classes
        By which the style sheet knows it.
    """
    group = nodes.tgroup(cols=len(heads))
    group += [nodes.colspec(colwidth=width) for width in widths]
    group += nodes.thead("", _row([[nodes.Text(head)] for head in heads]))
    group += nodes.tbody("", *map(_row, rows))
    caption = [nodes.title("", title)] if title else []
    return nodes.table("", *caption, group, classes=list(classes))


def _row(cells: Sequence[list[nodes.Node]]) -> nodes.row:
    return nodes.row("", *(nodes.entry("", nodes.paragraph("", "", *cell)) for cell in cells))

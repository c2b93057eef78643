"""The numbers behind a figure, read from what was drawn.

Every curve, band, histogram, bar, set of points and map of a figure, with the labels that the
reader sees, as a JSON document. Nothing has to be listed by hand, so nothing can be forgotten: what
is visible is in the file. See :func:`numbers_of`.
"""

from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection, PathCollection, PolyCollection, QuadMesh
from matplotlib.container import BarContainer, ErrorbarContainer
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import StepPatch

DIGITS = 6  # significant ones: more than any figure shows, and files stay small

Series = dict[str, Any]


def _list(values: Any) -> list[Any]:
    """Numbers as nested lists, rounded to `DIGITS`; None for what is masked or not finite."""
    array = np.ma.filled(np.ma.asarray(values).astype(float), np.nan)
    if array.ndim > 1:
        return [_list(row) for row in array]
    return [float(f"{v:.{DIGITS}g}") if np.isfinite(v) else None for v in array]


def _label(artist: Any) -> str | None:
    """What the legend calls it; matplotlib's own names start with an underscore."""
    label = artist.get_label()
    return None if not label or str(label).startswith("_") else str(label)


def _line(line: Line2D) -> Series | None:
    x, y = (np.asarray(values, dtype=float) for values in line.get_data(orig=False))
    if not len(x):
        return None
    axes, transform = line.axes, line.get_transform()
    # What reaches across a panel is placed by the panel in one direction, not by data.
    if transform == axes.get_yaxis_transform(which="grid"):
        return {"kind": "level", "y": _list(y[:1])}
    if transform == axes.get_xaxis_transform(which="grid"):
        return {"kind": "level", "x": _list(x[:1])}
    return {"kind": "line", "x": _list(x), "y": _list(y)}


def _band(band: PolyCollection) -> list[Series]:
    """Split the outline of each filled area into its lower and upper edge, if it has such."""
    found = []
    for path in band.get_paths():
        vertices = path.vertices
        count, odd = divmod(len(vertices) - 3, 2)
        if odd or count < 1:
            found.append({"kind": "area", "x": _list(vertices[:, 0]), "y": _list(vertices[:, 1])})
            continue
        one, other = vertices[1 : count + 1], vertices[count + 2 : -1][::-1]
        series = {"kind": "band", "x": _list(one[:, 0])}
        found.append(series | {"from": _list(one[:, 1]), "to": _list(other[:, 1])})
    return found


def _points(points: PathCollection) -> Series:
    x, y = np.ma.asarray(points.get_offsets()).T
    series = {"kind": "points", "x": _list(x), "y": _list(y)}
    values = points.get_array()
    return series if values is None else series | {"value": _list(values)}


def _map(mesh: QuadMesh) -> Series:
    corners = mesh.get_coordinates()
    return {
        "kind": "map",
        "x edges": _list(corners[0, :, 0]),
        "y edges": _list(corners[:, 0, 1]),
        "value": _list(mesh.get_array()),
    }


def _steps(patch: StepPatch) -> Series:
    values, edges, _ = patch.get_data()
    return {"kind": "histogram", "edges": _list(edges), "y": _list(values)}


def _bars(bars: BarContainer) -> Series:
    boxes = [bar.get_bbox() for bar in bars.patches]
    return {
        "kind": "bars",
        "x": _list([[box.x0, box.x1] for box in boxes]),
        "y": _list([[box.y0, box.y1] for box in boxes]),
    }


def _series(ax: Axes) -> list[Series]:
    """Everything on a panel, once."""
    found: list[tuple[Any, Series | None]] = [(line, _line(line)) for line in ax.lines]
    for item in ax.collections:
        if isinstance(item, PolyCollection):
            found += [(item, series) for series in _band(item)]
        elif isinstance(item, PathCollection):
            found.append((item, _points(item)))
        elif isinstance(item, QuadMesh):
            found.append((item, _map(item)))
        elif isinstance(item, LineCollection):
            found += [
                (item, {"kind": "segment", "x": _list(s[:, 0]), "y": _list(s[:, 1])})
                for s in map(np.asarray, item.get_segments())
                if len(s)
            ]
    named = {
        id(bars.lines[0]): bars for bars in ax.containers if isinstance(bars, ErrorbarContainer)
    }
    found = [(named.get(id(item), item), series) for item, series in found]
    found += [(item, _steps(item)) for item in ax.patches if isinstance(item, StepPatch)]
    found += [(item, _bars(item)) for item in ax.containers if isinstance(item, BarContainer)]
    for image in ax.images:
        left, right, bottom, top = image.get_extent()
        values = np.ma.asarray(image.get_array())
        extent = [float(side) for side in (left, right, bottom, top)]
        found.append((image, {"kind": "image", "extent": extent, "value": _list(values)}))
    distinct: list[Series] = []
    for artist, series in sorted(found, key=lambda pair: _label(pair[0]) is None):
        # An outline and its filling show the same numbers; two curves may, too.
        label = _label(artist)
        if series and (label or not any(known == known | series for known in distinct)):
            distinct.append({"label": label} | series)
    return distinct


def numbers_of(figure: Figure, alt: str) -> dict[str, Any]:
    """Everything that a figure shows, as plain numbers and words.

    Parameters
    ----------
    figure
        After drawing, before its colours are changed.
    alt
        Its alt text.

    Returns
    -------
    dict
        ``description``, and for each of the ``panels`` the ``title``, the names and scales of the
        axes, the names of the ticks where they are words, and the ``series``.
    """
    panels = []
    for ax in figure.axes:
        panel: dict[str, Any] = {
            "title": ax.get_title() or None,
            "x": {"label": ax.get_xlabel() or None, "scale": ax.get_xscale()},
            "y": {"label": ax.get_ylabel() or None, "scale": ax.get_yscale()},
            "series": _series(ax),
        }
        for name, axis in (("x", ax.xaxis), ("y", ax.yaxis)):
            words = {
                tick.get_text(): float(f"{place:.{DIGITS}g}")
                for tick, place in zip(axis.get_ticklabels(), axis.get_ticklocs(), strict=False)
            }
            if any(c.isalpha() for word in words if "$" not in word for c in word):
                panel[name]["ticks"] = words
        if panel["series"]:
            panels.append(panel)
    return {"description": alt, "panels": panels}

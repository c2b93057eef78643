"""Drawings of what the pages speak of: `draw_neuron` and `draw_residual_block`."""

from collections.abc import Sequence

from matplotlib.axes import Axes

from initguide.arguments import check_whole
from initguide.plots.strokes import (
    LEADING,
    WIDTH,
    arrow,
    box,
    canvas,
    column,
    dots,
    label,
    lines,
    unit,
    way,
)
from initguide.plots.style import BLUE, ORANGE
from initguide.plots.words import counted, say_after, text_so_far


def draw_neuron(fan_in: int | None = None, *, ax: Axes | None = None) -> Axes:
    """Draw one unit: its inputs, weights, bias, sum and activation.

    Parameters
    ----------
    fan_in
        Number of inputs, at least 2; an n if ``None``. Up to three are drawn, of more the first
        two and the last.
    ax
        Where to draw; a new figure, 5 inches wide, if ``None``. Existing Axes are given the
        drawing's limits, without frame.

    Returns
    -------
    Axes
        Without ticks and frame; one unit is an inch of the new figure.

    Raises
    ------
    ValueError
        If ``fan_in`` is not a whole number of at least 2.

    Examples
    --------
    >>> import matplotlib.pyplot as plt
    >>> ax = draw_neuron(784)
    >>> [text.get_text() for text in ax.texts if "784" in text.get_text()]
    ['$x_{784}$', '$w_{784}$']
    >>> plt.close(ax.figure)
    """
    count = 4 if fan_in is None else check_whole("fan_in", fan_in, 2)
    last = "n" if fan_in is None else str(count)
    ax = canvas(ax, height := 2.95)
    before = text_so_far(ax)
    radius, large, middle = 0.25, 0.3, 1.52
    total, squashed = (2.2, middle), (3.65, middle)
    if count <= 3:
        places, names = column(0.33, middle, count, 0.8), [str(i + 1) for i in range(count)]
    else:
        *places, gap, end = column(0.33, middle, 4, 0.64)
        dots(ax, gap)
        places, names = [*places, end], ["1", "2", last]
    for place, name in zip(places, names, strict=True):
        unit(ax, place, radius, f"$x_{{{name}}}$")
        arrow(ax, place, total, radii=(radius, large), color=BLUE)
        x, y = (start + 0.4 * (stop - start) for start, stop in zip(place, total, strict=True))
        x -= 0.1 * (place[1] < middle)  # beside a line that rises, not on it
        label(ax, (x, y + 0.09), f"$w_{{{name}}}$", va="bottom")
    lines(ax, (0.33, places[-1][1] - radius - LEADING), ["inputs"])
    lines(ax, (1.15, height - 0.2), ["weights"])
    lines(ax, (total[0], height - 0.2), ["bias $b$"])
    arrow(ax, (total[0], height - 0.3), total, radii=(0, large), color=ORANGE)
    unit(ax, total, large, r"$\Sigma$")
    arrow(ax, total, squashed, radii=(large, large))
    label(ax, ((total[0] + squashed[0]) / 2, middle + 0.08), "$z$", va="bottom")
    unit(ax, squashed, large, r"$\varphi$")
    arrow(ax, squashed, (4.65, middle), radii=(large, 0))
    label(ax, (4.8, middle), "$a$")
    for x, word, formula in (
        (total[0] + 0.1, "pre-activation", r"$z = \sum_i w_i x_i + b$"),
        (squashed[0] + 0.5, "activation", r"$a = \varphi(z)$"),
    ):
        label(ax, (x, 0.9), word, va="baseline")
        label(ax, (x, 0.9 - 1.5 * LEADING), formula, va="baseline")  # a sign of sum is tall
    end_name = last.translate(str.maketrans("0123456789n", "₀₁₂₃₄₅₆₇₈₉ₙ"))
    say_after(
        ax,
        f"A unit with {last} inputs, x₁ to x{end_name}. Each arrow from an input to the sum Σ "
        f"carries its weight, w₁ to w{end_name}; the bias b is added. The sum is the "
        "pre-activation z = Σ wᵢ xᵢ + b. The function φ makes the activation a = φ(z) of it.",
        after=before,
    )
    return ax


def draw_residual_block(
    layers: Sequence[str] = ("ReLU", "linear", "ReLU", "linear"), *, ax: Axes | None = None
) -> Axes:
    """Draw a residual block: the input, the branch with its layers, the skip and the sum.

    Parameters
    ----------
    layers
        What stands in the branch, in order: one to four short words.
    ax
        Where to draw; a new figure, 5 inches wide, if ``None``. Existing Axes are given the
        drawing's limits, without frame.

    Returns
    -------
    Axes
        Without ticks and frame; one unit is an inch of the new figure.

    Raises
    ------
    ValueError
        If there are no layers, more than four, or a word of more than 7 letters, for which a box
        has no room.

    Examples
    --------
    >>> import matplotlib.pyplot as plt
    >>> ax = draw_residual_block(["norm", "ReLU", "linear"])
    >>> [text.get_text() for text in ax.texts][:3]
    ['norm', 'ReLU', 'linear']
    >>> plt.close(ax.figure)
    """
    layers = [layers] if isinstance(layers, str) else list(layers)
    if not 1 <= len(layers) <= 4:
        raise ValueError(f"layers has {len(layers)} entries; a drawing has room for 1 to 4")
    if long := [layer for layer in layers if len(layer) > 7]:
        raise ValueError(f"layers has {long[0]!r}; a box has room for 7 letters, so shorten it")
    ax = canvas(ax, 1.95)
    before = text_so_far(ax)
    low, high, radius, fork, first = 0.75, 1.5, 0.17, 0.48, 0.62
    total = (4.5, low)
    step = (total[0] - radius - 0.1 - first) / len(layers)
    width = min(step - 0.26, 0.9)
    ends = [fork]  # where the last arrow left off
    for i, layer in enumerate(layers):
        x = first + step * (i + 0.5)
        box(ax, (x, low), width, 0.42, layer)
        arrow(ax, (ends[-1], low), (x - width / 2, low), color=ORANGE)
        ends.append(x + width / 2)
    arrow(ax, (ends[-1], low), total, radii=(0, radius), color=ORANGE)
    arrow(ax, (0.22, low), (fork, low), head=False)
    corners = [(fork, low), (fork, high), (total[0], high), (total[0], low + radius + 0.02)]
    way(ax, corners, color=BLUE)
    unit(ax, total, radius, "+")
    arrow(ax, total, (WIDTH - 0.1, low), radii=(radius, 0))
    label(ax, (0.1, low), "$x$")
    label(ax, ((fork + total[0]) / 2, high + 0.1), "skip: $x$ as it is", va="bottom")
    label(ax, ((fork + total[0]) / 2, 0.4), "branch($x$)", va="top")
    label(ax, (WIDTH, 0.4), "$x$ + branch($x$)", ha="right", va="top")
    say_after(
        ax,
        "A residual block. The input x goes two ways: through a branch of "
        f"{counted(len(layers), 'layer')} ({', '.join(layers)}), and over a skip that "
        "leaves it as it is. Behind them, both are added: x + branch(x).",
        after=before,
    )
    return ax

"""Borders and boxes: sets whose dimension is known in closed form."""

import math

import numpy as np
import pytest

from initguide.experiments import border, box_count, pixels_per_box

PLACE = np.arange(128)
SQUARE = np.zeros((128, 128), bool)
SQUARE[32:96, 32:96] = True


def cantor_dust(levels):
    """Product of two Cantor sets, of which each step keeps the outer quarters."""
    line = np.ones(1, bool)
    for _ in range(levels):
        line = np.concatenate([line, np.zeros(2 * len(line), bool), line])
    return np.outer(line, line)


def carpet(levels):
    """Sierpinski's carpet: each step takes out the middle of three by three."""
    found, hole = np.ones((1, 1), bool), np.ones((3, 3), bool)
    hole[1, 1] = False
    for _ in range(levels):
        found = np.kron(found, hole)
    return found


def koch(levels):
    """Koch's curve: each step puts two sides of a triangle into the middle third of a line."""
    points = np.array([0, 1], complex)
    for _ in range(levels):
        step = np.diff(points) / 3
        corner = step * np.exp(1j * np.pi / 3)
        parts = np.stack([step * 0, step, step + corner, 2 * step], 1) + points[:-1, None]
        points = np.append(parts, points[-1])
    pixels = np.zeros((1024, 1024), bool)
    pixels[(points.imag * 1023.9).astype(int), (points.real * 1023.9).astype(int)] = True
    return pixels


@pytest.mark.parametrize(
    ("pixels", "sizes", "dimension"),
    [
        (np.eye(128), (1, 2, 4, 8), 1),
        (np.outer(PLACE == 5, np.ones(128)), (1, 2, 4, 8), 1),
        (np.ones((64, 128)), (1, 2, 4, 8), 2),
        (SQUARE, (1, 2, 4, 8), 2),
        (np.outer(PLACE == 5, PLACE == 7), (1, 2, 4, 8), 0),
        ((PLACE[:, None] & PLACE) == 0, (1, 2, 4, 8), math.log2(3)),
        (cantor_dust(3), (1, 4, 16), 1),
        (carpet(4), (1, 3, 9, 27), math.log(8) / math.log(3)),
    ],
    ids=["diagonal", "horizontal", "area", "square", "point", "triangle", "dust", "carpet"],
)
def test_dimension_of_sets_that_repeat(pixels, sizes, dimension):
    """Sets made of copies of themselves have their dimension at each size of the boxes."""
    found = box_count(pixels, sizes)
    assert found.dimension == pytest.approx(dimension, abs=1e-9)
    assert found.slopes == pytest.approx([dimension] * (len(sizes) - 1), abs=1e-9)


def test_dimension_of_koch_curve():
    """Log 4 / log 3, about 1.26; the grid of boxes does not fit the curve, so roughly."""
    found = box_count(koch(8), (2, 4, 8, 16, 32))
    assert found.dimension == pytest.approx(math.log(4) / math.log(3), abs=0.06)


def test_border_of_a_square_is_smooth():
    """Four sides of 64 pixels, of dimension 1; the border of its inverse is the same."""
    edge = border(SQUARE)
    assert edge.sum() == 4 * 64
    assert np.array_equal(edge, border(~SQUARE))
    assert box_count(edge, (1, 2, 4)).dimension == pytest.approx(1, abs=0.03)


def test_border_is_where_four_neighbours_disagree():
    """Against a loop over the pixels."""
    verdicts = np.random.default_rng(0).random((9, 7)) < 0.8
    expected = np.zeros((9, 7), bool)
    for row in range(8):
        for column in range(6):
            four = verdicts[row : row + 2, column : column + 2]
            expected[row, column] = four.min() != four.max()
    assert np.array_equal(border(verdicts), expected)
    assert not border(np.ones((4, 4))).any()


def test_pixels_per_box_against_a_loop():
    """Each box counts its own pixels, and together they count all."""
    pixels = np.random.default_rng(0).random((6, 12)) < 0.5
    found = pixels_per_box(pixels, 3)
    assert found.shape == (2, 4)
    assert found.sum() == pixels.sum()
    assert found[1, 2] == pixels[3:6, 6:9].sum()


def test_fit_is_a_least_squares_line():
    """Three counts that lie on no line, by the closed form: a quarter of the outer ones' ratio."""
    pixels = np.zeros((4, 4), bool)
    pixels[0] = pixels[3, 3] = True
    found = box_count(pixels, (1, 2, 4))
    assert found.counts.tolist() == [5, 3, 1]
    assert found.slopes == pytest.approx(np.log2([5 / 3, 3]))
    assert found.dimension == pytest.approx(math.log2(5) / 2)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: border([1, 0, 1]), r"verdicts has shape \(3,\); it must be \(rows, columns\)"),
        (lambda: pixels_per_box(np.eye(6), 4), "size is 4, and pixels has 6 rows and 6 columns"),
        (lambda: pixels_per_box(np.eye(6), 0), "size is 0"),
        (lambda: box_count(np.eye(6)), "size is 4, and pixels has 6 rows"),
        (lambda: box_count(np.eye(8), (4,)), r"sizes is \(4,\); give at least two"),
        (lambda: box_count(np.eye(8), (2, 1)), r"sizes is \(2, 1\); .* the smallest first"),
        (lambda: box_count(np.zeros((8, 8))), "pixels holds no pixel"),
    ],
)
def test_what_cannot_be_counted_is_refused(call, message):
    """The message says which argument, and what is allowed."""
    with pytest.raises(ValueError, match=message):
        call()

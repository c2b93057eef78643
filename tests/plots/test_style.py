"""The house style: colours, line styles, and figures."""

import colorsys
import itertools
import warnings

import matplotlib.pyplot as plt
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from matplotlib.colors import to_rgb

from initguide import plots
from initguide.plots import style

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # its docstrings have invalid escape sequences
    from colorspacious import cspace_convert


def luminance(color):
    """Relative luminance as WCAG 2 defines it."""
    channels = np.array(to_rgb(color))
    linear = np.where(channels <= 0.04045, channels / 12.92, ((channels + 0.055) / 1.055) ** 2.4)
    return linear @ [0.2126, 0.7152, 0.0722]


@pytest.mark.parametrize("background", ["#ffffff", "#131416"])
@pytest.mark.parametrize("color", plots.PALETTE)
def test_contrast_on_light_and_dark_pages(color, background):
    """Each colour stands out by 3 : 1, the least that WCAG 2.2 asks of graphics."""
    darker, lighter = sorted([luminance(color), luminance(background)])
    assert (lighter + 0.05) / (darker + 0.05) >= 3


@pytest.mark.parametrize("vision", [None, "deuteranomaly", "protanomaly", "tritanomaly"])
def test_colors_differ_for_everybody(vision):
    """Any two colours are far apart, also where one kind of cones does not work."""
    seen = np.array([to_rgb(color) for color in plots.PALETTE])
    if vision:
        space = {"name": "sRGB1+CVD", "cvd_type": vision, "severity": 100}
        seen = np.clip(cspace_convert(seen, space, "sRGB1"), 0, 1)
    points = cspace_convert(seen, "sRGB1", "CAM02-UCS")
    nearest = min(np.linalg.norm(a - b) for a, b in itertools.combinations(points, 2))
    assert nearest >= 16


@pytest.mark.parametrize("color", plots.PALETTE)
def test_colors_have_a_hue(color):
    """No colour of data is near grey, which the site takes for a neutral part."""
    assert colorsys.rgb_to_hls(*to_rgb(color))[2] > 0.15


def test_color_of_families():
    """A description, a name and a label give one colour; different families differ."""
    assert plots.color_of("he_normal(mode='fan_in')") == plots.color_of("He-uniform")
    assert plots.color_of("All zeros") == plots.color_of("zeros()")
    modern = ["xavier_normal", "he_normal", "lecun_normal", "orthogonal", "general_rule"]
    modern += ["normal", "default"]
    assert len({plots.color_of(name) for name in modern}) == 7


def test_every_initializer_has_a_color():
    """A fixed one, whatever else is in the figure; a new scheme takes a free one."""
    from initguide.initializers import INITIALIZERS

    fixed = {name for name in INITIALIZERS if name in style._COLORS}
    assert len(fixed) >= 20
    for name in INITIALIZERS:
        same = plots.color_of(name, taken=plots.PALETTE[:1]) == plots.color_of(name)
        assert same == (name in fixed)


def test_color_of_others():
    """An unknown scheme gets the first free colour, and the first one if none is free."""
    assert plots.color_of("mine") == plots.PALETTE[0]
    assert plots.color_of("mine", taken=plots.PALETTE[:3]) == plots.PALETTE[3]
    assert plots.color_of("mine", taken=plots.PALETTE) == plots.PALETTE[0]


def test_same_scheme_twice_in_a_figure():
    """The first of several ranges keeps the scheme's colour; the others get free ones."""
    looks = style.looks_of(
        {
            "wide": "uniform(low=-1.0, high=1.0)",
            "narrow": "uniform(low=-0.1, high=0.1)",
            "He": "he_normal()",
            "mine": "weights_init",
        }
    )
    assert looks["wide"].color == plots.color_of("uniform(low=-1.0, high=1.0)")
    assert looks["He"].color == plots.color_of("he_normal")
    assert len({look.color for look in looks.values()}) == 4


def test_family_shares_its_hue():
    """The uniform and the normal variant of a rule differ in line style and marker only."""
    looks = style.looks_of({"u": "he_uniform()", "n": "he_normal()"})
    assert looks["u"].color == looks["n"].color
    assert looks["u"].style != looks["n"].style
    assert looks["u"].marker != looks["n"].marker


@given(st.lists(st.sampled_from([*style._COLORS, "mine", "f(x=1)"]), min_size=1, max_size=35))
def test_every_curve_can_be_told_without_color(names):
    """Up to 35 curves differ in line style or marker, and known ones keep their colour."""
    looks = style.looks_of({f"{i}": name for i, name in enumerate(names)})
    assert len({(str(look.style), look.marker) for look in looks.values()}) == len(names)
    for i, name in enumerate(names):
        if style._name_of(name) in style._COLORS and names.index(name) == i:
            assert looks[f"{i}"].color == plots.color_of(name)


def test_a_scheme_has_one_color_in_every_figure():
    """The lesson's twelve schemes have the colours together that they have in twos and threes."""
    lesson = {
        "All zeros": "zeros()",
        "All ones": "ones()",
        "Uniform [0, 1)": "uniform(low=0.0, high=1.0)",
        "Uniform [-0.5, 0.5)": "uniform(low=-0.5, high=0.5)",
        "General rule": "general_rule()",
        "Xavier normal": "xavier_normal(gain=1.0)",
        "He normal": "he_normal(mode='fan_in', nonlinearity='relu')",
        "Orthogonal": "orthogonal(gain=1.0)",
        "Automatic": "default()",
    }
    together = style.looks_of(lesson)
    for label, description in lesson.items():
        assert style.looks_of({label: description})[label].color == together[label].color
    for drawn in (  # the curves of one page differ in colour too
        ("All zeros", "All ones"),
        ("All ones", "Uniform [0, 1)"),
        ("Uniform [0, 1)", "Uniform [-0.5, 0.5)", "General rule"),
        ("All zeros", "Uniform [0, 1)", "Uniform [-0.5, 0.5)", "General rule", "He normal"),
        ("General rule", "Xavier normal", "He normal", "Orthogonal"),
        ("Automatic", "General rule"),
    ):
        assert len({together[label].color for label in drawn}) == len(drawn)


def test_subplots_pass_options_on():
    """Sharing, size and shape are matplotlib's; several rows get a height of their own."""
    figure, axes = plots.subplots(2, 2, sharex=True, width=6)
    assert axes.shape == (2, 2)
    assert tuple(figure.get_size_inches()) == (6, 5.8)
    assert axes[0, 0].get_shared_x_axes().joined(axes[0, 0], axes[1, 1])
    figure, ax = plots.subplots(height=2)
    assert figure.get_figheight() == 2
    assert ax.get_figure() is figure


def test_style_outlives_the_context():
    """Ticks that matplotlib makes later, while it draws, are in the house style too."""
    figure, ax = plots.subplots()
    with plt.rc_context({"xtick.labelsize": 30, "grid.color": "red"}):
        ax.plot([0, 1000], [0, 1])
        figure.canvas.draw()
    tick = ax.xaxis.get_major_ticks()[1]
    assert tick.label1.get_fontsize() == plots.STYLE["xtick.labelsize"]
    assert tick.gridline.get_color() == plots.STYLE["grid.color"]

"""Figures of results: results in, nothing computed.

Each ``plot_*`` function takes the data first and the rest by keyword, draws on ``ax`` (or on a new
figure in the house style if ``ax`` is ``None``), stores an alt text that says with numbers what is
to be seen, and returns the Axes. Nothing global is changed: for drawings of your own in the same
style, use `subplots`, or ``with plt.rc_context(plots.STYLE)``; `draw_band` and `ticks_at` do in
them what several pages need.

Each ``draw_*`` of a network, a unit, a layer's fans or a residual block is a drawing, without data.

A scheme has one colour on every page (`color_of`). Within a figure, curves also differ in line
style and marker, so that nothing is told by colour alone.
"""

from initguide.plots.bands import draw_band
from initguide.plots.checkup import plot_checkup
from initguide.plots.claims import plot_claims
from initguide.plots.coordinates import plot_coordinates
from initguide.plots.curves import plot_losses
from initguide.plots.dots import plot_accuracy, plot_differences
from initguide.plots.drawings import draw_neuron, draw_residual_block
from initguide.plots.histograms import hist_dist, plot_histogram, plot_histograms
from initguide.plots.images import plot_images
from initguide.plots.layered import draw_fans, draw_network
from initguide.plots.layers import plot_layers
from initguide.plots.maps import plot_map
from initguide.plots.predictions import plot_prediction
from initguide.plots.ridges import plot_ridges
from initguide.plots.scales import ticks_at
from initguide.plots.style import PALETTE, STYLE, color_of, subplots
from initguide.plots.trainability import plot_trainability
from initguide.plots.words import alt_text, describe

__all__ = [
    "PALETTE",
    "STYLE",
    "alt_text",
    "color_of",
    "describe",
    "draw_band",
    "draw_fans",
    "draw_network",
    "draw_neuron",
    "draw_residual_block",
    "hist_dist",
    "plot_accuracy",
    "plot_checkup",
    "plot_claims",
    "plot_coordinates",
    "plot_differences",
    "plot_histogram",
    "plot_histograms",
    "plot_images",
    "plot_layers",
    "plot_losses",
    "plot_map",
    "plot_prediction",
    "plot_ridges",
    "plot_trainability",
    "subplots",
    "ticks_at",
]

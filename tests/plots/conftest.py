"""Made-up results to draw, and what was drawn; every figure is closed behind its test."""

import itertools
import math

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
import pytest
import torch

import initguide
from initguide import plots
from initguide.data import Split
from initguide.experiments import (
    Comparison,
    CoordinateCheck,
    Sweep,
    SweptRun,
    TrainabilityMap,
    judge,
)
from initguide.propagation import measure
from initguide.training import Run

mpl.use("Agg")

INPUTS = torch.randn(40, 784, generator=torch.Generator().manual_seed(0))
CLASSES = ["T-shirt/top", "Trouser", "Ankle boot"]
LABELS = {
    "Baseline": "uniform(low=0.0, high=1.0)",
    "Centred": "uniform(low=-0.5, high=0.5)",
    "Rule": "general_rule()",
}


@pytest.fixture(autouse=True)
def _close_figures():
    yield
    plt.close("all")


# Builders are plain functions, for they call each other; tests get them as fixtures.


def run(label, seed, losses, accuracy=0.5, diverged_at=None):
    """Make up a run."""
    return Run(
        label=label,
        seed=seed,
        train_losses=np.asarray(losses, dtype=np.float32),
        valid_loss=math.nan if diverged_at is not None else 1 - accuracy,
        valid_accuracy=math.nan if diverged_at is not None else accuracy,
        test_accuracy=math.nan if diverged_at is not None else accuracy,
        diverged_at=diverged_at,
        seconds=1.0,
    )


def comparison(runs, schemes=None):
    """Make up a comparison; each label is its own scheme unless told otherwise."""
    labels = list(dict.fromkeys(r.label for r in runs))
    return Comparison(
        runs=tuple(runs),
        schemes=schemes or {label: label for label in labels},
        settings={"epochs": 1, "seeds": sorted({r.seed for r in runs})},
        data_source="made up",
    )


def typical(seeds=3, schemes=None, batches=30):
    """Make up a comparison in which all runs end well."""
    schemes = schemes or LABELS
    return comparison(
        [
            run(
                label,
                seed,
                1 + (1 + i) * np.exp(-np.arange(batches) / 10) + 0.01 * seed,
                0.7 + 0.05 * i + 0.01 * seed**2,
            )
            for i, label in enumerate(schemes)
            for seed in range(seeds)
        ],
        schemes,
    )


def swept(grid, numbers, *, seeds=2, diverged=()):
    """Make up a sweep: a number for each point of the grid in order, and which diverged."""
    points = list(itertools.product(*grid.values()))
    runs = [
        SweptRun(
            **vars(
                run("", seed, [1.0], number + 0.02 * seed, 0 if (i, seed) in diverged else None)
            ),
            settings=dict(zip(grid, point, strict=True)),
        )
        for i, (point, number) in enumerate(zip(points, numbers, strict=True))
        for seed in range(seeds)
    ]
    return Sweep(
        runs=tuple(runs),
        failures=(),
        grid={name: tuple(values) for name, values in grid.items()},
        settings={"seeds": list(range(seeds))},
        data_source="made up",
    )


def typical_sweep(**kw):
    """Make up a sweep over a scale with decades and three learning rates."""
    grid = {"scale": [0.1, 1.0, 10.0, 100.0], "learning_rate": [0.1, 0.2, 0.3]}
    return swept(grid, np.linspace(0.1, 0.65, 12), **kw)


def trainability(converged=((1, 0), (1, 1), (0, 0)), scales=(0.1, 1, 10), rates=(0.01, 0.1)):
    """Make up a map of what trains, with these verdicts for each scale and rate."""
    last = np.where(converged, 0.5, 2.0).astype(np.float32)
    losses = np.concatenate([np.ones_like(last)[None], np.repeat(last[None], 20, 0)])
    return TrainabilityMap(np.array(scales), np.array(rates), losses)


def checked():
    """Make up a coordinate check: two seeds, three widths, two layers of which one rises."""
    widths = np.array([64, 128, 256])
    changes = np.stack([np.stack([1 + 0 * widths, widths / 64], 1) * f for f in (0.01, 0.03)])
    ways = {"muP": changes, "standard": changes**2}
    return CoordinateCheck(tuple(widths.tolist()), ("fc1", "fc2"), ways, {"muP": (0, 1)}, 1)


def split(count=6):
    """Make up images."""
    images = torch.linspace(0, 1, count * 28 * 28).reshape(count, 1, 28, 28)
    return Split(images, torch.arange(count) % 3)


def curves(ax):
    """Return the lines with a label: one a scheme."""
    return [line for line in ax.lines if not line.get_label().startswith("_")]


def rows_of(ax):
    """Return the labels of a dot plot or ridge, in the order of its rows."""
    return [label.get_text() for label in ax.get_yticklabels()]


def found(scheme="he_normal", seed=0, **kw):
    """Measure the lesson's network."""
    net = initguide.initialize(initguide.Net(), scheme, seed=seed).eval()
    return measure(net, INPUTS, **kw)


def labelled(ax):
    """Lines that the legend knows, by label."""
    return {line.get_label(): line for line in ax.lines if not line.get_label().startswith("_")}


@pytest.fixture(name="run")
def _run():
    return run


@pytest.fixture(name="comparison")
def _comparison():
    return comparison


@pytest.fixture(name="typical")
def _typical():
    return typical


@pytest.fixture(name="swept")
def _swept():
    return swept


@pytest.fixture(name="typical_sweep")
def _typical_sweep():
    return typical_sweep


@pytest.fixture(name="trainability")
def _trainability():
    return trainability


@pytest.fixture(name="checked")
def _checked():
    return checked


@pytest.fixture(name="split")
def _split():
    return split


@pytest.fixture(name="curves")
def _curves():
    return curves


@pytest.fixture(name="rows_of")
def _rows_of():
    return rows_of


@pytest.fixture(name="found")
def _found():
    return found


@pytest.fixture(name="labelled")
def _labelled():
    return labelled


@pytest.fixture
def inputs():
    """Noise for the lesson's network."""
    return INPUTS


@pytest.fixture
def labels():
    """Label -> scheme of the typical comparison."""
    return LABELS


DRAWINGS = {
    "losses": lambda ax: plots.plot_losses(typical(), ax=ax),
    "accuracy": lambda ax: plots.plot_accuracy(typical(), ax=ax),
    "differences": lambda ax: plots.plot_differences(typical(), "Rule", ax=ax),
    "images": lambda ax: plots.plot_images(split(), CLASSES, count=6, columns=3, ax=ax),
    "histogram": lambda ax: plots.plot_histogram([1.0, 2, 3], label="normal", ax=ax),
    "histograms": lambda ax: plots.plot_histograms({"a": [1.0, 2], "b": [3.0]}, ax=ax),
    "hist_dist": lambda ax: plots.hist_dist("Draws", torch.zeros(10), ax=ax),
    "claims": lambda ax: plots.plot_claims(
        {"better": judge({"at 2": (1, 9)}, {"at 2": [2, 3]})}, ax=ax
    ),
    "coordinates": lambda ax: plots.plot_coordinates(checked(), "muP", ax=ax),
    "map": lambda ax: plots.plot_map(typical_sweep(diverged={(0, 0)}), ax=ax),
    "layers": lambda ax: plots.plot_layers(found(), ax=ax),
    "ridges": lambda ax: plots.plot_ridges(found(histograms=20), ax=ax),
    "trainability": lambda ax: plots.plot_trainability(trainability(), ax=ax),
    "prediction": lambda ax: plots.plot_prediction({"a": [[1.0, 2], [2, 1]]}, [1.5, 1.5], ax=ax),
}


@pytest.fixture(params=DRAWINGS)
def draw(request):
    """Each of the drawings in turn, a function of the Axes; a new kind of plot goes in here."""
    return DRAWINGS[request.param]

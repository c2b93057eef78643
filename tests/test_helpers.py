"""The original lesson's two functions by themselves; test_original_notebook.py runs them all."""

import math
import re

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from initguide import helpers
from initguide.models import Net

mpl.use("Agg")


@pytest.fixture
def shown(monkeypatch):
    """Figures in the order in which `plt.show` was called on them."""
    figures = []
    monkeypatch.setattr(plt, "show", lambda: figures.append(plt.gcf()))
    yield figures
    plt.close("all")


REPORT = re.compile(
    r"After 2 Epochs:\n"
    r"Validation Accuracy\n"
    r"((?:  [ \d]{3}\.\d{3}% -- .+\n)+)"
    r"Training Loss\n"
    r"((?:  [ \d]{3,}\.\d{3}  -- .+\n)+)"
)


def _report(capsys):
    """Read the printed report: label -> accuracy in percent, label -> loss."""
    printed = capsys.readouterr()
    assert not printed.err
    match = REPORT.fullmatch(printed.out)
    assert match, printed.out
    accuracies, losses = (
        dict(reversed(line.split(mark)) for line in part.splitlines())
        for part, mark in zip(match.groups(), ("% -- ", "  -- "), strict=True)
    )
    return (
        {label: float(number) for label, number in accuracies.items()},
        {label: float(number) for label, number in losses.items()},
    )


def _curves(figure):
    """Lines of the figure's Axes that have a label for the legend."""
    (ax,) = figure.axes
    return {
        line.get_label(): line for line in ax.get_lines() if not line.get_label().startswith("_")
    }


@pytest.fixture
def loaders(sample):
    """250 training images in batches of 50, 100 validation images."""
    train = TensorDataset(sample.train.images[:250], sample.train.labels[:250])
    valid = TensorDataset(sample.valid.images[:100], sample.valid.labels[:100])
    return DataLoader(train, 50), DataLoader(valid, 40)


def _small(seed, label):
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return Net(16, 8), label


def test_numbers_are_those_of_a_plain_loop(loaders, shown, capsys):
    """Adam at 0.001, two epochs, the last batch's loss; dropout off in validation."""
    (ours, label), (theirs, _) = _small(0, "net"), _small(0, "")
    torch.manual_seed(1)  # dropout draws from here
    helpers.compare_init_weights([(ours, label)], "title", *loaders)
    optimizer = torch.optim.Adam(theirs.parameters(), lr=0.001)
    losses = []
    torch.manual_seed(1)
    for _ in range(2):
        for images, labels in loaders[0]:
            optimizer.zero_grad()
            loss = nn.CrossEntropyLoss()(theirs(images), labels)
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
    theirs.eval()
    with torch.no_grad():
        right = sum((theirs(x).argmax(1) == y).sum().item() for x, y in loaders[1])
    accuracies, printed = _report(capsys)
    assert accuracies["net"] == pytest.approx(100 * right / 100, abs=1.01)
    assert printed["net"] == pytest.approx(losses[-1], abs=0.002)
    (line,) = _curves(shown[0]).values()
    np.testing.assert_allclose(line.get_ydata(), losses, rtol=1e-3)


def test_figure(loaders, shown, capsys):
    """One line a model, all in one figure, with title, axis labels and a legend."""
    models = [_small(seed, f"model {seed}") for seed in range(3)]
    assert helpers.compare_init_weights(models, "Three of them", *loaders) is None
    _report(capsys)
    (figure,) = shown
    (ax,) = figure.axes
    assert ax.get_title() == "Three of them"
    assert ax.get_xlabel()
    assert ax.get_ylabel()
    assert set(_curves(figure)) == {"model 0", "model 1", "model 2"}
    assert [text.get_text() for text in ax.get_legend().get_texts()] == [m[1] for m in models]


def test_plot_n_batches(loaders, shown, capsys):
    """The figure shows so many mini-batches, all there are if fewer; the report does not change."""
    helpers.compare_init_weights([_small(0, "net")], "few", *loaders, plot_n_batches=3)
    helpers.compare_init_weights([_small(0, "net")], "all", *loaders, 1000)
    capsys.readouterr()
    lengths = [len(line.get_ydata()) for figure in shown for line in _curves(figure).values()]
    assert lengths == [3, 10]


def test_models_are_trained_in_place(loaders, shown, capsys):  # noqa: ARG001
    """The models that were given are the trained ones, and are left in training mode."""
    model, label = _small(0, "net")
    before = model.fc1.weight.clone()
    helpers.compare_init_weights([(model, label)], "title", *loaders)
    capsys.readouterr()
    assert not torch.equal(model.fc1.weight, before)
    assert model.training


def test_more_than_six_models(loaders, shown, capsys):
    """The original ran out of colours at six; ten are ten distinguishable lines."""
    helpers.compare_init_weights([_small(i, f"model {i}") for i in range(10)], "ten", *loaders)
    accuracies, losses = _report(capsys)
    assert len(accuracies) == len(losses) == 10
    looks = {
        (line.get_color(), line.get_linestyle(), line.get_marker(), str(line._dash_pattern))
        for line in _curves(shown[0]).values()
    }
    assert len(looks) == 10


def test_a_diverged_model(loaders, shown, capsys):
    """A model whose loss turns to NaN is reported and drawn beside the others, no crash."""
    broken, label = _small(0, "broken")
    with torch.no_grad():
        broken.fc3.weight.fill_(math.inf)
    helpers.compare_init_weights([(broken, label), _small(1, "fine")], "both", *loaders)
    printed = capsys.readouterr().out
    assert re.search(r"Training Loss\n +nan  -- broken\n +\d\.\d{3}  -- fine\n$", printed)
    assert len(shown) == 1


def test_nothing_but_a_diverged_model(loaders, shown, capsys):
    """Also where there is no finite loss to draw at all."""
    broken, label = _small(0, "broken")
    with torch.no_grad():
        broken.fc3.weight.fill_(math.nan)
    helpers.compare_init_weights([(broken, label)], "lost", *loaders)
    assert capsys.readouterr().out.endswith("Training Loss\n      nan  -- broken\n")
    assert len(shown) == 1


@pytest.mark.parametrize(
    ("labels", "shown_labels"), [([], r"\[\]"), (["a", "b", "a"], r"\['a', 'b', 'a'\]")]
)
def test_bad_model_list(loaders, labels, shown_labels):
    """No model, or a label twice, is refused before anything is trained."""
    models = [_small(0, label) for label in labels]
    before = [model.fc1.weight.clone() for model, _ in models]
    with pytest.raises(
        ValueError,
        match=rf"^model_list has the labels {shown_labels}; give at least one model, each its own",
    ):
        helpers.compare_init_weights(models, "title", *loaders)
    for (model, _), weight in zip(models, before, strict=True):
        assert torch.equal(model.fc1.weight, weight)


@pytest.mark.parametrize("count", [0, -1])
def test_bad_plot_n_batches(loaders, count):
    """A figure of no mini-batches is refused, before two epochs have been waited for."""
    model, label = _small(0, "net")
    before = model.fc1.weight.clone()
    with pytest.raises(ValueError, match=rf"^plot_n_batches is {count}; .* at least 1"):
        helpers.compare_init_weights([(model, label)], "title", *loaders, count)
    assert torch.equal(model.fc1.weight, before)


# Histograms


def _bars(figure):
    """Heights and edges of the bars, whether they are single patches or one outline."""
    (ax,) = figure.axes
    steps = [patch for patch in ax.patches if hasattr(patch, "get_data")]
    if steps:
        data = steps[0].get_data()
        return np.asarray(data.values), np.asarray(data.edges)
    heights = np.array([patch.get_height() for patch in ax.patches])
    starts = [patch.get_x() for patch in ax.patches]
    return heights, np.append(starts, starts[-1] + ax.patches[-1].get_width())


@pytest.mark.parametrize(
    "kind", [np.asarray, torch.as_tensor, list], ids=["array", "tensor", "list"]
)
def test_hist_dist(kind, shown):
    """1,000 values: 500 bins over the range, and in them the counts of numpy's histogram."""
    values = np.random.default_rng(0).normal(size=1000)
    assert helpers.hist_dist("a title", kind(values)) is None
    (figure,) = shown
    heights, edges = _bars(figure)
    expected, expected_edges = np.histogram(values, bins=500, range=(-4, 4))
    np.testing.assert_array_equal(heights, expected)
    np.testing.assert_allclose(edges, expected_edges)
    (ax,) = figure.axes
    assert ax.get_title() == "a title"
    assert ax.get_xlim() == pytest.approx((-4, 4), abs=0.01)


@pytest.mark.parametrize("shape", [(10, 7), (1, 71), (2, 5, 7)])
def test_hist_dist_of_any_shape(shape, shown):
    """Half as many bins as there are values, whatever their shape, over the range asked for."""
    values = torch.rand(shape, generator=torch.Generator().manual_seed(0))
    helpers.hist_dist("title", values, hist_range=(0, 1))
    heights, edges = _bars(shown[0])
    assert len(heights) == values.numel() // 2
    assert heights.sum() == values.numel()
    assert (edges[0], edges[-1]) == pytest.approx((0, 1))


def test_hist_dist_of_a_parameter(shown):
    """Weights that want a gradient, straight from a layer, can be drawn."""
    helpers.hist_dist("weights", nn.Linear(10, 10).weight, (-1, 1))
    assert _bars(shown[0])[0].sum() == 100


@pytest.mark.parametrize("bad", [(4, -4), (1, 1)])
def test_hist_dist_bad_range(bad, shown):
    """A range that is none is refused with its name."""
    with pytest.raises(ValueError, match=r"hist_range"):
        helpers.hist_dist("title", torch.rand(10), hist_range=bad)
    assert not shown

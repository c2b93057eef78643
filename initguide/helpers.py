"""The original lesson's two functions, with their original signatures.

Whoever has the notebook of that lesson (Udacity, deep-learning-v2-pytorch, 2018) runs it on current
versions with these changes, and no others:

=============================  =====================  ================================
The cell that                  Instead of             Write
=============================  =====================  ================================
shows some images              ``dataiter.next()``    ``next(dataiter)``
shows some images              ``20/2``               ``20//2``
compares the first two models  ``import helpers``     ``from initguide import helpers``
=============================  =====================  ================================

Iterators have lost the method, and a grid of plots wants whole numbers.

The cell that loads the data stays as it is, and downloads them. Where there is no network, run
``initguide data --torchvision data`` first, in the notebook's folder: it lays the files out where
that cell finds them (`initguide.data.lay_out`), from an earlier download or the package
``dataset-fashion-mnist`` of Debian and Ubuntu, or else the sample that comes with initguide.

The function that is left to be written can be graded, by
``initguide.exercises.check("normal", weights_init_normal)`` (`initguide.exercises.check`).

New code is better served by `initguide.compare_init_weights`, which trains over several
seeds, and by `initguide.plots`.
"""

import time
from collections.abc import Iterable, Sequence

import matplotlib.pyplot as plt
import numpy as np
from numpy.typing import ArrayLike
from torch import Tensor, nn

from initguide.experiments import Comparison
from initguide.plots import hist_dist as draw_hist_dist
from initguide.plots import plot_losses
from initguide.training import Batch, Run, evaluate, fit, make_optimizer

__all__ = ["compare_init_weights", "hist_dist"]

_EPOCHS = 2
_LEARNING_RATE = 1e-3


def compare_init_weights(
    model_list: Sequence[tuple[nn.Module, str]],
    plot_title: str,
    train_loader: Iterable[Batch],
    valid_loader: Iterable[Batch],
    plot_n_batches: int = 100,
) -> None:
    """Train each model for two epochs, plot the losses, and print accuracy and loss.

    As in the original lesson: Adam with a learning rate of 0.001, one run a model. Unlike there,
    dropout is off while the validation accuracy is measured, and there may be more than six models.

    Parameters
    ----------
    model_list
        Pairs of a model and its label, each label once. The models are trained in place.
    plot_title
        The figure's title.
    train_loader, valid_loader
        Mini-batches of images and labels, such as DataLoaders.
    plot_n_batches
        How many mini-batches the figure shows, at least 1.

    Raises
    ------
    ValueError
        If there is no model, two have the same label, or ``plot_n_batches`` is below 1.
    """
    labels = [label for _, label in model_list]
    if not labels or len(set(labels)) < len(labels):
        raise ValueError(
            f"model_list has the labels {labels}; give at least one model, each its own label"
        )
    if plot_n_batches < 1:
        raise ValueError(f"plot_n_batches is {plot_n_batches}; it must be at least 1")
    runs = tuple(_train(model, label, train_loader, valid_loader) for model, label in model_list)
    result = Comparison(
        runs=runs,
        schemes={label: label for label in labels},
        settings={"epochs": _EPOCHS, "seeds": [0], "learning_rate": _LEARNING_RATE},
        data_source="the loaders given",
    )
    plot_losses(result, first=plot_n_batches).set_title(plot_title)
    plt.show()

    print(f"After {_EPOCHS} Epochs:")
    print("Validation Accuracy")
    for run in runs:
        print(f"  {100 * run.valid_accuracy:7.3f}% -- {run.label}")
    print("Training Loss")
    for run in runs:
        print(f"  {run.train_losses[-1]:7.3f}  -- {run.label}")


def _train(
    model: nn.Module, label: str, train_loader: Iterable[Batch], valid_loader: Iterable[Batch]
) -> Run:
    start = time.perf_counter()
    optimizer = make_optimizer("adam", model.parameters(), _LEARNING_RATE)
    losses = np.empty(0, np.float32)
    for _ in range(_EPOCHS):
        losses = np.concatenate([losses, fit(model, train_loader, optimizer)])
        if not np.isfinite(losses).all():
            break  # fit ends with the first loss that is not finite
    valid = evaluate(model, valid_loader)
    return Run(
        label=label,
        seed=0,
        train_losses=losses,
        valid_loss=valid.loss,
        valid_accuracy=valid.accuracy,
        test_accuracy=np.nan,
        diverged_at=None if np.isfinite(losses).all() else len(losses) - 1,
        seconds=time.perf_counter() - start,
    )


def hist_dist(
    title: str,
    distribution_tensor: Tensor | ArrayLike,
    hist_range: tuple[float, float] = (-4, 4),
) -> None:
    """Show a histogram with half as many bins as there are values.

    Parameters
    ----------
    title
        The figure's title.
    distribution_tensor
        The values: a tensor, an array or a list, of any shape.
    hist_range
        The ends of the axis; values outside are not counted.
    """
    draw_hist_dist(title, distribution_tensor, hist_range)
    plt.show()

"""Train models on tensors in memory, and record what happened.

One loop for all ways of training: it owns the order of the images, the record of the losses, the
end and the time. What a step is belongs to the ways.
"""

import math
import time
from collections.abc import Sequence
from threading import Event

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from initguide.data import SplitPerSeed
from initguide.training.optimizers import OptimizerFactory, check_name
from initguide.training.planning import choose
from initguide.training.processor import device_of, one_thread
from initguide.training.rounding import rounding_of
from initguide.training.run import Dataset, Evaluation, Run, Stop
from initguide.training.settings import Settings, Task, check_settings
from initguide.training.stack import warn_split
from initguide.training.streams import Feed
from initguide.training.values import check_precision, check_tensors
from initguide.training.ways import WAYS, Alone, Way

__all__ = ["train", "train_many"]


def train(
    model: nn.Module,
    data: Dataset,
    *,
    epochs: int = 2,
    batch_size: int = 100,
    learning_rate: float = 1e-3,
    optimizer: str | OptimizerFactory = "adam",
    seed: int = 0,
    label: str = "",
    stop: Stop | None = None,
) -> Run:
    """Train a model in place, then measure it on the validation and test images.

    The seed decides the order of the mini-batches and the dropout masks, so two models with
    different weights and the same seed are trained on the same sequence. torch's global generator
    is left as it was, whatever the model does with it. The model's gradients are dropped.

    The computation stays on one thread. The result then does not depend on how many cores there
    are, and several runs can go side by side, as `initguide.compare_init_weights` arranges.

    Parameters
    ----------
    model
        Takes (n, …) images to (n, classes) scores. It is trained on the device it is on.
    data
        What `initguide.fashion_mnist` returns, or anything with the same three splits; or
        `initguide.data.SplitPerSeed`, for training and validation images that the seed divides.
    epochs
        How often each training image is used, at least 1.
    batch_size
        Images in a mini-batch, at least 1; the last one of an epoch may be smaller.
    learning_rate
        Above 0.
    optimizer
        ``"adam"``, ``"sgd"``, ``"momentum"`` (SGD with momentum 0.9), or a function such as
        `torch.optim.RMSprop`, called as ``optimizer(parameters, lr=learning_rate)``.
    seed
        A whole number, at least 0.
    label
        What the run is called in tables and figures.
    stop
        Training ends early when somebody sets this event, such as a `threading.Event`.

    Returns
    -------
    Run
        What happened. A run whose loss becomes NaN or infinite ends there and says so.

    Raises
    ------
    ValueError
        If a number is out of its range, the optimizer's name is unknown, or there are no images.

    Examples
    --------
    >>> import initguide
    >>> data = initguide.fashion_mnist(source="sample")
    >>> run = train(initguide.Net(constant_weight=0), data, epochs=1)
    >>> run.train_losses.shape, round(float(run.train_losses[0]), 3)
    ((40,), 2.303)
    """
    # Compiled or, where that is not possible, alone: the other ways are for several networks.
    [run] = train_many(
        [model],
        data,
        epochs=epochs,
        batch_size=batch_size,
        learning_rates=[learning_rate],
        optimizer=optimizer,
        seeds=[seed],
        labels=[label],
        stop=stop,
        way="compiled",
    )
    return run


def train_many(
    models: Sequence[nn.Module],
    data: Dataset,
    *,
    epochs: int = 2,
    batch_size: int = 100,
    learning_rates: Sequence[float],
    optimizer: str | OptimizerFactory = "adam",
    seeds: Sequence[int],
    labels: Sequence[str],
    stop: Stop | None = None,
    way: str | None = None,
) -> list[Run]:
    """Train several models at once on one thread: what `train` does, in less time.

    Models that compiled steps can train are trained one after the other, and get the numbers that
    `train` gives them. Others of the same shape share what there is to share, see
    `initguide.training`: side by side, each gets the numbers that it gets alone, to the last bit;
    stacked, the same to rounding. Models that share a seed see the same mini-batches in the same
    order, and the same dropout masks.

    Parameters
    ----------
    models
        S models, each as for `train`, all on one device.
    data, epochs, batch_size, optimizer, stop
        As for `train`.
    learning_rates, seeds, labels
        S of each.
    way
        One of those that `initguide.training` lists, such as ``"stacked"``; by default, what
        `initguide.training.plan` says. Models that cannot be trained in that way are trained alone.

    Returns
    -------
    list of Run
        What happened to each. The seconds of those that were trained together are those of all
        divided by their number.

    Raises
    ------
    ValueError
        If a number is out of its range, the optimizer's name is unknown, or there are no images.
    """
    if not len(models) == len(learning_rates) == len(seeds) == len(labels):
        raise ValueError(
            f"there are {len(models)} models, {len(learning_rates)} learning_rates, {len(seeds)} "
            f"seeds and {len(labels)} labels; give as many of each"
        )
    if way not in (None, *WAYS):
        raise ValueError(f"way is {way!r}; it must be {', '.join(map(repr, sorted(WAYS)))} or None")
    for rate, seed in zip(learning_rates, seeds, strict=True):
        check_settings(epochs=epochs, batch_size=batch_size, learning_rate=rate, seed=seed)
    check_name(optimizer)
    check_tensors(data)
    if not len(data.train.labels):
        raise ValueError("there are no images to train the model on")
    if not models:
        return []
    check_precision(models[0], data.train.images)
    settings = Settings(data, int(epochs), int(batch_size), optimizer, stop)
    tasks = [
        Task(model, float(rate), int(seed), label)
        for model, rate, seed, label in zip(models, learning_rates, seeds, labels, strict=True)
    ]
    with one_thread():
        chosen = choose(models, settings, way)
        runs: list[Run] = []
        for group in [tasks] if chosen.together else [[task] for task in tasks]:
            runs += _in_memory(group, settings, chosen)
        return runs


class _Record:
    """The losses of several runs while they are trained.

    Parameters
    ----------
    count
        How many runs.
    """

    def __init__(self, count: int) -> None:
        self.parts: list[list[NDArray[np.float32]]] = [[] for _ in range(count)]

    def add(self, losses: Tensor, runs: Sequence[int]) -> list[int]:
        """Add (batches, runs) losses of some runs; return those whose losses are all finite."""
        block = losses.float().cpu().numpy()
        for run, column in zip(runs, block.T, strict=True):
            self.parts[run].append(column)
        return [run for run, fine in zip(runs, np.isfinite(block).all(0), strict=True) if fine]

    def of(self, run: int) -> NDArray[np.float32]:
        """All losses of a run, up to the first that is not finite."""
        losses = np.concatenate(self.parts[run])
        bad = np.flatnonzero(~np.isfinite(losses))
        return losses[: bad[0] + 1] if len(bad) else losses


def _in_memory(tasks: Sequence[Task], settings: Settings, way: type[Way]) -> list[Run]:
    """Train networks, in as many parts as memory makes necessary; alone, if one is too many."""
    try:
        return _train(tasks, settings, way)
    except torch.OutOfMemoryError:
        if not way.on_copies:  # the models are no longer what they began as
            raise
    # Not within `except`: the traceback would keep the tensors of the failed try in memory.
    if len(tasks) == 1:
        return _train(tasks, settings, Alone)
    warn_split(len(tasks))
    half = len(tasks) // 2
    return [run for part in (tasks[:half], tasks[half:]) for run in _in_memory(part, settings, way)]


def _train(tasks: Sequence[Task], settings: Settings, way: type[Way]) -> list[Run]:
    """Train networks in one way, then measure them."""
    start = time.perf_counter()
    feed = Feed([task.seed for task in tasks], settings, device_of(tasks[0].model))
    networks = way(tasks, settings, feed)
    record = _Record(len(tasks))
    with networks.running():
        try:
            for task in tasks:
                task.model.train()
            _follow(networks, feed, record, settings.stop)
            for task in tasks:
                task.model.zero_grad()
            runs = _measured(networks, record, settings.data, start)
        except torch.OutOfMemoryError:
            raise  # they may begin again, from the weights that the models still have
        except BaseException:
            networks.write_back()  # whoever pressed Ctrl-C has models that were trained up to there
            raise
        networks.write_back()
    return runs


def _follow(networks: Way, feed: Feed, record: _Record, stop: Stop | None) -> None:
    """Train until the end of the data, until all diverged, or until somebody stops it."""
    going: Sequence[int] = range(len(networks.tasks))
    for orders in feed.chunks(networks.batches):
        losses = networks.steps(orders)
        # A network that diverged disturbs no other; it is dropped because its steps take time.
        going = networks.keep(record.add(losses, going))
        if stop and not isinstance(stop, Event):
            networks.write_back()  # a stop of one's own may look at the models
        if not going or (stop and stop.is_set()):
            break


def _validated(networks: Way, which: Sequence[int], data: Dataset) -> dict[int, Evaluation]:
    """Evaluate some networks on the validation images, each on those of its seed."""
    if not isinstance(data, SplitPerSeed):
        return dict(zip(which, networks.evaluate(which, data.valid), strict=True))
    found: dict[int, Evaluation] = {}
    for seed in dict.fromkeys(networks.tasks[i].seed for i in which):
        own = [i for i in which if networks.tasks[i].seed == seed]
        found |= zip(own, networks.evaluate(own, data.valid_of(seed)), strict=True)
    return found


def _measured(networks: Way, record: _Record, data: Dataset, start: float) -> list[Run]:
    """Look at the validation and then the test images, where there is something to see."""
    tasks = networks.tasks
    losses = [record.of(i) for i in range(len(tasks))]
    finite = [i for i, own in enumerate(losses) if np.isfinite(own[-1])]
    valid = _validated(networks, finite, data)
    # Where the last step broke a network, the validation images are the first to show it.
    sound = [i for i, seen in valid.items() if math.isfinite(seen.loss)]
    test = dict(zip(sound, networks.evaluate(sound, data.test), strict=True))
    unknown = Evaluation(math.nan, math.nan)
    seconds = (time.perf_counter() - start) / len(tasks)
    return [
        Run(
            label=task.label,
            seed=task.seed,
            train_losses=losses[i],
            valid_loss=(valid[i] if i in test else unknown).loss,
            valid_accuracy=(valid[i] if i in test else unknown).accuracy,
            test_accuracy=test.get(i, unknown).accuracy,
            diverged_at=None if i in test else len(losses[i]) - (i not in valid),
            seconds=seconds,
            trainer=networks.trainer,
            rounding=rounding_of(device_of(task.model), compiled=networks.is_compiled),
        )
        for i, task in enumerate(tasks)
    ]

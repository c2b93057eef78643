"""Train models on tensors in memory, and record what happened."""

import contextlib
import copy
import dataclasses
import functools
import math
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from numbers import Real
from threading import Event
from typing import Any, NamedTuple, Protocol, cast

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812  torch's own idiom
from numpy.typing import NDArray
from torch import Generator, Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

from initguide.arguments import check_whole
from initguide.randomness import seeded
from initguide.training import compiled
from initguide.training.stacking import (
    NAMED,
    FusedSteps,
    Stack,
    StackedSteps,
    Streams,
    device_of,
    one_thread,
    plan,
    quick_layers,
    side_by_side,
    stackable,
    warn_split,
)

__all__ = [
    "Dataset",
    "Evaluation",
    "Run",
    "SplitLike",
    "Stop",
    "evaluate",
    "fit",
    "make_optimizer",
    "train",
    "train_many",
]

Batch = tuple[Tensor, Tensor]
OptimizerFactory = Callable[..., torch.optim.Optimizer]

OPTIMIZERS: dict[str, OptimizerFactory] = {
    # "fused" updates all parameters in one call: the same numbers in a fraction of the time
    "adam": lambda parameters, lr: torch.optim.Adam(parameters, lr=lr, fused=True),
    "sgd": lambda parameters, lr: torch.optim.SGD(parameters, lr=lr, fused=True),
    "momentum": lambda parameters, lr: torch.optim.SGD(parameters, lr=lr, momentum=0.9, fused=True),
}


class SplitLike(Protocol):
    """Images (N, …) and labels (N,), such as `initguide.data.Split`."""

    @property
    def images(self) -> Tensor:
        """(N, …) float32."""

    @property
    def labels(self) -> Tensor:
        """(N,) int64, the number of each image's class."""


class Dataset(Protocol):
    """Three splits, such as what `initguide.fashion_mnist` returns."""

    @property
    def train(self) -> SplitLike:
        """What the model is trained on."""

    @property
    def valid(self) -> SplitLike:
        """What schemes are compared on."""

    @property
    def test(self) -> SplitLike:
        """What the chosen one is reported on."""


class Stop(Protocol):
    """Says whether to end early, as `threading.Event` does."""

    def is_set(self) -> bool:
        """Whether somebody wants it."""


class Evaluation(NamedTuple):
    """How good a model is on some images.

    Attributes
    ----------
    loss
        Mean cross-entropy an image, in nats. 0 is perfect; guessing among 10 classes gives
        ln 10 = 2.303.
    accuracy
        Fraction of the images classified correctly, in [0, 1].
    """

    loss: float
    accuracy: float


@dataclass(frozen=True, eq=False)
class Run:
    """One network trained once: what happened.

    Attributes
    ----------
    label
        What the run is called in tables and figures: the scheme.
    seed
        The seed of the weights, the order of the mini-batches and the dropout masks.
    train_losses
        (batches,) float32: the mean loss of each mini-batch, in the order of training, measured
        before the step that it causes. Ends with the first loss that is not finite.
    valid_loss
        Mean loss over the validation images after training, in evaluation mode. NaN if diverged.
    valid_accuracy, test_accuracy
        Fraction of images classified correctly, in [0, 1], in evaluation mode. NaN if diverged.
    diverged_at
        Index of the first mini-batch whose loss was NaN or infinite, or ``None``. If only the
        last step broke the network, their number: it showed on the validation images.
    seconds
        Wall-clock time of training and evaluation; of networks that were trained together, their
        share.
    """

    label: str
    seed: int
    train_losses: NDArray[np.float32]
    valid_loss: float
    valid_accuracy: float
    test_accuracy: float
    diverged_at: int | None
    seconds: float

    @property
    def diverged(self) -> bool:
        """Whether a loss of the run was NaN or infinite."""
        return self.diverged_at is not None

    @property
    def train_loss(self) -> float:
        """Mean training loss over the last 100 mini-batches; NaN if diverged.

        One mini-batch alone says little: its loss moves by a tenth from one to the next.
        """
        return math.nan if self.diverged else float(self.train_losses[-100:].mean(dtype=np.float64))


def evaluate(
    model: nn.Module, images: SplitLike | Iterable[Batch], *, batch_size: int = 2000
) -> Evaluation:
    """Mean loss and accuracy in evaluation mode (dropout off); the mode is put back afterwards.

    Parameters
    ----------
    model
        Takes (n, …) images to (n, classes) scores.
    images
        A split of a data set, or pairs of images and labels, such as a DataLoader gives.
    batch_size
        How many images of a split go through the model at once; changes memory and time, not the
        result.

    Raises
    ------
    ValueError
        If there are no images.
    """
    batches = (
        _in_order(cast(SplitLike, images), batch_size) if hasattr(images, "images") else images
    )
    modes = [(module, module.training) for module in model.modules()]
    model.eval()
    device = device_of(model)
    losses: list[Tensor] = []  # numbers stay in their tensors: reading them would make a GPU wait
    hits: list[Tensor] = []
    count = 0
    try:
        with torch.inference_mode():
            for inputs, labels in batches:
                scores, targets = model(inputs.to(device)), labels.to(device)
                losses.append(F.cross_entropy(scores, targets, reduction="sum"))
                hits.append((scores.argmax(dim=1) == targets).sum())
                count += len(labels)
    finally:
        for module, mode in modes:
            module.training = mode
    if not count:
        raise ValueError("there are no images to evaluate the model on")
    return Evaluation(
        math.fsum(loss.item() for loss in losses) / count,
        sum(int(hit) for hit in hits) / count,
    )


def fit(
    model: nn.Module,
    batches: Iterable[Batch],
    optimizer: torch.optim.Optimizer,
    *,
    stop: Stop | None = None,
) -> NDArray[np.float32]:
    """Train in place on the batches, once each in the order given, with the cross-entropy loss.

    Parameters
    ----------
    model
        Takes (n, …) images to (n, classes) scores; left in training mode.
    batches
        Pairs of images and labels: a DataLoader, or any other iterable.
    optimizer
        Holds the model's parameters.
    stop
        Training ends early when somebody sets this event, such as a `threading.Event`.

    Returns
    -------
    numpy.ndarray
        (batches,) float32: the loss of each batch, before the step that it causes. Training ends
        within 16 batches of a loss that is NaN or infinite, and the array ends with that loss.
    """
    model.train()
    device = device_of(model)
    parameters = [p for group in optimizer.param_groups for p in group["params"]]
    losses: list[Tensor] = []
    for images, labels in batches:
        loss = F.cross_entropy(model(images.to(device)), labels.to(device))
        for parameter in parameters:
            parameter.grad = None
        loss.backward()
        optimizer.step()
        # The number stays in its tensor: reading it would make a GPU wait for every batch.
        losses.append(loss.detach())
        if len(losses) % 16 == 0 and (
            not torch.stack(losses[-16:]).isfinite().all() or (stop and stop.is_set())
        ):
            break
    recorded = torch.stack(losses).float().cpu().numpy() if losses else np.empty(0, np.float32)
    bad = np.flatnonzero(~np.isfinite(recorded))
    return recorded[: bad[0] + 1] if len(bad) else recorded


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
        What `initguide.fashion_mnist` returns, or anything with the same three splits.
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
        way="compiled" if _is_compiled(model, optimizer) else "alone",
    )
    return run


def _is_compiled(model: nn.Module, optimizer: str | OptimizerFactory) -> bool:
    # Other models may be in no state to be planned with, such as those with lazy layers.
    return compiled.knows(model) and plan(model, optimizer).way == "compiled"


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

    Models that compiled steps can train (see `compiled`) are trained one after the other, and get
    the numbers that `train` gives them. Others of the same shape share what there is to share,
    see `initguide.training`: side by side, each gets the numbers that it gets alone, to the last
    bit; stacked, the same to rounding. Models that share a seed see the same mini-batches in the
    same order, and the same dropout masks.

    Parameters
    ----------
    models
        S models, each as for `train`, all on one device.
    data, epochs, batch_size, optimizer, stop
        As for `train`.
    learning_rates, seeds, labels
        S of each.
    way
        ``"compiled"``, ``"side by side"``, ``"stacked"`` or ``"alone"``; by default, what
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
        raise ValueError(f"way is {way!r}; it must be {', '.join(map(repr, WAYS))} or None")
    for rate, seed in zip(learning_rates, seeds, strict=True):
        check_settings(epochs=epochs, batch_size=batch_size, learning_rate=rate, seed=seed)
    check_name(optimizer)
    if not len(data.train.labels):
        raise ValueError("there are no images to train the model on")
    asked = [
        _Asked(model, float(rate), int(seed), label)
        for model, rate, seed, label in zip(models, learning_rates, seeds, labels, strict=True)
    ]
    common = _Common(data, int(epochs), int(batch_size), optimizer, stop)
    with one_thread():
        together = _together(models, common, way)
        runs = together(asked, common) if together else None
        if runs is not None:
            return runs
        return [run for one in asked for run in _side_by_side([one], common)]


class _Asked(NamedTuple):
    """One of the runs that are wanted."""

    model: nn.Module
    rate: float
    seed: int
    label: str


class _Common(NamedTuple):
    """What they have in common."""

    data: Dataset
    epochs: int
    batch_size: int
    optimizer: str | OptimizerFactory
    stop: Stop | None


WAYS = ("compiled", "side by side", "stacked", "alone")
Way = Callable[[Sequence[_Asked], _Common], list[Run] | None]


def _together(models: Sequence[nn.Module], common: _Common, way: str | None) -> Way | None:
    """How several models can be trained at once, if they can."""
    if not models:
        return None
    optimizer, images = common.optimizer, common.data.train.images
    planned = way or plan(models[0], optimizer).way
    if planned == "compiled":
        given = (images, common.data.train.labels, common.batch_size)
        if optimizer in NAMED and all(compiled.takes(model, *given) for model in models):
            return _compiled
        planned = way or plan(models[0], optimizer, compiling=False).way
    way = planned if len(models) > 1 or planned == "stacked" else "alone"
    if way in ("compiled", "alone") or uses_global_generator(models[0], images[:2]):
        return None
    if way == "stacked" and optimizer in NAMED and stackable(models, images[:2]):
        return _stacked
    if way == "side by side" and side_by_side(models, images, common.batch_size):
        return _side_by_side
    return None


def _compiled(asked: Sequence[_Asked], common: _Common) -> list[Run]:
    """Train models by compiled steps, one after the other."""
    runs = []
    for one in asked:
        start = time.perf_counter()
        feed = _Feed([one.seed], common, torch.device("cpu"))
        network = compiled.Connected.of(
            one.model,
            feed.images,
            feed.labels,
            batch_size=common.batch_size,
            optimizer=cast(str, common.optimizer),
            learning_rate=one.rate,
            masks=feed.masks[0],
        )
        record = _Record(1)
        try:
            for leg in feed.legs(min(feed.LEG, network.in_a_moment)):
                for loss in network.steps(torch.cat(leg, dim=1)[0]).split(1):
                    record.add(loss)
                if common.stop and not isinstance(common.stop, Event):
                    network.give_back()  # it may look at the model
                if not record.left([0]) or (common.stop and common.stop.is_set()):
                    break
        finally:
            network.give_back()
        one.model.train()
        runs += _timed([_looked_at(one, feed.masks[0], record.of(0), common)], start)
    return runs


def _side_by_side(asked: Sequence[_Asked], common: _Common) -> list[Run]:
    """Train models whose layers take turns; or one model."""
    start = time.perf_counter()
    models = [one.model for one in asked]
    feed = _Feed([one.seed for one in asked], common, device_of(models[0]))
    steps = _steps(asked, common.optimizer)
    record = _Record(len(asked))
    with contextlib.ExitStack() as around:
        if len(models) == 1:
            example = common.data.train.images[:2]
            around.enter_context(_own_global_generator(models[0], example, asked[0].seed))
        for model in models:
            model.train()
        alive = list(range(len(asked)))
        for leg in feed.legs():
            rows = feed.which[alive]
            with quick_layers([models[i] for i in alive], [feed.masks[i] for i in alive]):
                for orders in leg:
                    inputs, labels = feed.take(orders[rows])
                    losses = _losses(models[alive[0]](inputs), labels, len(alive))
                    steps.drop_gradients()
                    losses.sum().backward()
                    steps.step()
                    record.add(losses)
            left = record.left(alive)
            if left != alive:
                steps.among(left)
                alive = left
            if not alive or (common.stop and common.stop.is_set()):
                break
        runs = [_looked_at(one, feed.masks[i], record.of(i), common) for i, one in enumerate(asked)]
    return _timed(runs, start)


def _stacked(asked: Sequence[_Asked], common: _Common) -> list[Run] | None:
    """Train models whose parameters are stacked; ``None`` if memory does not suffice for one."""
    try:
        return _stack_trained(asked, common)
    except torch.OutOfMemoryError:
        if len(asked) == 1:
            return None
    warn_split(len(asked))
    half = len(asked) // 2
    runs: list[Run] = []
    for part in (asked[:half], asked[half:]):
        done = _stacked(part, common)
        if done is None:
            return None
        runs += done
    return runs


def _stack_trained(asked: Sequence[_Asked], common: _Common) -> list[Run]:
    start = time.perf_counter()
    models = [one.model for one in asked]
    feed = _Feed([one.seed for one in asked], common, device_of(models[0]))
    stack = Stack.of(models, feed.masks)
    stack.model.train()
    # On a CPU, one product for all would round differently from one for each.
    shared = len(feed.orders) == 1 and stack.device.type != "cpu"
    rates = torch.tensor([one.rate for one in asked])
    steps = StackedSteps(
        cast(str, common.optimizer),
        list(stack.parameters.values()),
        rates,
        fused=stack.device.type != "cpu",
    )
    record = _Record(len(asked))
    alive = list(range(len(asked)))
    for leg in feed.legs():
        rows = feed.which[:1] if shared else feed.which[alive]
        for orders in leg:
            inputs, labels = feed.take(orders[rows])
            if not shared:
                inputs = inputs.view(len(alive), -1, *inputs.shape[1:])
                labels = labels.view(len(alive), -1)
            losses = stack.losses(inputs, labels, shared=shared)
            losses.sum().backward()
            steps.step()
            record.add(losses)
        left = record.left(alive)
        if len(left) < 0.75 * len(alive):  # leaving some out costs a copy of the others
            kept = torch.tensor([alive.index(i) for i in left], dtype=torch.int64)
            stack.give_back([models[i] for i in alive])
            stack.among(kept)
            steps.among(list(stack.parameters.values()), kept)
            alive = left
        if not alive or (common.stop and common.stop.is_set()):
            break
    stack.give_back([models[i] for i in alive])
    stack.model.eval()
    parts = (common.data.valid, common.data.test) if alive else ()
    found = [dict(zip(alive, _evaluate_stack(stack, split), strict=True)) for split in parts]
    runs = []
    for i, one in enumerate(asked):
        looks = (functools.partial(seen.__getitem__, i) for seen in found)
        runs.append(_measured(one, record.of(i), *looks))
    return _timed(runs, start)


def _evaluate_stack(stack: Stack, split: SplitLike) -> list[Evaluation]:
    """As `evaluate` for each network of a stack."""
    count, device = len(stack), stack.device
    batch = max(1, min(2000, 2**18 // count))
    losses = torch.zeros(count, dtype=torch.float64, device=device)
    hits = torch.zeros(count, dtype=torch.int64, device=device)
    with torch.inference_mode():
        for images, labels in _in_order(split, batch):
            scores, targets = stack.outputs(images.to(device)), labels.to(device).repeat(count)
            each = F.cross_entropy(scores.flatten(0, 1), targets, reduction="none")
            losses += each.view(count, -1).sum(1, dtype=torch.float64)
            hits += (scores.argmax(dim=2).flatten() == targets).view(count, -1).sum(1)
    number = len(split.labels)
    return [
        Evaluation(loss / number, hit / number)
        for loss, hit in zip(losses.tolist(), hits.tolist(), strict=True)
    ]


class _Feed(Streams):
    """The mini-batches of several runs."""

    LEG = 16  # at most so many batches between two looks at whether the losses are finite

    def __init__(self, seeds: Sequence[int], common: _Common, device: torch.device) -> None:
        super().__init__(seeds, device)
        split = common.data.train
        # On a GPU, all images lie there, as far as they are not there yet.
        self.images, self.labels = split.images.to(device), split.labels.to(device)
        self.epochs, self.batch_size = common.epochs, common.batch_size
        self.room = torch.empty(0)  # for a mini-batch of several runs: new memory takes time

    def legs(self, size: int = LEG) -> Iterator[list[Tensor]]:
        """Mini-batches of all epochs, some at a time: (seeds, n) the numbers of the images."""
        for _ in range(self.epochs):
            batches = self.shuffled(len(self.labels)).split(self.batch_size, dim=1)
            for start in range(0, len(batches), size):
                yield list(batches[start : start + size])

    def take(self, numbers: Tensor) -> Batch:
        """Images and labels, one run's behind the other's."""
        flat = numbers.reshape(-1).to(self.labels.device)
        labels = self.labels.index_select(0, flat)
        if len(self.which) == 1:  # somebody may look at the images of their own model later
            return self.images.index_select(0, flat), labels
        shape = (len(flat), *self.images.shape[1:])
        if self.room.shape != shape:
            self.room = torch.empty(shape, dtype=self.images.dtype, device=self.images.device)
        return torch.index_select(self.images, 0, flat, out=self.room), labels


class _Record:
    """The losses of several runs while they are trained."""

    def __init__(self, count: int) -> None:
        self.new: list[Tensor] = []
        self.parts: list[list[NDArray[np.float32]]] = [[] for _ in range(count)]

    def add(self, losses: Tensor) -> None:
        """Add a mini-batch's losses: of the runs that are alive, (alive,)."""
        # The numbers stay in their tensors: reading them would make a GPU wait for every batch.
        self.new.append(losses.detach())

    def left(self, alive: Sequence[int]) -> list[int]:
        """Read what was added; return the runs whose losses are finite."""
        block = torch.stack(self.new).float().cpu().numpy()
        self.new = []
        for run, column in zip(alive, block.T, strict=True):
            self.parts[run].append(column)
        return [run for run, good in zip(alive, np.isfinite(block).all(0), strict=True) if good]

    def of(self, run: int) -> NDArray[np.float32]:
        """All losses of a run, up to the first that is not finite."""
        losses = np.concatenate(self.parts[run])
        bad = np.flatnonzero(~np.isfinite(losses))
        return losses[: bad[0] + 1] if len(bad) else losses


def _losses(scores: Tensor, labels: Tensor, count: int) -> Tensor:
    """Mean cross-entropy of each of several models, whose images come one behind the other."""
    return F.cross_entropy(scores, labels, reduction="none").view(count, -1).mean(1)


def _steps(asked: Sequence[_Asked], optimizer: str | OptimizerFactory) -> "FusedSteps | _OwnSteps":
    if isinstance(optimizer, str):
        parameters = [list(one.model.parameters()) for one in asked]
        return FusedSteps(optimizer, parameters, [one.rate for one in asked])
    return _OwnSteps([make_optimizer(optimizer, one.model.parameters(), one.rate) for one in asked])


class _OwnSteps:
    """The steps of optimizers of torch's kind, one for each model."""

    def __init__(self, optimizers: Sequence[torch.optim.Optimizer]) -> None:
        self.all = optimizers
        self.optimizers = list(optimizers)

    def among(self, models: Iterable[int]) -> None:
        self.optimizers = [self.all[i] for i in models]

    def drop_gradients(self) -> None:
        for optimizer in self.optimizers:
            optimizer.zero_grad()

    def step(self) -> None:
        for optimizer in self.optimizers:
            optimizer.step()


def _looked_at(one: _Asked, masks: Generator, losses: NDArray[np.float32], common: _Common) -> Run:
    """What came of a run, measured with its own model, whose gradients are dropped."""
    one.model.zero_grad()
    parts = (common.data.valid, common.data.test)
    looks = (functools.partial(evaluate, one.model, split) for split in parts)
    with quick_layers([one.model], [masks]):
        return _measured(one, losses, *looks)


def _measured(one: _Asked, losses: NDArray[np.float32], *looks: Callable[[], Evaluation]) -> Run:
    """Look at the validation and then the test images, if there is something to see."""
    valid = test = Evaluation(math.nan, math.nan)
    diverged_at = None
    if not np.isfinite(losses[-1]):
        diverged_at = len(losses) - 1
    else:
        look_at_valid, look_at_test = looks
        seen = look_at_valid()
        if math.isfinite(seen.loss):
            valid, test = seen, look_at_test()
        else:  # the last step broke it
            diverged_at = len(losses)
    return Run(
        label=one.label,
        seed=one.seed,
        train_losses=losses,
        valid_loss=valid.loss,
        valid_accuracy=valid.accuracy,
        test_accuracy=test.accuracy,
        diverged_at=diverged_at,
        seconds=math.nan,
    )


def _timed(runs: Sequence[Run], start: float) -> list[Run]:
    """Give each run its share of the time since the start."""
    seconds = (time.perf_counter() - start) / len(runs)
    return [dataclasses.replace(run, seconds=seconds) for run in runs]


def check_settings(*, epochs: int, batch_size: int, learning_rate: float, seed: int) -> None:
    """Refuse numbers that no training can be done with, naming the argument and its range."""
    for name, value, least in (
        ("epochs", epochs, 1),
        ("batch_size", batch_size, 1),
        ("seed", seed, 0),
    ):
        check_whole(name, value, least)
    if (
        isinstance(learning_rate, bool)
        or not isinstance(learning_rate, Real)
        or not 0 < learning_rate < math.inf
    ):
        raise ValueError(f"learning_rate is {learning_rate!r}; it must be a finite number above 0")


def make_optimizer(
    optimizer: str | OptimizerFactory, parameters: Iterable[nn.Parameter], learning_rate: float
) -> torch.optim.Optimizer:
    """Make an optimizer from a name or a function; see `train` for both."""
    check_name(optimizer)
    make = OPTIMIZERS[optimizer] if isinstance(optimizer, str) else optimizer
    return make(parameters, lr=learning_rate)


def check_optimizer(optimizer: str | OptimizerFactory, model: nn.Module, rate: float) -> None:
    """Refuse an unknown name, or a function that cannot make an optimizer for a model."""
    check_name(optimizer)
    if not any(True for _ in model.parameters()):
        raise ValueError("the model has no parameters, so there is nothing to train")
    # Making one of torch's own would tell nothing, and starting torch.optim takes a second or more.
    if not isinstance(optimizer, str):
        make_optimizer(optimizer, model.parameters(), rate)


def check_name(optimizer: str | OptimizerFactory) -> None:
    """Refuse the name of an optimizer that is none."""
    if isinstance(optimizer, str) and optimizer not in OPTIMIZERS:
        raise ValueError(
            f"unknown optimizer {optimizer!r}; the names are {', '.join(OPTIMIZERS)}, and a "
            "function such as torch.optim.RMSprop works too"
        )


def uses_global_generator(model: nn.Module, example: Tensor) -> bool:
    """Whether a training step draws from torch's global generator.

    Found out by running a copy of the model on the example and watching for operations that torch
    itself marks as random. `torch.nn.Dropout` does not count: `train` gives it a generator.
    """
    if compiled.knows(model):
        return False  # watching would start parts of torch that take a second or more
    try:
        trial = copy.deepcopy(model).train()
    except (RuntimeError, TypeError):  # cannot be copied, so expect the worst
        return True
    watch = _WatchRandomness()
    with (
        seeded(0),
        quick_layers([trial], [Generator(device_of(trial))]),
        torch.no_grad(),
        watch,
    ):
        trial(example.to(device_of(trial)))
    return watch.seen


class _WatchRandomness(TorchDispatchMode):
    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.seen = False

    def __torch_dispatch__(
        self, func: Any, types: Any, args: Any = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        if torch.Tag.nondeterministic_seeded in func.tags and kwargs.get("generator") is None:
            self.seen = True
        return func(*args, **kwargs)


def _in_order(split: SplitLike, batch_size: int) -> Iterator[Batch]:
    return zip(split.images.split(batch_size), split.labels.split(batch_size), strict=True)


@contextlib.contextmanager
def _own_global_generator(model: nn.Module, example: Tensor, seed: int) -> Iterator[None]:
    """Seed the global generators for a model that uses them, and put them back afterwards."""
    if not uses_global_generator(model, example):
        yield
        return
    with seeded(seed):
        yield

"""Train models on tensors in memory, and record what happened."""

import contextlib
import copy
import functools
import math
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from numbers import Integral, Real
from typing import Any, NamedTuple, Protocol, cast

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812  torch's own idiom
from numpy.typing import NDArray
from torch import Generator, Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

from initguide.initializers import seeded

__all__ = [
    "Dataset",
    "Evaluation",
    "Run",
    "Split",
    "Stop",
    "evaluate",
    "fit",
    "make_optimizer",
    "train",
]

Batch = tuple[Tensor, Tensor]
OptimizerFactory = Callable[..., torch.optim.Optimizer]

OPTIMIZERS: dict[str, OptimizerFactory] = {
    # "fused" updates all parameters in one call: the same numbers in a fraction of the time
    "adam": lambda parameters, lr: torch.optim.Adam(parameters, lr=lr, fused=True),
    "sgd": lambda parameters, lr: torch.optim.SGD(parameters, lr=lr, fused=True),
    "momentum": lambda parameters, lr: torch.optim.SGD(parameters, lr=lr, momentum=0.9, fused=True),
}


class Split(Protocol):
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
    def train(self) -> Split:
        """What the model is trained on."""

    @property
    def valid(self) -> Split:
        """What schemes are compared on."""

    @property
    def test(self) -> Split:
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
        Wall-clock time of training and evaluation.
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
    model: nn.Module, images: Split | Iterable[Batch], *, batch_size: int = 2000
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
    batches = _in_order(cast(Split, images), batch_size) if hasattr(images, "images") else images
    modes = [(module, module.training) for module in model.modules()]
    model.eval()
    device = _device_of(model)
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
    device = _device_of(model)
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
    is left as it was, whatever the model does with it.

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
    check_settings(epochs=epochs, batch_size=batch_size, learning_rate=learning_rate, seed=seed)
    epochs, batch_size, learning_rate = int(epochs), int(batch_size), float(learning_rate)
    start = time.perf_counter()
    order, masks = (
        Generator().manual_seed(int(s)) for s in np.random.SeedSequence(seed).generate_state(2)
    )
    example = data.train.images[:2]
    if not len(data.train.labels):
        raise ValueError("there are no images to train the model on")
    with (
        one_thread(),
        _own_global_generator(model, example, seed),
        _quick_layers(model, masks),
    ):
        losses = fit(
            model,
            _shuffled(data.train, epochs, batch_size, order),
            make_optimizer(optimizer, model.parameters(), learning_rate),
            stop=stop,
        )
        nothing = Evaluation(math.nan, math.nan)
        diverged_at = None if np.isfinite(losses[-1]) else len(losses) - 1
        valid = nothing if diverged_at is not None else evaluate(model, data.valid)
        if diverged_at is None and not math.isfinite(valid.loss):
            diverged_at, valid = len(losses), nothing
        test = nothing if diverged_at is not None else evaluate(model, data.test)
    return Run(
        label=label,
        seed=seed,
        train_losses=losses,
        valid_loss=valid.loss,
        valid_accuracy=valid.accuracy,
        test_accuracy=test.accuracy,
        diverged_at=diverged_at,
        seconds=time.perf_counter() - start,
    )


@contextlib.contextmanager
def one_thread() -> Iterator[None]:
    """Let torch compute on the calling thread alone, and put its number of threads back after."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def check_settings(*, epochs: int, batch_size: int, learning_rate: float, seed: int) -> None:
    """Refuse numbers that no training can be done with, naming the argument and its range."""
    for name, value, least in (
        ("epochs", epochs, 1),
        ("batch_size", batch_size, 1),
        ("seed", seed, 0),
    ):
        if isinstance(value, bool) or not isinstance(value, Integral) or value < least:
            raise ValueError(f"{name} is {value!r}; it must be a whole number, at least {least}")
    if seed >= 2**63:
        raise ValueError(f"seed is {seed!r}; it must be below 2⁶³")
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
    if isinstance(optimizer, str):
        if optimizer not in OPTIMIZERS:
            raise ValueError(
                f"unknown optimizer {optimizer!r}; the names are {', '.join(OPTIMIZERS)}, and a "
                "function such as torch.optim.RMSprop works too"
            )
        optimizer = OPTIMIZERS[optimizer]
    return optimizer(parameters, lr=learning_rate)


def uses_global_generator(model: nn.Module, example: Tensor) -> bool:
    """Whether a training step draws from torch's global generator.

    Found out by running a copy of the model on the example and watching for operations that torch
    itself marks as random. `torch.nn.Dropout` does not count: `train` gives it a generator.
    """
    try:
        trial = copy.deepcopy(model).train()
    except (RuntimeError, TypeError):  # cannot be copied, so expect the worst
        return True
    watch = _WatchRandomness()
    with (
        seeded(0),
        _quick_layers(trial, Generator()),
        torch.no_grad(),
        watch,
    ):
        trial(example.to(_device_of(trial)))
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


def _device_of(model: nn.Module) -> torch.device:
    return next((p.device for p in model.parameters()), torch.device("cpu"))


def _in_order(split: Split, batch_size: int) -> Iterator[Batch]:
    return zip(split.images.split(batch_size), split.labels.split(batch_size), strict=True)


def _shuffled(split: Split, epochs: int, batch_size: int, generator: Generator) -> Iterator[Batch]:
    for _ in range(epochs):
        order = torch.randperm(len(split.labels), generator=generator)
        # Sixteen batches are gathered at a time: one large copy costs less than sixteen small ones.
        for chunk in order.to(split.images.device).split(16 * batch_size):
            yield from zip(
                split.images.index_select(0, chunk).split(batch_size),
                split.labels.index_select(0, chunk).split(batch_size),
                strict=True,
            )


@contextlib.contextmanager
def _quick_layers(model: nn.Module, masks: Generator) -> Iterator[None]:
    """Let dropout and linear layers compute by the classes below while the model trains on a CPU.

    `torch.nn.Dropout` draws from the global generator, which threads would share: a run would
    depend on what the others do. And both layers can be had faster.
    """
    quick: list[nn.Module] = []
    for module in model.modules():
        if _device_of(model).type != "cpu" or "forward" in vars(module):
            continue  # a forward that somebody has replaced already is theirs
        if type(module) is nn.Dropout and not module.inplace:
            module.forward = _Dropout(module, masks)  # type: ignore[method-assign,assignment]
            quick.append(module)
        elif type(module) is nn.Linear and _onednn_pays(module):
            module.forward = functools.partial(_linear, module)  # type: ignore[method-assign]
            quick.append(module)
    try:
        yield
    finally:
        for module in quick:
            del module.forward


class _Dropout:
    """Dropout whose masks come from a generator.

    A unit is dropped where 16 random bits, read as a number, are below p · 2¹⁶: p is met to within
    1/131072, and one call of the generator serves four units.
    """

    def __init__(self, layer: nn.Dropout, generator: Generator) -> None:
        self.layer = layer
        self.generator = generator
        dropped = round(layer.p * 2**16)
        self.threshold = dropped - 2**15  # the bits are read as a signed number
        self.scale = 2**16 / (2**16 - dropped) if dropped < 2**16 else 0.0

    def __call__(self, x: Tensor) -> Tensor:
        if not self.layer.training or self.layer.p == 0:
            return x
        bits = torch.empty(math.ceil(x.numel() / 4), dtype=torch.int64)
        bits.random_(-(2**63), None, generator=self.generator)
        kept = bits.view(torch.int16)[: x.numel()].view(x.shape) >= self.threshold
        return x * kept.to(x.dtype).mul_(self.scale)


def _onednn_pays(layer: nn.Linear) -> bool:
    return (
        layer.weight.numel() >= 2**14  # below that, the call costs more than the product
        and layer.weight.dtype == torch.float32
        and _onednn_works()
    )


@functools.cache
def _onednn_works() -> bool:
    """Whether torch's product through oneDNN is there and right; it is no public name of torch."""
    x, weight, bias = torch.ones(2, 3), torch.ones(4, 3), torch.ones(4)
    try:
        return bool((_product(x, weight, bias) == 4).all())
    except (AttributeError, RuntimeError, TypeError):
        return False


def _linear(layer: nn.Linear, x: Tensor) -> Tensor:
    if x.ndim != 2 or x.dtype != torch.float32:
        return F.linear(x, layer.weight, layer.bias)
    return cast(Tensor, _OneDNNLinear.apply(x, layer.weight, layer.bias))


class _OneDNNLinear(torch.autograd.Function):
    """A linear layer whose three matrix products go through oneDNN instead of MKL.

    torch sends float32 products on a CPU to MKL, which takes about twice as long as oneDNN for
    these sizes, on AMD processors most of all. benchmarks/lesson_speed.py shows what it brings.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        ctx.save_for_backward(x, weight)
        ctx.has_bias = bias is not None
        return _product(x, weight, bias)

    @staticmethod
    def backward(ctx: Any, *grads: Any) -> Any:
        x, weight = ctx.saved_tensors
        grad = grads[0]
        for_x, for_weight, for_bias = ctx.needs_input_grad
        return (
            _product(grad, weight.t(), None) if for_x else None,
            _product(grad.t(), x.t(), None) if for_weight else None,
            grad.sum(0) if ctx.has_bias and for_bias else None,
        )


def _product(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """``x @ weight.t() + bias``, by oneDNN."""
    return cast(Tensor, torch.ops.mkldnn._linear_pointwise(x, weight, bias, "none", [], ""))  # noqa: SLF001


@contextlib.contextmanager
def _own_global_generator(model: nn.Module, example: Tensor, seed: int) -> Iterator[None]:
    """Seed the global generators for a model that uses them, and put them back afterwards."""
    if not uses_global_generator(model, example):
        yield
        return
    with seeded(seed):
        yield

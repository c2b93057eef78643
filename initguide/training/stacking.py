"""Many networks of one shape, computed together.

A small network leaves a processor idle: most of a training step is overhead. Where compiled steps
can be had, they have none (`compiled`). For other networks, this module shares it in two
ways, and `plan` says which suits a network:

- **side by side**: the images of all networks go through the layers as one long batch. Layers with
  parameters work on each network's part by itself; all else is done once. Each network gets the
  same numbers, to the last bit, as if it were alone.
- **stacked**: the weights of all networks lie in one tensor a layer, and `torch.func.vmap` turns
  every product into one product of stacks. For tiny networks by the thousand, and for GPUs. The
  numbers are the same to rounding.

`initguide.sweep` and `initguide.compare_init_weights` use it by themselves. `fit_many` is for
networks of any kind, each with its own weights, learning rate and order of the data.
"""

import contextlib
import copy
import functools
import math
import os
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from types import BuiltinFunctionType, FunctionType
from typing import Any, NamedTuple, cast

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812  torch's own idiom
from numpy.typing import NDArray
from torch import Generator, Tensor, nn
from torch.func import functional_call
from torch.optim.adam import adam
from torch.optim.sgd import sgd

from initguide.arguments import check_whole
from initguide.randomness import seeded
from initguide.training import compiled
from initguide.training.compiled import BETA_1, BETA_2, EPSILON, MOMENTUM, dropout_rule, is_hooked

__all__ = ["Fits", "Plan", "StackWarning", "fit_many", "plan", "quick_layers", "side_by_side"]

NAMED = ("adam", *MOMENTUM)


class StackWarning(UserWarning):
    """The networks did not fit into memory together, and are trained in several parts."""


# One layer, quicker


@contextlib.contextmanager
def quick_layers(models: Sequence[nn.Module], masks: Sequence[Generator]) -> Iterator[None]:
    """Let the first of some networks compute for all of them, and its layers compute faster.

    While this lasts, ``models[0]`` takes the batches of all networks one behind the other, (S·n,
    …), and gives their outputs in the same order. Layers that hold parameters or buffers use those
    of each network for its part.

    `torch.nn.Dropout` draws its masks from the generators. torch's own draws from the global one,
    which threads would share: a run would depend on what the others do.

    Parameters
    ----------
    models
        S networks of the same shape, that `side_by_side` has found fit for it, or one network.
    masks
        A generator for each; networks that share one get the same masks.
    """
    first = models[0]
    changed: list[nn.Module] = []
    try:
        for name, module in _units(first, split=len(models) > 1):
            if "forward" in vars(module):
                continue  # a forward that somebody has replaced already is theirs
            twins = [model.get_submodule(name) for model in models]
            forward = _forward(twins, masks)
            if forward is not None:
                module.forward = forward
                changed.append(module)
        yield
    finally:
        for module in changed:
            del module.forward


def _units(model: nn.Module, *, split: bool) -> Iterator[tuple[str, nn.Module]]:
    """Layers that are replaced: all of a network, or those that act for several networks."""
    if not split:
        yield from model.named_modules()
        return
    seen: set[nn.Module] = set()

    def visit(name: str, module: nn.Module) -> Iterator[tuple[str, nn.Module]]:
        if module in seen:
            return
        seen.add(module)
        if _holds_something(module) or type(module) is nn.Dropout:
            yield name, module
            return
        for child, part in module.named_children():
            yield from visit(f"{name}.{child}" if name else child, part)

    yield from visit("", model)


def _holds_something(module: nn.Module) -> bool:
    """Whether a module has parameters or buffers of its own, not only its parts have."""
    own = [*module.parameters(recurse=False), *module.buffers(recurse=False)]
    return bool(own)


def _forward(
    twins: Sequence[nn.Module], masks: Sequence[Generator]
) -> Callable[[Tensor], Tensor] | None:
    """What takes the place of a layer's forward, or ``None`` if it may stay."""
    layer = twins[0]
    on_cpu = device_of(layer).type == "cpu"
    if type(layer) is nn.Dropout and not layer.inplace and masks:
        return _Dropout(layer, masks)
    if type(layer) is nn.Linear and on_cpu and (len(twins) > 1 or _onednn_pays(layer.weight)):
        return functools.partial(_linears, cast(Sequence[nn.Linear], twins))
    if len(twins) == 1:
        return None
    rest = [twin.forward for twin in twins]  # as they are before the first one's is replaced
    return functools.partial(_each, rest)


def _each(forwards: Sequence[Callable[[Tensor], Tensor]], x: Tensor) -> Tensor:
    parts = _by_network(x, len(forwards))
    return _joined([forward(part) for forward, part in zip(forwards, parts, strict=True)])


class _Dropout:
    """Dropout whose masks come from generators.

    16 random bits decide about a unit (`initguide.training`), so one call of the
    generator serves four units.
    """

    def __init__(self, layer: nn.Dropout, masks: Sequence[Generator]) -> None:
        self.layer = layer
        places = {generator: place for place, generator in enumerate(dict.fromkeys(masks))}
        self.masks = list(places)  # each once: networks of one seed share theirs
        self.which = [places[generator] for generator in masks]
        self.distinct = self.which == list(range(len(self.masks)))

    def __call__(self, x: Tensor) -> Tensor:
        if not self.layer.training or self.layer.p == 0:
            return x
        dropped, scale = dropout_rule(self.layer.p)
        count = x.numel() // len(self.which)  # units of one network
        if x.device.type != "cpu":
            # One call for all: a GPU would take longer to start a call for each than to do it.
            bits = torch.randint(
                -(2**15), 2**15, (len(self.masks), count),
                dtype=torch.int16, device=x.device, generator=self.masks[0],
            )  # fmt: skip
        else:
            words = torch.empty(len(self.masks), math.ceil(count / 4), dtype=torch.int64)
            for row, generator in zip(words, self.masks, strict=True):
                row.random_(-(2**63), None, generator=generator)
            bits = words.view(torch.int16)[:, :count]
        kept = torch.empty(bits.shape, dtype=x.dtype, device=x.device)
        # By way of bools it would take four times as long.
        torch.ge(bits, dropped, out=kept)
        kept.mul_(scale)
        if not self.distinct:
            kept = kept[self.which]
        return x * kept.view(x.shape)


def _onednn_pays(weight: Tensor) -> bool:
    return (
        weight.numel() >= 2**14  # below that, the call costs more than the product
        and weight.dtype == torch.float32
        and _onednn_works()
    )


@functools.cache
def _onednn_works() -> bool:
    """Whether torch's product through oneDNN is there and right; it is no public name of torch."""
    shapes = ((2, 3), (4, 3), (4,))
    x, weight, bias = (torch.ones(n, dtype=torch.float32, device="cpu") for n in shapes)
    try:
        return bool((_by_onednn(x, weight, bias) == 4).all())
    except (AttributeError, RuntimeError, TypeError):
        return False


def _linears(layers: Sequence[nn.Linear], x: Tensor) -> Tensor:
    """Linear layers of several networks, each on its part of a batch."""
    plain = x.ndim == 2 and x.dtype == layers[0].weight.dtype
    if not plain or torch.is_autocast_enabled("cpu"):
        return _each([functools.partial(F.linear, weight=k.weight, bias=k.bias) for k in layers], x)
    parameters = [*(k.weight for k in layers), *(k.bias for k in layers)]
    return cast(Tensor, _Linears.apply(x, *parameters))


class _Linears(torch.autograd.Function):
    """Linear layers of several networks: x, then all weights, then all biases.

    One step of autograd for all of them, and the large products go through oneDNN.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, *parameters: Tensor | None) -> Tensor:
        count = len(parameters) // 2
        weights = cast(tuple[Tensor, ...], parameters[:count])
        biases = parameters[count:]
        ctx.save_for_backward(x, *weights)
        ctx.has_bias = biases[0] is not None
        product = _product_for(weights[0])
        return _joined(_products(product, _by_network(x, count), weights, biases))

    @staticmethod
    def backward(ctx: Any, *grads: Any) -> Any:
        x, *weights = ctx.saved_tensors
        count, product = len(weights), _product_for(weights[0])
        for_x, *wanted = ctx.needs_input_grad
        x, grad = _by_network(x, count), _by_network(grads[0], count)
        nothing: list[Tensor | None] = [None] * count
        x_grad, weight_grads, bias_grads = None, nothing, nothing
        if for_x:
            turned = [weight.t() for weight in weights]
            x_grad = _joined(_products(product, grad, turned, nothing))
        if any(wanted[:count]):
            weight_grads = _products(product, grad.mT, x.mT, nothing)
        if ctx.has_bias and any(wanted[count:]):
            bias_grads = [*grad.sum(1).unbind()]
        return x_grad, *weight_grads, *bias_grads


def _by_network(x: Tensor, count: int) -> Tensor:
    """(S·n, …) -> (S, n, …)."""
    return x.reshape(count, -1, *x.shape[1:])


Product = Callable[[Tensor, Tensor, Tensor | None], Tensor]  # x @ weight.t() + bias


def _product_for(weight: Tensor) -> Product:
    """Choose how a layer with weights like this one, and its gradients, are computed.

    torch sends float32 products on a CPU to MKL. For large ones, oneDNN takes about half of the
    time on some processors: benchmarks/lesson_speed.py shows it. But its product is none that torch
    can differentiate, so a gradient that somebody wants to differentiate goes without.
    """
    differentiated = torch.is_grad_enabled()  # inside an autograd function: by ``create_graph``
    return _by_onednn if _onednn_pays(weight) and not differentiated else _plainly


def _products(
    product: Product, x: Tensor, weights: Iterable[Tensor], biases: Iterable[Tensor | None]
) -> list[Any]:
    return [product(*given) for given in zip(x, weights, biases, strict=True)]


def _joined(parts: list[Tensor]) -> Tensor:
    return torch.cat(parts) if len(parts) > 1 else parts[0]


def _plainly(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    return x @ weight.t() if bias is None else torch.addmm(bias, x, weight.t())


def _by_onednn(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    product = torch.ops.mkldnn._linear_pointwise.default  # noqa: SLF001
    return cast(Tensor, product(x, weight, bias, "none", [], ""))


def device_of(model: nn.Module) -> torch.device:
    """Where a model's parameters are; the CPU if it has none."""
    return next((p.device for p in model.parameters()), torch.device("cpu"))


# What one core does, and how many there are


@contextlib.contextmanager
def one_thread() -> Iterator[None]:
    """Let torch compute on the calling thread alone, and put its number of threads back after."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def cores() -> int:
    """How many cores this process may use, as far as is known."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


# Random numbers


class Streams:
    """Random numbers of several runs: the order of the data, and dropout masks.

    On a CPU, what a run gets follows from its seed alone. On a GPU, a stack draws the masks of all
    its networks at once, so that they depend on which others there are, too.

    Parameters
    ----------
    seeds
        One for each run; runs of one seed share their order and their masks.
    device
        Where the dropout masks are drawn.

    Attributes
    ----------
    orders
        Generators of the order of the data, one for each different seed.
    which
        (S,) the one of these that is each run's.
    masks
        Each run's generator of dropout masks.
    """

    def __init__(self, seeds: Sequence[int], device: torch.device) -> None:
        places = {seed: place for place, seed in enumerate(dict.fromkeys(seeds))}
        drawn = [np.random.SeedSequence(seed).generate_state(2) for seed in places]
        self.orders = [Generator().manual_seed(int(order)) for order, _ in drawn]
        masks = [Generator(device).manual_seed(int(mask)) for _, mask in drawn]
        self.which = torch.tensor([places[seed] for seed in seeds])
        self.masks = [masks[places[seed]] for seed in seeds]

    def shuffled(self, count: int) -> Tensor:
        """(seeds, count) the next epoch's order of so many data."""
        return torch.stack([torch.randperm(count, generator=g) for g in self.orders])


# Which way


class Plan(NamedTuple):
    """How networks of one shape are best trained.

    Attributes
    ----------
    way
        ``"compiled"``, ``"stacked"``, ``"side by side"`` or ``"alone"``.
    size
        How many at a time, at least 1.
    """

    way: str
    size: int


# What the rule below stands on is measured by benchmarks/ways.py.
SMALL = 15_000  # parameters a layer below which stacking wins
LARGE = 1_000_000  # parameters from which a network keeps a core busy by itself
LARGEST = 4_000_000  # parameters up to which compiled steps have been measured
ABREAST = 5  # networks side by side: more gain nothing
STACK = 2**21  # parameters of a stack: with more, it leaves the caches
PART = 2**19  # the same for `fit_many`, whose data are few
GROUP = 2**18  # parameters of the networks that are handed to compiled steps at a time
LOOK, SPARE = 10, 7 / 8  # steps between looks at what diverged; the share left for which to sort


def plan(model: nn.Module, optimizer: object = "adam", *, compiling: bool = True) -> Plan:
    """How to train many networks like this one.

    Networks on a GPU are stacked, as many as there are. On a CPU, networks of up to four million
    parameters that compiled steps can train (`initguide.training`) are trained by them, one
    after the other. Of the rest, fully connected networks whose layers have less than 15,000
    parameters on average are stacked, 20 to 256 at a time; those of up to a million parameters go
    side by side, by five. All others go alone: they keep a core busy. ``benchmarks/ways.py``
    measures what this rule stands on.

    Parameters
    ----------
    model
        One of the networks.
    optimizer
        A name, as for `initguide.training.train`. With a function, nothing is compiled or stacked:
        it may look at a whole tensor at once.
    compiling
        Whether compiled steps may be used where there are any.

    Examples
    --------
    >>> from initguide.models import mlp
    >>> for widths in ([784, 256, 128, 10], [784, 16, 16, 10]):
    ...     print(plan(mlp(widths, nn.Tanh)))
    Plan(way='side by side', size=5)
    Plan(way='stacked', size=161)
    """
    count = sum(p.numel() for p in model.parameters())
    named = isinstance(optimizer, str) and optimizer in NAMED
    if count and device_of(model).type != "cpu":
        return Plan("stacked", 2**20) if named else Plan("alone", 1)
    holders = [m for m in model.modules() if _holds_something(m)]
    layers = sum(type(m) is nn.Linear for m in holders)
    if compiling and named and 0 < count < LARGEST and compiled.fits(model):
        return Plan("compiled", group_size(count))
    if not layers or not all(isinstance(m, _CONNECTED) for m in holders) or count >= LARGE:
        return Plan("alone", 1)
    has_buffers = any(True for _ in model.buffers())
    if named and count / layers < SMALL and not has_buffers:
        return Plan("stacked", stack_size(count))
    return Plan("side by side", ABREAST)


def group_size(count: int) -> int:
    """How many networks of so many parameters are handed to compiled steps at a time."""
    return max(1, min(GROUP // count, 64))


def stack_size(count: int) -> int:
    """How many networks of so many parameters are stacked on a CPU."""
    return max(20, min(STACK // count, 256))


_CONNECTED = (nn.Linear, nn.LayerNorm, nn.BatchNorm1d, nn.Embedding, nn.PReLU)


TRIED = 64  # inputs that are tried, or one mini-batch


def side_by_side(
    models: Sequence[nn.Module], inputs: Tensor, batch_size: int | None = None
) -> bool:
    """Whether some networks can go side by side: whether each gets the numbers it gets alone.

    Found out by trying, on copies in training mode whose parameters are random, so that networks
    which merely start out the same deceive nobody. Outputs and gradients must be the same to the
    last bit. That may depend on the size of the mini-batches: some functions and products round
    differently where a network's part of the batch does not begin at a round address.

    Parameters
    ----------
    models
        The networks.
    inputs
        (N, …) the data.
    batch_size
        How many of the data each step uses; all of them if ``None``. What is left over is taken to
        be a smaller mini-batch.
    """
    first = models[0]
    if any(_shape_of(model) != _shape_of(first) for model in models) or _holds_something(first):
        return False
    for _, unit in _units(first, split=True):
        if unit is not first and any(type(m) is nn.Dropout for m in list(unit.modules())[1:]):
            return False  # its masks would be drawn once for each network
    count = len(inputs)
    batch = min(batch_size or count, count)
    sizes = {batch, count % batch or batch}
    try:
        copies = _random_copies(models)
        with seeded(0):  # the trial leaves the global generators as they were
            return all(
                _are_equal(copies, example.to(device_of(first)))
                for size in sizes
                for example in inputs[: size * max(1, TRIED // size)].split(size)
                if len(example) == size
            )
    except Exception:  # noqa: BLE001  whatever it is, alone it will show by itself
        return False


def _are_equal(models: Sequence[nn.Module], example: Tensor) -> bool:
    """Whether networks that go side by side and alone give the same to the last bit."""
    alone = [_tried([model], [seed], example) for seed, model in enumerate(models)]
    outputs, grads = _tried(models, range(len(models)), example)
    expected = [grad for one in alone for grad in one.grads]
    return torch.equal(outputs, torch.cat([one.outputs for one in alone])) and all(
        a is b or (a is not None and b is not None and torch.equal(a, b))
        for a, b in zip(expected, grads, strict=True)
    )


def _shape_of(model: nn.Module) -> list[Any]:
    """What must be the same in all networks: their modules, and the shapes of what these hold."""
    held = [(n, t.shape, t.dtype, t.device, t.requires_grad) for n, t in model.named_parameters()]
    modules = [(name, type(m)) for name, m in model.named_modules()]
    changed = [
        name
        for name, module in model.named_modules()
        for key, value in vars(module).items()
        if key == "forward" or (key.endswith("_hooks") and value)
    ]
    # Whoever hooked one network, or gave it a forward of its own, wants to see that one: a marker
    # that equals no other.
    return [held, modules, [object() for _ in changed]]


def _random_copies(models: Sequence[nn.Module]) -> list[nn.Module]:
    """Copies in training mode, each with parameters of its own."""
    copies = [copy.deepcopy(model).train() for model in models]
    with torch.no_grad():
        for seed, model in enumerate(copies):
            generator = Generator().manual_seed(seed)
            for p in model.parameters():
                spread = 1 / math.sqrt(max(1, p.shape[-1] if p.ndim > 1 else 1))
                p.copy_(torch.randn(p.shape, generator=generator) * spread)
    return copies


class _Tried(NamedTuple):
    """What networks gave for an example: outputs, and gradients of all their parameters."""

    outputs: Tensor
    grads: tuple[Tensor | None, ...]


def _tried(models: Sequence[nn.Module], seeds: Iterable[int], example: Tensor) -> _Tried:
    masks = [Generator(example.device).manual_seed(seed) for seed in seeds]
    count = len(models)
    with quick_layers(models, masks):
        outputs = models[0](example.repeat(count, *[1] * (example.ndim - 1)))
    parameters = [p for model in models for p in model.parameters() if p.requires_grad]
    return _Tried(outputs.detach(), _gradients(outputs, count, parameters))


def _gradients(
    outputs: Tensor, count: int, parameters: Sequence[Tensor]
) -> tuple[Tensor | None, ...]:
    """Gradients of a sum of several networks' outputs, whose weights are random."""
    pattern = torch.randn(outputs.numel() // count, generator=Generator().manual_seed(0))
    total = (outputs.reshape(count, -1) * pattern.to(outputs)).sum()
    return torch.autograd.grad(total, parameters, allow_unused=True)


# Optimizers


class FusedSteps:
    """Steps of Adam or SGD for several networks, each with its learning rate.

    torch's own functions, without the bookkeeping of `torch.optim.Optimizer`, which takes longer
    than the steps of a small network.

    Parameters
    ----------
    name
        ``"adam"``, ``"sgd"`` or ``"momentum"``.
    parameters
        Those of each network.
    rates
        The learning rate of each network.
    """

    def __init__(
        self, name: str, parameters: Sequence[Sequence[Tensor]], rates: Sequence[float]
    ) -> None:
        self.name = name
        self.rates = list(rates)
        self.all = [[_with_state(p) for p in own if p.requires_grad] for own in parameters]
        self.among(range(len(rates)))

    def among(self, networks: Iterable[int]) -> None:
        """Go on with these networks alone."""
        self.groups: dict[float, list[tuple[Tensor, ...]]] = {}
        for i in networks:
            self.groups.setdefault(self.rates[i], []).extend(self.all[i])

    def step(self) -> None:
        """Do a step."""
        for rate, rows in self.groups.items():
            _fused_step(self.name, rows, rate)

    def drop_gradients(self) -> None:
        """Forget the gradients of the step before."""
        for rows in self.groups.values():
            for parameter, *_ in rows:
                parameter.grad = None


def _with_state(parameter: Tensor) -> tuple[Tensor, ...]:
    """Return a parameter, its first and second moment, and the number of its steps."""
    zeros = (torch.zeros_like(parameter) for _ in range(2))
    return parameter, *zeros, torch.zeros((), device=parameter.device)


@torch.no_grad()
def _fused_step(name: str, rows: Sequence[tuple[Tensor, ...]], rate: float) -> None:
    """Step with all parameters that have a gradient, in one call."""
    rows = [row for row in rows if row[0].grad is not None]
    if not rows:
        return
    parameters, first, second, counts = map(list, zip(*rows, strict=True))
    grads = [cast(Tensor, p.grad) for p in parameters]
    if name == "adam":
        adam(
            parameters, grads, first, second, [], counts,
            fused=True, amsgrad=False, beta1=BETA_1, beta2=BETA_2, lr=rate,
            weight_decay=0.0, eps=EPSILON, maximize=False,
        )  # fmt: skip
    else:
        sgd(
            parameters, grads, cast(list[Tensor | None], first),
            fused=True, weight_decay=0.0, momentum=MOMENTUM[name], lr=rate,
            dampening=0.0, nesterov=False, maximize=False,
        )  # fmt: skip


class StackedSteps:
    """The same steps on stacked parameters, whose learning rates lie along the first dimension.

    Parameters
    ----------
    name
        ``"adam"``, ``"sgd"`` or ``"momentum"``.
    parameters
        (S, …) each.
    rates
        (S,) the learning rates.
    fused
        Whether to use torch's own functions where all rates are the same. They move less memory,
        which counts on a GPU; on a CPU, a network's numbers would depend on the others' rates.
    """

    def __init__(
        self, name: str, parameters: Sequence[Tensor], rates: Tensor, *, fused: bool = False
    ) -> None:
        self.name = name
        self.rates = rates.to(parameters[0])
        # One rate for all, if they can have torch's own functions; else 0.
        same = fused and bool((rates == rates[0]).all())
        self.rate = float(rates[0]) if same else 0.0
        self.steps = 0
        self.rows = [_with_state(p) for p in parameters]

    def among(self, parameters: Sequence[Tensor], networks: Tensor) -> None:
        """Go on with these networks alone, whose parameters are given."""
        self.rates = self.rates[networks]
        self.rows = [
            (parameter, first[networks], second[networks], count)
            for parameter, (_, first, second, count) in zip(parameters, self.rows, strict=True)
        ]

    @torch.no_grad()
    def step(self) -> None:
        """Do a step, and drop the gradients."""
        self.steps += 1
        if self.rate:
            _fused_step(self.name, self.rows, self.rate)
        else:
            for parameter, first, second, _ in self.rows:
                if parameter.grad is not None:
                    rates = self.rates.view(-1, *[1] * (parameter.ndim - 1))
                    parameter.addcmul_(self._change(parameter.grad, first, second), rates, value=-1)
        for parameter, *_ in self.rows:
            parameter.grad = None

    def _change(self, grad: Tensor, first: Tensor, second: Tensor) -> Tensor:
        """Step that a gradient causes at a learning rate of 1."""
        if self.name == "adam":
            first.lerp_(grad, 1 - BETA_1)
            second.mul_(BETA_2).addcmul_(grad, grad, value=1 - BETA_2)
            root = second.sqrt().div_(math.sqrt(1 - BETA_2**self.steps)).add_(EPSILON)
            return first.div(root).div_(1 - BETA_1**self.steps)
        if MOMENTUM[self.name]:
            return first.mul_(MOMENTUM[self.name]).add_(grad)
        return grad


# Stacks


class Stack:
    """Networks whose parameters are stacked.

    Parameters
    ----------
    model
        One like them; what it computes is what they compute, with their parameters.
    parameters
        Name -> (S, …) the parameters of all. They are trained in place.
    loss
        Function of one network's outputs and of the targets, that gives a number.
    masks
        Generators of the dropout masks, one for each network, or one for all.
    """

    def __init__(
        self,
        model: nn.Module,
        parameters: Mapping[str, Tensor],
        loss: Callable[[Tensor, Tensor], Tensor] = F.cross_entropy,
        masks: Sequence[Generator] = (),
    ) -> None:
        self.model = model
        self.parameters = {
            name: tensor.requires_grad_(tensor.is_floating_point())
            for name, tensor in parameters.items()
        }
        self.loss = loss
        self.masks = list(masks) * (len(self) if len(masks) == 1 else 1)
        self.dropouts = self._dropouts()

    @classmethod
    def of(cls, models: Sequence[nn.Module], masks: Sequence[Generator] = ()) -> "Stack":
        """Stack the parameters of networks, which are left as they are."""
        names = [name for name, _ in models[0].named_parameters()]
        stacked = {
            name: torch.stack([model.get_parameter(name).detach() for model in models])
            for name in names
        }
        return cls(copy.deepcopy(models[0]), stacked, masks=masks)

    def losses(self, inputs: Tensor, targets: Tensor, *, shared: bool) -> Tensor:
        """Loss of each network, (S,).

        Parameters
        ----------
        inputs, targets
            (n, …) if they are shared, (S, n, …) otherwise.
        shared
            Whether all networks get the same.
        """
        each = None if shared else 0

        def one(parameters: dict[str, Tensor], x: Tensor, y: Tensor) -> Tensor:
            return self.loss(self._computed(parameters, x), y)

        return torch.vmap(one, in_dims=(0, each, each))(self.parameters, inputs, targets)

    def outputs(self, inputs: Tensor) -> Tensor:
        """Outputs of all networks for the same inputs, (S, n, …)."""
        return torch.vmap(self._computed, in_dims=(0, None))(self.parameters, inputs)

    def _computed(self, parameters: dict[str, Tensor], x: Tensor) -> Tensor:
        """Outputs of one network."""
        with self._dropout(next(iter(parameters.values())).detach()):
            return cast(Tensor, functional_call(self.model, parameters, (x,)))

    def __len__(self) -> int:
        return len(next(iter(self.parameters.values())))

    @property
    def device(self) -> torch.device:
        """Where the parameters are."""
        return next(iter(self.parameters.values())).device

    def give_back(self, models: Sequence[nn.Module]) -> None:
        """Fill networks with what was trained."""
        with torch.no_grad():
            for name, stacked in self.parameters.items():
                for model, own in zip(models, stacked, strict=True):
                    model.get_parameter(name).copy_(own)

    def among(self, networks: Tensor) -> None:
        """Go on with these networks alone."""
        self.parameters = {
            name: tensor.detach()[networks].requires_grad_(tensor.requires_grad)
            for name, tensor in self.parameters.items()
        }
        self.masks = [self.masks[i] for i in networks.tolist()] if self.masks else []
        self.dropouts = self._dropouts()

    def _dropouts(self) -> list[_Dropout]:
        layers = [m for m in self.model.modules() if type(m) is nn.Dropout and self.masks]
        return [_Dropout(layer, self.masks) for layer in layers]

    @contextlib.contextmanager
    def _dropout(self, stacked: Tensor) -> Iterator[None]:
        for dropout in self.dropouts:
            dropout.layer.forward = functools.partial(_StackedDropout.apply, dropout, stacked)  # type: ignore[method-assign]
        try:
            yield
        finally:
            for dropout in self.dropouts:
                del dropout.layer.forward


class _StackedDropout(torch.autograd.Function):
    """Under `torch.vmap`, dropout on the units of all networks at once.

    It takes something that is stacked beside them: the units may be the inputs, which are not.
    """

    @staticmethod
    def forward(dropout: _Dropout, stacked: Tensor, x: Tensor) -> Tensor:  # noqa: ARG004
        raise RuntimeError("this is computed for stacks only")

    @staticmethod
    def setup_context(ctx: Any, inputs: Any, output: Any) -> None:
        """Nothing is needed: `vmap` computes by operations that differentiate themselves."""

    @staticmethod
    def vmap(
        info: Any,
        in_dims: Any,
        dropout: _Dropout,
        stacked: Tensor,  # noqa: ARG004
        x: Tensor,
    ) -> tuple[Tensor, int]:
        *_, dim = in_dims
        units = x.expand(info.batch_size, *x.shape) if dim is None else x.movedim(dim, 0)
        return dropout(units.contiguous()), 0


def stackable(models: Sequence[nn.Module], example: Tensor) -> bool:
    """Whether some networks can be stacked: whether each gets about the numbers it gets alone.

    Found out by trying, as in `side_by_side`, with some of the networks if there are many.

    Parameters
    ----------
    models
        The networks.
    example
        (n, …) some inputs.
    """
    first = models[0]
    same = (_shape_of(first), _plain_values(first))
    if any((_shape_of(model), _plain_values(model)) != same for model in models):
        return False
    if any(True for _ in first.buffers()) or not all(p.requires_grad for p in first.parameters()):
        return False
    if any(is_hooked(p) for model in models for p in model.parameters()):
        return False  # a stack has parameters of its own
    try:
        copies = _random_copies(models[:: math.ceil(len(models) / 16)])
        count, example = len(copies), example.to(device_of(first))
        with seeded(0):
            alone = [_tried([model], [0], example) for model in copies]
            stack = Stack.of(copies, [Generator(example.device).manual_seed(0)])
            outputs = stack.outputs(example)
            grads = _gradients(outputs, count, list(stack.parameters.values()))
        found = [outputs.detach(), *(g for g in grads if g is not None)]
        expected = [torch.stack([one.outputs for one in alone])]
        expected += [
            torch.stack([torch.zeros_like(g[0]) if own is None else own for own in each])
            for g, each in zip(grads, zip(*(one.grads for one in alone), strict=True), strict=True)
            if g is not None
        ]
    except Exception:  # noqa: BLE001  whatever it is, alone it will show by itself
        return False
    if any(a.shape != b.shape for a, b in zip(found, expected, strict=True)):
        return False
    # Some gradients are nothing but rounding: of a bias behind which the mean is subtracted.
    slack = 1e-5 * torch.stack([b.norm() for b in expected]).max()
    return all(
        bool((a - b).norm() <= 1e-2 * b.norm() + slack)
        for a, b in zip(found, expected, strict=True)
    )


def _plain_values(model: nn.Module) -> list[Any]:
    """Attributes that may decide about what a network does: numbers, words and functions."""
    return [
        (name, key, getattr(value, "__code__", value))  # each has its own copy of a lambda
        for name, module in model.named_modules()
        for key, value in vars(module).items()
        if key != "training"
        and isinstance(value, int | float | str | FunctionType | BuiltinFunctionType)
    ]


class Fits(NamedTuple):
    """What came of training many networks: what `fit_many` returns.

    Attributes
    ----------
    losses
        (steps, S) float32: the loss of each network before each step.
    parameters
        Name -> (S, …) the parameters after the last step.
    """

    losses: NDArray[np.float32]
    parameters: dict[str, Tensor]


def fit_many(
    model: nn.Module,
    parameters: Mapping[str, Tensor],
    inputs: Tensor,
    targets: Tensor,
    *,
    steps: int,
    learning_rate: float | Tensor,
    loss: Callable[[Tensor, Tensor], Tensor] = F.cross_entropy,
    optimizer: str = "sgd",
    batch_size: int | None = None,
    seeds: int | Sequence[int] = 0,
    workers: int | None = None,
) -> Fits:
    """Train many networks of one shape, each from its own weights and with its own learning rate.

    The networks are trained in parts that fit into a core's cache, and the parts are spread over
    the cores. A network whose loss becomes NaN or infinite disturbs no other, and once all of its
    parameters are NaN it is no longer computed.

    Parameters
    ----------
    model
        A network of this shape. It is left as it was; its own parameters do not matter. Dropout is
        on if it is in training mode.
    parameters
        Name of each of its parameters -> (S, …) what the S networks start from, on the CPU or on a
        GPU. They are left as they were.
    inputs, targets
        (N, …) the data, the same for all networks.
    steps
        How many steps, at least 1.
    learning_rate
        Above 0: a number, or (S,) one for each network.
    loss
        Function of one network's outputs (n, …) and its targets (n, …) that gives their mean loss,
        such as `torch.nn.functional.mse_loss`.
    optimizer
        ``"sgd"``, ``"momentum"`` (0.9) or ``"adam"``.
    batch_size
        How many of the data each step uses; all of them if ``None``.
    seeds
        Of the order of the data and of the dropout masks: a number for all networks, or one for
        each.
    workers
        How many parts are trained at once; as many as there are cores if ``None``.

    Returns
    -------
    Fits
        Losses and parameters.

    Raises
    ------
    ValueError
        If a parameter is missing or has another shape, or a number is out of its range.

    Warns
    -----
    StackWarning
        If a GPU's memory did not suffice, and a part was trained in two.

    Examples
    --------
    A thousand networks that learn ``y = |x|``, from the same weights with different learning rates:

    >>> model = nn.Sequential(nn.Linear(1, 8), nn.Tanh(), nn.Linear(8, 1))
    >>> start = {n: p.detach().expand(1000, *p.shape) for n, p in model.named_parameters()}
    >>> x = torch.linspace(-1, 1, 16)[:, None]
    >>> rates = torch.logspace(-3, 2, 1000)
    >>> fits = fit_many(
    ...     model, start, x, x.abs(), steps=50, learning_rate=rates, loss=F.mse_loss)
    >>> fits.losses.shape
    (50, 1000)
    """
    parameters = _checked(model, parameters)
    count = len(next(iter(parameters.values())))
    rates = _rates(learning_rate, count)
    numbers = _numbers(seeds, count)
    if optimizer not in NAMED:
        raise ValueError(f"optimizer is {optimizer!r}; it must be one of {', '.join(NAMED)}")
    if len(inputs) != len(targets) or not len(inputs):
        raise ValueError(
            f"there are {len(inputs)} inputs and {len(targets)} targets; give as many of both, "
            "and at least one"
        )
    check_whole("steps", steps, 1)
    for name, value in (("batch_size", batch_size), ("workers", workers)):
        if value is not None:
            check_whole(name, value, 1)
    device = next(iter(parameters.values())).device
    inputs, targets = inputs.to(device), targets.to(device)
    batch = len(inputs) if batch_size is None else min(int(batch_size), len(inputs))

    def train_part(which: slice) -> list[Fits]:
        part = {name: tensor[which].detach().clone() for name, tensor in parameters.items()}
        settings = _Settings(int(steps), rates[which], loss, optimizer, batch, numbers[which])
        try:
            return [_fit(copy.deepcopy(model), part, inputs, targets, settings)]
        except torch.OutOfMemoryError:
            size = which.stop - which.start
            if size == 1:
                raise
        del part
        warn_split(size)
        half = (which.start + which.stop) // 2
        return [
            *train_part(slice(which.start, half)),
            *train_part(slice(half, which.stop)),
        ]

    weights = sum(tensor[0].numel() for tensor in parameters.values())
    size = max(1, min(PART // weights, 1024)) if device.type == "cpu" else count
    parts = [slice(i, min(i + size, count)) for i in range(0, count, size)]
    threads = (workers or cores()) if device.type == "cpu" else 1
    with (
        one_thread(),  # new threads start with the number that this one has
        ThreadPoolExecutor(int(threads), thread_name_prefix="initguide") as pool,
    ):
        done = [fits for part in pool.map(train_part, parts) for fits in part]
    return Fits(
        np.concatenate([fits.losses for fits in done], axis=1),
        {name: torch.cat([fits.parameters[name] for fits in done]) for name in parameters},
    )


class _Settings(NamedTuple):
    steps: int
    rates: Tensor
    loss: Callable[[Tensor, Tensor], Tensor]
    optimizer: str
    batch: int
    seeds: list[int]


def _fit(
    model: nn.Module,
    parameters: dict[str, Tensor],
    inputs: Tensor,
    targets: Tensor,
    settings: _Settings,
) -> Fits:
    """Train one part of `fit_many`'s networks."""
    device = inputs.device
    streams = Streams(settings.seeds, device)
    draws = any(type(m) is nn.Dropout and m.training for m in model.modules())
    stack = Stack(model, parameters, settings.loss, streams.masks if draws else [])
    steps = StackedSteps(settings.optimizer, list(stack.parameters.values()), settings.rates)
    which = streams.which.to(device)
    everything = settings.batch == len(inputs)
    shared = everything or len(streams.orders) == 1
    orders = torch.empty(len(streams.orders), 0, dtype=torch.int64)
    losses = torch.full((settings.steps, len(stack)), math.nan, device=device)
    kept = torch.arange(len(stack), device=device)  # the networks that are not lost
    for step in range(settings.steps):
        if everything:
            x, y = inputs, targets
        else:
            if orders.shape[1] < settings.batch:  # a new epoch; what is left over is dropped
                orders = streams.shuffled(len(inputs)).to(device)
            now, orders = orders[:, : settings.batch], orders[:, settings.batch :]
            picked = now[0] if shared else now[which[kept]]
            x, y = inputs[picked], targets[picked]
        each = stack.losses(x, y, shared=shared)
        losses[step, kept] = each.detach().to(losses.dtype)
        each.sum().backward()
        steps.step()
        if step % LOOK == LOOK - 1:
            found = _not_lost(stack, each.detach())
            if len(found) < SPARE * len(stack):
                kept = kept[found]
                stack.among(found)
                steps.among(list(stack.parameters.values()), found)
                if not len(found):
                    break
    trained = {name: tensor.detach() for name, tensor in stack.parameters.items()}
    if len(kept) < losses.shape[1]:
        for name, tensor in trained.items():
            whole = tensor.new_full((losses.shape[1], *tensor.shape[1:]), math.nan)
            whole[kept] = tensor
            trained[name] = whole
    return Fits(losses.cpu().numpy(), trained)


def _not_lost(stack: Stack, losses: Tensor) -> Tensor:
    """Numbers of the networks that have anything left to train.

    Where every parameter is NaN, every later one will be, too.
    """
    lost = losses.isnan()
    if lost.any():
        for tensor in stack.parameters.values():
            lost &= tensor.detach().isnan().reshape(len(lost), tensor[0].numel()).all(1)
    return (~lost).nonzero()[:, 0]


def warn_split(size: int) -> None:
    warnings.warn(
        f"{size} networks do not fit into the memory of the device together; they are trained in "
        "two parts",
        StackWarning,
        stacklevel=4,
    )


def _checked(model: nn.Module, parameters: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Refuse parameters that do not belong to a network like the one given."""
    wanted = dict(model.named_parameters())
    if not wanted:
        raise ValueError("model has no parameters, so there is nothing to train")
    if buffers := [name for name, _ in model.named_buffers()]:
        raise ValueError(
            f"model has buffers ({', '.join(buffers)}), which the networks would share; use a "
            "normalization without running statistics"
        )
    if set(parameters) != set(wanted):
        raise ValueError(
            f"parameters has {', '.join(sorted(parameters)) or 'nothing'}; the model has "
            f"{', '.join(sorted(wanted))}"
        )
    counts = {len(tensor) if tensor.ndim else 0 for tensor in parameters.values()}
    for name, tensor in parameters.items():
        if tensor.shape[1:] != wanted[name].shape or len(counts) > 1 or 0 in counts:
            raise ValueError(
                f"parameters has {name} of shape {tuple(tensor.shape)}; it must be (S, "
                f"{', '.join(map(str, wanted[name].shape))}) for S networks, at least 1, and the "
                "same S for all parameters"
            )
    return {name: parameters[name] for name in wanted}


def _rates(learning_rate: float | Tensor, count: int) -> Tensor:
    rates = torch.as_tensor(learning_rate, dtype=torch.float32).detach()
    if rates.ndim == 0:
        rates = rates.expand(count)
    if rates.shape != (count,):
        raise ValueError(
            f"learning_rate has shape {tuple(rates.shape)}; give a number, or ({count},): one for "
            "each network"
        )
    if not bool(((rates > 0) & rates.isfinite()).all()):
        bad = rates[~((rates > 0) & rates.isfinite())][0].item()
        raise ValueError(f"learning_rate is or has {bad!r}; it must be finite and above 0")
    return rates


def _numbers(seeds: int | Sequence[int], count: int) -> list[int]:
    numbers = list(seeds) if isinstance(seeds, Iterable) else [seeds] * count
    if len(numbers) != count:
        raise ValueError(f"seeds has {len(numbers)} numbers; give one, or {count}")
    return [check_whole("seeds", number, 0) for number in numbers]

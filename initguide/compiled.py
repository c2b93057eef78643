"""Fully connected ReLU networks, trained by compiled steps where there is a C compiler.

A training step of PyTorch goes over the same memory once for each small operation. For the lesson's
network, that takes more time than the products of its matrices. ``connected.c``, beside this file,
does the same step with few passes over the memory and without Python: the images, labels, order of
the data and dropout masks are the same, and the numbers are the same up to rounding. What a network
gets does not depend on which others there are.

Nothing has to be installed or called. `initguide.training.train` and all that is built on it use
the compiled steps where

- the machine has a C compiler: ``cc``, ``gcc`` or ``clang``, or the one named by the environment
  variable ``INITGUIDE_CC``. With ``INITGUIDE_CC=off``, nothing is compiled. Compiling takes half a
  second, once: the result is kept in ``initguide`` in ``$XDG_CACHE_HOME`` (``~/.cache``);
- its processor has AVX2 or AVX-512, as those of PCs and servers have (on others, nobody has
  measured yet whether it pays);
- the network is one that `fits` accepts, and the optimizer is named (``"adam"``, ``"sgd"`` or
  ``"momentum"``).

Everything else is trained by PyTorch, as is everything where there is no compiler.
"""

import contextlib
import ctypes
import functools
import hashlib
import math
import os
import shlex
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from threading import Lock
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F  # noqa: N812  torch's own idiom
from torch import Generator, Tensor, nn

from initguide.models import Net

__all__ = ["Connected", "fits", "knows", "takes", "works"]

SOURCE = Path(__file__).with_name("connected.c")
FLAGS = (
    *("-std=gnu11", "-O3", "-march=native", "-shared", "-fPIC"),
    *("-ffp-contract=fast", "-fno-math-errno", "-fno-trapping-math"),
)
# What the named optimizers are; the last are torch's defaults for Adam.
MOMENTUM = {"sgd": 0.0, "momentum": 0.9}
BETA_1, BETA_2, EPSILON = 0.9, 0.999, 1e-8
LARGEST_BATCH = 4096  # with larger ones, the activations leave the caches
MOMENT = 20_000_000_000  # operations
SECONDS = 60  # more than a compiler needs on any machine
CHECK_RATE = 0.01


# Which networks


class _Layer(NamedTuple):
    """A linear layer, and what follows it."""

    linear: nn.Linear
    relu: bool = False
    dropout: float = 0.0


def fits(model: nn.Module) -> bool:
    """Whether a network can be trained by compiled steps, on this machine.

    Parameters
    ----------
    model
        The network.
    """
    return knows(model) and works()


def knows(model: nn.Module) -> bool:
    """Whether a network is one whose training step is written down in C.

    That is `initguide.Net`, or an `~torch.nn.Sequential` of linear layers, ReLU and dropout, such
    as `initguide.mlp` makes: as PyTorch made it, in float32 on the CPU, all of it trained, with no
    hook and no weights used twice. It may begin by flattening the images. What its layers' modes
    are does not matter, because training sets them.

    Parameters
    ----------
    model
        The network.
    """
    return _layers(model) is not None


def takes(model: nn.Module, images: Tensor, labels: Tensor, batch_size: int) -> bool:
    """Whether compiled steps can train a network on these data, and mini-batches are small enough.

    Parameters
    ----------
    model
        The network; one that does not fit cannot be trained on any.
    images
        (N, …) as the network takes them.
    labels
        (N,) numbers of the classes.
    batch_size
        Images in a mini-batch. With many thousands, PyTorch is as fast.
    """
    layers = _layers(model)
    if not layers or not works() or not len(images) or len(images) != len(labels):
        return False
    if min(batch_size, len(images)) > LARGEST_BATCH:
        return False
    plain = all(
        type(data) is Tensor
        and data.dtype == dtype
        and data.device.type == "cpu"
        and data.is_contiguous()
        for data, dtype in ((images, torch.float32), (labels, torch.int64))
    )
    if not plain or labels.ndim != 1 or torch.is_autocast_enabled("cpu"):
        return False
    if images.ndim != 2 and not _flattens(model):
        return False
    return (
        images[0].numel() == layers[0].linear.in_features
        and 0 <= int(labels.min()) <= int(labels.max()) < layers[-1].linear.out_features
    )


def _layers(model: nn.Module) -> list[_Layer] | None:
    """Layers of a network, or ``None`` if the compiled steps know nothing of what it does."""
    parts = _parts(model)
    watched = nn.modules.module._has_any_global_hook()  # noqa: SLF001  torch has no public name
    if parts is None or watched or any(_is_changed(module) for module in model.modules()):
        return None
    layers = _chain(parts)
    return layers if layers and _are_plain([layer.linear for layer in layers]) else None


def _chain(parts: Iterable[Any]) -> list[_Layer] | None:
    """Layers that some modules make one behind the other, if these are in the order we know."""
    layers: list[_Layer] = []
    for part in parts:
        kind = type(part)
        if kind is nn.Linear:
            if layers and layers[-1].linear.out_features != part.in_features:
                return None
            layers.append(_Layer(part))
        elif kind is nn.Flatten and (part.start_dim, part.end_dim) == (1, -1):
            if layers:
                return None
        elif kind is nn.ReLU and layers and not layers[-1].dropout:
            layers[-1] = layers[-1]._replace(relu=True)
        elif kind is nn.Dropout and layers and not (part.inplace or layers[-1].dropout):
            layers[-1] = layers[-1]._replace(dropout=part.p)
        elif kind is not nn.Identity:
            return None
    return layers if layers and layers[-1] == _Layer(layers[-1].linear) else None


def _parts(model: nn.Module) -> list[Any] | None:
    """Modules in the order in which a network uses them, if that is known."""
    if type(model) is Net:
        relu = nn.ReLU()
        dropout = model.dropout
        return [nn.Flatten(), model.fc1, relu, dropout, model.fc2, relu, dropout, model.fc3]
    if type(model) is not nn.Sequential:
        return None
    parts: list[Any] = []
    for child in model:
        inner = _parts(child) if type(child) is nn.Sequential else [child]
        parts += inner or []
    return parts


def _flattens(model: nn.Module) -> bool:
    return any(type(part) is nn.Flatten for part in _parts(model) or [])


def _is_changed(module: nn.Module) -> bool:
    """Whether somebody replaced a module's forward, or hooked it."""
    return any(
        key == "forward" or (key.endswith("_hooks") and value)
        for key, value in vars(module).items()
    )


def _are_plain(linears: Sequence[nn.Linear]) -> bool:
    """Whether the parameters are nothing but numbers on the CPU that are to be trained."""
    parameters = [p for linear in linears for p in linear.parameters(recurse=False)]
    return len({p.data_ptr() for p in parameters}) == len(parameters) and all(
        type(p) is nn.Parameter
        and p.requires_grad
        and p.dtype == torch.float32
        and p.device.type == "cpu"
        and p.numel()
        and not p._backward_hooks  # noqa: SLF001  torch has no public name for either
        and not getattr(p, "_post_accumulate_grad_hooks", None)
        for p in parameters
    )


# Training


class _CLayer(ctypes.Structure):
    """`layer` of the C file."""

    _fields_ = (
        *((name, ctypes.c_int64) for name in ("inputs", "out", "width", "stride")),
        *((name, ctypes.c_int32) for name in ("relu", "dropped")),
        ("scale", ctypes.c_float),
        *((name, 3 * ctypes.c_void_p) for name in ("weight", "bias")),
        *((name, ctypes.c_void_p) for name in ("outputs", "grads", "turned", "bits")),
    )


class _CNetwork(ctypes.Structure):
    """`network` of the C file."""

    _fields_ = (
        *((name, ctypes.c_int64) for name in ("count", "pixels", "stride")),
        *((name, ctypes.c_void_p) for name in ("layers", "images", "labels", "inputs", "masks")),
        *((name, ctypes.c_int64) for name in ("adam", "steps")),
        *((name, ctypes.c_double) for name in ("rate", "momentum", "beta_1", "beta_2", "epsilon")),
        *((name, ctypes.c_float) for name in ("size", "whole")),
    )


NO_DROPOUT = -(2**31)
GENERATOR = 2 * 624 + 2  # the C file's `generator`, in numbers of 32 bits


class Connected:
    """A network that is trained by compiled steps.

    Parameters
    ----------
    model
        One that `fits`. `give_back` fills it with what was trained.
    images, labels
        Data that it `takes`: (N, …) and (N,).
    batch_size
        Images in a mini-batch.
    optimizer
        ``"adam"``, ``"sgd"`` or ``"momentum"``.
    learning_rate
        Above 0.
    masks
        Where the dropout masks come from: a generator that has not drawn anything yet.
    library
        The compiled C file; that of `works` if ``None``.

    Attributes
    ----------
    in_a_moment
        How many mini-batches take a few tenths of a second, at least 1. Nothing can stop `steps`.

    Raises
    ------
    ValueError
        If the network does not fit.
    """

    def __init__(
        self,
        model: nn.Module,
        images: Tensor,
        labels: Tensor,
        *,
        batch_size: int,
        optimizer: str,
        learning_rate: float,
        masks: Generator,
        library: Any = None,
    ) -> None:
        layers, library = _layers(model), library or _library()
        if layers is None or library is None:
            raise ValueError("model cannot be trained by compiled steps; ask `fits` first")
        self.library = library
        self.batch_size = min(batch_size, len(images))
        parameters = sum(layer.linear.weight.numel() for layer in layers)
        self.in_a_moment = max(1, MOMENT // (6 * parameters * self.batch_size))
        self.kept = [images, labels]  # C knows the addresses of these alone
        self.linears = [layer.linear for layer in layers]
        self.packed: list[tuple[Tensor, Tensor]] = []  # their weights and biases, as C has them
        self.layers = (_CLayer * len(layers))()
        below = 1  # the width of the layer below
        for layer, own in zip(layers, self.layers, strict=True):
            self._fill(own, layer, below)
            below = own.width
        pixels = layers[0].linear.in_features
        stride = _stride(pixels)
        self.network = _CNetwork(
            count=len(layers),
            pixels=pixels,
            stride=stride,
            layers=ctypes.addressof(self.layers),
            images=images.data_ptr(),
            labels=labels.data_ptr(),
            inputs=self._room(self.batch_size, stride),
            masks=self._room(GENERATOR),
            adam=optimizer == "adam",
            rate=learning_rate,
            momentum=MOMENTUM.get(optimizer, 0.0),
            beta_1=BETA_1,
            beta_2=BETA_2,
            epsilon=EPSILON,
        )
        library.initguide_seed(self.network.masks, masks.initial_seed())

    def steps(self, order: Tensor) -> Tensor:
        """Train on images of these numbers, (n,) int64; return each mini-batch's loss.

        Python's other threads go on meanwhile.
        """
        losses = torch.empty(math.ceil(len(order) / self.batch_size), dtype=torch.float32)
        order = order.contiguous()
        self.library.initguide_train(
            ctypes.addressof(self.network),
            order.data_ptr(),
            len(order),
            self.batch_size,
            losses.data_ptr(),
        )
        return losses

    @torch.no_grad()
    def give_back(self) -> None:
        """Fill the model with the parameters as they are now, and drop older gradients."""
        for linear, (weight, bias) in zip(self.linears, self.packed, strict=True):
            units = weight.transpose(1, 2).flatten(0, 1)
            linear.weight.copy_(units[: linear.out_features])
            if linear.bias is not None:
                linear.bias.copy_(bias[: linear.out_features])
            linear.zero_grad()

    def _fill(self, own: _CLayer, layer: _Layer, below: int) -> None:
        """Tell C about a layer, whose layer below has panels of that width."""
        linear, lanes = layer.linear, self.library.initguide_lanes()
        vectors = math.ceil(linear.out_features / lanes)
        own.inputs, own.out = linear.in_features, linear.out_features
        own.width = lanes * (vectors if vectors <= 2 else self.library.initguide_vectors())
        panels = math.ceil(own.out / own.width)
        own.stride = _stride(panels * own.width)
        own.relu, own.dropped, own.scale = layer.relu, NO_DROPOUT, 1.0
        if layer.dropout:
            dropped = round(layer.dropout * 2**16)
            own.dropped = dropped - 2**15  # the bits are read as a signed number
            own.scale = 2**16 / (2**16 - dropped) if dropped < 2**16 else 0.0
            own.bits = self._room(2 * math.ceil(self.batch_size * own.out / 4))
        own.outputs, own.grads = (self._room(self.batch_size, own.stride) for _ in range(2))
        own.turned = self._room(math.ceil(own.inputs / below) * below * own.out)
        weights = torch.zeros(panels * own.width, own.inputs)
        weights[: own.out] = linear.weight.detach()
        weights = weights.unflatten(0, (panels, own.width)).transpose(1, 2).contiguous()
        biases = torch.zeros(panels * own.width)
        if linear.bias is not None:
            biases[: own.out] = linear.bias.detach()
        self.packed.append((weights, biases))
        own.weight[:] = [weights.data_ptr(), *(self._room(weights.numel()) for _ in range(2))]
        own.bias[:] = [biases.data_ptr(), None, None]
        if linear.bias is not None:
            own.bias[1:] = [self._room(biases.numel()) for _ in range(2)]

    def _room(self, *shape: int) -> int:
        """Address of so many numbers of 32 bits, all 0."""
        self.kept.append(torch.zeros(shape, dtype=torch.float32, device="cpu"))
        return self.kept[-1].data_ptr()


def _stride(numbers: int) -> int:
    """How far apart rows of so many numbers lie: an odd number of lines of the cache.

    At a power of two, all of them would meet in a few places of the cache.
    """
    lines = math.ceil(numbers / 16)
    return 16 * (lines + (lines + 1) % 2)


# Compiling

_ONE_AT_A_TIME = Lock()


def works() -> bool:
    """Whether there is a compiler, and what it makes computes what PyTorch computes.

    The first call in a process takes a few hundredths of a second, and compiling half a second.
    """
    with _ONE_AT_A_TIME:
        return _library() is not None


@functools.cache
def _library() -> Any:
    """The compiled C file, or ``None`` where there is none."""
    if sys.byteorder != "little":  # random bits are read in parts
        return None
    for compiler in _compilers():
        with contextlib.suppress(OSError, subprocess.SubprocessError):
            library = _loaded(compiler)
            if _agrees(library):
                return library
    return None


def _compilers() -> Iterator[list[str]]:
    """Commands that may compile C."""
    named = os.environ.get("INITGUIDE_CC", "")
    if named == "off":
        return
    for command in [shlex.split(named)] if named else [["cc"], ["gcc"], ["clang"]]:
        if command and shutil.which(command[0]):
            yield command


def _loaded(compiler: list[str]) -> Any:
    """Compile the C file, unless that was done before, and load it."""
    # What the compiler would make depends on its version and on the processor: both are in here.
    macros = _run([*compiler, *FLAGS, "-dM", "-E", "-x", "c", os.devnull])
    macros.check_returncode()
    source, words = SOURCE.read_bytes(), repr((FLAGS, sys.platform)).encode()
    digest = hashlib.sha256(source + words + macros.stdout).hexdigest()[:20]
    kept = _folder() / f"connected-{digest}.so"
    with contextlib.suppress(OSError):
        return _declared(ctypes.CDLL(str(kept)))
    with tempfile.TemporaryDirectory(prefix="initguide-") as folder:
        made = Path(folder, kept.name)
        build = [*compiler, *FLAGS, "-o", str(made), str(SOURCE), "-lm"]
        _run(build).check_returncode()
        library = _declared(ctypes.CDLL(str(made)))
        with contextlib.suppress(OSError):  # it works without being kept, too
            _keep(made, kept)
    return library


def _run(command: list[str]) -> subprocess.CompletedProcess[bytes]:
    # The command is the user's compiler.
    return subprocess.run(command, capture_output=True, timeout=SECONDS, check=False)  # noqa: S603


def _keep(made: Path, kept: Path) -> None:
    """Put a file where later processes find it, whole or not at all."""
    kept.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile(dir=kept.parent, delete=False) as part:
        try:
            part.write(made.read_bytes())
            part.close()
            Path(part.name).replace(kept)
        except BaseException:
            Path(part.name).unlink()
            raise


def _folder() -> Path:
    """Where compiled files are kept: what the XDG specification says."""
    cache = os.environ.get("XDG_CACHE_HOME", "")
    home = Path(cache) if Path(cache).is_absolute() else Path(os.path.expanduser("~/.cache"))  # noqa: PTH111  Path's version raises where nobody has a home folder
    return home / "initguide"


def _declared(library: Any) -> Any:
    """Say what the C functions take."""
    address, number = ctypes.c_void_p, ctypes.c_int64
    library.initguide_lanes.restype = library.initguide_vectors.restype = number
    library.initguide_seed.argtypes = [address, ctypes.c_uint32]
    library.initguide_draw.argtypes = [address, address, number]
    library.initguide_train.argtypes = [address, address, number, number, address]
    for name in ("seed", "draw", "train"):
        getattr(library, f"initguide_{name}").restype = None
    return library


def _agrees(library: Any) -> bool:
    """Whether the compiled steps give what PyTorch gives, for a small network."""
    generator = Generator().manual_seed(0)
    words = torch.empty(700, dtype=torch.int64).random_(-(2**63), None, generator=generator)
    ours, state = torch.empty_like(words), torch.empty(GENERATOR, dtype=torch.int32)
    library.initguide_seed(state.data_ptr(), 0)
    library.initguide_draw(state.data_ptr(), ours.data_ptr(), len(words))
    if not torch.equal(words, ours):
        return False
    with torch.random.fork_rng(devices=()):
        model = nn.Sequential(nn.Linear(9, 75), nn.ReLU(), nn.Linear(75, 10))
    for parameter in model.parameters():
        nn.init.uniform_(parameter, -0.3, 0.3, generator=generator)
    images = torch.rand(40, 9, generator=generator, dtype=torch.float32)
    labels = torch.arange(40) % 10
    order = torch.randperm(40, generator=generator)
    network = Connected(
        model, images, labels, batch_size=15, optimizer="adam", learning_rate=CHECK_RATE,
        masks=generator, library=library,
    )  # fmt: skip
    found = torch.cat([network.steps(order) for _ in range(3)])
    expected = _losses(model, images, labels, order.split(15) * 3)
    return torch.allclose(found, expected, rtol=1e-3)


def _losses(model: nn.Module, images: Tensor, labels: Tensor, batches: Sequence[Tensor]) -> Tensor:
    """Losses of PyTorch, with Adam as its paper writes it: `torch.optim` takes seconds to start."""
    states = [(p, torch.zeros_like(p), torch.zeros_like(p)) for p in model.parameters()]
    losses = []
    for number, batch in enumerate(batches, start=1):
        with torch.enable_grad():
            loss = F.cross_entropy(model(images[batch]), labels[batch])
            grads = torch.autograd.grad(loss, [p for p, *_ in states])
        for (parameter, first, second), grad in zip(states, grads, strict=True):
            first.add_((1 - BETA_1) * (grad - first))
            second.add_((1 - BETA_2) * (grad**2 - second))
            size = second.div(1 - BETA_2**number).sqrt() + EPSILON
            parameter.data -= CHECK_RATE / (1 - BETA_1**number) * first / size
        losses.append(loss.detach())
    return torch.stack(losses)

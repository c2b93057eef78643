"""Fully connected ReLU networks, trained by compiled steps where there is a C compiler.

A training step of PyTorch goes over the same memory once for each small operation. For the lesson's
network, that takes more time than the products of its matrices. ``connected.c``, beside this file,
does the same step with few passes over the memory and without Python: the images, labels, order of
the data and dropout masks are the same, and each step gives the same numbers up to rounding. (What
hundreds of steps make of the last digit is another matter: runs end as far apart as with another
seed.) What a network gets does not depend on which others there are.

Nothing has to be installed or called. `initguide.training.train` and all that is built on it use
the compiled steps where

- the machine has a C compiler: ``cc``, ``gcc`` or ``clang``, or the one named by the environment
  variable ``INITGUIDE_CC``. With ``INITGUIDE_CC=off``, nothing is compiled. The variable is read
  once in a process, at the first training;
- it runs Linux or macOS on a processor with AVX2 or AVX-512, as those of PCs and servers have (on
  others, nobody has measured yet whether it pays);
- what was compiled gives what PyTorch gives, for a small network that is tried first;
- the network is a plain one of fully connected layers and ReLU (see `knows`), of at most four
  million parameters, a mini-batch has at most 4096 images, and the optimizer is named (``"adam"``,
  ``"sgd"`` or ``"momentum"``).

Everything else is trained by PyTorch, as is everything where there is no compiler. `works` and
`fits` tell which it is.

Compiling takes half a second, once. The result, some 40 kB for each compiler and each version of
the C file, is kept in ``initguide/compiled`` in ``$XDG_CACHE_HOME`` (``~/.cache``), and can be
deleted at any time. The compiler is still asked in each process what it would compile for. Where
nothing can be kept, each process compiles.
"""

import contextlib
import ctypes
import functools
import hashlib
import math
import os
import platform
import shlex
import shutil
import subprocess
import sys
import tempfile
import warnings
from collections.abc import Iterable, Sequence
from pathlib import Path
from threading import Lock
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F  # noqa: N812  torch's own idiom
from torch import Generator, Tensor, nn
from torch.utils import _python_dispatch

from initguide.models import Net

__all__ = ["fits", "knows", "takes", "works"]

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


# Which networks


class _Layer(NamedTuple):
    """A linear layer's parameters, and what follows it."""

    weight: Tensor
    bias: Tensor | None
    relu: bool = False
    dropout: float = 0.0

    @property
    def ends(self) -> bool:
        """Whether it can be the last one."""
        return not self.relu and not self.dropout


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
    if not layers or not works() or _is_watched():
        return False
    if not 0 < len(images) == len(labels) or min(batch_size, len(images)) > LARGEST_BATCH:
        return False
    if not (_is_plain(images, torch.float32) and _is_plain(labels, torch.int64)):
        return False
    if labels.ndim != 1 or (images.ndim != 2 and not _flattens(model)):
        return False
    return (
        images[0].numel() == layers[0].weight.shape[1]
        and 0 <= int(labels.min()) <= int(labels.max()) < layers[-1].weight.shape[0]
    )


def _is_plain(data: Tensor, dtype: torch.dtype) -> bool:
    """Whether a tensor is nothing but numbers in memory, one behind the other."""
    return (
        type(data) in (Tensor, nn.Parameter)
        and data.layout == torch.strided
        and data.dtype == dtype
        and data.device.type == "cpu"
        and data.is_contiguous()
        and (type(data) is nn.Parameter) == data.requires_grad
    )


def _is_watched() -> bool:
    """Whether somebody changes or watches all that torch does, and would miss something."""
    return (
        torch.is_autocast_enabled("cpu")
        or torch.is_anomaly_enabled()
        or _python_dispatch._get_current_dispatch_mode() is not None  # noqa: SLF001  torch has no public name
    )


def _layers(model: nn.Module) -> list[_Layer] | None:
    """Layers of a network, or ``None`` if the compiled steps know nothing of what it does."""
    parts = _parts(model)
    hooked = getattr(nn.modules.module, "_has_any_global_hook", lambda: True)
    if parts is None or hooked() or any(_is_changed(module) for module in model.modules()):
        return None
    layers = _chain(parts)
    if not layers or not layers[-1].ends:
        return None
    parameters = [p for layer in layers for p in (layer.weight, layer.bias) if p is not None]
    places = {p.untyped_storage().data_ptr() for p in parameters}
    return layers if len(places) == len(parameters) else None


def _chain(parts: Iterable[Any]) -> list[_Layer] | None:
    """Layers that some modules make one behind the other, if these are in the order we know."""
    layers: list[_Layer] = []
    for part in parts:
        kind = type(part)
        if kind is nn.Linear:
            layer = _Layer(part.weight, part.bias)
            if not _is_trained(layer) or (
                layers and len(layers[-1].weight) != layer.weight.shape[1]
            ):
                return None
            layers.append(layer)
        elif kind is nn.Flatten and (part.start_dim, part.end_dim) == (1, -1):
            if layers:
                return None
        elif kind is nn.ReLU and layers and not layers[-1].dropout:
            layers[-1] = layers[-1]._replace(relu=True)
        elif kind is nn.Dropout and layers and not (part.inplace or layers[-1].dropout):
            layers[-1] = layers[-1]._replace(dropout=part.p)
        elif kind is not nn.Identity:
            return None
    return layers


def _is_trained(layer: _Layer) -> bool:
    """Whether a layer's weights and biases are parameters, of the shapes that belong together."""
    weight, bias = layer.weight, layer.bias
    parameters = [weight] if bias is None else [weight, bias]
    return (
        all(
            type(p) is nn.Parameter
            and _is_plain(p, torch.float32)
            and not p.is_inference()
            and not is_hooked(p)
            for p in parameters
        )
        and weight.ndim == 2
        and weight.numel() > 0
        and (bias is None or bias.shape == weight.shape[:1])
    )


_FORWARD = Net.forward


def _parts(model: nn.Module) -> list[Any] | None:
    """Modules in the order in which a network uses them, if that is known."""
    if type(model) is Net and Net.forward is _FORWARD:
        relu = nn.ReLU()
        dropout = model.dropout
        return [nn.Flatten(), model.fc1, relu, dropout, model.fc2, relu, dropout, model.fc3]
    if type(model) is not nn.Sequential:
        return None
    parts: list[Any] = []
    for child in model:
        parts += (_parts(child) or []) if type(child) is nn.Sequential else [child]
    return parts


def _flattens(model: nn.Module) -> bool:
    return any(type(part) is nn.Flatten for part in _parts(model) or [])


def _is_changed(module: nn.Module) -> bool:
    """Whether somebody replaced a module's forward, hooked it or compiled it."""
    return any(
        name == "forward" or (value and name.endswith(("_hooks", "_compiled_call_impl")))
        for name, value in vars(module).items()
    )


def is_hooked(parameter: Tensor) -> bool:
    """Whether somebody looks at a parameter's gradients, or changes them."""
    hooks = ("_backward_hooks", "_post_accumulate_grad_hooks")
    return any(getattr(parameter, name, None) for name in hooks)


# Training


def dropout_rule(p: float) -> tuple[int, float]:
    """How 16 random bits drop a unit, and by what the others are multiplied.

    A unit is dropped where its bits, read as a signed number, are below the first number. So p is
    met to within 1/131072.
    """
    dropped = round(p * 2**16)
    return dropped - 2**15, 2**16 / (2**16 - dropped) if dropped < 2**16 else 0.0


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
    """A network that is trained by compiled steps. What comes in is not checked here.

    Parameters
    ----------
    layers
        The network's layers. `give_back` fills them with what was trained.
    library
        The compiled C file.
    images, labels
        Data that the network `takes`: (N, …) and (N,).
    batch_size
        Images in a mini-batch.
    optimizer
        ``"adam"``, ``"sgd"`` or ``"momentum"``.
    learning_rate
        Above 0.
    masks
        Where the dropout masks come from: a generator that has not drawn anything yet.

    Attributes
    ----------
    in_a_moment
        How many mini-batches take a few tenths of a second, at least 1. Nothing can stop `steps`.
    """

    def __init__(
        self,
        layers: Sequence[_Layer],
        library: Any,
        images: Tensor,
        labels: Tensor,
        *,
        batch_size: int,
        optimizer: str,
        learning_rate: float,
        masks: Generator,
    ) -> None:
        self.library = library
        self.batch_size = min(batch_size, len(images))
        parameters = sum(layer.weight.numel() for layer in layers)
        self.in_a_moment = max(1, MOMENT // (6 * parameters * self.batch_size))
        self.kept = [images, labels]  # C knows the addresses of these alone
        self.originals = list(layers)
        self.packed: list[tuple[Tensor, Tensor]] = []  # weights and biases, as C has them
        self.layers = (_CLayer * len(layers))()
        below = 0  # the width of the layer below
        for layer, own in zip(layers, self.layers, strict=True):
            self._fill(own, layer, below)
            below = own.width
        pixels = layers[0].weight.shape[1]
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

    @classmethod
    def of(cls, model: nn.Module, *data: Tensor, **settings: Any) -> "Connected":
        """Make one of a model.

        Parameters
        ----------
        model
            One that `fits`.
        *data, **settings
            As for the class.

        Raises
        ------
        ValueError
            If it does not fit.
        """
        layers = _layers(model)
        if layers is None or not works():
            raise ValueError("model cannot be trained by compiled steps; ask `fits` first")
        return cls(layers, _library(), *data, **settings)

    def steps(self, order: Tensor) -> Tensor:
        """Train on images of these numbers, (n,) int64; return each mini-batch's loss.

        Python's other threads go on meanwhile.
        """
        losses = _zeros(math.ceil(len(order) / self.batch_size))
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
        """Fill the model with the parameters as they are now."""
        for layer, (weight, bias) in zip(self.originals, self.packed, strict=True):
            units = weight.transpose(1, 2).flatten(0, 1)
            layer.weight.copy_(units[: len(layer.weight)])
            if layer.bias is not None:
                layer.bias.copy_(bias[: len(layer.bias)])

    def _fill(self, own: _CLayer, layer: _Layer, below: int) -> None:
        """Tell C about a layer, whose layer below has panels of that width."""
        lanes = self.library.initguide_lanes()
        own.out, own.inputs = layer.weight.shape
        vectors = math.ceil(own.out / lanes)
        own.width = lanes * (vectors if vectors <= 2 else self.library.initguide_vectors())
        panels = math.ceil(own.out / own.width)
        own.stride = _stride(panels * own.width)
        own.relu, own.dropped, own.scale = layer.relu, NO_DROPOUT, 1.0
        if layer.dropout:
            own.dropped, own.scale = dropout_rule(layer.dropout)
            own.bits = self._room(2 * math.ceil(self.batch_size * own.out / 4))
        own.outputs, own.grads = (self._room(self.batch_size, own.stride) for _ in range(2))
        if below:
            own.turned = self._room(math.ceil(own.inputs / below) * below * own.out)
        weights, biases = _zeros(panels * own.width, own.inputs), _zeros(panels * own.width)
        weights[: own.out] = layer.weight.detach()
        weights = weights.unflatten(0, (panels, own.width)).transpose(1, 2).contiguous()
        own.weight[:] = [weights.data_ptr(), *(self._room(weights.numel()) for _ in range(2))]
        own.bias[:] = [biases.data_ptr(), None, None]
        if layer.bias is not None:
            biases[: own.out] = layer.bias.detach()
            own.bias[1:] = [self._room(biases.numel()) for _ in range(2)]
        self.packed.append((weights, biases))

    def _room(self, *shape: int) -> int:
        """Address of so many numbers of 32 bits, all 0."""
        self.kept.append(_zeros(*shape))
        return self.kept[-1].data_ptr()


def _zeros(*shape: int) -> Tensor:
    """Memory that C understands, whatever torch's defaults are."""
    return torch.zeros(shape, dtype=torch.float32, device="cpu")


def _stride(numbers: int) -> int:
    """How far apart rows of so many numbers lie: an odd number of lines of the cache.

    At a power of two, all of them would meet in a few places of the cache.
    """
    lines = math.ceil(numbers / 16)
    return 16 * (lines + (lines + 1) % 2)


# Compiling

_ONE_AT_A_TIME = Lock()


def _renew_lock() -> None:
    """Where a process was forked while another thread held the lock, nobody would give it back."""
    global _ONE_AT_A_TIME  # noqa: PLW0603
    _ONE_AT_A_TIME = Lock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_renew_lock)


def works() -> bool:
    """Whether there is a compiler, and what it makes computes what PyTorch computes.

    The first call in a process takes a few hundredths of a second, and compiling half a second.

    Warns
    -----
    UserWarning
        If a compiler is named by ``INITGUIDE_CC``, and cannot be used.
    """
    with _ONE_AT_A_TIME:
        return _library() is not None


@functools.cache
def _library() -> Any:
    """The compiled C file, or ``None`` where there is none."""
    if sys.platform == "win32" or platform.machine() not in {"x86_64", "AMD64"}:
        return None
    named = os.environ.get("INITGUIDE_CC", "")
    if named.lower() in {"off", "0"}:
        return None
    for command in [named] if named else ("cc", "gcc", "clang"):
        try:
            library = _loaded(shlex.split(command))
            if _agrees(library):
                return library
            reason = "what it makes gives other numbers than PyTorch"
        except Exception as error:  # noqa: BLE001  whatever it is, PyTorch can do without
            reason = f"{type(error).__name__}: {error}"
        if named:
            _warn(reason)
    return None


def _warn(reason: str) -> None:
    warnings.warn(
        f"INITGUIDE_CC is {os.environ['INITGUIDE_CC']!r}, which cannot be used ({reason}), so "
        "networks are trained by PyTorch's own steps; name another C compiler, or set "
        "INITGUIDE_CC=off",
        stacklevel=4,
    )


def _loaded(compiler: list[str]) -> Any:
    """Compile the C file, unless that was done before, and load it."""
    if not compiler or not shutil.which(compiler[0]):
        raise FileNotFoundError("there is no such command")
    # What the compiler would make depends on its version and on the processor: both are in here.
    macros = _run([*compiler, *FLAGS, "-dM", "-E", "-x", "c", os.devnull])
    if not (b"__AVX512F__" in macros or (b"__AVX2__" in macros and b"__FMA__" in macros)):
        raise OSError("the processor has no AVX2")
    words = repr((compiler, FLAGS, sys.platform)).encode()
    name = f"connected-{_digest(SOURCE.read_bytes() + words + macros)}"
    with contextlib.suppress(OSError):  # it works without being kept, too
        return _kept(_folder(), name, compiler)
    with tempfile.TemporaryDirectory(prefix="initguide-") as folder:
        return _declared(ctypes.CDLL(str(_built(compiler, Path(folder)))))


def _kept(folder: Path, name: str, compiler: list[str]) -> Any:
    """Load what was compiled before, or else compile it, and keep it for the next process.

    The name ends with a digest of what the file holds: half a file is not loaded.
    """
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    _check_owner(folder)
    for path in sorted(folder.glob(f"{name}-*.so")):
        _check_owner(path)
        if path.stem == f"{name}-{_digest(path.read_bytes())}":
            return _declared(ctypes.CDLL(str(path)))
        path.unlink(missing_ok=True)
    with tempfile.TemporaryDirectory(dir=folder) as place:
        made = _built(compiler, Path(place))
        path = made.replace(folder / f"{name}-{_digest(made.read_bytes())}.so")
    return _declared(ctypes.CDLL(str(path)))


def _built(compiler: list[str], folder: Path) -> Path:
    made = folder / "connected.so"
    _run([*compiler, *FLAGS, "-o", str(made), str(SOURCE), "-lm"])
    made.chmod(0o700)
    return made


def _run(command: list[str]) -> bytes:
    """What a command of the compiler prints."""
    done = subprocess.run(  # noqa: S603  the command is the user's compiler
        command, stdin=subprocess.DEVNULL, capture_output=True, timeout=SECONDS, check=False
    )
    if done.returncode:
        *_, line = ["", *done.stderr.decode(errors="replace").strip().splitlines()]
        raise OSError(f"exit status {done.returncode}{line and f', {line}'}")
    return done.stdout


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()[:16]


def _folder() -> Path:
    """Where compiled files are kept: what the XDG specification says."""
    cache = Path(os.environ.get("XDG_CACHE_HOME", ""))
    if not cache.is_absolute():
        # os.path's version leaves "~" in place where nobody has a home folder; Path's raises.
        home = Path(os.path.expanduser("~"))  # noqa: PTH111
        if not os.environ.get("HOME", "unset") or not (home.is_absolute() and home.is_dir()):
            raise FileNotFoundError("there is no home folder")
        cache = home / ".cache"
    return cache / "initguide" / "compiled"


def _check_owner(path: Path) -> None:
    """Refuse code that somebody else has put there, or could have."""
    state = path.stat()
    if state.st_uid != os.geteuid() or state.st_mode & 0o022:
        raise PermissionError(f"{path} belongs to, or can be changed by, somebody else")


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
    """Whether the compiled steps give what PyTorch gives, for a small network.

    It does not matter who asks: torch's defaults, modes and global generators are left alone.
    """
    with torch.inference_mode(mode=False), torch.autocast("cpu", enabled=False):
        return _compared(library)


def _compared(library: Any) -> bool:
    generator = Generator(device="cpu").manual_seed(0)

    def uniform(*shape: int) -> Tensor:
        numbers = torch.rand(shape, generator=generator, dtype=torch.float32, device="cpu")
        return numbers.mul_(0.6).sub_(0.3)

    layers = [
        _Layer(uniform(75, 9), uniform(75), relu=True, dropout=0.25),
        _Layer(uniform(20, 75), None, relu=True),
        _Layer(uniform(10, 20), uniform(10)),
    ]
    images = uniform(40, 9)
    labels = torch.arange(40, device="cpu") % 10
    order = torch.randperm(40, generator=generator, device="cpu")
    # Adam hardly notices the size of a gradient, and SGD nothing of Adam's moments.
    for optimizer, rate in (("momentum", 0.3), ("adam", 0.01)):
        network = Connected(
            layers, library, images, labels, batch_size=15, optimizer=optimizer,
            learning_rate=rate, masks=Generator(device="cpu").manual_seed(1),
        )  # fmt: skip
        found = torch.cat([network.steps(order) for _ in range(3)])
        batches = order.split(15) * 3
        expected = _losses(layers, images, labels, batches, optimizer=optimizer, rate=rate)
        if not torch.allclose(found, expected, rtol=1e-3):
            return False
    return True


def _losses(
    layers: Sequence[_Layer],
    images: Tensor,
    labels: Tensor,
    batches: Sequence[Tensor],
    *,
    optimizer: str,
    rate: float,
) -> Tensor:
    """Losses of PyTorch's operations; the layers are left as they were.

    The optimizers are written as their papers write them: `torch.optim` takes seconds to start.
    """
    masks = Generator(device="cpu").manual_seed(1)
    layers = [
        layer._replace(
            weight=layer.weight.clone().requires_grad_(),
            bias=None if layer.bias is None else layer.bias.clone().requires_grad_(),
        )
        for layer in layers
    ]
    weights = [p for layer in layers for p in (layer.weight, layer.bias) if p is not None]
    states = [(p, torch.zeros_like(p), torch.zeros_like(p)) for p in weights]
    losses = []
    for number, batch in enumerate(batches, start=1):
        x = images[batch]
        with torch.enable_grad():
            for layer in layers:
                x = F.linear(x, layer.weight, layer.bias)
                x = F.relu(x) if layer.relu else x
                if layer.dropout:
                    words = torch.empty(math.ceil(x.numel() / 4), dtype=torch.int64, device="cpu")
                    bits = words.random_(-(2**63), None, generator=masks).view(torch.int16)
                    kept = bits[: x.numel()].view(x.shape) >= layer.dropout * 2**16 - 2**15
                    x = x * kept / (1 - layer.dropout)
            loss = F.cross_entropy(x, labels[batch])
            grads = torch.autograd.grad(loss, weights)
        for (parameter, first, second), grad in zip(states, grads, strict=True):
            if optimizer == "adam":
                first.add_((1 - BETA_1) * (grad - first))
                second.add_((1 - BETA_2) * (grad**2 - second))
                size = second.div(1 - BETA_2**number).sqrt() + EPSILON
                parameter.data -= rate / (1 - BETA_1**number) * first / size
            else:
                first.mul_(MOMENTUM[optimizer]).add_(grad)
                parameter.data -= rate * first
        losses.append(loss.detach())
    return torch.stack(losses)

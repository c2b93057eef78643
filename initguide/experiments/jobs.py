"""Runs as jobs: describe one, and do many, in threads, in other processes or on other machines.

`initguide.compare_init_weights` and `initguide.sweep` are built on this module. A `Job` says
everything about one run and is small enough to be sent anywhere. The data do not travel with it: a
worker loads them once, by the arguments of `initguide.fashion_mnist`, or from a temporary file.
"""

import contextlib
import copyreg
import dataclasses
import functools
import hashlib
import itertools
import json
import math
import multiprocessing
import os
import pickle
import platform
import socket
import sys
import tempfile
import types
import warnings
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import (
    BrokenExecutor,
    CancelledError,
    Executor,
    Future,
    ProcessPoolExecutor,
    ThreadPoolExecutor,
)
from contextvars import ContextVar
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from queue import Empty, SimpleQueue
from threading import Event, Lock, Thread
from time import monotonic, sleep
from types import SimpleNamespace
from typing import Any, NamedTuple, cast

import numpy as np
import torch
from torch import Tensor, nn
from tqdm.auto import tqdm

from initguide.arguments import check_whole
from initguide.experiments.store import SETTINGS, Store
from initguide.initializers import Scheme, initialize, written
from initguide.randomness import seeded
from initguide.training import (
    Dataset,
    OptimizerFactory,
    Run,
    Stop,
    cores,
    one_thread,
    plan,
    train_many,
)

__all__ = ["Failure", "Job", "WorkerWarning", "fingerprint", "run_jobs", "written"]

SchemeLike = str | Callable[[nn.Module], object]
ExecutorLike = Executor | Callable[[], Executor]

RULES = 3  # to be raised when the same job gives other numbers than before
UNKNOWN = 64  # workers that an executor may have which does not say how many it has
BEAT = 5.0  # seconds between two looks at what others do, and signs of life


class WorkerWarning(UserWarning):
    """A worker died, and what it was doing is done again."""


@dataclass(frozen=True, eq=False)
class Job:
    """Everything about one run but the data.

    Attributes
    ----------
    label
        What the run is called in tables and figures.
    seed
        The seed of the weights, the order of the mini-batches and the dropout masks.
    scheme
        A function of a module.
    scale
        What weights are multiplied with once the scheme has filled them. Weights are parameters of
        two or more dimensions.
    model, keywords
        What makes the network, and the keyword arguments it is called with.
    epochs, batch_size, learning_rate, optimizer
        As in `initguide.training.train`.
    device
        Where the network is trained.
    settings
        What is said about the run in tables and files: plain values.
    """

    label: str
    seed: int
    scheme: Callable[[nn.Module], object]
    model: Callable[..., nn.Module]
    epochs: int
    batch_size: int
    learning_rate: float
    optimizer: str | OptimizerFactory
    device: str = "cpu"
    scale: float = 1.0
    keywords: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    settings: Mapping[str, Any] = dataclasses.field(default_factory=dict)

    def build(self) -> nn.Module:
        """Make the network and fill its weights."""
        # Layers, and people's own schemes, draw from torch's global generator.
        with self.named(), seeded(self.seed):
            model = initialize(self.model(**self.keywords), self.scheme)
            if self.scale != 1:
                with torch.no_grad():
                    for parameter in model.parameters():
                        if parameter.ndim > 1:
                            parameter.mul_(self.scale)
            return model.to(self.device)

    @property
    def shape(self) -> tuple[object, ...]:
        """What must be the same in jobs of one call that are done at once."""
        made = [self.model, *(part for item in self.keywords.items() for part in item)]
        trained = (self.epochs, self.batch_size, self.device)
        return *(id(part) for part in (*made, self.optimizer)), *trained

    @contextlib.contextmanager
    def named(self) -> Iterator[None]:
        """Name the run in whatever goes wrong with it."""
        try:
            yield
        except Exception as error:
            error.add_note(f"while training {self.label!r} with seed {self.seed}")
            raise

    def key(self, data: str) -> str:
        """SHA-256 of all that determines the run, given the fingerprint of the data."""
        parts = {
            "rules": RULES,
            "label": self.label,
            "torch": str(torch.__version__),
            "data": data,
            "scheme": fingerprint(self.scheme),
            "model": fingerprint(self.model),
            "keywords": fingerprint(dict(self.keywords)),
            "optimizer": fingerprint(self.optimizer),
            "scale": float(self.scale),
            "learning_rate": float(self.learning_rate),
            "epochs": int(self.epochs),
            "batch_size": int(self.batch_size),
            "seed": int(self.seed),
            "device": self.device,
        }
        return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


class Failure(NamedTuple):
    """A run that could not be done.

    Attributes
    ----------
    label, seed
        Which run.
    settings
        Its settings.
    reason
        Why, in a line.
    """

    label: str
    seed: int
    settings: Mapping[str, Any]
    reason: str


class Keeping(NamedTuple):
    """The store that is wanted; see `initguide.experiments.store.Store` for the three."""

    path: str | os.PathLike[str]
    about: Mapping[str, Any]
    merge: Mapping[str, Callable[[Any, Any], Any]]

    def open(self, data: Dataset, mark: str) -> Store:
        """Open it, with the data among what all its runs have in common."""
        words = str(getattr(data, "source", "not stated"))
        about = {**self.about, "data": {"source": words, "sha256": mark}}
        return Store(self.path, about, {**self.merge, "data": _same_data})


def _same_data(old: Any, new: Any) -> Any:
    if old is None or old["sha256"] == new["sha256"]:
        return old or new
    sums = (d["sha256"][:12] for d in (old, new))
    there, here = (f"{d['source']!r} (SHA-256 {s}…)" for d, s in zip((old, new), sums, strict=True))
    raise ValueError(f"data is {there} there and {here} here")


class Outcome(NamedTuple):
    """What came of some jobs: for each a run or why there is none, and how many were stored."""

    results: list[Run | Failure]
    found: int


# Data, loaded once a worker


class _Here(NamedTuple):
    """Data for workers in this process."""

    data: Dataset

    def load(self) -> Dataset:
        return self.data


class _Elsewhere(NamedTuple):
    """How a worker in another process gets the data: a file, or a function that makes them."""

    mark: str
    make: Callable[[], Dataset]

    def load(self) -> Dataset:
        with _loading:
            if self.mark not in _loaded:
                data = self.make()
                if fingerprint_of_data(data) != self.mark:
                    raise ValueError(
                        "the data that this worker loaded are not those that the call was given; "
                        "was an image changed in place, or a file?"
                    )
                _loaded.clear()  # one at a time: they may be large
                _loaded[self.mark] = data
            return _loaded[self.mark]


_loaded: dict[str, Dataset] = {}
_loading = Lock()
_PARTS = ("train", "valid", "test")


def _from_file(path: str) -> Dataset:
    """Read what `_to_file` wrote; processes on one machine share its memory."""
    tensors = torch.load(path, weights_only=True, mmap=True)
    parts = {
        part: SimpleNamespace(images=tensors[part, 0], labels=tensors[part, 1]) for part in _PARTS
    }
    return cast(Dataset, SimpleNamespace(**parts))


def _to_file(data: Dataset, path: Path) -> None:
    tensors = {}
    for part in _PARTS:
        split = getattr(data, part)
        tensors[part, 0], tensors[part, 1] = (
            t.cpu().contiguous().clone() for t in (split.images, split.labels)
        )
    torch.save(tensors, path)


def _ship(data: Dataset, folder: Path) -> _Elsewhere:
    """Find the cheapest way in which another process can get the data."""
    mark = fingerprint_of_data(data)
    recipe = getattr(data, "recipe", None)
    if recipe is not None:
        with contextlib.suppress(Exception):  # whatever it may be that cannot be pickled
            pickle.dumps(recipe)
            return _Elsewhere(mark, recipe)
    path = folder / "data.pt"
    _to_file(data, path)
    return _Elsewhere(mark, functools.partial(_from_file, str(path)))


def fingerprint_of_data(data: Dataset) -> str:
    """SHA-256 of all images and labels."""
    digest = hashlib.sha256()
    for part in _PARTS:
        split = getattr(data, part)
        for tensor in (split.images, split.labels):
            digest.update(f"{part} {tensor.dtype} {tuple(tensor.shape)}".encode())
            plain = tensor.detach().cpu().contiguous()
            digest.update(plain.reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()


# What tells one scheme, model or value from another


def fingerprint(thing: Any) -> str:
    """Text that is the same in every process, and differs where the thing would act differently.

    Functions and classes of one's own are told apart by their compiled code, default values,
    attributes and what they close over, but not by the global variables that they read. Modules are
    told apart by name, other things by what pickle would keep of them, or by their attributes.

    Parameters
    ----------
    thing
        A scheme, a function, a class, or a value.

    Raises
    ------
    TypeError
        If it is, or holds, something that has neither, such as a lock.
    """
    around = _around.get()
    if id(thing) in around:  # it holds itself
        return f"<{len(around) - around.index(id(thing))} levels up>"
    token = _around.set((*around, id(thing)))
    try:
        return _fingerprint(thing)
    finally:
        _around.reset(token)


_around: ContextVar[tuple[int, ...]] = ContextVar("_around", default=())  # what is being told


@functools.singledispatch
def _fingerprint(thing: Any) -> str:
    if isinstance(thing, np.generic):
        return repr(thing.item())
    if isinstance(thing, _PLAIN):
        return str(thing)
    kind, attributes = fingerprint(type(thing)), getattr(thing, "__dict__", None)
    try:
        reduce = copyreg.dispatch_table.get(type(thing))
        made = reduce(thing) if reduce else thing.__reduce_ex__(2)  # as pickle and copy do
    except Exception as error:
        if attributes is None:
            raise TypeError(
                f"what a {type(thing).__name__} holds cannot be told, so runs that depend on "
                f"{written(thing)} cannot be kept in a store ({error})"
            ) from error
        return f"{kind}{fingerprint(attributes)}"
    if isinstance(made, str):  # a name; what it wraps is among its attributes
        return f"{kind}{made}{fingerprint(attributes or {})}"
    # Its parts may be iterators, over items of a list or a dictionary.
    return f"{kind}{fingerprint([list(p) if isinstance(p, Iterator) else p for p in made])}"


_PLAIN = (torch.dtype, torch.device)


@_fingerprint.register
def _(thing: str | bytes | int | float | complex | None) -> str:
    return repr(thing)


@_fingerprint.register
def _(thing: Mapping) -> str:  # type: ignore[type-arg]
    items = sorted((fingerprint(key), fingerprint(value)) for key, value in thing.items())
    return f"{{{', '.join(f'{key}: {value}' for key, value in items)}}}"


@_fingerprint.register
def _(thing: list | tuple) -> str:  # type: ignore[type-arg]
    return f"[{', '.join(map(fingerprint, thing))}]"


@_fingerprint.register
def _(thing: set | frozenset) -> str:  # type: ignore[type-arg]
    return f"{{{', '.join(sorted(map(fingerprint, thing)))}}}"


@_fingerprint.register
def _(thing: Tensor | np.ndarray) -> str:
    array = np.ascontiguousarray(torch.as_tensor(thing).detach().cpu().numpy())
    return f"{array.dtype}{array.shape}{hashlib.sha256(array.tobytes()).hexdigest()[:16]}"


@_fingerprint.register
def _(thing: Scheme) -> str:
    if thing.recipe is None:
        return f"Scheme{fingerprint(vars(thing))}"
    _, arguments, keywords = thing.recipe
    # The description has all values; of functions, such as a base of one's own, only the name.
    code = [fingerprint(a) for a in (*arguments, *keywords.values()) if callable(a)]
    return " ".join([thing.description, *code])


@_fingerprint.register
def _(thing: types.BuiltinFunctionType) -> str:
    owner = thing.__self__
    bound = owner is not None and not isinstance(owner, types.ModuleType)
    return f"{thing.__module__}.{thing.__qualname__}{f' of {fingerprint(owner)}' if bound else ''}"


@_fingerprint.register(types.MethodDescriptorType)
@_fingerprint.register(types.WrapperDescriptorType)
@_fingerprint.register(types.ClassMethodDescriptorType)
@_fingerprint.register(types.GetSetDescriptorType)
@_fingerprint.register(types.MemberDescriptorType)
def _(thing: Any) -> str:
    return f"{thing.__objclass__.__module__}.{thing.__qualname__}"


@_fingerprint.register
def _(thing: np.ufunc) -> str:
    return f"numpy.{thing.__name__}"


@_fingerprint.register
def _(thing: types.ModuleType) -> str:
    return f"module {thing.__name__}"


@_fingerprint.register
def _(thing: functools.cached_property) -> str:  # type: ignore[type-arg]
    return f"cached_property{fingerprint(thing.func)}"


@_fingerprint.register
def _(thing: functools.partial) -> str:  # type: ignore[type-arg]
    return f"partial{fingerprint([thing.func, list(thing.args), thing.keywords])}"


@_fingerprint.register
def _(thing: types.MethodType) -> str:
    return f"method{fingerprint([thing.__func__, thing.__self__])}"


@_fingerprint.register
def _(thing: types.FunctionType) -> str:
    return _public_name(thing) or _hashed(thing, _parts_of(thing))


@_fingerprint.register
def _(thing: type) -> str:
    if name := _public_name(thing):
        return name
    parts: list[Any] = [fingerprint(base) for base in thing.__bases__ if base is not object]
    for key, value in sorted(vars(thing).items()):
        if isinstance(value, property):
            parts += [key, *(_parts_of(f) for f in (value.fget, value.fset) if f is not None)]
        elif isinstance(value, types.FunctionType | staticmethod | classmethod):
            parts += [key, _parts_of(getattr(value, "__func__", value))]
        elif not (key.startswith("__") and key.endswith("__")) and key != "_abc_impl":
            parts += [key, fingerprint(value)]  # ABC's own notes say nothing about the class
    return _hashed(thing, parts)


def _public_name(thing: Any) -> str:
    """Name of what belongs to a library whose version says the rest."""
    library, *_ = thing.__module__.split(".", maxsplit=1)
    ours = library in ("initguide", "torch", "torchvision", "builtins")
    return (
        f"{thing.__module__}.{thing.__qualname__}" if ours and "<" not in thing.__qualname__ else ""
    )


def _hashed(thing: Any, parts: list[Any]) -> str:
    version = platform.python_version_tuple()[:2]  # each version compiles differently
    digest = hashlib.sha256(repr([version, *parts]).encode()).hexdigest()
    return f"{thing.__qualname__}#{digest[:16]}"


def _parts_of(function: Any) -> list[Any]:
    """All that decides about what a function does, but the global variables it reads."""
    code = getattr(function, "__code__", None)
    if code is None:  # a callable of another kind
        return [fingerprint(function)]
    parts = [_constants(code), fingerprint(function.__defaults__ or ())]
    parts += [fingerprint(function.__kwdefaults__ or {})]
    for name, cell in zip(code.co_freevars, function.__closure__ or (), strict=True):
        with contextlib.suppress(ValueError):  # a cell that is still empty
            if name != "__class__" and cell.cell_contents is not function:
                parts += [name, fingerprint(cell.cell_contents)]
    return parts


def _constants(value: Any) -> Any:
    """Compiled code as plain values, without where it stands; sets in an order of their own."""
    if isinstance(value, types.CodeType):
        inner = [_constants(constant) for constant in value.co_consts]
        return [value.co_code, inner, value.co_names, value.co_varnames, value.co_freevars]
    if isinstance(value, frozenset):
        return sorted(map(repr, value))
    if isinstance(value, tuple):
        return [_constants(part) for part in value]
    return value


# One run, in whatever process


def run_together(
    jobs: Sequence[Job], data: _Here | _Elsewhere, stop: Stop, *, strict: bool
) -> list[Run | Exception]:
    """Do some jobs that share a `shape`, at once.

    Parameters
    ----------
    jobs
        The jobs.
    data
        How to get the data.
    stop
        Ends the training early; the runs are then dropped.
    strict
        Whether to raise the first error, and do no more.

    Returns
    -------
    list of Run or Exception
        For each job its run, or the error that it raised.

    Raises
    ------
    concurrent.futures.CancelledError
        If it was stopped.
    """
    if isinstance(data, _Elsewhere):
        if stop.is_set():
            raise CancelledError
        _end_with_parent()
        torch.set_num_threads(1)  # for good: in such a worker, threads may come and go
    with jobs[0].named():
        loaded = data.load()
    results: dict[Job, Run | Exception] = {}
    models: dict[Job, nn.Module] = {}
    for job in jobs:
        if stop.is_set():
            raise CancelledError
        try:
            models[job] = job.build()
        except Exception as error:  # noqa: BLE001  whatever it is, it is this job's result
            results[job] = _raised(error, strict=strict)
    try:
        results |= zip(models, _train(models, loaded, stop), strict=True)
    except Exception as error:  # noqa: BLE001  the same
        if len(models) > 1:  # the others shall not suffer for it
            for job in models:
                results[job], *_ = run_together([job], data, stop, strict=strict)
        else:
            results |= dict.fromkeys(models, _raised(error, strict=strict))
    if stop.is_set():
        raise CancelledError
    return [results[job] for job in jobs]


def _raised(error: Exception, *, strict: bool) -> Exception:
    if strict:
        raise error
    return error


def _train(models: Mapping[Job, nn.Module], data: Dataset, stop: Stop) -> list[Run]:
    if not models:
        return []
    first = next(iter(models))
    with first.named():
        return train_many(
            list(models.values()),
            data,
            epochs=first.epochs,
            batch_size=first.batch_size,
            learning_rates=[job.learning_rate for job in models],
            optimizer=first.optimizer,
            seeds=[job.seed for job in models],
            labels=[job.label for job in models],
            stop=stop,
        )


@functools.cache
def _end_with_parent() -> None:
    """Let a worker of a process pool end when the process that made the pool was killed.

    It would wait for work for ever.
    """
    parent = multiprocessing.parent_process()
    if parent is None or parent.pid is None:
        return
    number = parent.pid

    def watch() -> None:
        while not _is_dead(number):
            sleep(1)
        os._exit(1)

    Thread(target=watch, name="initguide-parent", daemon=True).start()


class _StopFile:
    """An event for other processes: set when a file has gone, looked for ten times a second.

    On another machine that does not see the file, it never is set.
    """

    def __init__(self, path: Path) -> None:
        self.path = str(path)
        self.home = (socket.gethostname(), os.getpid())
        self.looked = -math.inf
        self.there = False
        self.gone = False
        path.touch()

    def is_set(self) -> bool:
        if not self.gone and monotonic() - self.looked > 0.1:
            self.looked = monotonic()
            host, process = self.home
            near = host == socket.gethostname()
            there = Path(self.path).exists() and not (near and _is_dead(process))
            self.gone = not there and (near or self.there)
            self.there = there
        return self.gone

    def set(self) -> None:
        Path(self.path).unlink(missing_ok=True)
        self.gone = True


def _is_dead(process: int) -> bool:
    """Whether a process of this machine is known to have ended."""
    if os.name == "posix":
        try:
            os.kill(process, 0)
        except ProcessLookupError:
            return True
        except PermissionError:
            pass
    return False


# Many runs


def run_jobs(
    jobs: Sequence[Job],
    data: Dataset,
    *,
    workers: int | None = None,
    executor: ExecutorLike | None = None,
    store: Keeping | None = None,
    retries: int = 2,
    strict: bool = False,
    progress: bool | None = None,
) -> Outcome:
    """Do all jobs, several at a time.

    Parameters
    ----------
    jobs
        What to do, in the order in which it is begun.
    data
        Three splits of images.
    workers
        How many threads of this process; as many as there are cores if ``None``.
    executor
        Where to do it instead, see `initguide.sweep`.
    store
        Where finished runs are kept; those that are there are not done again.
    retries
        How often a run is done again whose worker died.
    strict
        Whether to raise what a run raises, and stop the others. Otherwise it is recorded.
    progress
        Whether to show a progress bar; by default in a terminal or a notebook only.

    Returns
    -------
    Outcome
        A `Run` or a `Failure` for each job, in the order of the jobs; and how many were found.

    Raises
    ------
    TypeError
        If the executor is none, or a job cannot be sent to another process.
    """
    if not callable(executor) and not isinstance(executor, Executor | None):
        hint = "; give its get_executor()" if hasattr(executor, "get_executor") else ""
        raise TypeError(
            f"executor is {executor!r}; it must be a concurrent.futures.Executor such as "
            f"ProcessPoolExecutor(4), or a function that makes one{hint}"
        )
    if executor is not None and workers is not None:
        raise ValueError(
            "workers is how many threads of this process are used, and executor is what is used "
            "instead; give one of the two"
        )
    check_whole("retries", retries, 0)
    with contextlib.ExitStack() as stack:
        here = executor is None or isinstance(executor, ThreadPoolExecutor)
        source: _Here | _Elsewhere = _Here(data)
        stop: Any = Event()
        if not here:
            _check_picklable(jobs)
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="initguide-")))
            source, stop = _ship(data, folder), _StopFile(folder / "go on")
        keeper, keys = None, []
        if store is not None:
            mark = source.mark if isinstance(source, _Elsewhere) else fingerprint_of_data(data)
            keeper, keys = store.open(data, mark), [job.key(mark) for job in jobs]
        stack.enter_context(one_thread())  # new threads start with the number that this one has
        work = _Work(
            jobs,
            source,
            stop,
            _Pool(executor, workers or cores()),
            store=keeper,
            keys=keys,
            retries=int(retries),
            strict=strict,
        )
        return work.finish(progress)


def _check_picklable(jobs: Iterable[Job]) -> None:
    """Refuse what cannot be sent to another process before anything is sent."""
    seen: set[int] = set()
    for job in jobs:
        parts = [("the scheme", job.scheme), ("model", job.model), ("optimizer", job.optimizer)]
        parts += [(f"the value of {name}", value) for name, value in job.keywords.items()]
        for what, part in parts:
            if id(part) in seen:
                continue
            seen.add(id(part))
            try:
                pickle.dumps(part)
            except Exception as error:
                remedy = "define it by def or class at the top level of a module"
                if what == "the scheme":
                    remedy += ", or give the name of a scheme, such as 'he_normal'"
                elif what == "model":
                    remedy += ", or use functools.partial in place of a lambda"
                raise TypeError(
                    f"{what} {written(part)} cannot be sent to another process ({error}); {remedy}"
                ) from error


class _Pool:
    """The executor in use, and how to get another when it breaks."""

    def __init__(self, executor: ExecutorLike | None, workers: int) -> None:
        self.make: Callable[[], Executor] | None = None
        self.executor: Executor
        if executor is None:
            self.make = functools.partial(
                ThreadPoolExecutor, workers, thread_name_prefix="initguide"
            )
        elif not isinstance(executor, Executor):
            self.make = executor
        self.is_ours = self.make is not None
        if self.make is not None:
            made = self.make()
            if not isinstance(made, Executor):
                raise TypeError(
                    f"executor made an object of type {type(made).__name__}; it must make a "
                    "concurrent.futures.Executor"
                )
            self.executor = made
        else:
            self.executor = cast(Executor, executor)
            self.make = _another_like(self.executor)

    @property
    def workers(self) -> int:
        """How many groups of runs go on at once, as far as is known."""
        workers = getattr(self.executor, "_max_workers", None)
        threads = getattr(getattr(self.executor, "_client", None), "nthreads", None)
        if callable(threads):  # Dask's: the cores of each worker, which may come and go
            workers = sum(threads().values()) or None
        return workers if isinstance(workers, int) else UNKNOWN

    @property
    def window(self) -> float:
        """How many groups are handed over at a time: enough to keep all workers busy."""
        workers = getattr(self.executor, "_max_workers", None)
        return 2 * workers if isinstance(workers, int) else math.inf

    def renew(self, error: BaseException) -> None:
        """Replace an executor that broke."""
        if self.is_ours:
            self.executor.shutdown(wait=False)
        if self.make is None:
            raise RuntimeError(
                "the executor broke, and no run can be done with it any more; give executor= a "
                "function that makes one, and another will be made"
            ) from error
        self.executor, self.is_ours = self.make(), True

    def close(self) -> None:
        """End an executor that was made here, and whose futures have ended or been cancelled."""
        if self.is_ours:
            self.executor.shutdown(wait=True)  # Dask's takes no cancel_futures


def _another_like(executor: Executor) -> Callable[[], Executor] | None:
    """How to make another process pool like the one given, which cannot be used once it broke."""
    if type(executor) is not ProcessPoolExecutor:
        return None
    names = ("_max_workers", "_mp_context", "_initializer", "_initargs")
    if not all(hasattr(executor, name) for name in names):
        return None
    workers, context, initializer, arguments = (getattr(executor, name) for name in names)
    return lambda: ProcessPoolExecutor(
        workers, mp_context=context, initializer=initializer, initargs=arguments
    )


def _is_death(error: BaseException) -> bool:
    """Whether an error says that a worker died: of any pool, or Dask's KilledWorker."""
    return isinstance(error, BrokenExecutor) or type(error).__name__ == "KilledWorker"


class _Work:
    """The jobs of one call, and how far they are."""

    def __init__(
        self,
        jobs: Sequence[Job],
        source: _Here | _Elsewhere,
        stop: Any,
        pool: _Pool,
        *,
        store: Store | None,
        keys: list[str],
        retries: int,
        strict: bool,
    ) -> None:
        self.retries = retries
        self.strict = strict
        self.jobs = jobs
        self.source = source
        self.stop = stop
        self.pool = pool
        self.store = store
        self.keys = keys
        self.number = {key: i for i, key in enumerate(keys)}  # of the job with that key
        self.results: dict[int, Run | Failure] = {}
        self.waiting: deque[int] = deque()  # to be handed over
        self.alone: deque[int] = deque()  # the same, but with nothing beside them
        self.others: list[int] = []  # claimed by other processes
        self.futures: dict[Future[list[Run | Exception]], list[int]] = {}
        self.ended: SimpleQueue[Future[list[Run | Exception]]] = SimpleQueue()
        self.sizes: dict[tuple[object, ...], int] = {}  # how many jobs of a shape are done at once
        self.deaths: dict[int, int] = {}
        self.breaks = 0  # executors that broke since the last run that ended
        self.seen = monotonic()

    def finish(self, progress: bool | None) -> Outcome:
        """Do what is missing."""
        self._look_up(range(len(self.jobs)))
        found = len(self.results)
        self.waiting.extend(i for i in range(len(self.jobs)) if i not in self.results)
        shown = somebody_watches() if progress is None else progress
        bar = tqdm(total=len(self.jobs), initial=found, unit="run", disable=not shown)
        if found:
            bar.set_postfix_str(f"{found} found in {cast(Store, self.store).path.name}")
        try:
            while len(self.results) < len(self.jobs):
                self._hand_over()
                self._take()
                bar.update(len(self.results) - bar.n)
        finally:
            self.stop.set()
            for future in self.futures:
                future.cancel()
            self._keep_the_rest()
            self.pool.close()
            bar.close()
        return Outcome([self.results[i] for i in range(len(self.jobs))], found)

    def _look_up(self, numbers: Iterable[int]) -> None:
        """Take from the store what is there."""
        if self.store is None:
            return
        rows = self.store.find([self.keys[i] for i in numbers])
        for key, row in rows.items():
            if row["error"] is None:
                self.results[self.number[key]] = run_of(row)

    def _hand_over(self) -> None:
        """Keep the executor busy."""
        if not self.waiting and (self.alone or self.others) and not self.futures:
            if self.alone:
                self._submit([[self.alone.popleft()]])
                return
            self._look_up(self.others)
            self.waiting.extend(i for i in self.others if i not in self.results)
            self.others = []
        # Some at a time: with a store, each time costs a transaction.
        window = self.pool.window
        if self.waiting and len(self.futures) <= window / 2:
            size = self._size(self.waiting[0])
            claimed = self._claimed(
                int(min(size * (window - len(self.futures)), len(self.waiting)))
            )
            self._submit(self._groups(claimed))

    def _size(self, i: int) -> int:
        """How many jobs of this one's shape are best done at once."""
        job = self.jobs[i]
        if job.shape not in self.sizes:
            try:
                self.sizes[job.shape] = plan(job.build(), job.optimizer).size
            except Exception:  # noqa: BLE001  it will show when the job is done
                self.sizes[job.shape] = 1
        return self.sizes[job.shape]

    def _groups(self, numbers: Iterable[int]) -> list[list[int]]:
        """Put jobs together that can be done at once, so that no worker goes without."""
        shapes: dict[tuple[object, ...], list[int]] = {}
        for i in numbers:
            shapes.setdefault(self.jobs[i].shape, []).append(i)
        groups = []
        for members in shapes.values():
            count = math.ceil(len(members) / self._size(members[0]))
            workers = self.pool.workers
            count = min(len(members), math.ceil(count / workers) * workers)
            ends = [len(members) * k // count for k in range(count + 1)]
            groups += [members[i:k] for i, k in itertools.pairwise(ends)]
        return sorted(groups)

    def _claimed(self, room: int) -> list[int]:
        """Take some jobs off the waiting ones that no other process has taken."""
        part = [self.waiting.popleft() for _ in range(room)]
        if self.store is None:
            return part
        won = {self.number[key] for key in self.store.claim([self.keys[i] for i in part])}
        self.others += [i for i in part if i not in won]
        return [i for i in part if i in won]

    def _submit(self, groups: list[list[int]]) -> None:
        for position, group in enumerate(groups):
            jobs = [self.jobs[i] for i in group]
            try:
                do = functools.partial(run_together, strict=self.strict)
                future = self.pool.executor.submit(do, jobs, self.source, self.stop)
            except BrokenExecutor as error:  # its other futures tell who was at work
                rest = [i for later in groups[position:] for i in later]
                self.waiting.extendleft(reversed(rest))
                if not self.futures:
                    self._broke(error)
                return
            self.futures[future] = group
            future.add_done_callback(self.ended.put)

    def _take(self) -> None:
        """Wait for something to end, and record it and what ended at the same time."""
        new: list[int] = []
        dead: list[int] = []
        broken: BaseException | None = None
        fatal: BaseException | None = None
        for group, results in self._ended():
            for i, result in zip(group, results, strict=True):
                if isinstance(result, Run):
                    self.results[i] = result
                    self.breaks = 0
                    new.append(i)
                elif _is_death(result):
                    dead.append(i)
                    broken = result if isinstance(result, BrokenExecutor) else broken
                elif (
                    self.strict
                    or isinstance(result, CancelledError)
                    or not isinstance(result, Exception)
                ):
                    fatal = fatal or result
                else:
                    self.results[i] = self._failure(i, result)
                    new.append(i)
        if fatal is not None:
            self._keep(new)
            raise fatal
        if broken is not None:  # everything else that it had was lost, too
            dead += [i for group in self.futures.values() for i in group]
            self.futures.clear()
            self._broke(broken)
        new += self._bury(dead)
        self._keep(new)

    def _ended(self) -> list[tuple[list[int], Sequence[Run | BaseException]]]:
        """Wait for something to end; return what came of the jobs that have."""
        futures = []
        patience = BEAT if self.futures else 0.0 if self.waiting else 1.0
        with contextlib.suppress(Empty):
            futures.append(self._next(patience))
            while True:
                futures.append(self.ended.get_nowait())
        ended: list[tuple[list[int], Sequence[Run | BaseException]]] = []
        for future in futures:
            group = self.futures.pop(future, None)
            if group is not None:  # not of an executor that was given up
                error = CancelledError() if future.cancelled() else future.exception()
                ended.append((group, [error] * len(group) if error else future.result()))
        return ended

    def _next(self, patience: float) -> Future[list[Run | Exception]]:
        return self.ended.get(timeout=patience) if patience else self.ended.get_nowait()

    def _broke(self, error: BaseException) -> None:
        self.breaks += 1
        if self.breaks > 10:
            raise RuntimeError(
                f"{self.breaks} executors in a row broke before any run ended, so the fault is "
                "hardly in one of the runs; a script that starts processes must do so under "
                'if __name__ == "__main__"'
            ) from error
        self.pool.renew(error)

    def _bury(self, dead: list[int]) -> list[int]:
        """Do runs again whose worker died; return those of which there is to be no more of that."""
        given_up = []
        for i in sorted(dead):
            self.deaths[i] = self.deaths.get(i, 0) + 1
            if self.deaths[i] > self.retries:
                times = f"{self.deaths[i]} times" if self.deaths[i] > 1 else "once"
                error = RuntimeError(f"a worker died {times} while it did this run")
                if self.strict:
                    error.add_note(f"while training {self.jobs[i].label!r}")
                    raise error
                self.results[i] = self._failure(i, error)
                given_up.append(i)
            elif self.deaths[i] == self.retries:  # alone, so that no other run is blamed for it
                self.alone.append(i)
            else:
                self.waiting.appendleft(i)
        if again := len(dead) - len(given_up):
            warnings.warn(
                f"a worker died; {again} run{'s' * (again > 1)} in progress with it "
                f"{'are' if again > 1 else 'is'} done again",
                WorkerWarning,
                stacklevel=6,
            )
        return given_up

    def _failure(self, i: int, error: BaseException) -> Failure:
        job = self.jobs[i]
        first, *_ = str(error).split("\n", maxsplit=1)
        reason = f"{type(error).__name__}: {first}" if not _is_ours(error) else first
        return Failure(job.label, job.seed, job.settings, reason)

    def _keep(self, numbers: list[int]) -> None:
        """Store what has ended; without that, give a sign of life now and then."""
        if self.store is None:
            return
        if numbers:
            rows = [row_of(self.keys[i], self.jobs[i], self.results[i]) for i in numbers]
            self.store.add(rows)
            self.seen = monotonic()
        elif monotonic() - self.seen > BEAT:
            self.store.keep()
            self.seen = monotonic()

    def _keep_the_rest(self) -> None:
        """On the way out: store what ended meanwhile, and leave the rest to others."""
        if self.store is None:
            return
        kept = []
        for future, group in self.futures.items():
            if future.done() and not future.cancelled() and future.exception() is None:
                for i, result in zip(group, future.result(), strict=True):
                    if isinstance(result, Run):
                        self.results[i] = result
                        kept.append(i)
        with contextlib.suppress(OSError):  # where that is why we are here, it has been said
            self._keep(kept)
            self.store.release()


def _is_ours(error: BaseException) -> bool:
    return str(error).startswith("a worker died")


def somebody_watches() -> bool:
    """Whether standard error is a terminal, or this is a notebook."""
    return sys.stderr.isatty() or "ipykernel" in sys.modules


# Runs as rows of a store

_NUMBERS = ("valid_loss", "valid_accuracy", "test_accuracy", "diverged_at", "seconds")


def row_of(key: str, job: Job, result: Run | Failure) -> dict[str, Any]:
    """Row of a store for what came of a job."""
    numbers: dict[str, Any] = dict.fromkeys((*_NUMBERS, "train_losses", "error"))
    if isinstance(result, Run):
        numbers |= {name: getattr(result, name) for name in _NUMBERS}
        numbers["train_losses"] = result.train_losses.astype("<f4").tobytes()
    else:
        numbers["error"] = result.reason
    return (
        {name: job.settings.get(name) for name in SETTINGS}
        | numbers
        | {
            "key": key,
            "label": job.label,
            "seed": job.seed,
            "settings": json.dumps(dict(job.settings), ensure_ascii=False),
            "finished": datetime.now(UTC).isoformat(timespec="seconds"),
        }
    )


def run_of(row: Mapping[str, Any]) -> Run:
    """Run in a row of a store."""

    def number(name: str) -> float:
        return math.nan if row[name] is None else float(row[name])  # SQLite has no NaN

    diverged_at = row["diverged_at"]
    return Run(
        label=str(row["label"]),
        seed=int(row["seed"]),
        train_losses=np.frombuffer(row["train_losses"], dtype="<f4").astype(np.float32),
        valid_loss=number("valid_loss"),
        valid_accuracy=number("valid_accuracy"),
        test_accuracy=number("test_accuracy"),
        diverged_at=None if diverged_at is None else int(diverged_at),
        seconds=number("seconds"),
    )

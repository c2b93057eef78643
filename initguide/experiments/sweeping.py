"""Train over a grid of settings."""

import os
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import torch
from torch import nn

from initguide.experiments.grids import Grid, run_grid
from initguide.experiments.jobs import ExecutorLike, Failure, Keeping, SchemeLike, fingerprint
from initguide.experiments.resuming import SWEEP_RULES
from initguide.experiments.seeds import seed_list
from initguide.experiments.settings import (
    axes_of,
    check_model,
    check_workers,
    divided,
    named_schemes,
    plain_name,
    point_label,
    split_of,
)
from initguide.experiments.sweeps import Sweep, swept
from initguide.models import Net
from initguide.training import Dataset, OptimizerFactory, Run


def sweep(
    grid: Mapping[str, Iterable[Any]],
    data: Dataset,
    *,
    model: Callable[..., nn.Module] = Net,
    scheme: SchemeLike = "default",
    scale: float = 1.0,
    epochs: int = 2,
    batch_size: int = 100,
    learning_rate: float = 1e-3,
    optimizer: str | OptimizerFactory = "adam",
    seeds: int | Iterable[int] = 5,
    split: str = "shared",
    device: str | torch.device = "cpu",
    workers: int | None = None,
    executor: ExecutorLike | None = None,
    store: str | os.PathLike[str] | None = None,
    retries: int = 2,
    time_limit: float | None = None,
    progress: bool | None = None,
) -> Sweep:
    """Train a model with every combination of some settings and every seed.

    For one seed, all points of the grid see the same mini-batches in the same order (if the batch
    size is the same). A run whose loss turns to NaN or infinity is a result: it diverged. A run
    that raises an error is recorded as failed, with the reason, and the others go on.

    `initguide.training.plan` chooses how each core trains its networks: by compiled steps where it
    can, or several at a time. On a GPU, all are trained at once. The numbers do not depend on where
    on a processor the runs are done: each uses one thread, and all its random numbers come from its
    seed. On a GPU, dropout masks also depend on which runs are trained together.

    Parameters
    ----------
    grid
        Name of a setting -> the values to try. The settings are ``scheme``, ``scale``,
        ``learning_rate``, ``optimizer``, ``epochs``, ``batch_size``, ``seed``, and any keyword of
        the model, such as ``hidden_1`` or ``dropout`` of `initguide.Net`. Values that have no short
        name of their own can be given as a dictionary of labels and values.
    data
        What `initguide.fashion_mnist` returns, or anything with the same three splits, ``.train``,
        ``.valid`` and ``.test``, each with ``.images`` (N, …) and ``.labels`` (N,).
    model
        Makes a new network: a class or a function, called with the keywords in the grid.
    scheme
        The scheme, where it is not varied: a name or a function of a module.
    scale
        A factor on the weights (parameters of two or more dimensions) once the scheme has filled
        them, at least 0.
    epochs, batch_size, learning_rate, optimizer
        As in `initguide.training.train`, where they are not varied.
    seeds
        How many (they are then 0, 1, 2, …), or which; the grid's ``seed`` if it has one.
    split
        ``"shared"``: all runs are trained and validated on the same images, those of the data's
        ``.train`` and ``.valid``. ``"per seed"``: each seed divides these anew, as many for each
        part, the same for every point. Intervals then also cover which images these are; with one
        split for all they do not, though the validation images alone move every mean by a third of
        a point (one standard error, at 85 % of 12,000). It is not the default because
        a division is the caller's to make: validation images of another year or of other people
        must not be trained on. A difference moves less than a mean, for a pair shares its split.
        See `initguide.data.SplitPerSeed`.
    device
        Where the networks are trained.
    workers
        How many threads of this process train networks; as many as there are cores if ``None``.
    executor
        Where the runs go on instead: any `concurrent.futures.Executor`, or better, a function that
        makes one, because a process pool one of whose workers died cannot be used again. Model,
        schemes and data must then be sent to other processes, so functions and classes must be
        defined at the top level of a module.

        On this machine, ``functools.partial(ProcessPoolExecutor, 8)`` (with a GPU, add
        ``mp_context=multiprocessing.get_context("spawn")``). On many, with Dask (``pip install
        "initguide[dask]"``):

        .. code-block:: python

           from dask.distributed import Client

           with Client() as client:  # a local cluster; or Client("tcp://scheduler:8786")
               initguide.sweep(grid, data, executor=client.get_executor())

        A worker loads the data once: by the arguments of `initguide.fashion_mnist` if they came
        from there, otherwise from a temporary file, which all machines must then see (``TMPDIR``).
    store
        A file in which each run is kept as soon as it ends (see `initguide.experiments`). The same
        call later does only what is missing, runs that had failed included; more values and more
        seeds can be added. A store of other settings is refused. Several processes of a machine may
        work on one store: they share the runs. Ctrl-C, SIGTERM and SIGHUP end the call with all
        that had ended stored. While the store is locked or its disk is full, the call waits, with a
        warning.
    retries
        How often a run is done again if the worker that did it died. The last time it is done
        alone, so that it is known to be at fault. If the worker dies then, too, the run is
        recorded as failed.
        With 0, a pool of processes that breaks makes all runs in progress fail, for it does not say
        which of them did it.
    time_limit
        How many seconds a run may take; as long as it likes if ``None``. One that takes longer is
        told to stop, which training looks for every few steps, and is recorded as failed.
        In another process, a run that goes on all the same hangs: after three times the limit it is
        recorded too, and its worker ends itself, with a trace of where it hung on its standard
        error if it did so in foreign code. A thread cannot be ended, so without ``executor=`` such
        a run is waited for. Runs that are trained together have the limit once for each.
    progress
        Whether to show a progress bar; by default in a terminal or a notebook only.

    Returns
    -------
    Sweep
        Every run, and tables of them.

    Raises
    ------
    ValueError
        If a setting is unknown, has no value or the same twice, or a value is not allowed; if no
        network can be made with a value; or if the store holds runs of other settings
        (`StoreError`).
    TypeError
        If something cannot be sent to the executor's processes, or, with a store, cannot be told
        from something else (see `initguide.experiments`).
    WorkerError
        If a worker has other versions of Python, torch or this package, or lacks a module, and no
        run has ended yet. Later, the runs of such a worker are recorded as failed.
    OSError
        If the store cannot be opened for writing. What it held before is intact.
    KeyboardInterrupt
        After Ctrl-C, SIGTERM or SIGHUP, unless the program handles these itself. Where nothing
        catches it, the process ends with the status that shells report of such a signal.

    Warns
    -----
    WorkerWarning
        If a worker died.
    StoreWarning
        If the store is damaged, or cannot be written for a while.

    Examples
    --------
    >>> import initguide
    >>> data = initguide.fashion_mnist(source="sample").subset(train=500)
    >>> grid = {"scheme": ["zeros", "he_normal"], "learning_rate": [1e-3, 1e-2]}
    >>> result = sweep(grid, data, epochs=1, seeds=2)
    >>> [round(float(a), 1) for a in result.values(scheme="zeros")]
    [0.1, 0.1, 0.1, 0.1]
    """
    check_workers(workers)
    data = divided(data, split)
    check_model(model)
    fixed = {
        "scheme": scheme,
        "scale": scale,
        "learning_rate": learning_rate,
        "optimizer": optimizer,
        "epochs": epochs,
        "batch_size": batch_size,
    }
    axes = axes_of(grid, model)
    # The seed is no axis of the grid: every point is trained with all of them.
    numbers = seed_list(list(axes.pop("seed").values()) if "seed" in axes else seeds)
    schemes = axes["scheme"] if "scheme" in axes else {plain_name(scheme): scheme}
    named = named_schemes({str(label): value for label, value in schemes.items()})
    whole = Grid(axes, fixed, named, model, numbers, device)
    settings = whole.common

    keeping = None
    if store is not None:
        is_named = "optimizer" in axes or isinstance(optimizer, str)
        about = {
            "kind": "sweep",
            "settings": settings,
            "grid": [[name, list(values)] for name, values in axes.items()],
            "seeds": numbers,
            "split": split_of(data),
            "code": {
                f"{name} {label}": fingerprint(
                    named[str(label)] if name == "scheme" else value, f"the value of {name}"
                )
                for name, values in axes.items()
                for label, value in values.items()
            },
            "common_code": {
                "model": fingerprint(model, "model"),
                "scheme": ""
                if "scheme" in axes
                else fingerprint(next(iter(named.values())), "the scheme"),
                "optimizer": "" if is_named else fingerprint(optimizer, "optimizer"),
            },
            "torch": str(torch.__version__),
        }
        keeping = Keeping(store, about, SWEEP_RULES)
    results, remark = run_grid(
        whole,
        data,
        lambda labels: (point_label(labels), settings | labels),
        keeping=keeping,
        workers=workers,
        executor=executor,
        retries=retries,
        time_limit=time_limit,
        # A grid may well reach settings with which a run cannot be done.
        strict=False,
        progress=progress,
    )
    return Sweep(
        runs=tuple(swept(run, where) for where, run in results if isinstance(run, Run)),
        failures=tuple(
            failed._replace(settings=where)
            for where, failed in results
            if isinstance(failed, Failure)
        ),
        grid={name: tuple(values) for name, values in axes.items()},
        settings=settings
        | {"seeds": numbers, "split": split_of(data), "torch": str(torch.__version__)},
        data_source=getattr(data, "source", "not stated"),
        remark=remark,
    )

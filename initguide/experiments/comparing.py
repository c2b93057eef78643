"""Compare initialization schemes over seeds."""

import os
from collections.abc import Callable, Iterable, Mapping
from typing import Any, cast

import torch
from torch import nn

from initguide.experiments.comparison import COMMON, Comparison
from initguide.experiments.grids import Grid, Labels, run_grid
from initguide.experiments.jobs import ExecutorLike, Keeping, SchemeLike, fingerprint, written
from initguide.experiments.resuming import COMPARISON_RULES
from initguide.experiments.seeds import seed_list
from initguide.experiments.settings import (
    check_model,
    check_workers,
    divided,
    named_schemes,
    split_of,
)
from initguide.models import Net
from initguide.training import Dataset, OptimizerFactory, Run


def compare_init_weights(
    schemes: Mapping[str, SchemeLike] | Iterable[SchemeLike],
    data: Dataset,
    *,
    model: Callable[[], nn.Module] = Net,
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
) -> Comparison:
    """Train a model from each scheme and each seed, and compare what comes out.

    For one seed, every scheme sees the same mini-batches in the same order and the same dropout
    masks, so differences between schemes come from the weights. Accuracies are measured in
    evaluation mode. A run whose loss turns to NaN or infinity is a result too: it is reported as
    diverged.

    Runs are spread over the processor's cores, and the results do not depend on how many there are.
    `initguide.training.plan` chooses how a core trains its networks. On a GPU, all networks are
    trained at once. torch's global generators are left as they were. If a run raises
    an error, that is raised, and the others are stopped.

    Parameters
    ----------
    schemes
        A label for each scheme: a function of a module (see `initguide.initializers`) or a name.
        Or a list of names and functions, which are then labelled by their names.
    data
        What `initguide.fashion_mnist` returns, or anything with the same three splits, ``.train``,
        ``.valid`` and ``.test``, each with ``.images`` (N, …) and ``.labels`` (N,).
    model
        Makes a new network when called without arguments: a class, or a function such as
        ``lambda: Net(dropout=0.0)``.
    epochs
        How often each training image is used, at least 1.
    batch_size
        Images in a mini-batch, at least 1.
    learning_rate
        Above 0.
    optimizer
        ``"adam"``, ``"sgd"``, ``"momentum"`` (SGD with momentum 0.9), or a function such as
        `torch.optim.RMSprop`, called as ``optimizer(parameters, lr=learning_rate)``.
    seeds
        How many (they are then 0, 1, 2, …), or which.
    split
        ``"shared"``: all runs are trained and validated on the same images, those of the data's
        ``.train`` and ``.valid``. ``"per seed"``: each seed divides these anew, as many for each
        part, the same for every scheme. Intervals then also cover which images these are; with one
        split for all they do not, though the validation images alone move every mean by a third of
        a point (one standard error, at 85 % of 12,000). It is not the default because
        a division is the caller's to make: validation images of another year or of other people
        must not be trained on. A difference moves less than a mean, for a pair shares its split.
        See `initguide.data.SplitPerSeed`.
    device
        Where the networks are trained.
    workers
        How many threads train networks; as many as there are cores if ``None``. Models that draw
        from torch's global generator while they train (by more than `torch.nn.Dropout`) are trained
        one at a time, because all threads share that generator.
    executor
        Where the runs go on instead: in other processes, or on other machines. See `sweep`.
    store
        A file in which each run is kept as soon as it ends, so that the same call later does only
        what is missing; more schemes and more seeds can be added. See `sweep` and
        `initguide.experiments`.
    retries
        How often a run is done again if the worker that did it died.
        With 0, a pool of processes that breaks makes all runs in progress fail, for it does not say
        which of them did it.
    time_limit
        How many seconds a run may take; as long as it likes if ``None``. One that takes longer ends
        the comparison with a `TimeoutError`. See `sweep`.
    progress
        Whether to show a progress bar; by default in a terminal or a notebook only.

    Returns
    -------
    Comparison
        Every run, and tables of them.

    Raises
    ------
    ValueError
        If there is no scheme or no seed, a scheme's name is unknown, a number is out of range, or
        the store holds runs of other settings (`StoreError`).
    TypeError
        If something cannot be sent to the executor's processes, or, with a store, cannot be told
        from something else (see `initguide.experiments`).
    OSError
        If the store cannot be opened for writing. What it held before is intact.
    KeyboardInterrupt
        After Ctrl-C, SIGTERM or SIGHUP, unless the program handles these itself. Where nothing
        catches it, the process ends with the status that shells report of such a signal.

    Examples
    --------
    >>> import initguide
    >>> data = initguide.fashion_mnist(source="sample")
    >>> result = compare_init_weights(["zeros", "he_normal"], data, epochs=1, seeds=2)
    >>> [round(row.mean, 1) for row in result.rows()]
    [0.1, 0.7]
    """
    check_workers(workers)
    data = divided(data, split)
    check_model(model)
    named = named_schemes(schemes)
    fixed = {
        "scheme": "",  # varied
        "scale": 1.0,
        "epochs": epochs,
        "batch_size": batch_size,
        "optimizer": optimizer,
        "learning_rate": learning_rate,
    }
    grid = Grid({"scheme": {k: k for k in named}}, fixed, named, model, seed_list(seeds), device)
    common = {name: grid.common[name] for name in COMMON}
    described = {label: written(scheme) for label, scheme in named.items()}
    settings = common | {
        "seeds": grid.seeds,
        "split": split_of(data),
        "torch": str(torch.__version__),
    }

    def say(labels: Labels) -> tuple[str, dict[str, Any]]:
        label = labels["scheme"]
        return label, {"scheme": described[label]} | common

    keeping = None
    if store is not None:
        about = {
            "kind": "comparison",
            **settings,
            "schemes": described,
            # What things do, besides what they are called: a function that was edited keeps its
            # name.
            "scheme_code": {k: fingerprint(scheme, "the scheme") for k, scheme in named.items()},
            "model_code": fingerprint(model, "model"),
            "optimizer_code": ""
            if isinstance(optimizer, str)
            else fingerprint(optimizer, "optimizer"),
        }
        keeping = Keeping(store, about, COMPARISON_RULES)
    results, remark = run_grid(
        grid,
        data,
        say,
        keeping=keeping,
        workers=workers,
        executor=executor,
        retries=retries,
        time_limit=time_limit,
        # Schemes are compared over the same seeds: a run that cannot be done ends the comparison.
        strict=True,
        progress=progress,
    )
    return Comparison(
        runs=tuple(cast(Run, run) for _, run in results),
        schemes=described,
        settings=settings,
        data_source=getattr(data, "source", "not stated"),
        remark=remark,
    )

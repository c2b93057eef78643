"""A callback for the Trainer of Hugging Face's transformers: check before the first step."""

import contextlib
import functools
import itertools
import random
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
from torch import Tensor
from torch.utils.data import IterableDataset

from initguide.checkup import Checkup, check_init
from initguide.integrations.acting import act, library, waits_for_others
from initguide.propagation import Loss
from initguide.randomness import seeded

__all__ = ["trainer_callback"]


class _Checks:
    """What the callback does; its class is made of this one and the library's."""

    report: Checkup | None = None

    def __init__(self, **settings: Any) -> None:
        self.settings = settings

    def __reduce__(self) -> tuple[Any, ...]:  # the class has no name to be found by
        return functools.partial(trainer_callback, **self.settings), ()

    def on_train_begin(self, args: Any, state: Any, control: Any, **given: Any) -> None:
        """Check with examples of the training data, unless training goes on from a checkpoint."""
        del control
        if state.global_step or not state.is_world_process_zero:
            return
        model, loader, settings = given["model"], given["train_dataloader"], self.settings

        def check() -> Checkup:
            if args.world_size > 1 and waits_for_others(model):
                raise RuntimeError("parts of the model wait for other processes; use one")
            with _generators_kept(settings["seed"]):
                batch = _examples(loader, args.per_device_train_batch_size)
            return check_init(
                model,
                _moved(batch, args.device),
                None,
                settings["loss"],
                seed=settings["seed"],
                advice=settings["advice"],
            )

        self.report = act(check, stop=settings["stop"])


def _examples(loader: Any, number: int) -> Any:
    """Collate some examples from all over the data; the first ones of a stream.

    The loader is not asked for a batch: that would draw from the order of the training, and begin
    an epoch in libraries that count them.
    """
    data = loader.dataset
    # A stream may have a length, and inherits a `__getitem__` that raises.
    stream = isinstance(data, IterableDataset)
    if not stream and hasattr(data, "__getitem__") and hasattr(data, "__len__"):
        number = min(number, len(data))
        picked = [data[i * len(data) // number] for i in range(number)]
    else:
        examples = iter(data)
        if examples is data:
            raise RuntimeError(
                "the training data can be gone over once, so examples looked at would be missing "
                "in training; call initguide.check_init with a batch of your own"
            )
        picked = list(itertools.islice(examples, number))
    return loader.collate_fn(picked)


def _moved(batch: Any, device: Any) -> Any:
    """Move tensors to the model's device; a mapping becomes a dictionary of keyword arguments."""
    if isinstance(batch, Mapping):
        return {key: _moved(value, device) for key, value in batch.items()}
    return batch.to(device) if isinstance(batch, Tensor) else batch


@contextlib.contextmanager
def _generators_kept(seed: int) -> Iterator[None]:
    """Let data sets and collators draw, as for masks, and put the generators back."""
    kept = random.getstate(), np.random.get_state()  # noqa: NPY002  the global one is meant
    try:
        with seeded(seed):
            yield
    finally:
        random.setstate(kept[0])
        np.random.set_state(kept[1])  # noqa: NPY002


def trainer_callback(
    *, stop: bool = False, loss: Loss | None = None, seed: int = 0, advice: bool = True
) -> Any:
    """Make a callback for Hugging Face's ``Trainer`` that checks before the first step of training.

    As many examples as a device gets at once are taken from all over the training data, and
    collated as in training. Where training goes on from a checkpoint, nothing is checked; among
    several processes, the first one checks. Neither the order of the data nor the model changes.

    Parameters
    ----------
    stop
        Whether to raise an `InitError` if something worse than a note is found. If not, the report
        is a warning. A check that cannot be made is a warning in either case.
    loss
        A function of what the model returns; the model's own loss, from the labels in the batch, if
        None. A loss that the trainer computes instead is not seen.
    seed, advice
        As in `initguide.check_init`.

    Returns
    -------
    transformers.TrainerCallback
        For ``Trainer(callbacks=[...])``. Its ``report`` is that of the check, None before.

    Raises
    ------
    ImportError
        If transformers is not installed.
    """
    base = library("transformers", "transformers accelerate").TrainerCallback
    kind = type("InitCheck", (_Checks, base), {})
    return kind(stop=stop, loss=loss, seed=seed, advice=advice)

"""A callback for Lightning: check before the first step."""

import copy
import functools
import inspect
import sys
from typing import Any

from initguide.checkup import Checkup, check_init
from initguide.integrations.acting import act, library, waits_for_others

__all__ = ["lightning_callback"]


class _Checks:
    """What the callback does; its class is made of this one and Lightning's.

    Lightning is imported only when a callback is made, and it may be either of its two packages.
    """

    report: Checkup | None = None
    done = False

    def __init__(self, *, stop: bool, seed: int, advice: bool) -> None:
        self.settings: dict[str, Any] = {"stop": stop, "seed": seed, "advice": advice}

    def __reduce__(self) -> tuple[Any, ...]:  # the class has no name to be found by
        return functools.partial(lightning_callback, **self.settings), ()

    def on_train_batch_start(
        self, trainer: Any, pl_module: Any, batch: Any, batch_idx: int, *_: Any
    ) -> None:
        """Check with the first batch, unless training goes on from a checkpoint."""
        if self.done or trainer.global_step or not trainer.is_global_zero:
            return
        self.done = True

        def check() -> Checkup:
            if trainer.world_size > 1 and waits_for_others(pl_module):
                raise RuntimeError("parts of the model wait for other processes; use one")
            return check_init(
                _apart(pl_module),
                batch,
                seed=self.settings["seed"],
                advice=self.settings["advice"],
                training_step=lambda module, batch: _step(module, batch, batch_idx),
            )

        self.report = act(check, stop=self.settings["stop"])


def _step(module: Any, batch: Any, number: int) -> Any:
    """Call a module's own training step, which may or may not want the batch's number."""
    wanted = inspect.signature(module.training_step).parameters.values()
    places = [p for p in wanted if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]
    # Lightning goes by the same: any number of places, or a second one, whatever it is called.
    if len(places) > 1 or any(p.kind == p.VAR_POSITIONAL for p in wanted):
        return module.training_step(batch, number)
    return module.training_step(batch)


def _apart(module: Any) -> Any:
    """Copy a module, without its trainer and all the data of that; what the copy logs is lost.

    Its training step may change whatever it holds, as a list of the losses of an epoch.
    """
    trainer = module.trainer
    try:
        module.trainer = None
        apart = copy.deepcopy(module)
    except Exception as error:
        raise RuntimeError(
            f"the module cannot be copied ({type(error).__name__}: {error}), and its training_step "
            "may change what it holds; call initguide.check_init before training"
        ) from error
    finally:
        module.trainer = trainer
    for part in apart.modules():
        if hasattr(part, "log_dict"):
            for name in ("log", "log_dict"):
                object.__setattr__(part, name, _ignore)
    return apart


def _ignore(*_: Any, **__: Any) -> None:
    """Log nothing."""


def lightning_callback(*, stop: bool = False, seed: int = 0, advice: bool = True) -> Any:
    """Make a Lightning callback that checks the module before the first step of training.

    The first batch goes through the ``training_step`` of a copy of the module, as
    `initguide.check_init` does with ``training_step=``; nothing is logged, and the module does not
    change. Where training goes on from a checkpoint, nothing is checked; among several processes,
    the first one checks.

    Parameters
    ----------
    stop
        Whether to raise an `InitError` if something worse than a note is found. If not, the report
        is a warning. A check that cannot be made, as of a step that needs its trainer (manual
        optimization) or of a module that cannot be copied, is a warning in either case.
    seed, advice
        As in `initguide.check_init`.

    Returns
    -------
    lightning.pytorch.Callback
        For ``Trainer(callbacks=[...])``. Its ``report`` is that of the check, None before.

    Raises
    ------
    ImportError
        If Lightning is not installed.
    """
    # Two packages have the same classes twice; a trainer wants those of its own.
    older = "pytorch_lightning" in sys.modules and "lightning.pytorch" not in sys.modules
    base = library("pytorch_lightning" if older else "lightning.pytorch", "lightning").Callback
    return type("InitCheck", (_Checks, base), {})(stop=stop, seed=seed, advice=advice)

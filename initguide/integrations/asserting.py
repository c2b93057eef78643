"""An assertion for test suites: this network can be trained from the weights that it has."""

from collections.abc import Callable, Collection
from typing import Any

from torch import nn

from initguide.checkup import CODES, Checkup, check_init, split_batch
from initguide.propagation import Loss

__all__ = ["assert_init_ok"]


def assert_init_ok(
    model: nn.Module,
    batch: Any,
    loss: Loss | None = None,
    *,
    training_step: Callable[[Any, Any], Any] | None = None,
    allow: Collection[str] = (),
    seed: int = 0,
    advice: bool = True,
) -> Checkup:
    """Raise an `AssertionError` with the report if a network's initialization is at fault.

    Parameters
    ----------
    model, loss, training_step, seed, advice
        As in `initguide.check_init`. Advice is tried only where something is found.
    batch
        As a data loader gives it: ``(inputs, targets)`` in a tuple or list, inputs alone in a list
        of one, or a dictionary of ``inputs`` and ``targets`` and nothing else; anything else is
        inputs alone, as `initguide.check_init` knows them, such as a dictionary of keyword
        arguments, labels among them. With ``training_step``, what that takes.
    allow
        Codes (see `initguide.checkup.CODES`) that are known and wanted: they do not count.

    Returns
    -------
    Checkup
        The report, in which there is nothing worse than a note but for what is allowed.

    Raises
    ------
    AssertionError
        If something worse was found.
    ValueError, TypeError, RuntimeError
        If there is no such code, or as `initguide.check_init` does.

    Examples
    --------
    >>> import torch
    >>> from initguide import Net, initialize
    >>> def test_initialization():
    ...     images = torch.randn(20, 1, 28, 28, generator=torch.Generator().manual_seed(1))
    ...     assert_init_ok(initialize(Net(), "he_normal", seed=0), (images, torch.arange(20) % 10))
    >>> test_initialization()
    """
    __tracebackhide__ = True  # pytest then points at the line of the test
    allowed = {allow} if isinstance(allow, str) else set(allow)
    if unknown := allowed - CODES.keys():
        raise ValueError(
            f"allow names {', '.join(sorted(unknown))}; the codes are {', '.join(sorted(CODES))}"
        )
    inputs, targets = (batch, None) if training_step is not None else split_batch(batch)
    report = check_init(
        model, inputs, targets, loss, seed=seed, advice=advice, training_step=training_step
    )
    if any(f.severity != "note" and f.code not in allowed for f in report.findings):
        raise AssertionError(f"the initialization is at fault\n{report}")
    return report

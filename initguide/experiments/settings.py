"""What runs are made with: checked, named and laid out as a grid."""

import difflib
import inspect
import math
from collections.abc import Callable, Iterable, Mapping
from numbers import Real
from typing import Any

import numpy as np
from torch import nn

from initguide.arguments import check_choice, check_whole
from initguide.data import SplitPerSeed
from initguide.experiments.jobs import (
    SchemeLike,
    written,
)
from initguide.initializers import from_name
from initguide.randomness import seeded
from initguide.training import (
    Dataset,
    check_optimizer,
    check_settings,
    check_tensors,
)

Scheme = Callable[[nn.Module], object]


RUN_SETTINGS = ("scheme", "scale", "learning_rate", "optimizer", "epochs", "batch_size")
"""What a `sweep` can vary besides ``seed`` and the keywords of the model."""


def axes_of(
    grid: Mapping[str, Iterable[Any]], model: Callable[..., nn.Module]
) -> dict[str, dict[Any, Any]]:
    """Each setting of a grid with its values by what they are called."""
    if not isinstance(grid, Mapping):
        raise TypeError(
            f"grid is {grid!r}; give a dictionary of settings and their values, such as "
            "{'scheme': ['he_normal'], 'learning_rate': [1e-3, 1e-2]}"
        )
    known, takes_any = _keywords(model)
    axes: dict[str, dict[Any, Any]] = {}
    for name, given in grid.items():
        if not isinstance(name, str) or not (
            name in (*RUN_SETTINGS, "seed", *known) or (takes_any and name.isidentifier())
        ):
            near = difflib.get_close_matches(str(name), [*RUN_SETTINGS, "seed", *known], n=1)
            hint = f", did you mean {near[0]!r}?" if near else "."
            raise ValueError(
                f"grid has the unknown setting {name!r}{hint} The settings are "
                f"{', '.join([*RUN_SETTINGS, 'seed'])}, and of {written(model)}: "
                f"{', '.join(known) or 'none'}"
            )
        if isinstance(given, str) or not isinstance(given, Iterable):
            raise TypeError(f"grid has {given!r} for {name!r}; give a list of values")
        if isinstance(given, Mapping):
            values = [(str(label), value) for label, value in given.items()]
        else:
            values = [(plain_name(value), _unwrapped(value)) for value in given]
        if not values:
            raise ValueError(f"grid has no value for {name!r}; give at least one")
        axes[name] = dict(values)
        # Also labels that print alike, such as 1 and '1': in a table they would be one.
        if len(axes[name]) < len(values) or len({str(label) for label in axes[name]}) < len(values):
            raise ValueError(
                f"grid has {[label for label, _ in values]} for {name!r}; one stands there twice "
                "(to tell apart values of one name, give a dictionary of labels and values)"
            )
    return axes


def _keywords(model: Callable[..., nn.Module]) -> tuple[list[str], bool]:
    """Keywords that a model can be made with, and whether it takes any."""
    try:
        parameters = inspect.signature(model).parameters.values()
    except (TypeError, ValueError):
        # Some callables, as of C, have no signature: making a network will tell what they take.
        return [], True
    named = [p.name for p in parameters if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY)]
    return named, any(p.kind is p.VAR_KEYWORD for p in parameters)


def check_values(
    fixed: Mapping[str, Any],
    axes: Mapping[str, Mapping[Any, Any]],
    seeds: Iterable[int],
    model: Callable[..., nn.Module],
) -> None:
    """Refuse what no run can be done with, value by value, before the first run."""
    # One setting is varied at a time, the others at their first values: all combinations would
    # build a network for each point of the grid.
    first = {**fixed, **{name: next(iter(values.values())) for name, values in axes.items()}}
    for name, values in (axes or {"": {"": None}}).items():
        for value in values.values():
            tried = first | ({name: value} if name else {})
            plain = {k: tried[k] for k in ("epochs", "batch_size", "learning_rate")}
            for seed in seeds:
                check_settings(**plain, seed=seed)
            scale = tried["scale"]
            is_number = isinstance(scale, int | float) and not isinstance(scale, bool)
            if not is_number or not 0 <= scale < math.inf:
                raise ValueError(f"scale is {scale!r}; it must be a finite number, at least 0")
            if name in fixed and name != "optimizer" and value is not next(iter(values.values())):
                continue  # the same network as before
            chosen = {k: v for k, v in tried.items() if k not in fixed}
            network = _trial_network(model, chosen)
            check_optimizer(tried["optimizer"], network, tried["learning_rate"])


def _trial_network(model: Callable[..., nn.Module], keywords: Mapping[str, Any]) -> nn.Module:
    """Make a network as a run would; say which keywords it cannot be made with."""
    try:
        with seeded(0):
            network = model(**keywords)
    except (ValueError, TypeError):  # written for whoever gave the arguments, as our own are
        raise
    except Exception as error:
        words = ", ".join(f"{k}={setting_text(plain_name(v))}" for k, v in keywords.items())
        line, *_ = str(error).split("\n", maxsplit=1)
        raise ValueError(
            f"model {written(model)}({words}) cannot be made: "
            f"{type(error).__name__}: {line or 'no reason was given'}"
        ) from error
    if not isinstance(network, nn.Module):
        kind = type(network).__name__
        raise TypeError(f"model is of type {kind}; it must be a torch.nn.Module")
    return network


def _unwrapped(value: Any) -> Any:
    return value.item() if isinstance(value, np.generic) else value


def plain_name(value: Any) -> Any:
    """What a value is called: itself if it is a number, a text or nothing."""
    value = _unwrapped(value)
    return value if isinstance(value, str | int | float | None) else written(value)


def setting_text(value: Any) -> str:
    """A setting in a table or label; a fraction with at most six significant digits."""
    return f"{value:.6g}" if isinstance(value, float) else str(value)


def point_label(settings: Mapping[str, Any]) -> str:
    """What a point of a grid is called, such as ``"scheme zeros, learning rate 0.1"``."""
    words = (f"{name.replace('_', ' ')} {setting_text(value)}" for name, value in settings.items())
    return ", ".join(words) or "the only point"


def is_same_value(value: Any, other: Any) -> bool:
    """Whether a value that was asked for is one of a grid: numbers up to rounding."""
    value = plain_name(value)
    if isinstance(value, Real) and isinstance(other, Real):
        return math.isclose(value, other, rel_tol=1e-9)
    return bool(value == other)


def check_workers(workers: int | None) -> None:
    """Refuse what is no number of threads."""
    if workers is not None:
        check_whole("workers", workers, 1)


def check_model(model: Any) -> None:
    """Refuse one network where a maker of networks is needed."""
    if isinstance(model, nn.Module):
        raise TypeError(
            f"model is one {type(model).__name__}; it must make a new network for each run: give "
            f"the class, or a function such as lambda: {type(model).__name__}(...)"
        )


def check_data(data: Any) -> None:
    """Refuse data without the three splits, or of tensors that no network is trained on."""
    for name in ("train", "valid", "test"):
        split = getattr(data, name, None)
        if not (hasattr(split, "images") and hasattr(split, "labels")):
            raise TypeError(
                f"data is of type {type(data).__name__}, without a split .{name} that has .images "
                "and .labels; give what initguide.fashion_mnist() returns, or an object with "
                ".train, .valid and .test of that kind, such as types.SimpleNamespace"
            )
    check_tensors(data)


SPLITS = ("shared", "per seed")
"""What ``split=`` may be: one division into training and validation images for all, or one each."""


def divided(data: Dataset, split: str) -> Dataset:
    """The data of a call, divided as it asks for."""
    check_choice("split", split, SPLITS)
    check_data(data)
    is_divided = isinstance(data, SplitPerSeed)
    return SplitPerSeed(data) if split == "per seed" and not is_divided else data


def split_of(data: Dataset) -> str:
    """Which of `SPLITS` data have."""
    return "per seed" if isinstance(data, SplitPerSeed) else "shared"


def named_schemes(
    schemes: Mapping[str, SchemeLike] | Iterable[SchemeLike],
) -> dict[str, Scheme]:
    """Schemes by label, names looked up; refuse what is no scheme, and labels that repeat."""
    if isinstance(schemes, str):
        raise TypeError(
            f"schemes is the text {schemes!r}; give a list of names, such as [{schemes!r}]"
        )
    if not isinstance(schemes, Iterable):
        raise TypeError(
            f"schemes is {schemes!r}; give a list of names, such as ['he_normal'], or a dictionary "
            "of labels and schemes"
        )
    pairs = (
        [(str(label), scheme) for label, scheme in schemes.items()]
        if isinstance(schemes, Mapping)
        else [(name if isinstance(name, str) else written(name), name) for name in schemes]
    )
    if len(dict(pairs)) < len(pairs):
        labels = [label for label, _ in pairs]
        raise ValueError(f"schemes is labelled {labels}; a name stands there twice")
    named: dict[str, Scheme] = {}
    for label, scheme in pairs:
        if not isinstance(scheme, str) and not callable(scheme):
            raise TypeError(
                f"schemes is to have {scheme!r} under {label!r}; a scheme is a name such as "
                "'he_normal', or a function of a module"
            )
        named[label] = from_name(scheme) if isinstance(scheme, str) else scheme
    if not named:
        raise ValueError("schemes is empty; give at least one, such as ['he_normal']")
    return named

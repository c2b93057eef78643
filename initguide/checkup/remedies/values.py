"""Code that changes the inputs or the targets."""

from collections.abc import Callable, Mapping
from typing import Any

from torch import Tensor


def centred(inputs: Any, wrong: Callable[[Tensor], bool] | None = None) -> tuple[str, ...]:
    """Code that gives inputs mean 0 and variance 1: those of several that are wrong."""
    return _each(inputs, "({0} - {0}.mean()) / {0}.std()", wrong)


def finite(inputs: Any, among: Callable[[Tensor], bool]) -> tuple[str, ...]:
    """Code that puts 0 where inputs are not numbers, or infinite."""
    code = "torch.nan_to_num({0}, nan=0.0, posinf=0.0, neginf=0.0)"
    return _each(inputs, code, lambda t: among(t) and not bool(t.isfinite().all()))


def drawn(inputs: Any, among: Callable[[Tensor], bool]) -> tuple[str, ...]:
    """Code that draws other inputs."""
    return tuple(
        f"{line}  # or a batch of different ones"
        for line in _each(inputs, "torch.randn_like({0})", among)
    )


def _each(inputs: Any, code: str, wrong: Callable[[Tensor], bool] | None) -> tuple[str, ...]:
    """Code for a tensor, or for those of a tuple or a dictionary that are wrong."""

    def needs(value: Any) -> bool:
        known = isinstance(value, Tensor) and value.is_floating_point() and value.numel() > 1
        return known and (wrong is None or wrong(value))

    if isinstance(inputs, Mapping):
        bad = [key for key, value in inputs.items() if needs(value)]
        lines = [f'inputs["{key}"] = ' + code.format(f'inputs["{key}"]') for key in bad]
    elif isinstance(inputs, list):
        bad_places = [i for i, value in enumerate(inputs) if needs(value)]
        lines = [f"inputs[{i}] = " + code.format(f"inputs[{i}]") for i in bad_places]
    elif isinstance(inputs, tuple):  # whose parts cannot be replaced
        changed = [
            code.format(f"inputs[{i}]") if needs(v) else f"inputs[{i}]"
            for i, v in enumerate(inputs)
        ]
        lines = [f"inputs = ({', '.join(changed)},)"] if any(map(needs, inputs)) else []
    else:
        lines = ["inputs = " + code.format("inputs")] if needs(inputs) else []
    return ("\n".join(lines),) if lines else ()

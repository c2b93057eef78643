"""Which scheme fits what is behind a layer, and which parameters of a module it would fill."""

import math
from collections.abc import Iterator, Mapping
from typing import Literal

from torch import nn

from initguide.checkup.facts import healthy_gains
from initguide.checkup.remedies.pasting import call, calling, getter
from initguide.initializers import plan_of
from initguide.propagation import ParameterRecord

Bias = Literal["auto", "fill", "keep"]

_ONES = ("weight", "gamma", "scale", "gain", "g")
_ZEROS = ("bias", "beta", "shift", "offset", "b")


def scheme_for(activation: str | None) -> str:
    """Name a scheme that keeps signal and gradient before an activation."""
    low, high = healthy_gains(activation)
    if activation is None or low == 1:
        return "lecun_normal"
    if activation == "sigmoid":
        return f"xavier_normal(gain={high:.3g})"
    return "he_normal"


def filled(model: nn.Module, name: str, scheme: str, *, biases: bool = False) -> tuple[str, ...]:
    """Code that fills one module with what it holds; none if all of that is frozen.

    Biases that were set on purpose are kept, or if ``biases`` are to blame, filled.
    """
    module = model.get_submodule(name)
    if not any(p.requires_grad for p in module.parameters() if p.ndim > 1):
        return ()
    if not plan_of(module, scheme).filled:
        return tuple(_told(model, module, text) for text in _bare(module, name))
    codes = [call(getter(name), scheme, bias) for bias in _ways(module, scheme, biases=biases)]
    return tuple(_told(model, module, code) for code in codes)


def _ways(module: nn.Module, scheme: str, *, biases: bool) -> list[Bias]:
    """What may become of biases, the best first: as said, so that `initialize` need not warn."""
    if not plan_of(module, scheme).words():
        return ["auto"]
    order: tuple[Bias, ...] = ("fill", "keep") if biases else ("keep", "fill")
    return [bias for bias in order if not plan_of(module, scheme, bias=bias).words()] or ["auto"]


def filled_parameter(used: ParameterRecord, scheme: str) -> str:
    """Code that fills a parameter that no layer of torch's multiplies by."""
    fans = f'fans={{"{used.name}": ({used.fan_in:.0f}, {used.fan_out:.0f})}}'
    arguments = ("model", f'"{scheme}"', f'only="{used.name}"', fans)
    return calling("initguide.initialize", *arguments)


def _bare(module: nn.Module, name: str) -> Iterator[str]:
    """Code that fills matrices which are no layer's: which axis is the fan-in is not known."""
    for last in (False, True):
        lines = []
        for key, p in module.named_parameters(recurse=False):
            if p.ndim < 2 or not p.requires_grad:
                continue
            fan_in = p.shape[-1] if last else p.numel() // p.shape[-1]
            if p.ndim > 2:  # a stack of matrices
                fan_in = p.shape[-1] if last else p.shape[-2]
            code = f"{getter(name)}.{key}"
            lines.append(calling("torch.nn.init.normal_", code, f"std={1 / math.sqrt(fan_in):.3g}"))
        if lines:
            yield "\n".join(lines)


def _told(model: nn.Module, module: nn.Module, code: str) -> str:
    """Code, below a line that says which other modules share the weights that it changes."""
    mine = {id(p) for p in module.parameters()}
    inside = {id(part) for part in module.modules()}
    others = [
        name
        for name, part in model.named_modules()
        if id(part) not in inside and any(id(p) in mine for p in part.parameters(recurse=False))
    ]
    within = list(dict.fromkeys(others))
    if module is model or not within:
        return code
    more = f" and {len(within) - 2} more" if len(within) > 2 else ""
    return f"# the same weights as those of {', '.join(within[:2])}{more}\n{code}"


def neutral(model: nn.Module, name: str, used: Mapping[str, str]) -> tuple[str, ...]:
    """Code that lets a normalization or a gate do nothing: 1 what multiplies, 0 what adds.

    ``used`` says of its parameters what the pass used them as; the usual names tell, too.
    """
    module = model.get_submodule(name)
    if callable(getattr(module, "reset_parameters", None)):
        return (f"{getter(name)}.reset_parameters()",)
    lines = []
    for key, use in used.items():
        if use == "gate" or key in _ONES:
            lines.append(calling("torch.nn.init.ones_", f"{getter(name)}.{key}"))
        elif use == "shift" or key in _ZEROS:
            lines.append(calling("torch.nn.init.zeros_", f"{getter(name)}.{key}"))
    return ("\n".join(lines),) if lines else ()

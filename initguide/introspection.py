"""Run somebody's model without leaving a trace: check it, describe its inputs, put it back.

The model is run as it is and not a copy of it: `copy.deepcopy` doubles the memory, and fails for
modules that hold what cannot be copied. So what a pass may change is put back afterwards.

`initguide.prediction`, which follows a model layer by layer, and `initguide.propagation`, which
watches a pass, both start here.
"""

import contextlib
import random
import warnings
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.parameter import is_lazy

__all__ = [
    "arguments_of",
    "check_kind",
    "describe_arguments",
    "left_alone",
    "run_model",
    "tensors_in",
    "uncompiled",
]


def tensors_in(tree: Any) -> list[Tensor]:
    """All tensors in nested tuples, lists and dictionaries."""
    if isinstance(tree, Tensor):
        return [tree]
    if isinstance(tree, Mapping):
        tree = tree.values()
    # Not any sequence: a string consists of strings, endlessly.
    elif not isinstance(tree, (tuple, list)):
        return []
    return [tensor for branch in tree for tensor in tensors_in(branch)]


def check_kind(model: Any) -> None:
    """Refuse what is no module, has no numbers, or has compiled parts: their layers run unseen."""
    if not isinstance(model, nn.Module):
        raise TypeError(f"model is of type {type(model).__name__}; it must be a torch.nn.Module")
    for name, module in model.named_modules():
        if isinstance(module, torch.jit.ScriptModule):
            raise TypeError(
                f"{name or 'model'} is a torch.jit.ScriptModule, whose layers cannot be watched; "
                "pass the original module, from which torch.jit made it"
            )
    for name, tensor in [*model.named_parameters(), *model.named_buffers()]:
        if is_lazy(tensor):
            raise ValueError(
                f"{name} has no shape yet (a lazy layer); run the model once on a batch first"
            )
        if tensor.is_meta:
            raise ValueError(
                f"{name} is on the meta device, which holds no numbers; make the model on a real "
                "device, or move it with to_empty() and initialize it"
            )


def arguments_of(inputs: Any) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """Turn the inputs into positional and keyword arguments.

    Parameters
    ----------
    inputs
        A tensor (or list), which is the only argument; a tuple of positional arguments; or a
        dictionary of keyword arguments.

    Raises
    ------
    TypeError
        If it is none of these.
    ValueError
        If there is no number in it.

    Examples
    --------
    >>> arguments_of({"src": torch.ones(2)})
    ((), {'src': tensor([1., 1.])})
    """
    args: tuple[Any, ...] = ()
    kwargs: dict[str, Any] = {}
    if isinstance(inputs, Mapping):
        if not all(isinstance(key, str) for key in inputs):
            raise TypeError(
                f"inputs has the keys {list(inputs)}; a dictionary holds keyword arguments, so its "
                "keys must be names"
            )
        kwargs = dict(inputs)
    elif isinstance(inputs, tuple):
        args = inputs
    elif isinstance(inputs, Tensor | list):
        args = (inputs,)
    else:
        hint = "; torch.from_numpy makes a tensor of it" if isinstance(inputs, np.ndarray) else ""
        raise TypeError(
            f"inputs is of type {type(inputs).__name__}; it must be a tensor, a tuple of "
            f"positional arguments or a dictionary of keyword arguments{hint}"
        )
    tensors = tensors_in((args, kwargs))
    if not any(tensor.numel() for tensor in tensors):
        came = describe_arguments(args, kwargs)
        raise ValueError(f"inputs holds no numbers to measure with: {came}; give a batch of some")
    return args, kwargs


def describe_arguments(args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> str:
    """Describe the arguments of a model in a few words.

    Examples
    --------
    >>> describe_arguments((torch.ones(100, 784),), {"mask": None})
    '(100, 784) float32, mask=NoneType'
    """

    def one(value: Any) -> str:
        if isinstance(value, Tensor):
            return f"{tuple(value.shape)} {str(value.dtype).removeprefix('torch.')}"
        if isinstance(value, list | tuple):
            return f"{type(value).__name__} of {len(value)}"
        return type(value).__name__

    parts = [one(value) for value in args] + [f"{key}={one(v)}" for key, v in kwargs.items()]
    return ", ".join(parts) or "none"


_ORIGINAL = "_orig_mod"  # what torch.compile calls the module that it was given


def uncompiled(model: nn.Module) -> nn.Module:
    """Look through what `torch.compile` made of a module; any other module is returned as it is.

    Layers then have the names that they have in the original. These also hold in what was compiled,
    which hands attributes on.
    """
    original = model._modules.get(_ORIGINAL)  # noqa: SLF001  an attribute would be handed on
    return model if original is None else original


def run_model(model: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any], source: str) -> Any:
    """Run a model; an error also names the model and its inputs (``source``).

    What `torch.compile` made runs as it was written: with hooks on its layers, it would be compiled
    anew, which takes a thousand times as long as a pass.
    """
    compiled = any(_ORIGINAL in vars(module)["_modules"] for module in model.modules())
    try:
        with torch.compiler.set_stance("force_eager") if compiled else contextlib.nullcontext():
            return model(*args, **kwargs)
    except Exception as error:
        # A RuntimeError is torch's own, about shapes mostly: say in the message itself what came.
        # All others are the model's own, which somebody may want to catch: they stay as they are,
        # with a note that is printed below the traceback.
        if type(error) is RuntimeError:
            raise RuntimeError(f"{error}\nThis came from the forward pass of {source}") from error
        error.add_note(f"in the forward pass of {source}")
        raise


@contextlib.contextmanager
def left_alone(model: nn.Module) -> Iterator[None]:
    """Put back what a pass changes: buffers, mode and other attributes, and generators.

    So are the weights of modules with a ``max_norm``, which the forward pass renormalizes. Copying
    all weights would take too much memory: if others are edited in place, a warning names them.

    Torch's generators are not among them; `initguide.randomness.seeded` sets and restores those.
    """
    modules = list(model.modules())
    own = [dict(vars(module)) for module in modules]
    # The dictionaries in which a module holds its parts are themselves attributes, changed in place
    # when a part is replaced (`self.buffer = self.buffer + 1`): their contents are noted, too.
    parts = ("_parameters", "_buffers", "_modules")
    held = [{part: dict(vars(module)[part]) for part in parts} for module in modules]
    edited = [p for m in modules if _renormalizes(m) for p in m.parameters(recurse=False)]
    kept = [(tensor, tensor.detach().clone()) for tensor in (*model.buffers(), *edited)]
    known = {id(tensor) for tensor in edited}
    versions = [
        (name, p, p._version)  # noqa: SLF001  counts changes in place
        for name, p in model.named_parameters()
        if id(p) not in known and not p.is_inference()  # these have no count
    ]
    generators = random.getstate(), np.random.get_state()  # noqa: NPY002  the global one is meant
    try:
        yield
    finally:
        random.setstate(generators[0])
        np.random.set_state(generators[1])  # noqa: NPY002
        with torch.no_grad():
            for tensor, before in kept:
                if not torch.equal(tensor, before):  # copying would count as a change in place
                    tensor.copy_(before)
        # First what a module's dictionaries held, then which dictionaries: a pass may change both.
        for module, attributes, contents in zip(modules, own, held, strict=True):
            for part, content in contents.items():
                _restore(attributes[part], content)
            _restore(vars(module), attributes)
        changed = [name for name, p, version in versions if p._version != version]  # noqa: SLF001
        if changed:
            warnings.warn(
                f"the forward pass changed {', '.join(changed)} of the model in place, which could "
                "not be put back; pass copy.deepcopy(model) to keep the model as it is",
                stacklevel=4,  # past contextlib and `measure`, to the caller of that
            )


def _renormalizes(module: nn.Module) -> bool:
    """Whether a module shortens its weights as it runs, as an embedding with ``max_norm`` does."""
    return getattr(module, "max_norm", None) is not None


def _restore(current: dict[str, Any], before: Mapping[str, Any]) -> None:
    """Put the contents of a dictionary back, in their order, into the same dictionary."""
    # The order counts, too: parameters() and state_dict() follow it.
    if list(current) == list(before) and all(current[key] is before[key] for key in before):
        return
    # Refilled rather than replaced, since others may hold this very dictionary.
    current.clear()
    current.update(before)

"""What a scheme is, how it is written out, and how a function that makes one is registered."""

import functools
import re
from collections.abc import Callable, Mapping, Sequence
from contextvars import ContextVar
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Any, ParamSpec

import torch
from torch import nn
from torch.nn.modules.conv import _ConvNd
from torch.nn.parameter import is_lazy

from initguide.initializers.fans import matrix_order
from initguide.initializers.matrices import as_linear, packed_matrices

P = ParamSpec("P")


_registered: dict[str, Callable[..., "Scheme"]] = {}
INITIALIZERS: Mapping[str, Callable[..., "Scheme"]] = MappingProxyType(_registered)
"""The schemes by name: each value is the function that makes the scheme."""

LAYERS = (nn.Linear, _ConvNd, nn.Embedding)  # _ConvNd is the base of the transposed ones too


PACKED = (nn.MultiheadAttention, nn.RNNBase)  # several matrices in one parameter


SKIPPING: ContextVar[bool] = ContextVar("SKIPPING", default=False)
"""Whether a scheme leaves a parametrized layer alone, where it is refused otherwise."""


def is_known(module: nn.Module) -> bool:
    """Whether a module is a layer that schemes fill."""
    return isinstance(module, LAYERS + PACKED) or matrix_order(module) is not None


def is_computed(module: nn.Module) -> bool:
    """Whether the weight of a layer is computed from other parameters, as by weight_norm."""
    return isinstance(module, LAYERS) and "weight" not in module._parameters  # noqa: SLF001


def names_filled(module: nn.Module) -> list[str]:
    """Names of those of a module's own parameters that a scheme fills."""
    names = [name for name, _ in module.named_parameters(recurse=False)]
    if isinstance(module, PACKED):
        packed = ("weight", "bias_ih", "bias_hh", "in_proj", "q_proj", "k_proj", "v_proj")
        return [name for name in names if name.startswith(packed)]
    return [name for name in names if name in {"weight", "bias"}] if is_known(module) else []


@dataclass(frozen=True, repr=False, eq=False)
class Scheme:
    """What the functions in `INITIALIZERS` return: call it on a module, or give it to ``apply``.

    Attributes
    ----------
    description
        The call that makes this scheme, such as ``"uniform(low=-0.5, high=0.5)"``.
    fill
        Fills one layer that the scheme knows, in place.
    accepts
        Whether the scheme knows a module.
    require
        ``None`` for most schemes. A scheme that needs the architecture has a function here, and its
        ``fill`` takes a model with all that is in it. The function looks for what the scheme needs
        in a model, and raises ValueError where that is missing.
    recipe
        The name of the function that made the scheme, and its arguments, by which it is sent to
        other processes. ``None`` if there is none, or if it draws from a generator of its own,
        whose state no other process shares, or is made of a scheme without a recipe.
    fills
        Names of those of a module's own parameters that ``fill`` changes.
    """

    description: str
    fill: Callable[[Any], object]
    accepts: Callable[[nn.Module], bool] = is_known
    require: Callable[[nn.Module], object] | None = None
    recipe: tuple[str, tuple[Any, ...], dict[str, Any]] | None = None
    fills: Callable[[nn.Module], Sequence[str]] = names_filled

    def __call__(self, module: nn.Module) -> None:
        """Fill the module's own weights, if the scheme knows it; leave it alone otherwise.

        A scheme that needs the architecture fills what is inside the module, too. ``model.apply``
        then fills everything again with each larger part, and the model last, which is right but
        slow; `initialize` does it once.

        Parameters
        ----------
        module
            One module; those inside it are not touched (``model.apply`` visits them all).

        Raises
        ------
        ValueError
            If the module has no weights of its own to fill (a lazy layer before its first batch,
            a parametrized one), or its data type cannot hold them.
        """
        if not self.accepts(module) or (SKIPPING.get() and is_computed(module)):
            return
        self.check(module)
        try:
            with torch.no_grad():
                self.fill(module)
        except RuntimeError as error:  # torch's word for a number that does not fit
            dtypes = {str(p.dtype).removeprefix("torch.") for p in module.parameters()}
            raise ValueError(
                f"{self} cannot fill {type(module).__name__} of {', '.join(dtypes)}: {error}"
            ) from error

    def check(self, module: nn.Module) -> None:
        """Refuse a module that the scheme knows but cannot fill, saying what to do."""
        if any(is_lazy(parameter) for parameter in module.parameters(recurse=False)):
            raise ValueError(
                f"{type(module).__name__} has no weights yet, because its input size is unknown; "
                "run the model once on a batch before initializing it"
            )
        if is_computed(module):
            raise ValueError(
                f"the weight of {type(module).__name__} is computed from other parameters (a "
                "parametrization such as weight_norm); initialize the layer before that is added"
            )

    def fill_model(self, model: nn.Module) -> None:
        """Fill a model with all that is in it, or refuse it before any of it is changed."""
        if self.require is not None:
            self.require(model)
        for module in filter(self.accepts, model.modules()):
            self.check(module)
        if self.require is not None:
            self(model)
        else:
            model.apply(self)

    def __repr__(self) -> str:
        return self.description

    def __reduce__(self) -> str | tuple[Any, ...]:
        return super().__reduce__() if self.recipe is None else (_remade, self.recipe)


def written(thing: Any) -> str:
    """Name a function or class, with its arguments where they can be seen; write out a value.

    The text is the same in every process: it says nothing of where in memory something is.

    Parameters
    ----------
    thing
        A function, a class, a scheme, what `functools.partial` makes of one, or a value.
    """
    if isinstance(thing, functools.partial):
        arguments = [_written(a) for a in thing.args]
        arguments += [f"{key}={_written(value)}" for key, value in thing.keywords.items()]
        return f"{written(thing.func)}({', '.join(arguments)})"
    return thing if isinstance(thing, str) else _written(thing)


def _written(value: Any) -> str:
    if isinstance(value, functools.partial):
        return written(value)
    if isinstance(name := getattr(value, "__name__", None), str):
        return name
    if type(value) is dict:
        return f"{{{', '.join(f'{_written(k)}: {_written(v)}' for k, v in value.items())}}}"
    if type(value) is list:
        return f"[{', '.join(map(_written, value))}]"
    if type(value) is tuple:
        return f"({', '.join(map(_written, value))}{',' * (len(value) == 1)})"
    return re.sub(r" at 0x[0-9A-Fa-f]+", "", repr(value))


def _remade(name: str, arguments: tuple[Any, ...], keywords: dict[str, Any]) -> Scheme:
    return INITIALIZERS[name](*arguments, **keywords)


def initializer(factory: Callable[P, Scheme]) -> Callable[P, Scheme]:
    """Register a function that makes a scheme, and let what it makes know how it was made.

    The function's name is the scheme's: `INITIALIZERS`, `from_name`, the command line and the
    messages about unknown names have it at once.

    Raises
    ------
    ValueError
        If there is a scheme of this name already.
    """
    if factory.__name__ in _registered:
        raise ValueError(f"there is a scheme {factory.__name__} already; choose another name")

    @functools.wraps(factory)
    def make(*args: P.args, **kwargs: P.kwargs) -> Scheme:
        scheme = factory(*args, **kwargs)
        if kwargs.get("generator") is not None:
            return scheme
        if any(isinstance(a, Scheme) and a.recipe is None for a in (*args, *kwargs.values())):
            return scheme
        return replace(scheme, recipe=(factory.__name__, args, kwargs))

    _registered[factory.__name__] = make
    return make


def filling(
    name: str,
    fill_weight: Callable[[Any], object],
    fill_recurrent: Callable[[Any], object] | None = None,
    **settings: object,
) -> Scheme:
    """Make a scheme that fills the weight by ``fill_weight(layer)``, and the bias with zeros.

    ``fill_recurrent`` fills the matrices between the states of recurrent layers, if they differ.
    """

    def fill(layer: Any) -> None:
        if isinstance(layer, PACKED):
            for matrix, recurrent in packed_matrices(layer):
                (fill_recurrent if recurrent and fill_recurrent else fill_weight)(matrix)
            for key, parameter in layer.named_parameters(recurse=False):
                if key.startswith(("bias_ih", "bias_hh", "in_proj_bias")):
                    nn.init.zeros_(parameter)
            return
        if layer.weight.numel():  # nothing to draw for a layer without units
            inputs_first = matrix_order(layer)
            if inputs_first is None:
                fill_weight(layer)
            else:  # of another library: as the linear layer that it is
                fill_weight(as_linear(layer.weight.T if inputs_first else layer.weight))
        if getattr(layer, "bias", None) is not None:
            nn.init.zeros_(layer.bias)
        if getattr(layer, "padding_idx", None) is not None:
            layer.weight[layer.padding_idx] = 0  # an embedding's padding row means "nothing"

    arguments = ", ".join(f"{key}={value!r}" for key, value in settings.items())
    return Scheme(f"{name}({arguments})", fill)

"""Schemes by name, and filling a model with one."""

import ast
import contextlib
import difflib
import warnings
from collections.abc import Callable
from typing import TypeVar, cast

from torch import nn

from initguide.arguments import check_whole
from initguide.initializers.scheme import INITIALIZERS, Scheme
from initguide.randomness import seeded

ModelT = TypeVar("ModelT", bound=nn.Module)


# The names that torch and Keras use for the same schemes.
_ALIASES = {
    "kaiming_uniform": "he_uniform",
    "kaiming_normal": "he_normal",
    "glorot_uniform": "xavier_uniform",
    "glorot_normal": "xavier_normal",
}


def from_name(text: str) -> Scheme:
    """Make the scheme that a text names, with arguments if it gives any.

    Parameters
    ----------
    text
        A name from `INITIALIZERS` (or ``kaiming_…`` for ``he_…``, ``glorot_…`` for ``xavier_…``),
        such as ``"he_normal"``, or a call with plain numbers and strings, such as
        ``"uniform(-0.5, 0.5)"`` or ``"he_normal(mode='fan_out')"``.

    Raises
    ------
    ValueError
        If the name is unknown (the message lists the known ones and the nearest), if the text is
        not a name or a call, or if the scheme refuses the arguments.

    Examples
    --------
    >>> from_name("uniform(-0.5, 0.5)")
    uniform(low=-0.5, high=0.5)
    """
    try:
        expression = ast.parse(text.strip(), mode="eval").body
        call = expression if isinstance(expression, ast.Call) else None
        name = ast.unparse(call.func if call else expression)
        arguments = [ast.literal_eval(value) for value in call.args] if call else []
        pairs = [(str(k.arg), ast.literal_eval(k.value)) for k in call.keywords] if call else []
        keywords = dict(pairs)
        if len(keywords) < len(pairs) or "generator" in keywords:
            raise ValueError  # noqa: TRY301  told below
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        raise ValueError(
            f"cannot read the scheme {text!r}; write a name such as 'he_normal', "
            "or a call with numbers such as 'uniform(-0.5, 0.5)'"
        ) from None
    known = [*INITIALIZERS, *_ALIASES]
    if name not in known:
        # "xaiver" is nearest to "xavier", which stands for the first scheme of that family.
        names = {scheme.split("_")[0]: scheme for scheme in reversed(known)} | {n: n for n in known}
        nearest = difflib.get_close_matches(name.lower(), names, n=1, cutoff=0.5)
        hint = f", did you mean {names[nearest[0]]!r}?" if nearest else "."
        raise ValueError(f"unknown scheme {name!r}{hint} The schemes are: {', '.join(known)}")
    try:
        return INITIALIZERS[_ALIASES.get(name, name)](*arguments, **keywords)
    except TypeError as error:
        raise ValueError(
            f"cannot make the scheme {text!r}: {error}; give its arguments, "
            f"as in {'constant(0.5)' if name == 'constant' else 'uniform(-0.5, 0.5)'!r}"
        ) from error


def initialize(
    model: ModelT, scheme: str | Callable[[nn.Module], object], *, seed: int | None = None
) -> ModelT:
    """Initialize a model in place.

    Parameters
    ----------
    model
        Any module.
    scheme
        A name (see `from_name`), or any function of a module, applied to every module of the model.
    seed
        At least 0: draws the weights from it, and leaves torch's global generators as they were.
        ``None`` draws from wherever the scheme draws by itself.

    Returns
    -------
    torch.nn.Module
        The same model.

    Raises
    ------
    ValueError
        If the name is unknown, a layer cannot be filled (see `Scheme`), or the scheme needs the
        architecture and does not recognise it (see `residual_scaled`).
    TypeError
        If ``model`` is not a module, or ``scheme`` neither a name nor a function.

    Warns
    -----
    UserWarning
        If the model has no layer that the scheme knows, so that nothing was changed.

    Examples
    --------
    >>> net = initialize(nn.Linear(2, 3), "ones")
    >>> net.weight.sum().item()
    6.0
    """
    if not isinstance(model, nn.Module):
        raise TypeError(f"model is of type {type(model).__name__}; it must be a torch.nn.Module")
    if isinstance(scheme, str):
        scheme = from_name(scheme)
    if not callable(scheme):
        raise TypeError(
            f"scheme is {scheme!r}; it must be a name such as 'he_normal', "
            "or a function of a module"
        )
    if seed is not None:
        check_whole("seed", seed, 0)
    if scheme in INITIALIZERS.values():
        name = next(name for name, factory in INITIALIZERS.items() if factory is scheme)
        raise TypeError(
            f"scheme is the function {name}, which makes a scheme: call it, as {name}()"
        )
    if isinstance(scheme, Scheme) and not any(map(scheme.accepts, model.modules())):
        warnings.warn(
            f"{type(model).__name__} has no layer that {scheme} knows; nothing was changed",
            stacklevel=2,
        )
    with contextlib.nullcontext() if seed is None else seeded(seed):
        if isinstance(scheme, Scheme):
            scheme.fill_model(model)
        else:
            model.apply(cast(Callable[[nn.Module], None], scheme))
    return model

"""Schemes by name, and filling a model with one."""

import ast
import contextlib
import difflib
import warnings
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

from torch import nn

from initguide.arguments import check_whole
from initguide.initializers.carrying import carry_out
from initguide.initializers.planning import Bias, InitializeWarning, Plan, make_plan
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
    model: ModelT,
    scheme: str | Callable[[nn.Module], object],
    *,
    seed: int | None = None,
    bias: Bias = "auto",
    fans: Mapping[str, tuple[float, float]] | None = None,
    only: str | Sequence[str] | None = None,
    inputs: Any = None,
) -> ModelT:
    """Initialize a model in place; what was set on purpose is kept.

    Kept are frozen parameters (``requires_grad`` is False), as those of a pretrained part; weights
    that are all 0 while others are not, as the last layer of a branch or half of an adapter (to
    fill such a layer, pass it alone); and biases that no start draws, as a prior or the 1 of a
    forget gate. Everything else that the scheme knows is filled. `plan_of` says it beforehand, for
    each parameter. A function of your own says itself what is on purpose: only what is frozen is
    kept from it.

    Parameters
    ----------
    model
        Any module.
    scheme
        A name (see `from_name`), or any function of a module, applied to every module of the model.
    seed
        At least 0: draws the weights from it, and leaves torch's global generators as they were.
        ``None`` draws from wherever the scheme draws by itself.
    bias
        ``"auto"`` lets the scheme fill biases (all but `default` with 0) that were not set on
        purpose, ``"fill"`` all of them, and ``"keep"`` none.
    fans
        Name of a parameter (or a pattern of names, as ``"experts.*.up"``) -> its fan-in and
        fan-out, for weights that are no layer's: a parameter that the model multiplies by itself,
        or many matrices in one tensor. Which axes hold these numbers is found from the shape; each
        matrix along the other axes is filled for itself.
    only
        A pattern of names of parameters or modules, as ``"blocks.*.mlp"``, or several: nothing else
        is filled.
    inputs
        A batch (a tensor, a tuple of positional or a dictionary of keyword arguments), which is run
        once to find the fans of such parameters from how they are used, in place of ``fans``. One
        that is only added, or multiplied by number by number, has none, and is left alone.

    Returns
    -------
    torch.nn.Module
        The same model.

    Raises
    ------
    ValueError
        If the name is unknown, no layer can be filled (see `Scheme`), the scheme needs the
        architecture and does not recognise it (see `residual_scaled`), or ``fans`` or ``only``
        fit no parameter, or not its shape.
    TypeError
        If ``model`` is not a module, ``scheme`` neither a name nor a function, ``fans`` no such
        dictionary, or ``only`` no pattern.

    Warns
    -----
    InitializeWarning
        If nothing was changed; and if weights were left alone, or biases kept, that one would
        expect to be filled. It names them, and says why.

    Examples
    --------
    >>> net = initialize(nn.Linear(2, 3), "ones")
    >>> net.weight.sum().item()
    6.0
    >>> net = nn.Sequential(nn.Linear(2, 3), nn.ReLU(), nn.Linear(3, 1))
    >>> net = initialize(net, "ones", only="2")
    >>> net[2].weight.sum().item(), net[0].weight.sum().item() == 6
    (3.0, False)
    """
    scheme = _checked(model, scheme)
    if seed is not None:
        check_whole("seed", seed, 0)
    work = make_plan(model, scheme, bias=bias, fans=fans, only=only, inputs=inputs)
    with contextlib.nullcontext() if seed is None else seeded(seed):
        carry_out(model, scheme, work)
    words = work.plan.words()
    known = not isinstance(scheme, Scheme) or any(map(scheme.accepts, model.modules()))
    if not known and not work.extra:
        said = f"{type(model).__name__} has no layer that {scheme} knows; nothing was changed"
        warnings.warn(f"{said}: left alone {words}" if words else said, InitializeWarning, 2)
    elif words:
        said = "some of it" if work.plan.filled else "all of it, so nothing was changed"
        warnings.warn(
            f"{type(model).__name__}: initialize left alone {said}: {words}. "
            "initguide.initializers.plan_of says what becomes of each parameter",
            InitializeWarning,
            stacklevel=2,
        )
    return model


def plan_of(
    model: nn.Module,
    scheme: str | Callable[[nn.Module], object],
    *,
    bias: Bias = "auto",
    fans: Mapping[str, tuple[float, float]] | None = None,
    only: str | Sequence[str] | None = None,
    inputs: Any = None,
) -> Plan:
    """Say what `initialize` would fill in a model, what it would leave alone, and why.

    Parameters
    ----------
    model, scheme, bias, fans, only, inputs
        As for `initialize`. What a function of your own fills is taken to be what schemes fill.

    Returns
    -------
    Plan
        One `Fate` a parameter. ``.filled`` has the names of those that are filled, ``.left`` of the
        others, with the reason; print it for a table.

    Raises
    ------
    TypeError, ValueError
        As `initialize`.

    Examples
    --------
    >>> net = nn.Sequential(nn.Linear(2, 3), nn.Linear(3, 1))
    >>> net[0] = net[0].requires_grad_(False)
    >>> print(plan_of(net, "he_normal"))
    What he_normal(mode='fan_in', nonlinearity='relu') fills in Sequential
    ────────────────────────────────
    parameter  shape  filled  why
    ────────────────────────────────
    0.weight   3 × 2  no      frozen
    0.bias     3      no      frozen
    1.weight   1 × 3  yes
    1.bias     1      yes
    ────────────────────────────────
    """
    scheme = _checked(model, scheme)
    return make_plan(model, scheme, bias=bias, fans=fans, only=only, inputs=inputs).plan


def _checked(
    model: object, scheme: str | Callable[[nn.Module], object]
) -> Scheme | Callable[[nn.Module], object]:
    """Refuse what is no model or no scheme; make the scheme that a text names."""
    if not isinstance(model, nn.Module):
        raise TypeError(f"model is of type {type(model).__name__}; it must be a torch.nn.Module")
    if isinstance(scheme, str):
        scheme = from_name(scheme)
    if not callable(scheme):
        raise TypeError(
            f"scheme is {scheme!r}; it must be a name such as 'he_normal', "
            "or a function of a module"
        )
    if scheme in INITIALIZERS.values():
        name = next(name for name, factory in INITIALIZERS.items() if factory is scheme)
        raise TypeError(
            f"scheme is the function {name}, which makes a scheme: call it, as {name}()"
        )
    return scheme

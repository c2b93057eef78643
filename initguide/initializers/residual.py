"""Schemes for a whole residual network, by the ends of its branches."""

import difflib
import fnmatch
from collections.abc import Callable, Iterator, Sequence
from typing import Any, cast

from torch import Tensor, nn

from initguide.arguments import check_number
from initguide.initializers.registry import from_name
from initguide.initializers.scheme import Scheme, initializer, written

# What tells a residual block: an attribute, and its branches, each the names of parts in the order
# in which they run. The branch ends with the last layer in them that has weights.
_BLOCKS = (
    ("linear1", ("self_attn", "multihead_attn", "linear2")),  # nn.TransformerDecoderLayer
    ("linear1", ("self_attn", "linear2")),  # nn.TransformerEncoderLayer
    ("ln_2", ("self_attention", "mlp")),  # torchvision's VisionTransformer
    ("downsample", ("conv3 bn3",)),  # its ResNet, with three convolutions a branch or with two
    ("downsample", ("conv2 bn2",)),
    ("layer_scale", ("block",)),  # ConvNeXt
    ("use_res_connect", ("block",)),  # MobileNetV3, EfficientNet
    ("use_res_connect", ("conv",)),  # MobileNetV2
)


def _has_weight(module: nn.Module) -> bool:
    return isinstance(getattr(module, "weight", None), Tensor)


def _known_ends(model: nn.Module) -> Iterator[nn.Module]:
    """Yield the last layer of each branch of the blocks whose structure is known."""
    for block in model.modules():
        parts = dict(block.named_children())
        for mark, branches in _BLOCKS:
            # `use_res_connect` says whether there is a branch; `downsample` may be None.
            known = getattr(block, mark, False) is not False
            if known and parts.keys() >= set(" ".join(branches).split()):
                for branch in branches:
                    layers = [m for name in branch.split() for m in parts[name].modules()]
                    yield from list(filter(_has_weight, layers))[-1:]
                break


def _ends(model: nn.Module, last: Sequence[str] | None) -> list[Any]:
    """List the last layer of each residual branch: the known ones, or those that are named."""
    if last is None:
        found = list(_known_ends(model))
    else:
        found = [
            module
            for name, module in model.named_modules()
            if _has_weight(module) and any(fnmatch.fnmatchcase(name, p) for p in last)
        ]
    return list({id(module.weight): module for module in found}.values())  # a tied one once


def _require_ends(model: nn.Module, name: str, last: Sequence[str] | None) -> None:
    """Refuse a model without known branches, or a pattern that fits none of its layers."""
    kind = type(model).__name__
    if last is None and not _ends(model, None):
        raise ValueError(
            f"no residual branch was recognised in {kind}; name the last layer of each, "
            f'as in {name}(last="blocks.*.branch.2")'
        )
    names = [key for key, module in model.named_modules() if _has_weight(module)]
    for pattern in last or ():
        if not fnmatch.filter(names, pattern):
            nearest = difflib.get_close_matches(pattern, names, n=3, cutoff=0.0)
            hint = f"; the nearest are {', '.join(map(repr, nearest))}" if nearest else ""
            raise ValueError(f"last={pattern!r} fits no layer with weights of {kind}{hint}")


def _residual(
    name: str,
    base: str | Callable[[nn.Module], object],
    last: str | Sequence[str] | None,
    scale: Callable[[int], float],
    **settings: object,
) -> Scheme:
    """Make a scheme that fills a model by ``base`` and multiplies the ends of n branches."""
    scheme = from_name(base) if isinstance(base, str) else base
    if not callable(scheme):
        raise TypeError(
            f"base is {base!r}; it must be a name such as 'he_normal', or a function of a module"
        )
    if isinstance(scheme, Scheme) and scheme.require:
        raise ValueError(f"base is {scheme}; it must be a scheme that fills layer by layer")
    patterns = [last] if isinstance(last, str) else last
    if patterns is not None and not (
        isinstance(patterns, Sequence) and patterns and all(isinstance(p, str) for p in patterns)
    ):
        raise TypeError(
            f"last is {last!r}; it must be a pattern of module names such as "
            "'blocks.*.branch.2', or a list of them"
        )

    def fill(model: nn.Module) -> None:
        model.apply(cast(Callable[[nn.Module], None], scheme))
        ends = _ends(model, patterns)
        for end in ends:
            if end.weight.ndim < 2:  # a normalization, which the base leaves alone
                nn.init.ones_(end.weight)
            end.weight.mul_(scale(len(ends)))

    def accepts(module: nn.Module) -> bool:
        return not isinstance(scheme, Scheme) or any(map(scheme.accepts, module.modules()))

    settings = {"base": written(base), **settings}
    if patterns is not None:
        settings["last"] = patterns[0] if len(patterns) == 1 else list(patterns)
    arguments = ", ".join(f"{key}={value!r}" for key, value in settings.items())
    return Scheme(
        f"{name}({arguments})", fill, accepts, lambda model: _require_ends(model, name, patterns)
    )


@initializer
def residual_scaled(
    base: str | Callable[[nn.Module], object] = "he_normal",
    *,
    factor: float | None = None,
    last: str | Sequence[str] | None = None,
) -> Scheme:
    """A whole model by another scheme, then the end of each residual branch scaled down.

    Each of L branches adds its output to the trunk. If a branch's output has c times the mean
    square of the trunk, the trunk ends at (1 + c)ᴸ times what it began with; with the branch's last
    weights multiplied by 1/√L, at (1 + c/L)ᴸ, which is below eᶜ at any depth. So GPT-2 was
    initialized (Radford et al. 2019, "Language models are unsupervised multitask learners").

    The ends are taken from the structure of these blocks, with their subclasses and what has the
    same attributes: `torch.nn.TransformerEncoderLayer` and `torch.nn.TransformerDecoderLayer`, and
    torchvision's ResNet, ConvNeXt, VisionTransformer, MobileNet and EfficientNet. For everything
    else name them by ``last``. If a branch ends with a normalization, that has the last word: its
    weight is set to the factor.

    Parameters
    ----------
    base
        What fills the model: a name (see `from_name`), or a function of a module.
    factor
        Multiplies the last weights of each branch, above 0; ``None`` for 1/√(number of branches),
        each layer counted once, however often it is used.
    last
        A pattern of names in ``model.named_modules()``, as ``"blocks.*.branch.2"``, or several: the
        last layer of each branch. ``*`` stands for any characters, dots too (`fnmatch`).
        ``None`` for those of the blocks above.

    Raises
    ------
    TypeError, ValueError
        If an argument is none of these, or ``base`` needs the architecture itself. By `initialize`:
        if no residual branch is recognised, or a pattern fits no layer with weights.

    Examples
    --------
    >>> from initguide.initializers import initialize
    >>> encoder = nn.Sequential(*(nn.TransformerEncoderLayer(64, 4) for _ in range(2)))
    >>> encoder = initialize(encoder, "residual_scaled('lecun_normal')", seed=0)
    >>> weight = encoder[0].self_attn.out_proj.weight  # 64 inputs and 4 branches: 1 / √64 / √4
    >>> round(weight.std().item(), 2)
    0.06
    """
    if factor is None:
        return _residual("residual_scaled", base, last, lambda branches: branches**-0.5)
    number = check_number("factor", factor, above=0)
    return _residual("residual_scaled", base, last, lambda _: number, factor=number)


@initializer
def zero_last(
    base: str | Callable[[nn.Module], object] = "he_normal",
    *,
    last: str | Sequence[str] | None = None,
) -> Scheme:
    """A whole model by another scheme, then the end of each residual branch 0.

    Every branch starts as nothing, so the network starts as its trunk, at any depth, and the
    branches grow from the first step on. Where a branch ends with a normalization, its weight (γ)
    is set to 0 (Goyal et al. 2017, arXiv:1706.02677), where not, the weights of its last layer are
    (Zhang, Dauphin & Ma 2019, "Fixup", arXiv:1901.09321, which also scales the other layers).

    Parameters
    ----------
    base
        What fills the model: a name (see `from_name`), or a function of a module.
    last
        The last layer of each branch, as for `residual_scaled`, which also says which are known.

    Raises
    ------
    TypeError, ValueError
        As for `residual_scaled`.

    Examples
    --------
    >>> from initguide.initializers import initialize
    >>> encoder = initialize(nn.TransformerEncoderLayer(64, 4), "zero_last")
    >>> encoder.linear2.weight.any().item(), encoder.linear1.weight.any().item()
    (False, True)
    """
    return _residual("zero_last", base, last, lambda _: 0.0)

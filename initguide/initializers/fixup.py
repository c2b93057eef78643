"""Fixup: residual networks without normalization."""

import fnmatch

from torch import nn

from initguide.initializers.registry import from_name
from initguide.initializers.scheme import LAYERS, Scheme, initializer


def _blocks(model: nn.Module, pattern: str) -> list[nn.Module]:
    """Modules whose names fit, but not those inside one that does: ``*`` stands for dots, too."""
    found: dict[str, nn.Module] = {}
    for name, module in model.named_modules():
        inside = any(name.startswith(f"{outer}.") for outer in found)
        if fnmatch.fnmatchcase(name, pattern) and not inside:
            found[name] = module
    return list(found.values())


def _layers(module: nn.Module) -> list[nn.Module]:
    return [part for part in module.modules() if isinstance(part, LAYERS)]


@initializer
def fixup(blocks: str = "blocks.*") -> Scheme:
    """A residual network without normalization: Fixup (Zhang, Dauphin & Ma 2019, arXiv:1901.09321).

    He's weights for all layers; then, of each of the L blocks, whose branch has m layers, the last
    layer 0 and the others times L^(−1/(2m−2)); and the model's last layer, the classifier, 0. So a
    step of gradient descent changes what the network gives by an amount that does not grow with
    depth. The single numbers that Fixup adds are parameters of the model, not of its start: see
    `initguide.models.FixupBlock`.

    Parameters
    ----------
    blocks
        A pattern of names in ``model.named_modules()``: the residual blocks. ``*`` stands for any
        characters.

    Raises
    ------
    ValueError
        By `initialize`: if no block fits, or one has no layer with weights.

    Examples
    --------
    >>> from initguide.initializers import initialize
    >>> from initguide.models import FixupBlock, residual_net
    >>> net = initialize(residual_net(FixupBlock, depth=4), "fixup", seed=0)
    >>> block = net.blocks[0]
    >>> round(block.first.weight.std().item() / (2 / 64) ** 0.5, 2)  # He's, times 1/√4
    0.5
    >>> block.last.weight.any().item(), net.head.weight.any().item()
    (False, False)
    """
    base = from_name("he_normal")

    def require(model: nn.Module) -> None:
        found = _blocks(model, blocks)
        if not found:
            raise ValueError(
                f"blocks={blocks!r} fits no module of {type(model).__name__}; name its residual "
                f'blocks, as in fixup("layers.*")'
            )
        if not all(map(_layers, found)):
            raise ValueError(f"blocks={blocks!r} fits a module without layers that have weights")

    def fill(model: nn.Module) -> None:
        model.apply(base)
        found = _blocks(model, blocks)
        for block in found:
            *others, last = _layers(block)
            for layer in others:
                layer.weight.mul_(len(found) ** (-0.5 / len(others)))  # type: ignore[operator]
            nn.init.zeros_(last.weight)  # type: ignore[arg-type]
        nn.init.zeros_(_layers(model)[-1].weight)  # type: ignore[arg-type]

    def accepts(module: nn.Module) -> bool:
        return any(map(base.accepts, module.modules()))

    return Scheme(f"fixup(blocks={blocks!r})", fill, accepts, require)

"""Which networks the compiled steps can train, and their layers as the C file knows them."""

from collections.abc import Iterable
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from initguide.models import Net
from initguide.training.hooks import is_changed, is_hooked

__all__ = ["knows"]


class Layer(NamedTuple):
    """A linear layer's parameters, and what follows it."""

    weight: Tensor
    bias: Tensor | None
    relu: bool = False
    dropout: float = 0.0

    @property
    def ends(self) -> bool:
        """Whether it can be the last one."""
        return not self.relu and not self.dropout

    @property
    def parameters(self) -> list[Tensor]:
        """The weight, and the bias if there is one."""
        return [self.weight] if self.bias is None else [self.weight, self.bias]


def knows(model: nn.Module) -> bool:
    """Whether a network is one whose training step is written down in C.

    That is `initguide.Net`, or an `~torch.nn.Sequential` of linear layers, ReLU and dropout, such
    as `initguide.mlp` makes: as PyTorch made it, in float32 on the CPU, all of it trained, with no
    hook and no weights used twice. It may begin by flattening the images. What its layers' modes
    are does not matter, because training sets them.

    Parameters
    ----------
    model
        The network.
    """
    return layers_of(model) is not None


def layers_of(model: nn.Module) -> list[Layer] | None:
    """Layers of a network, or ``None`` if its training step is not written down in C."""
    parts = _parts(model)
    # No public name: where torch no longer has it, every model counts as hooked.
    hooked = getattr(nn.modules.module, "_has_any_global_hook", lambda: True)
    if parts is None or hooked() or any(is_changed(module) for module in model.modules()):
        return None
    layers = _in_a_row(parts)
    if not layers or not layers[-1].ends:
        return None
    # C steps each layer by itself, so no two of them may share their memory.
    parameters = [p for layer in layers for p in layer.parameters]
    places = {p.untyped_storage().data_ptr() for p in parameters}
    return layers if len(places) == len(parameters) else None


def _in_a_row(parts: Iterable[Any]) -> list[Layer] | None:
    """Layers of modules in a row: each linear, then perhaps ReLU, then perhaps dropout."""
    layers: list[Layer] = []
    for part in parts:
        kind = type(part)
        if kind is nn.Linear:
            layer = Layer(part.weight, part.bias)
            if not _is_trained(layer) or (
                layers and len(layers[-1].weight) != layer.weight.shape[1]
            ):
                return None
            layers.append(layer)
        elif kind is nn.Flatten and (part.start_dim, part.end_dim) == (1, -1):
            if layers:
                return None
        elif kind is nn.ReLU and layers and not layers[-1].dropout:
            layers[-1] = layers[-1]._replace(relu=True)
        elif kind is nn.Dropout and layers and not (part.inplace or layers[-1].dropout):
            layers[-1] = layers[-1]._replace(dropout=part.p)
        elif kind is not nn.Identity:
            return None
    return layers


def _is_trained(layer: Layer) -> bool:
    """Whether a layer's weights and biases are parameters, of the shapes that belong together."""
    weight, bias = layer.weight, layer.bias
    return (
        all(
            type(p) is nn.Parameter
            and is_plain(p, torch.float32)
            and not p.is_inference()
            and not is_hooked(p)
            for p in layer.parameters
        )
        and weight.ndim == 2
        and weight.numel() > 0
        and (bias is None or bias.shape == weight.shape[:1])
    )


def is_plain(data: Tensor, dtype: torch.dtype) -> bool:
    """Whether a tensor is nothing but numbers in memory, one behind the other."""
    return (
        type(data) in (Tensor, nn.Parameter)
        and data.layout == torch.strided
        and data.dtype == dtype
        and data.device.type == "cpu"
        and data.is_contiguous()
        and (type(data) is nn.Parameter) == data.requires_grad
    )


# What the class computed when this was written; somebody may give it another forward later.
_FORWARD = Net.forward


def _parts(model: nn.Module) -> list[Any] | None:
    """Modules in the order in which a network uses them, if that is known."""
    if type(model) is Net and Net.forward is _FORWARD:
        # Its forward calls these in this order, ReLU as a function.
        relu = nn.ReLU()
        dropout = model.dropout
        return [nn.Flatten(), model.fc1, relu, dropout, model.fc2, relu, dropout, model.fc3]
    if type(model) is not nn.Sequential:
        return None
    parts: list[Any] = []
    for child in model:
        parts += (_parts(child) or []) if type(child) is nn.Sequential else [child]
    return parts


def flattens(model: nn.Module) -> bool:
    """Whether a network whose parts are known takes images of any shape."""
    return any(type(part) is nn.Flatten for part in _parts(model) or [])

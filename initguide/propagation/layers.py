"""Which modules of a model are layers, with which weights, and where their units are."""

from torch import Tensor, nn
from torch.nn.modules.batchnorm import _NormBase
from torch.nn.utils import parametrize

__all__ = ["default_axis", "layers_of", "parameters_used_bare", "unit_axis", "weights_of"]


def layers_of(model: nn.Module) -> dict[str, nn.Module]:
    """Modules that get a record, by name.

    Those without modules inside, and those that hold parameters of their own. Containers only call
    others, and their outputs would repeat those of their last module.
    """
    layers = {}
    for name, module in model.named_modules():
        if "parametrizations" in name.split("."):
            continue  # modules that compute a weight are no layers
        inside = [child for child, _ in module.named_children() if child != "parametrizations"]
        own = next(module.parameters(recurse=False), None) is not None
        if not inside or own or parametrize.is_parametrized(module):
            layers[name or type(model).__name__] = module
    return layers


_OF_TORCH = ("weight", "bias", "in_proj_", "q_proj_", "k_proj_", "v_proj_")


def parameters_used_bare(model: nn.Module) -> tuple[dict[int, str], dict[int, nn.Module]]:
    """Parameters that no layer of torch's multiplies by, so that the model must do it by itself.

    Returns
    -------
    dict, dict
        The names of all of them, by id; and the modules that are one layer with one matrix, by the
        id of that: such a layer has the record, where other such parameters have their own.
    """
    names: dict[int, str] = {}
    alone: dict[int, nn.Module] = {}
    for name, module in model.named_modules():
        if "parametrizations" in name.split("."):
            continue
        torchs = any(
            base.__module__.startswith("torch.nn.modules") and base not in _PLAIN
            for base in type(module).__mro__
        )
        own = [
            (key, parameter)
            for key, parameter in module.named_parameters(recurse=False)
            if parameter.is_floating_point()
            and parameter.numel() > 0
            and not (torchs and key.startswith(_OF_TORCH))
        ]
        names |= {id(p): f"{name}.{key}" if name else key for key, p in own}
        matrices = [p for _, p in own if sum(size > 1 for size in p.shape) > 1]
        if not torchs and len(matrices) == 1 and next(module.children(), None) is None:
            alone[id(matrices[0])] = module
    return names, alone


_PLAIN = (nn.Module, nn.Sequential, nn.ModuleList, nn.ModuleDict)


def weights_of(module: nn.Module) -> tuple[Tensor, ...]:
    """Return the weights that a layer computes with, which may be computed themselves."""
    weight = getattr(module, "weight", None)  # computed here, if it is parametrized
    if isinstance(weight, Tensor):
        found = [weight]
    else:
        names = [name for name, _ in module.named_parameters(recurse=False)]
        names += list(getattr(module, "parametrizations", {}))
        tensors = [getattr(module, name) for name in dict.fromkeys(names)]
        # The matrices of an LSTM without its biases; everything, if a module has no matrix.
        found = [tensor for tensor in tensors if tensor.ndim > 1] or tensors
        if isinstance(module, nn.MultiheadAttention):  # which reads it and never calls out_proj
            found.append(module.out_proj.weight)
    return tuple(tensor for tensor in found if tensor.is_floating_point())


def unit_axis(module: nn.Module, output: Tensor) -> int | None:
    """Which axis of the output counts the units, as far as the layer's kind tells."""
    if isinstance(module, nn.Linear | nn.Embedding | nn.MultiheadAttention) or (
        isinstance(module, nn.LayerNorm) and len(module.normalized_shape) == 1
    ):
        return output.ndim - 1
    if isinstance(module, _NormBase | nn.GroupNorm):
        return 1
    for base in type(module).__mro__:  # Conv2d, MaxPool2d, Dropout2d: the channels, then 2 more
        if base.__module__.startswith("torch.nn") and base.__name__[-2:] in ("1d", "2d", "3d"):
            return max(0, output.ndim - 1 - int(base.__name__[-2]))
    return None


def default_axis(output: Tensor) -> int:
    """Guess the axis of the units by the shape alone: images have channels, all others features."""
    return 1 if output.ndim >= 4 else max(0, output.ndim - 1)

"""Trying an answer: networks before and after it was applied to them."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from initguide.initializers import Fans, fans
from initguide.models import Net
from initguide.randomness import seeded

Networks = Callable[[], dict[str, nn.Module]]
Scheme = Callable[[nn.Module], object]


@dataclass(frozen=True)
class Parameter:
    """A parameter before and after.

    Attributes
    ----------
    label
        Such as ``"fc1.weight"``.
    before, after
        Its values.
    """

    label: str
    before: Tensor
    after: Tensor

    @property
    def changed(self) -> bool:
        """Whether any number of it is another."""
        return not torch.equal(self.before, self.after)


@dataclass(frozen=True)
class Layer:
    """A layer that was to be filled.

    Attributes
    ----------
    name
        In its network.
    fans
        Its fan-in and fan-out.
    weight
        One row for each unit, however many axes a unit's weights have.
    bias
        ``None`` where it has none.
    again
        The weight that the same layer of another, equal network got.
    kernel
        Shape of the kernel of a convolution; empty for other layers.
    """

    name: str
    fans: Fans
    weight: Parameter
    bias: Parameter | None
    again: Tensor
    kernel: tuple[int, ...] = ()

    @property
    def values(self) -> Tensor:
        """The weights after, exact sums of which float32 would lose."""
        return self.weight.after.double()

    @property
    def label(self) -> str:
        """Name and fans, for people."""
        return f"{self.name} ({self.fans.fan_in:g} → {self.fans.fan_out:g})"


@dataclass(frozen=True)
class Trial:
    """What a scheme did.

    Attributes
    ----------
    layers
        Those that were to be filled, of all networks.
    others
        Parameters of all other modules.
    failure
        Module and error, if the scheme raised one.
    misshapen
        Label of a parameter that is no longer what its layer made, if there is one.
    """

    layers: tuple[Layer, ...] = ()
    others: tuple[Parameter, ...] = ()
    failure: str = ""
    misshapen: str = ""


def lesson_networks() -> dict[str, nn.Module]:
    """Make the lesson's network, and one that grows wider and has a normalization."""
    wider = nn.Sequential(nn.Linear(64, 320), nn.BatchNorm1d(320), nn.ReLU(), nn.Linear(320, 400))
    return {"": Net(), "wider": wider}


def try_on(
    scheme: Scheme, networks: Networks, fills: tuple[type[nn.Module], ...], seed: int
) -> Trial:
    """Apply a scheme to two sets of networks, each from its own seed.

    Parameters
    ----------
    scheme
        A function of a module.
    networks
        Makes the networks, by name.
    fills
        The kinds of modules that are to be filled.
    seed
        At least 0. Torch's global generators are left as they were.
    """
    with seeded(seed):
        models = networks()
        before = {
            key: {name: value.detach().clone() for name, value in model.named_parameters()}
            for key, model in models.items()
        }
        failure = _apply(scheme, models)
    if not failure:
        with seeded(seed + 1):
            others = networks()
            failure = _apply(scheme, others)
    if failure:
        return Trial(failure=failure)
    for key, model in models.items():
        if misshapen := _misshapen(before[key], dict(model.named_parameters())):
            return Trial(misshapen=_label(key, misshapen))
    return _compared(models, others, before, fills)


def _apply(scheme: Scheme, models: dict[str, nn.Module]) -> str:
    """Apply a scheme as ``Module.apply`` does; return the module and the error if it fails."""
    for model in models.values():
        order: list[nn.Module] = []
        model.apply(order.append)
        for module in order:
            try:
                scheme(module)
            except Exception as error:  # noqa: BLE001  an answer may do anything
                return f"{type(error).__name__} on {type(module).__name__}: {error}"
    return ""


def _misshapen(before: dict[str, Tensor], after: dict[str, nn.Parameter]) -> str:
    """Return the name of a parameter that is not what its layer had made."""
    for name, old in before.items():
        new = after.get(name)
        if new is None or not new.requires_grad:
            return name
        if new.shape != old.shape or new.dtype != old.dtype:
            return name
    return ""


def _label(network: str, name: str) -> str:
    return f"{network}.{name}" if network else name


def _compared(
    models: dict[str, nn.Module],
    others: dict[str, nn.Module],
    before: dict[str, dict[str, Tensor]],
    fills: tuple[type[nn.Module], ...],
) -> Trial:
    layers: list[Layer] = []
    rest: list[Parameter] = []
    for key, model in models.items():
        again = dict(others[key].named_parameters())
        for name, module in model.named_modules():
            found = {
                own: Parameter(
                    _label(key, f"{name}.{own}"), before[key][f"{name}.{own}"], value.detach()
                )
                for own, value in module.named_parameters(recurse=False)
            }
            if not isinstance(module, fills):
                rest += found.values()
                continue
            weight = found["weight"]
            layers.append(
                Layer(
                    _label(key, name),
                    fans(module),
                    weight,
                    found.get("bias"),
                    again[f"{name}.weight"].detach(),
                    tuple(weight.after.shape[2:]),
                )
            )
    return Trial(tuple(layers), tuple(rest))

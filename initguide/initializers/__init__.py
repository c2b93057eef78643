"""Initialization schemes: one function a scheme, each returning what ``model.apply`` accepts.

A scheme is a function of a module. It fills the layers that it knows (linear layers, convolutions,
transposed convolutions, embeddings, attention and recurrent layers) and leaves every other module
alone, so

>>> from torch import nn
>>> net = nn.Sequential(nn.Linear(784, 256), nn.ReLU(), nn.Linear(256, 10))
>>> net = net.apply(he_normal())

initializes the two linear layers. Every scheme sets biases to 0, except `default` and, unit by
unit, `lsuv`. A function of your own, ``def weights_init(module): ...``, is a scheme already.

`residual_scaled`, `zero_last`, `gpt2` and `fixup` need the architecture. They fill a model as a
whole, where the other schemes fill one layer at a time, and take its residual branches from its
structure, or from you. `lsuv` fills a model as a whole, too, by what its layers do with a batch.

Attention and recurrent layers pack several matrices into one parameter. Each of them (the
projections to queries, keys and values; one matrix a gate) is filled as a linear layer with fans of
its own. Between a recurrent layer's states, schemes that follow from the layer's shape use random
orthogonal matrices (Saxe, McClelland & Ganguli 2014), which keep the size of the state.
"""

import pkgutil
from collections.abc import Callable
from importlib import import_module

from initguide.initializers.constants import constant, ones, zeros
from initguide.initializers.distributions import normal, truncated_normal, uniform
from initguide.initializers.fans import Fans, fans
from initguide.initializers.from_data import lsuv
from initguide.initializers.planning import Fate, InitializeWarning, Plan
from initguide.initializers.registry import from_name, initialize, plan_of
from initguide.initializers.residual import residual_scaled, zero_last
from initguide.initializers.scaled import (
    default,
    general_rule,
    he_normal,
    he_uniform,
    lecun_normal,
    lecun_uniform,
    xavier_normal,
    xavier_uniform,
)
from initguide.initializers.scheme import INITIALIZERS, Scheme, initializer, written
from initguide.initializers.structured import delta_orthogonal, identity, orthogonal, sparse

__all__ = [
    "INITIALIZERS",
    "Fans",
    "Fate",
    "InitializeWarning",
    "Plan",
    "Scheme",
    "constant",
    "default",
    "delta_orthogonal",
    "fans",
    "from_name",
    "general_rule",
    "he_normal",
    "he_uniform",
    "identity",
    "initialize",
    "initializer",
    "lecun_normal",
    "lecun_uniform",
    "lsuv",
    "normal",
    "ones",
    "orthogonal",
    "plan_of",
    "residual_scaled",
    "sparse",
    "truncated_normal",
    "uniform",
    "written",
    "xavier_normal",
    "xavier_uniform",
    "zero_last",
    "zeros",
]

# A scheme in a new file registers itself when the file is imported, and needs no line above: these
# are for readers and type checkers. Set last, so that a file may bear the name of its scheme.
for _room in pkgutil.iter_modules(__path__):
    import_module(f"{__name__}.{_room.name}")
globals().update(INITIALIZERS)
__all__ += [name for name in INITIALIZERS if name not in __all__]


def __getattr__(name: str) -> Callable[..., Scheme]:
    if name in INITIALIZERS:
        return INITIALIZERS[name]
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")

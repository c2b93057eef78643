"""What several tests of this folder use."""

import inspect
from functools import partial

from torch import Generator, nn

from initguide import initializers as init
from initguide.initializers import INITIALIZERS

# Schemes of a model as a whole, which need a residual network: they have tests of their own.
ENDS = ("residual_scaled", "zero_last")  # change the ends of branches


WHOLE = ("fixup", "gpt2", *ENDS)


# Every other one by name, ready to make: only `constant` has an argument without default.
MAKERS = {**INITIALIZERS, "constant": partial(init.constant, 0.5)}
MAKERS = {name: maker for name, maker in MAKERS.items() if name not in WHOLE}


NAMES = tuple(MAKERS)


FILLING = tuple(name for name in NAMES if name != "default")


RANDOM = tuple(n for n in NAMES if "generator" in inspect.signature(INITIALIZERS[n]).parameters)


LAYERS = {
    "linear": lambda: nn.Linear(6, 4),
    "conv1d": lambda: nn.Conv1d(4, 8, 3),
    "conv2d": lambda: nn.Conv2d(4, 6, 3),
    "conv3d": lambda: nn.Conv3d(2, 4, 2),
    "grouped": lambda: nn.Conv2d(4, 8, 3, groups=2),
    "depthwise": lambda: nn.Conv2d(4, 4, 3, groups=4),
    "transposed1d": lambda: nn.ConvTranspose1d(4, 6, 4, stride=2),
    "transposed2d": lambda: nn.ConvTranspose2d(4, 6, 3),
    "transposed grouped": lambda: nn.ConvTranspose2d(4, 8, 3, groups=2),
    "embedding": lambda: nn.Embedding(7, 5),
}


def _generator(seed=0):
    return Generator().manual_seed(seed)

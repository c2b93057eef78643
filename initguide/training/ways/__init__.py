"""The ways of training, each in a file of its own, which registers itself when it is imported."""

import pkgutil
from importlib import import_module

from initguide.training.ways.abreast import side_by_side
from initguide.training.ways.alone import Alone
from initguide.training.ways.way import WAYS, Way

__all__ = ["WAYS", "Alone", "Way", "side_by_side"]

for _way in pkgutil.iter_modules(__path__):
    import_module(f"{__name__}.{_way.name}")

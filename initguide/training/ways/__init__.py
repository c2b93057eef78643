"""The ways of training, each in a file of its own, and what they are called."""

from initguide.training.ways.abreast import Abreast, side_by_side
from initguide.training.ways.alone import Alone
from initguide.training.ways.compiled import Compiled
from initguide.training.ways.stacked import Stacked
from initguide.training.ways.way import Way

__all__ = ["WAYS", "Alone", "Way", "side_by_side"]

# A new way goes in here.
WAYS: dict[str, type[Way]] = {way.name: way for way in (Compiled, Abreast, Stacked, Alone)}

"""One network after the other: possible for every model, and the reference for the other ways."""

from collections.abc import Sequence
from contextlib import AbstractContextManager

from torch import nn

from initguide.training.generators import own_global_generator
from initguide.training.settings import Settings
from initguide.training.ways.abreast import Abreast
from initguide.training.ways.way import offered


@offered
class Alone(Abreast):
    """Models that have the processor to themselves: the same steps, for one network."""

    name = "alone"
    together = False

    @classmethod
    def accepts(cls, models: Sequence[nn.Module], settings: Settings) -> bool:  # noqa: ARG003
        """Every model can be trained alone."""
        return True

    def running(self) -> AbstractContextManager[object]:
        """Seed the global generators if the model draws from them; other threads wait meanwhile."""
        [task] = self.tasks
        example = self.settings.data.train.images[:2]
        return own_global_generator(task.model, example, task.seed)

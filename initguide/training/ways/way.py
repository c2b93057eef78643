"""What every way of training is: the small class that `initguide.training.loop` works with."""

import contextlib
from abc import ABC, abstractmethod
from collections.abc import Sequence
from contextlib import AbstractContextManager
from typing import ClassVar, TypeVar

from torch import Tensor, nn

from initguide.training.quick import quick_layers
from initguide.training.run import Evaluation, SplitLike, evaluate
from initguide.training.settings import Settings, Task
from initguide.training.streams import Feed


class Way(ABC):
    """A way to train networks; an object holds those that it is training.

    The loop owns the order of the images, the losses, the end and the time. It makes an object,
    lets it do some mini-batches, tells it which networks are left, and so on; then it asks for
    evaluations.

    A new way is a subclass under ``@offered``, in a file of its own in this folder. The tests in
    ``tests/training/test_ways.py`` then hold it to what is written here.

    Parameters
    ----------
    tasks
        The runs that are wanted, of networks that the way `accepts`.
    settings
        What they have in common.
    feed
        Their mini-batches and their dropout masks.

    Attributes
    ----------
    name
        What users call it: ``train_many(way=name)``.
    trainer
        Whose steps they are, as tables say it. Ways that give a network the same numbers, to the
        last bit, share it.
    is_compiled
        Whether the steps are those of `engine`, which rounds in its own way.
    together
        Whether all networks are trained at once, rather than one after the other.
    on_copies
        Whether the networks stay as they are until `write_back`. If they did not fit into memory,
        the loop trains them again in smaller parts.
    batches
        How many mini-batches to do between two looks at the losses and at ``stop``, at most.
    """

    name: ClassVar[str]
    trainer: ClassVar[str] = "PyTorch's steps"
    is_compiled: ClassVar[bool] = False
    together: ClassVar[bool]
    on_copies: ClassVar[bool]
    batches: int = 16

    def __init__(self, tasks: Sequence[Task], settings: Settings, feed: Feed) -> None:
        self.tasks = tasks
        self.settings = settings
        self.feed = feed

    @classmethod
    @abstractmethod
    def accepts(cls, models: Sequence[nn.Module], settings: Settings) -> bool:
        """Whether it can train these models, so that each gets the numbers that it gets alone.

        To the last bit or to rounding, as the way promises.
        """

    @classmethod
    def prefers(cls, models: Sequence[nn.Module], settings: Settings) -> bool:  # noqa: ARG003
        """Whether it is better than `Alone`, where models that it accepts would be trained so.

        For a way that depends on more than the network, such as the size of the mini-batches.
        """
        return False

    def running(self) -> AbstractContextManager[object]:
        """Context in which the networks are trained and evaluated."""
        return contextlib.nullcontext()

    @abstractmethod
    def steps(self, orders: Sequence[Tensor]) -> Tensor:
        """Do some mini-batches: (batches, networks) their losses, before the steps they cause.

        Parameters
        ----------
        orders
            Mini-batches as in `Feed.chunks`.
        """

    def keep(self, networks: Sequence[int]) -> Sequence[int]:
        """Go on with these networks, whose losses are finite; return those that really go on.

        They are numbers of tasks, in ascending order. A way for which leaving some out is costly
        may go on with more of them.
        """
        return networks

    def write_back(self) -> None:  # noqa: B027  a way that works on the models has nothing to do
        """Give the models of the tasks the parameters that were trained so far."""

    def evaluate(self, networks: Sequence[int], split: SplitLike) -> list[Evaluation]:
        """Evaluate some of the networks, as `initguide.training.evaluate`.

        This evaluates the models. A way that trains copies evaluates these, or writes back first.
        """
        found = []
        for i in networks:
            # A model that drops units in evaluation too draws from the run's own masks.
            with quick_layers([self.tasks[i].model], [self.feed.masks[i]]):
                found.append(evaluate(self.tasks[i].model, split))
        return found


WAYS: dict[str, type[Way]] = {}
"""Name -> way; see `offered`."""

AWay = TypeVar("AWay", bound=type[Way])


def offered(way: AWay) -> AWay:
    """Register a way of training under its name."""
    WAYS[way.name] = way
    return way

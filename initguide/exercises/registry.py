"""What an exercise is, and how the function that grades one is registered."""

import difflib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType

from torch import nn

from initguide.exercises.trial import Trial, lesson_networks

_registered: dict[str, "Exercise"] = {}
EXERCISES: Mapping[str, "Exercise"] = MappingProxyType(_registered)
"""The exercises by name, from the easy ones on."""

COMMON: Mapping[str, str] = MappingProxyType(
    {
        "it fails": "your function raises an error. It is called for every module of a network, "
        "so ask first whether this is one to fill, and whether it has a bias at all; and fill "
        "m.weight.data, or use torch.nn.init",
        "nothing changed": "nothing changed: this is PyTorch's default. Fill the weights in place, "
        "as m.weight.data.normal_(0, y) and nn.init.normal_(m.weight, 0, y) do; numbers in a new "
        "tensor, or returned, are lost",
        "a layer was left out": "a layer still has what PyTorch drew. Ask for the kind of a "
        "module, as isinstance(m, nn.Linear) does, and for nothing else",
        "another shape": "a weight is no longer what the layer made: its shape, its type or "
        "requires_grad is another. Fill what is there",
        "not finite": "there are numbers that are infinite or NaN. Look for a division by 0",
        "default biases": "the biases are still those that PyTorch drew. Set them to 0",
        "biases filled, too": "the biases are not 0. A scheme is for weights: they break the "
        "symmetry, and biases start at 0",
        "other modules": "a module was changed that is no layer to fill. The weight of a "
        "normalization is its scale, which starts at 1",
        "one number for a layer": "all weights of a layer are equal, and with them its units, "
        "which stay equal in training",
        "equal units": "units of a layer start equal: the same row was used for each of them, and "
        "they stay equal in training. Draw as many numbers as the weight has",
        "one number for a unit": "each unit has one weight for all its inputs, so all units of a "
        "layer see the same sum. Draw as many numbers as the weight has",
        "the same every time": "two networks get the same numbers: the function sets a seed "
        "itself, or gives every layer numbers that were drawn before",
        "off centre": "the mean is not 0",
        "another spread": "the standard deviation is another one",
        "another distribution": "the standard deviation is right, and the distribution is another "
        "one",
    }
)
"""What any exercise may name: misconception -> what is said about it."""


@dataclass(frozen=True)
class Complaint:
    """What is wrong with an answer.

    Attributes
    ----------
    misconception
        Its name: one of the exercise's, or of `COMMON`.
    evidence
        What was measured.
    """

    misconception: str
    evidence: str


Grader = Callable[[Trial], Iterator[Complaint]]


@dataclass(frozen=True)
class Exercise:
    """An exercise that `check` grades.

    Attributes
    ----------
    name
        What `check` calls it.
    task
        What is to be written.
    page
        The page whose exercise it is, as ``"lesson/plot_5_normal"``.
    misconceptions
        Name of each misconception that is known here, beside those of `COMMON` -> what is said.
    fills
        The kinds of modules that are to be filled; all others must stay as they are.
    networks
        Makes the networks that an answer is tried on, by name.
    grade
        Yields what is wrong with an answer, the most telling first.
    """

    name: str
    task: str
    page: str
    misconceptions: Mapping[str, str]
    fills: tuple[type[nn.Module], ...]
    networks: Callable[[], dict[str, nn.Module]]
    grade: Grader

    def says_of(self, misconception: str) -> str:
        """Return what is said about a misconception here."""
        return {**COMMON, **self.misconceptions}[misconception]

    def __str__(self) -> str:
        return f"{self.name}: {self.task}"


def exercise(
    task: str,
    *,
    page: str,
    misconceptions: Mapping[str, str] | None = None,
    fills: tuple[type[nn.Module], ...] = (nn.Linear,),
    networks: Callable[[], dict[str, nn.Module]] = lesson_networks,
) -> Callable[[Grader], Grader]:
    """Register a function as the grader of the exercise of its name.

    Parameters
    ----------
    task, page, misconceptions, fills, networks
        As in `Exercise`.
    """

    def register(grade: Grader) -> Grader:
        name = grade.__name__
        known = MappingProxyType(dict(misconceptions or {}))
        _registered[name] = Exercise(name, task, page, known, fills, networks, grade)
        return grade

    return register


def exercise_named(name: str) -> Exercise:
    """Return the exercise of that name; an unknown one is a ValueError with the known ones."""
    if name not in EXERCISES:
        near = difflib.get_close_matches(str(name), EXERCISES, n=1)
        hint = f' Did you mean "{near[0]}"?' if near else ""
        known = ", ".join(f'"{known}"' for known in EXERCISES)
        raise ValueError(f"there is no exercise {name!r}; the exercises are {known}.{hint}")
    return EXERCISES[name]

"""`check`: try an answer, and say what it shows to be misunderstood."""

from collections.abc import Callable
from typing import Any

from torch import nn

from initguide.arguments import check_whole
from initguide.exercises.registry import EXERCISES, Complaint, Exercise, exercise_named
from initguide.exercises.trial import Trial, try_on
from initguide.tables import Table


class WrongAnswerError(ValueError):
    """An answer that `check` does not accept; the message names what it shows.

    Attributes
    ----------
    exercise
        Its name.
    misconception
        The name of what was misunderstood, such as ``"variance"``.
    evidence
        What was measured.
    """

    def __init__(self, exercise: Exercise, complaint: Complaint) -> None:
        self.exercise = exercise.name
        self.misconception = complaint.misconception
        self.evidence = complaint.evidence
        said = exercise.says_of(complaint.misconception)
        super().__init__(
            f"{exercise.name}, not yet. {complaint.misconception.capitalize()}: {said}. "
            f"[{complaint.evidence}]"
        )

    def __reduce__(self) -> tuple[Any, ...]:
        return _again, (self.exercise, self.misconception, self.evidence)


def _again(exercise: str, misconception: str, evidence: str) -> WrongAnswerError:
    return WrongAnswerError(EXERCISES[exercise], Complaint(misconception, evidence))


def check(name: str, scheme: Callable[[nn.Module], object], *, seed: int = 0) -> Table:
    """Grade an answer to one of the `EXERCISES`.

    It is applied to new networks, as ``net.apply(scheme)`` does, and what they then hold is
    measured: means, standard deviations, distributions, biases, and what was to be left alone.

    Parameters
    ----------
    name
        Of the exercise, such as ``"normal"``.
    scheme
        The answer: a function that is called for each module, and fills those that it is for.
    seed
        At least 0. Torch's global generators are drawn from it, and left as they were. Which seed
        it is does not matter: fewer than one right answer in a million is refused by chance.

    Returns
    -------
    Table
        What a right answer did to each layer.

    Raises
    ------
    WrongAnswerError
        If the answer is not right. Its message names the misconception, and says what was measured.
    ValueError
        If there is no exercise of that name; the message lists those that there are.
    TypeError
        If the answer is no function.

    Examples
    --------
    >>> def my_scheme(m):
    ...     if isinstance(m, nn.Linear):
    ...         m.weight.data.normal_(0, 1 / m.in_features)
    ...         m.bias.data.fill_(0)
    >>> check("normal", my_scheme)
    Traceback (most recent call last):
    initguide.exercises.grading.WrongAnswerError: normal, not yet. Variance: this is the variance...
    """
    asked = exercise_named(name)
    check_whole("seed", seed, 0)
    if not callable(scheme) or isinstance(scheme, nn.Module):
        called = "; hand over the function itself, without calling it" if scheme is None else ""
        raise TypeError(
            f"scheme is {scheme!r}; it must be a function of a module, such as "
            f"def my_scheme(m): ...{called}"
        )
    trial = try_on(scheme, asked.networks, asked.fills, seed)
    for complaint in asked.grade(trial):
        raise WrongAnswerError(asked, complaint)
    return _report(asked, trial)


def _report(asked: Exercise, trial: Trial) -> Table:
    layers = trial.layers
    return Table(
        {
            "layer": [layer.label for layer in layers],
            "mean": [layer.values.mean() for layer in layers],
            "std": [layer.values.std() for layer in layers],
            "std × √n": [layer.values.std() * layer.fans.fan_in**0.5 for layer in layers],
        },
        caption=f"{asked.name}: right",
        note="n is the fan-in, the first number of a layer.",
        formats={"mean": ".4f", "std": ".4f", "std × √n": ".3f"},
    )


def list_exercises() -> Table:
    """Return a table of all exercises: what is to be written, and which page it belongs to.

    Examples
    --------
    >>> list_exercises().columns["exercise"][0]
    'ones'
    """
    return Table(
        {
            "exercise": list(EXERCISES),
            "task": [exercise.task for exercise in EXERCISES.values()],
            "page": [exercise.page for exercise in EXERCISES.values()],
        },
        caption="Exercises",
        width=None,
    )

"""Exercises that say what an answer shows to be misunderstood.

`list_exercises` lists them. Write a scheme, a function of a module, and hand it to `check`:

>>> from torch import nn
>>> def my_scheme(m):
...     if isinstance(m, nn.Linear):
...         nn.init.normal_(m.weight, 0, m.in_features**-0.5)
...         nn.init.zeros_(m.bias)
>>> print(check("normal", my_scheme).caption)
normal: right

A wrong answer is an error that names the misconception: a variance that was given for a standard
deviation, the outputs that were counted for the inputs, units that start equal, or a function that
changed nothing at all. What is measured is random, and a right answer is refused by chance fewer
than once in a million times.
"""

import pkgutil
from importlib import import_module

from initguide.exercises import families
from initguide.exercises.grading import WrongAnswerError, check, list_exercises
from initguide.exercises.registry import COMMON, EXERCISES, Exercise

# Every file of the folder registers its exercises, so that a new one is named nowhere else.
for _file in pkgutil.iter_modules(families.__path__):
    import_module(f"{families.__name__}.{_file.name}")

__all__ = [
    "COMMON",
    "EXERCISES",
    "Exercise",
    "WrongAnswerError",
    "check",
    "list_exercises",
]

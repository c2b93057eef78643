"""Fully connected ReLU networks, trained by compiled steps where there is a C compiler.

A training step of PyTorch goes over the same memory once for each small operation. For the lesson's
network, that takes more time than the products of its matrices. ``connected.c``, beside this file,
does the same step with few passes over the memory and without Python: the images, labels, order of
the data and dropout masks are the same, and each step gives the same numbers up to rounding. (What
hundreds of steps make of the last digit is another matter: runs end as far apart as with another
seed.) What a network gets does not depend on which others there are.

Who may use it, what is kept where, and how to do without are said in `initguide.training`. A change
here goes through `layers` (which networks), `connected` (their memory, as the C file has it),
`agreement` (the trial beside PyTorch), `building` (the compiler), `keeping` (what is kept for the
next process, and whether to trust it) and `library` (all of it, once in a process).
"""

from initguide.training.engine.connected import Connected
from initguide.training.engine.layers import knows
from initguide.training.engine.library import fits, prepare, takes, works

__all__ = ["Connected", "fits", "knows", "prepare", "takes", "works"]

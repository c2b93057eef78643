"""Is initialization at fault? A check of any network with one batch: what, where, and what to do.

>>> import torch
>>> import initguide
>>> net = initguide.initialize(initguide.Net(), "ones")
>>> images = torch.rand(20, 1, 28, 28, generator=torch.Generator().manual_seed(0))
>>> report = check_init(net, images, torch.arange(20) % 10)
>>> report.ok
False
>>> sorted({finding.code for finding in report.findings if finding.severity == "error"})
['equal-units', 'exploding-signal']

One forward and two backward passes are run (twice that if the network ends with a layer of zeros),
and the model is left as it was. Where something is found, advice is tried on a copy of it.
"""

import pkgutil
from importlib import import_module

from initguide.checkup import findings as _families
from initguide.checkup.batches import split_batch
from initguide.checkup.checking import check_init
from initguide.checkup.findings.data import INPUTS
from initguide.checkup.findings.gradients import FROZEN, SLOW
from initguide.checkup.findings.losses import CONFIDENT, WRONG
from initguide.checkup.findings.registry import CODES, Draft, finding
from initguide.checkup.findings.scales import DRIFT
from initguide.checkup.findings.signal import HUGE, LARGE, QUIET
from initguide.checkup.findings.symmetry import ALIKE
from initguide.checkup.findings.units import FLATTENED
from initguide.checkup.report import Attempt, Checkup, Finding

__all__ = [
    "ALIKE",
    "CODES",
    "CONFIDENT",
    "DRIFT",
    "FLATTENED",
    "FROZEN",
    "HUGE",
    "INPUTS",
    "LARGE",
    "QUIET",
    "SLOW",
    "WRONG",
    "Attempt",
    "Checkup",
    "Draft",
    "Finding",
    "check_init",
    "finding",
    "split_batch",
]

# A finding in a new file registers itself when the file is imported.
for _family in pkgutil.iter_modules(_families.__path__):
    import_module(f"{_families.__name__}.{_family.name}")

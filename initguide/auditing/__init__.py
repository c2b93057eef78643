"""What did each parameter really get? Its distribution as measured, the rule, and what was meant.

>>> from torch import nn
>>> import initguide
>>> net = initguide.initialize(nn.Linear(256, 128), "xavier_uniform", seed=0)
>>> report = initguide.audit(net, "he_uniform")
>>> report["weight"].rules
('Xavier uniform',)
>>> [(finding.code, finding.parameter) for finding in report.findings]
[('not-as-intended', 'weight')]

``print(report)`` shows a line a parameter. `audit` says what a model has, `watch` who wrote it.
"""

from initguide.auditing.findings import CODES, flag
from initguide.auditing.inspecting import audit
from initguide.auditing.places import Place
from initguide.auditing.report import Audit, Finding, Parameter
from initguide.auditing.rules import RULES, known_rule
from initguide.auditing.testing import ALPHA, FALSE_ALARM
from initguide.auditing.watching import Write, Writes, watch

__all__ = [
    "ALPHA",
    "CODES",
    "FALSE_ALARM",
    "RULES",
    "Audit",
    "Finding",
    "Parameter",
    "Place",
    "Write",
    "Writes",
    "audit",
    "flag",
    "known_rule",
    "watch",
]

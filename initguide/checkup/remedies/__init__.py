"""Advice: which layer is to blame, and code that may put it right.

A finding says what is wrong and where; how it may be mended is written here alone: a file a family
of remedies. Each gives several, the best first, and `initguide.checkup.trying` sees which helps.
Code may stand in a report twice, so executing it again must change nothing but the draws.
"""

from initguide.checkup.remedies.pasting import call, together
from initguide.checkup.remedies.values import centred, finite
from initguide.checkup.remedies.writer import Remedies, range_text

__all__ = ["Remedies", "call", "centred", "finite", "range_text", "together"]

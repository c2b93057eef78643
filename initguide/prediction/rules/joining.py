"""Tensors put side by side."""

import numpy as np

from initguide.prediction.belief import Belief, first_basis, joint_sources
from initguide.prediction.protocol import Call, rule


@rule("cat", "concat", "concatenate", "stack", "hstack", "vstack")
def join(call: Call) -> Belief:
    """The mean of the parts' mean squares, by their sizes; a part may be no activation."""
    constant = call.knowledge.constant
    beliefs = [call.about(part) or constant(part, call.held(part)) for part in call.tensors]
    # No heads, not normal: the parts' variances differ, and the parts may share weights.
    sizes = np.array([part.numel() for part in call.tensors], dtype=float)
    return Belief(
        sizes / sizes.sum() @ np.stack([belief.second for belief in beliefs]),
        sources=joint_sources(beliefs),
        basis=first_basis(beliefs),
    )

"""Embeddings: rows of a table."""

import numpy as np

from initguide.prediction.belief import Belief
from initguide.prediction.protocol import Call, layer


@layer("embedding", takes=("input", "weight"))
def embedding(call: Call) -> Belief:
    """E[z²] = E[w²], whichever rows are picked; the table need not be normally distributed."""
    knowledge = call.knowledge
    table = call["weight"].detach().double()
    mean, square = float(table.mean()), float(table.square().mean())
    key = frozenset({knowledge.key(call["weight"])})
    return Belief(
        np.full(len(knowledge.groups), square),
        mean=mean,
        sources=call.before.sources | key,
        heads=None if mean**2 > 1e-2 * square else key,
        basis=call.before.basis,
    )

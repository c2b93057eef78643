"""Layers that the model does not know of, so that no optimizer does."""

import itertools
import math
from collections.abc import Iterator, Sequence

from initguide.checkup.facts import Facts
from initguide.checkup.findings.registry import Draft, finding
from initguide.checkup.remedies import Remedies

_HOLDERS = {
    "list": "torch.nn.ModuleList",
    "dict": "torch.nn.ModuleDict",
    "tensor": "torch.nn.Parameter",
}


@finding(
    {"unregistered": "layers or tensors that the model uses, but does not hold as parameters"},
    order=5,
)
def unregistered(facts: Facts, advise: Remedies, found: Sequence[Draft]) -> Iterator[Draft]:
    """Leaves of the graph that are no parameters: layers in a plain list, say."""
    by_place = itertools.groupby(
        sorted(facts.measured.strangers), key=lambda s: (s.owner, s.attribute, s.kind)
    )
    for (owner, attribute, kind), group in by_place:
        shapes = [stranger.shape for stranger in group]
        numbers = sum(map(math.prod, shapes))
        where = f"{owner}.{attribute}" if owner and attribute else attribute
        code = f"{advise.code(owner) if owner else 'model'}.{attribute}"
        yield Draft(
            "unregistered",
            "error",
            where or type(facts.model).__name__,
            f"the output depends on {len(shapes)} tensor{'s' * (len(shapes) > 1)} of {numbers:,} "
            f"numbers {f'in {where} ' * bool(where)}that want a gradient but are no parameters of "
            "the model: an optimizer made of model.parameters() does not train them, and "
            "they are not saved."
            + " Torch sees modules in attributes, not in plain lists."
            * (kind in {"list", "dict"}),
            f"{code} = {_HOLDERS[kind]}({code})" if kind else "",
        )

"""Units that are told apart, and those that are not."""

import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from initguide.propagation import measure


def test_equal_weights_make_equal_units(draws, lesson_net):
    """All constants give one unit a layer, random weights all of them; dropout parts them again."""
    images = draws(20, 784).abs()
    for constant in (0.0, 0.3, 1.0):
        found = measure(lesson_net(f"constant({constant})").eval(), images)
        assert [found[name].distinct_units for name in ("fc1", "fc2", "fc3")] == [1, 1, 1]
    found = measure(lesson_net().eval(), images)
    assert [found[name].distinct_units for name in ("fc1", "fc2", "fc3")] == [256, 128, 10]


@given(copies=st.integers(1, 5), groups=st.integers(1, 40), seed=st.integers(0, 50))
@settings(max_examples=40, deadline=None)
def test_copies_are_counted_once(draws, copies, groups, seed):
    """Of units that are copies, up to rounding, one is counted, in any order and size."""
    weight = draws(groups, 4, seed=seed) * 10.0 ** draws(groups, 1, seed=seed + 1)
    order = torch.randperm(copies * groups, generator=torch.Generator().manual_seed(seed))
    noise = 1 + 1e-7 * draws(copies * groups, 1, seed=seed + 2)
    layer = nn.Linear(4, copies * groups, bias=False)
    layer.weight.data = (weight.repeat(copies, 1) * noise)[order]
    assert measure(layer, draws(9, 4))[0].distinct_units == groups
    conv = nn.Conv2d(4, copies * groups, 1, bias=False)
    conv.weight.data = layer.weight.data[:, :, None, None]
    assert measure(conv, draws(3, 4, 5, 5))[0].distinct_units == groups

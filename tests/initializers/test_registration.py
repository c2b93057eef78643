"""A scheme registers itself, and everything knows it by its name."""

import pytest
import torch
from torch import nn

import initguide
from initguide import initializers as init
from initguide.initializers import scheme as room
from initguide.initializers.scheme import filling


@pytest.fixture
def thirds():
    """A scheme of somebody's own, registered for a while."""

    @init.initializer
    def thirds():
        return filling("thirds", lambda layer: nn.init.constant_(layer.weight, 1 / 3))

    yield thirds
    del room._registered["thirds"]


def test_a_registered_scheme_is_known_everywhere(thirds):
    """By the table, by attribute, by name, and where a name is nearly right."""
    assert init.INITIALIZERS["thirds"] is thirds is init.thirds
    net = initguide.initialize(nn.Linear(2, 2), "thirds")
    assert torch.equal(net.weight, torch.full((2, 2), 1 / 3))
    with pytest.raises(ValueError, match="did you mean 'thirds'"):
        init.from_name("thrids")


def test_a_name_is_registered_once(thirds):
    """A second scheme would silently take the place of the first."""
    with pytest.raises(ValueError, match="there is a scheme thirds already; choose another name"):
        init.initializer(thirds)


def test_other_names_are_no_attributes():
    """A typing error is an AttributeError, as in every module."""
    with pytest.raises(AttributeError, match="has no attribute 'thrids'"):
        init.thrids  # noqa: B018  looking it up is what is tested

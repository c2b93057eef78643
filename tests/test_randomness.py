"""Torch's global generator, seeded for a while."""

import threading

import pytest
import torch

from initguide.randomness import seeded


def test_it_is_seeded_and_put_back():
    """Inside, draws are those of the seed; afterwards, those that would have come."""
    torch.manual_seed(1)
    expected = torch.rand(3)
    torch.manual_seed(1)
    with seeded(7):
        inside = torch.rand(3)
    assert torch.equal(torch.rand(3), expected)
    assert torch.equal(inside, torch.rand(3, generator=torch.Generator().manual_seed(7)))


def test_it_is_put_back_after_an_error():
    """Whatever goes wrong inside."""
    torch.manual_seed(1)
    expected = torch.rand(3)
    torch.manual_seed(1)
    with pytest.raises(KeyError), seeded(7):  # noqa: PT012  both lines are what is tested
        torch.rand(3)
        raise KeyError
    assert torch.equal(torch.rand(3), expected)


def test_one_thread_at_a_time():
    """A thread that wants in waits until the other one has put the generator back."""
    order = []

    def enter():
        with seeded(1):
            order.append("other")

    with seeded(0):
        thread = threading.Thread(target=enter)
        thread.start()
        thread.join(0.2)
        order.append("first")
    thread.join(10)
    assert order == ["first", "other"]

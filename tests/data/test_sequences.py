"""Images as sequences of grey levels."""

from types import SimpleNamespace

import pytest
import torch

from initguide.data import as_sequences


def split(*rows):
    """One image of these rows, and a label that plays no part."""
    return SimpleNamespace(images=torch.tensor([[rows]]), labels=torch.tensor([3]))


def test_levels_in_reading_order_behind_the_start():
    """Blocks of pixels are averaged, rounded down; white is the last level, not one more."""
    part = split(
        [0.0, 0.1, 1.0, 1.0], [0.2, 0.3, 1.0, 1.0], [0.5, 0.5, 0.9, 0.2], [0.5, 0.5, 0, 0.1]
    )
    found = as_sequences(SimpleNamespace(train=part, valid=part, test=part), levels=4, side=2)
    # means 0.15, 1, 0.5 and 0.3 of quarters
    assert found.valid.labels.tolist() == [[0, 3, 2, 1]]
    assert found.test.images.tolist() == [[4, 0, 3, 2]]
    assert found.train.images.dtype == torch.int64


def test_the_parts_of_fashion_mnist(sample):
    """Each part in its own order; 16 levels of 49 pixels unless told."""
    found = as_sequences(sample.subset(train=7, valid=5, test=3))
    for tokens, count in zip(found, (7, 5, 3), strict=True):
        assert tokens.images.shape == tokens.labels.shape == (count, 49)
        assert (tokens.images[:, 0] == 16).all()
        assert torch.equal(tokens.images[:, 1:], tokens.labels[:, :-1])
        assert 0 <= tokens.labels.min() <= tokens.labels.max() <= 15


@pytest.mark.parametrize(("name", "value", "least"), [("levels", 1, 2), ("side", 0, 1)])
def test_refused(sample, name, value, least):
    """What is out of range."""
    with pytest.raises(
        ValueError, match=f"{name} is {value}; it must be a whole number, at least {least}"
    ):
        as_sequences(sample, **{name: value})

"""Training and validation images that each seed divides anew."""

from types import SimpleNamespace

import pytest
import torch

from initguide.data import SplitPerSeed


@pytest.fixture
def numbered():
    """Images that say which one they are: 30 + 10 to be divided, and 5 to test on."""

    def split(first, count):
        numbers = torch.arange(first, first + count)
        return SimpleNamespace(images=numbers[:, None].float(), labels=numbers)

    return SimpleNamespace(train=split(0, 30), valid=split(30, 10), test=split(40, 5))


def test_each_seed_divides_all_of_them(numbered):
    """As many as before are in each part, none in both, none left out, labels with their images."""
    data = SplitPerSeed(numbered)
    for seed in (0, 1, 2**62):
        own = data.of(seed)
        assert (len(own.train), len(own.valid)) == (30, 10)
        labels = torch.cat([own.train.labels, own.valid.labels])
        assert sorted(labels.tolist()) == list(range(40))
        for part in (own.train, own.valid):
            assert torch.equal(part.images[:, 0], part.labels.float())
        assert torch.equal(data.valid_of(seed).labels, own.valid.labels)
        assert own.test is numbered.test


def test_a_seed_means_one_division(numbered):
    """The same in another object and whatever was drawn meanwhile; other seeds, other images."""
    first = SplitPerSeed(numbered).valid_of(3).labels
    torch.rand(3)
    assert torch.equal(SplitPerSeed(numbered).valid_of(3).labels, first)
    assert len({tuple(SplitPerSeed(numbered).valid_of(s).labels.tolist()) for s in range(20)}) == 20


def test_every_image_is_validated_on_as_often(numbered):
    """Over many seeds, an image is in the smaller part a quarter of the time."""
    data, seeds = SplitPerSeed(numbered), 400
    counts = torch.zeros(40)
    for seed in range(seeds):
        counts[data.valid_of(seed).labels] += 1
    error = (0.25 * 0.75 / seeds) ** 0.5
    assert (counts / seeds - 0.25).abs().max() < 5 * error


def test_the_parts_as_they_came(numbered):
    """What looks at the data without a seed sees them as they were; the source says more."""
    data = SplitPerSeed(numbered)
    for name in ("train", "valid"):
        assert torch.equal(getattr(data, name).labels, getattr(numbered, name).labels)
    assert data.source == ("not stated; training and validation images divided anew by each seed")
    assert repr(data) == f"<N{data.source[1:]}>"
    assert data.of(3).source.endswith("by each seed, here by seed 3")


def test_parts_that_do_not_go_together_are_refused(numbered):
    """Each image may be in either part, so they must be alike; both kinds are named."""
    numbered.valid.images = torch.zeros(10, 2)
    message = (
        r"data\.train\.images is 1, float32, on cpu and data\.valid\.images is 2, float32, on cpu; "
        "with a split per seed"
    )
    with pytest.raises(ValueError, match=message):
        SplitPerSeed(numbered)

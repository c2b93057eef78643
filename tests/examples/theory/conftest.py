"""Fixtures of this folder; what its tests share can be imported."""

import sys
from pathlib import Path

import pytest

sys.path.append(str(Path(__file__).parent))


@pytest.fixture(scope="module")
def images(sample):
    """Return a batch of 500 images."""
    return sample.train.images[:500]


@pytest.fixture(scope="module")
def small(sample):
    """Return 2,000 images for training."""
    return sample.subset(train=2000, valid=1000, test=100)

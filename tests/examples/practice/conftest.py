"""Fixtures of this folder; what its tests share can be imported."""

import sys
from pathlib import Path

import pytest

import initguide

sys.path.append(str(Path(__file__).parent))


@pytest.fixture(scope="session")
def small(sample):
    """Return 1,500 training images, and all validation images of the sample."""
    return sample.subset(train=1500, test=100)


@pytest.fixture(scope="session")
def result(small):
    """Return a comparison of four schemes over a dozen seeds, which two pages look at."""
    from dozen import SCHEMES, SEEDS

    return initguide.compare_init_weights(SCHEMES, small, seeds=SEEDS)

"""For the tests of predictions."""

import pytest


@pytest.fixture(scope="session")
def images(sample):
    """200 images of the sample."""
    return sample.train.images[:200]

"""Images as sequences, for the pages on transformers."""

from types import SimpleNamespace

import pytest
import torch.nn.functional as F

LEVELS = 16


def _sequences(split):
    """Tokens that come in, and those to be predicted, of images of 7 × 7 pixels."""
    grey = F.adaptive_avg_pool2d(split.images, 7).flatten(1)
    labels = (grey * LEVELS).long().clamp(max=LEVELS - 1)
    return SimpleNamespace(images=F.pad(labels[:, :-1], (1, 0), value=LEVELS), labels=labels)


@pytest.fixture(scope="session")
def sequences(sample):
    """Return as many sequences for training as the page has, and some to validate."""
    part = sample.subset(train=1000, valid=300, test=50)
    return SimpleNamespace(
        train=_sequences(part.train), valid=_sequences(part.valid), test=_sequences(part.test)
    )


@pytest.fixture(scope="session")
def few(sequences):
    """Return 12 sequences and what follows each token."""
    return sequences.train.images[:12], sequences.train.labels[:12]

"""The reader of rows: what it is given, and what it answers from."""

import pytest
import torch

from initguide.models import Reader


@pytest.mark.parametrize("kind", ["RNN", "LSTM", "GRU"])
def test_answers_from_the_last_state(kind):
    """The rows in their order, then blank ones, then the head."""
    net = Reader(kind, inputs=4, units=6, wait=3)
    images = torch.rand(2, 1, 5, 4, generator=torch.Generator().manual_seed(0))
    rows = torch.cat([images[:, 0], torch.zeros(2, 3, 4)], dim=1)
    assert torch.equal(net.rows(images), rows)
    torch.testing.assert_close(net(images), net.head(net.rnn(rows)[0][:, 7]))
    assert net(images).shape == (2, 10)


def test_settings_and_refusal():
    """Settings reach the layer; other kinds are refused."""
    assert Reader("RNN", nonlinearity="relu").rnn.nonlinearity == "relu"
    with pytest.raises(ValueError, match="kind is 'rnn'; it must be 'RNN', 'LSTM' or 'GRU'"):
        Reader("rnn")

"""Bilinear layers against the mean over many draws."""

import pytest
import torch
from torch import nn

from initguide.prediction import predict_variances


class Pair(nn.Module):
    """A bilinear layer whose second input is another one, or the first again."""

    def __init__(self, *, same):
        super().__init__()
        self.same = same
        self.mix = nn.Bilinear(30, 30 if same else 20, 50)

    def forward(self, one, two):
        """Mix both."""
        return self.mix(one, one if self.same else two)


@pytest.mark.parametrize("same", [False, True])
def test_against_many_draws(same):
    """The prediction is the mean over draws of the weights, also where one input is the other."""
    draws = torch.Generator().manual_seed(0)
    size = torch.rand(200, 1, generator=draws) * 2  # inputs of unequal sizes
    one = size * torch.randn(200, 30, generator=draws)
    two = torch.randn(200, 20, generator=draws)
    found = []
    for seed in range(30):
        torch.manual_seed(seed)
        (record,) = predict_variances(Pair(same=same), (one, two))
        assert record.predicted, record.reason
        found.append((record.second_moment, record.measured))
    predicted, measured = torch.tensor(found, dtype=torch.float64).mean(0)
    assert predicted.item() == pytest.approx(measured.item(), rel=0.02)


def test_weights_that_are_not_centred_are_not_predicted():
    """As in linear layers."""
    model = Pair(same=False)
    nn.init.constant_(model.mix.weight, 0.1)
    (record,) = predict_variances(model, (torch.randn(9, 30), torch.randn(9, 20)))
    assert not record.predicted
    assert "mean 0.1" in record.reason

"""The sharpness, against eigenvalues of the whole Hessian."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from initguide.models import mlp
from initguide.propagation import sharpness


def test_sharpness_is_the_largest_eigenvalue():
    """For a network that is small enough for its Hessian to be written out."""
    torch.manual_seed(0)
    net = mlp([4, 6, 3], nn.Tanh).double()
    x, y = torch.randn(20, 4, dtype=torch.float64), torch.randint(3, (20,))
    names = [name for name, _ in net.named_parameters()]

    def loss(vector):
        parts, at = {}, 0
        for name in names:
            p = net.get_parameter(name)
            parts[name], at = vector[at : at + p.numel()].reshape(p.shape), at + p.numel()
        return F.cross_entropy(torch.func.functional_call(net, parts, (x,)), y)

    weights = nn.utils.parameters_to_vector(net.parameters()).detach()
    hessian = torch.autograd.functional.hessian(loss, weights)
    expected = torch.linalg.eigvalsh(hessian).abs().max().item()
    with torch.no_grad():  # the caller's mode does not matter
        found = sharpness(net, x, y, iterations=300)
    assert found == pytest.approx(expected, rel=1e-5)
    assert sharpness(net, x, y, iterations=2) < expected


class Idle(nn.Module):
    """A network beside which stand weights that are not used."""

    def __init__(self, net):
        super().__init__()
        self.idle, self.net = nn.Linear(3, 3), net

    def forward(self, x):
        """What the network gives."""
        return self.net(x)


def test_weights_without_a_part_add_no_curvature():
    """As many zeros in the Hessian leave its largest eigenvalue as it is."""
    torch.manual_seed(0)
    net = mlp([4, 6, 3], nn.Tanh).double()
    x, y = torch.randn(20, 4, dtype=torch.float64), torch.randint(3, (20,))
    alone = sharpness(net, x, y, iterations=300)
    assert sharpness(Idle(net).double(), x, y, iterations=300) == pytest.approx(alone, rel=1e-5)


@pytest.mark.parametrize("iterations", [1, 2, 40])
@pytest.mark.parametrize(
    ("net", "needs_grad"),
    [
        (nn.Linear(4, 1), False),  # one class: the loss is 0 whatever the weights
        (Idle(nn.Identity()), False),
        (Idle(nn.Identity()), True),
        (Idle(nn.Linear(4, 1)), False),
    ],
)
def test_no_curvature_is_0(net, needs_grad, iterations):
    """Where the Hessian is 0, its largest eigenvalue is, and not NaN."""
    x = torch.randn(5, 4, generator=torch.Generator().manual_seed(0)).requires_grad_(needs_grad)
    assert sharpness(net, x, torch.zeros(5, dtype=torch.long), iterations=iterations) == 0.0


def test_what_has_no_curvature_is_refused():
    """No iteration, and nothing that is trained."""
    x, y = torch.ones(2, 4), torch.tensor([0, 1])
    with pytest.raises(ValueError, match="iterations is 0"):
        sharpness(mlp([4, 3]), x, y, iterations=0)
    with pytest.raises(ValueError, match="no parameters that are trained"):
        sharpness(mlp([4, 3]).requires_grad_(requires_grad=False), x, y)

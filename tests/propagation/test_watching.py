"""Which layers have records, whatever the modules do."""

import copy
import math

import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.nn.utils import parametrizations

from initguide.propagation import measure


def kinds(found):
    """Name the kinds of the records."""
    return [record.kind for record in found]


def test_a_module_used_twice(draws, using):
    """Each use has its record, both with the gradient of the weights they share."""
    model = using(lambda self, x: self.fc(torch.tanh(self.fc(x))), fc=nn.Linear(5, 5))
    x = draws(8, 5)
    found = measure(model, x, x)
    assert [(r.name, r.call) for r in found] == [("fc", 0), ("fc", 1)]
    assert [r.activation for r in found] == ["tanh", None]
    F.mse_loss(model(x), x).backward()
    expected = model.fc.weight.grad.double().var(correction=0).item()
    assert [r.weight_grad_var for r in found] == [pytest.approx(expected, rel=1e-6)] * 2
    assert found[0].output_grad_var != found[1].output_grad_var
    assert found["fc"] is found[0]


def test_tied_weights(using):
    """A weight that two modules share has one gradient, the sum."""
    model = using(
        lambda self, x: self.out(self.emb(x)), emb=nn.Embedding(7, 4), out=nn.Linear(4, 7)
    )
    model.out.weight = model.emb.weight
    tokens = torch.arange(6)
    found = measure(model, tokens, tokens)
    assert found["emb"].weight_grad_var == found["out"].weight_grad_var > 0
    assert (found["emb"].fan_in, found["out"].fan_in) == (1, 4)
    assert found["emb"].weight_std == found["out"].weight_std


def test_attention(draws):
    """An attention layer has a record, though its output projection is never called."""
    model = nn.MultiheadAttention(8, 2, batch_first=True)
    x = draws(3, 5, 8)
    found = measure(model, (x, x, x), loss=lambda y: y[0].square().mean())
    assert kinds(found) == ["MultiheadAttention"]
    both = torch.cat([model.in_proj_weight.flatten(), model.out_proj.weight.flatten()])
    assert found[0].weight_std == pytest.approx(both.double().std(correction=0).item())
    assert found[0].weight_grad_var > 0
    assert math.isnan(found[0].fan_in)
    layer = nn.TransformerEncoderLayer(8, 2, 16, batch_first=True)
    for training in (True, False):
        found = measure(layer.train(training), {"src": x})
        assert found["linear1"].activation == "relu"
        assert "MultiheadAttention" in kinds(found)


def test_recurrent(draws, using):
    """An LSTM is one layer: its first output is measured, with all its matrices."""
    model = using(
        lambda self, x: self.fc(self.rnn(x)[0][:, -1]),
        rnn=nn.LSTM(3, 4, batch_first=True),
        fc=nn.Linear(4, 2),
    )
    found = measure(model, draws(6, 5, 3), torch.ones(6).long())
    assert found["rnn"].shape == (6, 5, 4)
    matrices = [p.flatten() for p in model.rnn.parameters() if p.ndim > 1]
    assert found["rnn"].weight_std == pytest.approx(torch.cat(matrices).std(correction=0).item())
    assert found["rnn"].output_grad_var > 0
    assert found["rnn"].units == 4


@pytest.mark.parametrize("kind", ["weight_norm", "spectral_norm", "orthogonal", "old weight_norm"])
@pytest.mark.parametrize("training", [False, True])
@pytest.mark.filterwarnings("ignore:.*weight_norm.* is deprecated:FutureWarning")
def test_computed_weights(draws, kind, training):
    """The weight that the layer computes with is measured, and nothing inside it has a record."""
    wrap = getattr(parametrizations, kind, None) or torch.nn.utils.weight_norm
    model = nn.Sequential(wrap(nn.Linear(5, 4)), nn.ReLU(), nn.Linear(4, 2)).train(training)
    before = copy.deepcopy(model.state_dict())
    found = measure(model, draws(6, 5))
    assert kinds(found) == ["Linear", "ReLU", "Linear"]
    assert all(torch.equal(before[k], v) for k, v in model.state_dict().items())
    assert found["0"].weight_grad_var > 0
    assert found["0"].fan_in == 5
    values = model(draws(6, 5))  # in training, spectral norm now takes the step that was undone
    assert found["2"].output_mean == pytest.approx(values.mean().item(), rel=1e-5)
    weight = model.eval()[0].weight
    assert found["0"].weight_std == pytest.approx(weight.std(correction=0).item(), rel=1e-5)


def test_dictionaries_and_objects(draws, using):
    """Inputs by keyword, and outputs as dictionary, tuple or object with logits."""

    class Output:
        def __init__(self, logits):
            self.logits = logits

    x, y = draws(4, 3), torch.tensor([0, 1, 1, 0])
    for wrap in (
        lambda z: {"aux": z.detach(), "logits": z},
        lambda z: {"out": z},
        lambda z: (torch.arange(3), z),
        lambda z: [z, 1],
        Output,
    ):
        model = using(lambda self, a, *, b, wrap=wrap: wrap(self.fc(a + b)), fc=nn.Linear(3, 2))
        found = measure(model, {"a": x, "b": x}, y)
        assert found.loss == pytest.approx(F.cross_entropy(model.fc(2 * x), y).item())
        assert found.source.endswith("inputs: a=(4, 3) float32, b=(4, 3) float32")


def test_frozen_layers(draws, two_layers, using):
    """Frozen weights have no gradient, but their outputs have, and they stay frozen."""
    model = two_layers(nn.ReLU())
    x = draws(5, 6)
    expected = measure(model, x)
    for parameter in model.parameters():
        parameter.requires_grad_(False)
    for free in (False, True):
        model[2].weight.requires_grad_(free)
        found = measure(model, x)
        for a, b in zip(found, expected, strict=True):
            assert a.output_grad_var == pytest.approx(b.output_grad_var, rel=1e-6)
        assert math.isnan(found["0"].weight_grad_var)
        assert math.isnan(found["2"].weight_grad_var) is not free
    assert not model[0].weight.requires_grad
    assert not x.requires_grad
    changing = using(lambda self, x: self.fc(x.sub_(1)), fc=nn.Linear(3, 2).requires_grad_(False))
    assert measure(changing, draws(4, 3))[0].output_grad_var > 0


def test_no_gradient_is_not_zero(draws, using):
    """A layer that the loss does not depend on has NaN for its gradients."""
    model = using(lambda self, x: (self.a(x), self.b(x)), a=nn.Linear(3, 2), b=nn.Linear(3, 2))
    found = measure(model, draws(4, 3))
    assert found["a"].output_grad_var > 0
    assert math.isnan(found["b"].output_grad_var)
    assert math.isnan(found["b"].weight_grad_var)
    detached = using(lambda self, x: self.a(x).detach(), a=nn.Linear(3, 2))
    assert math.isnan(measure(detached, draws(4, 3))["a"].output_grad_var)


def test_own_parameters(draws):
    """A module that holds parameters itself has a record, beside those inside it."""

    class Block(nn.Module):
        def __init__(self):
            super().__init__()
            self.scale = nn.Parameter(torch.tensor([1.0, 3.0]))
            self.fc = nn.Linear(2, 2)

        def forward(self, x):
            return F.relu(self.scale * self.fc(x))

    found = measure(nn.Sequential(Block()), draws(4, 2))
    assert [(r.name, r.kind) for r in found] == [("0.fc", "Linear"), ("0", "Block")]
    assert found["0"].weight_std == 1.0
    assert [r.activation for r in found] == [None, "relu"]


def test_a_layer_that_returns_a_parameter(draws):
    """Hooks on a tensor that stays are removed again."""

    class Table(nn.Module):
        def __init__(self):
            super().__init__()
            self.table = nn.Parameter(draws(3, 2))

        def forward(self, _):
            return self.table

    model = Table()
    assert measure(model, draws(1, 2))[0].weight_grad_var > 0
    assert not model.table._backward_hooks


def test_scalars_and_vectors():
    """Outputs of any number of dimensions are measured."""
    for shape in ((), (3,), (1, 1)):
        (record,) = measure(nn.Identity(), torch.ones(shape))
        assert (record.shape, record.output_mean, record.distinct_units) == (shape, 1.0, 1)


def test_sparse_gradients():
    """An embedding with sparse gradients is measured as any other."""
    tokens = torch.tensor([[1, 2], [2, 2]])
    torch.manual_seed(0)
    dense, sparse = nn.Embedding(9, 3), nn.Embedding(9, 3, sparse=True)
    sparse.load_state_dict(dense.state_dict())
    a, b = measure(dense, tokens)[0], measure(sparse, tokens)[0]
    assert a.weight_grad_var == pytest.approx(b.weight_grad_var, rel=1e-9)


def test_given_by_sees_through_functional_activations(draws, using):
    """A layer behind a functional activation was given by the layer before it; an added one not."""
    model = using(
        lambda m, x: m.c(F.relu(m.b(F.relu(m.a(x))) + 1)),
        a=nn.Linear(6, 6),
        b=nn.Linear(6, 6),
        c=nn.Linear(6, 2),
    )
    found = measure(model, draws(5, 6))
    assert [found[name].given_by for name in "abc"] == [None, "a", None]

"""The verdict on the signal is one about the network, not about the batch, its labels or a seed."""

import itertools

import pytest
import torch
from checkup_networks import Using, mlp
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from initguide.checkup import QUIET, check_init
from initguide.checkup.facts import Facts


def default(*widths):
    """Fully connected, as torch initializes it."""
    layers = []
    for fan_in, fan_out in itertools.pairwise(widths):
        layers += [nn.Linear(fan_in, fan_out), nn.ReLU()]
    return nn.Sequential(*layers[:-1])


def factors(size):
    """Dot products of two embeddings."""
    model = Using(
        lambda m, x: (m.users(x[:, 0].long()) * m.items(x[:, 1].long())).sum(-1),
        users=nn.Embedding(30, 32),
        items=nn.Embedding(30, 32),
    )
    for table in (model.users, model.items):
        nn.init.uniform_(table.weight, -size, size)
    return model


def steps():
    """A recurrent network that answers at every step."""
    return Using(
        lambda m, x: m.head(m.rnn(x[:, None, :].expand(-1, 3, -1))[0]).mean(1),
        rnn=nn.LSTM(20, 16, batch_first=True),
        head=nn.Linear(16, 5),
    )


def normalized():
    """Batch normalization, by the batch."""
    return nn.Sequential(nn.Linear(20, 32), nn.BatchNorm1d(32), nn.ReLU(), nn.Linear(32, 5))


HEALTHY = {
    "torch's default": lambda: default(20, 32, 5),
    "three layers": lambda: default(20, 32, 32, 5),
    "one output": lambda: default(20, 32, 32, 1),
    "he": lambda: mlp(10, nn.ReLU, "he_normal"),
    "tanh": lambda: mlp(10, nn.Tanh, "lecun_normal"),
    "factors": lambda: factors(0.2),
    "lstm": steps,
    "batch norm": normalized,
}
LOST = {
    "small factors": lambda: factors(0.01),
    "he × 0.2": lambda: mlp(10, nn.ReLU, "he_normal", times=0.2),
    "tanh × 0.3": lambda: mlp(20, nn.Tanh, "lecun_normal", times=0.3),
}


def answers(model, inputs, kind):
    """What the outputs are compared with: something of the inputs, draws, or nothing."""
    if kind == "none":
        return None
    with torch.no_grad():
        shape = model(inputs).shape
    if shape[1:].numel() == 1:
        found = inputs[:, 0] / 9 if kind == "learnable" else torch.randn(len(inputs))
        return found.reshape(shape)
    if kind == "learnable":
        return inputs[:, : shape[1]].argmax(dim=1)
    return torch.randint(shape[1], shape[:1])


@settings(max_examples=25, deadline=None)
@given(
    family=st.sampled_from([*HEALTHY, *LOST]),
    size=st.sampled_from([8, 32, 128, 512, 4096]),
    kind=st.sampled_from(["learnable", "random", "none"]),
    seed=st.integers(0, 2**20),
)
def test_same_verdict(family, size, kind, seed):
    """Batches of 8 to 4,096, labels that can be learnt or are drawn, or none, and any seed."""
    torch.manual_seed(seed)
    model = {**HEALTHY, **LOST}[family]()
    is_pairs = "factors" in family
    inputs = torch.randint(30, (size, 2)).float() if is_pairs else torch.randn(size, 20)
    report = check_init(model, inputs, answers(model, inputs, kind), seed=seed % 7)
    found = {f.code for f in report.findings if f.severity != "note"}
    assert ("vanishing-signal" in found) == (family in LOST), report


@pytest.mark.parametrize("family", HEALTHY)
def test_it_hardly_moves_with_the_batch(family):
    """From 8 to 4,096 answers, with random labels, one network's reach stays within a factor 3."""
    torch.manual_seed(0)
    model, found = HEALTHY[family](), []
    for size in (8, 4096):
        inputs = (
            torch.randint(30, (size, 2)).float() if "factors" in family else torch.randn(size, 20)
        )
        targets = answers(model, inputs, "random")
        facts = Facts(model, check_init(model, inputs, targets).measurement, inputs, targets)
        found.append(facts.reach())
    assert max(found) < 3 * min(found)
    assert min(found) > 1.5 * QUIET[0]


def test_small_factors_are_both_named():
    """The outputs are their product: neither is small alone."""
    report = check_init(factors(0.01), torch.randint(30, (64, 2)).float(), torch.randn(64))
    found = [(f.layer, f.severity) for f in report.findings if f.code == "vanishing-signal"]
    assert found == [("users", "warning"), ("items", "warning")]


@pytest.mark.parametrize("at", [0, 2, 4])
def test_one_tiny_layer_is_named(at):
    """Each layer can still move the outputs, but nothing reaches the last one."""
    torch.manual_seed(0)
    model = default(20, 64, 64, 64, 5)
    for layer in model:
        if isinstance(layer, nn.Linear):
            nn.init.kaiming_normal_(layer.weight)
            nn.init.zeros_(layer.bias)
    model[at].weight.data.mul_(1e-4)
    report = check_init(model, torch.randn(64, 20), torch.randint(5, (64,)))
    (finding,) = [f for f in report.findings if f.severity != "note"]
    assert (finding.code, finding.layer) == ("vanishing-signal", str(at))


def test_a_tiny_last_layer_and_tiny_inputs_are_no_such_fault():
    """What a head starts with is seen in the loss; and tiny inputs are found as such."""
    model = mlp(4, nn.ReLU, "he_normal")
    model.fc4.weight.data.mul_(1e-4)
    inputs = torch.randn(64, 20)
    assert check_init(model, inputs, torch.randint(5, (64,))).ok
    small = check_init(mlp(4, nn.ReLU, "he_normal"), 1e-2 * inputs, torch.randint(5, (64,)))
    assert {f.code for f in small.findings} == {"inputs"}

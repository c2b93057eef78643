"""Any module, and the model as it was; refusals; losses."""

import copy
import math
import random
from types import SimpleNamespace

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from checkup_networks import Using, draws, images, labels, mlp, net, said
from torch import nn
from torch.nn.utils import parametrizations

import initguide
from initguide.checkup import check_init


def attention(m, x):
    """Self-attention with its packed projection."""
    return m.head(m.attention(x, x, x)[0].mean(dim=1))


ODD = {
    "tuple": lambda: (Using(lambda m, x, y: m.a(x + y), a=nn.Linear(8, 4)), (draws(9, 8),) * 2),
    "dict": lambda: (Using(lambda m, x: m.a(x), a=nn.Linear(8, 4)), {"x": draws(9, 8)}),
    "outputs": lambda: (Using(lambda m, x: (m.a(x), 1), a=nn.Linear(8, 4)), draws(9, 8)),
    "named outputs": lambda: (
        Using(lambda m, x: {"out": m.a(x)}, a=nn.Linear(8, 4)),
        draws(9, 8),
    ),
    "logits": lambda: (
        Using(lambda m, x: SimpleNamespace(logits=m.a(x)), a=nn.Linear(8, 4)),
        draws(9, 8),
    ),
    "used twice": lambda: (
        Using(lambda m, x: m.b(m.a(m.a(x))), a=nn.Linear(8, 8), b=nn.Linear(8, 4)),
        draws(9, 8),
    ),
    "grouped": lambda: (
        nn.Sequential(nn.Conv2d(4, 8, 3, groups=2), nn.ConvTranspose2d(8, 4, 3)),
        draws(9, 4, 6, 6),
    ),
    "embedding": lambda: (
        nn.Sequential(nn.Embedding(50, 8), nn.Linear(8, 4)),
        torch.randint(0, 50, (9, 5), generator=torch.Generator().manual_seed(0)),
    ),
    "attention": lambda: (
        Using(
            attention,
            attention=nn.MultiheadAttention(8, 2, batch_first=True),
            head=nn.Linear(8, 4),
        ),
        draws(9, 5, 8),
    ),
    "lstm": lambda: (nn.LSTM(8, 16, batch_first=True), draws(9, 5, 8)),
    "gru": lambda: (nn.GRU(8, 16, num_layers=2), draws(9, 5, 8)),
    "weight norm": lambda: (
        nn.Sequential(parametrizations.weight_norm(nn.Linear(8, 8)), nn.ReLU(), nn.Linear(8, 4)),
        draws(9, 8),
    ),
    "float64": lambda: (nn.Linear(8, 4).double(), draws(9, 8).double()),
    "bfloat16": lambda: (
        nn.Sequential(nn.Linear(8, 8), nn.ReLU(), nn.Linear(8, 4)).bfloat16(),
        draws(9, 8).bfloat16(),
    ),
    "float16": lambda: (
        nn.Sequential(nn.Linear(8, 8), nn.ReLU(), nn.Linear(8, 4)).half(),
        draws(9, 8).half(),
    ),
    "keywords": lambda: (
        Using(lambda m, *, x, y=None: m.a(x + y), a=nn.Linear(8, 4)),
        {"x": draws(9, 8), "y": draws(9, 8)},
    ),
    "depthwise": lambda: (
        nn.Sequential(nn.Conv2d(8, 8, 3, groups=8), nn.ReLU(), nn.Conv2d(8, 4, 1)),
        draws(9, 8, 6, 6),
    ),
    "one layer": lambda: (nn.Linear(8, 4), draws(9, 8)),
    "no layer with weights": lambda: (nn.ReLU(), draws(9, 8)),
    "batch of one": lambda: (nn.Linear(8, 4), draws(1, 8)),
}


@pytest.mark.parametrize("kind", ODD)
def test_any_module(kind):
    """Odd inputs, outputs and layers, as torch makes them: nothing worse than a note."""
    torch.manual_seed(1)
    model, inputs = ODD[kind]()
    report = check_init(model, inputs)
    assert report.ok, report
    assert "targets" in str(report)
    assert f"({report.measurement.loss_name})" in str(report)  # the loss that it chose
    assert len(report.measurement.loss_name) > 5


@pytest.mark.parametrize("kind", ["attention", "lstm", "gru"])
def test_packed_layers(kind):
    """Equal units of attention and recurrent layers are found; the advice initializes them."""
    torch.manual_seed(1)
    model, inputs = ODD[kind]()
    if kind != "attention":  # a head that treats all units alike, or their gradients differ
        model = Using(lambda m, x: m.head(m.rnn(x)[0]), rnn=model, head=nn.Linear(16, 4))
        nn.init.constant_(model.head.weight, 0.2)
    layer = next(m for m in model.modules() if isinstance(m, nn.MultiheadAttention | nn.RNNBase))
    with torch.no_grad():
        for name, parameter in layer.named_parameters():
            parameter.fill_(0.1 if "weight" in name else 0)
    report = check_init(model, inputs)
    found = [f for f in report.findings if f.code == "equal-units" and f.severity == "error"]
    assert found, report
    for finding in found:
        exec(finding.advice, {"model": model, "initguide": initguide})  # noqa: S102
    assert "equal-units" not in said(check_init(model, inputs), "error", "warning")


def test_tied_and_frozen():
    """Tied weights are one parameter; a frozen layer is looked through, not reported."""
    torch.manual_seed(0)
    embedding, head = nn.Embedding(50, 16), nn.Linear(16, 50, bias=False)
    nn.init.normal_(embedding.weight, std=0.25)
    head.weight = embedding.weight
    tokens = torch.randint(0, 50, (8, 6), generator=torch.Generator().manual_seed(0))
    assert check_init(nn.Sequential(embedding, nn.Linear(16, 16), head), tokens, tokens).ok
    model = mlp(4, nn.ReLU, "he_normal")
    model.fc1.requires_grad_(requires_grad=False)
    assert check_init(model, draws(32, 20), labels(32, 5)).ok


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_on_a_gpu():
    """The report of a model on a GPU is that of the same model on the CPU."""
    model, (inputs, targets) = net("ones"), images()
    here = check_init(model, inputs, targets)
    there = check_init(model.cuda(), inputs.cuda(), targets.cuda())
    assert said(here) == said(there)


@pytest.mark.parametrize("head", ["zeros", "he_normal"])
def test_the_model_comes_back_untouched(head):
    """Weights, buffers, gradients, modes, hooks, the parameters themselves, and generators."""
    model = nn.Sequential(
        nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.Dropout(0.5), nn.Flatten(), nn.Linear(2704, 10)
    )
    initguide.initialize(model[4], head, seed=0)
    model[1].eval()
    model[0].weight.grad = torch.ones_like(model[0].weight)
    model[0].register_forward_hook(lambda *_: None)
    before = copy.deepcopy(model.state_dict())
    parameters = list(model.parameters())
    modes = [module.training for module in model.modules()]
    attributes = [set(vars(module)) for module in model.modules()]
    random.seed(1)
    np.random.seed(1)  # noqa: NPY002  the global one is meant
    torch.manual_seed(1)
    states = random.getstate(), np.random.get_state()[1].tolist(), torch.get_rng_state()  # noqa: NPY002
    check_init(model, *images(8))
    assert random.getstate() == states[0]
    assert np.random.get_state()[1].tolist() == states[1]  # noqa: NPY002
    assert torch.equal(torch.get_rng_state(), states[2])
    assert all(a is b for a, b in zip(parameters, model.parameters(), strict=True))
    assert list(model.state_dict()) == list(before)
    assert all(torch.equal(before[key], value) for key, value in model.state_dict().items())
    assert [module.training for module in model.modules()] == modes
    assert [set(vars(module)) for module in model.modules()] == attributes
    assert torch.equal(model[0].weight.grad, torch.ones_like(model[0].weight))
    assert model[4].weight.grad is None
    assert len(model[0]._forward_hooks) == 1


def _raises_in_backward(output):
    output.register_hook(lambda gradient: gradient[10**6])
    return output.sum()


@pytest.mark.parametrize(
    ("width", "loss"),
    [
        (5, None),
        (3, lambda output: output),
        (3, _raises_in_backward),
        (3, lambda output: output.no_such_attribute),
    ],
    ids=["forward", "vector loss", "backward", "loss"],
)
def test_untouched_after_an_error(width, loss):
    """Where a pass or the loss raises, everything is put back, too."""
    head = nn.Linear(3, 2)
    nn.init.constant_(head.weight, 0.1)  # equal outputs: a second look would be taken
    model = nn.Sequential(nn.Dropout(), nn.BatchNorm1d(3).eval(), nn.Linear(3, 3), head)
    before, parameters = copy.deepcopy(model.state_dict()), list(model.parameters())
    attributes = [set(vars(module)) for module in model.modules()]
    state = torch.get_rng_state()
    with pytest.raises((RuntimeError, ValueError, IndexError, AttributeError)):
        check_init(model, draws(4, width), loss=loss)
    assert model[0].training
    assert not model[1].training
    assert all(torch.equal(before[key], value) for key, value in model.state_dict().items())
    assert all(a is b for a, b in zip(parameters, model.parameters(), strict=True))
    assert all(parameter.grad is None for parameter in parameters)
    assert not any(p._backward_hooks for p in parameters)
    for module, names in zip(model.modules(), attributes, strict=True):
        assert set(vars(module)) == names
        assert not module._forward_hooks
        assert not module._forward_pre_hooks
    assert torch.equal(torch.get_rng_state(), state)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: check_init("net", draws(2, 3)), TypeError, "must be a torch.nn.Module"),
        (lambda: check_init(nn.LazyLinear(3), draws(2, 3)), ValueError, "run the model once"),
        (
            lambda: check_init(nn.Linear(3, 2, device="meta"), draws(2, 3)),
            ValueError,
            "meta device",
        ),
        (
            lambda: check_init(nn.Linear(4, 2), draws(2, 3)),
            RuntimeError,
            r"inputs: \(2, 3\) float32",
        ),
        (
            lambda: check_init(nn.Linear(3, 2), draws(2, 3), loss=lambda output: output),
            ValueError,
            "must return one floating-point number",
        ),
        (
            lambda: check_init(nn.Linear(3, 2), draws(2, 3), torch.tensor([0, 5])),
            ValueError,
            "targets reach from 0 to 5",
        ),
    ],
)
def test_refusals(call, error, message):
    """What cannot be checked is refused with a message that says what to do."""
    with pytest.raises(error, match=message):
        call()


def test_losses_that_know_nothing():
    """The initial loss is held against the same loss at outputs of 0, for the usual losses."""
    model, inputs = mlp(3, nn.ReLU, "he_normal"), draws(32, 20)
    classes, numbers = labels(32, 5), draws(32, 5)
    found = check_init(model, inputs, classes).measurement
    assert found.blank_loss == pytest.approx(math.log(5))
    assert check_init(model, inputs, classes, nn.CrossEntropyLoss()).measurement.blank_loss == (
        pytest.approx(math.log(5))
    )
    found = check_init(model, inputs, numbers).measurement
    assert found.blank_loss == pytest.approx(numbers.square().mean().item())
    softmax = nn.Sequential(model, nn.LogSoftmax(dim=1))
    found = check_init(softmax, inputs, classes, F.nll_loss).measurement
    assert found.blank_loss == pytest.approx(math.log(5))
    assert math.isnan(check_init(model, inputs).measurement.blank_loss)
    own = check_init(model, inputs, classes, lambda output, _: output.square().mean())
    assert math.isnan(own.measurement.blank_loss)
    assert "The initial loss was not judged" in str(own)


def test_without_targets_outputs_are_judged():
    """Without targets there is no initial loss to judge, but outputs that explode are found."""
    model = mlp(4, nn.ReLU, "he_normal")
    model.fc3.weight.data.mul_(1e4)
    report = check_init(model, draws(32, 20))
    assert [f.layer for f in report.findings if f.code == "exploding-signal"] == ["fc3"]


@pytest.mark.parametrize(("fill", "code"), [("zeros", "zero-layer"), ("ones", "equal-units")])
def test_classes_that_the_batch_lacks_are_no_fault(fill, code):
    """With fewer images than classes, most rows of a last layer get the same first gradient."""
    model = mlp(4, nn.ReLU, "he_normal")
    model.append(initguide.initialize(nn.Linear(5, 100), fill))
    report = check_init(model, draws(8, 20), torch.arange(8))
    found = {(f.code, f.severity) for f in report.findings if f.layer == str(len(model) - 1)}
    assert found == {(code, "note")}


def test_wrappers_are_looked_through():
    """What torch.compile made runs uncompiled, layers keep their names, and the advice fits."""
    model = mlp(3, nn.ReLU, "he_normal")
    nn.init.zeros_(model.fc1.weight)
    calls = []

    def backend(graph, _):
        calls.append(graph)
        return graph.forward

    compiled = torch.compile(model, backend=backend)
    inside = nn.Sequential(nn.Identity(), compiled)
    for wrapped, name in (
        (compiled, "fc1"),
        (inside, "1._orig_mod.fc1"),
        (nn.DataParallel(model), "module.fc1"),
    ):
        (finding,) = check_init(wrapped, draws(32, 20), labels(32, 5)).findings
        assert (finding.code, finding.layer) == ("zero-layer", name)
        exec(finding.advice, {"model": wrapped, "initguide": initguide})  # noqa: S102
        assert model.fc1.weight.std() > 0
        nn.init.zeros_(model.fc1.weight)
    assert not calls

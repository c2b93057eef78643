"""A pass leaves the model as it was, and what cannot be measured is refused."""

import random

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from initguide.propagation import measure


def state(model):
    """Everything of a model that a pass might change."""
    return {
        "tensors": {k: v.clone() for k, v in model.state_dict().items()},
        "grads": {k: p.grad for k, p in model.named_parameters()},
        "grad values": [None if p.grad is None else p.grad.clone() for p in model.parameters()],
        "frozen": [p.requires_grad for p in model.parameters()],
        "modes": [m.training for m in model.modules()],
        "attributes": [sorted(vars(m)) for m in model.modules()],
        "hooks": [
            (dict(m._forward_hooks), dict(m._forward_pre_hooks), dict(m._backward_hooks))
            for m in model.modules()
        ],
        "ids": [id(t) for t in [*model.parameters(), *model.buffers()]],
        "count": getattr(model, "count", None),
        "torch": torch.get_rng_state(),
        "numpy": np.random.get_state()[1].copy(),  # noqa: NPY002
        "python": random.getstate(),
    }


def same(a, b):
    """Whether two states are equal, element by element."""
    if isinstance(a, torch.Tensor | np.ndarray):
        return bool((a == b).all())
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(same(a[k], b[k]) for k in a)
    if isinstance(a, list | tuple):
        return len(a) == len(b) and all(map(same, a, b))
    return a is b or a == b


class Messy(nn.Module):
    """Changes all that a forward pass can: buffers, mode, attributes, generators; then may fail."""

    def __init__(self, *, fails=False):
        super().__init__()
        self.conv = nn.Conv2d(1, 3, 3)
        self.norm = nn.BatchNorm2d(3)
        self.drop = nn.Dropout(0.5)
        self.fc = nn.Linear(3 * 16, 2)
        self.register_buffer("seen", torch.zeros(2))
        self.register_buffer("rebound", torch.zeros(1))
        self.count = 0
        self.fails = fails
        self.conv.register_forward_hook(lambda _, __, output: 2 * output)

    def forward(self, x):
        """Leave traces everywhere."""
        self.count += 1
        self.seen += 1
        self.rebound = self.rebound + 1
        self.last = x
        self.drop.eval()
        random.random()  # noqa: S311
        np.random.rand()  # noqa: NPY002
        y = self.fc(self.drop(F.relu(self.norm(self.conv(x)))).flatten(1))
        if self.fails:
            raise RuntimeError("the end")
        return y


@pytest.mark.parametrize("fails", [False, True])
@pytest.mark.parametrize("grads", [False, True])
@pytest.mark.parametrize("training", [False, True])
def test_left_alone(draws, fails, grads, training):
    """Weights, buffers, gradients, mode, hooks, attributes and generators come back."""
    model = Messy().train(training)
    x = draws(4, 1, 6, 6)
    if grads:
        model(x).sum().backward()
        del model.last
    model.fails = fails
    model.drop.train(training)
    before = state(model)
    if fails:
        with pytest.raises(RuntimeError, match=r"^the end\n.*Messy.*\(4, 1, 6, 6\) float32"):
            measure(model, x)
    else:
        found = measure(model, x, histograms=5, jacobian=2)
        assert not hasattr(model, "last")
        assert found["conv"].output_var > 0
    after = state(model)
    for key, value in before.items():
        assert same(value, after[key]), key


def test_weights_that_the_forward_pass_edits(draws, using):
    """An embedding with a maximal norm comes back; other weights are named in a warning."""
    model = nn.Sequential(nn.Embedding(6, 4, max_norm=1.0), nn.Linear(4, 2))
    with torch.no_grad():
        model[0].weight.fill_(3.0)
    measure(model, torch.arange(6))
    assert (model[0].weight == 3).all()

    def clamps(self, x):
        with torch.no_grad():
            self.fc.weight.clamp_(-0.1, 0.1)
        return self.fc(x)

    with pytest.warns(UserWarning, match=r"changed fc\.weight of the model .*deepcopy") as told:
        measure(using(clamps, fc=nn.Linear(4, 2)), draws(3, 4))
    assert told[0].filename == __file__


@pytest.mark.filterwarnings("ignore:.*torch.jit:FutureWarning")
def test_refuses_compiled_modules(draws):
    """Modules that torch.jit made are refused, with what to do, also inside of others."""
    compiled = torch.jit.script(nn.Linear(2, 2))
    with pytest.raises(TypeError, match=r"model is a torch\.jit\.ScriptModule.* pass the original"):
        measure(compiled, draws(2, 2))
    with pytest.raises(TypeError, match=r"^1 is a torch\.jit\.ScriptModule"):
        measure(nn.Sequential(nn.ReLU(), compiled), draws(2, 2))


def test_left_alone_when_the_loss_fails(draws):
    """A loss that raises leaves no hook and no changed buffer behind."""
    model = Messy()
    before = state(model)

    def fail(_):
        raise KeyError("lost")

    with pytest.raises(KeyError, match="lost"):
        measure(model, draws(4, 1, 6, 6), loss=fail)
    assert same(before, state(model))


def test_other_errors_keep_their_type(draws, using):
    """An error of the model's own comes through, with a note of what was measured."""

    def fail(_, __):
        raise LookupError("mine")

    with pytest.raises(LookupError, match=r"^mine\nin the forward pass of Using in training mode"):
        measure(using(fail, fc=nn.Linear(1, 1)), draws(2, 1))


@pytest.mark.parametrize("context", [torch.no_grad, torch.inference_mode])
def test_within_no_grad(draws, lesson_net, context):
    """It measures gradients also where the caller has them off, and leaves them off."""
    model, x = lesson_net().eval(), draws(4, 784)
    expected = measure(model, x)
    with context():
        made_here = draws(4, 784)
        found = measure(model, made_here)
        assert not torch.is_grad_enabled()
    np.testing.assert_array_equal(
        found.values("output_grad_var"), expected.values("output_grad_var")
    )


def test_dropout_masks_come_from_the_seed(draws, lesson_net):
    """The same seed gives the same numbers, another one others, whatever the global state."""
    model, x = lesson_net(), draws(20, 784)
    first = measure(model, x, seed=3).values("output_var")
    torch.rand(5)
    np.testing.assert_array_equal(first, measure(model, x, seed=3).values("output_var"))
    assert (first != measure(model, x, seed=4).values("output_var")).any()


def test_nothing_keeps_the_graph_alive(draws, using):
    """After measuring, no activation is left in memory."""
    import gc
    import weakref

    kept = []
    model = using(
        lambda self, x: kept.append(weakref.ref(y := self.fc(x))) or y * 1, fc=nn.Linear(3, 2)
    )
    found = measure(model, draws(4, 3), histograms=4)
    gc.collect()
    assert kept[0]() is None
    assert len(found) == 1


BAD = [
    (
        lambda make: measure("net", make.draws(1)),
        TypeError,
        "model is of type str; it must be a torch.nn.M",
    ),
    (
        lambda make: measure(nn.LazyLinear(3), make.draws(2, 2)),
        ValueError,
        "weight has no shape yet .a lazy layer.; run the model once",
    ),
    (
        lambda make: measure(nn.Linear(2, 2, device="meta"), make.draws(2, 2)),
        ValueError,
        "weight is on the meta device, which holds no numbers",
    ),
    (
        lambda _: measure(nn.Linear(2, 2), np.ones((2, 2))),
        TypeError,
        "inputs is of type ndarray; it must be a tensor, .*torch.from_numpy",
    ),
    (
        lambda _: measure(nn.Linear(2, 2), {1: 2}),
        TypeError,
        "inputs has the keys .1.; a dictionary",
    ),
    (
        lambda make: measure(nn.Linear(2, 2), make.draws(0, 2)),
        ValueError,
        r"inputs holds no numbers to measure with: \(0, 2\) float32",
    ),
    (
        lambda _: measure(nn.Linear(2, 2), ()),
        ValueError,
        "inputs holds no numbers .*: none; give",
    ),
    (
        lambda make: measure(make.lesson_net(), make.draws(3, 5)),
        RuntimeError,
        r"shapes cannot be multiplied.*\n.*Net in training mode; inputs: \(3, 5\) float32",
    ),
    (
        lambda make: measure(
            make.using(lambda self, x: self.fc(x).argmax(), fc=nn.Linear(2, 2)), make.draws(2, 2)
        ),
        ValueError,
        "output of Using holds no floating-point tensor .torch.int64 came.; give loss=",
    ),
    (
        lambda make: measure(make.using(lambda _, x: x, fc=nn.Linear(2, 2)), make.draws(2, 2)),
        ValueError,
        "no layer of Using gave a floating-point tensor",
    ),
    (
        lambda make: measure(make.lesson_net(), make.draws(3, 784), torch.tensor([1, 2, 10])),
        ValueError,
        "targets reach from 1 to 10, but the output of Net has 10 classes; they must be 0 to 9",
    ),
    (
        lambda make: measure(make.lesson_net(), make.draws(3, 784), torch.ones(4).long()),
        ValueError,
        r"targets has shape \(4,\), which does not fit the output of Net, \(3, 10\).*: \(3,\) for",
    ),
    (
        lambda make: measure(nn.Linear(2, 1), make.draws(3, 2), make.draws(3)),
        ValueError,
        r"targets has shape \(3,\), but the output of Linear has \(3, 1\).*reshape\(3, 1\)",
    ),
    (
        lambda make: measure(nn.Linear(2, 2), make.draws(3, 2), make.draws(3)),
        ValueError,
        r"targets has shape \(3,\), but the output of Linear has \(3, 2\).*targets\.long\(\)",
    ),
    (
        lambda make: measure(nn.Linear(2, 1), make.draws(3, 2), [1, 2, 3]),
        TypeError,
        "targets is of type list; give a tensor, or a loss",
    ),
    (
        lambda make: measure(nn.Linear(2, 1), make.draws(3, 2), make.draws(3, 1) > 0),
        ValueError,
        "targets is of type torch.bool; the loss by itself knows",
    ),
    (
        lambda make: measure(nn.Linear(2, 1), make.draws(3, 2), loss="mse"),
        TypeError,
        "loss is 'mse'; it must be a function",
    ),
    (
        lambda make: measure(nn.Linear(2, 1), make.draws(3, 2), loss=lambda y: y),
        ValueError,
        r"loss returned a tensor of shape \(3, 1\) and type float32; it must return one",
    ),
    (
        lambda make: measure(nn.Linear(2, 1), make.draws(3, 2), loss=lambda y: y.sum().item()),
        ValueError,
        "loss returned .* of type float; it must return a tensor",
    ),
    (
        lambda make: measure(nn.Linear(2, 1), make.draws(3, 2), histograms=-1),
        ValueError,
        "histograms is -1; it must be a whole number, at least 0",
    ),
    (
        lambda make: measure(nn.Linear(2, 1), make.draws(3, 2), seed=0.5),
        ValueError,
        "seed is 0.5; it must be a whole number, at least 0",
    ),
    (
        lambda make: measure(nn.Linear(2, 1), make.draws(3, 2), seed=2**64),
        ValueError,
        "seed is 18446744073709551616; it must be below 2⁶³",
    ),
    (
        lambda make: measure(make.lesson_net(), make.draws(3, 784), torch.full((3,), -100)),
        ValueError,
        "targets are all -100, which is left out, so there is nothing to learn from",
    ),
    (
        lambda make: measure(nn.Linear(2, 1), make.draws(3, 2), quantiles=(0.1, 2)),
        ValueError,
        r"quantiles is \(0.1, 2\); each must be a number in \[0, 1\]",
    ),
    (
        lambda make: measure(nn.Linear(2, 1), make.draws(3, 2), jacobian=4),
        ValueError,
        "jacobian is 4, but the batch has 3 inputs",
    ),
    (
        lambda _: measure(nn.Embedding(2, 1), torch.ones(3).long(), jacobian=1),
        ValueError,
        r"jacobian is 1, but the inputs hold no floating-point tensor .*\(3,\) int64",
    ),
]


@pytest.mark.parametrize(("call", "error", "message"), BAD)
def test_refused(make, call, error, message):
    """What cannot be measured is refused, with what came and what to do."""
    with pytest.raises(error, match=message):
        call(make)


def test_refuses_weights_without_gradients(draws):
    """Weights made in inference mode cannot have gradients, and are refused."""
    with torch.inference_mode():
        model = nn.Linear(2, 2)
    with pytest.raises(ValueError, match=r"weight was made in torch.inference_mode\(\)"):
        measure(model, draws(2, 2))

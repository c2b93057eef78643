"""What came, what may be run, and a model that comes back as it was."""

import random

import numpy as np
import pytest
import torch
from torch import nn

from initguide.introspection import (
    arguments_of,
    check_kind,
    describe_arguments,
    left_alone,
    run_model,
    tensors_in,
)


def test_tensors_in_any_nesting():
    """Tensors are found in tuples, lists and dictionaries, in their order; others are left out."""
    a, b, c = torch.zeros(1), torch.ones(2), torch.ones(3)
    found = tensors_in((a, {"b": [b, "x"], "c": (c, None)}, 3))
    assert [id(tensor) for tensor in found] == [id(a), id(b), id(c)]
    assert tensors_in("abc") == []


def test_arguments():
    """A tensor or list is one argument, a tuple several, a dictionary those by name."""
    x = torch.ones(2)
    assert arguments_of(x) == ((x,), {})
    assert arguments_of([x, x]) == (([x, x],), {})
    assert arguments_of((x, 3)) == ((x, 3), {})
    assert arguments_of({"x": x}) == ((), {"x": x})


@pytest.mark.parametrize(
    ("inputs", "error", "message"),
    [
        (np.ones(2), TypeError, r"inputs is of type ndarray; .*torch\.from_numpy"),
        ("text", TypeError, r"inputs is of type str; it must be a tensor, a tuple .*arguments$"),
        ({1: torch.ones(2)}, TypeError, r"inputs has the keys \[1\]; .* names"),
        ((), ValueError, "no numbers to measure with: none; give a batch"),
        (torch.ones(0, 3), ValueError, r"no numbers to measure with: \(0, 3\) float32"),
        ({"n": 3}, ValueError, "no numbers to measure with: n=int"),
    ],
)
def test_refused_arguments(inputs, error, message):
    """What is no batch is refused, with what came."""
    with pytest.raises(error, match=message):
        arguments_of(inputs)


def test_arguments_in_words():
    """Shapes and types of tensors, lengths of sequences, and the names of keywords."""
    found = describe_arguments((torch.ones(2, 3), [1, 2]), {"mask": torch.zeros(2).bool()})
    assert found == "(2, 3) float32, list of 2, mask=(2,) bool"
    assert describe_arguments((), {}) == "none"


@pytest.mark.parametrize(
    ("model", "error", "message"),
    [
        (nn.Linear, TypeError, r"model is of type type; it must be a torch\.nn\.Module"),
        (nn.Sequential(nn.LazyLinear(2)), ValueError, r"0\.weight has no shape yet"),
        (nn.Linear(2, 2, device="meta"), ValueError, "weight is on the meta device"),
    ],
)
def test_refused_models(model, error, message):
    """What has no layers or no numbers is refused."""
    with pytest.raises(error, match=message):
        check_kind(model)


class Changing(nn.Module):
    """Changes itself and the generators as it runs."""

    def __init__(self):
        super().__init__()
        self.register_buffer("count", torch.zeros(1))
        self.register_buffer("replaced", torch.zeros(1))
        self.words = nn.Embedding(3, 2, max_norm=0.1)
        nn.init.ones_(self.words.weight)

    def forward(self, x):
        """Leave traces."""
        self.count += 1
        self.replaced = self.replaced + 1
        self.last = x
        self.extra = nn.Linear(1, 1)
        self.eval()
        random.random()  # noqa: S311
        np.random.rand()  # noqa: NPY002
        return self.words(x)


def test_left_alone():
    """Buffers, attributes, modules, mode, renormalized weights and generators come back."""
    model, x = Changing(), torch.tensor([0, 1])
    before = {name: id(value) for name, value in vars(model).items()}
    replaced, drawn = model.replaced, (random.getstate(), np.random.get_state()[1].tolist())  # noqa: NPY002
    with left_alone(model):
        run_model(model, (x,), {}, "")
        assert model.count == 1
    assert {name: id(value) for name, value in vars(model).items() if name != "training"} == {
        name: value for name, value in before.items() if name != "training"
    }
    assert model.training
    assert model.count == 0
    assert model.replaced is replaced
    assert [name for name, _ in model.named_children()] == ["words"]
    assert (model.words.weight == 1).all()
    assert (random.getstate(), np.random.get_state()[1].tolist()) == drawn  # noqa: NPY002


def test_left_alone_although_it_fails():
    """An error inside comes through, after everything was put back."""
    model = Changing()
    with pytest.raises(IndexError), left_alone(model):
        model(torch.tensor([7]))  # counts, and has no seventh word
    assert model.count == 0


def test_other_changes_of_weights_are_named():
    """Weights that were edited in place stay so, and a warning names them."""
    model = nn.Linear(2, 2)
    with pytest.warns(UserWarning, match=r"changed bias of the model in place.*deepcopy"):  # noqa: SIM117
        with left_alone(model), torch.no_grad():
            model.bias.fill_(3.0)
    assert (model.bias == 3).all()


def test_errors_say_what_came():
    """An error of torch says it in the message, one of the model's own in a note."""
    with pytest.raises(RuntimeError, match=r"shapes.*\nThis came from the forward pass of a test"):
        run_model(nn.Linear(2, 2), (torch.ones(1, 3),), {}, "a test")

    class Fails(nn.Module):
        def forward(self):
            raise KeyError("mine")

    with pytest.raises(KeyError, match="mine") as caught:
        run_model(Fails(), (), {}, "a test")
    assert caught.value.__notes__ == ["in the forward pass of a test"]

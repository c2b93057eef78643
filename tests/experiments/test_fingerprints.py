"""Keys and fingerprints: equal where everything that determines a run is, different otherwise."""

import abc
import copy
import functools
import itertools
import math
import re
import threading
from collections import deque
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Generator, nn

import initguide
from initguide import initializers as init
from initguide.experiments import Job, fingerprint, written


def test_scale_multiplies_weights():
    """Matrices are multiplied once they are filled, biases are not."""

    def built(scale):
        return Job(
            label="x", seed=3, scheme=init.default(), model=functools.partial(initguide.Net, 4, 4),
            epochs=1, batch_size=1, learning_rate=1, optimizer="sgd", scale=scale,
        ).build()  # fmt: skip

    one, three = built(1.0), built(3.0)
    assert torch.equal(three.fc1.weight, one.fc1.weight * 3)
    assert torch.equal(three.fc1.bias, one.fc1.bias)
    assert one.fc1.bias.abs().sum() > 0


def _job(**changes):
    common = {
        "label": "x",
        "seed": 0,
        "scheme": init.he_normal(),
        "model": initguide.Net,
        "epochs": 1,
        "batch_size": 16,
        "learning_rate": 0.1,
        "optimizer": "sgd",
        "scale": 1.0,
        "keywords": {},
    }
    return Job(**common | changes)


VALUES = {
    "seed": st.integers(0, 2**63 - 1),
    "scheme": st.sampled_from(["zeros", "ones", "normal(0.1)", "normal(0.2)", "he_normal"]).map(
        init.from_name
    ),
    "epochs": st.integers(1, 5),
    "batch_size": st.integers(1, 500),
    "learning_rate": st.floats(1e-6, 10),
    "optimizer": st.sampled_from(["sgd", "adam", torch.optim.RMSprop, torch.optim.Adagrad]),
    "scale": st.floats(0, 10),
    "keywords": st.dictionaries(
        st.sampled_from(["hidden_1", "dropout", "activation"]),
        st.one_of(st.integers(1, 9), st.floats(0, 1), st.sampled_from([nn.ReLU, nn.Tanh])),
    ),
}


@settings(deadline=None, max_examples=80)
@given(one=st.fixed_dictionaries(VALUES), other=st.fixed_dictionaries(VALUES), data=st.data())
def test_keys(one, other, data):
    """Equal where everything that determines a run is equal, different otherwise."""
    assert _job(**one).key("data") == _job(**one).key("data")
    name = data.draw(st.sampled_from(sorted(VALUES)))
    changed = one | {name: other[name]}
    # Keywords are the same in any order.
    said = [
        repr(sorted(v.items(), key=repr) if isinstance(v, dict) else v)
        for v in (changed[name], one[name])
    ]
    is_same = said[0] == said[1]
    assert (_job(**changed).key("data") == _job(**one).key("data")) is is_same
    assert _job(**one).key("data") != _job(**one).key("other data")
    keywords = dict(reversed(one["keywords"].items()))
    assert _job(**one | {"keywords": keywords}).key("data") == _job(**one).key("data")


def _made(value, default=1):
    def scheme(module, factor=default):
        return module, factor, value

    return scheme


def test_functions_are_told_apart():
    """By their code, their default values, and what they close over; not by their place."""
    assert fingerprint(_made(1)) == fingerprint(_made(1))
    assert fingerprint(_made(1)) != fingerprint(_made(2))
    assert fingerprint(_made(1, 1)) != fingerprint(_made(1, 2))
    assert fingerprint(lambda m: m) != fingerprint(lambda m: None)  # noqa: ARG005
    assert fingerprint(functools.partial(_made, 1)) != fingerprint(functools.partial(_made, 2))
    assert fingerprint(init.normal(0.1)) != fingerprint(init.normal(0.2))
    assert fingerprint(init.normal(0.1)) == fingerprint(init.normal(std=0.1))
    assert fingerprint(init.zero_last(_made(1))) == fingerprint(init.zero_last(base=_made(1)))
    assert fingerprint(init.zero_last(_made(1))) != fingerprint(init.zero_last(_made(2)))
    ours = [init.zero_last(init.normal(generator=Generator().manual_seed(i))) for i in (0, 1)]
    assert fingerprint(ours[0]) != fingerprint(ours[1])
    assert fingerprint(initguide.Net) == "initguide.models.Net"
    assert fingerprint(np.arange(3)) != fingerprint(np.arange(4))
    assert fingerprint({"a": 1, "b": {2, 3}}) == fingerprint({"a": 1, "b": {3, 2}})


def test_classes_are_told_apart():
    """By the code of their methods, and of those of their own bases."""

    def made(number, layer=nn.Linear):
        class Model(nn.Module):
            size = number

            def __init__(self, width=number):
                super().__init__()
                self.fc = layer(width, 10)

        return Model

    assert fingerprint(made(3)) == fingerprint(made(3))
    assert fingerprint(made(3)) != fingerprint(made(4))


def test_classes_are_told_apart_by_their_attributes():
    """Of whatever kind, nested classes and functions that are no methods too."""

    def made(value):
        class Model(nn.Module):
            setting = value

        return fingerprint(Model)

    class Small:
        width = 8

    class Large:
        width = 64

    Large.__qualname__ = Small.__qualname__
    kinds = [(8,), (64,), [8], [64], {"a": 8}, {"a": 64}, {8}, {64}, Small, Large]
    kinds += [functools.partial(_made, 8), functools.partial(_made, 64), torch, math, None, 0.5]
    for one, other in itertools.pairwise(kinds):
        assert made(one) == made(one)
        assert made(one) != made(other)


class _Slots:
    __slots__ = ("width",)

    def __init__(self, width):
        self.width = width


def test_values_without_attributes_are_told_apart():
    """By what pickle keeps of them; parts of compiled classes by name."""
    things = [
        range(3), range(5), slice(1), slice(2), Fraction(1, 2), Fraction(1, 3), deque([1]),
        deque([2]), _Slots(8), _Slots(64), torch.Tensor.tanh, torch.Tensor.relu, np.tanh, np.sin,
        np.dtype("f4"), np.dtype("f8"), torch.float32, torch.float64, functools.cache(_made),
        functools.cache(_by_hand), Path("a"), Path("b"), re.compile("a"), re.compile("b"), ...,
        object(),
    ]  # fmt: skip
    for one, other in itertools.combinations(things, 2):
        assert fingerprint(one) != fingerprint(other)
    for one in things:
        assert fingerprint(copy.deepcopy(one)) == fingerprint(one)
        assert not re.search("0x[0-9a-f]{6}", fingerprint(one))


def test_descriptions_hold_no_address():
    """The same in every process, so that a store can be gone on with; neither do fingerprints."""
    mine = functools.partial(_made, torch.tanh, default=[nn.ReLU, {"a": (torch.relu,)}, _Slots(3)])
    assert written(
        mine
    ) == "_made(tanh, default=[ReLU, {'a': (relu,)}, <tests.test_sweep._Slots object>])".replace(
        "tests.test_sweep", __name__
    )
    assert written(torch.tanh) == "tanh"
    assert written((1, "a")) == "(1, 'a')"
    assert written(init.normal(0.1)) == "normal(std=0.1)"
    assert fingerprint(torch.tanh) == "torch._VariableFunctionsClass.tanh"
    assert fingerprint([1].append) != fingerprint([2].append)
    assert fingerprint(math.sin) != fingerprint(math.cos)


def test_what_cannot_be_told_apart():
    """It is refused, not taken for another."""
    with pytest.raises(TypeError, match="reaches, by what is kept, a lock, whose contents cannot"):
        fingerprint(functools.partial(_made, threading.Lock()))


def test_things_that_hold_themselves():
    """They have a fingerprint, too."""

    def made(number):
        class Node(abc.ABC):  # noqa: B024
            kinds: list = []  # noqa: RUF012
            size = number

            @functools.cached_property
            def half(self):
                return Node.size / 2

        Node.kinds += [Node, Node()]
        Node.kinds[1].me = Node.kinds
        return Node

    assert fingerprint(made(1)) == fingerprint(made(1))
    assert fingerprint(made(1)) != fingerprint(made(2))
    assert fingerprint(made(1).kinds[1]) != fingerprint(made(2).kinds[1])


def _by_hand(module):
    """A scheme at the top level of a module."""


@pytest.mark.parametrize(
    ("thing", "name"),
    [
        (initguide.Net, "initguide.models.Net"),
        (Job, "initguide.experiments.Job"),
        (init.from_name, "initguide.initializers.from_name"),
        (nn.Linear, "torch.nn.modules.linear.Linear"),
    ],
)
def test_public_names(thing, name):
    """What a wing exports goes by the wing's name, so that it may move inside the wing."""
    assert fingerprint(thing) == name


def test_a_move_inside_a_wing_changes_no_key(monkeypatch):
    """Wherever in its wing the class stands, runs that were stored with it are found."""
    before = _job().key("data")
    monkeypatch.setattr(initguide.Net, "__module__", "initguide.models.elsewhere")
    assert _job().key("data") == before


def test_a_label_is_not_in_the_key():
    """A run keeps its key when it is called something else, or described in other words."""
    assert _job(label="a").key("data") == _job(label="b").key("data")
    assert _job(settings={"scheme": "a"}).key("data") == _job(settings={}).key("data")

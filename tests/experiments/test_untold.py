"""What cannot be told from another is refused, with the way to it; what lies is seen through."""

import ctypes
import functools
import importlib
import io
import itertools
import logging
import sys
import threading
import types

import numpy as np
import pytest
import torch
from torch import nn

import initguide
from initguide.experiments import fingerprint
from initguide.experiments.jobs.fingerprints.libraries import library_of
from initguide.initializers.scheme import _registered, filling, initializer

LOCK = threading.Lock()
FILE = io.TextIOWrapper(io.BytesIO(b"0.1"))
NUMBERS = (number for number in range(3))
LIBRARY = ctypes.CDLL(None)
COUNTER = itertools.count()
SPARSE = torch.eye(2).to_sparse()


UFUNC = np.frompyfunc(lambda number: number + 1, 1, 1)


def _made_by_numpy(module):
    return UFUNC(module)


def _registered_operator(module):
    return torch.ops.mine.scaled(module.weight)


def _locked(module):
    return LOCK, module


def _reading(module):
    return FILE, module


def _drawing(module):
    return NUMBERS, module


def _foreign(module):
    return LIBRARY, module


def _evaluated(module):
    return module, eval("module.weight")  # noqa: S307


def _executed(module):
    exec("module.weight = 1")  # noqa: S102
    return module


def _imported(module):
    return importlib.import_module("math").sqrt(module)


def _found(module):
    return sys.modules["math"].sqrt(module)


def _sparse(module):
    return SPARSE @ module.weight


@pytest.mark.parametrize(
    ("scheme", "reason"),
    [
        pytest.param(
            _locked,
            r"the global variable LOCK of _locked, a lock, whose contents cannot be seen \(cannot "
            r"pickle .*let the code that needs it make it, from plain values, or call without a st",
            marks=pytest.mark.fault(
                "fingerprints",
                tried="a scheme reads a lock",
                happens="it is refused, with the name of the variable and what to do",
            ),
        ),
        pytest.param(
            _reading,
            "the global variable FILE of _reading, the open file .*read it before, and use what it",
            marks=pytest.mark.fault(
                "fingerprints",
                tried="a scheme reads an open file",
                happens="it is refused: read it before",
            ),
        ),
        pytest.param(
            _drawing,
            "NUMBERS of _drawing, a generator, whose contents cannot be seen",
            marks=pytest.mark.fault(
                "fingerprints",
                tried="a scheme draws from a generator of Python",
                happens="it is refused: what is left in it cannot be seen",
            ),
        ),
        pytest.param(
            _foreign,
            "LIBRARY of _foreign, <CDLL .*which belongs to a library of C",
            marks=pytest.mark.fault(
                "fingerprints",
                tried="a scheme calls a library of C by ctypes",
                happens="it is refused: its code cannot be seen",
            ),
        ),
        pytest.param(
            _evaluated,
            "_evaluated reaches eval, which runs code that is made from text.*: name what is used",
            marks=pytest.mark.fault(
                "fingerprints",
                tried="a scheme calls eval",
                happens="it is refused: name what is used in the code itself",
            ),
        ),
        pytest.param(
            _made_by_numpy,
            "UFUNC of _made_by_numpy, .*a function that numpy made of another one.*numpy.vectorize",
            marks=pytest.mark.fault(
                "fingerprints",
                tried="a scheme calls a function made by numpy.frompyfunc",
                happens="it is refused: numpy does not tell of what it was made",
            ),
        ),
        pytest.param(
            _registered_operator,
            "reaches scaled of torch.ops.mine, whose code torch keeps to itself",
            marks=pytest.mark.fault(
                "fingerprints",
                tried="a model calls an operator registered with torch",
                happens="it is refused: call the function that was registered",
            ),
        ),
        pytest.param(_executed, "_executed reaches exec, which runs code that is made from text"),
        pytest.param(
            _imported,
            "_imported reaches import_module, which finds code by a text",
            marks=pytest.mark.fault(
                "fingerprints",
                tried="a scheme imports a module whose name is a text",
                happens="it is refused: use an import statement",
            ),
        ),
        pytest.param(
            _found,
            "_found reaches sys.modules, which finds code by a text",
        ),
        pytest.param(
            _sparse,
            r"SPARSE of _sparse, a tensor \(its layout is sparse_coo; give an ordinary one, as by",
            marks=pytest.mark.fault(
                "fingerprints",
                tried="a scheme multiplies by a sparse tensor",
                happens="it is refused, in a sentence and not in torch's words",
            ),
        ),
    ],
)
def test_refused(scheme, reason):
    """The message says what it is, on which way it is reached, and what to do."""
    with pytest.raises(TypeError, match=reason) as caught:
        fingerprint(scheme, "the scheme")
    assert str(caught.value).startswith(f"the scheme {scheme.__name__} reaches")


def test_nothing_is_written_where_something_is_refused(tmp_path, swept):
    """Neither is anything trained; without a store, the same call works."""
    path = tmp_path / "runs.sqlite"
    with pytest.raises(TypeError, match="the scheme _locked reaches, by the global variable LOCK"):
        swept({}, scheme=_locked, store=path)
    assert not path.exists()
    assert len(swept({}, scheme=_locked).runs) == 2


@pytest.mark.fault(
    "fingerprints",
    tried="a scheme uses a compiled module that belongs to no installed package",
    happens="it is refused: its code and its state cannot be seen",
)
def test_a_compiled_module(monkeypatch):
    """An installed one counts by its version."""
    module = types.ModuleType("compiled_mine")
    module.__file__ = "/somewhere/compiled_mine.so"
    module.factor = 3
    monkeypatch.setitem(sys.modules, "compiled_mine", module)

    def scheme(layer):
        return module.factor, layer

    def local(layer):
        import compiled_mine

        return compiled_mine.factor, layer

    for function in (scheme, local):
        with pytest.raises(TypeError, match="of compiled_mine, a compiled module without a vers"):
            fingerprint(function)


def _mine(self):
    nn.init.zeros_(self.weight)


@pytest.mark.fault(
    "fingerprints",
    tried="a method of torch is replaced by one's own",
    happens="all that uses its class is taken for another",
)
def test_a_library_that_is_patched(monkeypatch):
    """It does not count by its name any more."""

    def model():
        return nn.Sequential(nn.Linear(2, 2), nn.ReLU())

    def scheme(module):
        return torch.nn.functional.relu(module.weight)

    before = fingerprint(model), fingerprint(scheme), fingerprint(nn.Linear)
    with monkeypatch.context() as patch:
        patch.setattr(nn.Linear, "reset_parameters", _mine)
        patch.setattr(torch.nn.functional, "relu", functools.wraps(torch.nn.functional.relu)(_mine))
        during = fingerprint(model), fingerprint(scheme), fingerprint(nn.Linear)
    assert all(one != other for one, other in zip(before, during, strict=True))
    assert (fingerprint(model), fingerprint(scheme), fingerprint(nn.Linear)) == before


@pytest.mark.fault(
    "fingerprints",
    tried="a function is given the name and the module of one of torch's",
    happens="its own code counts all the same",
)
def test_a_function_that_lies():
    """`functools.wraps` copies the module and the name."""

    def wrapped(factor):
        @functools.wraps(nn.init.zeros_)
        def scheme(module):
            return module.weight.mul_(factor)

        return scheme

    assert fingerprint(wrapped(1)) == fingerprint(wrapped(1)) != fingerprint(wrapped(2))
    assert fingerprint(wrapped(1)) != fingerprint(nn.init.zeros_)


@pytest.mark.fault(
    "fingerprints",
    tried="a scheme that was registered by its name is edited",
    happens="it is taken for another, though its description is the same",
)
def test_a_registered_scheme_of_ones_own():
    """The name of a scheme identifies it only where the package brought it."""
    found = []
    for factor in (1.0, 2.0):

        def my_own_scheme(factor=factor):
            return filling("my_own_scheme", lambda layer: layer.weight.fill_(factor))

        try:
            scheme = initializer(my_own_scheme)()
            found.append(fingerprint(scheme))
        finally:
            _registered.pop("my_own_scheme")
    assert len(set(found)) == 2


class _Reduced:
    """An object that leaves out of a copy what decides all the same."""

    def __init__(self, factor):
        self.factor = factor

    def __getstate__(self):
        return {}


def test_what_a_copy_leaves_out():
    """A class of one's own may say what pickle is to keep; what a run sees is the object."""
    assert fingerprint(_Reduced(1)) == fingerprint(_Reduced(1)) != fingerprint(_Reduced(2))


def test_one_list_in_two_places():
    """What is changed in one place changes in the other: two equal lists are another thing."""
    one = [1]
    assert fingerprint([one, one]) != fingerprint([[1], [1]])
    assert fingerprint([[1], [1]]) == fingerprint([[1], [1]])


def test_values_of_libraries():
    """Arrays, tensors of any kind, generators and loggers count by what they hold."""
    things = [
        torch.tensor([1.0]), torch.tensor([2.0]), torch.tensor([1.0], dtype=torch.bfloat16),
        torch.tensor([1.0 + 1j]), torch.tensor([1.0 + 2j]).conj(), torch.tensor([True]),
        nn.Parameter(torch.tensor([1.0])), torch.zeros(1, device="meta"), np.array(["a"]),
        np.array([None, 1]), np.array([None, 2]), np.float32(1), np.float64(1),
        np.random.default_rng(0), np.random.default_rng(1), logging.getLogger("a"),
        torch.zeros(0), torch.zeros(0, 2), int | None, list[int],
    ]  # fmt: skip
    prints = [fingerprint(thing) for thing in things]
    assert len(set(prints)) == len(things)
    assert prints == [fingerprint(thing) for thing in things]


def test_what_is_a_library():
    """By the place where it lies; modules of no package are the user's."""
    assert library_of("torch.nn") == "torch"
    assert library_of("initguide.models") == "initguide"
    assert library_of("numpy.linalg") == f"numpy {np.__version__}"
    for name in ("math", "json.decoder", "sys"):
        assert library_of(name) == f"Python {sys.version_info.major}.{sys.version_info.minor}"
    for name in ("__main__", __name__, "no_such_module", None):
        assert library_of(name) == ""
    assert fingerprint(initguide.mlp) == "initguide.models.mlp"
    assert fingerprint(np.linalg.LinAlgError).endswith(f" (numpy {np.__version__})")

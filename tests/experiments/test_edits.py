"""Programs are edited at random places: what is found in a store is what would be computed."""

import os
import random
import subprocess
import sys
from fractions import Fraction
from pathlib import Path

import programs
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import initguide
from initguide.experiments import StoreError, fingerprint

HOME = str(Path(initguide.__file__).parents[1])


@pytest.fixture(autouse=True)
def _tidy(monkeypatch):
    """Leave no module behind, and no compiled file."""
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    yield
    programs.unload()


def _function(folder, kind, factor, style="from"):
    """Function of one module that calls one of another."""
    inner = programs.Node(kind, factor, (), "from", 0)
    outer = programs.Node("a default", 1, (0,), style, 1)
    return programs.loaded(programs.sources([inner, outer]), folder, 1)


def _check_edit(folder, kind, style="from"):
    seen = []
    for factor in (3, 4, 3):
        function = _function(folder, kind, factor, style)
        seen.append((fingerprint(function), function(5)))
    (one, first), (other, second), (again, third) = seen
    assert first == third != second
    assert one == again != other


EDITS = [
    pytest.param(
        "a number in the code",
        marks=pytest.mark.fault(
            "fingerprints",
            tried="a number in a scheme's code is edited",
            happens="it is taken for another, and no old run is found",
        ),
    ),
    pytest.param(
        "a global variable",
        marks=pytest.mark.fault(
            "fingerprints",
            tried="a constant that a scheme reads as a global variable is edited",
            happens="it is taken for another, and no old run is found",
        ),
    ),
    pytest.param(
        "a default of a keyword",
        marks=pytest.mark.fault(
            "fingerprints",
            tried="a default value is edited",
            happens="it is taken for another, and no old run is found",
        ),
    ),
    pytest.param(
        "a closure",
        marks=pytest.mark.fault(
            "fingerprints",
            tried="a value that a function closes over is another",
            happens="it is taken for another, and no old run is found",
        ),
    ),
    pytest.param(
        "an attribute of a function",
        marks=pytest.mark.fault(
            "fingerprints",
            tried="an attribute of a function is edited",
            happens="it is taken for another, and no old run is found",
        ),
    ),
    pytest.param(
        "a decorator",
        marks=pytest.mark.fault(
            "fingerprints",
            tried="a decorator made with functools.wraps is edited",
            happens="it is taken for another, and no old run is found",
        ),
    ),
    pytest.param(
        "a decorated function",
        marks=pytest.mark.fault(
            "fingerprints",
            tried="a function inside a functools.wraps'ped one is edited",
            happens="it is taken for another, and no old run is found",
        ),
    ),
    pytest.param(
        "an attribute of a class",
        marks=pytest.mark.fault(
            "fingerprints",
            tried="an attribute of a class that the model uses is edited",
            happens="it is taken for another, and no old run is found",
        ),
    ),
    pytest.param(
        "an inherited method",
        marks=pytest.mark.fault(
            "fingerprints",
            tried="a method of a base class is edited",
            happens="it is taken for another, and no old run is found",
        ),
    ),
    pytest.param(
        "a metaclass",
        marks=pytest.mark.fault(
            "fingerprints",
            tried="a method of a metaclass is edited",
            happens="it is taken for another, and no old run is found",
        ),
    ),
    pytest.param(
        "a data class",
        marks=pytest.mark.fault(
            "fingerprints",
            tried="a field of a data class that the model reads is edited",
            happens="it is taken for another, and no old run is found",
        ),
    ),
    pytest.param(
        "an annotation",
        marks=pytest.mark.fault(
            "fingerprints",
            tried="an annotation that the code reads is edited",
            happens="it is taken for another, and no old run is found",
        ),
    ),
    pytest.param(
        "partial",
        marks=pytest.mark.fault(
            "fingerprints",
            tried="an argument bound by functools.partial is edited",
            happens="it is taken for another, and no old run is found",
        ),
    ),
    pytest.param(
        "a tuple of functions",
        marks=pytest.mark.fault(
            "fingerprints",
            tried="a function in a tuple is edited",
            happens="it is taken for another, and no old run is found",
        ),
    ),
    pytest.param(
        "the order of a dictionary",
        marks=pytest.mark.fault(
            "fingerprints",
            tried="the order of a dictionary is changed",
            happens="it is taken for another, and no old run is found",
        ),
    ),
    pytest.param(
        "the order of an ordered dictionary",
        marks=pytest.mark.fault(
            "fingerprints",
            tried="the order of an OrderedDict is changed",
            happens="it is taken for another, and no old run is found",
        ),
    ),
    pytest.param(
        "a set",
        marks=pytest.mark.fault(
            "fingerprints",
            tried="an element of a set is edited",
            happens="it is taken for another, and no old run is found",
        ),
    ),
    pytest.param(
        "a tensor",
        marks=pytest.mark.fault(
            "fingerprints",
            tried="a number in a bfloat16 tensor is edited",
            happens="it is taken for another, and no old run is found",
        ),
    ),
    pytest.param(
        "what a cached function calls",
        marks=pytest.mark.fault(
            "fingerprints",
            tried="a function behind functools.cache is edited",
            happens="it is taken for another, and no old run is found",
        ),
    ),
    pytest.param(
        "what is dispatched",
        marks=pytest.mark.fault(
            "fingerprints",
            tried="a function registered with functools.singledispatch is edited",
            happens="it is taken for another, and no old run is found",
        ),
    ),
    pytest.param(
        "what a try covers",
        marks=pytest.mark.fault(
            "fingerprints",
            tried="a line inside a try block is edited",
            happens="it is taken for another, and no old run is found",
        ),
    ),
    pytest.param(
        "any global variable",
        marks=pytest.mark.fault(
            "fingerprints",
            tried="a global variable that is looked up by globals() is edited",
            happens="it is taken for another, and no old run is found",
        ),
    ),
]
OTHERS = sorted(set(programs.KINDS) - {param.values[0] for param in EDITS})


@pytest.mark.parametrize("kind", [*EDITS, *OTHERS])
def test_every_edit_is_noticed(tmp_path, kind):
    """Whatever a function multiplies by, another number is another fingerprint."""
    _check_edit(tmp_path, kind)


@pytest.mark.parametrize(
    "style",
    [
        pytest.param(
            "module",
            marks=pytest.mark.fault(
                "fingerprints",
                tried="a module of the project that a scheme imports is edited",
                happens="it is taken for another, and no old run is found",
            ),
        ),
        pytest.param(
            "getattr",
            marks=pytest.mark.fault(
                "fingerprints",
                tried="a function that a scheme finds by getattr on a module is edited",
                happens="it is taken for another, and no old run is found",
            ),
        ),
        pytest.param(
            "local",
            marks=pytest.mark.fault(
                "fingerprints",
                tried="a module that is imported inside a function is edited",
                happens="it is taken for another, and no old run is found",
            ),
        ),
        pytest.param(
            "relative",
            marks=pytest.mark.fault(
                "fingerprints",
                tried="a module that is imported relatively is edited",
                happens="it is taken for another, and no old run is found",
            ),
        ),
        "alias",
        "local from",
        "local name",
    ],
)
def test_every_way_to_another_module(tmp_path, style):
    """However one function comes to another, what that one does counts."""
    _check_edit(tmp_path, "a global variable", style)


@pytest.mark.fault(
    "fingerprints",
    tried="random programs of several modules are edited at random places",
    happens="what is found is what would be computed; edits that no run reaches change nothing",
)
@settings(deadline=None, max_examples=30)
@given(seed=st.integers(0, 2**32))
def test_a_store_holds_what_would_be_computed(tmp_path_factory, seed):
    """After any edits; and what no edit has reached is found again."""
    draw, folder = random.Random(seed), tmp_path_factory.mktemp("edits")  # noqa: S311
    nodes = [programs.drawn(draw, n) for n in range(draw.randint(2, 9))]
    store: dict[str, int] = {}
    before, key = nodes, ""
    for _ in range(4):
        function = programs.loaded(programs.sources(nodes), folder, len(nodes) - 1)
        last, key = key, fingerprint(function)
        result = function(3)
        assert store.setdefault(key, result) == result
        assert fingerprint(function) == key  # also after it was called
        if last and programs.is_untouched(before, nodes):
            assert key == last
        before, nodes = nodes, programs.edited(draw, nodes)


@settings(deadline=None, max_examples=20)
@given(seed=st.integers(0, 2**32))
def test_comments_do_not_count(tmp_path_factory, seed):
    """Neither do empty lines, wherever they are put."""
    draw, folder = random.Random(seed), tmp_path_factory.mktemp("comments")  # noqa: S311
    nodes = [programs.drawn(draw, n) for n in range(draw.randint(1, 5))]
    texts = programs.sources(nodes)
    one = fingerprint(programs.loaded(texts, folder, len(nodes) - 1))
    for name, text in texts.items():
        lines = text.split("\n")
        for _ in range(3):
            lines.insert(draw.randint(0, len(lines)), draw.choice(["", "# why", "      # how"]))
        texts[name] = "\n".join(lines)
    assert fingerprint(programs.loaded(texts, folder, len(nodes) - 1)) == one


def test_the_same_in_another_process(tmp_path):
    """Of another hash seed, whatever the code is, in whatever folder it lies."""
    nodes = [
        programs.Node(kind, 3, (n - 1,) if n else (), "from", n // 3)
        for n, kind in enumerate(programs.KINDS)
    ]
    last = programs.loaded(programs.sources(nodes), tmp_path, len(nodes) - 1)
    here = fingerprint([last, range(3), Fraction(1, 2), torch.Tensor.relu, torch.tanh, {"a", "b"}])
    [folder] = tmp_path.iterdir()
    folder = folder.rename(tmp_path / "elsewhere")
    code = (
        "import torch\nfrom fractions import Fraction\n"
        "from initguide.experiments import fingerprint\n"
        f"from project.m{nodes[-1].module} import f{len(nodes) - 1} as last\n"
        "values = [range(3), Fraction(1, 2), torch.Tensor.relu, torch.tanh, {'a', 'b'}]\n"
        "print(fingerprint([last, *values]))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=True,
        timeout=300,
        env=os.environ
        | {"PYTHONPATH": os.pathsep.join([str(folder), HOME]), "PYTHONHASHSEED": "7"},
    )
    assert done.stdout.strip() == here


def test_an_edited_scheme_is_not_continued(tmp_path, swept):
    """The store says that the scheme's code is another, and keeps what it has."""
    path = tmp_path / "runs.sqlite"

    def scheme(factor):
        function = _function(tmp_path, "a global variable", factor)

        def fill(module):
            if hasattr(module, "weight"):
                module.weight.detach().fill_(function(1) / 100)

        return fill

    grid = {"scale": [1.0]}
    first = swept(grid, scheme=scheme(3), store=path)
    with pytest.raises(StoreError, match="the code of the scheme is"):
        swept(grid, scheme=scheme(4), store=path)
    again = swept(grid, scheme=scheme(3), store=path)
    assert again.remark.startswith("2 of the 2 runs were found")
    assert [run.valid_loss for run in again.runs] == [run.valid_loss for run in first.runs]

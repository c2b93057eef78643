"""Small programs of several modules, which tests edit at random places."""

import dataclasses
import importlib
import itertools
import random
import sys
import textwrap
from dataclasses import dataclass

# Each defines f{n}, which multiplies by {c} in a way of its own and then calls others.
KINDS = {
    "a number in the code": """
        def f{n}(x):
            {before}
            return x * {c} + {calls}
        """,
    "a global variable": """
        C{n} = {c}
        def f{n}(x):
            {before}
            return x * C{n} + {calls}
        """,
    "a global variable of a comprehension": """
        C{n} = {c}
        def f{n}(x):
            {before}
            return sum(x * part for part in [C{n}]) + {calls}
        """,
    "a default": """
        def f{n}(x, factor={c}):
            {before}
            return x * factor + {calls}
        """,
    "a default of a keyword": """
        def f{n}(x, *, factor={c}):
            {before}
            return x * factor + {calls}
        """,
    "a closure": """
        def make{n}(factor):
            def f(x):
                {before}
                return x * factor + {calls}
            return f
        f{n} = make{n}({c})
        """,
    "an attribute of a function": """
        def f{n}(x):
            {before}
            return x * f{n}.factor + {calls}
        f{n}.factor = {c}
        """,
    "a decorator": """
        def decorator{n}(function):
            @functools.wraps(function)
            def wrapper(x):
                return function(x) * {c}
            return wrapper
        @decorator{n}
        def f{n}(x):
            {before}
            return x + {calls}
        """,
    "a decorated function": """
        def decorator{n}(function):
            @functools.wraps(function)
            def wrapper(x):
                return function(x) + 1
            return wrapper
        @decorator{n}
        def f{n}(x):
            {before}
            return x * {c} + {calls}
        """,
    "an attribute of a class": """
        class K{n}:
            factor = {c}
            def __call__(self, x):
                {before}
                return x * self.factor + {calls}
        f{n} = K{n}()
        """,
    "an attribute of an object": """
        class K{n}:
            def __init__(self, factor):
                self.factor = factor
            def __call__(self, x):
                {before}
                return x * self.factor + {calls}
        f{n} = K{n}({c})
        """,
    "a slot": """
        class K{n}:
            __slots__ = ("factor",)
            def __init__(self, factor):
                self.factor = factor
            def __call__(self, x):
                {before}
                return x * self.factor + {calls}
        f{n} = K{n}({c})
        """,
    "an inherited method": """
        class Base{n}:
            def factor(self):
                return {c}
        class K{n}(Base{n}):
            def __call__(self, x):
                {before}
                return x * self.factor() + {calls}
        f{n} = K{n}()
        """,
    "a property": """
        class K{n}:
            @property
            def factor(self):
                return {c}
            def __call__(self, x):
                {before}
                return x * self.factor + {calls}
        f{n} = K{n}()
        """,
    "a static and a class method": """
        class K{n}:
            @staticmethod
            def factor():
                return {c}
            @classmethod
            def call(cls, x):
                {before}
                return x * cls.factor() + {calls}
        f{n} = K{n}.call
        """,
    "a base's method called by super": """
        class Base{n}:
            def __call__(self, x):
                return x * {c}
        class K{n}(Base{n}):
            def __call__(self, x):
                {before}
                return super().__call__(x) + {calls}
        f{n} = K{n}()
        """,
    "a class made in a function": """
        C{n} = {c}
        def f{n}(x):
            {before}
            class K:
                factor = C{n}
            return x * K.factor + {calls}
        """,
    "a metaclass": """
        class Meta{n}(type):
            def factor(cls):
                return {c}
        class K{n}(metaclass=Meta{n}):
            pass
        def f{n}(x):
            {before}
            return x * K{n}.factor() + {calls}
        """,
    "a data class": """
        @dataclasses.dataclass
        class K{n}:
            factor: int = {c}
        def f{n}(x):
            {before}
            return x * K{n}().factor + {calls}
        """,
    "a data class's default factory": """
        @dataclasses.dataclass
        class K{n}:
            factor: list = dataclasses.field(default_factory=lambda: [{c}])
        def f{n}(x):
            {before}
            return x * K{n}().factor[0] + {calls}
        """,
    "a named tuple": """
        K{n} = collections.namedtuple("K{n}", "factor", defaults=[{c}])
        def f{n}(x):
            {before}
            return x * K{n}().factor + {calls}
        """,
    "an enumeration": """
        class K{n}(enum.Enum):
            FACTOR = {c}
        def f{n}(x):
            {before}
            return x * K{n}.FACTOR.value + {calls}
        """,
    "an annotation": """
        def noted{n}(x: {c}):
            pass
        def f{n}(x):
            {before}
            return x * noted{n}.__annotations__["x"] + {calls}
        """,
    "partial": """
        def product{n}(factor, x):
            {before}
            return x * factor + {calls}
        f{n} = functools.partial(product{n}, {c})
        """,
    "a method bound to an object": """
        class K{n}:
            def __init__(self):
                self.factor = {c}
            def product(self, x):
                {before}
                return x * self.factor + {calls}
        f{n} = K{n}().product
        """,
    "a tuple of functions": """
        T{n} = (lambda x: x * {c}, 1)
        def f{n}(x):
            {before}
            return T{n}[0](x) + {calls}
        """,
    "the order of a dictionary": """
        D{n} = dict([("a", 2), ("b", 3)][:: 1 if {c} % 2 else -1])
        def f{n}(x):
            {before}
            return x * list(D{n}.values())[0] + {calls}
        """,
    "the order of an ordered dictionary": """
        D{n} = collections.OrderedDict([("a", 2), ("b", 3)][:: 1 if {c} % 2 else -1])
        def f{n}(x):
            {before}
            return x * list(D{n}.values())[0] + {calls}
        """,
    "a set": """
        S{n} = {{{c}, "a", "b", "c"}}
        def f{n}(x):
            {before}
            return x * sum(part for part in S{n} if not isinstance(part, str)) + {calls}
        """,
    "a list of lists": """
        L{n} = [["a"], [[{c}]]]
        def f{n}(x):
            {before}
            return x * L{n}[1][0][0] + {calls}
        """,
    "a view of a dictionary": """
        D{n} = types.MappingProxyType({{"factor": {c}}})
        def f{n}(x):
            {before}
            return x * D{n}["factor"] + {calls}
        """,
    "a tensor": """
        W{n} = torch.tensor([{c}], dtype=torch.bfloat16)
        def f{n}(x):
            {before}
            return x * int(W{n}) + {calls}
        """,
    "an array": """
        W{n} = np.array([{c}])
        def f{n}(x):
            {before}
            return x * int(W{n}[0]) + {calls}
        """,
    "what a cached function calls": """
        @functools.cache
        def factor{n}():
            return {c}
        def f{n}(x):
            {before}
            return x * factor{n}() + {calls}
        """,
    "what is dispatched": """
        @functools.singledispatch
        def f{n}(x):
            return 0
        @f{n}.register
        def _(x: int):
            {before}
            return x * {c} + {calls}
        """,
    "what a try covers": """
        def f{n}(x):
            {before}
            try:
                x = x * {c}
                return x // (x - x) + {calls}
            except ZeroDivisionError:
                return x + {calls}
        """,
    "any global variable": """
        C{n} = {c}
        def f{n}(x):
            {before}
            return x * globals()["C" + str({n})] + {calls}
        """,
    "a function that calls itself": """
        def f{n}(x, depth=2):
            {before}
            return f{n}(x, depth - 1) if depth else x * {c} + {calls}
        """,
    "a function that is replaced": """
        def f{n}(x):
            return x
        def better{n}(x):
            {before}
            return x * {c} + {calls}
        f{n}.__code__ = better{n}.__code__
        """,
}

# How one function comes to another, in another module of the package.
STYLES = {
    "from": ("from project.{m} import f{j}", "", "f{j}(x)"),
    "module": ("import project.{m}", "", "project.{m}.f{j}(x)"),
    "alias": ("from project import {m} as other_{m}", "", "other_{m}.f{j}(x)"),
    "relative": ("from . import {m}", "", "{m}.f{j}(x)"),
    "getattr": ("from . import {m}", "", "getattr({m}, 'f' + str({j}))(x)"),
    "local": ("", "import project.{m} as here_{m}", "here_{m}.f{j}(x)"),
    "local from": ("", "from .{m} import f{j}", "f{j}(x)"),
    "local name": ("", "import project.{m}", "project.{m}.f{j}(x)"),
}

HEAD = """
import collections, dataclasses, enum, functools, types
import numpy as np
import torch
"""


@dataclass(frozen=True)
class Node:
    """A function: how it multiplies, by what, and which others it calls, found in which way."""

    kind: str
    factor: int
    calls: tuple[int, ...]
    style: str
    module: int


def drawn(random_numbers: random.Random, number: int) -> Node:
    """Node that may call those of smaller numbers."""
    calls = [j for j in range(number) if random_numbers.random() < 0.4]
    return Node(
        random_numbers.choice(list(KINDS)),
        random_numbers.randint(2, 9),
        tuple(calls),
        random_numbers.choice(list(STYLES)),
        number // 3,  # a later module imports from earlier ones only
    )


def edited(random_numbers: random.Random, nodes: list[Node]) -> list[Node]:
    """Program in which one function is another in one way; most often it multiplies differently."""
    number = random_numbers.randrange(len(nodes))
    name = random_numbers.choice(["factor", "factor", "kind", "calls", "style"])
    value = getattr(drawn(random_numbers, number), name)
    return [
        dataclasses.replace(node, **{name: value}) if i == number else node
        for i, node in enumerate(nodes)
    ]


def reached(nodes: list[Node]) -> set[int]:
    """Numbers of the functions that the last one reaches."""
    found, waiting = set(), [len(nodes) - 1]
    while waiting:
        number = waiting.pop()
        if number not in found:
            found.add(number)
            waiting += nodes[number].calls
    return found


def is_untouched(before: list[Node], after: list[Node]) -> bool:
    """Whether an edit changed nothing that the last function reaches, with all that this may be."""
    numbers = reached(before)
    if numbers != reached(after) or any(before[n] != after[n] for n in numbers):
        return False
    # These reach all of a module.
    broad = ("getattr", "local", "local name")
    return not any("any" in after[n].kind or after[n].style in broad for n in numbers)


def sources(nodes: list[Node]) -> dict[str, str]:
    """Texts of the modules, by their names."""
    texts: dict[str, str] = {}
    for n, node in enumerate(nodes):
        heads, before, calls = [], [], ["0"]
        for j in node.calls:
            names = {"m": f"m{nodes[j].module}", "j": j}
            if nodes[j].module == node.module:
                calls.append(f"f{j}(x)")
                continue
            head, local, call = (part.format(**names) for part in STYLES[node.style])
            heads.append(head)
            before.append(local)
            calls.append(call)
        words = {
            "n": n,
            "c": node.factor,
            "before": "; ".join(filter(None, before)) or "pass",
            "calls": " + ".join(calls),
        }
        name = f"m{node.module}"
        body = textwrap.dedent(KINDS[node.kind]).format(**words)
        texts[name] = texts.get(name, HEAD) + "\n".join([*heads, body])
    return texts


_folders = itertools.count()


def loaded(texts: dict[str, str], folder, root: int):
    """Import the modules from a new folder, and return the function of that number."""
    place = folder / str(next(_folders)) / "project"
    place.mkdir(parents=True)
    (place / "__init__.py").touch()
    for name, text in texts.items():
        (place / f"{name}.py").write_text(text)
    unload()
    sys.path.insert(0, str(place.parent))
    try:
        importlib.invalidate_caches()
        for name in texts:
            last = importlib.import_module(f"project.{name}")
    finally:
        sys.path.remove(str(place.parent))
    return getattr(last, f"f{root}")


def unload():
    """Forget the modules."""
    for name in [n for n in sys.modules if n.split(".")[0] == "project"]:
        del sys.modules[name]

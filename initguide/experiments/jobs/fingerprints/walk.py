"""The walk over all that a thing can reach, and the text that it makes of it."""

import hashlib
from collections import deque
from collections.abc import Iterator
from types import BuiltinFunctionType, CodeType, FunctionType, ModuleType
from typing import Any

from initguide.experiments.jobs.fingerprints import parts
from initguide.experiments.jobs.fingerprints.code import canonical
from initguide.experiments.jobs.fingerprints.libraries import (
    is_of_a_library,
    library_of,
    public_name,
)
from initguide.experiments.jobs.fingerprints.values import PLAIN
from initguide.initializers import written

MOST = 1_000_000  # things; something that makes a new thing each time it is asked has no end
SHOWN = 3  # the last steps on the way to what is refused

_NAMED_KINDS = (type, FunctionType, BuiltinFunctionType, ModuleType)
_INLINE = (type(None), bool, float, complex, str, bytes, type(...), type(NotImplemented), *PLAIN)


def fingerprint(thing: Any, what: str = "") -> str:
    """Text that is the same in every process, and differs where the thing would act differently.

    Two things have the same text if all code of the user that they can reach is the same, and so is
    all that they hold. Names of arguments and variables, and the order of dictionaries, count;
    comments, and the folder in which the code lies, do not.

    Parameters
    ----------
    thing
        A scheme, a function, a class, or a value.
    what
        What it is, for messages, such as ``"model"``.

    Returns
    -------
    str
        The name of what belongs to a library, a plain value as it is written, and otherwise a name
        and a SHA-256.

    Raises
    ------
    TypeError
        If it reaches something of which not all can be seen, such as a lock, an open file, a
        generator, a library of C or code that is made from text. The message says how.
    """
    walk = Walk(what or "this", thing)
    first = walk.text_of(thing)
    if not walk.things:
        return first
    digest = hashlib.sha256(first.encode("utf-8", "surrogatepass"))
    for text in walk.texts():
        digest.update(text.encode("utf-8", "surrogatepass"))
    name = getattr(thing, "__qualname__", None) or type(thing).__qualname__
    return f"{name}#{digest.hexdigest()[:32]}"


class Walk:
    """Things in the order in which they are met, each of which is told once.

    What can be told in a word is written where it is met. All else gets a number, by which it is
    told again: so things that hold themselves come to an end, and one list in two places is another
    thing than two equal lists.

    Parameters
    ----------
    what
        What is walked over, for messages.
    root
        Where the walk begins.
    around
        Numbers of the walks that this one is inside of: ids of sets -> how deep.
    """

    def __init__(self, what: str, root: Any, around: dict[int, int] | None = None) -> None:
        self.what = what
        self.root = root
        self.around = around or {}
        self.things: list[tuple[Any, int, str]] = []  # kept, so that no id is used twice
        self.numbers: dict[int, int] = {}
        self.waiting: deque[int] = deque()
        self.now = -1  # the number of what is being told; -1 is the root

    def texts(self) -> Iterator[str]:
        """Text of each thing, as long as new ones are met."""
        while self.waiting:
            self.now = self.waiting.popleft()
            thing, _, _ = self.things[self.now]
            yield f"\n@{self.now} {self._told(thing)}"

    def text_of(self, thing: Any, role: str = "") -> str:
        """What stands for a thing in the text of the one that holds it.

        Parameters
        ----------
        role
            What the thing is to its holder, for messages.
        """
        kind = type(thing)
        if kind is int:
            return hex(thing)  # of any length
        if kind in _INLINE:
            return f"{kind.__name__} {thing!r}"
        if kind is tuple:
            return f"({', '.join(self.text_of(part, role) for part in thing)})"
        if kind is CodeType:
            return repr(canonical(thing))
        if isinstance(thing, _NAMED_KINDS) and (name := self._named(thing)):
            return name
        return f"@{self._number(thing, role)}"

    def refuse(self, reason: str, remedy: str) -> TypeError:
        """Error that says on which way something was reached that cannot be told from another."""
        steps: list[str] = []
        number = self.now
        while number >= 0:
            _, number, role = self.things[number]
            steps += [role] * bool(role)
        way = f", by {' of '.join(steps[:SHOWN])}," if steps else ""
        name, *_ = written(self.root).split("\n", maxsplit=1)
        return TypeError(
            f"{self.what} {name} reaches{way} {reason}. It cannot be told from "
            f"another, so its runs cannot be kept in a store: {remedy}, or call without a store"
        )

    def inside(self, thing: Any, part: Any) -> str:
        """Text of a part by itself, whatever was met before, such as an element of a set."""
        around = {**self.around, id(thing): len(self.around)}
        walk = Walk(self.what, self.root, around)
        first = walk.text_of(part, f"an element of a {type(thing).__name__}")
        return hashlib.sha256("".join([first, *walk.texts()]).encode()).hexdigest()

    def _named(self, thing: Any) -> str:
        """What a library has under a name; empty for all else."""
        if isinstance(thing, ModuleType):
            library = library_of(thing.__name__)
            return f"module {thing.__name__} ({library})" if library else ""
        if isinstance(thing, BuiltinFunctionType):
            owner = thing.__self__
            is_free = owner is None or isinstance(owner, ModuleType | type)
            return public_name(thing) if is_free and library_of(thing.__module__) else ""
        return public_name(thing) if is_of_a_library(thing) else ""

    def _number(self, thing: Any, role: str) -> int:
        number = self.numbers.setdefault(id(thing), len(self.things))
        if number == len(self.things):
            if number > MOST:
                raise self.refuse(f"more than {MOST:,} things", "let it hold less")
            self.things.append((thing, self.now, role))
            self.waiting.append(number)
        return number

    def _told(self, thing: Any) -> str:
        try:
            return parts.told(thing, self)
        except RecursionError as error:
            raise self.refuse("something nested too deeply", "let it be flatter") from error

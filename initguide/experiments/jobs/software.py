"""Whether a worker would compute the same: the same package, the same torch, the same user code."""

import contextlib
import functools
import hashlib
import pickle
import platform
import socket
from collections.abc import Mapping, MutableMapping
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import torch

from initguide.experiments.jobs.errors import WorkerError
from initguide.experiments.jobs.fingerprints import fingerprint
from initguide.experiments.jobs.job import Job
from initguide.initializers import written

PARTS = ("scheme", "model", "optimizer")


@functools.cache
def software() -> Mapping[str, str]:
    """What numbers depend on besides the job: versions, and a digest of the package's files."""
    # The number alone would not tell two checkouts apart.
    package = Path(__file__).parents[2]
    digest = hashlib.sha256()
    for path in sorted([*package.rglob("*.py"), *package.rglob("*.c")]):
        digest.update(path.relative_to(package).as_posix().encode() + b"\0" + path.read_bytes())
    try:
        number = version("initguide")
    except PackageNotFoundError:  # not installed, but found on the path
        number = "not installed"
    return {
        "Python": ".".join(platform.python_version_tuple()[:2]),
        "torch": str(torch.__version__),
        "initguide": f"{number} (SHA-256 of its files {digest.hexdigest()[:12]}…)",
    }


def check_software(there: Mapping[str, str]) -> None:
    """Refuse to work for a process that has other versions.

    Parameters
    ----------
    there
        What `software` said in the process that made the call.

    Raises
    ------
    WorkerError
        If something differs, with both.
    """
    here = software()
    differences = [
        f"{name} {here[name]} and not {there.get(name, 'none')}"
        for name in here
        if here[name] != there.get(name)
    ]
    if differences:
        raise WorkerError(
            f"the worker on {socket.gethostname()} has {'; '.join(differences)}: its numbers "
            "could be others. Install the same versions on all machines, and start the workers anew"
        )


def codes_of(job: Job, known: MutableMapping[object, str]) -> tuple[str, ...]:
    """Fingerprints of what a job was made with that another process imports by its name.

    Parameters
    ----------
    job
        The job.
    known
        Those that have been taken in this call.
    """
    things = [getattr(job, part) for part in PARTS]
    for thing in things:
        if id(thing) not in known:
            sent = thing
            # A copy shares nothing with the global variables of its module, as in the worker.
            with contextlib.suppress(Exception):  # what cannot be pickled is not compared
                sent = pickle.loads(pickle.dumps(thing))  # noqa: S301  of our own making
            _code(sent, id(thing), known)
    return tuple(known[id(thing)] for thing in things)


def check_code(job: Job, there: tuple[str, ...]) -> None:
    """Refuse a job whose scheme, model or optimizer is another one here than where it was made.

    Parameters
    ----------
    job
        The job, as it arrived.
    there
        What `codes_of` said where it was made.

    Raises
    ------
    WorkerError
        If something differs.
    """
    for part, code in zip(PARTS, there, strict=True):
        thing = getattr(job, part)
        try:
            # By what was sent: each job brings an object of its own. A worker keeps the code that
            # it has imported, so its fingerprint is taken once.
            sent = pickle.dumps(thing)
        except Exception:  # noqa: BLE001, S112  the code itself was sent, as Dask does for __main__
            continue
        if _code(thing, sent, _here) != code:
            raise WorkerError(
                f"the {part} {written(thing)} on {socket.gethostname()} is of another version than "
                "that of the process that made the call, or reads other global variables: its "
                "numbers would be others. Install the same version on all machines, start the "
                "workers anew, and set variables where they are defined"
            )


_here: dict[object, str] = {}


def _code(thing: object, name: object, known: MutableMapping[object, str]) -> str:
    if name not in known:
        known[name] = fingerprint(thing)
    return known[name]

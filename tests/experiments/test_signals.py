"""What ends a call from outside: SIGTERM and SIGHUP, like Ctrl-C; handlers of the user stay."""

import os
import signal
import subprocess
import sys
import threading

import pytest

import initguide
from initguide.experiments.jobs import signals
from initguide.experiments.jobs.signals import Ended, ending_like_interrupts, undisturbed

pytestmark = pytest.mark.skipif(os.name != "posix", reason="signals are those of POSIX")
HANDLED = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


@pytest.fixture(autouse=True)
def default_handlers():
    """Each test begins with Python's handlers, and must leave them as they were."""
    kept = {number: signal.getsignal(number) for number in HANDLED}
    signal.signal(signal.SIGINT, signal.default_int_handler)
    for number in HANDLED[1:]:
        signal.signal(number, signal.SIG_DFL)
    yield
    left = [signal.getsignal(number) for number in HANDLED]
    for number, handler in kept.items():
        signal.signal(number, handler)
    assert left == [signal.default_int_handler, signal.SIG_DFL, signal.SIG_DFL]


@ending_like_interrupts()
def _signalled(numbers, tidied):
    """Signals come one after the other."""
    first, *others = numbers
    try:
        signal.raise_signal(first)
        pytest.fail("it should not get here")
    finally:
        for number in others:
            signal.raise_signal(number)
        tidied.append(True)


@pytest.mark.parametrize("number", HANDLED[1:])
def test_it_is_raised_like_an_interrupt(number):
    """With the status that shells give; what is written for Ctrl-C catches it."""
    tidied = []
    with pytest.raises(KeyboardInterrupt) as caught:
        _signalled([number], tidied)
    assert isinstance(caught.value, Ended)
    assert caught.value.code == 128 + number
    assert tidied


PROGRAM = """
import importlib.util, os, signal, sys, atexit
spec = importlib.util.spec_from_file_location("signals", sys.argv[1])
signals = importlib.util.module_from_spec(spec)
spec.loader.exec_module(signals)
signal.signal(signal.SIGTERM, signal.SIG_DFL)
atexit.register(print, "finalized")
with signals.ending_like_interrupts():
    try:
        {inside}
    finally:
        print("tidied", flush=True)
print("went on")
"""
KILL = "os.kill(os.getpid(), signal.SIGTERM)"


def _run(inside):
    program = PROGRAM.replace("{inside}", inside)
    return subprocess.run(
        [sys.executable, "-c", program, signals.__file__],
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )


@pytest.mark.parametrize(
    "inside",
    [
        KILL,
        pytest.param(
            f"type('X', (), {{'__del__': lambda _: {KILL}}})()",
            marks=pytest.mark.fault(
                "stopping",
                tried="SIGTERM comes where Python ignores exceptions, in a destructor",
                happens="the process ends at the end of the call",
            ),
        ),
        pytest.param(
            f"exec('try: {KILL}\\nexcept KeyboardInterrupt: 1/0')",
            marks=pytest.mark.fault(
                "stopping",
                tried="tidying up after SIGTERM raises an error",
                happens="the process ends by the signal all the same",
            ),
        ),
    ],
)
def test_a_process_that_is_ended(inside):
    """It tidies up, and has the status of one that the signal ended."""
    done = _run(inside)
    assert done.returncode == 143
    assert done.stdout.split("\n") == ["tidied", "finalized", ""]


def test_a_forked_worker():
    """It inherits the handler, and for it the signal does what it always did."""
    inside = (
        f"child = os.fork(); child or {KILL}; "
        "print(os.WTERMSIG(os.waitpid(child, 0)[1]), flush=True)"
    )
    done = _run(inside)
    assert done.stdout.split("\n") == ["15", "tidied", "went on", "finalized", ""]
    assert done.returncode == 0


@pytest.mark.fault(
    "stopping",
    tried="a second SIGTERM or SIGHUP while the first one is seen to",
    happens="the tidying up goes on undisturbed",
)
def test_a_burst_counts_as_one():
    """A terminal that is closed often sends more than one."""
    tidied = []
    with pytest.raises(Ended) as caught:
        _signalled([signal.SIGHUP, signal.SIGTERM, signal.SIGHUP], tidied)
    assert caught.value.code == 128 + signal.SIGHUP
    assert tidied


@pytest.mark.fault(
    "stopping",
    tried="SIGTERM again, while a worker that hangs is waited for",
    happens="the waiting ends",
)
def test_a_later_one_breaks_off(monkeypatch):
    """As a second Ctrl-C does."""
    monkeypatch.setattr(signals, "BURST", -1)
    tidied = []
    with pytest.raises(Ended):
        _signalled([signal.SIGTERM, signal.SIGTERM], tidied)
    assert not tidied


@pytest.mark.fault(
    "stopping",
    tried="SIGTERM where the program has a handler of its own, or ignores it",
    happens="the program's handler is called as ever, and the call goes on",
)
def test_a_handler_of_the_user(swept):
    """It is called while a sweep goes on, and stays; so does a signal that is ignored."""
    came = []
    signal.signal(signal.SIGTERM, lambda number, _: came.append(number))
    signal.signal(signal.SIGHUP, signal.SIG_IGN)  # what nohup does
    handlers = [signal.getsignal(number) for number in HANDLED]

    def make():
        for number in HANDLED[1:]:
            os.kill(os.getpid(), number)
        return initguide.Net(4, 4)

    try:
        result = swept({"scale": [1]}, seeds=1, model=make)
    finally:
        left = [signal.getsignal(number) for number in HANDLED]
        for number in HANDLED[1:]:
            signal.signal(number, signal.SIG_DFL)
    assert len(result.runs) == 1
    assert signal.SIGTERM in came
    assert left == handlers


def test_another_thread():
    """Python refuses to handle signals there; nothing is changed, and nothing fails."""
    done = []

    def use():
        with ending_like_interrupts(), undisturbed():
            done.append(signal.getsignal(signal.SIGTERM))

    thread = threading.Thread(target=use)
    thread.start()
    thread.join()
    assert done == [signal.SIG_DFL]


@ending_like_interrupts()
def _signalled_undisturbed(number, done):
    with undisturbed():
        signal.raise_signal(number)
        signal.raise_signal(number)
        done.append(True)
    pytest.fail("it should not get here")


@pytest.mark.parametrize("number", HANDLED)
@pytest.mark.fault(
    "stopping",
    tried="Ctrl-C again, or SIGTERM, while the last runs are being stored",
    happens="they are stored first",
)
def test_undisturbed(number):
    """What is short and must not be done by half is done whole, and then it ends."""
    done = []
    with pytest.raises(KeyboardInterrupt):
        _signalled_undisturbed(number, done)
    assert done

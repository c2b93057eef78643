"""A limit of time for each run, and runs that hang."""

import functools
import os
import socket
import threading
import time

import pytest

from initguide.experiments import compare_init_weights
from initguide.experiments.jobs import limits
from initguide.experiments.jobs.errors import HungError

HOME = (socket.gethostname(), os.getpid())
OVER = "TimeoutError: the run was not finished within time_limit=0.3 seconds"


@pytest.mark.fault(
    "workers",
    tried="a run takes longer than its limit, in a thread",
    happens="training stops, and the run is recorded as failed with the limit",
)
def test_a_run_that_takes_too_long(swept, faulty):
    """Training looks at the clock, so that even a thread goes on to the next run."""
    (faulty.folder / "slow").write_text("0.02")
    result = swept({"fault": [""]}, model=faulty.model, epochs=10_000, time_limit=0.3)
    assert [(f.seed, f.reason) for f in result.failures] == [(0, OVER), (1, OVER)]


@pytest.mark.fault(
    "workers",
    tried="a run takes longer than its limit, in a pool of processes",
    happens="the same, and the process does the next run",
)
def test_a_run_that_takes_too_long_elsewhere(swept, faulty, pool):
    """The process is not lost."""
    (faulty.folder / "slow").write_text("0.02")
    with pool() as executor:
        result = swept(
            {"fault": [""]}, model=faulty.model, epochs=10_000, time_limit=0.3, executor=executor
        )
        assert {f.reason for f in result.failures} == {OVER}
        assert executor.submit(abs, -1).result() == 1


def test_a_comparison_with_a_limit(made_up, faulty):
    """It ends with an error that names the run."""
    (faulty.folder / "slow").write_text("0.02")
    keywords = {"model": functools.partial(faulty.model, ""), "epochs": 10_000, "seeds": 1}
    with pytest.raises(TimeoutError, match=r"not finished within time_limit=0\.3 seconds"):
        compare_init_weights(["zeros"], made_up, time_limit=0.3, **keywords)


def test_a_limit_changes_no_number(swept, pool, measured):
    """Runs that end in time are those without a limit."""
    expected = measured(swept({"scale": [1, 2]}))
    assert measured(swept({"scale": [1, 2]}, time_limit=1000)) == expected
    assert measured(swept({"scale": [1, 2]}, time_limit=1000, executor=pool)) == expected


@pytest.mark.parametrize("limit", [0, -1.0, float("nan"), float("inf")])
def test_limits_that_are_none(swept, limit):
    """Refused before anything is done."""
    with pytest.raises(ValueError, match=r"time_limit is .*; it must be finite and above 0"):
        swept({"scale": [1]}, time_limit=limit)


@pytest.mark.slow
@pytest.mark.skipif(os.name != "posix", reason="needs forkserver")
@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        pytest.param(
            "hangs",
            "HungError: the run was not finished within time_limit=1 seconds, and went on when it "
            "was told to stop: it hangs; its worker ends itself",
            marks=pytest.mark.fault(
                "workers",
                tried="a run hangs in a process, and its limit passes",
                happens="it is recorded as hanging, its process ends itself, the others go on",
            ),
        ),
        pytest.param(
            "hangs with the lock",
            "a worker died once while it did this run",
            marks=pytest.mark.fault(
                "workers",
                tried="a run hangs in a C library that keeps Python's lock",
                happens="a watchdog in C ends the process and prints where it hung",
            ),
        ),
    ],
)
def test_a_run_that_hangs(swept, faulty, context, fault, reason):
    """It has a sentence, and the call ends."""
    from concurrent.futures import ProcessPoolExecutor

    executor = functools.partial(ProcessPoolExecutor, 1, mp_context=context)
    result = swept(
        {"fault": [fault]},
        model=faulty.model,
        seeds=1,
        time_limit=1,
        retries=0,
        executor=executor,
    )
    assert [f.reason for f in result.failures] == [reason]


def test_what_hangs_in_this_process():
    """It is told of, and the process, which is the caller's own, lives on."""
    held = threading.Event()
    with pytest.raises(HungError, match=r"time_limit=5 seconds, .* it hangs$"):
        limits.supervised(held.wait, 5, 0.05, HOME)
    held.set()
    assert limits.supervised(lambda: 3, 5, 60, HOME) == 3
    with pytest.raises(ZeroDivisionError):
        limits.supervised(lambda: 1 / 0, 5, 60, HOME)


def test_a_deadline():
    """Set when the time is over or when the other stop is, and it says which."""
    stop = threading.Event()
    deadline = limits.Deadline(stop, 1000)
    assert not deadline.is_set()
    stop.set()
    assert deadline.is_set()
    assert not deadline.stopped_it
    over = limits.Deadline(threading.Event(), 0)
    time.sleep(0.001)
    assert over.is_set()
    assert over.stopped_it

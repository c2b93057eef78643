"""The queue of a call: what waits, what is in flight, and what is done when workers die."""

import contextlib
import functools
import sys
import warnings
from collections import deque
from collections.abc import Sequence
from concurrent.futures import BrokenExecutor, CancelledError, Future
from queue import Empty, SimpleQueue
from typing import Any

from tqdm.auto import tqdm

from initguide.experiments.jobs.batches import Batches
from initguide.experiments.jobs.job import Failure
from initguide.experiments.jobs.ledger import HEARTBEAT, Ledger
from initguide.experiments.jobs.pools import Pool
from initguide.experiments.jobs.shipping import Elsewhere, Here
from initguide.experiments.jobs.worker import run_together
from initguide.training import Run

BREAKS = 10  # executors in a row that may break before any run ends
POLL = 1.0  # seconds between two looks for runs that another process has claimed


class WorkerWarning(UserWarning):
    """A worker died, and what it was doing is done again."""


class Work:
    """The jobs of one call, on their way through a pool.

    A job waits until it is claimed in the store, is then submitted in a group, and is in flight
    until its future is done. From there it is recorded, or requeued if its worker died. Jobs go by
    their number in the ledger.

    Parameters
    ----------
    ledger
        The jobs, and where their results go.
    source
        How a worker gets the data.
    stop
        Set to end training early.
    pool
        Where jobs are submitted.
    retries
        How often a job is done again whose worker died.
    strict
        Whether to raise the first error of a run in place of recording it.
    """

    def __init__(
        self,
        ledger: Ledger,
        source: Here | Elsewhere,
        stop: Any,
        pool: Pool,
        *,
        retries: int,
        strict: bool,
    ) -> None:
        self.ledger = ledger
        self.source = source
        self.stop = stop
        self.pool = pool
        self.retries = retries
        self.strict = strict
        self.batches = Batches(ledger.jobs)
        self.waiting: deque[int] = deque()
        self.suspects: deque[int] = deque()  # their last try: submitted with nothing beside them
        self.others: list[int] = []  # claimed by other processes
        self.in_flight: dict[Future[list[Run | Exception]], list[int]] = {}
        self.done: SimpleQueue[Future[list[Run | Exception]]] = SimpleQueue()
        self.deaths: dict[int, int] = {}
        self.breaks = 0  # executors that broke since the last run that ended

    def run(self, progress: bool | None) -> int:
        """Do what is missing from the ledger; return how many results the store had."""
        jobs, results = self.ledger.jobs, self.ledger.results
        self.ledger.look_up(self.ledger.missing)
        found = len(results)
        self.waiting.extend(self.ledger.missing)
        shown = somebody_watches() if progress is None else progress
        bar = tqdm(total=len(jobs), initial=found, unit="run", disable=not shown)
        if found and self.ledger.store is not None:
            bar.set_postfix_str(f"{found} found in {self.ledger.store.path.name}")
        try:
            while len(results) < len(jobs):
                self._refill()
                self._collect()
                bar.update(len(results) - bar.n)
        finally:
            self._shut_down()
            bar.close()
        return found

    def _refill(self) -> None:
        """Keep the pool busy."""
        if not self.waiting and not self.in_flight:
            if self.suspects:
                self._submit([[self.suspects.popleft()]])
                return
            if self.others:  # other processes have done these by now, are at work on them, or died
                self.ledger.look_up(self.others)
                self.waiting.extend(i for i in self.others if i not in self.ledger.results)
                self.others = []
        # Several groups at a time, because with a store each time costs a transaction; but not all
        # that waits, so that other processes can claim a share of it.
        window = self.pool.window
        if self.waiting and len(self.in_flight) <= window / 2:
            size = self.batches.size(self.waiting[0])
            room = int(min(size * (window - len(self.in_flight)), len(self.waiting)))
            tried = [self.waiting.popleft() for _ in range(room)]
            claimed = self.ledger.claim(tried)
            self.others += [i for i in tried if i not in claimed]
            self._submit(self.batches.groups(claimed, self.pool.workers))

    def _submit(self, groups: list[list[int]]) -> None:
        for position, group in enumerate(groups):
            jobs = [self.ledger.jobs[i] for i in group]
            do = functools.partial(run_together, strict=self.strict)
            try:
                future = self.pool.submit(do, jobs, self.source, self.stop)
            except BrokenExecutor as error:
                rest = [i for later in groups[position:] for i in later]
                # Back to the front of the queue, in their order.
                self.waiting.extendleft(reversed(rest))
                # The futures in flight fail as well, and tell `_collect` which jobs were lost.
                if not self.in_flight:
                    self._replace_executor(error)
                return
            self.in_flight[future] = group
            future.add_done_callback(self.done.put)

    def _collect(self) -> None:
        """Wait for something to end, and record it and what ended at the same time."""
        dead: list[int] = []
        broken: BaseException | None = None
        fatal: BaseException | None = None
        for group, results in self._drain():
            for i, result in zip(group, results, strict=True):
                if isinstance(result, Run):
                    self.ledger.record(i, result)
                    self.breaks = 0
                elif self.pool.is_death(result):
                    dead.append(i)
                    broken = result if isinstance(result, BrokenExecutor) else broken
                elif (
                    self.strict
                    or isinstance(result, CancelledError)
                    or not isinstance(result, Exception)
                ):
                    fatal = fatal or result
                else:
                    first, *_ = str(result).split("\n", maxsplit=1)
                    self._give_up(i, f"{type(result).__name__}: {first}")
        if fatal is not None:
            self.ledger.save()
            raise fatal
        if broken is not None:  # everything else in flight is lost with the executor
            dead += [i for group in self.in_flight.values() for i in group]
            self.in_flight.clear()
            self._replace_executor(broken)
        self._requeue(dead)
        self.ledger.save()

    def _drain(self) -> list[tuple[list[int], Sequence[Run | BaseException]]]:
        """Wait until a future is done, but not past a heartbeat; take all that are done."""
        futures = []
        # With nothing in flight, jobs that wait are submitted at once; without any, the store is
        # polled for what other processes do.
        patience = HEARTBEAT if self.in_flight else 0.0 if self.waiting else POLL
        with contextlib.suppress(Empty):
            futures.append(self._next(patience))
            while True:
                futures.append(self.done.get_nowait())
        ended: list[tuple[list[int], Sequence[Run | BaseException]]] = []
        for future in futures:
            group = self.in_flight.pop(future, None)
            if group is not None:  # not of an executor that was replaced
                error = CancelledError() if future.cancelled() else future.exception()
                ended.append((group, [error] * len(group) if error else future.result()))
        return ended

    def _next(self, patience: float) -> Future[list[Run | Exception]]:
        return self.done.get(timeout=patience) if patience else self.done.get_nowait()

    def _replace_executor(self, error: BaseException) -> None:
        self.breaks += 1
        if self.breaks > BREAKS:
            raise RuntimeError(
                f"{self.breaks} executors in a row broke before any run ended, so the fault is "
                "hardly in one of the runs; a script that starts processes must do so under "
                'if __name__ == "__main__"'
            ) from error
        self.pool.renew(error)

    def _requeue(self, dead: list[int]) -> None:
        """Put jobs whose worker died back into the queue, or give them up after `retries`."""
        again = 0
        for i in sorted(dead):
            deaths = self.deaths[i] = self.deaths.get(i, 0) + 1
            if deaths > self.retries:
                times = f"{deaths} times" if deaths > 1 else "once"
                reason = f"a worker died {times} while it did this run"
                if self.strict:
                    error = RuntimeError(reason)
                    error.add_note(f"while training {self.ledger.jobs[i].label!r}")
                    raise error
                self._give_up(i, reason)
                continue
            again += 1
            # A pool that breaks does not say which of its jobs did it. The last try is made alone,
            # so that no job is given up for the fault of another.
            if deaths == self.retries:
                self.suspects.append(i)
            else:
                self.waiting.appendleft(i)
        if again:
            warnings.warn(
                f"a worker died; {again} run{'s' * (again > 1)} in progress with it "
                f"{'are' if again > 1 else 'is'} done again",
                WorkerWarning,
                stacklevel=6,  # _collect, run, run_jobs and the public function that called it
            )

    def _give_up(self, i: int, reason: str) -> None:
        job = self.ledger.jobs[i]
        self.ledger.record(i, Failure(job.label, job.seed, job.settings, reason))

    def _shut_down(self) -> None:
        """Stop what is in flight, store what ended meanwhile, and end the pool."""
        self.stop.set()
        for future in self.in_flight:
            future.cancel()
        for future, group in self.in_flight.items():
            if future.done() and not future.cancelled() and future.exception() is None:
                for i, result in zip(group, future.result(), strict=True):
                    if isinstance(result, Run):
                        self.ledger.record(i, result)
        # Claims first: workers may take their time to stop, and other processes could go on
        # meanwhile.
        self.ledger.close()
        self.pool.close()


def somebody_watches() -> bool:
    """Whether standard error is a terminal, or this is a notebook."""
    return sys.stderr.isatty() or "ipykernel" in sys.modules

"""The queue of a call: what waits, what is in flight, and what has ended."""

import contextlib
from collections import deque
from collections.abc import Sequence
from concurrent.futures import BrokenExecutor, CancelledError, Future
from queue import Empty, SimpleQueue
from typing import Any

from initguide.experiments.jobs.batches import Batches
from initguide.experiments.jobs.errors import (
    HungError,
    Told,
    WorkerError,
    heard,
    in_a_line,
)
from initguide.experiments.jobs.job import Failure
from initguide.experiments.jobs.ledger import HEARTBEAT, Ledger
from initguide.experiments.jobs.pools import Pool
from initguide.experiments.jobs.requeueing import Requeueing
from initguide.experiments.jobs.shipping import Elsewhere, Here
from initguide.experiments.jobs.signals import undisturbed
from initguide.experiments.jobs.software import codes_of
from initguide.experiments.jobs.worker import Terms, run_elsewhere, run_together
from initguide.progress import somebody_watches, tqdm
from initguide.training import Run

POLL = 1.0  # seconds between two looks for runs that another process has claimed


class Work:
    """The jobs of one call, on their way through a pool.

    A job waits until it is claimed in the store, is then submitted in a group, and is in flight
    until its future is done. From there it is recorded, or requeued if its worker died (see
    `initguide.experiments.jobs.requeueing`). Jobs go by their number in the ledger.

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
    terms
        What holds for all runs; if it is ``strict``, the first error of a run is raised in place of
        recording it.
    """

    def __init__(
        self,
        ledger: Ledger,
        source: Here | Elsewhere,
        stop: Any,
        pool: Pool,
        *,
        retries: int,
        terms: Terms,
    ) -> None:
        self.ledger = ledger
        self.source = source
        self.stop = stop
        self.pool = pool
        self.terms = terms
        self.requeueing = Requeueing(ledger.jobs, retries=retries, strict=terms.strict)
        self.batches = Batches(ledger.jobs)
        self.waiting: deque[int] = deque()
        self.suspects: deque[int] = deque()  # their last try: submitted with nothing beside them
        self.others: list[int] = []  # claimed by other processes
        self.in_flight: dict[Future[Any], list[int]] = {}
        self.done: SimpleQueue[Future[Any]] = SimpleQueue()
        self.codes: dict[object, str] = {}
        self.has_run = False
        self.is_leaving = False  # a worker in which a run hangs, and which ends itself

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
            try:
                future = self._send(group)
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

    def _send(self, group: list[int]) -> Future[Any]:
        jobs = [self.ledger.jobs[i] for i in group]
        if isinstance(self.source, Here):
            return self.pool.submit(run_together, jobs, self.source, self.stop, self.terms)
        stored = self.ledger.store is not None  # then a number under a wrong name would last
        codes = [codes_of(job, self.codes) for job in jobs] if stored else []
        return self.pool.submit(run_elsewhere, jobs, self.source, self.stop, self.terms, codes)

    def _collect(self) -> None:
        """Wait for something to end, and record it and what ended at the same time."""
        dead: list[int] = []
        lost: list[int] = []
        broken: BaseException | None = None
        fatal: BaseException | None = None
        for group, results in self._drain():
            for i, result in zip(group, results, strict=True):
                if isinstance(result, Run):
                    self.ledger.record(i, result)
                    self.requeueing.one_ended()
                    self.has_run = True
                elif self.pool.is_death(result):
                    dead.append(i)
                    broken = result if isinstance(result, BrokenExecutor) else broken
                elif self.pool.is_loss(result):
                    lost.append(i)
                    broken = result
                else:
                    fatal = fatal or self._record_error(i, result, alone=len(group) == 1)
        if fatal is not None:
            self.ledger.save()
            raise fatal
        if broken is not None:  # everything else in flight is lost with the executor
            dead += [i for group in self.in_flight.values() for i in group]
            self.in_flight.clear()
            # No run is to blame for what its executor lost, or for a worker that ended itself.
            if lost or self.is_leaving:
                dead, lost, self.is_leaving = [], [*lost, *dead], False
            self._replace_executor(broken)
            self.waiting.extendleft(sorted(lost, reverse=True))
        fates = self.requeueing.fates(dead)
        self.waiting.extendleft(fates.again)
        self.suspects.extend(fates.alone)
        for i, reason in fates.given_up.items():
            self._give_up(i, reason)
        self.ledger.save()

    def _record_error(self, i: int, error: BaseException, *, alone: bool) -> BaseException | None:
        """Record an error as that of its run, or hand it back if it ends the call."""
        hangs = isinstance(error, HungError)
        self.is_leaving = self.is_leaving or hangs
        if hangs and not alone:  # which of the group it was shows when each is alone
            self.suspects.append(i)
            return None
        if isinstance(error, WorkerError):  # at first nothing is lost, and every run would fail
            ends = not self.has_run
        else:
            ends = isinstance(error, CancelledError) or not isinstance(error, Exception)
        if ends or self.terms.strict or not isinstance(error, Exception):
            return error
        self._give_up(i, in_a_line(error))
        return None

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
                if error is not None and isinstance(self.source, Elsewhere):
                    error = self._of_worker(error)
                results = [error] * len(group) if error else list(map(_arrived, future.result()))
                ended.append((group, results))
        return ended

    def _of_worker(self, error: BaseException) -> BaseException:
        """Put into words what a worker elsewhere failed with: errors of runs come another way."""
        if (
            isinstance(error, CancelledError)
            or not isinstance(error, Exception)
            or self.pool.is_death(error)
            or self.pool.is_loss(error)
        ):
            return error
        words = WorkerError(
            f"a worker could not begin a run ({in_a_line(error)}); it needs the same packages and "
            "modules as the process that made the call"
        )
        words.__cause__ = error
        return words

    def _next(self, patience: float) -> Future[Any]:
        return self.done.get(timeout=patience) if patience else self.done.get_nowait()

    def _replace_executor(self, error: BaseException) -> None:
        self.requeueing.one_broke(error)
        self.pool.renew(error)

    def _give_up(self, i: int, reason: str) -> None:
        job = self.ledger.jobs[i]
        self.ledger.record(i, Failure(job.label, job.seed, job.settings, reason))

    def _shut_down(self) -> None:
        """Stop what is in flight, store what ended meanwhile, and end the pool."""
        try:
            with undisturbed():  # what has ended is stored, however often somebody presses Ctrl-C
                self.stop.set()
                for future, group in self.in_flight.items():
                    if future.done() and not future.cancelled() and future.exception() is None:
                        for i, result in zip(group, future.result(), strict=True):
                            if isinstance(result, Run):
                                self.ledger.record(i, result)
                # Claims first: workers may take their time to stop, and other processes could go
                # on meanwhile.
                self.ledger.close()
        finally:
            for future in self.in_flight:
                future.cancel()
            self.pool.close()


def _arrived(result: Run | Told | Exception) -> Run | Exception:
    return heard(result) if isinstance(result, Told) else result

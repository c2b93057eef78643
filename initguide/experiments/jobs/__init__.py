"""Runs as jobs: describe one, and do many, in threads, in other processes or on other machines.

`initguide.compare_init_weights` and `initguide.sweep` are built on this. A `Job` says everything
about one run and is small enough to be sent anywhere. The data do not travel with it: a worker
loads them once, by the arguments of `initguide.fashion_mnist`, or from a temporary file.

SIGTERM and SIGHUP end a call like Ctrl-C (see `initguide.experiments.jobs.signals`): workers stop,
what has ended is stored, and the temporary folder is removed. After SIGKILL, the next call on the
same machine removes it.
"""

from initguide.experiments.jobs.errors import WorkerError
from initguide.experiments.jobs.fingerprints import fingerprint
from initguide.experiments.jobs.job import Failure, Job, SchemeLike
from initguide.experiments.jobs.ledger import Keeping
from initguide.experiments.jobs.origins import origins_in_words
from initguide.experiments.jobs.pools import ExecutorLike
from initguide.experiments.jobs.requeueing import WorkerWarning
from initguide.experiments.jobs.rows import run_of
from initguide.experiments.jobs.running import Outcome, run_jobs
from initguide.initializers import written

__all__ = [
    "ExecutorLike",
    "Failure",
    "Job",
    "Keeping",
    "Outcome",
    "SchemeLike",
    "WorkerError",
    "WorkerWarning",
    "fingerprint",
    "origins_in_words",
    "run_jobs",
    "run_of",
    "written",
]

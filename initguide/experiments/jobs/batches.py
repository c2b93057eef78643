"""Which jobs are submitted together: those that one worker trains best at once."""

import itertools
import math
from collections.abc import Iterable, Sequence

from initguide.experiments.jobs.job import Job
from initguide.training import plan


class Batches:
    """How jobs are put into groups, each of which one worker trains at once.

    Parameters
    ----------
    jobs
        All jobs of the call; the methods take their numbers.
    """

    def __init__(self, jobs: Sequence[Job]) -> None:
        self.jobs = jobs
        self.sizes: dict[tuple[object, ...], int] = {}  # by the shape of a job

    def size(self, i: int) -> int:
        """How many jobs of this one's shape are best done at once."""
        job = self.jobs[i]
        if job.shape not in self.sizes:
            # The plan needs a network to look at; to build one is cheap beside training it.
            try:
                self.sizes[job.shape] = plan(job.build(), job.optimizer).size
            except Exception:  # noqa: BLE001  it will show when the job is done
                self.sizes[job.shape] = 1
        return self.sizes[job.shape]

    def groups(self, numbers: Iterable[int], workers: int) -> list[list[int]]:
        """Put jobs together that can be done at once, with work for every worker.

        Parameters
        ----------
        numbers
            The jobs.
        workers
            How many groups go on at a time. The number of groups of a shape is a multiple of it
            where there are jobs enough: a worker that has none would wait for the others.
        """
        shapes: dict[tuple[object, ...], list[int]] = {}
        for i in numbers:
            shapes.setdefault(self.jobs[i].shape, []).append(i)
        groups = []
        for members in shapes.values():
            count = math.ceil(len(members) / self.size(members[0]))
            count = min(len(members), math.ceil(count / workers) * workers)
            # Parts whose sizes differ by one at most.
            ends = [len(members) * k // count for k in range(count + 1)]
            groups += [members[i:k] for i, k in itertools.pairwise(ends)]
        # By their first jobs, which brings the order of the seeds back.
        return sorted(groups)

"""Where runs are done: threads, processes, a Dask cluster, or any other executor."""

from initguide.experiments.jobs.pools.kinds import (
    KINDS,
    ExecutorLike,
    check_executor,
    open_pool,
    shares_memory,
)
from initguide.experiments.jobs.pools.pool import Pool

__all__ = ["KINDS", "ExecutorLike", "Pool", "check_executor", "open_pool", "shares_memory"]

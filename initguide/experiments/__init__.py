"""Schemes, seeds and settings: compared, swept and kept."""

from initguide.experiments.comparison import (
    METRICS,
    Comparison,
    Difference,
    JudgedSetting,
    Judgement,
    Metric,
    Point,
    Row,
    Sweep,
    SweptRun,
    compare_init_weights,
    judge,
    mean_interval,
    sweep,
)
from initguide.experiments.jobs import Failure, Job, WorkerWarning, fingerprint, run_jobs, written
from initguide.experiments.store import Store, StoreError, is_store

__all__ = [
    "METRICS",
    "Comparison",
    "Difference",
    "Failure",
    "Job",
    "JudgedSetting",
    "Judgement",
    "Metric",
    "Point",
    "Row",
    "Store",
    "StoreError",
    "Sweep",
    "SweptRun",
    "WorkerWarning",
    "compare_init_weights",
    "fingerprint",
    "is_store",
    "judge",
    "mean_interval",
    "run_jobs",
    "sweep",
    "written",
]

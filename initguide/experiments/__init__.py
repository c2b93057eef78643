"""Schemes, seeds and settings: compared, swept and kept."""

from initguide.experiments.claims import JudgedSetting, Judgement, judge
from initguide.experiments.comparing import compare_init_weights
from initguide.experiments.comparison import Comparison
from initguide.experiments.coordinates import CoordinateCheck, coordinate_check
from initguide.experiments.differences import Difference
from initguide.experiments.jobs import (
    Failure,
    Job,
    WorkerError,
    WorkerWarning,
    fingerprint,
    run_jobs,
    written,
)
from initguide.experiments.metrics import METRICS, Metric
from initguide.experiments.planning import estimate_effect, estimate_sd, power, seeds_needed
from initguide.experiments.results import Results
from initguide.experiments.roughness import BoxCount, border, box_count, pixels_per_box
from initguide.experiments.statistics import Estimate, Row, estimate, mean_interval
from initguide.experiments.store import Store, StoreError, StoreWarning, is_store
from initguide.experiments.sweeping import sweep
from initguide.experiments.sweeps import Point, Sweep, SweptRun
from initguide.experiments.trainability import TrainabilityMap, trainability_map

__all__ = [
    "METRICS",
    "BoxCount",
    "Comparison",
    "CoordinateCheck",
    "Difference",
    "Estimate",
    "Failure",
    "Job",
    "JudgedSetting",
    "Judgement",
    "Metric",
    "Point",
    "Results",
    "Row",
    "Store",
    "StoreError",
    "StoreWarning",
    "Sweep",
    "SweptRun",
    "TrainabilityMap",
    "WorkerError",
    "WorkerWarning",
    "border",
    "box_count",
    "compare_init_weights",
    "coordinate_check",
    "estimate",
    "estimate_effect",
    "estimate_sd",
    "fingerprint",
    "is_store",
    "judge",
    "mean_interval",
    "pixels_per_box",
    "power",
    "run_jobs",
    "seeds_needed",
    "sweep",
    "trainability_map",
    "written",
]

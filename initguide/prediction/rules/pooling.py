"""Pooling, means and interpolation: why there is no rule."""

from initguide.prediction.protocol import reason

reason(
    "pooling depends on how neighbours correlate",
    *(
        f"{size}{kind}_pool{d}d"
        for size in ("", "adaptive_")
        for kind in ("max", "avg")
        for d in (1, 2, 3)
    ),
    *(f"{size}max_pool{d}d_with_indices" for size in ("", "adaptive_") for d in (1, 2, 3)),
    *("fractional_max_pool2d", "lp_pool2d", "mean", "sum", "amax", "max", "interpolate"),
)

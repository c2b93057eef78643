"""Claims held against measurements."""

import numpy as np
import pytest

from initguide.experiments import (
    judge,
)


def test_judge_does_not_flatten_and_names_every_setting():
    """A table of numbers is not a list of independent ones; a setting's name may be empty."""
    with pytest.raises(ValueError, match=r"shape \(2, 3\) for 's'; it must be flat"):
        judge({"s": (0, 1)}, {"s": np.zeros((2, 3))})
    assert judge({"": (0, 1)}, {"": [5, 6, 7]}).verdict == "does not hold"

"""The public names of theory."""

import initguide
from initguide import theory


def test_public_names():
    """Every public name exists and is documented; the package offers the module."""
    assert initguide.theory is theory
    for name in theory.__all__:
        assert getattr(theory, name).__doc__

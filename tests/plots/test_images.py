"""`plot_images`."""

import numpy as np
import pytest

from initguide import plots

CLASSES = ["T-shirt/top", "Trouser", "Ankle boot"]


def test_images_are_laid_out_in_order(split):
    """Each image is where its number puts it, untouched, with its class below."""
    data = split(5)
    ax = plots.plot_images(data, CLASSES, count=5, columns=3)
    (mesh,) = ax.collections
    canvas = np.ma.getdata(mesh.get_array())
    np.testing.assert_allclose(canvas[42:70, 32:60], data.images[4, 0])
    assert mesh.get_clim() == (0, 1)
    assert np.ma.getmaskarray(mesh.get_array())[0, 28:32].all()
    names = [text.get_text() for text in ax.texts]
    assert names == ["T-shirt/\ntop", "Trouser", "Ankle\nboot", "T-shirt/\ntop", "Trouser"]
    assert plots.alt_text(ax.figure).startswith("5 grey images of 28 by 28 pixels, showing: T-s")


def test_images_refuse_bad_arguments(split):
    """Counts out of range and labels without a name are refused with the numbers."""
    with pytest.raises(ValueError, match="count is 7, but the split holds 6 images"):
        plots.plot_images(split(6), CLASSES, count=7)
    with pytest.raises(ValueError, match="count is 0; it must be a whole number, at least 1"):
        plots.plot_images(split(6), CLASSES, count=0)
    with pytest.raises(ValueError, match="columns is 0; it must be a whole number, at least 1"):
        plots.plot_images(split(6), CLASSES, count=2, columns=0)
    with pytest.raises(ValueError, match="labels reach from 0 to 2, but classes has 2 names"):
        plots.plot_images(split(6), CLASSES[:2], count=6)

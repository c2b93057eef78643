"""Progress bars, in a terminal or in a notebook."""

import warnings

from tqdm import TqdmWarning

with warnings.catch_warnings():
    # A notebook without widgets gets a bar of characters, and needs no advice about that.
    warnings.simplefilter("ignore", TqdmWarning)
    from tqdm.auto import tqdm

__all__ = ["tqdm"]

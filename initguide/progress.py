"""Progress bars, and whether somebody sees them, in a terminal or in a notebook."""

import sys
import warnings

from tqdm import TqdmWarning

with warnings.catch_warnings():
    # A notebook without widgets gets a bar of characters, and needs no advice about that.
    warnings.simplefilter("ignore", TqdmWarning)
    from tqdm.auto import tqdm

__all__ = ["somebody_watches", "tqdm"]


def somebody_watches() -> bool:
    """Whether standard error is a terminal, or this is a notebook's kernel."""
    ipython = sys.modules.get("IPython")
    # Only the shell of a kernel has one: many a program imports IPython without being a notebook.
    shell = ipython.get_ipython() if ipython is not None else None
    return sys.stderr.isatty() or hasattr(shell, "kernel")

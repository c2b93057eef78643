"""Initialize the weights of a neural network, and see whether it was done right."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from initguide import (
        checkup,
        comparison,
        data,
        helpers,
        initializers,
        jobs,
        models,
        plots,
        propagation,
        store,
        tables,
        theory,
        training,
    )
    from initguide.checkup import check_init
    from initguide.comparison import Comparison, Sweep, compare_init_weights, sweep
    from initguide.data import fashion_mnist
    from initguide.initializers import INITIALIZERS, initialize
    from initguide.models import Net, mlp
    from initguide.propagation import measure
    from initguide.tables import Table

__version__ = "0.1.0"

__all__ = [
    "INITIALIZERS",
    "Comparison",
    "Net",
    "Sweep",
    "Table",
    "check_init",
    "checkup",
    "compare_init_weights",
    "comparison",
    "data",
    "fashion_mnist",
    "helpers",
    "initialize",
    "initializers",
    "jobs",
    "measure",
    "mlp",
    "models",
    "plots",
    "propagation",
    "store",
    "sweep",
    "tables",
    "theory",
    "training",
]

# Where each name lives. Importing torch takes seconds, and `initguide --help` must not wait for it,
# so a module is imported when a name of it is first used (PEP 562).
_HOMES = {
    "INITIALIZERS": "initializers",
    "Comparison": "comparison",
    "Net": "models",
    "Sweep": "comparison",
    "Table": "tables",
    "check_init": "checkup",
    "compare_init_weights": "comparison",
    "fashion_mnist": "data",
    "initialize": "initializers",
    "measure": "propagation",
    "mlp": "models",
    "sweep": "comparison",
}


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(import_module(f"initguide.{_HOMES[name]}"), name)
    if name in __all__:
        return import_module(f"initguide.{name}")
    raise AttributeError(f"module 'initguide' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})

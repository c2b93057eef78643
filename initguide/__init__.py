"""Initialize the weights of a neural network, and see whether it was done right."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from initguide import (
        asking,
        auditing,
        checkup,
        data,
        exercises,
        experiments,
        helpers,
        initializers,
        integrations,
        models,
        plots,
        prediction,
        propagation,
        sentences,
        tables,
        theory,
        training,
    )
    from initguide.asking import asks
    from initguide.auditing import audit
    from initguide.checkup import check_init
    from initguide.data import fashion_mnist
    from initguide.experiments import Comparison, Sweep, compare_init_weights, estimate, sweep
    from initguide.initializers import INITIALIZERS, initialize
    from initguide.models import Net, mlp
    from initguide.propagation import measure
    from initguide.sentences import all_of, bullets, says
    from initguide.tables import Table

__version__ = "0.1.0"

__all__ = [
    "INITIALIZERS",
    "Comparison",
    "Net",
    "Sweep",
    "Table",
    "all_of",
    "asking",
    "asks",
    "audit",
    "auditing",
    "bullets",
    "check_init",
    "checkup",
    "compare_init_weights",
    "data",
    "estimate",
    "exercises",
    "experiments",
    "fashion_mnist",
    "helpers",
    "initialize",
    "initializers",
    "integrations",
    "measure",
    "mlp",
    "models",
    "plots",
    "prediction",
    "propagation",
    "says",
    "sentences",
    "sweep",
    "tables",
    "theory",
    "training",
]

# Where each name lives. Importing torch takes seconds, and `initguide --help` must not wait for it,
# so a module is imported when a name of it is first used (PEP 562).
_HOMES = {
    "INITIALIZERS": "initializers",
    "Comparison": "experiments",
    "Net": "models",
    "Sweep": "experiments",
    "Table": "tables",
    "all_of": "sentences",
    "asks": "asking",
    "audit": "auditing",
    "bullets": "sentences",
    "check_init": "checkup",
    "compare_init_weights": "experiments",
    "estimate": "experiments",
    "fashion_mnist": "data",
    "initialize": "initializers",
    "measure": "propagation",
    "mlp": "models",
    "says": "sentences",
    "sweep": "experiments",
}


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(import_module(f"initguide.{_HOMES[name]}"), name)
    if name in __all__:
        return import_module(f"initguide.{name}")
    raise AttributeError(f"module 'initguide' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})

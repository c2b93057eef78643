"""A job: everything about one run but the data, small enough to be sent anywhere."""

import contextlib
import dataclasses
import hashlib
import json
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import nn

from initguide.experiments.jobs.fingerprints import fingerprint
from initguide.initializers import initialize
from initguide.randomness import seeded
from initguide.training import OptimizerFactory

SchemeLike = str | Callable[[nn.Module], object]

RULES = 5  # to be raised when the same job gives other numbers than before, or keys change
MADE_BY = {"initguide": str(sys.modules["initguide"].__version__), "rules": RULES}
"""What numbers and keys depend on besides the job and torch: it stands in keys and in stores."""


@dataclass(frozen=True, eq=False)
class Job:
    """Everything about one run but the data.

    Attributes
    ----------
    label
        What the run is called in tables and figures.
    seed
        The seed of the weights, the order of the mini-batches and the dropout masks.
    scheme
        A function of a module.
    scale
        What weights are multiplied with once the scheme has filled them. Weights are parameters of
        two or more dimensions.
    model, keywords
        What makes the network, and the keyword arguments it is called with.
    epochs, batch_size, learning_rate, optimizer
        As in `initguide.training.train`.
    device
        Where the network is trained.
    settings
        What is said about the run in tables and files: plain values.
    """

    label: str
    seed: int
    scheme: Callable[[nn.Module], object]
    model: Callable[..., nn.Module]
    epochs: int
    batch_size: int
    learning_rate: float
    optimizer: str | OptimizerFactory
    device: str = "cpu"
    scale: float = 1.0
    keywords: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    settings: Mapping[str, Any] = dataclasses.field(default_factory=dict)

    def build(self) -> nn.Module:
        """Make the network and fill its weights."""
        # Layers, and people's own schemes, draw from torch's global generator.
        with self.named(), seeded(self.seed):
            model = initialize(self.model(**self.keywords), self.scheme)
            if self.scale != 1:
                with torch.no_grad():
                    for parameter in model.parameters():
                        if parameter.ndim > 1:
                            parameter.mul_(self.scale)
            return model.to(self.device)

    @property
    def shape(self) -> tuple[object, ...]:
        """What must be the same in jobs of one call that are done at once."""
        # By identity: the jobs of one call share these objects, and not all kinds can be compared.
        made = [self.model, *(part for item in self.keywords.items() for part in item)]
        trained = (self.epochs, self.batch_size, self.device)
        return *(id(part) for part in (*made, self.optimizer)), *trained

    @contextlib.contextmanager
    def named(self) -> Iterator[None]:
        """Add the name of the run to any error."""
        try:
            yield
        except Exception as error:
            error.add_note(f"while training {self.label!r} with seed {self.seed}")
            raise

    def key(self, data: str, known: dict[int, str] | None = None) -> str:
        """SHA-256 of all that determines the run.

        Parameters
        ----------
        data
            The fingerprint of the data.
        known
            Fingerprints by the ids of things, to which those of this job are added. Jobs of one
            call share their schemes and models, and nothing changes these while keys are made.

        Raises
        ------
        TypeError
            If the run depends on something that cannot be told from another, see `fingerprint`.
        """
        known = {} if known is None else known

        def print_of(what: str, thing: Any) -> str:
            if id(thing) not in known:
                known[id(thing)] = fingerprint(thing, what)
            return known[id(thing)]

        # Not what the run is called: a scheme that gets another name keeps its runs.
        parts = {
            **MADE_BY,
            "torch": str(torch.__version__),
            "data": data,
            "scheme": print_of("the scheme", self.scheme),
            "model": print_of("model", self.model),
            "keywords": {k: print_of(f"the value of {k}", v) for k, v in self.keywords.items()},
            "optimizer": print_of("optimizer", self.optimizer),
            "scale": float(self.scale),
            "learning_rate": float(self.learning_rate),
            "epochs": int(self.epochs),
            "batch_size": int(self.batch_size),
            "seed": int(self.seed),
            "device": self.device,
        }
        return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


class Failure(NamedTuple):
    """A run that could not be done.

    Attributes
    ----------
    label, seed
        Which run.
    settings
        Its settings.
    reason
        Why, in a line.
    """

    label: str
    seed: int
    settings: Mapping[str, Any]
    reason: str

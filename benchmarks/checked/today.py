"""Small networks of the kinds of 2021 to 2026, healthy ones and ones with a fault of their kind.

Each is trained on one batch, which tells whether it can be.
"""

import math
from collections.abc import Callable, Iterator

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from checked.draws import vectors
from checked.gates import (
    Branch,
    Gated,
    adaptive_norm_zero,
    class_token,
    conv_next,
    layer_scale,
    re_zero,
    skip_init,
    zero_convolutions,
)
from checked.registry import Batch, Build, Family, Planted, family, learnt
from checked.sequences import answers_a_step, characters, lora, mamba


class Graph(nn.Module):
    """A graph-convolutional network, its graph fixed; GCNII if ``skip``."""

    def __init__(self, edges: Tensor, depth: int, width: int, *, skip: bool) -> None:
        super().__init__()
        degree = edges.sum(dim=1)
        self.register_buffer("edges", edges / (degree[:, None] * degree).sqrt())
        self.embed, self.out = nn.Linear(16, width), nn.Linear(width, 4)
        self.layers = nn.ModuleList(nn.Linear(width, width) for _ in range(depth))
        self.skip = skip
        for layer in [] if skip else self.layers:  # as PyTorch Geometric does
            nn.init.xavier_uniform_(layer.weight)
            nn.init.zeros_(layer.bias)

    def forward(self, x: Tensor) -> Tensor:
        """Scores of each node."""
        x = start = F.relu(self.embed(x))
        for i, layer in enumerate(self.layers, start=1):
            mixed = self.edges @ x
            if self.skip:  # GCNII: the first features, and the identity
                mixed = 0.9 * mixed + 0.1 * start
                beta = math.log(0.5 / i + 1)
                x = F.relu((1 - beta) * mixed + beta * layer(mixed))
            else:
                x = F.relu(layer(mixed))
        return self.out(x)


def graph(depth: int, *, skip: bool) -> Batch:
    """A graph of 60 nodes in two groups, and the class of each node."""
    group = torch.arange(60) % 2
    near = torch.where(group[:, None] == group, 0.2, 0.03)
    edges = (torch.rand(60, 60) < near).float().triu(1)
    x, targets = vectors(60)
    return Batch(Graph(edges + edges.T + torch.eye(60), depth, 32, skip=skip), x, targets)


class Experts(nn.Module):
    """A mixture of experts, each of which every input goes to with a weight."""

    def __init__(self, number: int = 4) -> None:
        super().__init__()
        self.embed, self.router = nn.Linear(16, 32), nn.Linear(32, number)
        self.experts = nn.ModuleList(
            nn.Sequential(nn.Linear(32, 64), nn.ReLU(), nn.Linear(64, 32)) for _ in range(number)
        )
        self.out = nn.Linear(32, 4)

    def forward(self, x: Tensor) -> Tensor:
        """Scores."""
        x = F.relu(self.embed(x))
        shares = self.router(x).softmax(dim=-1)
        given = torch.stack([expert(x) for expert in self.experts], dim=-1)
        return self.out(x + (given * shares[:, None]).sum(dim=-1))


def experts() -> Batch:
    """A small mixture of experts."""
    return Batch(Experts(), *vectors())


def perceptron() -> Batch:
    """A network as torch makes it, with two linear layers in a row."""
    layers = [nn.Linear(16, 32), nn.ReLU(), nn.Linear(32, 32), nn.Linear(32, 32), nn.Linear(32, 4)]
    return Batch(nn.Sequential(*layers), *vectors())


HEALTHY: dict[str, Callable[[], Batch]] = {
    **{f"LayerScale {v:g}": lambda v=v: layer_scale(v) for v in (1.0, 1e-2, 1e-5, 1e-6, 0.0)},
    "LayerScale 1e-06, 24 blocks": lambda: layer_scale(1e-6, 12),
    **{f"ConvNeXt {v:g}": lambda v=v: conv_next(v) for v in (1.0, 1e-6, 0.0)},
    "class token, LayerScale 1e-05": class_token,
    "SkipInit": skip_init,
    "ReZero": re_zero,
    **{
        f"gate {v:g} before a norm": lambda v=v: Batch(Gated(v), *vectors())
        for v in (1.0, 1e-3, 1e-5, 0.0)
    },
    "adaLN-Zero": adaptive_norm_zero,
    "zero convolutions": zero_convolutions,
    "LoRA": lora,
    "PiSSA": lambda: lora("pissa"),
    "LSTM, letters": lambda: characters(nn.LSTM),
    "GRU, letters": lambda: characters(nn.GRU),
    "RNN, an answer a step": lambda: answers_a_step(nn.RNN),
    "LSTM, an answer a step": lambda: answers_a_step(nn.LSTM),
    "GRU, an answer a step": lambda: answers_a_step(nn.GRU),
    "Mamba": mamba,
    "GCN, 4 layers": lambda: graph(4, skip=False),
    "GCNII, 32 layers": lambda: graph(32, skip=True),
    "experts": experts,
    "perceptron": perceptron,
}
"""Name -> a network as it should be, with a batch."""


def _both_zero() -> Batch:
    """Every branch is switched off twice."""
    case = skip_init()
    for block in case.model:
        if isinstance(block, Branch):
            nn.init.zeros_(block.layers[3].weight)
            nn.init.zeros_(block.layers[3].bias)
    return case


def _zeros_in_a_row() -> Batch:
    """Two layers of zeros in a row, of an otherwise healthy network."""
    case = perceptron()
    for layer in case.model[2:4]:
        nn.init.zeros_(layer.weight)
        nn.init.zeros_(layer.bias)
    return case


def _shut_gates() -> Batch:
    """Gates of 0 that are frozen: nothing ever opens them."""
    case = layer_scale(0.0)
    for name, parameter in case.model.named_parameters():
        parameter.requires_grad_("gamma" not in name)
    return case


def _same_experts() -> Batch:
    """All experts are copies, and the router is 0: each gets the same gradient."""
    case = experts()
    for expert in case.model.experts:
        expert.load_state_dict(case.model.experts[0].state_dict())
    nn.init.zeros_(case.model.router.weight)
    nn.init.zeros_(case.model.router.bias)
    return case


FAULTY: dict[str, tuple[str, Callable[[], Batch], str]] = {
    "both LoRA matrices 0": ("LoRA", lambda: lora("both zero"), "0.lora_A 0.lora_B 2 4"),
    "branches switched off twice": ("SkipInit", _both_zero, "1 2 3 4 5 6"),
    "two layers of zeros in a row": ("perceptron", _zeros_in_a_row, "2 3"),
    "experts that are copies": ("experts", _same_experts, "experts"),
    "frozen gates of 0": ("LayerScale 0", _shut_gates, "1 2 3 4 5 6"),
}
"""Fault -> the network it is of, what builds it, and layers to blame."""


@family("today")
def today() -> Family:
    """All of them, each trained on its batch."""

    def faults(name: str, _: Build) -> Iterator[Planted]:
        for fault, (network, faulty, layers) in FAULTY.items():
            if network == name:
                yield Planted(fault, "", layers.split(), faulty())

    return Family(HEALTHY, learnt, faults=faults)

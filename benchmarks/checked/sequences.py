"""Adapters, recurrent networks, and state spaces."""

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from checked.draws import tokens, vectors
from checked.registry import Batch


class Adapted(nn.Module):
    """A frozen layer with a product of two thin matrices beside it (LoRA)."""

    def __init__(self, base: nn.Linear, rank: int, start: str) -> None:
        super().__init__()
        self.base = base.requires_grad_(False)
        self.lora_A = nn.Linear(base.in_features, rank, bias=False)
        self.lora_B = nn.Linear(rank, base.out_features, bias=False)
        if start == "pissa":
            u, s, v = torch.linalg.svd(base.weight.detach(), full_matrices=False)
            root = s[:rank].sqrt()
            self.lora_B.weight.data, self.lora_A.weight.data = (
                u[:, :rank] * root,
                v[:rank] * root[:, None],
            )
            base.weight.data -= self.lora_B.weight.data @ self.lora_A.weight.data
            return
        nn.init.zeros_(self.lora_B.weight)
        if start == "both zero":
            nn.init.zeros_(self.lora_A.weight)

    def forward(self, x: Tensor) -> Tensor:
        """Base and adapter."""
        return self.base(x) + self.lora_B(self.lora_A(x))


def lora(start: str = "b zero", rank: int = 8) -> Batch:
    """A trained network, all of whose layers have adapters."""
    x, targets = vectors(256)
    model = nn.Sequential(
        nn.Linear(16, 64), nn.ReLU(), nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 4)
    )
    step = torch.optim.Adam(model.parameters(), lr=1e-2)
    for _ in range(10):
        step.zero_grad()
        F.cross_entropy(model(x), targets).backward()
        step.step()
    model.zero_grad()
    for i in (0, 2, 4):
        model[i] = Adapted(model[i], min(rank, 4) if i == 4 else rank, start)
    x, targets = vectors()
    return Batch(model, x, (x[:, 2] > 0).long() * 2 + targets % 2)  # another task


# Recurrent networks and state spaces


class Characters(nn.Module):
    """A recurrent network on one-hot letters, with an answer a step."""

    def __init__(self, kind: type[nn.RNNBase], letters: int, width: int) -> None:
        super().__init__()
        self.rnn, self.head = kind(letters, width, batch_first=True), nn.Linear(width, letters)

    def forward(self, x: Tensor) -> Tensor:
        """Scores of the next letter, at each position."""
        return self.head(self.rnn(x)[0])


def characters(kind: type[nn.RNNBase], letters: int = 65, width: int = 128) -> Batch:
    """PyTorch's own start, on text in which each letter is followed by one of two."""
    after = torch.randint(letters, (letters, 2))
    ids = torch.randint(letters, (16, 1))
    for _ in range(40):
        chosen = after[ids[:, -1], torch.randint(2, (16,))]
        ids = torch.cat([ids, chosen[:, None]], dim=1)
    model = Characters(kind, letters, width)
    return Batch(model, F.one_hot(ids[:, :-1], letters).float(), ids[:, 1:])


def answers_a_step(kind: type[nn.RNNBase]) -> Batch:
    """A recurrent network on numbers, with an answer a step."""
    x, _ = tokens()
    model = Characters(kind, 32, 48)
    model.head = nn.Linear(48, 1)
    return Batch(model, x, x[..., :1].cumsum(dim=1) / 3)


class StateSpace(nn.Module):
    """A block of Mamba: a selective state space behind a short convolution, and a gate."""

    def __init__(self, width: int, states: int = 8, rank: int = 4) -> None:
        super().__init__()
        inner = 2 * width
        self.norm = nn.LayerNorm(width)
        self.in_proj = nn.Linear(width, 2 * inner, bias=False)
        self.conv1d = nn.Conv1d(inner, inner, 4, groups=inner, padding=3)
        self.x_proj = nn.Linear(inner, rank + 2 * states, bias=False)
        self.dt_proj = nn.Linear(rank, inner)
        self.A_log = nn.Parameter(torch.arange(1.0, states + 1).log().repeat(inner, 1))
        self.D = nn.Parameter(torch.ones(inner))
        self.out_proj = nn.Linear(inner, width, bias=False)
        self.sizes = (rank, states, states)
        nn.init.uniform_(self.dt_proj.weight, -(rank**-0.5), rank**-0.5)
        step = torch.exp(torch.empty(inner).uniform_(math.log(1e-3), math.log(0.1)))
        with torch.no_grad():
            self.dt_proj.bias.copy_(step + torch.log(-torch.expm1(-step)))  # softplus undone

    def forward(self, x: Tensor) -> Tensor:
        """Input plus block."""
        length = x.shape[1]
        y, gate = self.in_proj(self.norm(x)).chunk(2, dim=-1)
        y = F.silu(self.conv1d(y.transpose(1, 2))[..., :length].transpose(1, 2))
        step, b, c = self.x_proj(y).split(self.sizes, dim=-1)
        step = F.softplus(self.dt_proj(step))
        decay = torch.exp(step[..., None] * -self.A_log.exp())
        state, outputs = torch.zeros_like(decay[:, 0]), []
        for t in range(length):
            state = decay[:, t] * state + (step[:, t] * y[:, t])[..., None] * b[:, t, None]
            outputs.append((state * c[:, t, None]).sum(dim=-1))
        mixed = torch.stack(outputs, dim=1) + y * self.D
        return x + self.out_proj(mixed * F.silu(gate))


def mamba(depth: int = 3) -> Batch:
    """Letters of which the one four steps before is asked."""
    ids = torch.randint(12, (16, 24))
    blocks = [StateSpace(24) for _ in range(depth)]
    embed = nn.Embedding(12, 24)
    nn.init.normal_(embed.weight, std=0.02)
    model = nn.Sequential(embed, *blocks, nn.LayerNorm(24), nn.Linear(24, 12, bias=False))
    return Batch(model, ids, ids.roll(4, dims=1))

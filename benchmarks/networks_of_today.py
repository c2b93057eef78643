"""Small networks of the kinds of 2021 to 2026, healthy ones and ones with a fault of their kind.

    python benchmarks/networks_of_today.py

Each is trained on one batch, which tells whether it can be: a healthy network must come far below
its first loss. Then `initguide.check_init` is asked about the same weights before training.
"""

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from initguide.checkup import check_init
from initguide.randomness import seeded


class Case(NamedTuple):
    """What `check_init` is called with."""

    model: nn.Module
    inputs: Any
    targets: Tensor


def vectors(number: int = 64, width: int = 16) -> tuple[Tensor, Tensor]:
    """Draw vectors, and four classes by the signs of two coordinates."""
    x = torch.randn(number, width)
    return x, (x[:, 0] > 0).long() * 2 + (x[:, 1] > 0).long()


def tokens(number: int = 16, length: int = 12, width: int = 32) -> tuple[Tensor, Tensor]:
    """Draw sequences of vectors, and four classes by signs, one for each position."""
    x = torch.randn(number, length, width)
    return x, (x[..., 0] > 0).long() * 2 + (x[..., 1] > 0).long()


def pictures(number: int = 32) -> tuple[Tensor, Tensor]:
    """Draw images, and four classes by the means of two channels."""
    x = torch.randn(number, 3, 12, 12) + torch.randn(number, 3, 1, 1)
    means = x.mean(dim=(2, 3))
    return x, (means[:, 0] > 0).long() * 2 + (means[:, 1] > 0).long()


# Gates


class Gate(nn.Module):
    """Multiplies by numbers that are learnt: LayerScale, SkipInit's gain, ReZero's weight."""

    def __init__(self, name: str, shape: tuple[int, ...], value: float) -> None:
        super().__init__()
        self.name = name
        self.register_parameter(name, nn.Parameter(torch.full(shape, value)))

    def forward(self, x: Tensor) -> Tensor:
        """Multiply."""
        return x * getattr(self, self.name)


class Attention(nn.Module):
    """Self-attention, of one tensor."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.inner = nn.MultiheadAttention(width, 4, batch_first=True)

    def forward(self, x: Tensor) -> Tensor:
        """Attend."""
        return self.inner(x, x, x, need_weights=False)[0]


class Branch(nn.Module):
    """x + gate(layers(x))."""

    def __init__(self, gate: nn.Module, *layers: nn.Module) -> None:
        super().__init__()
        self.layers, self.gate = nn.Sequential(*layers), gate

    def forward(self, x: Tensor) -> Tensor:
        """Input plus branch."""
        return x + self.gate(self.layers(x))


def layer_scale(value: float, depth: int = 6) -> Case:
    """A pre-norm transformer with LayerScale (CaiT, DeiT III)."""
    blocks: list[nn.Module] = []
    for _ in range(depth):
        blocks.append(Branch(Gate("gamma", (32,), value), nn.LayerNorm(32), Attention(32)))
        mlp = [nn.LayerNorm(32), nn.Linear(32, 64), nn.GELU(), nn.Linear(64, 32)]
        blocks.append(Branch(Gate("gamma", (32,), value), *mlp))
    return Case(
        nn.Sequential(nn.Linear(32, 32), *blocks, nn.LayerNorm(32), nn.Linear(32, 4)), *tokens()
    )


class ClassToken(nn.Module):
    """A token that reads the others through small factors only (CaiT)."""

    def __init__(self, value: float) -> None:
        super().__init__()
        self.embed, self.token = nn.Linear(32, 32), nn.Parameter(0.02 * torch.randn(1, 1, 32))
        self.norm, self.attention = nn.LayerNorm(32), nn.MultiheadAttention(32, 4, batch_first=True)
        self.gamma, self.last = nn.Parameter(torch.full((32,), value)), nn.LayerNorm(32)
        self.head = nn.Linear(32, 4)

    def forward(self, x: Tensor) -> Tensor:
        """Scores from the token."""
        token = self.token.expand(len(x), -1, -1)
        both = self.norm(torch.cat([token, self.embed(x)], dim=1))
        read = self.attention(both[:, :1], both, both, need_weights=False)[0]
        return self.head(self.last(token + self.gamma * read)[:, 0])


def class_token() -> Case:
    """A token behind LayerScale of 1e-5; the classes are of the means of a sequence."""
    x, _ = tokens()
    x = x + torch.randn(len(x), 1, 32)
    return Case(ClassToken(1e-5), x, (x.mean(dim=1)[:, 0] > 0).long())


def conv_next(value: float) -> Case:
    """Blocks of ConvNeXt with LayerScale, and no other way around them than the sum."""
    blocks: list[nn.Module] = [nn.Conv2d(3, 16, 2, 2)]
    for _ in range(6):
        gate = Gate("gamma", (16, 1, 1), value)
        conv = [nn.Conv2d(16, 16, 3, 1, 1, groups=16), nn.GroupNorm(1, 16), nn.Conv2d(16, 64, 1)]
        blocks.append(Branch(gate, *conv, nn.GELU(), nn.Conv2d(64, 16, 1)))
    return Case(
        nn.Sequential(*blocks, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(16, 4)), *pictures()
    )


def skip_init() -> Case:
    """Residual blocks without normalization, whose branches have a gain of 0 (SkipInit, NFNet)."""
    blocks: list[nn.Module] = [nn.Conv2d(3, 16, 3, 1, 1)]
    for _ in range(6):
        convs = [nn.ReLU(), nn.Conv2d(16, 16, 3, 1, 1), nn.ReLU(), nn.Conv2d(16, 16, 3, 1, 1)]
        blocks.append(Branch(Gate("skipinit_gain", (), 0.0), *convs))
    return Case(
        nn.Sequential(*blocks, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(16, 4)), *pictures()
    )


def re_zero() -> Case:
    """A transformer without normalization (ReZero)."""
    blocks: list[nn.Module] = []
    for _ in range(8):
        blocks.append(Branch(Gate("resweight", (1,), 0.0), Attention(32)))
        mlp = [nn.Linear(32, 64), nn.ReLU(), nn.Linear(64, 32)]
        blocks.append(Branch(Gate("resweight", (1,), 0.0), *mlp))
    return Case(nn.Sequential(nn.Linear(32, 32), *blocks, nn.Linear(32, 4)), *tokens())


class Gated(nn.Module):
    """A gate in front of a normalization, and no way around it (PixArt's and others' tables)."""

    def __init__(self, value: float) -> None:
        super().__init__()
        self.embed, self.value = nn.Linear(16, 32), nn.Linear(32, 32)
        self.gamma, self.start = (
            nn.Parameter(torch.full((32,), value)),
            nn.Parameter(torch.zeros(32)),
        )
        self.norm, self.out = nn.LayerNorm(32), nn.Linear(32, 4)

    def forward(self, x: Tensor) -> Tensor:
        """Scores."""
        return self.out(self.norm(self.start + self.gamma * self.value(F.relu(self.embed(x)))))


class Modulated(nn.Module):
    """Blocks of DiT: a condition gives shift, scale and gate, all of which start at 0."""

    def __init__(self, depth: int = 4, width: int = 32) -> None:
        super().__init__()
        self.embed, self.condition = nn.Linear(32, width), nn.Linear(8, width)
        self.blocks = nn.ModuleList()
        for _ in range(depth):
            block = nn.Module()
            block.norm = nn.LayerNorm(width, elementwise_affine=False)
            block.attention = Attention(width)
            block.mlp = nn.Sequential(nn.Linear(width, 64), nn.GELU(), nn.Linear(64, width))
            block.modulation = nn.Linear(width, 6 * width)
            self.blocks.append(block)
        self.norm = nn.LayerNorm(width, elementwise_affine=False)
        self.modulation, self.out = nn.Linear(width, 2 * width), nn.Linear(width, 32)
        for layer in [self.modulation, self.out, *(b.modulation for b in self.blocks)]:
            nn.init.zeros_(layer.weight)
            nn.init.zeros_(layer.bias)

    def forward(self, x: Tensor, given: Tensor) -> Tensor:
        """Predict noise."""
        c, x = F.silu(self.condition(given))[:, None], self.embed(x)
        for b in self.blocks:
            one, two, three, four, five, six = b.modulation(c).chunk(6, dim=-1)
            x = x + three * b.attention(b.norm(x) * (1 + two) + one)
            x = x + six * b.mlp(b.norm(x) * (1 + five) + four)
        shift, scale = self.modulation(c).chunk(2, dim=-1)
        return self.out(self.norm(x) * (1 + scale) + shift)


def adaptive_norm_zero() -> Case:
    """A small DiT; what it predicts depends on its input and on the condition."""
    x, given = torch.randn(16, 12, 32), torch.randn(16, 8)
    return Case(Modulated(), (x, given), x.roll(1, dims=-1) * given[:, None, :1])


class Controlled(nn.Module):
    """A frozen network, and a copy that reaches it through convolutions of zeros (ControlNet)."""

    def __init__(self) -> None:
        super().__init__()
        self.base = nn.ModuleList(nn.Conv2d(16, 16, 3, 1, 1) for _ in range(3))
        self.copy = nn.ModuleList(nn.Conv2d(16, 16, 3, 1, 1) for _ in range(3))
        self.stem, self.hint = nn.Conv2d(3, 16, 3, 1, 1), nn.Conv2d(3, 16, 3, 1, 1)
        self.head = nn.Linear(16, 4)
        self.zero = nn.ModuleList(nn.Conv2d(16, 16, 1) for _ in range(4))
        for layer in self.zero:
            nn.init.zeros_(layer.weight)
            nn.init.zeros_(layer.bias)
        for frozen in (self.base, self.stem, self.head):
            frozen.requires_grad_(False)

    def forward(self, x: Tensor, hint: Tensor) -> Tensor:
        """Scores."""
        x = self.stem(x)
        y = x + self.zero[0](self.hint(hint))
        for base, copy, zero in zip(self.base, self.copy, self.zero[1:], strict=True):
            y = y + F.relu(copy(y))
            x = x + F.relu(base(x)) + zero(y)
        return self.head(x.mean(dim=(2, 3)))


def zero_convolutions() -> Case:
    """A small ControlNet."""
    x, targets = pictures()
    return Case(Controlled(), (torch.randn_like(x), x), targets)


# Adapters


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


def lora(start: str = "b zero", rank: int = 8) -> Case:
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
    return Case(model, x, (x[:, 2] > 0).long() * 2 + targets % 2)  # another task


# Recurrent networks and state spaces


class Characters(nn.Module):
    """A recurrent network on one-hot letters, with an answer a step."""

    def __init__(self, kind: type[nn.RNNBase], letters: int, width: int) -> None:
        super().__init__()
        self.rnn, self.head = kind(letters, width, batch_first=True), nn.Linear(width, letters)

    def forward(self, x: Tensor) -> Tensor:
        """Scores of the next letter, at each position."""
        return self.head(self.rnn(x)[0])


def characters(kind: type[nn.RNNBase], letters: int = 65, width: int = 128) -> Case:
    """PyTorch's own start, on text in which each letter is followed by one of two."""
    after = torch.randint(letters, (letters, 2))
    ids = torch.randint(letters, (16, 1))
    for _ in range(40):
        chosen = after[ids[:, -1], torch.randint(2, (16,))]
        ids = torch.cat([ids, chosen[:, None]], dim=1)
    model = Characters(kind, letters, width)
    return Case(model, F.one_hot(ids[:, :-1], letters).float(), ids[:, 1:])


def answers_a_step(kind: type[nn.RNNBase]) -> Case:
    """A recurrent network on numbers, with an answer a step."""
    x, _ = tokens()
    model = Characters(kind, 32, 48)
    model.head = nn.Linear(48, 1)
    return Case(model, x, x[..., :1].cumsum(dim=1) / 3)


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


def mamba(depth: int = 3) -> Case:
    """Letters of which the one four steps before is asked."""
    ids = torch.randint(12, (16, 24))
    blocks = [StateSpace(24) for _ in range(depth)]
    embed = nn.Embedding(12, 24)
    nn.init.normal_(embed.weight, std=0.02)
    model = nn.Sequential(embed, *blocks, nn.LayerNorm(24), nn.Linear(24, 12, bias=False))
    return Case(model, ids, ids.roll(4, dims=1))


# Graphs and experts


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


def graph(depth: int, *, skip: bool) -> Case:
    """A graph of 60 nodes in two groups, and the class of each node."""
    group = torch.arange(60) % 2
    near = torch.where(group[:, None] == group, 0.2, 0.03)
    edges = (torch.rand(60, 60) < near).float().triu(1)
    x, targets = vectors(60)
    return Case(Graph(edges + edges.T + torch.eye(60), depth, 32, skip=skip), x, targets)


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


def experts() -> Case:
    """A small mixture of experts."""
    return Case(Experts(), *vectors())


HEALTHY: dict[str, Callable[[], Case]] = {
    **{f"LayerScale {v:g}": lambda v=v: layer_scale(v) for v in (1.0, 1e-2, 1e-5, 1e-6, 0.0)},
    "LayerScale 1e-06, 24 blocks": lambda: layer_scale(1e-6, 12),
    **{f"ConvNeXt {v:g}": lambda v=v: conv_next(v) for v in (1.0, 1e-6, 0.0)},
    "class token, LayerScale 1e-05": class_token,
    "SkipInit": skip_init,
    "ReZero": re_zero,
    **{
        f"gate {v:g} before a norm": lambda v=v: Case(Gated(v), *vectors())
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
}
"""Name -> a network as it should be, with a batch."""


def _both_zero() -> Case:
    """Every branch is switched off twice."""
    case = skip_init()
    for block in case.model:
        if isinstance(block, Branch):
            nn.init.zeros_(block.layers[3].weight)
            nn.init.zeros_(block.layers[3].bias)
    return case


def _zeros_in_a_row() -> Case:
    """Two layers of zeros in a row, of an otherwise healthy network."""
    torch.manual_seed(0)
    layers = [nn.Linear(16, 32), nn.ReLU(), nn.Linear(32, 32), nn.Linear(32, 32), nn.Linear(32, 4)]
    for layer in layers[2:4]:
        nn.init.zeros_(layer.weight)
        nn.init.zeros_(layer.bias)
    return Case(nn.Sequential(*layers), *vectors())


def _shut_gates() -> Case:
    """Gates of 0 that are frozen: nothing ever opens them."""
    case = layer_scale(0.0)
    for name, parameter in case.model.named_parameters():
        parameter.requires_grad_("gamma" not in name)
    return case


def _same_experts() -> Case:
    """All experts are copies, and the router is 0: each gets the same gradient."""
    case = experts()
    for expert in case.model.experts:
        expert.load_state_dict(case.model.experts[0].state_dict())
    nn.init.zeros_(case.model.router.weight)
    nn.init.zeros_(case.model.router.bias)
    return case


FAULTY: dict[str, tuple[Callable[[], Case], str]] = {
    "both LoRA matrices 0": (lambda: lora("both zero"), "0.lora_A 0.lora_B 2 4"),
    "branches switched off twice": (_both_zero, "1 2 3 4 5 6"),
    "two layers of zeros in a row": (_zeros_in_a_row, "2 3"),
    "experts that are copies": (_same_experts, "experts"),
    "frozen gates of 0": (_shut_gates, "1 2 3 4 5 6"),
}
"""Name -> a network with a fault, and the beginnings of the names of layers to blame."""


def losses(case: Case, steps: int = 300) -> tuple[float, float]:
    """Train on the batch; return the first and the last loss."""
    model, inputs, targets = case
    step = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=3e-3)
    first = last = math.nan
    for i in range(steps):
        out = model(*inputs) if isinstance(inputs, tuple) else model(inputs)
        if targets.is_floating_point():
            loss = F.mse_loss(out, targets)
        else:
            loss = F.cross_entropy(out.flatten(0, -2), targets.flatten())
        step.zero_grad()
        loss.backward()
        step.step()
        last = float(loss.detach())
        first = last if i == 0 else first
    return first, last


def main() -> None:
    """Check and train each network."""
    torch.set_num_threads(1)
    builds = {**HEALTHY, **{name: build for name, (build, _) in FAULTY.items()}}
    for name, build in builds.items():
        with seeded(0):
            case = build()
            report = check_init(*case)
            first, last = losses(case)
        print(f"{name:32} loss {first:8.4f} -> {last:8.4f}   ", end="")
        said: dict[str, list[str]] = {}
        for f in report.findings:
            said.setdefault(f"{f.severity} {f.code}", []).append(f.layer)
        print("; ".join(f"{k} @ {', '.join(v[:3])} ({len(v)})" for k, v in said.items()) or "-")


if __name__ == "__main__":
    main()

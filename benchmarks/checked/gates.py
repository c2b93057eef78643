"""Networks whose branches start as nothing, or as nearly nothing."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from checked.draws import pictures, tokens
from checked.registry import Batch


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


def layer_scale(value: float, depth: int = 6) -> Batch:
    """A pre-norm transformer with LayerScale (CaiT, DeiT III)."""
    blocks: list[nn.Module] = []
    for _ in range(depth):
        blocks.append(Branch(Gate("gamma", (32,), value), nn.LayerNorm(32), Attention(32)))
        mlp = [nn.LayerNorm(32), nn.Linear(32, 64), nn.GELU(), nn.Linear(64, 32)]
        blocks.append(Branch(Gate("gamma", (32,), value), *mlp))
    return Batch(
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


def class_token() -> Batch:
    """A token behind LayerScale of 1e-5; the classes are of the means of a sequence."""
    x, _ = tokens()
    x = x + torch.randn(len(x), 1, 32)
    return Batch(ClassToken(1e-5), x, (x.mean(dim=1)[:, 0] > 0).long())


def conv_next(value: float) -> Batch:
    """Blocks of ConvNeXt with LayerScale, and no other way around them than the sum."""
    blocks: list[nn.Module] = [nn.Conv2d(3, 16, 2, 2)]
    for _ in range(6):
        gate = Gate("gamma", (16, 1, 1), value)
        conv = [nn.Conv2d(16, 16, 3, 1, 1, groups=16), nn.GroupNorm(1, 16), nn.Conv2d(16, 64, 1)]
        blocks.append(Branch(gate, *conv, nn.GELU(), nn.Conv2d(64, 16, 1)))
    return Batch(
        nn.Sequential(*blocks, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(16, 4)), *pictures()
    )


def skip_init() -> Batch:
    """Residual blocks without normalization, whose branches have a gain of 0 (SkipInit, NFNet)."""
    blocks: list[nn.Module] = [nn.Conv2d(3, 16, 3, 1, 1)]
    for _ in range(6):
        convs = [nn.ReLU(), nn.Conv2d(16, 16, 3, 1, 1), nn.ReLU(), nn.Conv2d(16, 16, 3, 1, 1)]
        blocks.append(Branch(Gate("skipinit_gain", (), 0.0), *convs))
    return Batch(
        nn.Sequential(*blocks, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(16, 4)), *pictures()
    )


def re_zero() -> Batch:
    """A transformer without normalization (ReZero)."""
    blocks: list[nn.Module] = []
    for _ in range(8):
        blocks.append(Branch(Gate("resweight", (1,), 0.0), Attention(32)))
        mlp = [nn.Linear(32, 64), nn.ReLU(), nn.Linear(64, 32)]
        blocks.append(Branch(Gate("resweight", (1,), 0.0), *mlp))
    return Batch(nn.Sequential(nn.Linear(32, 32), *blocks, nn.Linear(32, 4)), *tokens())


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


def adaptive_norm_zero() -> Batch:
    """A small DiT; what it predicts depends on its input and on the condition."""
    x, given = torch.randn(16, 12, 32), torch.randn(16, 8)
    return Batch(Modulated(), (x, given), x.roll(1, dims=-1) * given[:, None, :1])


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


def zero_convolutions() -> Batch:
    """A small ControlNet."""
    x, targets = pictures()
    return Batch(Controlled(), (torch.randn_like(x), x), targets)

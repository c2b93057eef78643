"""Small networks on the embedded sample of Fashion-MNIST, at half resolution.

Perceptrons, convolutional, residual and recurrent networks, and transformers.
"""

import functools
import math
from collections import OrderedDict
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from checked.faults import plant
from checked.registry import Batch, Family, family
from initguide.data import fashion_mnist
from initguide.initializers import initialize

BATCH = 50


class Residual(nn.Module):
    """Adds what it holds to its input."""

    def __init__(self, *layers: nn.Module) -> None:
        super().__init__()
        self.branch = nn.Sequential(*layers)

    def forward(self, x: Tensor) -> Tensor:
        """Input plus branch."""
        return x + self.branch(x)


class Rows(nn.Module):
    """A recurrent network that reads an image row by row."""

    def __init__(self, kind: type[nn.RNNBase]) -> None:
        super().__init__()
        self.rnn = kind(14, 48, batch_first=True)
        self.head = nn.Linear(48, 10)

    def forward(self, x: Tensor) -> Tensor:
        """Scores from the last state."""
        return self.head(self.rnn(x.flatten(0, 1))[0][:, -1])


class Former(nn.Module):
    """A transformer whose tokens are the rows of an image."""

    def __init__(self, *, norm_first: bool) -> None:
        super().__init__()
        self.embed = nn.Linear(14, 32)
        self.position = nn.Parameter(0.1 * torch.randn(14, 32))
        self.blocks = nn.Sequential(
            *(
                nn.TransformerEncoderLayer(
                    32, 4, 64, dropout=0.0, batch_first=True, norm_first=norm_first
                )
                for _ in range(3)
            )
        )
        self.norm = nn.LayerNorm(32)
        self.head = nn.Linear(32, 10)

    def forward(self, x: Tensor) -> Tensor:
        """Scores from the mean of the tokens."""
        tokens = self.embed(x.flatten(0, 1)) + self.position
        return self.head(self.norm(self.blocks(tokens)).mean(dim=1))


def mlp(depth: int, activation: type[nn.Module], *, norm: bool = False) -> nn.Module:
    """Fully connected, ``depth`` layers."""
    layers: OrderedDict[str, nn.Module] = OrderedDict(flatten=nn.Flatten())
    widths = [196, *[64] * (depth - 1), 10]
    for i in range(depth):
        layers[f"fc{i + 1}"] = nn.Linear(widths[i], widths[i + 1])
        if i < depth - 1:
            if norm:
                layers[f"norm{i + 1}"] = nn.LayerNorm(64)
            layers[f"act{i + 1}"] = activation()
    return initialize(
        nn.Sequential(layers), "he_normal" if activation is nn.ReLU else "lecun_normal"
    )


def cnn(*, norm: bool) -> nn.Module:
    """Four convolutions and a linear layer."""
    layers: OrderedDict[str, nn.Module] = OrderedDict()
    for i, (fan_in, fan_out, stride) in enumerate(
        [(1, 16, 1), (16, 16, 2), (16, 32, 1), (32, 32, 2)], start=1
    ):
        layers[f"conv{i}"] = nn.Conv2d(fan_in, fan_out, 3, stride, 1, bias=not norm)
        if norm:
            layers[f"norm{i}"] = nn.BatchNorm2d(fan_out)
        layers[f"act{i}"] = nn.ReLU()
    layers["pool"] = nn.AdaptiveAvgPool2d(2)
    layers["flatten"] = nn.Flatten()
    layers["fc"] = nn.Linear(128, 10)
    return initialize(nn.Sequential(layers), "he_normal")


def resnet() -> nn.Module:
    """Three residual blocks with batch normalization."""

    def block() -> nn.Module:
        return Residual(
            nn.Conv2d(16, 16, 3, 1, 1, bias=False),
            nn.BatchNorm2d(16),
            nn.ReLU(),
            nn.Conv2d(16, 16, 3, 1, 1, bias=False),
            nn.BatchNorm2d(16),
        )

    layers = [nn.Conv2d(1, 16, 3, 2, 1, bias=False), nn.BatchNorm2d(16), nn.ReLU()]
    layers += [block(), block(), block(), nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(64, 10)]
    return initialize(nn.Sequential(*layers), "he_normal")


def residual_mlp() -> nn.Module:
    """Residual blocks without normalization, their last layers zero."""
    blocks = [Residual(nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 64)) for _ in range(4)]
    model = nn.Sequential(nn.Flatten(), nn.Linear(196, 64), *blocks, nn.Linear(64, 10))
    initialize(model, "he_normal")
    for block in blocks:
        nn.init.zeros_(block.branch[2].weight)
    return model


NETWORKS: dict[str, Callable[[], nn.Module]] = {
    "mlp 3 relu": lambda: mlp(3, nn.ReLU),
    "mlp 10 relu": lambda: mlp(10, nn.ReLU),
    "mlp 4 tanh": lambda: mlp(4, nn.Tanh),
    "mlp 10 tanh": lambda: mlp(10, nn.Tanh),
    "mlp 6 relu, LayerNorm": lambda: mlp(6, nn.ReLU, norm=True),
    "cnn": lambda: cnn(norm=False),
    "cnn, BatchNorm": lambda: cnn(norm=True),
    "resnet": resnet,
    "residual mlp": residual_mlp,
    "gru": lambda: Rows(nn.GRU),
    "lstm": lambda: Rows(nn.LSTM),
    "transformer, pre-norm": lambda: Former(norm_first=True),
    "transformer, post-norm": lambda: Former(norm_first=False),
}


@functools.cache
def load() -> tuple[Tensor, ...]:
    """Images of 14 × 14, of mean 0 and variance 1, and their labels."""
    data = fashion_mnist(source="sample")
    parts = []
    for split in (data.train, data.valid):
        images = F.avg_pool2d(split.images, 2)
        parts += [(images - data.train.images.mean()) / data.train.images.std(), split.labels]
    return tuple(parts)


def accuracy(batch: Batch, optimizer: str, steps: int, seed: int) -> float:
    """Train for some steps; return the accuracy on other images."""
    images, labels, valid_images, valid_labels = load()
    model = batch.model.train()
    step: torch.optim.Optimizer
    if optimizer == "adam":
        step = torch.optim.Adam(model.parameters(), lr=2e-3)
    else:
        step = torch.optim.SGD(model.parameters(), lr=0.02, momentum=0.9)
    generator = torch.Generator().manual_seed(seed)
    for _ in range(steps):
        chosen = torch.randint(len(images), (BATCH,), generator=generator)
        loss = F.cross_entropy(model(images[chosen]), labels[chosen])
        if not math.isfinite(loss.item()):
            return 0.1
        step.zero_grad()
        loss.backward()
        step.step()
    with torch.no_grad():
        return float((model.eval()(valid_images).argmax(dim=1) == valid_labels).double().mean())


@family("small")
def small() -> Family:
    """Each as it is, and with each fault at each place."""
    images, labels, *_ = load()

    def with_batch(build: Callable[[], nn.Module]) -> Callable[[], Batch]:
        return lambda: Batch(build(), images[:64], labels[:64])

    networks = {name: with_batch(build) for name, build in NETWORKS.items()}
    return Family(networks, accuracy, ("adam", "sgd"), plant, on_batch=False)

"""How well `initguide.check_init` tells networks that train from those that do not.

    python benchmarks/check_networks.py [--part small] [--part torchvision] [--trained FILE]

Small networks (perceptrons, convolutional, residual, recurrent networks and transformers) are
trained on the embedded sample of Fashion-MNIST, at half resolution, as they are and with one
planted fault: of each kind, at the start, in the middle and at the end. Whether a fault spoils
training is decided by that training: with Adam and with SGD, the accuracy is compared with that of
the healthy network from the same seed. Then `check_init` looks at the same weights before training.
With ``--trained``, accuracies are kept in a file, so that a changed check-up is held against the
same trainings without running them again.

Every classification architecture of torchvision is checked as its authors initialize it, and with
the same faults; these are not trained here.

Printed are detection by kind of fault and by place, whether the right layer is named, and false
alarms; then, for each threshold of `initguide.checkup`, how many networks lie beyond it: healthy
ones, those whose fault does no harm, those whose fault does, and how near the healthy ones come.
"""

import argparse
import copy
import json
import math
import time
import warnings
from collections import OrderedDict, defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from initguide import checkup
from initguide.checkup import Checkup, Finding, check_init
from initguide.checkup.facts import Facts
from initguide.data import fashion_mnist
from initguide.initializers import initialize
from initguide.randomness import seeded

BATCH = 50
SPOILED = 0.05  # loss of accuracy, beyond three standard deviations of 1,000 answers (0.04)


# Networks


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


# Faults


Part = tuple[str, nn.Module]


def weighted(model: nn.Module) -> list[Part]:
    """Layers that a fault can be planted in, in the order of the model."""
    kinds = (nn.Linear, nn.Conv2d, nn.RNNBase, nn.MultiheadAttention)
    return [
        (name, module)
        for name, module in model.named_modules()
        if isinstance(module, kinds) and any(p.ndim > 1 for p in module.parameters(recurse=False))
    ]


def _matrices(module: nn.Module) -> Iterable[nn.Parameter]:
    return [p for p in module.parameters(recurse=False) if p.ndim > 1]


def _biases(module: nn.Module) -> Iterable[nn.Parameter]:
    return [p for p in module.parameters(recurse=False) if p.ndim == 1]


def scale(factor: float) -> Callable[[nn.Module], None]:
    """Multiply the weights."""

    def plant(module: nn.Module) -> None:
        for weight in _matrices(module):
            weight.mul_(factor)

    return plant


def zero(module: nn.Module) -> None:
    """Weights and biases 0."""
    for parameter in module.parameters(recurse=False):
        parameter.zero_()


def duplicate(module: nn.Module) -> None:
    """Make every unit a copy of the first."""
    for parameter in module.parameters(recurse=False):
        parameter.copy_(parameter[:1].expand_as(parameter))


def shift_bias(by: float) -> Callable[[nn.Module], None]:
    """Add to the biases, or to the weights where there are none."""

    def plant(module: nn.Module) -> None:
        for bias in _biases(module) or _matrices(module):
            bias.add_(by)

    return plant


def shift_weights(module: nn.Module) -> None:
    """Move the weights' mean by two standard deviations."""
    for weight in _matrices(module):
        weight.add_(2 * weight.std())


FAULTS: dict[str, Callable[[nn.Module], None]] = {
    "scaled × 0.01": scale(0.01),
    "scaled × 100": scale(100.0),
    "zeroed": zero,
    "duplicated": duplicate,
    "bias − 10": shift_bias(-10.0),
    "bias + 10": shift_bias(10.0),
    "weights' mean shifted": shift_weights,
}
GAINS = {"all gains × 0.2": 0.2, "all gains × 4": 4.0}


@dataclass
class Case:
    """One network, with one fault or none."""

    network: str
    fault: str  # "" for none
    place: str
    layers: list[str]  # where the fault is
    model: nn.Module


def cases(name: str, build: Callable[[], nn.Module], seed: int) -> Iterable[Case]:
    """Yield the network as it is, and with each fault at each place."""
    with seeded(seed):
        healthy = build()
    yield Case(name, "", "", [], copy.deepcopy(healthy))
    parts = weighted(healthy)
    # By number, so that a layer which is both in the middle and at the end counts once.
    places = {len(parts) // 2: "middle", 0: "start", len(parts) - 1: "end"}
    for fault, plant in FAULTS.items():
        for number, place in sorted(places.items()):
            model = copy.deepcopy(healthy)
            layer, module = weighted(model)[number]
            with torch.no_grad():
                plant(module)
            yield Case(name, fault, place, [layer], model)
    for fault, gain in GAINS.items():
        model = copy.deepcopy(healthy)
        with torch.no_grad():
            for _, module in weighted(model):
                scale(gain)(module)
        yield Case(name, fault, "everywhere", [layer for layer, _ in parts], model)


# Training


def accuracy(
    model: nn.Module, data: tuple[Tensor, ...], steps: int, optimizer: str, seed: int
) -> float:
    """Train a copy for some steps; return its accuracy on other images."""
    images, labels, valid_images, valid_labels = data
    model = copy.deepcopy(model).train()
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


class Trained:
    """Accuracies that were reached, kept in a file if there is one."""

    def __init__(self, path: str, steps: int, data: tuple[Tensor, ...]) -> None:
        self.path, self.steps, self.data = Path(path) if path else None, steps, data
        self.known: dict[str, float] = {}
        if self.path is not None and self.path.exists():
            for line in self.path.read_text(encoding="utf-8").splitlines():
                self.known.update(json.loads(line))

    def __call__(self, case: Case, optimizer: str, seed: int) -> float:
        """Return the accuracy of a case, trained now or before."""
        words = (case.network, str(seed), case.fault, case.place, optimizer, str(self.steps))
        key = " | ".join(words)
        if key not in self.known:
            self.known[key] = accuracy(case.model, self.data, self.steps, optimizer, seed)
            if self.path is not None:
                with self.path.open("a", encoding="utf-8") as file:
                    file.write(json.dumps({key: self.known[key]}) + "\n")
        return self.known[key]


def load() -> tuple[Tensor, ...]:
    """Images of 14 × 14, of mean 0 and variance 1, and their labels."""
    data = fashion_mnist(source="sample")
    parts = []
    for split in (data.train, data.valid):
        images = F.avg_pool2d(split.images, 2)
        parts += [(images - data.train.images.mean()) / data.train.images.std(), split.labels]
    return tuple(parts)


# Tables


@dataclass
class Result:
    """What came out of one case."""

    case: Case
    findings: tuple[Finding, ...]
    drops: dict[str, float]  # optimizer -> loss of accuracy
    numbers: dict[str, float] = field(default_factory=dict)  # what the thresholds judge

    @property
    def spoiled(self) -> bool:
        """Whether the fault costs accuracy with both optimizers: none of them makes up for it."""
        return min(self.drops.values(), default=0.0) > SPOILED

    @property
    def hurt(self) -> bool:
        """Whether it does so with at least one of them."""
        return max(self.drops.values(), default=0.0) > SPOILED

    @property
    def found(self) -> bool:
        """Whether anything worse than a note was said."""
        return any(f.severity != "note" for f in self.findings)

    @property
    def error(self) -> bool:
        """Whether an error was said."""
        return any(f.severity == "error" for f in self.findings)

    @property
    def named(self) -> bool:
        """Whether a finding that is worse than a note names the layer of the fault."""
        return any(
            f.layer == layer or layer.startswith(f"{f.layer}.") or f.layer.startswith(f"{layer}.")
            for f in self.findings
            if f.severity != "note"
            for layer in self.case.layers
        )


# What is judged -> the thresholds for it; below them something is found, or above.
THRESHOLDS: dict[str, tuple[str, tuple[float, ...]]] = {
    "move of the outputs (QUIET)": ("below", checkup.QUIET),
    "first layer's effect / largest (SLOW, FROZEN)": ("below", (checkup.SLOW, checkup.FROZEN)),
    "size of the outputs (LARGE, HUGE)": ("above", (checkup.LARGE, checkup.HUGE)),
    "loss / ln 10 (WRONG, CONFIDENT)": ("above", (checkup.WRONG, checkup.CONFIDENT)),
    "saturated activations (FLATTENED)": ("above", checkup.FLATTENED),
    "shared by the units (ALIKE)": ("above", (checkup.ALIKE,)),
}


def judged(model: nn.Module, report: Checkup, inputs: Tensor, targets: Tensor) -> dict[str, float]:
    """Return the numbers that the thresholds of the check-up are held against."""
    # The check-up's own, so that what is printed is what is judged.
    facts = Facts(model, report.measurement, inputs, targets)
    equal = bool(facts.equal_head())  # gradients cancel, so the check-up looks again
    effects = [w.effect for w in facts.trained if w.effect > 0 and not equal]
    hidden = [w.parameter.shared for w in facts.weights[:-1]]
    flat = [r.saturated_fraction for r in report.layers]
    found = report.measurement
    numbers = (
        math.nan if equal else facts.reach(),
        effects[0] / max(effects) if effects else math.nan,
        facts.size(),
        found.loss / found.blank_loss,
        max((x for x in flat if not math.isnan(x)), default=math.nan),
        max((x for x in hidden if not math.isnan(x)), default=math.nan),
    )
    return dict(zip(THRESHOLDS, numbers, strict=True))


def calibration(results: list[Result]) -> None:
    """Print how many networks lie beyond each threshold."""
    groups = {
        "healthy": [r for r in results if not r.case.fault],
        "harmless": [r for r in results if r.case.fault and not r.hurt],
        "hurts": [r for r in results if r.case.fault and r.hurt and not r.spoiled],
        "spoils": [r for r in results if r.case.fault and r.spoiled],
    }
    words = "".join(f"{f'{name} ({len(rows)})':>15}" for name, rows in groups.items())
    print(f"\nbeyond a threshold{'':37}{words}   worst healthy")
    for name, (side, values) in THRESHOLDS.items():
        sign = -1 if side == "below" else 1
        healthy = [r.numbers[name] for r in groups["healthy"] if not math.isnan(r.numbers[name])]
        worst = max((sign * x for x in healthy), default=math.nan) * sign
        for value in values:
            counts = (
                sum(sign * r.numbers[name] > sign * value for r in rows) for rows in groups.values()
            )
            line = f"{name} {side} {value:g}"
            print(f"{line:55}" + "".join(f"{count:15d}" for count in counts) + f"{worst:16.2g}")


def share(results: list[Result], what: str) -> str:
    """Count of those for which a property holds."""
    return f"{sum(getattr(r, what) for r in results):3d}/{len(results):<3d}"


def small(steps: int, seeds: int, only: str, *, verbose: bool, kept: str = "") -> list[Result]:
    """Train and check the small networks."""
    data = load()
    trained = Trained(kept, steps, data)
    results = []
    batch, targets = data[0][:64], data[1][:64]
    for name, build in NETWORKS.items():
        if only not in name:
            continue
        for seed in range(seeds):
            base: dict[str, float] = {}
            for case in cases(name, build, seed):
                report = check_init(case.model, batch, targets, advice=False)
                reached = {
                    optimizer: trained(case, optimizer, seed) for optimizer in ("adam", "sgd")
                }
                base = base or reached
                drops = {optimizer: base[optimizer] - reached[optimizer] for optimizer in base}
                numbers = judged(case.model, report, batch, targets)
                results.append(Result(case, report.findings, drops, numbers))
                if verbose:
                    said = {f"{f.severity[0]}:{f.code}@{f.layer}" for f in report.findings}
                    reach = ", ".join(f"{o} {a:.2f}" for o, a in reached.items())
                    last = results[-1]
                    mark = "SPOILS" if last.spoiled else "hurts" if last.hurt else ""
                    if last.hurt and not last.found:
                        mark += " MISSED"
                    elif last.hurt and case.fault and not last.named:
                        mark += " MISNAMED"
                    elif last.error and not last.hurt:
                        mark += " FALSE ERROR"
                    place = f"{case.fault} {case.place} {case.layers[:1]}"
                    print(f"{name} | {place} | {reach} {mark}")
                    print("      ", *sorted(said), flush=True)
    return results


def table(results: list[Result]) -> None:
    """Print detection by kind of fault and place, and false alarms."""
    by_fault = defaultdict(list)
    by_place = defaultdict(list)
    for r in results:
        if r.case.fault:
            by_fault[r.case.fault].append(r)
            by_place[r.case.place].append(r)
    print(
        "\nA fault spoils training if the accuracy falls by more than "
        f"{SPOILED:g} with Adam and with SGD, and hurts if it does with one of them.\n\n"
        f"{'':24} planted   spoils: found    layer named   hurts: found   harmless: error  "
        "warning"
    )
    every = [r for r in results if r.case.fault]
    for title, rows in [*by_fault.items(), *by_place.items(), ("all", every)]:
        spoiled = [r for r in rows if r.spoiled]
        found = [r for r in spoiled if r.found]
        hurt = [r for r in rows if r.hurt]
        fine = [r for r in rows if not r.hurt]
        print(
            f"{title:24} {len(rows):7d}         {share(spoiled, 'found')}        "
            f"{share(found, 'named')}        {share(hurt, 'found')}          "
            f"{share(fine, 'error')}  {share(fine, 'found')}"
        )
    healthy = [r for r in results if not r.case.fault]
    print(
        f"healthy networks: {share(healthy, 'error')} with an error, {share(healthy, 'found')} "
        "with a warning or an error"
    )


def torchvision_models(limit: float) -> Iterable[tuple[str, Callable[[], nn.Module], int]]:
    """Names, builders and image sizes of classification architectures, small ones first."""
    from torchvision import models  # noqa: PLC0415  slow, and not always wanted

    found = []
    for name in models.list_models(models):
        size = models.get_model_weights(name).DEFAULT.meta["num_params"] / 1e6
        if size <= limit:
            found.append((size, name))
    for _, name in sorted(found):
        options = {"init_weights": True} if name in ("googlenet", "inception_v3") else {}
        pixels = 224 if name.startswith(("vit", "maxvit")) else 299 if "inception" in name else 64

        def build(name: str = name, options: dict[str, bool] = options) -> nn.Module:
            return models.get_model(name, **options)

        yield name, build, pixels


def torchvision(limit: float, seconds: float, *, faults: bool) -> None:
    """Check torchvision's architectures, as they are and with faults."""
    start, alarms, number = time.perf_counter(), [], 0
    tallies: dict[str, list[tuple[bool, bool]]] = defaultdict(list)
    for name, build, pixels in torchvision_models(limit):
        if time.perf_counter() - start > seconds:
            print(f"stopped before {name}: {seconds:.0f} seconds are over")
            break
        generator = torch.Generator().manual_seed(1)
        images = torch.randn(8 if pixels == 64 else 4, 3, pixels, pixels, generator=generator)
        labels = torch.randint(0, 1000, (len(images),), generator=generator)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            for case in cases(name, build, 0):
                report = check_init(case.model, images, labels, advice=False)
                result = Result(case, report.findings, {})
                if not case.fault:
                    number += 1
                    bad = sorted({f"{f.severity}: {f.code}" for f in report.findings} - {""})
                    print(f"{name:24} {'; '.join(bad) or 'nothing found'}", flush=True)
                    alarms += [name] * result.error
                    if not faults:
                        break
                else:
                    tallies[case.fault].append((result.found, result.named))
    print(f"\ntorchvision: {number} architectures, {len(alarms)} with an error: {alarms}")
    for fault, rows in tallies.items():
        found = sum(found for found, _ in rows)
        print(
            f"{fault:24} found {found:3d}/{len(rows)}, layer named {sum(n for _, n in rows):3d}"
            " (not all of these spoil training)"
        )


def main() -> None:
    """Run the parts, and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--part", action="append", choices=("small", "torchvision"))
    parser.add_argument("--steps", type=int, default=400, help="of training (400)")
    parser.add_argument("--seeds", type=int, default=1, help="of each small network (1)")
    parser.add_argument("--trained", default="", help="file that keeps the accuracies")
    parser.add_argument("--only", default="", help="small networks whose name holds this")
    parser.add_argument("--limit", type=float, default=30.0, help="million parameters (30)")
    parser.add_argument("--seconds", type=float, default=200.0, help="for torchvision (200)")
    parser.add_argument("--faults", action="store_true", help="plant faults in torchvision's too")
    parser.add_argument("--verbose", action="store_true", help="a line for each case")
    options = parser.parse_args()
    torch.set_num_threads(1)
    parts = options.part or ["small", "torchvision"]
    if "small" in parts:
        results = small(
            options.steps,
            options.seeds,
            options.only,
            verbose=options.verbose,
            kept=options.trained,
        )
        table(results)
        calibration(results)
    if "torchvision" in parts:
        torchvision(options.limit, options.seconds, faults=options.faults)


if __name__ == "__main__":
    main()

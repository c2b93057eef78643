"""Time the lesson's training: the original lesson's loop, JAX, and this package, in one run.

    python benchmarks/lesson_speed.py [--runs 10] [--repeats 3]

Beside them stands a floor: how long the matrix products of one run would take at the best rate at
which any library multiplies matrices on this machine. Importing and reading the data are not
counted, and compiling is timed by itself: JAX's, and that of this package, which also stands there
as it is without a compiler.
"""

import functools
import importlib.util
import itertools
import os
import tempfile
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from unittest import mock

import numpy as np
import timing
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.data import DataLoader, SubsetRandomSampler
from torchvision import datasets, transforms

import initguide
from initguide import Table
from initguide.training import cores, engine, evaluate, quick_layers, train_many

SHAPES = [(784, 256), (256, 128), (128, 10)]
BATCH_SIZE = 100
EPOCHS = 2

# Training


class Pictures(datasets.FashionMNIST):
    """torchvision's own data set, which makes a picture and then a tensor each time it is asked."""

    def __init__(self, data: initguide.data.FashionMNIST) -> None:
        datasets.VisionDataset.__init__(self, transform=transforms.ToTensor())  # reads no files
        splits = (data.train, data.valid)
        self.data = torch.cat([split.images for split in splits]).mul(255).round().byte().squeeze(1)
        self.targets = torch.cat([split.labels for split in splits])


def images(*, quick: bool) -> initguide.data.FashionMNIST:
    """Load the images, or a quarter of them."""
    data = initguide.fashion_mnist()
    return data.subset(12_000, 3000, 2500) if quick and not data.is_sample else data


def loaders(data: initguide.data.FashionMNIST) -> tuple[DataLoader, DataLoader]:
    """Split the images as the original lesson does, by samplers."""
    pictures = Pictures(data)
    order = np.random.default_rng(0).permutation(len(pictures)).tolist()
    cut = len(data.valid)
    train = DataLoader(pictures, BATCH_SIZE, sampler=SubsetRandomSampler(order[cut:]))
    valid = DataLoader(pictures, BATCH_SIZE, sampler=SubsetRandomSampler(order[:cut]))
    return train, valid


def original(data: initguide.data.FashionMNIST, runs: int) -> timing.Numbers:
    """Train as the original lesson does: DataLoader, ToTensor, Adam, ``.item()`` every step.

    Like the original, it looks at the validation images only, and leaves dropout on.
    """
    began = time.perf_counter()
    train, valid = loaders(data)
    accuracies = []
    for _ in range(runs):
        model = initguide.Net()
        loss_function = nn.CrossEntropyLoss()
        optimizer = torch.optim.Adam(model.parameters(), 1e-3)
        losses = []
        for _ in range(EPOCHS):
            for inputs, labels in train:
                optimizer.zero_grad()
                loss = loss_function(model(inputs), labels)
                loss.backward()
                optimizer.step()
                losses.append(loss.item())
        correct = sum(
            (model(inputs).argmax(dim=1) == labels).sum().item() for inputs, labels in valid
        )
        accuracies.append(correct / len(data.valid))
    return {"seconds": time.perf_counter() - began, "accuracy": min(accuracies)}


def ours(data: initguide.data.FashionMNIST, runs: int) -> timing.Numbers:
    """Train the same number of networks by `initguide.compare_init_weights`."""
    began = time.perf_counter()
    with tempfile.TemporaryDirectory() as empty, mock.patch.dict(os.environ, XDG_CACHE_HOME=empty):
        works = engine.works()  # compiles, as in the first process on a machine
    compiling = {"compiling": time.perf_counter() - began} if works else {}
    began = time.perf_counter()
    result = initguide.compare_init_weights(["default"], data, epochs=EPOCHS, seeds=runs)
    seconds = time.perf_counter() - began
    accuracy = min(run.test_accuracy for run in result.runs)
    return {"seconds": seconds, "accuracy": accuracy, **compiling}


def in_jax(data: initguide.data.FashionMNIST, runs: int) -> timing.Numbers:
    """Train the same number of networks in JAX."""
    import lesson_jax  # noqa: PLC0415  JAX may be missing, and its threads would disturb the others

    return lesson_jax.train(data, runs, EPOCHS)


# Where the time goes


def pictures(data: initguide.data.FashionMNIST) -> None:
    """Do nothing but hand out the images, as often as the original loop does."""
    train, valid = loaders(data)
    for loader in (*[train] * EPOCHS, valid):
        for _ in loader:
            pass


def seconds_of(work: Callable[[], object], times: int = 1) -> float:
    """Time something, done so many times, after once that does not count."""
    work()
    began = time.perf_counter()
    for _ in range(times):
        work()
    return time.perf_counter() - began


def one_run(net: nn.Module, data: initguide.data.FashionMNIST, way: str) -> None:
    """Train one network on one core."""
    settings = {"learning_rates": [1e-3], "seeds": [0], "labels": [""]}
    train_many([net], data, epochs=EPOCHS, way=way, **settings)


def pieces(data: initguide.data.FashionMNIST) -> timing.Numbers:
    """Seconds of one run, and of each thing in it, done by itself as often as the run does it."""
    found = {
        "original": original(data, 1)["seconds"],
        "original: images": seconds_of(functools.partial(pictures, data)),
    }
    torch.set_num_threads(1)
    net = initguide.Net()
    for name, way in (("compiled run", "compiled"), ("run", "alone")):
        found[name] = seconds_of(functools.partial(one_run, net, data, way))

    generator = torch.Generator().manual_seed(0)
    batches = EPOCHS * len(data.train) // BATCH_SIZE
    order = torch.randperm(len(data.train), generator=generator).split(BATCH_SIZE)
    places = itertools.cycle(order)
    sizes = products(BATCH_SIZE, training=True)
    pairs = [(torch.rand(m, k), torch.rand(k, n)) for m, k, n in sizes]
    hidden = [torch.rand(BATCH_SIZE, units) for _, units in SHAPES[:-1]]
    optimizer = torch.optim.Adam(net.parameters(), fused=True)
    for parameter in net.parameters():
        parameter.grad = torch.zeros_like(parameter)
    net.train()
    with quick_layers([net], [generator]):
        works: dict[str, tuple[Callable[[], object], int]] = {
            "products": (torch_step(with_onednn, pairs), batches),
            "images": (lambda: data.train.images.index_select(0, next(places)), batches),
            "masks": (lambda: [net.dropout(x) for x in hidden], batches),
            "Adam": (optimizer.step, batches),
            "evaluation": (lambda: [evaluate(net, s) for s in (data.valid, data.test)], 1),
        }
        for name, (work, times) in works.items():
            found[f"run: {name}"] = seconds_of(work, times)
    return found


# The floor

Product = Callable[[], object]
Prepare = Callable[[Tensor, Tensor], Product]  # (m, k) and (k, n) -> what multiplies them


def with_torch(a: Tensor, b: Tensor) -> Product:
    """By PyTorch's own way: MKL, where it was built with that."""
    return lambda: a @ b


def with_onednn(a: Tensor, b: Tensor) -> Product:
    """By oneDNN, through the function behind PyTorch's compiled linear layers."""
    weight = b.T.contiguous()
    product = torch.ops.mkldnn._linear_pointwise  # noqa: SLF001  there is no public name
    return lambda: product(a, weight, None, "none", [], "")


def with_convolution(a: Tensor, b: Tensor) -> Product:
    """By a convolution of single points, which PyTorch hands to oneDNN."""
    points, kernels = b[None], a[:, :, None]
    return lambda: F.conv1d(points, kernels)


def with_numpy(a: Tensor, b: Tensor) -> Product:
    """By NumPy: OpenBLAS, as it comes from PyPI."""
    left, right = a.numpy(), b.numpy()
    return lambda: left @ right


LIBRARIES: dict[str, Prepare] = {
    "PyTorch": with_torch,
    "PyTorch, oneDNN": with_onednn,
    "PyTorch, oneDNN by convolution": with_convolution,
    "NumPy": with_numpy,
}


def products(batch: int, *, training: bool) -> list[tuple[int, int, int]]:
    """Sizes (m, k, n) of the products of one step: forward, and both ways back for each layer."""
    found = []
    for number, (inputs, outputs) in enumerate(SHAPES):
        found.append((batch, inputs, outputs))
        if training:
            found.append((outputs, batch, inputs))
            if number:  # nobody needs the gradient of the images
                found.append((batch, outputs, inputs))
    return found


def operations(sizes: list[tuple[int, int, int]]) -> float:
    """Additions and multiplications of some products."""
    return float(sum(2 * m * k * n for m, k, n in sizes))


def work(train: int, evaluated: int) -> float:
    """Additions and multiplications of a run: all steps, and then the evaluation."""
    steps = EPOCHS * train / BATCH_SIZE
    forward = operations(products(evaluated, training=False))
    return steps * operations(products(BATCH_SIZE, training=True)) + forward


def rate(step: Callable[[], object], done: float, seconds: float, workers: int) -> float:
    """Operations a second, of so many threads that each repeat the step for some seconds."""

    def repeat(_: int) -> tuple[int, float, float]:
        torch.set_num_threads(1 if workers > 1 else cores())
        for _ in range(3):
            step()
        count, began = 0, time.perf_counter()
        while time.perf_counter() < began + seconds:
            step()
            count += 1
        return count, began, time.perf_counter()

    with ThreadPoolExecutor(workers) as pool:
        counts, starts, ends = zip(*pool.map(repeat, range(workers)), strict=True)
    return sum(counts) * done / (max(ends) - min(starts))


def rates(library: str, seconds: float) -> timing.Numbers:
    """GFLOP/s of a library, for the lesson's own products and for large ones.

    The better of two ways: one product at a time on all cores, or one on each core.
    """
    generator = torch.Generator().manual_seed(0)
    found = {}
    for name, sizes in {
        "own": products(BATCH_SIZE, training=True),
        "large": [(2048, 2048, 2048)],
    }.items():
        pairs = [
            (torch.rand(m, k, generator=generator), torch.rand(k, n, generator=generator))
            for m, k, n in sizes
        ]
        step = jax_step(pairs) if library == "JAX" else torch_step(LIBRARIES[library], pairs)
        found[name] = max(
            rate(step, operations(sizes), seconds, workers) / 1e9 for workers in {1, cores()}
        )
    return found


def torch_step(prepare: Prepare, pairs: list[tuple[Tensor, Tensor]]) -> Callable[[], object]:
    """One product after the other."""
    steps = [prepare(a, b) for a, b in pairs]

    def step() -> None:
        with torch.inference_mode():
            for product in steps:
                product()

    return step


def jax_step(pairs: list[tuple[Tensor, Tensor]]) -> Callable[[], object]:
    """All products in one compiled function."""
    import jax  # noqa: PLC0415  JAX may be missing

    arrays = [(jax.numpy.asarray(a.numpy()), jax.numpy.asarray(b.numpy())) for a, b in pairs]
    compiled = jax.jit(lambda arrays: [a @ b for a, b in arrays])
    return lambda: jax.block_until_ready(compiled(arrays))


# OpenBLAS is told when NumPy is imported, so that several threads can each multiply by themselves.
ONE_THREAD = {"OPENBLAS_NUM_THREADS": "1"}

# Tables


def trained(results: timing.Results) -> dict[str, list[float]]:
    """Seconds a run of each part that trains, in each turn."""
    runs = results["settings"]["runs"]
    return {
        part: [seconds / count for seconds in timing.column(results, part, "seconds")]
        for part, count in runs.items()
        if part in results["measured"]
    }


def floor(results: timing.Results, library: str) -> list[float]:
    """Seconds that the products of a run take at a library's better rate, in each turn."""
    part = f"products: {library}"
    own, large = (timing.column(results, part, what) for what in ("own", "large"))
    best = map(max, own, large)
    return [results["settings"]["operations"] / (1e9 * number) for number in best]


WORDS = {
    "original": "the original loop",
    "original: images": "… of it, making pictures and tensors",
    "compiled run": "initguide, one run on one core",
    "run": "initguide without a compiler, one run on one core",
    "run: products": "… of it, products of matrices",
    "run: images": "… gathering the images of each mini-batch",
    "run: masks": "… dropout's random numbers and masks",
    "run: Adam": "… Adam's steps",
    "run: evaluation": "… evaluation",
}


def where(results: timing.Results) -> Table:
    """Say where the time of one run goes."""
    part = "where the time goes"
    seconds = {name: timing.column(results, part, name) for name in WORDS}
    rows = {words: seconds[name] for name, words in WORDS.items()}
    wholes = {words: seconds[name.partition(":")[0]] for name, words in WORDS.items()}
    single = [numbers for name, numbers in seconds.items() if name.startswith("run: ")]
    rest = "… all else: activations, losses, differentiation, Python"
    rows[rest] = [
        whole - sum(turn)
        for whole, turn in zip(seconds["run"], zip(*single, strict=True), strict=True)
    ]
    wholes[rest] = seconds["run"]
    return Table(
        {
            "what": list(rows),
            "seconds": [timing.summary(numbers) for numbers in rows.values()],
            "share, %": [
                timing.summary([100 * x for x in timing.ratios(numbers, wholes[words])], 2)
                for words, numbers in rows.items()
            ],
        },
        caption="Where the time of one run goes",
        note=timing.note(
            results, "Each thing was done by itself, as often as the run does it; the rest is left."
        ),
    )


def tables(results: timing.Results) -> Mapping[str, Table]:
    """What the numbers say about training, and about products."""
    seconds = trained(results)
    runs = results["settings"]["runs"]
    libraries = [part.removeprefix("products: ") for part in results["measured"] if ":" in part]
    floors = {library: floor(results, library) for library in libraries}
    parts = dict(seconds)
    if floors:
        parts["the products alone, at the best rate"] = [
            min(turn) for turn in zip(*floors.values(), strict=True)
        ]
    first = next(iter(seconds))
    peers = [part for part in seconds if part.startswith("JAX") and runs[part] == runs[first]]
    fastest = [min(turn) for turn in zip(*(seconds[part] for part in peers), strict=True)]
    images_ = results["settings"]["images"]["train"]
    speed = Table(
        {
            "what": [part.partition(",")[0] if part in runs else part for part in parts],
            "runs": [runs.get(part) for part in parts],
            "seconds a run": [timing.summary(x) for x in parts.values()],
            "× original": [
                timing.summary(timing.ratios(seconds[first], x)) for x in parts.values()
            ],
            "× JAX": [timing.summary(timing.ratios(fastest, x)) for x in parts.values()],
            "compiling, s": [
                timing.median(timing.column(results, part, "compiling")) for part in parts
            ],
            "peak memory, MB": [
                timing.median(timing.column(results, part, "peak")) for part in parts
            ],
        },
        caption=f"The lesson's network, {EPOCHS} epochs of {images_:,} images",
        note=timing.note(
            results,
            "× original and × JAX: how many times as fast as the original loop, and as the faster "
            f"of the rows of JAX with {runs[first]} runs, turn by turn. The memory is all that the "
            "process had at its peak, with libraries and images.",
        ),
        formats={"compiling, s": ".1f", "peak memory, MB": ",.0f"},
        marked=[list(parts).index(part) for part in parts if part.startswith("initguide")],
    )
    if not floors:
        return {"speed": speed}
    rows = {
        what: [timing.column(results, f"products: {x}", what) for x in libraries]
        for what in ("own", "large")
    }
    return {
        "speed": speed,
        "where": where(results),
        "floor": Table(
            {
                "library": libraries,
                "the lesson's products, GFLOP/s": [timing.summary(x) for x in rows["own"]],
                "large products, GFLOP/s": [timing.summary(x) for x in rows["large"]],
                "seconds for a run's products": [timing.summary(x) for x in floors.values()],
            },
            caption="How fast the libraries multiply matrices of float32, on all cores",
            note=timing.note(
                results,
                "The lesson's products are those of one training step with 100 images, one after "
                "the other; the large ones are 2048 × 2048 × 2048. Each rate is the better of two "
                "ways: one product at a time on all cores, or one on each core. The last column "
                f"is {results['settings']['operations'] / 1e9:.0f} billion operations at the "
                "better rate of the two.",
            ),
        ),
    }


def main() -> None:
    """Run the parts in turn, each in a fresh process, and print the tables."""
    parser = timing.arguments(__doc__, repeats=3)
    words = "networks trained by each of the programs (10); ours trains 1, 2 and 100, too"
    parser.add_argument("--runs", type=int, default=10, help=words)
    options = parser.parse_args()
    runs = 2 if options.quick else options.runs
    data = images(quick=options.quick)
    ones = sorted({1, 2, runs, *([] if options.quick else [100])})

    parts: dict[str, Callable[[], timing.Numbers]] = {}
    counts: dict[str, int] = {}
    environments = {f"products: {library}": ONE_THREAD for library in LIBRARIES}

    def learn(function: Callable[..., timing.Numbers], count: int) -> timing.Numbers:
        numbers = function(data, count)
        # With dropout left on, the original loop says less of its networks than they deserve.
        least = 0.7 if options.quick or function is original else 0.8
        assert numbers["accuracy"] > least, numbers
        return numbers

    def add(name: str, function: Callable[..., timing.Numbers], count: int) -> None:
        part = f"{name}, {count}"
        counts[part], parts[part] = count, functools.partial(learn, function, count)

    add("the original loop", original, runs)
    has_jax = importlib.util.find_spec("jax") is not None
    if has_jax:
        for count in sorted({1, runs}):
            add("JAX", in_jax, count)
        if cores() > 1 and runs % cores() == 0:
            name = f"JAX on {cores()} devices"
            flags = f"--xla_force_host_platform_device_count={cores()}"
            flags = f"{os.environ.get('XLA_FLAGS', '')} {flags}".strip()
            environments[f"{name}, {runs}"] = {"XLA_FLAGS": flags}
            add(name, in_jax, runs)
    elif not options.part:
        print("JAX is not installed, so it is left out: pip install jax")
    name = "initguide without a compiler"
    environments[f"{name}, {runs}"] = {"INITGUIDE_CC": "off"}
    add(name, ours, runs)
    if options.part or engine.works():  # a part that is measured compiles by itself
        for count in ones:
            add("initguide", ours, count)
    else:
        print("There is no C compiler, so what it brings is left out")
    parts["where the time goes"] = functools.partial(pieces, data)
    for library in [*LIBRARIES, *(["JAX"] if has_jax else [])]:
        parts[f"products: {library}"] = functools.partial(
            rates, library, 0.1 if options.quick else 1.0
        )

    sizes = {name: len(getattr(data, name)) for name in ("train", "valid", "test")}
    timing.run(
        __file__,
        options,
        parts,
        tables,
        settings={
            "runs": counts,
            "images": sizes,
            "operations": work(sizes["train"], sizes["valid"] + sizes["test"]),
        },
        packages=("torchvision", "jax"),
        environments=environments,
    )


if __name__ == "__main__":
    main()

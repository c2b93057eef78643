"""Compare the ways of doing many runs, over sizes of the network: the rule of the package.

    python benchmarks/ways.py [--repeats 3]

On each core goes a thread, with networks that it trains alone (one after the other), side by side
or stacked, as `initguide.training` says, or by compiled steps; or a process, with networks alone.
The networks have two hidden layers, of h and h/2 units. Each way first does a few runs that do not
count, in which processes start and load the images. A second table is about tiny networks by the
thousand.
"""

import functools
import itertools
import math
import multiprocessing
import time
from collections.abc import Callable, Mapping
from concurrent.futures import Executor, ProcessPoolExecutor, ThreadPoolExecutor

import timing
import torch
import torch.nn.functional as F
from torch import nn

import initguide
from initguide import Table
from initguide.randomness import seeded
from initguide.training import cores, engine, fit_many, plan, planning, train_many

# Units of the first hidden layer -> runs
HIDDEN = {8: 512, 16: 320, 32: 160, 64: 80, 128: 40, 256: 40, 512: 20, 1024: 10, 2048: 4}
TRAIN, EPOCHS = 4000, 2
TINY, STEPS = 65_536, 300


def network(hidden: int) -> initguide.Net:
    """Make the lesson's network in another size."""
    return initguide.Net(hidden, hidden // 2)


@functools.cache
def images() -> initguide.data.FashionMNIST:
    """Load a part of them, once a process: what matters here is the size of the network."""
    return initguide.fashion_mnist().subset(TRAIN, 1000, 1000)


def group(way: str, hidden: int, seeds: range) -> int:
    """Train some networks at once; count those that learnt something."""
    torch.set_num_threads(1)
    with seeded(seeds[0]):
        models = [network(hidden) for _ in seeds]
    runs = train_many(
        models,
        images(),
        epochs=EPOCHS,
        learning_rates=[1e-3] * len(models),
        seeds=list(seeds),
        labels=[""] * len(models),
        way=way,
    )
    return sum(run.valid_accuracy > 0.15 for run in runs)


def many(pool: Executor, way: str, hidden: int, runs: int) -> float:
    """Seconds of so many runs."""
    count = sum(p.numel() for p in network(hidden).parameters())
    sizes = {
        "alone": 1,
        "side by side": planning.ABREAST,
        "stacked": planning.stack_size(count),
        "compiled": planning.group_size(count),
    }
    groups = math.ceil(math.ceil(runs / sizes[way]) / cores()) * cores()
    ends = [runs * k // groups for k in range(groups + 1)]
    parts = [range(i, k) for i, k in itertools.pairwise(ends) if i < k]
    began = time.perf_counter()
    learnt = sum(pool.map(functools.partial(group, way, hidden), parts))
    seconds = time.perf_counter() - began
    assert learnt > runs / 2, (learnt, runs)
    return seconds


def threads(way: str, hidden: int, runs: int) -> timing.Numbers:
    """Train in a thread on each core."""
    with ThreadPoolExecutor(cores()) as pool:
        many(pool, way, hidden, 2 * cores())
        return {"seconds": many(pool, way, hidden, runs)}


def processes(hidden: int, runs: int) -> timing.Numbers:
    """Train in a process on each core."""
    with ProcessPoolExecutor(cores(), mp_context=multiprocessing.get_context("spawn")) as pool:
        many(pool, "alone", hidden, 2 * cores())
        seconds = many(pool, "alone", hidden, runs)
        workers = [child.pid for child in multiprocessing.active_children()]
        peak = sum(timing.peak_memory(process) for process in ("self", *workers))
    return {"seconds": seconds, "peak": peak}


WAYS: dict[str, Callable[[int, int], timing.Numbers]] = {
    "compiled": functools.partial(threads, "compiled"),
    "alone": functools.partial(threads, "alone"),
    "side by side": functools.partial(threads, "side by side"),
    "stacked": functools.partial(threads, "stacked"),
    "processes": processes,
}


def tiny_network() -> nn.Sequential:
    """Make a network of 16 hidden units."""
    return nn.Sequential(nn.Linear(16, 16), nn.Tanh(), nn.Linear(16, 1))


def tiny_data() -> tuple[torch.Tensor, torch.Tensor]:
    """Draw what the tiny networks learn: sixteen random points."""
    generator = torch.Generator().manual_seed(0)
    return torch.randn(16, 16, generator=generator), torch.randn(16, 1, generator=generator)


def tiny_alone(networks: int) -> timing.Numbers:
    """Train one tiny network after the other, in a plain loop on one core."""
    torch.set_num_threads(1)
    inputs, targets = tiny_data()
    torch.manual_seed(0)
    began = time.perf_counter()
    for _ in range(networks):
        model = tiny_network()
        optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
        for _ in range(STEPS):
            loss = F.mse_loss(model(inputs), targets)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        assert loss < 1
    return {"seconds": time.perf_counter() - began}


def tiny_stacked(networks: int) -> timing.Numbers:
    """Train all of them by `initguide.training.fit_many`, each with a learning rate of its own."""
    model = tiny_network()
    inputs, targets = tiny_data()
    generator = torch.Generator().manual_seed(0)
    parameters = {
        name: torch.randn(networks, *p.shape, generator=generator) / 4
        for name, p in model.named_parameters()
    }
    rates = torch.logspace(-3, -1, networks)
    began = time.perf_counter()
    fits = fit_many(
        model, parameters, inputs, targets, steps=STEPS, learning_rate=rates, loss=F.mse_loss
    )
    seconds = time.perf_counter() - began
    assert (fits.losses[-1] < fits.losses[0]).mean() > 0.9
    return {"seconds": seconds}


TINY_WAYS: dict[str, Callable[[int], timing.Numbers]] = {
    "a plain loop, on one core": tiny_alone,
    "fit_many": tiny_stacked,
}


def tables(results: timing.Results) -> Mapping[str, Table]:
    """Runs a second of each way and size; networks a second of the tiny ones."""
    settings = results["settings"]
    sizes = {int(hidden): runs for hidden, runs in settings["runs"].items()}
    parameters = {int(hidden): number for hidden, number in settings["parameters"].items()}
    columns: dict[str, list[object]] = {
        "hidden units": [f"{hidden}, {hidden // 2}" for hidden in sizes],
        "parameters": [parameters[hidden] for hidden in sizes],
    }
    for way in WAYS:
        columns[way] = [
            timing.summary(
                [
                    runs / seconds
                    for seconds in timing.column(results, f"{way}, {hidden}", "seconds")
                ]
            )
            for hidden, runs in sizes.items()
        ]
    columns["the package takes"] = list(settings["chosen"].values())
    columns["without a compiler"] = list(settings["without a compiler"].values())
    tiny = settings["tiny"]
    speeds = {
        way: [networks / seconds for seconds in timing.column(results, way, "seconds")]
        for way, networks in tiny.items()
    }
    loop = next(iter(speeds.values()))
    return {
        "ways": Table(
            columns,
            caption=f"Runs a second, {EPOCHS} epochs of {TRAIN:,} images each",
            note=timing.note(results),
        ),
        "tiny": Table(
            {
                "way": list(tiny),
                "networks": list(tiny.values()),
                "seconds": [timing.summary(timing.column(results, x, "seconds")) for x in tiny],
                "networks/s": [timing.summary(x) for x in speeds.values()],
                "× the loop": [timing.summary(timing.ratios(x, loop)) for x in speeds.values()],
            },
            caption=f"Tiny networks: 16 hidden units, {STEPS} steps on all of 16 points",
            note=timing.note(results),
        ),
    }


def main() -> None:
    """Run the ways in turn, each in a fresh process, and print the tables."""
    options = timing.arguments(__doc__, repeats=3).parse_args()
    sizes = {8: 4, 256: 4} if options.quick else HIDDEN
    tiny = dict(zip(TINY_WAYS, (4, 64) if options.quick else (128, TINY), strict=True))
    networks = {hidden: network(hidden) for hidden in sizes}
    if not engine.works():
        print("There is no C compiler, so what it brings is left out")
        del WAYS["compiled"]
    timing.run(
        __file__,
        options,
        {
            f"{name}, {hidden}": functools.partial(way, hidden, runs)
            for hidden, runs in sizes.items()
            for name, way in WAYS.items()
        }
        | {name: functools.partial(way, tiny[name]) for name, way in TINY_WAYS.items()},
        tables,
        settings={
            "runs": sizes,
            "parameters": {h: sum(p.numel() for p in n.parameters()) for h, n in networks.items()},
            "chosen": {hidden: plan(net).way for hidden, net in networks.items()},
            "without a compiler": {
                hidden: plan(net, compiling=False).way for hidden, net in networks.items()
            },
            "tiny": tiny,
        },
    )


if __name__ == "__main__":
    main()

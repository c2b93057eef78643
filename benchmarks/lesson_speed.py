"""Time the lesson's comparison against the original lesson's loop, in one run on one machine.

    python benchmarks/lesson_speed.py [--runs 10] [--repeats 3]

Each measurement is a process of its own, and the two take turns, so that a machine whose speed
drifts treats them alike. Printed are wall-clock seconds (median, and the range in brackets), peak
memory, the ratio, and a floor: how long the matrix products of the same training take by
themselves. Importing torch and reading the data are not counted.
"""

import argparse
import json
import os
import platform
import resource
import statistics
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import torch
from PIL import Image
from torch import nn
from torch.utils.data import DataLoader, Dataset, SubsetRandomSampler
from torchvision import transforms

import initguide

SHAPES = [(784, 256), (256, 128), (128, 10)]
BATCH_SIZE = 100
EPOCHS = 2


class ImageFiles(Dataset):
    """Images as torchvision hands them out: a picture is made, then a tensor, each time."""

    def __init__(self, data: initguide.data.FashionMNIST) -> None:
        splits = (data.train, data.valid)
        pixels = torch.cat([split.images for split in splits]).mul(255).round().byte().squeeze(1)
        self.pixels = pixels.numpy()
        self.labels = torch.cat([split.labels for split in splits])
        self.transform = transforms.ToTensor()

    def __len__(self) -> int:
        """Count the images."""
        return len(self.labels)

    def __getitem__(self, index: int) -> tuple[torch.Tensor, int]:
        """Make one picture, and turn it into a tensor."""
        picture = Image.fromarray(self.pixels[index])
        return self.transform(picture), int(self.labels[index])


def original(data: initguide.data.FashionMNIST, runs: int) -> None:
    """Train as the original lesson does: DataLoader, ToTensor, Adam, ``.item()`` every step."""
    images = ImageFiles(data)
    order = np.random.default_rng(0).permutation(len(images)).tolist()
    cut = len(data.valid)
    train = DataLoader(images, BATCH_SIZE, sampler=SubsetRandomSampler(order[cut:]))
    valid = DataLoader(images, BATCH_SIZE, sampler=SubsetRandomSampler(order[:cut]))
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
        assert correct / cut > 0.7


def ours(data: initguide.data.FashionMNIST, runs: int) -> None:
    """Train the same number of networks as `initguide.compare_init_weights` does."""
    result = initguide.compare_init_weights(["default"], data, epochs=EPOCHS, seeds=runs)
    assert all(run.valid_accuracy > 0.7 for run in result.runs)


def products(data: initguide.data.FashionMNIST, runs: int) -> None:
    """Do nothing but the matrix products: forward, and both of each layer's backward ones."""

    def one_run(_: int) -> None:
        torch.set_num_threads(1)
        layers = [
            (torch.rand(BATCH_SIZE, i), torch.rand(o, i), torch.rand(BATCH_SIZE, o))
            for i, o in SHAPES
        ]
        for _ in range(EPOCHS * len(data.train) // BATCH_SIZE):
            for number, (inputs, weights, gradients) in enumerate(layers):
                inputs @ weights.T
                gradients.T @ inputs
                if number:  # nobody needs the gradient of the images
                    gradients @ weights

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        list(pool.map(one_run, range(runs)))


PARTS = {"the original loop": original, "initguide": ours, "matrix products alone": products}


def measure(part: str, runs: int) -> dict[str, float]:
    """Run one part in this process: seconds, and the peak of its memory in MB."""
    data = initguide.fashion_mnist()
    start = time.perf_counter()
    PARTS[part](data, runs)
    seconds = time.perf_counter() - start
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024  # Linux counts in KiB
    return {"seconds": seconds, "peak": peak}


def main() -> None:
    """Run the parts in turn, each in a fresh process, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=10, help="networks trained by each part (10)")
    parser.add_argument("--repeats", type=int, default=3, help="how often each part is timed (3)")
    parser.add_argument("--part", choices=PARTS, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.part:
        print(json.dumps(measure(options.part, options.runs)))
        return

    data = initguide.fashion_mnist()
    print(f"{data.source}")
    print(
        f"{os.cpu_count()} cores, {platform.machine()}, Python {platform.python_version()}, "
        f"torch {torch.__version__}; {options.runs} runs of {EPOCHS} epochs, "
        f"{options.repeats} repeats in turn\n"
    )
    measured: dict[str, list[dict[str, float]]] = {part: [] for part in PARTS}
    for _ in range(options.repeats):
        for part, figures in measured.items():
            command = [sys.executable, __file__, "--part", part, "--runs", str(options.runs)]
            done = subprocess.run(command, check=True, capture_output=True, text=True)  # noqa: S603  our own file
            figures.append(json.loads(done.stdout.splitlines()[-1]))
    for part, figures in measured.items():
        seconds = [figure["seconds"] for figure in figures]
        peak = max(figure["peak"] for figure in figures)
        print(
            f"{part:22} {statistics.median(seconds):7.2f} s  "
            f"[{min(seconds):.2f} to {max(seconds):.2f}]  peak {peak:5.0f} MB"
        )
    pairs = zip(measured["the original loop"], measured["initguide"], strict=True)
    ratios = [theirs["seconds"] / mine["seconds"] for theirs, mine in pairs]
    print(
        f"\noriginal / initguide: {statistics.median(ratios):.1f} "
        f"[{min(ratios):.1f} to {max(ratios):.1f}]"
    )


if __name__ == "__main__":
    main()

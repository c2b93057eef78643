"""Networks of others, and the benchmark's."""

import time

import pytest
import torch
from checkup_networks import _benchmark, draws, labels, said

from initguide import cli
from initguide.checkup import check_init


@pytest.mark.slow
@pytest.mark.parametrize(
    "name", ["vgg11", "mobilenet_v3_small", "squeezenet1_1", "shufflenet_v2_x0_5"]
)
def test_torchvision(name):
    """Torchvision's networks, as their authors initialize them: no error, no warning."""
    from torchvision import models

    torch.manual_seed(0)
    report = check_init(models.get_model(name), draws(8, 3, 64, 64), labels(8, 1000))
    assert report.ok, report


@pytest.mark.slow
def test_command_on_torchvision(capsys):
    """The example of the command's help: a ResNet-18, in at most 2 seconds of a processor."""
    start = time.process_time()
    words = ["check", "torchvision.models:resnet18", "--input", "8,3,64,64"]
    assert cli.main(words) == 0
    assert "ResNet, " in capsys.readouterr().out
    assert time.process_time() - start < 8  # torchvision's import and the weights' drawing, too


def test_healthy_networks():
    """No error on any of the benchmark's small networks, from seeds that it does not use."""
    bench = _benchmark()
    images, classes, *_ = bench.load()
    for seed, (name, build) in enumerate(bench.NETWORKS.items(), start=100):
        with bench.seeded(seed):
            model = build()
        report = check_init(model, images[:64], classes[:64])
        assert not said(report, "error"), f"{name}\n{report}"


@pytest.mark.slow
def test_planted_faults(capsys):
    """Faults that spoil the training of two networks are found and placed; others are no errors."""
    bench = _benchmark()
    results = []
    for only in ("mlp 3 relu", "mlp 4 tanh"):
        results += bench.small(200, 1, only, verbose=False)
    spoiled = [r for r in results if r.spoiled]
    assert len(spoiled) >= 6
    assert sum(r.found for r in spoiled) >= 0.95 * len(spoiled)
    assert sum(r.named for r in spoiled) >= 0.9 * len(spoiled)
    assert not any(r.error for r in results if not r.case.fault)
    bench.table(results)
    bench.calibration(results)
    assert "healthy networks:   0/2   with an error" in capsys.readouterr().out

"""Networks of others, and the benchmark's."""

import sys
import time

import pytest
import torch
from checkup_networks import _benchmark, draws, labels, said
from torch import nn

from initguide import cli
from initguide.checkup import check_init
from initguide.randomness import seeded


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
    networks = _benchmark().FAMILIES["small"]().networks
    for seed, (name, build) in enumerate(networks.items(), start=100):
        with seeded(seed):
            batch = build()
        report = check_init(*batch)
        assert not said(report, "error", "warning"), f"{name}\n{report}"


@pytest.mark.slow
def test_planted_faults():
    """Faults that spoil the training of two networks are found, placed, and mended by advice."""
    script = _benchmark()
    bench, outcomes = script.Bench(200, ""), []
    for only in ("mlp 3 relu", "mlp 4 tanh"):
        outcomes += bench.outcomes("small", 1, only, advice=True)
    found = script.measured(outcomes)
    every = found["all"]
    assert every["spoil"] >= 6
    assert every["found"] >= 0.95 * every["spoil"]
    assert every["named"] >= 0.9 * every["found"]
    assert every["mended"] >= 0.8 * every["spoil"]
    assert found["networks"]["small"] == {"networks": 2, "train": 2, "error": 0, "warning": 0}
    place = {"processor": "abacus", "versions": {}}
    settings = {"steps": 200, "seeds": 1}
    shown = script.tables({"measured": found, "machine": place, "settings": settings})
    assert f"{every['found']} of {every['spoil']}" in str(shown["figures"])


def test_advice_is_executed_as_printed():
    """A perceptron with a layer of zeros: not mended without advice, and mended by it."""
    script = _benchmark()
    registry = sys.modules["checked.registry"]

    def build():
        torch.manual_seed(0)
        net = nn.Sequential(nn.Linear(8, 32), nn.ReLU(), nn.Linear(32, 32), nn.ReLU())
        return registry.Batch(net.append(nn.Linear(32, 4)), draws(64, 8), labels(64, 4))

    def fault(name, again):
        batch = again()
        for p in batch.model[2].parameters():
            nn.init.zeros_(p)
        yield registry.Planted(f"zeros in {name}", "middle", ["2"], batch)

    name = "of this test"
    registry.family(name)(lambda: registry.Family({"one": build}, registry.learnt, faults=fault))
    try:
        for advice in (False, True):
            healthy, faulty = script.Bench(60, "").outcomes(name, 1, "", advice=advice)
            assert healthy.trains
            assert not healthy.worse
            assert (faulty.spoiled, faulty.named, faulty.recovered) == (True, True, advice)
            assert ("NOT" in script.line(faulty)) is not advice
    finally:
        del script.FAMILIES[name]

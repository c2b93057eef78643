"""What several tests of this folder use."""

import importlib.util
import sys
from pathlib import Path

import pytest
import torch
from torch import nn

import initguide

ROOT = Path(initguide.__file__).parent.parent


def draws(*shape, seed=7):
    """Numbers from N(0, 1), not those that a seed of 0 would give the weights."""
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def labels(count, classes):
    """Draw classes, the same in every run."""
    return torch.randint(0, classes, (count,), generator=torch.Generator().manual_seed(3))


def mlp(depth, activation, scheme, width=64, times=1.0, **kw):
    """Many equally wide layers, each with its weights multiplied."""
    model = initguide.mlp([20, *[width] * (depth - 1), 5], activation, **kw)
    initguide.initialize(model, scheme, seed=0)
    for layer in model:
        if isinstance(layer, nn.Linear):
            layer.weight.data.mul_(times)
    return model


def net(scheme="he_normal", seed=0):
    """The lesson's network."""
    return initguide.initialize(initguide.Net(), scheme, seed=seed)


def images(count=32):
    """Noise of the size of standardized images, and labels."""
    return draws(count, 1, 28, 28), labels(count, 10)


def said(report, *severities):
    """Codes of findings, of some severities or of all."""
    return {f.code for f in report.findings if not severities or f.severity in severities}


class Using(nn.Module):
    """A module of some modules, with its forward pass given as a function."""

    def __init__(self, function, **modules):
        super().__init__()
        self.function = function
        for name, module in modules.items():
            self.add_module(name, module)

    def forward(self, *args, **kwargs):
        """Call the function."""
        return self.function(self, *args, **kwargs)


def _benchmark(name="check_networks"):
    """Import the benchmark's script."""
    path = ROOT / "benchmarks" / f"{name}.py"
    if not path.exists():
        pytest.skip("the package is installed without its repository")
    sys.path.append(str(path.parent))
    spec = importlib.util.spec_from_file_location(name, path)
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module

"""What examples/architectures/plot_1_convolutions.py concludes, at reduced size."""

import math

import numpy as np
import pytest
import torch
from torch import nn

import initguide
from initguide import models, theory

AROUND = {"padding": 1, "padding_mode": "circular"}
LAYERS = {
    "plain": lambda: nn.Conv2d(32, 32, 3, **AROUND),
    "grouped": lambda: nn.Conv2d(32, 32, 3, groups=4, **AROUND),
    "depthwise": lambda: nn.Conv2d(32, 32, 3, groups=32, **AROUND),
    "transposed 2": lambda: nn.ConvTranspose2d(64, 32, 2, stride=2),
    "transposed 4": lambda: nn.ConvTranspose2d(64, 32, 4, stride=2, padding=1),
    "transposed 3": lambda: nn.ConvTranspose2d(64, 32, 3, stride=2, padding=1, output_padding=1),
}
OFF = {  # mode -> kind -> what kaiming_normal_ makes of the mean square, relative to He's
    "fan_in": {"plain": 1, "grouped": 1, "depthwise": 1, "transposed 2": 1 / 2},
    "fan_out": {"plain": 1, "grouped": 1 / 4, "depthwise": 1 / 32, "transposed 2": 1 / 4},
}


def squares(kind, scheme, seeds=20):
    """Mean square of the sums away from the border, relative to the inputs', by position."""
    layer, found = LAYERS[kind](), []
    x = torch.randn(2, layer.in_channels, 12, 12, generator=torch.Generator().manual_seed(0))
    for seed in range(seeds):
        initguide.initialize(layer, scheme, seed=seed)
        with torch.no_grad():
            found.append(layer(x)[..., 2:-2, 2:-2].square().mean((0, 1)))
    return torch.stack(found).mean(0) / x.square().mean()


def kaiming(mode):
    """Fill by PyTorch's function, which reads fans off the weight's shape."""

    def weights_init(module):
        if isinstance(module, nn.Conv2d | nn.ConvTranspose2d):
            nn.init.kaiming_normal_(module.weight, mode=mode, nonlinearity="relu")
            nn.init.zeros_(module.bias)

    return weights_init


@pytest.mark.parametrize("kind", LAYERS)
def test_two_over_fan_in_doubles_the_mean_square(kind):
    """With fan-in as counted here, 2 / fan-in doubles the mean square of any convolution."""
    assert squares(kind, "he_normal").mean().item() == pytest.approx(2, rel=0.12)


@pytest.mark.parametrize(("mode", "kind"), [(mode, kind) for mode in OFF for kind in OFF[mode]])
def test_kaiming_counts_groups_and_transposed_layers_differently(mode, kind):
    """PyTorch's fan_out counts all groups; both modes miss transposed convolutions."""
    found = squares(kind, kaiming(mode)).mean().item() / 2
    assert found == pytest.approx(OFF[mode][kind], rel=0.15)


def test_stride_that_does_not_divide_the_kernel_draws_a_checkerboard():
    """With a 3 × 3 kernel and stride 2, outputs sum one, two or four inputs a channel."""
    square = squares("transposed 3", "he_normal") / 2
    shares = sorted(square[i::2, j::2].mean().item() for i in (0, 1) for j in (0, 1))
    assert shares == pytest.approx([4 / 9, 8 / 9, 8 / 9, 16 / 9], rel=0.15)
    square = squares("transposed 4", "he_normal") / 2
    shares = [square[i::2, j::2].mean().item() for i in (0, 1) for j in (0, 1)]
    assert shares == pytest.approx([1] * 4, rel=0.15)


@pytest.mark.parametrize(
    ("scheme", "kept"),
    [("he_normal", 1), (kaiming("fan_in"), 2**-2), (kaiming("fan_out"), 32**-5 * 4**-2)],
)
def test_error_of_the_count_is_multiplied_layer_by_layer(scheme, kept):
    """In a deep network the error is multiplied; predict_variances follows it."""
    x = torch.randn(4, 1, 7, 7, generator=torch.Generator().manual_seed(0))
    nets = [models.hourglass(32, separable=4, transposed=2) for _ in range(6)]
    for seed, net in enumerate(nets):
        initguide.initialize(net, scheme, seed=seed)
    ends = [initguide.measure(net, x)[-2].output_second_moment for net in nets]
    assert math.log(np.mean(ends) / 2) == pytest.approx(math.log(kept), abs=1.5)
    predicted = theory.predict_variances(nets[0], x)[-1].second_moment
    assert predicted == pytest.approx(2 * kept, rel=0.9)


BOX = torch.ones(1, 1, 3, 3, dtype=torch.float64) / 9


@pytest.mark.parametrize("size", [7, 14])
def test_box_filter_predicts_what_zero_padding_takes(size):
    """Zero padding lowers the mean square as a box filter predicts, small maps the most."""
    x0 = torch.randn(4, 1, size, size, generator=torch.Generator().manual_seed(0))
    level = {"zeros": [], "circular": [], "reflect": []}
    for mode, found in level.items():
        for seed in range(8):
            convs = [
                nn.Conv2d(48 if i else 1, 48, 3, padding=1, padding_mode=mode) for i in range(13)
            ]
            initguide.initialize(nn.ModuleList(convs), "he_normal", seed=seed)
            x, maps = x0, []
            with torch.no_grad():
                for conv in convs:
                    z = conv(x)
                    maps.append(z.square().mean((0, 1)).double())
                    x = z.relu()
            found.append((maps[0], maps[-1]))
    q = torch.stack([first for first, _ in level["zeros"]]).mean(0)
    start = q.mean().item()
    for _ in range(12):
        q = nn.functional.conv2d(q[None, None], BOX, padding=1)[0, 0]
    kept = {
        mode: np.mean([(last.mean() / first.mean()).item() for first, last in found])
        for mode, found in level.items()
    }
    assert kept["zeros"] == pytest.approx(q.mean().item() / start, rel=0.4)
    for mode in ("circular", "reflect"):
        assert kept[mode] == pytest.approx(1, rel=0.5)
    assert kept["zeros"] < 0.85 * kept["circular"]
    last = torch.stack([last for _, last in level["zeros"]]).mean(0)
    assert last[0].mean() < 0.75 * last[size // 2].mean()  # the hill


@pytest.mark.parametrize("size", [7, 14])
def test_slowest_pattern_is_a_cosine_hill(size):
    """The box filter's largest eigenvalue is ((1 + 2 cos(π / (n + 1))) / 3)²."""
    row = (np.eye(size) + np.eye(size, k=1) + np.eye(size, k=-1)) / 3
    rate = (1 + 2 * math.cos(math.pi / (size + 1))) / 3
    assert np.linalg.eigvalsh(row)[-1] == pytest.approx(rate)

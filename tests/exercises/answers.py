"""Right and wrong answers to the exercises: a scheme for each misconception that has a name."""

import math

import torch
from torch import nn

from initguide import initializers as init


def linear(fill, bias=nn.init.zeros_, kinds=(nn.Linear,)):
    """A scheme that fills the weights of layers by a function of the layer."""

    def scheme(m):
        if isinstance(m, kinds):
            fill(m)
            if bias is not None and m.bias is not None:
                bias(m.bias)

    return scheme


def spread(std):
    """Normal numbers of a standard deviation that is a function of the two fans."""
    return linear(lambda m: m.weight.data.normal_(0, std(m.in_features, m.out_features)))


def bound(bound_of, bias=nn.init.zeros_):
    """Uniform numbers between plus and minus a function of the two fans."""

    def fill(m):
        y = bound_of(m.in_features, m.out_features)
        m.weight.data.uniform_(-y, y)

    return linear(fill, bias)


def convolutional(std, kinds=(nn.Conv2d, nn.Linear)):
    """Normal numbers of a standard deviation that is a function of the layer."""
    return linear(lambda m: m.weight.data.normal_(0, std(m)), kinds=kinds)


def _draws_bias(m):
    if isinstance(m, nn.Linear):
        y = 1 / math.sqrt(m.in_features)
        m.weight.data.uniform_(-y, y)
        m.bias.data.uniform_(-y, y)


def _he_of(m, fan):
    return math.sqrt(2 / (fan(m) if isinstance(m, nn.Conv2d) else m.in_features))


def _orthogonal_of(*, gain=1.0):
    return linear(lambda m: nn.init.orthogonal_(m.weight, gain))


def _by_name(m):
    name = m.__class__.__name__
    if name.find("Linear") != -1:
        m.weight.data = torch.randn(m.weight.shape) / math.sqrt(m.weight.shape[1])
        if m.bias is not None:
            m.bias.data.fill_(0)


def _rows_of_length_1(m):
    nn.init.normal_(m.weight)
    wide = m.weight.shape[0] <= m.weight.shape[1]
    m.weight.data = nn.functional.normalize(m.weight.data, dim=int(wide))


_fill = nn.init
RIGHT = {
    "ones": [init.ones(), linear(lambda m: m.weight.data.fill_(1.0))],
    "symmetry": [
        init.he_uniform(),
        spread(lambda *_: 3.0),
        linear(lambda m: _fill.sparse_(m.weight, 0.5)),
    ],
    "uniform": [init.uniform(-0.5, 0.5), bound(lambda *_: 0.5)],
    "general_rule": [init.general_rule(), bound(lambda n, _: n**-0.5)],
    "normal": [spread(lambda n, _: n**-0.5), _by_name, init.lecun_normal()],
    "uniform_std": [init.lecun_uniform(), bound(lambda n, _: math.sqrt(3 / n))],
    "truncated": [
        init.truncated_normal(0.02),
        linear(lambda m: _fill.trunc_normal_(m.weight, 0, 0.02, -0.04, 0.04)),
    ],
    "default": [_draws_bias, init.default()],
    "xavier": [init.xavier_normal(), spread(lambda n, k: math.sqrt(2 / (n + k)))],
    "he": [
        init.he_normal(),
        linear(lambda m: _fill.kaiming_normal_(m.weight, nonlinearity="relu")),
    ],
    "convolution": [
        init.he_normal(),
        convolutional(lambda m: math.sqrt(2 / m.weight[0].numel())),
    ],
    "orthogonal": [init.orthogonal(), _orthogonal_of()],
    "any_network": [_by_name],
}
"""Exercise -> right answers."""

WRONG = {
    ("ones", "random numbers"): spread(lambda *_: 1.0),
    ("ones", "another number"): init.constant(0.5),
    ("uniform", "not shifted"): init.uniform(0, 1),
    ("uniform", "positive weights"): init.uniform(0, 0.5),
    ("uniform", "twice the range"): bound(lambda *_: 1.0),
    ("uniform", "half the range"): bound(lambda *_: 0.25),
    ("uniform", "a std for a range"): spread(lambda *_: 0.5),
    ("uniform", "normal numbers"): spread(lambda *_: 0.5 / math.sqrt(3)),
    ("general_rule", "root forgotten"): bound(lambda n, _: 1 / n),
    ("general_rule", "fan-out"): bound(lambda _, k: k**-0.5),
    ("general_rule", "one size for all"): bound(lambda *_: 784**-0.5),
    ("general_rule", "a std for a range"): spread(lambda n, _: n**-0.5),
    ("general_rule", "positive weights"): linear(
        lambda m: m.weight.data.uniform_(0, m.in_features**-0.5)
    ),
    ("general_rule", "normal numbers"): spread(lambda n, _: (3 * n) ** -0.5),
    ("normal", "variance"): spread(lambda n, _: 1 / n),
    ("normal", "fan-out"): spread(lambda _, k: k**-0.5),
    ("normal", "both fans"): init.xavier_normal(),
    ("normal", "one size for all"): spread(lambda *_: 1 / 28),
    ("normal", "scale forgotten"): spread(lambda *_: 1.0),
    ("normal", "a range for a std"): init.general_rule(),
    ("normal", "uniform numbers"): init.lecun_uniform(),
    ("uniform_std", "a std for a range"): init.general_rule(),
    ("uniform_std", "width for half"): bound(lambda n, _: math.sqrt(12 / n)),
    ("uniform_std", "variance"): bound(lambda n, _: math.sqrt(3) / n),
    ("uniform_std", "fan-out"): bound(lambda _, k: math.sqrt(3 / k)),
    ("uniform_std", "normal numbers"): init.lecun_normal(),
    ("truncated", "not cut"): linear(lambda m: _fill.trunc_normal_(m.weight, 0, 0.02)),
    ("truncated", "clamped"): linear(lambda m: m.weight.data.normal_(0, 0.02).clamp_(-0.04, 0.04)),
    ("truncated", "variance"): linear(
        lambda m: _fill.trunc_normal_(m.weight, 0, 0.0004, -0.04, 0.04)
    ),
    ("default", "biases at 0"): init.general_rule(),
    ("default", "He by its name"): linear(lambda m: _fill.kaiming_uniform_(m.weight)),
    ("default", "a std for a range"): bound(lambda n, _: math.sqrt(3 / n)),
    ("default", "fan-out"): bound(lambda _, k: k**-0.5),
    ("default", "biases by their own number"): bound(
        lambda n, _: n**-0.5, lambda b: _fill.uniform_(b, -(len(b) ** -0.5), len(b) ** -0.5)
    ),
    ("default", "normal numbers"): spread(lambda n, _: (3 * n) ** -0.5),
    ("xavier", "variance"): spread(lambda n, k: 2 / (n + k)),
    ("xavier", "without the 2"): spread(lambda n, k: (n + k) ** -0.5),
    ("xavier", "fan-in"): init.lecun_normal(),
    ("xavier", "a range for a std"): spread(lambda n, k: math.sqrt(6 / (n + k))),
    ("xavier", "uniform numbers"): init.xavier_uniform(),
    ("he", "variance"): spread(lambda n, _: 2 / n),
    ("he", "without the 2"): init.lecun_normal(),
    ("he", "gain 2"): spread(lambda n, _: 2 / math.sqrt(n)),
    ("he", "fan-out"): init.he_normal(mode="fan_out"),
    ("he", "both fans"): init.xavier_normal(),
    ("he", "the slope of PyTorch's default"): linear(
        lambda m: _fill.kaiming_normal_(m.weight, a=math.sqrt(5))
    ),
    ("he", "uniform numbers"): init.he_uniform(),
    ("convolution", "kernel forgotten"): convolutional(
        lambda m: _he_of(m, lambda c: c.in_channels)
    ),
    ("convolution", "one side of the kernel"): convolutional(
        lambda m: _he_of(m, lambda c: c.in_channels * c.kernel_size[0])
    ),
    ("convolution", "fan-out"): init.he_normal(mode="fan_out"),
    ("convolution", "without the 2"): init.lecun_normal(),
    ("convolution", "variance"): convolutional(lambda m: 2 / m.weight[0].numel()),
    ("orthogonal", "only in the mean"): init.lecun_normal(),
    ("orthogonal", "only the length"): linear(_rows_of_length_1),
    ("orthogonal", "a gain"): _orthogonal_of(gain=math.sqrt(2)),
    ("any_network", "variance"): spread(lambda n, _: 1 / n),
    ("any_network", "fan-out"): spread(lambda _, k: k**-0.5),
}
"""Exercise and the misconception that is its own -> an answer that shows it."""

"""Schemes: against torch.nn.init, against closed forms, and fans against what layers sum up."""

import copy
import inspect
import itertools
import math
import warnings
from collections import OrderedDict
from functools import partial

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from torch import Generator, nn

from initguide import initializers as init
from initguide.initializers import INITIALIZERS, fans, from_name, initialize, residual

# Schemes of a model as a whole, which need a residual network: they have tests of their own.
ENDS = ("residual_scaled", "zero_last")  # change the ends of branches
WHOLE = ("fixup", *ENDS)
# Every other one by name, ready to make: only `constant` has an argument without default.
MAKERS = {**INITIALIZERS, "constant": partial(init.constant, 0.5)}
MAKERS = {name: maker for name, maker in MAKERS.items() if name not in WHOLE}
NAMES = tuple(MAKERS)
FILLING = tuple(name for name in NAMES if name != "default")
RANDOM = tuple(n for n in NAMES if "generator" in inspect.signature(INITIALIZERS[n]).parameters)

LAYERS = {
    "linear": lambda: nn.Linear(6, 4),
    "conv1d": lambda: nn.Conv1d(4, 8, 3),
    "conv2d": lambda: nn.Conv2d(4, 6, 3),
    "conv3d": lambda: nn.Conv3d(2, 4, 2),
    "grouped": lambda: nn.Conv2d(4, 8, 3, groups=2),
    "depthwise": lambda: nn.Conv2d(4, 4, 3, groups=4),
    "transposed1d": lambda: nn.ConvTranspose1d(4, 6, 4, stride=2),
    "transposed2d": lambda: nn.ConvTranspose2d(4, 6, 3),
    "transposed grouped": lambda: nn.ConvTranspose2d(4, 8, 3, groups=2),
    "embedding": lambda: nn.Embedding(7, 5),
}


def _generator(seed=0):
    return Generator().manual_seed(seed)


def _filled(scheme, layer):
    """Apply a scheme to one layer; return its weight."""
    scheme(layer)
    return layer.weight.detach()


# Against torch.nn.init

SAME_AS_TORCH = {
    "uniform": (
        lambda g: init.uniform(-0.3, 0.7, generator=g),
        lambda w, g: nn.init.uniform_(w, -0.3, 0.7, generator=g),
    ),
    "normal": (
        lambda g: init.normal(0.3, generator=g),
        lambda w, g: nn.init.normal_(w, 0.0, 0.3, generator=g),
    ),
    "truncated_normal": (
        lambda g: init.truncated_normal(0.3, bound=1.5, generator=g),
        lambda w, g: nn.init.trunc_normal_(w, 0.0, 0.3, -0.45, 0.45, generator=g),
    ),
    "general_rule": (
        lambda g: init.general_rule(generator=g),
        lambda w, g: nn.init.kaiming_uniform_(w, a=math.sqrt(5), generator=g),
    ),
    "lecun_uniform": (
        lambda g: init.lecun_uniform(generator=g),
        lambda w, g: nn.init.kaiming_uniform_(w, nonlinearity="linear", generator=g),
    ),
    "lecun_normal": (
        lambda g: init.lecun_normal(generator=g),
        lambda w, g: nn.init.kaiming_normal_(w, nonlinearity="linear", generator=g),
    ),
    "xavier_uniform": (
        lambda g: init.xavier_uniform(1.7, generator=g),
        lambda w, g: nn.init.xavier_uniform_(w, 1.7, generator=g),
    ),
    "xavier_normal": (
        lambda g: init.xavier_normal(1.7, generator=g),
        lambda w, g: nn.init.xavier_normal_(w, 1.7, generator=g),
    ),
    "orthogonal": (
        lambda g: init.orthogonal(1.7, generator=g),
        lambda w, g: nn.init.orthogonal_(w, 1.7, generator=g),
    ),
}


@pytest.mark.parametrize("layer", ["linear", "conv1d", "conv2d", "conv3d"])
@pytest.mark.parametrize("name", SAME_AS_TORCH)
def test_draws_what_torch_draws(name, layer):
    """With the same generator, a scheme gives the weights that torch.nn.init gives."""
    ours, theirs = SAME_AS_TORCH[name]
    weight = _filled(ours(_generator()), LAYERS[layer]())
    expected = theirs(torch.empty_like(weight), _generator())
    torch.testing.assert_close(weight, expected, rtol=1e-6, atol=0)


@pytest.mark.parametrize("mode", ["fan_in", "fan_out"])
@pytest.mark.parametrize(
    "nonlinearity", ["linear", "sigmoid", "tanh", "relu", "leaky_relu", "selu"]
)
@pytest.mark.parametrize("shape", ["uniform", "normal"])
def test_he_draws_what_kaiming_draws(shape, nonlinearity, mode):
    """Every mode and non-linearity of He's schemes agrees with torch's kaiming functions."""
    make, torchs = getattr(init, f"he_{shape}"), getattr(nn.init, f"kaiming_{shape}_")
    for layer in (nn.Linear(20, 30), nn.Conv2d(4, 6, 3)):
        scheme = make(mode, nonlinearity, negative_slope=0.2, generator=_generator())
        weight = _filled(scheme, layer)
        slope = 0.2 if nonlinearity == "leaky_relu" else 0
        expected = torchs(torch.empty_like(weight), slope, mode, nonlinearity, _generator())
        torch.testing.assert_close(weight, expected, rtol=1e-6, atol=0)


def test_constants_fill_with_their_number():
    """`zeros`, `ones` and `constant` give exactly the number."""
    for scheme, number in ((init.zeros(), 0.0), (init.ones(), 1.0), (init.constant(-0.25), -0.25)):
        assert (_filled(scheme, nn.Conv2d(3, 4, 2)) == number).all()


# Against closed forms: a layer with n inputs and m outputs, and the distribution that is promised

N, M = 400, 300
DISTRIBUTIONS = {
    "uniform()": stats.uniform(0, 1),
    "uniform(-3, 3)": stats.uniform(-3, 6),
    "normal()": stats.norm(0, 1),
    "normal(0.02)": stats.norm(0, 0.02),
    "truncated_normal(0.5)": stats.truncnorm(-2, 2, scale=0.5),
    "truncated_normal(0.5, bound=1)": stats.truncnorm(-1, 1, scale=0.5),
    "general_rule": stats.uniform(-1 / math.sqrt(N), 2 / math.sqrt(N)),
    "lecun_uniform": stats.uniform(-math.sqrt(3 / N), 2 * math.sqrt(3 / N)),
    "lecun_normal": stats.norm(0, math.sqrt(1 / N)),
    "xavier_uniform": stats.uniform(-math.sqrt(6 / (N + M)), 2 * math.sqrt(6 / (N + M))),
    "xavier_normal": stats.norm(0, math.sqrt(2 / (N + M))),
    "xavier_normal(2)": stats.norm(0, 2 * math.sqrt(2 / (N + M))),
    "he_uniform": stats.uniform(-math.sqrt(6 / N), 2 * math.sqrt(6 / N)),
    "he_uniform('fan_out')": stats.uniform(-math.sqrt(6 / M), 2 * math.sqrt(6 / M)),
    "he_normal": stats.norm(0, math.sqrt(2 / N)),
    "he_normal('fan_out')": stats.norm(0, math.sqrt(2 / M)),
    "he_normal(nonlinearity='tanh')": stats.norm(0, 5 / 3 / math.sqrt(N)),
    "he_normal(nonlinearity='leaky_relu', negative_slope=1)": stats.norm(0, 1 / math.sqrt(N)),
    "default": stats.uniform(-1 / math.sqrt(N), 2 / math.sqrt(N)),
}


@pytest.mark.parametrize("text", DISTRIBUTIONS)
def test_distribution(text):
    """Mean, standard deviation, ends and shape of the weights are those of the formula."""
    expected = DISTRIBUTIONS[text]
    weights = initialize(nn.Linear(N, M), text, seed=1).weight.detach().double().numpy().ravel()
    low, high = expected.support()
    assert weights.min() >= low - 1e-6
    assert weights.max() <= high + 1e-6
    assert abs(weights.mean() - expected.mean()) < 5 * expected.std() / math.sqrt(weights.size)
    assert weights.std() == pytest.approx(expected.std(), rel=0.01)
    assert stats.kstest(weights, expected.cdf).pvalue > 1e-4


def test_truncated_normal_is_narrower_than_its_std():
    """The docstring's 0.879626 is what scipy says and what the weights show."""
    assert stats.truncnorm(-2, 2).std() == pytest.approx(0.879626, abs=5e-7)
    weight = initialize(nn.Linear(1000, 500), init.truncated_normal(0.1), seed=0).weight
    assert weight.std().item() == pytest.approx(0.0879626, rel=0.005)
    assert "0.879626" in init.truncated_normal.__doc__


@pytest.mark.parametrize(
    "layer",
    [
        nn.Conv2d(64, 96, 3, groups=4),
        nn.ConvTranspose2d(48, 64, 4, stride=2),
        nn.ConvTranspose1d(64, 96, 6, stride=3, groups=2),
        nn.Conv3d(16, 32, (3, 2, 3)),
    ],
    ids=["grouped", "transposed", "transposed grouped", "3d"],
)
@pytest.mark.parametrize(
    ("name", "variance"),
    [
        ("general_rule", lambda fan_in, fan_out: 1 / (3 * fan_in)),  # noqa: ARG005
        ("lecun_normal", lambda fan_in, fan_out: 1 / fan_in),  # noqa: ARG005
        ("xavier_uniform", lambda fan_in, fan_out: 2 / (fan_in + fan_out)),
        ("he_normal", lambda fan_in, fan_out: 2 / fan_in),  # noqa: ARG005
        ("he_uniform('fan_out')", lambda fan_in, fan_out: 2 / fan_out),  # noqa: ARG005
    ],
)
def test_variance_follows_the_fans(layer, name, variance):
    """Grouped and transposed layers get the variance that their own fans ask for."""
    initialize(layer, name, seed=0)
    assert layer.weight.var().item() == pytest.approx(variance(*fans(layer)), rel=0.05)


def test_he_keeps_the_mean_square_through_relu():
    """What He's rule is for: E[z²] stays the same over ten wide layers with ReLU."""
    net = nn.Sequential(*(m for _ in range(10) for m in (nn.Linear(1024, 1024), nn.ReLU())))
    initialize(net, "he_normal", seed=0)
    x = torch.randn(64, 1024, generator=_generator(1))  # with 0, x would be rows of the weight
    with torch.no_grad():
        assert (net[:-1](x) ** 2).mean().item() == pytest.approx(2, rel=0.3)  # 2 E[x²]


# Structured matrices


def _matrices(layer):
    """Independent of the package: what the layer multiplies its inputs by, one matrix a group."""
    weight, groups = layer.weight.detach(), getattr(layer, "groups", 1)
    if isinstance(layer, nn.Linear):
        return [weight]
    if isinstance(layer, nn.Embedding):
        return [weight.T]
    if "Transpose" in type(layer).__name__:  # (in, out / groups, *kernel)
        per_group = weight.reshape(groups, -1, *weight.shape[1:])
        return [m.transpose(0, 1).flatten(1) for m in per_group]
    return list(weight.reshape(groups, -1, *weight.shape[1:]).flatten(2))


@pytest.mark.parametrize("gain", [1.0, 0.5, 1.7])
@pytest.mark.parametrize("layer", LAYERS)
def test_orthogonal_singular_values(layer, gain):
    """All singular values of each group's matrix equal the gain."""
    module = LAYERS[layer]()
    init.orthogonal(gain, generator=_generator())(module)
    for matrix in _matrices(module):
        values = torch.linalg.svdvals(matrix)
        torch.testing.assert_close(values, torch.full_like(values, gain), rtol=1e-5, atol=1e-5)


def test_orthogonal_keeps_lengths():
    """A square orthogonal layer keeps the length of every input, and a tall one does too."""
    x = torch.randn(5, 16, generator=_generator())
    for layer in (nn.Linear(16, 16), nn.Linear(16, 40)):
        lengths = initialize(layer, "orthogonal", seed=0)(x).norm(dim=1)
        torch.testing.assert_close(lengths, x.norm(dim=1), rtol=1e-5, atol=0)


def test_orthogonal_groups_differ():
    """Each group of a convolution gets a draw of its own."""
    layer = initialize(nn.Conv2d(4, 8, 3, groups=2), "orthogonal", seed=0)
    first, second = layer.weight.chunk(2)
    assert not torch.equal(first, second)


@pytest.mark.parametrize("layer", LAYERS)
def test_delta_orthogonal_is_orthogonal_at_the_centre(layer):
    """Each group's matrix at the kernel's centre has the gain's singular values; around it is 0."""
    module = LAYERS[layer]()
    init.delta_orthogonal(1.7, generator=_generator())(module)
    kernel = getattr(module, "kernel_size", ())
    centre = math.prod(kernel) // 2 if all(k % 2 for k in kernel) else None
    for matrix in _matrices(module):
        rows = min(len(matrix), matrix.shape[1] // math.prod(kernel))
        values = torch.linalg.svdvals(matrix)[:rows]
        torch.testing.assert_close(values, torch.full_like(values, 1.7), rtol=1e-5, atol=1e-5)
        if kernel:
            used = matrix.reshape(len(matrix), -1, math.prod(kernel)).any(0).any(0)
            assert used.sum() == 1
            assert centre is None or used[centre]


def test_delta_orthogonal_keeps_the_length_at_every_position():
    """What starts at one position stays there; orthogonal kernels spread it over all."""
    x = torch.zeros(1, 16, 6, 6)
    x[:, :, 2, 3] = 1.0
    layers = [nn.Conv2d(16, 16, 3, padding=1, padding_mode="circular") for _ in range(10)]
    share = {}
    for name in ("delta_orthogonal", "orthogonal"):
        with torch.no_grad():
            energy = (initialize(nn.Sequential(*layers), name, seed=0)(x) ** 2).sum(1)
        share[name] = (energy[0, 2, 3] / energy.sum()).item()
    assert share["delta_orthogonal"] == pytest.approx(1)
    assert share["orthogonal"] < 0.15


def test_delta_orthogonal_of_an_even_kernel():
    """An even kernel has its matrix where `identity` has its 1."""
    layer = nn.Conv2d(3, 3, 4)
    places = [
        initialize(layer, name).weight.any(0).any(0) for name in ("identity", "delta_orthogonal")
    ]
    assert torch.equal(*places)


@pytest.mark.parametrize(
    ("layer", "shape"),
    [
        (nn.Linear(5, 5), (3, 5)),
        (nn.Conv1d(4, 4, 3, padding=1), (2, 4, 6)),
        (nn.Conv2d(4, 4, 3, padding=1), (2, 4, 6, 6)),
        (nn.Conv2d(4, 4, (5, 3), padding=(2, 1)), (2, 4, 6, 6)),
        (nn.Conv2d(4, 4, 3, padding=2, dilation=2), (2, 4, 6, 6)),
        (nn.Conv2d(6, 6, 3, padding=1, groups=3), (2, 6, 6, 6)),
        (nn.Conv2d(6, 6, 3, padding=1, groups=6), (2, 6, 6, 6)),
        (nn.Conv3d(2, 2, 3, padding=1), (2, 2, 4, 4, 4)),
        (nn.ConvTranspose1d(4, 4, 3, padding=1), (2, 4, 6)),
        (nn.ConvTranspose2d(4, 4, 5, padding=2), (2, 4, 6, 6)),
        (nn.ConvTranspose2d(6, 6, 3, padding=1, groups=3), (2, 6, 6, 6)),
    ],
    ids=repr,
)
def test_identity_is_the_identity(layer, shape):
    """With as many outputs as inputs, the layer hands its input on unchanged."""
    x = torch.randn(shape, generator=_generator())
    assert torch.equal(initialize(layer, "identity")(x), x)


def test_identity_of_other_shapes():
    """More outputs than inputs: the rest is 0. Fewer: the first inputs get through."""
    x = torch.tensor([[1.0, 2.0, 3.0]])
    assert initialize(nn.Linear(3, 5), "identity")(x).tolist() == [[1, 2, 3, 0, 0]]
    assert initialize(nn.Linear(3, 2), "identity")(x).tolist() == [[1, 2]]
    assert torch.equal(initialize(nn.Embedding(4, 4), "identity").weight, torch.eye(4))


@pytest.mark.parametrize("sparsity", [0.25, 0.5, 0.9])
@pytest.mark.parametrize("layer", [*LAYERS, "large"])
def test_sparse_share_of_zeros(layer, sparsity):
    """Each input has its share of zero weights, rounded up to whole weights."""
    module = nn.Linear(30, 40) if layer == "large" else LAYERS[layer]()
    initialize(module, init.sparse(sparsity, 1.0), seed=0)
    for matrix in _matrices(module):
        zeros = (matrix == 0).sum(dim=0)
        assert (zeros == math.ceil(sparsity * len(matrix))).all()


def test_sparse_spread():
    """What is not 0 is drawn from N(0, std²)."""
    weight = initialize(nn.Linear(500, 400), init.sparse(0.5, 0.2), seed=0).weight.detach()
    kept = weight[weight != 0].double().numpy()
    assert stats.kstest(kept, stats.norm(0, 0.2).cdf).pvalue > 1e-4


# Fans

FANS = [
    (nn.Linear(784, 256), 784, 256),
    (nn.Conv1d(3, 5, 7), 21, 35),
    (nn.Conv2d(16, 32, 3), 144, 288),
    (nn.Conv2d(2, 4, (3, 5)), 30, 60),
    (nn.Conv2d(2, 4, 3, dilation=2), 18, 36),
    (nn.Conv3d(2, 3, (1, 2, 3)), 12, 18),
    (nn.Conv2d(16, 32, 3, groups=4), 36, 72),
    (nn.Conv2d(8, 8, 3, groups=8), 9, 9),
    (nn.ConvTranspose1d(4, 6, 3), 12, 18),
    (nn.ConvTranspose2d(4, 6, 4, stride=2), 16, 96),
    (nn.ConvTranspose2d(4, 6, 3, stride=2), 9, 54),
    (nn.ConvTranspose2d(3, 5, 3, stride=2), 6.75, 45),
    (nn.ConvTranspose2d(4, 8, 3, groups=2), 18, 36),
    (nn.ConvTranspose3d(2, 4, 2, stride=2), 2, 32),
]


@pytest.mark.parametrize(("layer", "fan_in", "fan_out"), FANS, ids=repr)
def test_fans_counted_by_hand(layer, fan_in, fan_out):
    """The table of the docstring, in numbers."""
    assert fans(layer) == (fan_in, fan_out)


def _measured_fans(layer):
    """Count by running a layer of ones on ones: terms an output sums, outputs an input reaches.

    Where it is far from the edges; averaged over one period of a transposed layer's stride.
    """
    with torch.no_grad():
        layer.weight.fill_(1)
        layer.bias.fill_(0)
    if isinstance(layer, nn.Linear):
        x = torch.ones(1, layer.in_features, dtype=torch.float64, requires_grad=True)
        middle_in = middle_out = (slice(None),)
    else:
        dimensions = len(layer.kernel_size)
        shape = (1, layer.in_channels, *[16] * dimensions)
        x = torch.ones(shape, dtype=torch.float64, requires_grad=True)
        middle_in = (..., *[slice(6, 10)] * dimensions)
        middle_out = (..., *[slice(6, 12)] * dimensions)  # six: a multiple of strides 1, 2 and 3
    y = layer.double()(x)
    (grad,) = torch.autograd.grad(y.sum(), x)
    return y[middle_out].mean().item(), grad[middle_in].mean().item()


@pytest.mark.parametrize(("layer", "fan_in", "fan_out"), FANS, ids=repr)
def test_fans_measured(layer, fan_in, fan_out):
    """What an interior output of a layer of ones sums, and how far an interior input reaches."""
    assert _measured_fans(layer) == pytest.approx((fan_in, fan_out), rel=1e-12)


@settings(deadline=None, max_examples=40)
@given(
    transposed=st.booleans(),
    groups=st.integers(1, 3),
    per_group=st.tuples(st.integers(1, 3), st.integers(1, 3)),
    kernel=st.tuples(st.integers(1, 4), st.integers(1, 4)),
    stride=st.tuples(st.integers(1, 3), st.integers(1, 3)),
)
def test_fans_measured_for_any_shape(transposed, groups, per_group, kernel, stride):
    """Measured and computed fans agree whatever the channels, groups, kernel and stride."""
    channels = [groups * number for number in per_group]
    if transposed:
        layer = nn.ConvTranspose2d(*channels, kernel, stride=stride, groups=groups)
    else:
        layer = nn.Conv2d(*channels, kernel, groups=groups)  # the fan-out holds at stride 1
    assert _measured_fans(layer) == pytest.approx(fans(layer), rel=1e-12)


def test_fans_of_a_strided_convolution_are_not_divided():
    """As the docstring says: stride changes the fans of transposed convolutions alone."""
    assert fans(nn.Conv2d(3, 4, 3, stride=2)) == fans(nn.Conv2d(3, 4, 3)) == (27, 36)


def test_fans_of_an_embedding():
    """An embedding looks one row up, whatever their number."""
    assert fans(nn.Embedding(1000, 16)) == (1, 16)


@pytest.mark.parametrize("module", [nn.ReLU(), nn.BatchNorm1d(3), nn.Bilinear(2, 3, 4)], ids=repr)
def test_fans_of_other_modules(module):
    """A module without fans is refused by its name."""
    with pytest.raises(TypeError, match=rf"known for linear.* not for {type(module).__name__}"):
        fans(module)


# What every scheme does


@pytest.mark.parametrize("layer", LAYERS)
@pytest.mark.parametrize("name", FILLING)
def test_weights_change_and_biases_are_zero(name, layer):
    """Each scheme fills each kind of layer: every weight is replaced, every bias is 0."""
    module = LAYERS[layer]()
    nn.init.constant_(module.weight, 7.0)
    if getattr(module, "bias", None) is not None:
        nn.init.constant_(module.bias, 7.0)
    initialize(module, MAKERS[name](), seed=0)
    assert (module.weight != 7).all()
    assert module.weight.isfinite().all()
    if getattr(module, "bias", None) is not None:
        assert (module.bias == 0).all()


@pytest.mark.parametrize("name", NAMES)
def test_layers_without_bias(name):
    """A layer without bias is filled and stays without."""
    layer = initialize(nn.Linear(6, 4, bias=False), MAKERS[name](), seed=0)
    assert layer.bias is None


@pytest.mark.parametrize("name", NAMES)
def test_padding_row_stays_zero(name):
    """The row of an embedding that means "nothing" is 0 under every scheme."""
    layer = nn.Embedding(6, 20, padding_idx=2)
    nn.init.constant_(layer.weight, 7.0)
    initialize(layer, MAKERS[name](), seed=0)
    assert (layer.weight[2] == 0).all()
    if name != "zeros":
        assert (layer.weight[[0, 1, 3, 4, 5]] != 0).any()


class _WithParameter(nn.Module):
    def __init__(self):
        super().__init__()
        self.scale = nn.Parameter(torch.full((3,), 5.0))


@pytest.mark.parametrize("name", FILLING)
def test_other_modules_are_left_alone(name):
    """Normalization, other and people's own modules keep their values."""
    others = nn.ModuleList(
        [
            nn.BatchNorm2d(3),
            nn.LayerNorm(3),
            nn.GroupNorm(1, 3),
            nn.PReLU(),
            nn.Bilinear(2, 3, 4),
            _WithParameter(),
        ]
    )
    with torch.no_grad():
        for parameter in others.parameters():
            parameter.fill_(5)
    net = nn.Sequential(nn.Linear(3, 3))
    net.others = others
    before = {key: value.clone() for key, value in others.state_dict().items()}
    initialize(net, MAKERS[name](), seed=0)
    for key, value in others.state_dict().items():
        assert torch.equal(value, before[key]), key


def test_attention_is_three_matrices():
    """Queries, keys and values have fans of their own, packed or not; biases are 0."""
    for layer in (nn.MultiheadAttention(300, 4), nn.MultiheadAttention(300, 4, kdim=150, vdim=600)):
        initialize(layer, "lecun_normal", seed=0)
        packed = layer.in_proj_weight
        q, k, v = (
            packed.chunk(3)
            if packed is not None
            else (layer.q_proj_weight, layer.k_proj_weight, layer.v_proj_weight)
        )
        for weight in (q, k, v, layer.out_proj.weight):
            assert weight.std().item() == pytest.approx(weight.shape[1] ** -0.5, rel=0.03)
        assert not layer.in_proj_bias.any()
        assert not layer.out_proj.bias.any()
    layer = initialize(nn.MultiheadAttention(30, 2), "orthogonal", seed=0)
    for weight in layer.in_proj_weight.chunk(3):
        torch.testing.assert_close(weight @ weight.T, torch.eye(30), rtol=0, atol=1e-5)


@pytest.mark.parametrize(("kind", "gates"), [(nn.LSTM, 4), (nn.GRU, 3), (nn.RNN, 1)])
def test_recurrent_layers_gate_by_gate(kind, gates):
    """From the inputs by the scheme, between states orthogonal, biases 0; two layers, both ways."""
    layer = kind(200, 50, num_layers=2, bidirectional=True)
    initialize(layer, "he_normal(nonlinearity='linear')", seed=0)
    for name, parameter in layer.named_parameters():
        for weight in parameter.chunk(gates):
            if name.startswith("bias"):
                assert not weight.any()
            elif "_hh_" in name:
                torch.testing.assert_close(weight @ weight.T, torch.eye(50), rtol=0, atol=1e-5)
            else:
                assert weight.std().item() == pytest.approx(weight.shape[1] ** -0.5, rel=0.05)
    initialize(layer, "constant(0.3)")
    assert all((p == 0.3).all() for n, p in layer.named_parameters() if n.startswith("weight"))
    projected = nn.LSTM(20, 16, proj_size=8) if kind is nn.LSTM else layer
    before = projected.weight_ih_l0
    initialize(projected, "xavier_uniform", seed=0)
    assert projected.weight_ih_l0 is before
    assert projected.weight_hh_l0.requires_grad


def test_default_draws_what_the_framework_draws():
    """`default` gives weights, biases and buffers exactly as a new network has them."""

    def build():
        return nn.Sequential(
            nn.Conv2d(1, 4, 3),
            nn.BatchNorm2d(4),
            nn.ConvTranspose2d(4, 2, 3),
            nn.Flatten(),
            nn.Linear(8, 3),
            nn.Embedding(5, 3, padding_idx=1),
            nn.LSTM(3, 2),
        )

    torch.manual_seed(11)
    expected = build().state_dict()
    net = build()
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.fill_(9)
        net[1].running_mean.fill_(9)
    torch.manual_seed(11)
    initialize(net, "default")
    for key, value in net.state_dict().items():
        assert torch.equal(value, expected[key]), key


def test_only_the_module_itself_is_filled():
    """Called on a container, a scheme does nothing: `apply` visits what is inside."""
    net = nn.Sequential(nn.Linear(2, 2))
    before = net[0].weight.clone()
    init.ones()(net)
    assert torch.equal(net[0].weight, before)
    net.apply(init.ones())
    assert (net[0].weight == 1).all()


def test_subclasses_of_layers_are_filled():
    """A layer of one's own that is a Linear is treated as one."""

    class MyLinear(nn.Linear):
        pass

    assert (initialize(MyLinear(2, 3), "ones").weight == 1).all()


def test_nothing_is_recorded_for_autograd():
    """Filled parameters are still leaves that want a gradient; frozen ones stay frozen."""
    layer = initialize(nn.Linear(3, 2), "orthogonal", seed=0)
    assert layer.weight.is_leaf
    assert layer.weight.requires_grad
    assert layer.weight.grad_fn is None
    frozen = initialize(nn.Linear(3, 2).requires_grad_(False), "ones")
    assert not frozen.weight.requires_grad
    assert (frozen.weight == 1).all()


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
@pytest.mark.parametrize("name", NAMES)
def test_precisions(name, dtype):
    """Half and double precision layers are filled in their own precision."""
    layer = initialize(nn.Linear(64, 48).to(dtype), MAKERS[name](), seed=0)
    assert layer.weight.dtype == dtype
    assert layer.weight.isfinite().all()
    reference = initialize(nn.Linear(64, 48), MAKERS[name](), seed=0).weight.double()
    assert layer.weight.double().std().item() == pytest.approx(reference.std().item(), rel=0.15)


def test_orthogonal_in_double_precision_is_precise():
    """A float64 layer gets orthogonality to float64 accuracy."""
    layer = initialize(nn.Linear(20, 20).double(), "orthogonal", seed=0)
    eye = torch.eye(20, dtype=torch.float64)
    torch.testing.assert_close(layer.weight @ layer.weight.T, eye, rtol=0, atol=1e-13)


@pytest.mark.parametrize("name", FILLING)
@pytest.mark.parametrize("shape", [(0, 3), (3, 0)])
def test_layers_without_units(name, shape):
    """A layer with no inputs or no outputs is no error and no warning, and its bias is set to 0."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch's, while it makes the layer
        layer = nn.Linear(*shape)
    nn.init.constant_(layer.bias, 7.0)
    initialize(layer, MAKERS[name](), seed=0)
    assert (layer.bias == 0).all()


@pytest.mark.parametrize(
    "wrap",
    [nn.utils.parametrizations.weight_norm, nn.utils.parametrizations.orthogonal],
    ids=["weight_norm", "orthogonal"],
)
def test_a_weight_that_is_computed_is_not_silently_skipped(wrap):
    """A layer whose weight comes from other parameters is filled, or refused, or warned about."""
    # Its `.weight` is a temporary tensor: to fill it would change nothing.
    layer = wrap(nn.Linear(4, 4))
    said = False
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            initialize(layer, "identity")
        except (TypeError, ValueError) as error:
            said = "weight" in str(error)
    assert said or caught or torch.allclose(layer.weight, torch.eye(4), atol=1e-6)


# Hypothesis: any shape, any argument in range


@settings(deadline=None, max_examples=30)
@given(
    name=st.sampled_from(FILLING),
    kind=st.sampled_from([nn.Conv1d, nn.Conv2d, nn.ConvTranspose1d, nn.ConvTranspose2d]),
    groups=st.integers(1, 3),
    channels=st.tuples(st.integers(1, 4), st.integers(1, 4)),
    kernel=st.integers(1, 4),
)
def test_any_convolution(name, kind, groups, channels, kernel):
    """Every scheme fills a convolution of any shape with finite weights and zero biases."""
    layer = kind(groups * channels[0], groups * channels[1], kernel, groups=groups)
    with torch.no_grad():
        layer.weight.fill_(math.nan)
        layer.bias.fill_(math.nan)
    initialize(layer, MAKERS[name](), seed=0)
    assert layer.weight.isfinite().all()
    assert (layer.bias == 0).all()


@settings(deadline=None, max_examples=30)
@given(inputs=st.integers(1, 40), outputs=st.integers(1, 40), gain=st.floats(0.01, 100))
def test_orthogonal_for_any_shape(inputs, outputs, gain):
    """Rows or columns, whichever are fewer, are orthogonal and of the gain's length."""
    weight = initialize(nn.Linear(inputs, outputs), init.orthogonal(gain), seed=0).weight.detach()
    small = weight @ weight.T if outputs <= inputs else weight.T @ weight
    expected = gain**2 * torch.eye(min(inputs, outputs))
    torch.testing.assert_close(small, expected, rtol=1e-4, atol=1e-4 * gain**2)


FINITE = st.floats(-1e6, 1e6)
POSITIVE = st.floats(1e-6, 1e6)


@settings(deadline=None, max_examples=50)
@given(ends=st.tuples(FINITE, FINITE).filter(lambda ends: ends[0] < ends[1]))
def test_uniform_stays_between_its_ends(ends):
    """Weights lie in [low, high], to float32 rounding, for all ends."""
    low, high = (np.float32(end) for end in ends)
    weight = initialize(nn.Linear(10, 10), init.uniform(*ends), seed=0).weight
    assert weight.min().item() >= low
    assert weight.max().item() <= high


@settings(deadline=None, max_examples=50)
@given(std=st.floats(1e-4, 1e4), bound=st.floats(0.1, 10))
def test_truncated_normal_stays_within_its_bound(std, bound):
    """No weight is further than ``bound * std`` from 0, to float32 rounding."""
    scheme = init.truncated_normal(std, bound=bound)
    weight = initialize(nn.Linear(10, 10), scheme, seed=0).weight
    assert weight.abs().max().item() <= bound * std * (1 + 1e-6)


@settings(deadline=None, max_examples=50)
@given(std=POSITIVE)
def test_normal_is_a_multiple_of_the_standard_normal(std):
    """The standard deviation scales the draws and does nothing else."""
    weight = initialize(nn.Linear(5, 5), init.normal(std), seed=0).weight
    unit = initialize(nn.Linear(5, 5), init.normal(), seed=0).weight
    torch.testing.assert_close(weight, unit * std, rtol=1e-5, atol=0)


@settings(deadline=None, max_examples=50)
@given(
    scheme=st.one_of(
        st.builds(init.constant, FINITE),
        st.tuples(FINITE, FINITE).filter(lambda e: e[0] < e[1]).map(lambda e: init.uniform(*e)),
        st.builds(init.normal, POSITIVE),
        st.builds(init.truncated_normal, POSITIVE, bound=POSITIVE),
        st.builds(init.xavier_normal, POSITIVE),
        st.builds(init.orthogonal, POSITIVE),
        st.builds(init.delta_orthogonal, POSITIVE),
        st.builds(init.sparse, st.floats(0.01, 0.99), POSITIVE),
        st.builds(
            init.he_uniform,
            st.sampled_from(["fan_in", "fan_out"]),
            st.sampled_from(["relu", "tanh", "leaky_relu"]),
            negative_slope=FINITE,
        ),
        st.sampled_from(NAMES).map(lambda name: MAKERS[name]()),
    )
)
def test_description_makes_the_scheme_again(scheme):
    """What a scheme prints as is the call that makes it."""
    again = from_name(repr(scheme))
    assert repr(again) == repr(scheme)
    first, second = (initialize(nn.Linear(6, 4), s, seed=0).weight for s in (scheme, again))
    assert torch.equal(first, second)


# Bad arguments

NUMBERS = {
    "value": init.constant,
    "low": lambda value: init.uniform(value, 1.0),
    "high": lambda value: init.uniform(0.0, value),
    "std": init.normal,
    "std of truncated_normal": init.truncated_normal,
    "bound": lambda value: init.truncated_normal(bound=value),
    "gain": init.xavier_uniform,
    "gain of xavier_normal": init.xavier_normal,
    "gain of orthogonal": init.orthogonal,
    "gain of delta_orthogonal": init.delta_orthogonal,
    "negative_slope": lambda value: init.he_normal("fan_in", "leaky_relu", negative_slope=value),
    "negative_slope of he_uniform": lambda value: init.he_uniform(negative_slope=value),
    "sparsity": init.sparse,
    "std of sparse": lambda value: init.sparse(std=value),
}


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("argument", NUMBERS)
def test_numbers_must_be_finite(argument, value):
    """NaN and infinity are refused by the name of the argument."""
    with pytest.raises(ValueError, match=rf"^{argument.split()[0]} is -?(nan|inf); .* finite"):
        NUMBERS[argument](value)


@pytest.mark.parametrize("value", [True, "0.5", None, 1 + 2j, [0.5]], ids=repr)
@pytest.mark.parametrize("argument", NUMBERS)
def test_numbers_must_be_numbers(argument, value):
    """Truth values, texts and so on are refused by the name of the argument and the value."""
    with pytest.raises(TypeError) as caught:
        NUMBERS[argument](value)
    assert str(caught.value) == f"{argument.split()[0]} is {value!r}; it must be a number"


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: init.uniform(1, 1), "high is 1; it must be finite and above 1"),
        (lambda: init.uniform(2, 1), "high is 1; it must be finite and above 2"),
        (lambda: init.uniform(5), r"high is 1\.0; it must be finite and above 5"),
        (lambda: init.normal(0), "std is 0; it must be finite and above 0"),
        (lambda: init.normal(-0.1), r"std is -0\.1; it must be finite and above 0"),
        (lambda: init.truncated_normal(0), "std is 0; it must be finite and above 0"),
        (lambda: init.truncated_normal(bound=0), "bound is 0; it must be finite and above 0"),
        (lambda: init.xavier_uniform(0), "gain is 0; it must be finite and above 0"),
        (lambda: init.xavier_normal(-1), "gain is -1; it must be finite and above 0"),
        (lambda: init.orthogonal(0.0), r"gain is 0\.0; it must be finite and above 0"),
        (lambda: init.sparse(0), "sparsity is 0; it must be finite and above 0 and below 1"),
        (lambda: init.sparse(1), "sparsity is 1; it must be finite and above 0 and below 1"),
        (lambda: init.sparse(std=0), "std is 0; it must be finite and above 0"),
        (lambda: init.he_normal("fan"), "mode is 'fan'; it must be one of 'fan_in', 'fan_out'"),
        (lambda: init.he_uniform("in"), "mode is 'in'; it must be one of 'fan_in', 'fan_out'"),
        (
            lambda: init.he_normal(nonlinearity="gelu"),
            "nonlinearity is 'gelu'; it must be one of 'linear', 'sigmoid', 'tanh', 'relu', .*",
        ),
    ],
)
def test_ranges(call, message):
    """A number out of range is refused with the name, the value and the range."""
    with pytest.raises(ValueError, match=f"^{message}$"):
        call()


def test_a_generator_cannot_be_given_by_position():
    """Randomness is a keyword, so that it is never mistaken for a number."""
    with pytest.raises(TypeError, match="positional"):
        init.general_rule(_generator())


@pytest.mark.parametrize("number", [np.float32(0.5), np.float64(0.5), np.int64(2)], ids=repr)
def test_numpy_numbers(number):
    """Numbers from an array are numbers, and the description is the plain call."""
    assert repr(init.normal(number)) == f"normal(std={number.item()!r})"


@pytest.mark.parametrize("text", ["constant(1e300)", "uniform(-3e38, 3e38)"])
def test_numbers_too_large_for_the_layer(text):
    """A number that float32 cannot hold is refused with the package's own words."""
    with pytest.raises(ValueError, match=r"float32|too large|overflow"):
        initialize(nn.Linear(2, 2), text)


# Names


@pytest.mark.parametrize("name", INITIALIZERS)
def test_names_make_their_scheme(name):
    """Every key is the name of the module's function, and makes the scheme of that name."""
    assert INITIALIZERS[name] is getattr(init, name)
    assert name in init.__all__
    text = "constant(0.5)" if name == "constant" else name
    assert repr(from_name(text)).startswith(f"{name}(")


def test_names_cannot_be_changed():
    """`INITIALIZERS` is read-only: nobody's script changes another's schemes."""
    with pytest.raises(TypeError, match="does not support item assignment"):
        INITIALIZERS["zeros"] = init.ones
    assert set(INITIALIZERS) >= {*NAMES, *WHOLE}


@pytest.mark.parametrize(
    ("alias", "name"),
    [
        ("kaiming_uniform", "he_uniform"),
        ("kaiming_normal", "he_normal"),
        ("glorot_uniform", "xavier_uniform"),
        ("glorot_normal", "xavier_normal"),
    ],
)
def test_other_peoples_names(alias, name):
    """The names of torch and Keras for the same schemes work, with arguments too."""
    assert repr(from_name(alias)) == repr(from_name(name))
    argument = "'fan_out'" if "he" in name else "2.0"
    assert repr(from_name(f"{alias}({argument})")) == repr(from_name(f"{name}({argument})"))


@pytest.mark.parametrize(
    ("text", "nearest"),
    [
        ("xaiver", {"xavier_uniform", "xavier_normal"}),
        ("he_norml", {"he_normal"}),
        ("Zeros", {"zeros"}),
        ("ortogonal", {"orthogonal"}),
        ("kaiming", {"kaiming_uniform", "kaiming_normal"}),
        ("unifrom(-1, 1)", {"uniform"}),
    ],
)
def test_unknown_names_suggest_the_nearest(text, nearest):
    """A misspelt name lists every scheme and suggests the one that was meant."""
    with pytest.raises(ValueError, match=r"did you mean '(\w+)'\?") as caught:
        from_name(text)
    message = str(caught.value)
    assert message.startswith(f"unknown scheme {text.split('(')[0]!r}, did you mean ")
    assert caught.match(rf"did you mean '({'|'.join(nearest)})'\?")
    assert set(message.split("The schemes are: ")[1].split(", ")) >= set(INITIALIZERS)


def test_a_name_like_no_other_gets_no_suggestion():
    """Where nothing is near, the list alone is given."""
    with pytest.raises(ValueError, match=r"^unknown scheme 'qqqq'\. The schemes are: zeros, "):
        from_name("qqqq")


@pytest.mark.parametrize(
    ("text", "description"),
    [
        ("zeros", "zeros()"),
        (" zeros ", "zeros()"),
        ("zeros()", "zeros()"),
        ("uniform(-0.5, 0.5)", "uniform(low=-0.5, high=0.5)"),
        ("uniform(high=3, low=-3)", "uniform(low=-3, high=3)"),
        ("he_normal('fan_out')", "he_normal(mode='fan_out', nonlinearity='relu')"),
        (
            "he_uniform(nonlinearity='leaky_relu', negative_slope=0.2)",
            "he_uniform(mode='fan_in', nonlinearity='leaky_relu', negative_slope=0.2)",
        ),
        ("truncated_normal(0.02, bound=3)", "truncated_normal(std=0.02, bound=3)"),
        ("constant(-1e-3)", "constant(value=-0.001)"),
    ],
)
def test_calls_by_name(text, description):
    """A text may give the arguments, by position or by name."""
    assert repr(from_name(text)) == description


@pytest.mark.parametrize(
    "text",
    [
        "",
        "  ",
        "he normal",
        "uniform(-0.5, 0.5",
        "uniform(-0.5, 0.5))",
        "zeros; ones",
        "zeros\x00",
        "uniform(x)",
        "uniform(1 + x)",
        "uniform(*[1, 2])",
        "x = 1",
        "uniform(f'{1}')",
        "(" * 1000,
    ],
    ids=lambda text: repr(text[:20]),
)
def test_malformed_text(text):
    """A text that is neither a name nor a call is refused, with an example of both."""
    with pytest.raises(ValueError, match=r"cannot read the scheme .* write a name such as"):
        from_name(text)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("constant", r"missing 1 required positional argument: 'value'.*constant\(0\.5\)"),
        ("zeros(1)", "takes 0 positional arguments but 1 was given"),
        ("uniform(1, 2, 3)", "takes from 0 to 2 positional arguments but 3 were given"),
        ("normal(variance=2)", "unexpected keyword argument 'variance'"),
        ("normal('a')", "std is 'a'; it must be a number"),
        ("normal(True)", "std is True; it must be a number"),
        ("normal(None)", "std is None; it must be a number"),
    ],
)
def test_wrong_arguments_in_a_text(text, reason):
    """Arguments that a scheme does not take are refused with the text and the reason."""
    with pytest.raises(ValueError, match=rf"cannot make the scheme .*{reason}") as caught:
        from_name(text)
    assert repr(text) in str(caught.value)


def test_out_of_range_in_a_text():
    """A text's numbers are held to the same ranges."""
    with pytest.raises(ValueError, match="std is -1; it must be finite and above 0"):
        from_name("normal(-1)")


@pytest.mark.parametrize(
    "text",
    [
        f"normal({'9' * 400})",
        "uniform(" + "-" * 100_000 + "1)",
        "uniform(low=-1, low=-2)",
        "he_normal(generator=3)",
    ],
    ids=["huge number", "deep", "twice", "generator"],
)
def test_text_that_python_would_refuse(text):
    """What cannot work is refused when the text is read, as a ValueError."""
    with pytest.raises(ValueError, match=r"scheme|std|generator"):
        from_name(text)


@pytest.mark.parametrize(
    "text",
    [
        "__import__('os').system('touch {path}')",
        "uniform(__import__('os').system('touch {path}'))",
        "uniform(low=__import__('os').system('touch {path}'))",
        "open('{path}', 'w')",
        "zeros(open('{path}', 'w'))",
        "[open('{path}', 'w') for _ in [0]]",
        "(lambda: open('{path}', 'w'))()",
        "exec('import os')",
        "zeros.__globals__['ast'].sys.modules['os'].system('touch {path}')",
        "zeros(**open('{path}', 'w'))",
    ],
)
def test_text_is_never_executed(text, tmp_path):
    """Code in the place of a name or a number is refused without being run."""
    path = tmp_path / "written"
    with pytest.raises(ValueError, match=r"unknown scheme|cannot (read|make) the scheme"):
        from_name(text.format(path=path))
    assert not path.exists()


# initialize


def _net():
    return nn.Sequential(nn.Linear(6, 5), nn.ReLU(), nn.Linear(5, 4))


def test_initialize_works_in_place():
    """The model that comes back is the one that was given, and so are its parameters."""
    net = _net()
    parameters = list(net.parameters())
    assert initialize(net, "ones") is net
    assert all(a is b for a, b in zip(parameters, net.parameters(), strict=True))
    assert (net[0].weight == 1).all()
    assert (net[2].weight == 1).all()


@pytest.mark.parametrize("scheme", ["he_normal", "default", "sparse", init.he_normal()], ids=repr)
def test_seed(scheme):
    """The same seed gives the same weights, another one others; the global state is not touched."""
    state = torch.get_rng_state()
    first, again, other = (initialize(_net(), scheme, seed=seed) for seed in (3, 3, 4))
    # Making the three networks draws; initializing them does not.
    torch.set_rng_state(state)
    nets = [_net() for _ in range(3)]
    after_making = torch.get_rng_state()
    for net in nets:
        initialize(net, scheme, seed=3)
    assert torch.equal(torch.get_rng_state(), after_making)
    for a, b, c in zip(first.parameters(), again.parameters(), other.parameters(), strict=True):
        assert torch.equal(a, b)
        assert not torch.equal(a, c) or (a == 0).all()


def test_seed_after_an_error():
    """The global state is put back when a scheme fails half-way."""

    def draws_and_fails(module):  # noqa: ARG001
        torch.rand(1)
        raise RuntimeError("half-way")

    net = _net()
    state = torch.get_rng_state()
    with pytest.raises(RuntimeError, match="half-way"):
        initialize(net, draws_and_fails, seed=0)
    assert torch.equal(torch.get_rng_state(), state)


def test_without_seed_the_global_generator_is_used():
    """As everywhere in torch: without a seed, `torch.manual_seed` decides."""
    torch.manual_seed(5)
    first = initialize(_net(), "he_normal")
    torch.manual_seed(5)
    second = initialize(_net(), "he_normal")
    assert torch.equal(first[0].weight, second[0].weight)
    third = initialize(_net(), "he_normal")
    assert not torch.equal(second[0].weight, third[0].weight)


@pytest.mark.parametrize("layer", ["linear", "grouped", "embedding"])
@pytest.mark.parametrize("name", RANDOM)
def test_generator(name, layer):
    """With a generator, it alone decides: the global state is neither read nor changed."""
    # (torch's own sparse_ decides by the global generator which weights are 0.)
    weights = []
    for global_seed in (0, 1):
        module = LAYERS[layer]()
        torch.manual_seed(global_seed)
        state = torch.get_rng_state()
        generator = _generator(5)
        before = generator.get_state()
        MAKERS[name](generator=generator)(module)
        assert torch.equal(torch.get_rng_state(), state)
        assert not torch.equal(generator.get_state(), before)
        weights.append(module.weight.detach())
    assert torch.equal(*weights)


def test_generator_goes_on():
    """Layers that share a generator get different draws."""
    net = nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 4))
    net.apply(init.normal(generator=_generator()))
    assert not torch.equal(net[0].weight, net[1].weight)


def test_ones_own_function():
    """A function of a module is a scheme: the original lesson's works unchanged."""

    def weights_init(m):
        if m.__class__.__name__.find("Linear") != -1:
            m.weight.data.uniform_(0.25, 0.5)
            m.bias.data.fill_(0)

    net = initialize(_net(), weights_init, seed=0)
    for layer in (net[0], net[2]):
        assert ((layer.weight >= 0.25) & (layer.weight <= 0.5)).all()
        assert (layer.bias == 0).all()
    again = initialize(_net(), weights_init, seed=0)
    assert torch.equal(net[0].weight, again[0].weight)


@pytest.mark.parametrize("name", NAMES)
def test_warns_when_nothing_is_filled(name):
    """A model without a layer that the scheme knows: a warning names both."""
    model = nn.Sequential(nn.ReLU())
    scheme = MAKERS[name]()
    with pytest.warns(UserWarning, match="nothing was changed") as caught:
        initialize(model, scheme)
    assert str(caught[0].message) == (
        f"Sequential has no layer that {scheme} knows; nothing was changed"
    )
    assert caught[0].filename == __file__


def test_a_function_that_fills_nothing_is_trusted():
    """Nobody can know what another's function should have filled: no warning."""
    initialize(nn.Sequential(nn.ReLU()), lambda module: None)  # noqa: ARG005


@pytest.mark.parametrize("model", [nn.Linear, None, "net", [nn.Linear(1, 1)]], ids=repr)
def test_model_must_be_a_module(model):
    """Anything but a module is refused with its type."""
    with pytest.raises(TypeError, match=rf"^model is of type {type(model).__name__}; .*nn.Module"):
        initialize(model, "zeros")


@pytest.mark.parametrize("scheme", [None, 3, ["zeros"]], ids=repr)
def test_scheme_must_be_a_name_or_a_function(scheme):
    """Anything else is refused with its value and what would do."""
    with pytest.raises(TypeError) as caught:
        initialize(_net(), scheme)
    assert str(caught.value) == (
        f"scheme is {scheme!r}; it must be a name such as 'he_normal', or a function of a module"
    )


@pytest.mark.parametrize("name", NAMES)
def test_lazy_layers(name):
    """A layer that does not know its size yet is refused with what to do; then it works."""
    net = nn.Sequential(nn.Flatten(), nn.LazyLinear(3))
    with pytest.raises(ValueError, match=r"LazyLinear has no weights yet.*run the model once"):
        initialize(net, MAKERS[name]())
    net(torch.zeros(2, 4))
    initialize(net, MAKERS[name](), seed=0)
    assert net[1].weight.isfinite().all()


def test_schemes_show_what_they_are():
    """A scheme prints as the call that makes it, without its generator."""
    assert repr(init.uniform(-0.5, 0.5, generator=_generator())) == "uniform(low=-0.5, high=0.5)"
    shown = {repr(MAKERS[name]()) for name in NAMES}
    assert len(shown) == len(NAMES)
    assert all(a == b for a, b in itertools.pairwise([str(init.zeros()), repr(init.zeros())]))


def test_a_scheme_without_its_brackets():
    """Forgetting to call `he_normal` is told as that, before anything is changed."""
    net = _net()
    before = net[0].weight.clone()
    with pytest.raises(TypeError, match=r"^scheme is the function he_normal, .* as he_normal\(\)$"):
        initialize(net, init.he_normal)
    assert torch.equal(net[0].weight, before)


@pytest.mark.parametrize("seed", ["a", 1.5, True])
def test_a_seed_that_is_no_whole_number(seed):
    """A wrong seed is named, with what is allowed."""
    with pytest.raises(ValueError, match=r"^seed is .*; it must be a whole number, at least 0$"):
        initialize(_net(), "zeros", seed=seed)


# Residual networks


class _Residual(nn.Module):
    def __init__(self, *branch):
        super().__init__()
        self.branch = nn.Sequential(*branch)

    def forward(self, x):
        return x + self.branch(x)


def _residual_net(depth=6, width=64):
    blocks = [
        _Residual(nn.Linear(width, width), nn.ReLU(), nn.Linear(width, width)) for _ in range(depth)
    ]
    return nn.Sequential(OrderedDict(stem=nn.Linear(width, width), blocks=nn.Sequential(*blocks)))


LAST = "blocks.*.branch.2"
ENCODER = partial(nn.TransformerEncoderLayer, 16, 2, 32)
DECODER = partial(nn.TransformerDecoderLayer, 16, 2, 32)


def _changed(model, scheme):
    """Names of the parameters that ``scheme`` makes otherwise than its base."""
    plain = initialize(copy.deepcopy(model), "lecun_normal", seed=0).state_dict()
    filled = initialize(model, scheme, seed=0).state_dict()
    return {name for name in plain if not torch.equal(plain[name], filled[name])}


@pytest.mark.parametrize("last", [LAST, [LAST], ["blocks.[0-2].branch.2", "blocks.[3-5].*.2"]])
def test_residual_scaled_multiplies_the_named_layers(last):
    """The last layer of each of six branches is the base's times 1/√6, all else is the base's."""
    net, plain = _residual_net(), initialize(_residual_net(), "lecun_normal", seed=0)
    initialize(net, init.residual_scaled("lecun_normal", last=last), seed=0)
    for (name, ours), theirs in zip(net.named_parameters(), plain.parameters(), strict=True):
        factor = 6**-0.5 if name.endswith("branch.2.weight") else 1.0
        torch.testing.assert_close(ours, theirs * factor, rtol=1e-6, atol=0)


def test_residual_scaled_keeps_growth_below_a_power_of_e():
    """A branch of two He layers around a ReLU has c = 2: growth is (1 + 2/L)ᴸ, not 3ᴸ."""
    x = torch.randn(200, 64, generator=_generator(1))
    scaled = init.residual_scaled(last=LAST)
    for scheme, growth in (("he_normal", 3**6), (scaled, (1 + 2 / 6) ** 6)):
        net = initialize(_residual_net(), scheme, seed=0)
        with torch.no_grad():
            stem = net.stem(x)
            ratio = (net.blocks(stem) ** 2).mean() / (stem**2).mean()
        assert math.log(ratio) == pytest.approx(math.log(growth), abs=0.6)


def test_residual_scaled_by_a_factor_of_ones_own():
    """A factor that is given is used instead; `zero_last` is the factor 0."""
    net = initialize(_residual_net(), init.residual_scaled("ones", factor=0.25, last=LAST))
    assert (net.blocks[3].branch[2].weight == 0.25).all()
    net = initialize(_residual_net(), init.zero_last("ones", last=LAST))
    assert not net.blocks[3].branch[2].weight.any()
    assert (net.blocks[3].branch[0].weight == 1).all()


@pytest.mark.parametrize("scheme", ENDS)
def test_apply_ends_with_the_same(scheme):
    """``model.apply``, which visits every part before the model, scales once, however often."""
    scheme = INITIALIZERS[scheme]("ones", last=[LAST, "*norm"])
    net = _residual_net()
    net.norm = nn.LayerNorm(64)
    expected = initialize(copy.deepcopy(net), scheme).state_dict()
    for filled in (net.apply(scheme), net.apply(scheme), initialize(net, scheme)):
        for name, value in filled.state_dict().items():
            torch.testing.assert_close(value, expected[name], rtol=1e-6, atol=0)


def test_branches_of_transformers_are_known():
    """Encoder and decoder layers: the projection behind each attention, and the second linear."""
    ends = ("self_attn.out_proj.weight", "linear2.weight")
    encoder = nn.TransformerEncoder(ENCODER(), 2, enable_nested_tensor=False)
    for scheme in ENDS:
        assert _changed(encoder, f"{scheme}('lecun_normal')") == {
            f"layers.{i}.{end}" for i in range(2) for end in ends
        }
    assert _changed(nn.TransformerDecoder(DECODER(), 1), "zero_last('lecun_normal')") == {
        f"layers.0.{end}" for end in (*ends, "multihead_attn.out_proj.weight")
    }


class _Block(nn.Module):
    """Attributes as torchvision's blocks have them."""

    def __init__(self, **parts):
        super().__init__()
        for name, part in parts.items():
            setattr(self, name, part)


def _norm(kind=nn.BatchNorm2d):
    return kind(4)


def _conv():
    return nn.Conv2d(4, 4, 3)


BLOCKS = {  # attributes -> name of the end, None for a block that has no branch
    "basic": (
        lambda: {"conv1": _conv(), "bn1": _norm(), "conv2": _conv(), "bn2": _norm()},
        {"downsample": None},
        "bn2.weight",
    ),
    "bottleneck": (
        lambda: {"conv2": _conv(), "bn2": _norm(), "conv3": _conv(), "bn3": _norm()},
        {"downsample": nn.Identity()},
        "bn3.weight",
    ),
    "without norm": (
        lambda: {"conv2": _conv(), "bn2": nn.Identity()},
        {"downsample": None},
        "conv2.weight",
    ),
    "ConvNeXt": (
        lambda: {"block": nn.Sequential(_conv(), nn.Linear(4, 4), nn.Flatten())},
        {"layer_scale": nn.Parameter(torch.ones(4, 1, 1))},
        "block.1.weight",
    ),
    "inverted": (
        lambda: {"block": nn.Sequential(_conv(), _norm())},
        {"use_res_connect": True},
        "block.1.weight",
    ),
    "inverted without branch": (
        lambda: {"block": nn.Sequential(_conv(), _norm())},
        {"use_res_connect": False},
        None,
    ),
}


@pytest.mark.parametrize("name", BLOCKS)
def test_branches_of_other_blocks_are_known(name):
    """A branch ends with its last layer with weights: where that is a norm, its weight is set."""
    parts, marks, end = BLOCKS[name]
    model = nn.Sequential(_Block(**parts(), **marks), _Block(**parts(), **marks))
    if end is None:
        with pytest.raises(ValueError, match="no residual branch was recognised in Sequential"):
            initialize(model, "zero_last")
        return
    assert _changed(model, "zero_last('lecun_normal')") == {f"0.{end}", f"1.{end}"}
    assert not model[0].get_parameter(end).any()
    initialize(model, "residual_scaled('ones')")
    torch.testing.assert_close(
        model[0].get_parameter(end), torch.full_like(model[0].get_parameter(end), 0.5**0.5)
    )


def test_torchvision_agrees(monkeypatch):
    """ResNet's own ``zero_init_residual`` sets what `zero_last` sets; others' ends are counted."""
    models = pytest.importorskip("torchvision.models")
    monkeypatch.setattr(nn.init, "trunc_normal_", lambda tensor, **_: tensor)  # slow, and replaced
    for make in (models.resnet18, models.resnet50):
        with torch.device("meta"):
            plain, theirs = make(), make(zero_init_residual=True)
        ends = residual._ends(plain, None)
        names = {name for name, module in plain.named_modules() if any(module is e for e in ends)}
        bottleneck = make is models.resnet50
        assert names == {
            name
            for name, _ in theirs.named_modules()
            if name.endswith("bn3" if bottleneck else "bn2")
        }
    counts = {"vit_b_16": 24, "convnext_tiny": 18, "mobilenet_v2": 10, "efficientnet_b0": 9}
    for name, count in counts.items():
        with torch.device("meta"):
            model = models.get_model(name)
        assert len(residual._ends(model, None)) == count, name


def test_no_branch_is_recognised():
    """A network of unknown structure is refused, untouched, with an example of what to say."""
    net = _residual_net()
    before = net.stem.weight.clone()
    for scheme in ENDS:
        with pytest.raises(ValueError, match="no residual branch") as caught:
            initialize(net, scheme)
        assert str(caught.value) == (
            "no residual branch was recognised in Sequential; name the last layer of each, "
            f'as in {scheme}(last="blocks.*.branch.2")'
        )
    assert torch.equal(net.stem.weight, before)


def test_a_pattern_that_fits_nothing():
    """Every pattern must fit a layer with weights; the nearest names are listed."""
    net = _residual_net(1)
    for pattern in ("blocks.*.branch.1", "block.0.branch.2"):
        with pytest.raises(ValueError, match="fits no layer") as caught:
            initialize(net, init.zero_last(last=[LAST, pattern]))
        assert str(caught.value) == (
            f"last={pattern!r} fits no layer with weights of Sequential; "
            "the nearest are 'blocks.0.branch.2', 'blocks.0.branch.0', 'stem'"
        )


@pytest.mark.parametrize("scheme", ENDS)
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"base": 3}, "base is 3; it must be a name such as 'he_normal', or a function"),
        ({"base": "qqqq"}, "unknown scheme 'qqqq'"),
        (
            {"base": "zero_last"},
            r"base is zero_last\(.*\); it must be a scheme that fills layer by",
        ),
        ({"last": 3}, "last is 3; it must be a pattern"),
        ({"last": []}, r"last is \[\]; it must be a pattern of module names such as"),
        ({"last": ["a", 3]}, r"last is \['a', 3\]; it must be a pattern"),
    ],
    ids=str,
)
def test_arguments_of_residual_schemes(scheme, arguments, message):
    """What is no scheme and no pattern is refused by the name of the argument."""
    with pytest.raises((TypeError, ValueError), match=message):
        INITIALIZERS[scheme](**arguments)


@pytest.mark.parametrize(
    ("factor", "kind"), [(0, ValueError), (math.nan, ValueError), ("a", TypeError)]
)
def test_a_factor_out_of_range(factor, kind):
    """The factor is a finite number above 0."""
    with pytest.raises(kind, match=r"^factor is "):
        init.residual_scaled(factor=factor)


@pytest.mark.parametrize(
    ("text", "description"),
    [
        ("zero_last", "zero_last(base='he_normal')"),
        ("residual_scaled('normal(0.02)')", "residual_scaled(base='normal(0.02)')"),
        (
            "residual_scaled(factor=0.5, last='*.2')",
            "residual_scaled(base='he_normal', factor=0.5, last='*.2')",
        ),
        ("zero_last(last=['a', 'b'])", "zero_last(base='he_normal', last=['a', 'b'])"),
        (repr(init.zero_last(init.normal(0.5))), "zero_last(base='normal(std=0.5)')"),
    ],
)
def test_residual_schemes_by_name(text, description):
    """A text makes them too, with another scheme inside, and they print as such a text."""
    assert repr(from_name(text)) == description
    assert repr(from_name(description)) == description


def test_a_base_of_ones_own():
    """Any function of a module is a base."""

    def mine(module):
        if isinstance(module, nn.Linear):
            nn.init.constant_(module.weight, 3.0)

    net = initialize(_residual_net(), init.residual_scaled(mine, factor=0.5, last=LAST))
    assert (net.blocks[0].branch[2].weight == 1.5).all()
    assert (net.stem.weight == 3).all()


def test_a_base_is_described_by_name():
    """Not by where it is in memory; with arguments where there are any."""
    assert repr(init.zero_last(nn.init.zeros_)) == "zero_last(base='zeros_')"
    mine = partial(nn.init.constant_, val=3)
    assert repr(init.residual_scaled(mine)) == "residual_scaled(base='constant_(val=3)')"


def test_the_recipe_of_a_base_counts():
    """A scheme made of one that draws from a generator of its own has no recipe either."""
    assert init.zero_last(init.normal(0.1)).recipe is not None
    for scheme in (init.normal(generator=Generator()), init.Scheme("mine", nn.init.zeros_)):
        assert init.zero_last(scheme).recipe is None
        assert init.residual_scaled(base=scheme).recipe is None


def test_a_shared_end_is_scaled_once():
    """Branches that share their last weights have one end between them."""
    net = _residual_net(2)
    net.blocks[1].branch[2].weight = net.blocks[0].branch[2].weight
    initialize(net, init.residual_scaled("ones", factor=0.5, last=LAST))
    assert (net.blocks[0].branch[2].weight == 0.5).all()


def test_residual_schemes_refuse_computed_weights():
    """A parametrized end is refused before anything is changed."""
    net = _residual_net(1)
    nn.utils.parametrizations.weight_norm(net.blocks[0].branch[2])
    before = net.stem.weight.clone()
    for base in ("he_normal", lambda module: module):
        with pytest.raises(ValueError, match="computed from other parameters"):
            initialize(net, init.zero_last(base, last=LAST))
    assert torch.equal(net.stem.weight, before)

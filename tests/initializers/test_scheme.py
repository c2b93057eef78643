"""What every scheme does, for any layer."""

import math
import warnings

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from initializer_cases import FILLING, LAYERS, MAKERS, NAMES, _generator
from torch import nn

from initguide import initializers as init
from initguide.initializers import from_name, initialize


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


@pytest.mark.parametrize(
    "make",
    [lambda: nn.MultiheadAttention(8, 2), lambda: nn.Transformer(8, 2, 1, 1, 16, batch_first=True)],
)
def test_default_also_draws_what_only_a_private_method_resets(make):
    """Attention's packed projections are drawn again, from the seed, as at construction."""
    nets = [initialize(make(), "default", seed=0) for _ in "ab"]
    for a, b in zip(*(net.parameters() for net in nets), strict=True):
        assert torch.equal(a, b)
    layer = initialize(nn.MultiheadAttention(400, 4), init.constant(3.0))
    initialize(layer, "default", seed=0)
    assert layer.in_proj_weight.abs().max() <= (6 / 1600) ** 0.5  # Xavier's, as of 1200 × 400
    assert layer.in_proj_weight.std().item() == pytest.approx((2 / 1600) ** 0.5, rel=0.01)


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
    """Filled parameters are still leaves that want a gradient."""
    layer = initialize(nn.Linear(3, 2), "orthogonal", seed=0)
    assert layer.weight.is_leaf
    assert layer.weight.requires_grad
    assert layer.weight.grad_fn is None


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
    with pytest.raises(
        ValueError, match=rf"^{argument.split()[0]} is -?(nan|inf); .* (finite|below 1)"
    ):
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
        (lambda: init.sparse(0), "sparsity is 0; it must be above 0 and below 1"),
        (lambda: init.sparse(1), "sparsity is 1; it must be above 0 and below 1"),
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

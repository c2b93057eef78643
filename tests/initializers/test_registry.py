"""Schemes by name, and filling a model."""

import itertools

import pytest
import torch
from initializer_cases import LAYERS, MAKERS, NAMES, RANDOM, WHOLE, _generator
from torch import nn

from initguide import initializers as init
from initguide.initializers import INITIALIZERS, from_name, initialize


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

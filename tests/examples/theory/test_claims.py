"""What the page "Claims, tested" concludes, at reduced size; its rule can say otherwise."""

import ast
import functools
import math
import re
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats
from torch import nn

import initguide
from initguide import initializers as init
from initguide import theory
from initguide.experiments import judge, mean_interval

PAGE = Path(__file__).parents[3] / "examples" / "theory" / "plot_10_claims.py"


def claims():
    """Return the page's own claims and which are ratios, read from its source."""
    names = {"math": math}
    wanted = {"BETTER", "NEAR_1", "CLAIMS", "RATIOS"}
    for node in ast.parse(PAGE.read_text("utf-8")).body:
        if isinstance(node, ast.Assign):
            target = node.targets[0]
            found = target.elts if isinstance(target, ast.Tuple) else [target]
            if wanted & {getattr(name, "id", "") for name in found}:
                exec(compile(ast.Module([node], []), PAGE.name, "exec"), names)  # noqa: S102  our own page
    return names["CLAIMS"], names["RATIOS"]


CLAIMS, RATIOS = claims()
SETTINGS = [(n, setting) for n, (_, _, settings) in CLAIMS.items() for setting in settings]


def inside(low, high):
    """Return measurements that a claim of this range predicts."""
    if math.isinf(low) or math.isinf(high):
        middle, width = (low + 3, 1) if math.isinf(high) else (high - 3, 1)
    else:
        middle, width = (low + high) / 2, (high - low) / 20
    return middle + width * np.array([-0.1, 0.0, 0.1, 0.05, -0.05])


def outside(low, high):
    """Return measurements that contradict it."""
    end = low if math.isfinite(low) else high
    return end + (-3 if math.isfinite(low) else 3) + np.array([-0.1, 0.0, 0.1, 0.05, -0.05])


def astride(low, high):
    """Return measurements whose interval reaches across an end of the range."""
    end = low if math.isfinite(low) else high
    return end + np.array([-2.0, 2.0, -1.0, 1.0, 0.0])


# The rule


@pytest.mark.parametrize("number", CLAIMS)
def test_every_claim_can_hold_and_can_fail(number):
    """Opposite measurements turn the verdict of each of the page's claims around."""
    _, (low, high), settings = CLAIMS[number]
    claimed = dict.fromkeys(settings, (low, high))
    for values, verdict in [
        (inside(low, high), "holds"),
        (outside(low, high), "does not hold"),
        (astride(low, high), "these runs cannot tell"),
    ]:
        assert judge(claimed, dict.fromkeys(settings, values)).verdict == verdict


@pytest.mark.parametrize(("number", "setting"), SETTINGS)
def test_every_setting_counts(number, setting):
    """One setting that fails turns "holds" into "holds only when", naming the others."""
    _, (low, high), settings = CLAIMS[number]
    if len(settings) == 1:
        pytest.skip("a claim with one setting holds or does not")
    measured = dict.fromkeys(settings, inside(low, high)) | {setting: outside(low, high)}
    verdict = judge(dict.fromkeys(settings, (low, high)), measured).verdict
    others = " and when ".join(s for s in settings if s != setting)
    assert verdict == f"holds only when {others}"


@pytest.mark.parametrize(
    ("outcomes", "verdict"),
    [
        ("+", "holds"),
        ("-", "does not hold"),
        ("?", "these runs cannot tell"),
        ("+-", "holds only when a"),
        ("++-", "holds only when a and when b"),
        ("+?", "holds when a; these runs cannot tell when b"),
        ("-?", "does not hold when a; these runs cannot tell when b"),
        ("+-?", "holds only when a; these runs cannot tell when c"),
    ],
)
def test_verdict_in_words(outcomes, verdict):
    """Each mixture of outcomes has its own words."""
    values = {"+": [2.0, 2.1, 1.9], "-": [-2.0, -2.1, -1.9], "?": [-1.0, 3.0, 1.0]}
    measured = {name: values[o] for name, o in zip("abc", outcomes, strict=False)}
    found = judge(dict.fromkeys(measured, (1.0, math.inf)), measured)
    assert found.verdict == verdict
    assert str(found).endswith(f"Verdict: {verdict}.")


@given(
    st.lists(st.floats(-100, 100), min_size=2, max_size=8),
    st.floats(-50, 50),
    st.floats(0, 50),
)
def test_outcome_is_that_of_students_interval(values, low, width):
    """Against scipy: within, outside or across the range."""
    finding = judge({"a": (low, low + width)}, {"a": values}).findings[0]
    error = stats.sem(values)
    ends = np.mean(values) + error * np.array(stats.t.interval(0.95, len(values) - 1))
    gaps = np.abs(np.subtract.outer(ends, [low, low + width]))
    if gaps.min() < 1e-6:  # rounding decides
        return
    if low < ends[0] and ends[1] < low + width:
        assert finding.holds is True
    elif ends[1] < low or low + width < ends[0]:
        assert finding.holds is False
    else:
        assert finding.holds is None
    assert finding.mean == pytest.approx(np.mean(values), abs=1e-9)


def test_more_confidence_decides_less():
    """A wider interval reaches across the end of the range."""
    values = {"a": [1.5, 2.0, 2.5, 1.0]}
    assert judge({"a": (0.5, math.inf)}, values).verdict == "holds"
    assert judge({"a": (0.5, math.inf)}, values, confidence=0.999).findings[0].holds is None


@pytest.mark.parametrize("values", [[5.0], [5.0, 5.1, math.nan], [5.0, 5.1, math.inf], []])
def test_failed_or_single_measurements_decide_nothing(values):
    """A run that diverged is not left out, and one seed proves nothing."""
    found = judge({"a": (1.0, math.inf)}, {"a": values})
    assert found.verdict == "these runs cannot tell"
    assert "no interval" in str(found)


def test_printed_lines_name_range_and_interval():
    """A line a setting: mean, interval, claimed range; true minus signs, hyphens untouched."""
    found = judge(
        {"he-like": (-math.inf, -1.0), "b": (-1.0, 1.0)},
        {"he-like": [-200.0, -201.0, -199.0], "b": [0.0, 0.0, 0.0]},
    )
    assert str(found).splitlines() == [
        "when he-like:",
        "  −200 (−202 to −198), claimed below −1: holds",
        "when b:",
        "  0.00 (0.00 to 0.00), claimed −1 to 1: holds",
        "Verdict: holds.",
    ]
    assert repr(found) == str(found)


@pytest.mark.parametrize(
    ("claimed", "measured", "message"),
    [
        ({}, {}, "claimed is empty; give at least one setting"),
        ({"a": (0, 1)}, {"b": [1]}, r"settings \['a'\] and measured has \['b'\]; they must be the"),
        ({"a": (2, 1)}, {"a": [1]}, r"the range \(2, 1\) for 'a'; the first must not be above"),
        ({"a": (math.nan, 1)}, {"a": [1]}, r"the range \(nan, 1\) for 'a'"),
    ],
)
def test_judge_says_what_is_wrong(claimed, measured, message):
    """Bad input is named, with what is allowed."""
    with pytest.raises(ValueError, match=message):
        judge(claimed, measured)


def test_page_has_a_section_for_each_claim():
    """At least twelve claims; headings and calls of `record` are those of the list."""
    text = PAGE.read_text("utf-8")
    assert len(CLAIMS) >= 12
    headings = dict(re.findall(r"^# (\d+)\. (.+)\n# ---", text, flags=re.MULTILINE))
    assert headings == {str(number): claim for number, (claim, *_) in CLAIMS.items()}
    assert {int(n) for n in re.findall(r"^record\(\s*(\d+),", text, re.MULTILINE)} == set(CLAIMS)


# The conclusions


@pytest.fixture(scope="module")
def small(sample):
    """3,000 images: 30 steps an epoch."""
    return sample.subset(train=3000, valid=500, test=1)


def scaled(scheme, factor):
    """Return the scheme times a factor."""

    def weights_init(module):
        scheme(module)
        if isinstance(module, nn.Linear):
            module.weight.data.mul_(factor)

    return weights_init


def deep(activation, depth):
    """Return a maker of networks 50 wide."""
    return lambda: initguide.mlp([784] + [50] * depth + [10], activation)


@pytest.fixture(scope="module")
def compare(small):
    """Train schemes for one epoch, with three seeds."""
    return functools.partial(
        initguide.compare_init_weights, data=small, epochs=1, seeds=3, progress=False
    )


def points(result, a, b):
    """Return points by which a is better."""
    return 100 * (result.values(a) - result.values(b))


def says(number, **measured):
    """Return the page's judgement of some of a claim's settings, given as ``_0``, ``_1``."""
    _, claimed, settings = CLAIMS[number]
    values = {settings[int(key[1:])]: value for key, value in measured.items()}
    return judge(dict.fromkeys(values, claimed), values)


def test_shape_of_the_distribution_adds_no_point(compare):
    """At equal variance, a normal distribution is not shown to be better by a point."""
    result = compare(
        {"normal": init.lecun_normal(), "uniform": init.lecun_uniform()},
        model=lambda: initguide.mlp([784, 256, 128, 10]),
        seeds=6,
    )
    assert says(1, _0=points(result, "normal", "uniform")).findings[0].holds is not True


@pytest.mark.parametrize("make", [lambda: nn.Linear(256, 128), lambda: nn.Conv2d(16, 32, 3)])
def test_default_has_a_sixth_of_hes_variance(make):
    """PyTorch's default is not He's initialization: its variance is a sixth of that."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        layers = [make() for _ in range(10)]
    ratios = [init.fans(m).fan_in * m.weight.var().item() / 2 for m in layers]
    assert says(2, _0=ratios).verdict == "does not hold"
    assert np.mean(ratios) == pytest.approx(1 / 6, rel=0.02)


def test_gain_of_5_3_makes_gradients_grow():
    """A gain of 5/3 keeps the signal of tanh alive; gradients grow by a fifth at every layer."""
    assert theory.fixed_point("tanh", 5 / 3) > 1
    assert theory.chi("tanh", 5 / 3) == pytest.approx(1.2, abs=0.02)
    assert theory.chi("tanh", 1.0) == pytest.approx(1)


def test_xavier_fails_for_relu_in_a_deep_network(compare):
    """What makes no difference in a shallow network can decide in a deep one."""
    schemes = {"He": init.he_normal(), "Xavier": init.xavier_normal()}
    # Deep networks stray far from seed to seed, and after one epoch they have hardly begun.
    more = {"seeds": 8, "epochs": 2}
    at_30 = points(compare(schemes, model=deep(nn.ReLU, 30), **more), "Xavier", "He")
    at_2 = points(compare(schemes, model=deep(nn.ReLU, 2), **more), "Xavier", "He")
    assert says(4, _1=at_30).verdict == "does not hold"
    assert at_2.mean() > at_30.mean() + 10
    assert says(12, _1=at_30).verdict == "does not hold"  # that was Adam


def test_selu_keeps_its_mean_square_at_gain_1_and_not_at_3_4():
    """SELU was built so that variance 1/n keeps a mean square of 1."""
    assert theory.fixed_point("selu", 1.0) == pytest.approx(1, abs=1e-4)
    assert theory.fixed_point("selu", 0.75) < 0.1


def last_mean_squares(widths, activation, scheme, x, seeds):
    """Return the mean square of what the last layer sums up."""
    with torch.inference_mode():
        nets = [
            initguide.initialize(initguide.mlp(widths, activation), scheme, seed=seed)
            for seed in range(seeds)
        ]
        return np.array([net(x).square().mean().item() for net in nets])


def test_tanh_with_xavier_has_no_plateau_at_constant_width(sample):
    """It goes down as 1/(2 · layer) at constant width, and is 0.25 where widths shrink."""
    images = sample.train.images[:100]
    images = (images - images.mean()) / images.std()
    narrow = last_mean_squares([784, 512, 256, 256, 128], nn.Tanh, init.xavier_normal(), images, 10)
    constant = last_mean_squares([784] + [256] * 40, nn.Tanh, init.xavier_normal(), images, 5)
    found = says(6, _0=narrow / 0.25, _1=constant / 0.25)
    assert found.verdict == "holds only when widths shrink to 128"
    assert constant.mean() == pytest.approx(1 / 80, rel=0.25)


def test_dropout_breaks_the_symmetry_of_constants_but_zeros(small):
    """Dropout makes units differ unless the weights are 0; the network still learns far less."""
    shares, accuracies = {}, {}
    for weight in (0.02, 0.0):
        nets = [initguide.Net(constant_weight=weight) for _ in range(2)]
        runs = [
            initguide.training.train(net, small, epochs=1, seed=seed)
            for seed, net in enumerate(nets)
        ]
        images = small.valid.images[:100]
        found = [initguide.measure(net.eval(), images)["fc1"] for net in nets]
        shares[weight] = [record.distinct_units / record.units for record in found]
        accuracies[weight] = max(run.valid_accuracy for run in runs)
    found = says(7, _0=shares[0.02], _1=shares[0.0])
    assert found.verdict == "holds only when weights are 0.02"
    random = initguide.initialize(initguide.Net(), "he_normal", seed=0)
    run = initguide.training.train(random, small, epochs=1)
    assert run.valid_accuracy > max(accuracies.values()) + 0.2


def test_bigger_is_better_up_to_a_point(compare):
    """From the general rule's weights to He's is a gain, from there to 4 times He's a loss."""
    he = init.he_normal()
    result = compare(
        {"rule": init.general_rule(), "He": he, "4": scaled(he, 4)},
        model=lambda: initguide.mlp([784, 256, 128, 10]),
    )
    found = says(8, _0=points(result, "He", "rule"), _1=points(result, "4", "He"))
    assert found.verdict == "holds only when they grow to He's"
    assert says(12, _2=points(result, "4", "He")).verdict == "does not hold"


def test_batch_normalization_does_not_make_up_for_every_start(compare):
    """It cannot tell equal units apart, and ten times He's weights train worse."""
    he = init.he_normal()

    def normalized():
        layers = [nn.Flatten()]
        for fan_in in (784, 100, 100):
            layers += [nn.Linear(fan_in, 100), nn.BatchNorm1d(100), nn.ReLU()]
        return nn.Sequential(*layers, nn.Linear(100, 10))

    result = compare(
        {"He": he, "10": scaled(he, 10), "equal": init.constant(0.02)}, model=normalized
    )
    found = says(11, _1=points(result, "10", "He"), _2=points(result, "equal", "He"))
    assert found.verdict == "does not hold"


def test_orthogonal_weights_pass_gradients_evenly_behind_tanh():
    """Thirty tanh layers: the Jacobian's singular values spread less than with Gaussian weights."""
    inputs = torch.randn(2, 50, generator=torch.Generator().manual_seed(0))
    spreads = SimpleNamespace()
    for name, scheme in (("gauss", init.lecun_normal()), ("orth", init.orthogonal())):
        net = initguide.mlp([50] * 31, nn.Tanh)
        found = initguide.measure(initguide.initialize(net, scheme, seed=0), inputs, jacobian=2)
        values = found.jacobian_singular_values
        setattr(spreads, name, np.median(values[:, 0] / values[:, 25]))
    assert spreads.orth * 5 < spreads.gauss


def test_initial_loss_of_the_default_is_ln_10_and_hes_is_above(small):
    """The check finds starts that are wrong by far; it does not rank good ones: zeros pass it."""

    def ratios(scheme):
        make = functools.partial(initguide.mlp, [784, 256, 128, 10])
        nets = [initguide.initialize(make(), scheme, seed=s) for s in range(20)]
        return [initguide.training.evaluate(n, small.valid).loss / math.log(10) for n in nets]

    found = says(13, _0=ratios("default"), _1=ratios("he_normal"))
    assert found.verdict == "holds only when weights are PyTorch's default"
    assert ratios("zeros")[0] == pytest.approx(1, abs=1e-6)


def test_he_keeps_the_mean_square_on_average():
    """E[M] = 1 behind ten layers; single networks spread as the finite width says, or less."""
    x = torch.randn(1, 128, generator=torch.Generator().manual_seed(0))
    widths = [128] * 12  # ten ReLU layers, and one that sums up: twice the mean
    last = last_mean_squares(widths, nn.ReLU, init.he_normal(), x, 200)
    ratios = last / (2 * x.square().mean().item())
    spread = math.sqrt(theory.finite_width_moments(widths[1:-1]).second - 1)
    mean, (low, high) = mean_interval(ratios)
    assert low < 1 < high
    assert 0.9 < mean < 1.1
    assert 0.6 * spread < ratios.std() < 1.6 * spread


def test_standardized_inputs_train_faster_with_sgd(sample):
    """Centred and scaled pixels: more accuracy after the same steps of SGD."""
    small = sample.subset(train=3000, valid=500, test=1)
    mean, std = small.train.images.mean(), small.train.images.std()
    centred = small.transformed(lambda images: (images - mean) / std, "standardized")
    raw, better = (
        initguide.compare_init_weights(
            ["he_normal"], data, epochs=1, seeds=4, optimizer="sgd", learning_rate=0.1,
            model=lambda: initguide.mlp([784, 256, 128, 10]), progress=False,
        )
        for data in (small, centred)
    )  # fmt: skip
    gain = 100 * (better.values("he_normal") - raw.values("he_normal"))
    assert says(15, _0=gain).verdict == "holds"

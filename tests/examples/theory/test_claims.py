"""What the page "Claims, tested" and its table conclude, at reduced size."""

import functools
import math
import re
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import nn

import initguide
from initguide import initializers as init
from initguide import theory
from initguide.experiments import judge, mean_interval

PAGE = Path(__file__).parents[3] / "examples" / "theory" / "plot_10_claims.py"
BETTER, FINE, SAME = (1, math.inf), (-1, math.inf), (-1, 1)  # points
NEAR_1 = (0.9, 1.1)


def test_table_names_a_page_for_each_claim():
    """Eleven rows of three cells, the last of which is a link to a page that there is."""
    text = PAGE.read_text("utf-8").split("list-table::")[1].split("# The rule")[0]
    rows = text.split("#    * - ")[2:]  # behind the header
    assert len(rows) == 11
    for row in rows:
        _, found, tested = row.split("#      - ")
        assert re.search(r"\.$|(^| ):said:`\w[^`]* <[a-z -]+>`$", found.replace("\n#", "").strip())
        link = re.search(r":doc:`[^<]+<(.+)>`", tested).group(1)
        place = PAGE.parent.parent / link.removeprefix("/auto_examples/")
        if not link.startswith("/"):
            place = PAGE.parent / link
        assert place.with_suffix(".py").exists(), link


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


def judged(claimed, **measured):
    """Hold a range against measurements in some settings."""
    return judge(dict.fromkeys(measured, claimed), measured)


def test_shape_of_the_distribution_adds_no_point(compare):
    """At equal variance, a normal distribution is not shown to be better by a point."""
    result = compare(
        {"normal": init.lecun_normal(), "uniform": init.lecun_uniform()},
        model=lambda: initguide.mlp([784, 256, 128, 10]),
        seeds=6,
    )
    assert judged(BETTER, a=points(result, "normal", "uniform")).verdict != "holds"


@pytest.mark.parametrize("make", [lambda: nn.Linear(256, 128), lambda: nn.Conv2d(16, 32, 3)])
def test_default_has_a_sixth_of_hes_variance(make):
    """PyTorch's default is not He's initialization: its variance is a sixth of that."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        layers = [make() for _ in range(10)]
    ratios = [init.fans(m).fan_in * m.weight.var().item() / 2 for m in layers]
    assert judged(NEAR_1, ratio=ratios).verdict == "does not hold"
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
    assert judged(FINE, depth_30=at_30).verdict == "does not hold"
    assert at_2.mean() > at_30.mean() + 10
    assert judged(SAME, depth_30=at_30).verdict == "does not hold"  # that was Adam


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
    found = judged(NEAR_1, shrinking=narrow / 0.25, constant=constant / 0.25)
    assert found.verdict == "holds only when shrinking"
    assert constant.mean() == pytest.approx(1 / 80, rel=0.25)


def test_dropout_breaks_the_symmetry_of_constants_but_zeros(small):
    """Dropout makes units differ unless the weights are 0; after 30 steps they are far behind."""
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
    found = judged(NEAR_1, small=shares[0.02], zeros=shares[0.0])
    assert found.verdict == "holds only when small"
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
    found = judged(BETTER, he=points(result, "He", "rule"), four=points(result, "4", "He"))
    assert found.verdict == "holds only when he"
    assert judged(SAME, four=points(result, "4", "He")).verdict == "does not hold"


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
    found = judged(SAME, ten=points(result, "10", "He"), equal=points(result, "equal", "He"))
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

    found = judged((0.98, 1.02), default=ratios("default"), he=ratios("he_normal"))
    assert found.verdict == "holds only when default"
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
    assert judged(BETTER, gain=gain).verdict == "holds"

"""What stands before the loss, and what the loss wants."""

import pytest
import torch
import torch.nn.functional as F
from checkup_networks import Using, draws, labels, said
from torch import nn

from initguide.checkup import check_init
from initguide.propagation import measure


def mlp(*last, outputs=4, seed=0):
    """Two layers, and what comes after them."""
    torch.manual_seed(seed)
    return nn.Sequential(nn.Linear(8, 32), nn.ReLU(), nn.Linear(32, outputs), *last)


def functional(end):
    """Two layers, and a function behind them."""
    torch.manual_seed(0)
    return Using(
        lambda m, x: end(m.out(F.relu(m.fc(x)))), fc=nn.Linear(8, 32), out=nn.Linear(32, 4)
    )


INPUTS, CLASSES = draws(64, 8), labels(64, 4)
YES_OR_NO, NUMBERS = (draws(64, 4, seed=2) > 0).float(), draws(64, 4, seed=2)


def by_hand(output, targets):
    """The cross-entropy, as people write it."""
    return -output.log_softmax(dim=1).gather(1, targets[:, None]).mean()


def focal(output, targets):
    """A loss that begins with a sigmoid."""
    p = torch.sigmoid(output)
    return -(targets * (1 - p) ** 2 * p.log() + (1 - targets) * p**2 * (1 - p).log()).mean()


WRONG = {
    "softmax": (mlp(nn.Softmax(1)), CLASSES, None, "3"),
    "softmax, module": (mlp(nn.Softmax(1)), CLASSES, nn.CrossEntropyLoss(), "3"),
    "softmax, lambda": (mlp(nn.Softmax(1)), CLASSES, lambda o, t: 2 * F.cross_entropy(o, t), "3"),
    "softmax, by hand": (mlp(nn.Softmax(1)), CLASSES, by_hand, "3"),
    "softmax, function": (functional(lambda x: x.softmax(1)), CLASSES, None, "out"),
    "softmax, unnamed": (
        functional(lambda x: x.exp() / x.exp().sum(1, True)),
        CLASSES,
        None,
        "out",
    ),
    "sigmoid": (mlp(nn.Sigmoid()), CLASSES, None, "3"),
    "relu": (mlp(nn.ReLU()), CLASSES, None, "3"),
    "relu, clamp": (functional(lambda x: x.clamp(min=0)), CLASSES, None, "out"),
    "relu, reshaped": (functional(lambda x: F.relu(x).view(-1, 4)), CLASSES, None, "out"),
    "tanh": (mlp(nn.Tanh()), CLASSES, None, "3"),
    "sigmoid twice": (mlp(nn.Sigmoid()), YES_OR_NO, F.binary_cross_entropy_with_logits, "3"),
    "sigmoid twice, module": (mlp(nn.Sigmoid()), YES_OR_NO, nn.BCEWithLogitsLoss(), "3"),
    "sigmoid twice, focal": (mlp(nn.Sigmoid()), YES_OR_NO, focal, "3"),
    "nll of logits": (mlp(), CLASSES, F.nll_loss, "2"),
    "nll of probabilities": (mlp(nn.Softmax(1)), CLASSES, nn.NLLLoss(), "3"),
    "signs": (mlp(), NUMBERS.sign(), F.binary_cross_entropy_with_logits, "2"),
    "out of a sigmoid's reach": (mlp(nn.Sigmoid()), NUMBERS, None, "3"),
    "out of tanh's reach": (mlp(nn.Tanh()), 3 * NUMBERS, None, "3"),
    "out of a ReLU's reach": (mlp(nn.ReLU()), NUMBERS, F.l1_loss, "3"),
    "(N, 1) against (N,)": (mlp(outputs=1), NUMBERS[:, 0], F.mse_loss, "targets"),
    "(N,) against (N, 1)": (
        Using(lambda m, x: m.net(x).squeeze(1), net=mlp(outputs=1)),
        NUMBERS[:, :1],
        nn.MSELoss(),
        "targets",
    ),
}
RIGHT = {
    "logits": (mlp(), CLASSES, None),
    "log-probabilities": (mlp(nn.LogSoftmax(1)), CLASSES, F.nll_loss),
    "logarithm of probabilities": (functional(lambda x: x.softmax(1).log()), CLASSES, F.nll_loss),
    "log-softmax twice is once": (mlp(nn.LogSoftmax(1)), CLASSES, None),
    "probabilities": (mlp(nn.Sigmoid()), YES_OR_NO, F.binary_cross_entropy),
    "one sigmoid": (mlp(), YES_OR_NO, F.binary_cross_entropy_with_logits),
    "within a sigmoid's reach": (mlp(nn.Sigmoid()), YES_OR_NO, F.mse_loss),
    "within tanh's reach": (mlp(nn.Tanh()), NUMBERS.sign(), None),
    "within a ReLU's reach": (mlp(nn.ReLU()), NUMBERS.abs(), None),
    "clamped logits": (functional(lambda x: x.clamp(-1, 1)), CLASSES, None),
    "capped logits": (functional(lambda x: 30 * torch.tanh(x / 30)), CLASSES, None),
    "pooled after a ReLU": (
        Using(lambda m, x: F.relu(m.net(x)).reshape(len(x), 4, 4).mean(2), net=mlp(outputs=16)),
        CLASSES,
        None,
    ),
    "one number for all": (mlp(outputs=1), torch.tensor(0.5), lambda o, t: F.mse_loss(o.mean(), t)),
}


@pytest.mark.filterwarnings("ignore:Using a target size")
@pytest.mark.parametrize("case", WRONG)
def test_wrong_pairs(case):
    """Named at the last module, once, and nothing that follows from it is said beside it."""
    model, targets, loss, layer = WRONG[case]
    report = check_init(model, INPUTS, targets, loss)
    found = [f for f in report.findings if f.severity != "note"]
    assert [(f.code, f.layer) for f in found] == [("output-and-loss", layer)], report


@pytest.mark.parametrize("case", RIGHT)
def test_right_pairs(case):
    """What belongs together."""
    model, targets, loss = RIGHT[case]
    assert "output-and-loss" not in said(check_init(model, INPUTS, targets, loss))


@pytest.mark.parametrize(
    "case", ["softmax", "relu", "sigmoid twice", "nll of probabilities", "out of tanh's reach"]
)
def test_the_advice_takes_the_module_away(case):
    """Pasted, it leaves nothing to find."""
    model, targets, loss, _ = WRONG[case]
    model = nn.Sequential(*model)
    (finding,) = [
        f for f in check_init(model, INPUTS, targets, loss).findings if f.code == "output-and-loss"
    ]
    exec(finding.advice, {"model": model, "torch": torch})  # noqa: S102  the advice is tested
    assert "output-and-loss" not in said(check_init(model, INPUTS, targets, loss))


def test_no_finding_without_targets():
    """A projection of the outputs is no loss that wants anything."""
    assert not check_init(mlp(nn.Softmax(1)), INPUTS).findings


def test_many_classes():
    """A softmax of a thousand classes moves little: said under the softmax, not of a layer."""
    model = mlp(nn.Softmax(1), outputs=1000)
    (finding,) = check_init(model, INPUTS, labels(64, 1000)).findings
    assert (finding.code, finding.layer) == ("output-and-loss", "3")


def test_what_is_compared_is_seen():
    """In a loss of one's own, and in a model that takes the loss itself."""
    (seen,) = measure(mlp(nn.Sigmoid()), INPUTS, YES_OR_NO, nn.MSELoss()).comparisons
    assert (seen.loss, seen.ending, seen.shape) == ("mse_loss", "sigmoid", (64, 4))
    assert (seen.target_low, seen.target_high) == (0, 1)
    inside = Using(lambda m, x: {"loss": F.cross_entropy(m.net(x), CLASSES)}, net=mlp())
    (seen,) = measure(inside, INPUTS, loss=lambda output: output["loss"]).comparisons
    assert (seen.loss, seen.ending, seen.target_shape) == ("cross_entropy", None, (64,))


def test_a_loss_that_is_no_number():
    """One error; no layer is said to have never run."""
    report = check_init(mlp(), INPUTS, CLASSES, lambda o, t: F.cross_entropy(o, t) * float("nan"))
    assert [(f.code, f.severity) for f in report.findings] == [("non-finite", "error")]
    assert "never ran" not in str(report)

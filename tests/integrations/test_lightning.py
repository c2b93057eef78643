"""The callback for Lightning, in a real trainer."""

import copy
import pickle
import random
import threading
import warnings

import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

import initguide
from initguide.integrations import InitError, lightning_callback

pl = pytest.importorskip(
    "lightning.pytorch", reason="needs Lightning: install the group `integrations`"
)
# Theirs: about workers, deprecated parts of torch, and loggers.
pytestmark = [
    pytest.mark.filterwarnings(f"ignore::{kind}")
    for kind in ("FutureWarning", "DeprecationWarning", "UserWarning:lightning")
]

IMAGES = torch.randn(96, 20, generator=torch.Generator().manual_seed(1))
LABELS = torch.arange(96) % 5


class Module(pl.LightningModule):
    """A small classifier, with its layers in two places, that logs."""

    def __init__(self, times=1.0):
        super().__init__()
        torch.manual_seed(0)
        self.body = initguide.mlp([20, 32, 32])
        initguide.initialize(self.body, "he_normal", seed=0)
        self.head = nn.Linear(32, 5)
        self.body.fc1.weight.data.mul_(times)
        self.steps, self.losses = 0, []

    def training_step(self, batch, batch_idx):
        """Count the calls, too."""
        assert batch_idx == self.steps % 3
        self.steps += 1
        images, labels = batch
        loss = F.cross_entropy(self.head(F.relu(self.body(images))), labels)
        self.log("loss", loss)
        self.losses.append(loss.detach())  # as for the mean of an epoch
        return loss

    def configure_optimizers(self):
        """Plain gradient descent."""
        return torch.optim.SGD(self.parameters(), lr=0.01)


class Manual(Module):
    """Takes its steps itself, with optimizers of the trainer."""

    def __init__(self):
        super().__init__()
        self.automatic_optimization = False

    def training_step(self, batch):
        """Without a number of the batch."""
        optimizer = self.optimizers()
        optimizer.zero_grad()
        loss = self.head(F.relu(self.body(batch[0]))).square().mean()
        self.manual_backward(loss)
        optimizer.step()


def quiet_trainer(tmp_path, *callbacks, **settings):
    """A trainer of one epoch on a processor that prints nothing and keeps nothing."""
    usual = {"max_epochs": 1, "accelerator": "cpu", "logger": False, "enable_checkpointing": False}
    quiet = {"enable_progress_bar": False, "enable_model_summary": False}
    where = {"default_root_dir": tmp_path, "callbacks": list(callbacks)}
    return pl.Trainer(**(usual | quiet | where | settings))


def fit(module, tmp_path, *callbacks, labels=LABELS, **settings):
    """Train for one epoch of three batches; say with which loss the last one began."""
    torch.manual_seed(5)
    random.seed(5)
    data = DataLoader(TensorDataset(IMAGES, labels), batch_size=32, shuffle=True)
    trainer = quiet_trainer(tmp_path, *callbacks, **settings)
    trainer.fit(module, data)
    return trainer.callback_metrics


def test_a_healthy_module_trains_as_without(tmp_path):
    """The callback is silent, and the same numbers come out, to the last bit."""
    plain, watched, callback = Module(), Module(), lightning_callback(stop=True)
    before = fit(plain, tmp_path)
    after = fit(watched, tmp_path, callback)
    assert callback.report.ok
    assert callback.report.measurement.loss_name == "that of training_step"
    assert watched.steps == plain.steps == 3
    assert watched.losses == plain.losses
    assert len(plain.losses) == 3
    assert before["loss"] == after["loss"]
    for a, b in zip(plain.parameters(), watched.parameters(), strict=True):
        assert torch.equal(a, b)
    assert "log" not in vars(watched)


def test_stops_before_the_first_step(tmp_path):
    """The error carries the report, and no weight has moved."""
    module = Module(times=1000)
    before = copy.deepcopy(module.state_dict())
    callback = lightning_callback(stop=True)
    with pytest.raises(InitError, match="body") as caught:
        fit(module, tmp_path, callback)
    assert caught.value.report is not None
    assert any(finding.layer == "body.fc1" for finding in caught.value.report.findings)
    assert all(torch.equal(value, before[name]) for name, value in module.state_dict().items())


def test_warns_and_trains_on(tmp_path):
    """By default, it only warns."""
    module, callback = Module(times=1000), lightning_callback(advice=False)
    with pytest.warns(UserWarning, match=r"(?s)at fault.*body\.fc1"):
        fit(module, tmp_path, callback)
    assert module.steps == 3
    assert not callback.report.ok


def test_what_needs_its_trainer_is_not_checked(tmp_path):
    """Manual optimization cannot be looked at; it is said, and training goes on."""
    callback = lightning_callback(stop=True)
    with pytest.warns(UserWarning, match="the initialization was not checked"):
        fit(Manual(), tmp_path, callback)
    assert callback.report is None


def test_what_cannot_be_copied_is_not_checked(tmp_path):
    """Its step might change it, so it is said, and training goes on."""
    module, callback = Module(times=1000), lightning_callback(stop=True)
    module.lock = threading.Lock()
    with pytest.warns(UserWarning, match=r"not checked: RuntimeError: the module cannot be copied"):
        fit(module, tmp_path, callback)
    assert callback.report is None
    assert module.steps == len(module.losses) == 3


@pytest.mark.parametrize("targets", ["missing", "large"])
def test_targets_do_not_stop_training(tmp_path, targets):
    """Targets of odd sizes, or that are missing, are no inputs: a sound network is trained."""

    class Masked(Module):
        def training_step(self, batch):
            self.steps += 1
            answers = self.head(F.relu(self.body(batch[0])))
            return (answers - batch[1]).nan_to_num().square().mean()

    wanted = torch.randn(96, 5, generator=torch.Generator().manual_seed(2))
    wanted = wanted.where(wanted > 0, torch.nan) if targets == "missing" else 30 + 3 * wanted
    callback = lightning_callback(advice=False)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        fit(Masked(), tmp_path, callback, labels=wanted)
    assert not {"non-finite", "inputs"} & {finding.code for finding in callback.report.findings}


def test_goes_on_without_a_check(tmp_path):
    """What has been trained is not judged as if it had not."""
    callback, module = lightning_callback(stop=True), Module(times=1000)
    trainer = quiet_trainer(tmp_path, enable_checkpointing=True)
    data = DataLoader(TensorDataset(IMAGES, LABELS), batch_size=32)
    trainer.fit(module, data)
    trainer.save_checkpoint(tmp_path / "kept.ckpt")
    trainer = quiet_trainer(tmp_path, callback, max_epochs=2)
    trainer.fit(module, data, ckpt_path=tmp_path / "kept.ckpt")
    assert callback.report is None
    assert module.steps == 6


def test_travels_to_other_processes():
    """A callback can be pickled, with its settings."""
    callback = pickle.loads(pickle.dumps(lightning_callback(stop=True, seed=3)))  # noqa: S301
    assert isinstance(callback, pl.Callback)
    assert callback.settings == {"stop": True, "seed": 3, "advice": True}

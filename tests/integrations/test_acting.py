"""What is done about a report, with no library at hand."""

import pickle
import threading
import warnings
from collections import UserDict
from importlib import import_module
from types import SimpleNamespace

import pytest
import torch
from torch import nn
from torch.utils.data import IterableDataset

import initguide
from initguide.integrations import InitError, lightning_callback, trainer_callback
from initguide.integrations.acting import act, waits_for_others
from initguide.integrations.lightning import _apart, _Checks, _step
from initguide.integrations.transformers import _examples, _moved

IMAGES = torch.randn(20, 1, 28, 28, generator=torch.Generator().manual_seed(1))


def checking(scheme):
    """Check the lesson's network."""
    model = initguide.initialize(initguide.Net(), scheme, seed=0)
    return lambda: initguide.check_init(model, IMAGES, advice=False)


def test_acts():
    """Silent, a warning, or an error with the report."""
    assert act(checking("he_normal"), stop=True).ok
    with pytest.warns(UserWarning, match=r"(?s)at fault\nNet, 5 layers"):
        assert not act(checking("ones"), stop=False).ok
    with pytest.raises(InitError, match="training was not begun") as caught:
        act(checking("ones"), stop=True)
    assert not caught.value.report.ok


def test_an_error_travels_to_other_processes():
    """With its report, and the same message, as from a pool of processes."""
    error = InitError(checking("ones")())
    other = pickle.loads(pickle.dumps(error))  # noqa: S301
    assert str(other) == str(error)
    assert other.report.to_json() == error.report.to_json()
    assert other.report.layers[0].histograms == {}
    with pytest.raises(TypeError):  # a view, as before
        other.report.layers[0].histograms["outputs"] = None


def test_what_cannot_be_checked():
    """One line, and no error: something else may be at fault than the network."""

    def check():
        raise KeyError("gone")

    with pytest.warns(UserWarning, match=r"^the initialization was not checked: KeyError: 'gone'$"):
        assert act(check, stop=True) is None


@pytest.mark.parametrize(
    ("make", "needed", "install"),
    [
        (lightning_callback, "lightning", "pip install lightning"),
        (trainer_callback, "transformers", "pip install transformers accelerate"),
    ],
)
def test_a_library_that_is_not_there(monkeypatch, make, needed, install):
    """What is missing is named, with how to get it."""

    def without(name, *rest):
        if name.partition(".")[0] == needed:
            raise ImportError(name)
        return import_module(name, *rest)

    monkeypatch.setattr("initguide.integrations.acting.import_module", without)
    with pytest.raises(ImportError, match=f"this needs {needed}.*: {install}"):
        make()


def test_passes_that_wait_for_other_processes():
    """Shared statistics and sharded weights; plain networks do not wait."""
    assert not waits_for_others(initguide.Net())
    assert waits_for_others(nn.Sequential(nn.Linear(2, 2), nn.SyncBatchNorm(2)))
    sharded = nn.Linear(2, 2)
    sharded.weight.ds_id = 0
    assert waits_for_others(sharded)


class _Steps:
    """Training steps as Lightning takes them, with all kinds of arguments."""

    def named(self, batch, batch_idx):
        return batch, batch_idx

    def other(self, batch, i):
        return batch, i

    def more(self, batch, batch_idx, dataloader_idx=0):
        return batch, batch_idx, dataloader_idx

    def starred(self, *args):
        return args

    def alone(self, batch):
        return (batch,)

    def keywords(self, batch, **kwargs):
        return batch, *kwargs

    def keyword_only(self, batch, *, scale=2):
        return batch, scale


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("named", ("b", 7)),
        ("other", ("b", 7)),
        ("more", ("b", 7, 0)),
        ("starred", ("b", 7)),
        ("alone", ("b",)),
        ("keywords", ("b",)),
        ("keyword_only", ("b", 2)),
    ],
)
def test_a_step_gets_what_lightning_gives_it(name, expected):
    """The batch, and its number where there is a place for it."""
    assert _step(SimpleNamespace(training_step=getattr(_Steps(), name)), "b", 7) == expected


class _Module(nn.Module):
    """As Lightning's, as far as the callback needs it."""

    def __init__(self):
        super().__init__()
        self.net, self.losses = initguide.Net(), []
        self.trainer = threading.Lock()  # cannot be copied

    def log(self, *_):
        pytest.fail("something was logged")

    def log_dict(self, *_):
        pytest.fail("something was logged")

    def training_step(self, batch):
        loss = self.net(batch).square().mean()
        self.log("loss", loss)
        self.losses.append(loss)
        return loss


def test_a_module_is_checked_apart_from_its_trainer():
    """A copy logs nothing; the module, what it gathers and its trainer stay."""
    module, callback = _Module(), _Checks(stop=False, seed=0, advice=False)
    trainer = SimpleNamespace(global_step=0, is_global_zero=True, world_size=1)
    state = module.trainer
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        callback.on_train_batch_start(trainer, module, IMAGES, 0)
    assert callback.report is not None
    assert module.losses == []
    assert module.trainer is state
    assert "log" not in vars(module)
    module.lock = threading.Lock()
    with pytest.raises(RuntimeError, match=r"cannot be copied \(TypeError: .*lock.*; call "):
        _apart(module)
    assert module.trainer is state


class _Stream(IterableDataset):
    """Numbers, one after the other; torch's class has a `__getitem__`, and this one a length."""

    def __len__(self):
        return 10

    def __iter__(self):
        return iter(range(10))


@pytest.mark.parametrize(("data", "expected"), [(range(10), [0, 3, 6]), (_Stream(), [0, 1, 2])])
def test_examples_of_data_and_of_streams(data, expected):
    """From all over data that can be asked for any; the first ones of a stream."""
    assert _examples(SimpleNamespace(dataset=data, collate_fn=list), 3) == expected


def test_a_stream_that_is_used_up():
    """It is not touched: what was looked at would be missing in training."""
    stream = (number for number in range(10))
    with pytest.raises(RuntimeError, match=r"can be gone over once.*; call initguide\.check_init"):
        _examples(SimpleNamespace(dataset=stream, collate_fn=list), 3)
    assert list(stream) == list(range(10))


def test_what_a_collator_gives_is_moved():
    """Tensors, in any mapping; the rest stays."""
    batch = UserDict(ids=torch.ones(2), inner={"mask": torch.ones(1)}, words="as they are")
    moved = _moved(batch, "meta")
    assert type(moved) is dict
    assert moved["ids"].is_meta
    assert moved["inner"]["mask"].is_meta
    assert moved["words"] == "as they are"

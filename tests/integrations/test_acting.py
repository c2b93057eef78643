"""What is done about a report, with no library at hand."""

from importlib import import_module

import pytest
import torch
from torch import nn

import initguide
from initguide.integrations import InitError, lightning_callback, trainer_callback
from initguide.integrations.acting import act, waits_for_others

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

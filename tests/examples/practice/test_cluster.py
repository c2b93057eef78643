"""What page 10 of "In practice" concludes, at reduced size: one sweep, made in several ways."""

import contextlib
import os
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

import initguide

ROOT = Path(__file__).parents[3]
PAGE = ROOT / "examples" / "practice" / "plot_10_a_sweep_on_a_cluster.py"
MODULES = {"subprocess": subprocess, "sys": sys}  # that the page has imported
GRID = {"scheme": ["general_rule", "he_normal"], "hidden_1": [16, 64]}


@pytest.fixture(scope="module")
def few(sample):
    """Return few images."""
    return sample.subset(train=1000, valid=200, test=100)


@pytest.fixture(scope="module")
def expected(few):
    """Return the accuracies, computed on one core."""
    return initguide.sweep(GRID, few, seeds=4, workers=1).array()


@pytest.fixture
def elsewhere(monkeypatch):
    """Let processes that a test starts find this copy of the package."""
    monkeypatch.setenv("PYTHONPATH", str(ROOT))


def test_all_cores_give_the_same_numbers(few, expected):
    """To the last bit."""
    assert np.array_equal(initguide.sweep(GRID, few, seeds=4).array(), expected)


@pytest.mark.slow
@pytest.mark.usefixtures("elsewhere")
def test_a_cluster_gives_the_same_numbers(few, expected):
    """Workers that the page starts by a command; all have ended afterwards."""
    distributed = pytest.importorskip("distributed")
    found, workers = [], {}

    def timed(_way, executor):
        """Do what the page times, with fewer images."""
        workers.update(distributed.default_client().run(os.getpid))
        found.append(initguide.sweep(GRID, few, seeds=4, executor=executor).array())

    exec(_clusters_part(), {**MODULES, "timed": timed})  # noqa: S102
    assert len(workers) == 2
    assert os.getpid() not in workers.values()
    assert len(found) == 2
    assert all(np.array_equal(accuracies, expected) for accuracies in found)
    for process in workers.values():
        with pytest.raises(ProcessLookupError):
            os.kill(process, 0)


def test_without_dask_the_page_says_what_to_install(monkeypatch, capsys):
    """No traceback: that part is left out."""
    monkeypatch.setitem(sys.modules, "dask.distributed", None)  # so that its import fails
    exec(_clusters_part(), {**MODULES})  # noqa: S102
    assert 'pip install "initguide[dask]"' in capsys.readouterr().out


def _clusters_part():
    """Return the code of the page that starts a cluster and uses it."""
    begin = "try:\n    from dask"
    _, found, rest = PAGE.read_text(encoding="utf-8").partition(begin)
    inside, ended, _ = rest.partition("# %%")
    assert found
    assert ended
    return begin + inside


@pytest.mark.slow
@pytest.mark.usefixtures("elsewhere")
def test_killed_and_resumed(few, expected, tmp_path):
    """A process killed half-way loses what was in progress and nothing else."""
    store = tmp_path / "runs.sqlite"
    script = f"""
import initguide

data = initguide.fashion_mnist(source="sample").subset(train=1000, valid=200, test=100)
initguide.sweep({GRID}, data, seeds=4, workers=1, store={str(store)!r})
"""

    def stored():
        with contextlib.suppress(ValueError, OSError):
            return len(initguide.Sweep.load(store).runs)
        return 0

    process = subprocess.Popen([sys.executable, "-c", script])
    while stored() < 2 and process.poll() is None:
        time.sleep(0.005)
    process.kill()
    process.wait()
    done = stored()
    assert done >= 2
    resumed = initguide.sweep(GRID, few, seeds=4, store=store)
    assert resumed.remark == f"{done} of the 16 runs were found in {store}."
    assert np.array_equal(resumed.array(), expected)
    again = initguide.sweep(GRID, few, seeds=4, store=store)
    assert again.remark == f"16 of the 16 runs were found in {store}."
    more = initguide.sweep(GRID, few, seeds=5, store=store)
    assert more.remark == f"16 of the 20 runs were found in {store}."
    with pytest.raises(ValueError, match="epochs is 2 there and 3 here"):
        initguide.sweep(GRID, few, seeds=5, epochs=3, store=store)

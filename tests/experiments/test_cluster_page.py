"""The code of the page "Running it on your cluster", executed as it stands there.

Where the deployer's cluster is not to be had, a local one stands in for it, and what the page gives
to its class is held against the signature of the real one, if that is installed.
"""

import importlib
import inspect
import re
import sys
import textwrap
from pathlib import Path
from types import ModuleType

import pytest

import initguide

# Another cluster on this machine may have the port of the dashboard; then it takes another one.
pytestmark = pytest.mark.filterwarnings("ignore:\\s*Port 8787 is already in use")
PAGE = Path(__file__).parents[2] / "docs" / "cluster.rst"
if not PAGE.exists():
    pytest.skip("the package is installed without its repository", allow_module_level=True)
TEXT = PAGE.read_text(encoding="utf-8")
BLOCKS = [
    textwrap.dedent(block)
    for block in re.findall(r"\.\. code-block:: python\n\n((?:   .*\n|\n)+)", TEXT)
]
REAL = {
    "SLURMCluster": "dask_jobqueue",
    "KubeCluster": "dask_kubernetes.operator",
    "SSHCluster": "distributed",
}


def _real(name):
    """The deployer's class or function, if it is installed."""
    try:
        return getattr(importlib.import_module(REAL[name]), name)
    except ImportError:
        return None


def _names(function):
    """Names of all arguments that a class of a deployer takes, its bases and jobs included."""
    if not inspect.isclass(function):
        return set(inspect.signature(function).parameters)
    classes = [*function.__mro__]
    if (job := getattr(function, "job_cls", None)) is not None:
        classes += job.__mro__
    return {name for c in classes[:-1] for name in inspect.signature(c.__init__).parameters}


def test_blocks_of_the_page():
    """One for the sweep, one for this machine, one for each deployer."""
    assert len(BLOCKS) == 5
    for name in ("LocalCluster", *REAL):
        assert sum(f"{name}(" in block for block in BLOCKS) == 1


@pytest.fixture
def page(tmp_path, monkeypatch, sample):
    """Names that the first block defines, with data that are quick."""
    pytest.importorskip("distributed")
    small = sample.subset(200, 100, 100)
    monkeypatch.setattr(initguide, "fashion_mnist", lambda: small)
    monkeypatch.chdir(tmp_path)
    names = {"__name__": "__main__"}
    exec(compile(BLOCKS[0], "cluster.rst", "exec"), names)  # noqa: S102  the page's code
    return names


@pytest.mark.slow
def test_on_this_machine(page, context, capsys):  # noqa: ARG001  workers are forked
    """Two worker processes, as the page has them."""
    import dask

    with dask.config.set({"distributed.worker.multiprocessing-method": "forkserver"}):
        exec(compile(BLOCKS[1], "cluster.rst", "exec"), page)  # noqa: S102  the page's code
    assert "he_normal" in capsys.readouterr().out
    assert len(initguide.Sweep.load("runs.sqlite").runs) == 20


@pytest.mark.parametrize("name", REAL)
def test_with_a_deployer(page, monkeypatch, capsys, name):
    """The page's own lines, with a local cluster in place of the deployer's."""
    import distributed

    real, given = _real(name), {}

    class StandIn(distributed.LocalCluster):
        def __init__(self, hosts=None, **options):
            given.update(options, hosts=hosts)
            super().__init__(
                n_workers=1, threads_per_worker=1, processes=False, dashboard_address=None
            )

        def adapt(self, **options):
            given["adapt"] = options

    home = REAL[name]
    if home == "distributed":
        monkeypatch.setattr("dask.distributed.SSHCluster", StandIn)
    else:
        for module in {home.partition(".")[0], home}:
            monkeypatch.setitem(sys.modules, module, ModuleType(module))
        monkeypatch.setattr(sys.modules[home], name, StandIn, raising=False)
    (block,) = [block for block in BLOCKS if f"{name}(" in block]
    exec(compile(block, "cluster.rst", "exec"), page)  # noqa: S102  the page's code
    assert "he_normal" in capsys.readouterr().out
    assert len(initguide.Sweep.load("runs.sqlite").runs) == 20
    if real is None:
        return
    adapt, hosts = given.pop("adapt", {}), given.pop("hosts")
    assert set(given) <= _names(real)
    if hosts is None:
        assert set(adapt) <= set(inspect.signature(real.adapt).parameters)


def test_a_job_script(monkeypatch):
    """What SLURM gets to see, where the deployer is installed: workers outside of any job step."""
    jobqueue = pytest.importorskip("dask_jobqueue")
    (block,) = [block for block in BLOCKS if "SLURMCluster(" in block]
    scripts = []

    class Written(jobqueue.SLURMCluster):
        def __enter__(self):
            scripts.append(self.job_script())
            raise KeyboardInterrupt

    monkeypatch.setattr(jobqueue, "SLURMCluster", Written)
    with pytest.raises(KeyboardInterrupt):
        exec(compile(block, "cluster.rst", "exec"), {"__name__": "__main__"})  # noqa: S102
    (script,) = scripts
    for words in (
        "-p normal",
        "--lifetime 55m",
        "--nthreads 1",
    ):
        assert words in script
    assert "srun" not in script
    assert "--nworkers" not in script  # `adapt` loses sight of jobs with several workers

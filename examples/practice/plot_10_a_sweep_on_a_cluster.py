"""
10. A sweep on a cluster
========================

A comparison that is worth something takes many runs, and many runs take more than one core, and
patience. This page makes one sweep on one core, on all cores and on a cluster of worker processes,
with the same call and the same numbers. Then it kills a sweep half-way, and goes on from there.

.. admonition:: What you will learn

   - how to spread runs over cores, processes and machines, by one argument
   - why the numbers do not depend on where they were computed
   - how to start a Dask cluster, here and on several machines
   - how to lose no run when a process is killed

.. meta::
   :keywords: Dask, cluster, parallel, distributed, sweep, grid search, hyperparameter search,
      resume, checkpoint, SQLite, crash, multiprocessing

.. index:: ! cluster, ! Dask, ! resume a sweep
"""

# %%
# The sweep
# ---------
# Two schemes, two widths of the first hidden layer, four learning rates, two seeds: a small grid,
# but :func:`initguide.sweep` takes any. The first argument names what varies, and each combination
# is trained with each seed. We use a part of the images, so that the page is quick.

import contextlib
import logging
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

import initguide
from initguide import plots

grid = {
    "scheme": ["general_rule", "he_normal"],
    "hidden_1": [64, 256],
    "learning_rate": [3e-4, 1e-3, 3e-3, 1e-2],
}
data = initguide.fashion_mnist()
count = min(12_000, len(data.train))
data = data.subset(train=count, valid=1000, test=1000)
results = {}


def timed(way, **where):
    """Make the sweep in one of several ways, and say how long it took."""
    start = time.perf_counter()
    results[way] = initguide.sweep(grid, data, seeds=2, **where)
    seconds = time.perf_counter() - start
    print(f"{way}: {len(results[way].runs)} runs in {seconds:.1f} s")


# %%
# One core, all cores
# -------------------
# ``workers=1`` keeps to one core. Without it, the runs are spread over all cores of the machine.
# (How each core trains its networks is chosen by :func:`initguide.training.plan`.) The first
# training in a process has to load or compile more than the others, which shall not count, so we
# train one network beforehand.

initguide.sweep({"seed": [0]}, data)
timed("one core", workers=1)
timed("all cores")

# %%
# A cluster
# ---------
# Threads end where the machine does. For more machines than one, somebody has to hand out the runs,
# and `Dask <https://docs.dask.org>`__ does: a *scheduler* knows which runs there are, *workers* on
# any number of machines do them, a few at a time, and a *client* is our end of it. On one machine,
# for trying things out, the cluster below is as good as any. Its scheduler lives in this process,
# and each of its workers is a process of its own, started by the command that one would also type
# on another machine:

try:
    from dask.distributed import Client, LocalCluster
except ImportError:
    Client = None
logging.getLogger("distributed").setLevel("ERROR")  # it tells of each connection


@contextlib.contextmanager
def dask_cluster(workers, folder):
    """A client of a local Dask cluster, whose workers are separate processes."""
    with (
        LocalCluster(
            n_workers=0,
            processes=False,
            protocol="tcp",
            host="127.0.0.1",
            dashboard_address="127.0.0.1:0",
        ) as cluster,
        Client(cluster) as client,
    ):
        # A nanny would start a worker again that has died; here, nobody has to.
        command = (
            f"-m dask worker {cluster.scheduler_address} --nthreads 1 --no-nanny"
        )
        quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        processes = [
            subprocess.Popen(
                [sys.executable, *command.split()], cwd=folder, **quiet
            )
            for _ in range(workers)
        ]
        try:
            client.wait_for_workers(workers, timeout=120)
            yield client
        finally:
            for process in processes:
                process.terminate()
                process.wait()


folder = tempfile.TemporaryDirectory()
if Client is None:
    print('Left out, for Dask is missing: pip install "initguide[dask]"')
else:
    with dask_cluster(2, folder.name) as client:
        timed("Dask, first time", executor=client.get_executor())
        timed("Dask, once more", executor=client.get_executor())

# %%
# Only one argument has changed, ``executor=``. It takes any ``concurrent.futures.Executor``, and
# Dask's client gives one. The first time, each worker had to load torch and the images. It loads
# the images once, by itself: what travels with a run is its settings. So the model and the schemes
# have to be something that a worker can import, such as the names above, or functions in a module
# of yours. The second time nothing had to be loaded, and the time is that of the runs and of
# handing them out. On one machine there is little reason for a cluster, which has to make up for
# its start first. It pays where there are more.
#
# On a real cluster, you start a scheduler on one machine and workers on the others. Each needs the
# same versions of Python, torch and initguide:
#
# .. code-block:: console
#
#    $ dask scheduler                                            # prints its address
#    $ dask worker tcp://10.0.0.1:8786 --nworkers 8 --nthreads 1     # on each machine with 8 cores
#
# And your script says where the scheduler is, and nothing else:
#
# .. code-block:: python
#
#    from dask.distributed import Client
#
#    with Client("tcp://10.0.0.1:8786") as client:
#        result = initguide.sweep(grid, data, executor=client.get_executor())
#
# On Linux, Dask has its workers give memory back as soon as it is free, which can double the time
# of a training by PyTorch's steps; the page :ref:`speed` has the numbers, and the setting that
# spares you this.
#
# ``Client()`` without an address starts a scheduler and workers on this machine. They are started
# by importing your script once more, so there, what starts them must stand under
# ``if __name__ == "__main__":``. Our cluster above does not import this page, and can do without.
#
# The same numbers
# ----------------
# How far are the results apart, between the first way and each of the others?

result = results["one core"]
for way, other in results.items():
    difference = np.abs(other.array() - result.array()).max()
    print(f"{way}: largest difference {difference:g}")

fig, ax = plots.subplots()
for scheme, widths in zip(
    grid["scheme"], 100 * result.array().mean(-1), strict=True
):
    for width, line, means in zip(
        grid["hidden_1"], (":", "-"), widths, strict=True
    ):
        label, color = f"{scheme}, {width} units", plots.color_of(scheme)
        ax.plot(grid["learning_rate"], means, f"o{line}", color=color, label=label)
ax.set(
    title="One sweep, made in several ways",
    xlabel="learning rate (logarithmic)",
    ylabel="validation accuracy, %",
)
plots.ticks_at(ax.xaxis, grid["learning_rate"])
ax.legend()
plots.describe(
    ax,
    "Validation accuracy against the learning rate for two schemes and two widths, the same in "
    f"each way. The highest mean is {100 * result.best().mean:.1f} %.",
)

# %%
# They are the same numbers, not similar ones, so one figure serves for all ways. Each run draws all
# that is random from its own seed, and computes on one thread, so that its sums are taken in the
# same order wherever it is done. (On another *kind* of processor, with another version of torch, or
# with another C compiler or none, sums may be taken in another order, and the last digits differ.)
# So the cluster is no part of the experiment.
#
# Killed half-way
# ---------------
# A sweep of hours ends early sooner or later: the machine is restarted, the time on the cluster is
# up, somebody needs the memory. With ``store="runs.sqlite"``, each run is written to a file as soon
# as it ends. We put the same sweep into a script of its own, which a process of its own executes:

store = Path(folder.name) / "runs.sqlite"
script = f"""
import initguide

data = initguide.fashion_mnist(source={"sample" if data.is_sample else "auto"!r})
data = data.subset(train={count}, valid=1000, test=1000)
initguide.sweep({grid}, data, seeds=2, workers=1, store={str(store)!r})
"""


def stored():
    """How many runs the file holds so far."""
    with contextlib.suppress(ValueError, OSError):  # it is not there yet
        return len(initguide.Sweep.load(store).runs)
    return 0


process = subprocess.Popen([sys.executable, "-c", script])
half = len(result.runs) // 2
while stored() < half and process.poll() is None:
    time.sleep(0.01)
process.kill()  # SIGKILL: it cannot say goodbye
process.wait()
print(
    f"{stored()} of {len(result.runs)} runs are in {store.name}; exit status",
    process.returncode,
)

# %%
# On Linux and macOS, an exit status of −9 says that a process was killed by signal 9, SIGKILL. That
# is the signal that no process can catch: it has no time to save anything, and needs none, because
# what had ended was saved already. The file is an ordinary SQLite database, of which
# :meth:`Sweep.load <initguide.experiments.Sweep.load>` makes a table at any time, also while it is
# being written. To go on, make the same call:

resumed = initguide.sweep(grid, data, seeds=2, store=store)
print(resumed.remark.replace(str(store), store.name))
difference = np.abs(resumed.array() - result.array()).max()
print(f"resumed: largest difference {difference:g}")
folder.cleanup()

# %%
# The call looks up what is there and does the rest, this time on all cores. Nothing is done twice,
# and in the end nobody can tell from the numbers that there was an accident.
#
# The same call with more seeds, or more values in the grid, does only what is new. With other
# settings, say other epochs, it refuses and says what differs, so that no table ever mixes two
# experiments. From a terminal, and with all images, it is one command:
#
# .. code-block:: console
#
#    $ initguide sweep --grid scheme=general_rule,he_normal --grid hidden_1=64,256 \
#        --grid learning_rate=3e-4,1e-3,3e-3,1e-2 --seeds 2 --store runs.sqlite
#
# .. admonition:: Try it
#
#    Give the finished sweep a third seed. How many runs are found? And what does it say to three
#    epochs instead of two?
#
#    .. dropdown:: Solution
#
#       .. code-block:: python
#
#          with tempfile.TemporaryDirectory() as place:
#              path = Path(place) / "runs.sqlite"
#              few = {"scheme": ["general_rule", "he_normal"]}
#              initguide.sweep(few, data, seeds=2, store=path)
#              print(initguide.sweep(few, data, seeds=3, store=path).remark)
#              try:
#                  initguide.sweep(few, data, seeds=3, epochs=3, store=path)
#              except ValueError as error:
#                  print(error)
#          # What was there is found: all but the new seed. Another number of epochs is refused.
#
# What we learnt
# --------------
# - One call scales from one core to a cluster: ``workers=`` for the cores of one machine,
#   ``executor=`` for the rest.
# - The numbers are the same wherever they are computed.
# - A Dask cluster takes a scheduler and some workers. On one machine, threads do without its start.
# - With ``store=``, a killed sweep goes on where it was, and nothing that had ended is lost.
#
# How many seeds such a sweep needs is worked out in :doc:`plot_8_how_many_seeds`. What else a store
# can do is told in :mod:`initguide.experiments`.

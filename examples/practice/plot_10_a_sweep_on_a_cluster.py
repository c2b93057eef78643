"""
10. A sweep on a cluster
========================

A comparison that is worth something takes many runs, and many runs take more than one core, and
patience. This page makes one sweep on one core, on all cores and on a cluster of worker processes,
with the same call and the same numbers. Then it kills a sweep half-way, and goes on from there.

.. index:: ! cluster, ! Dask, ! resume a sweep

.. admonition:: What you will learn

   - how to spread runs over cores, processes and machines, by one argument
   - why the numbers do not depend on where they were computed
   - how to start a Dask cluster, here and on several machines
   - how to lose no run when a process is killed

.. meta::
   :keywords: Dask, cluster, parallel, distributed, sweep, grid search, hyperparameter search,
      resume, checkpoint, SQLite, crash, multiprocessing
"""

# %%
# The sweep
# ---------
# Two schemes, two widths of the first hidden layer, four learning rates: the first argument of
# :func:`initguide.sweep` names what varies, and each combination is trained with each seed. We use
# a part of the images, so that the page is quick.

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
data = data.subset(train=min(12_000, len(data.train)), valid=1000, test=1000)
results, seconds = {}, {}


def timed(way, **where):
    """Make the sweep in one of several ways, and say how long it took."""
    start = time.perf_counter()
    results[way] = initguide.sweep(grid, data, seeds=2, **where)
    seconds[way] = time.perf_counter() - start
    print(f"{way}: {len(results[way].runs)} runs in {seconds[way]:.1f} s")


# %%
# One core, all cores
# -------------------
# ``workers=1`` keeps to one core. Without it, the runs are spread over all cores of the machine.

initguide.sweep({"seed": [0]}, data)  # the first loads and compiles more
timed("one core", workers=1)
timed("all cores")

# %%
# A cluster
# ---------
# Threads end where the machine does. To hand out runs to several machines there is
# `Dask <https://docs.dask.org>`__: a *scheduler* knows which runs there are, *workers* on any
# number of machines do them, and a *client* is our end of it. To try it out, one machine will do.
# The scheduler below lives in this process, and each worker is a process of its own, started by
# the command that one would type on another machine:

logging.getLogger("distributed").setLevel("ERROR")  # it tells of each connection
try:
    from dask.distributed import Client, LocalCluster
except ImportError:
    print('Left out, for Dask is missing: pip install "initguide[dask]"')
else:
    cluster = LocalCluster(
        n_workers=0, processes=False, protocol="tcp", dashboard_address=":0"
    )
    worker = [sys.executable, "-m", "dask", "worker", cluster.scheduler_address]
    worker += ["--nthreads", "1", "--no-nanny", "--death-timeout", "60"]
    quiet = dict.fromkeys(["stdout", "stderr"], subprocess.DEVNULL)
    with (
        subprocess.Popen(worker, **quiet),
        subprocess.Popen(worker, **quiet),
        cluster,  # when it closes, the workers end, too
        Client(cluster) as client,
    ):
        client.wait_for_workers(2, timeout=120)
        timed("Dask, first time", executor=client.get_executor())
        timed("Dask, once more", executor=client.get_executor())

# %%
# Only one argument has changed, ``executor=``. It takes any ``concurrent.futures.Executor``, and
# Dask's client gives one. The first time, each worker had to load torch and, by itself, the images:
# what travels with a run is its settings. So the model and the schemes have to be something that a
# worker can import, such as the names above, or functions in a module of yours. The second time
# nothing had to be loaded.
#
# With several machines, you start a scheduler on one and workers on the others, with the same
# versions of Python, torch and initguide:
#
# .. code-block:: console
#
#    $ dask scheduler                                            # prints its address
#    $ dask worker tcp://10.0.0.1:8786 --nworkers 8 --nthreads 1     # on each machine with 8 cores
#
# In your script ``Client("tcp://10.0.0.1:8786")`` says where the scheduler is, and nothing else
# changes. (``Client()`` without an address starts workers on this machine, by importing your script
# once more: what starts them must then stand under ``if __name__ == "__main__":``. What a cluster
# costs in time, and a setting that spares workers on Linux some of it, is told in :ref:`speed`.)
#
# The same numbers
# ----------------
# How far apart are the results of the first way and of each of the others?

result = results["one core"]
for way, other in results.items():
    print(way, np.abs(other.array() - result.array()).max())
fig, ax = plots.subplots()
means = 100 * result.array().mean(-1)  # (schemes, widths, learning rates)
lines = ax.plot(grid["learning_rate"], means.reshape(4, -1).T, "o-")
names = [f"{s}, {w} units" for s in grid["scheme"] for w in grid["hidden_1"]]
ax.legend(lines, names)
ax.set(xlabel="learning rate (logarithmic)", ylabel="validation accuracy, %")
ax.set_title("One sweep, made in several ways")
plots.ticks_at(ax.xaxis, grid["learning_rate"])
best = grid["learning_rate"][means.max((0, 1)).argmax()]
plots.describe(
    ax,
    "Validation accuracy over the learning rate, a line for each scheme and width, means of two "
    f"seeds: up to {means.max():.1f} %, at a rate of {best:g}.",
)

# %%

arrays = [other.array() for other in results.values()]
same = all(np.array_equal(a, arrays[0], equal_nan=True) for a in arrays)
initguide.says(
    same,
    "The same numbers, not similar ones: so one figure serves for all {ways} ways.",
    "Not the same numbers: the figure shows those of one core.",
    ways=len(results),
)

# %%
# Each point is the mean of two seeds. Each run draws all that is random from its own seed, and
# computes on one thread, so that its sums are taken in the same order wherever it is done. (On
# another *kind* of processor, or with another version of torch, sums may be taken in another order,
# and the last digits differ.)
#
# Killed half-way
# ---------------
# A sweep of hours ends early sooner or later: the machine is restarted, the time on the cluster is
# up, somebody needs the memory. With ``store="runs.sqlite"``, each run is written to a file as soon
# as it ends. We put the same sweep into a script of its own, which a process of its own executes:

folder = tempfile.TemporaryDirectory()
store = Path(folder.name) / "runs.sqlite"
script = f"""
import initguide

data = initguide.fashion_mnist(source={"sample" if data.is_sample else "auto"!r})
data = data.subset(train={len(data.train)}, valid=1000, test=1000)
initguide.sweep({grid}, data, seeds=2, workers=1, store={str(store)!r})
"""
process = subprocess.Popen([sys.executable, "-c", script])
done = 0
while done < len(result.runs) // 2 and process.poll() is None:
    time.sleep(0.01)
    with contextlib.suppress(ValueError, OSError):  # the file is not there yet
        done = len(initguide.Sweep.load(store).runs)
process.kill()  # SIGKILL: it cannot say goodbye
print("Exit status:", process.wait())
kept = len(initguide.Sweep.load(store).runs)
print(f"{kept} of {len(result.runs)} are stored")

# %%
# On Linux and macOS, an exit status of −9 says: killed by signal 9, which no process can catch. So
# it has no time to save anything, and needs none, if what had ended was saved already. The file is
# an ordinary SQLite database, of which :meth:`Sweep.load <initguide.experiments.Sweep.load>`
# makes a table at any time, also while it is being written. To go on, make the same call:

resumed = initguide.sweep(grid, data, seeds=2, store=store)
print(resumed.remark.replace(str(store), store.name))
folder.cleanup()

# %%
# The call looks up what is there and does the rest, this time on all cores. With more seeds or
# values it does only what is new; with other settings it refuses and says what differs, so that no
# table mixes two experiments. (:doc:`initguide sweep </api/cli>` does the same.)
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
#
# What we learnt
# --------------

ways = "all cores", "Dask, first time", "Dask, once more"
cores, first, again = map(seconds.get, ways)
initguide.bullets(
    initguide.says(
        "Dask, once more" in results,
        "One call made the sweep on one core, on all cores and on a cluster: ``workers=`` is for "
        "the cores of one machine, ``executor=`` for the rest.",
        "One call made the sweep on one core and on all cores, by ``workers=``. Dask was missing; "
        "with it, ``executor=`` is for other machines.",
    ),
    initguide.says(
        same,
        "The numbers did not depend on which processes of this machine computed them.",
        "The numbers depended on which processes computed them, which should not be.",
    ),
    initguide.says(
        None if first is None else cores < min(first, again),
        "On this one machine there was no reason for a cluster: all cores took {cores:.0f} s, its "
        "two workers {first:.0f} s at first, and {again:.0f} s when they had loaded everything.",
        "A cluster has to make up for its start. Here all cores took {cores:.0f} s, and its two "
        "workers {first:.0f} s at first, {again:.0f} s when they had loaded everything.",
        "Whether a cluster pays on one machine was not measured here.",
        cores=cores,
        first=first or 0,
        again=again or 0,
    ),
    initguide.says(
        resumed.remark.startswith(f"{kept} of")
        and np.array_equal(resumed.array(), result.array(), equal_nan=True),
        "With ``store=``, the killed sweep went on from its {kept} finished runs, and nobody can "
        "tell from the numbers that there was an accident.",
        "With ``store=``, the killed sweep did not go on as it should: not all of its {kept} "
        "finished runs were found, or the numbers are others.",
        kept=kept,
    ),
)

# %%
# How many seeds such a sweep needs is worked out in :doc:`plot_8_how_many_seeds`. What else a store
# can do is told in :mod:`initguide.experiments`.

"""Keep finished runs in one SQLite file: nothing that is done is lost, nothing is done twice.

A store is an ordinary SQLite 3 file, readable by any tool that reads those. Its table ``runs`` has
a row for each finished run:

==============================  ==================================================================
column                          what it holds
==============================  ==================================================================
key                             SHA-256 of the settings and data that determine the run, whatever it
                                is called; a run that has been given two names has a row for each,
                                and the name counts into the key of the second
label, seed                     what the run is called in tables, and its seed
scheme, scale, model, epochs,   the settings that every run has; those that only a comparison or
batch_size, learning_rate,      only a sweep has are empty elsewhere
optimizer, device
settings                        all settings of the run, as JSON
valid_loss, valid_accuracy,     as in `initguide.training.Run`; empty if the run diverged
test_accuracy
diverged_at                     the mini-batch whose loss was not finite; empty if there was none
seconds                         wall-clock time of the run
train_losses                    the loss of each mini-batch: a blob of little-endian float32
error                           why the run failed; empty if it did not
finished                        when it ended, UTC
trainer, rounding               who trained it, and how the processor rounds, as in
                                `initguide.training.Run`
checksum                        SHA-256 of all other columns
==============================  ==================================================================

The table ``about`` has what the runs have in common, one line per setting, as JSON, and a line
``checksum`` of all others. The table ``claims`` says which runs are in progress, and in which
process.

For instance, with the program sqlite3:

.. code-block:: sql

   SELECT scheme, learning_rate, count(*), avg(valid_accuracy) FROM runs GROUP BY 1, 2;

What tells runs apart: their settings, the content of the data, and all code of one's own that a
run can reach. That is functions, with the global variables they name, what they close over, their
defaults and attributes; classes, with their bases and methods; and modules that they import. An
edited constant makes another run; a comment, or another folder, does not. Code of libraries counts
by their names and versions. What cannot be seen through is refused with a sentence: locks, open
files, generators, libraries of C, code that is made from text. Not followed is what a run reads
from files, the environment or the clock. A store takes runs of one version of this package and of
torch; stores of an earlier file format can be read.

Which machine a run comes from: two processors round differently, and compiled steps differently
from PyTorch's. Each row says who trained it, and so does the table of the runs. Where a call adds
runs of another kind than the store has, a warning says so.

How safe it is: each run is one transaction, with a rollback journal and SQLite's most careful way
to wait for the disk (``synchronous=EXTRA``). Whatever happens to the process or the machine, a run
is there whole or not at all. A rollback journal and not a write-ahead log, because then everything
that is stored stands in the one file, which can be copied.

Where it may lie: on a disk of the machine whose process makes the call. Only that process writes to
it, wherever the runs are done. On a file system of the network, such as NFS, SQLite's locks may not
hold between machines, so a store is refused there (Linux tells which file systems these are). Where
no other machine writes it, the environment variable ``INITGUIDE_STORE=anywhere`` allows it.

What is read is what was written. A row whose checksum is wrong, because a disk or a copy damaged
the file, is named in a warning, kept in the table ``damaged``, and its run is done again. Where
SQLite itself finds the file out of order, all rows that are intact move to a new file, and the old
one is kept beside it under a name that ends in ``.damaged-1``. Only a file without its header or
its settings is refused.
"""

from initguide.experiments.store.repairing import StoreWarning
from initguide.experiments.store.runs import Store, read
from initguide.experiments.store.schema import COLUMNS, SETTINGS
from initguide.experiments.store.transactions import StoreError, is_store
from initguide.experiments.store.unsaved import reason_of, take_up, write_unsaved

__all__ = [
    "COLUMNS",
    "SETTINGS",
    "Store",
    "StoreError",
    "StoreWarning",
    "is_store",
    "read",
    "reason_of",
    "take_up",
    "write_unsaved",
]

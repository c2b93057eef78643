"""The tables of a store, and the marks by which its file is known."""

SETTINGS = (
    "scheme",
    "scale",
    "model",
    "epochs",
    "batch_size",
    "learning_rate",
    "optimizer",
    "device",
)
COLUMNS = (
    "key",
    "label",
    "seed",
    *SETTINGS,
    "settings",
    "valid_loss",
    "valid_accuracy",
    "test_accuracy",
    "diverged_at",
    "seconds",
    "train_losses",
    "error",
    "finished",
    "trainer",
    "rounding",
)
# Read from the first 100 bytes, before SQLite touches a file that may be another program's.
MAGIC = b"SQLite format 3\x00"
APPLICATION = 0x1A17_601D  # "initguide": marks the file as ours, where SQLite keeps such marks
VERSION = 3  # of the tables below
READABLE = {2: COLUMNS[:-2], VERSION: COLUMNS}
"""Versions that are read -> the columns of a row. Version 2 did not say who trained a run."""
SCHEMA = f"""
CREATE TABLE about (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE runs (
    key TEXT PRIMARY KEY, label TEXT NOT NULL, seed INTEGER NOT NULL,
    scheme TEXT, scale REAL, model TEXT, epochs INTEGER, batch_size INTEGER, learning_rate REAL,
    optimizer TEXT, device TEXT, settings TEXT NOT NULL,
    valid_loss REAL, valid_accuracy REAL, test_accuracy REAL, diverged_at INTEGER, seconds REAL,
    train_losses BLOB, error TEXT, finished TEXT NOT NULL,
    trainer TEXT, rounding TEXT, checksum TEXT
);
CREATE TABLE damaged (
    found TEXT NOT NULL, {", ".join(COLUMNS)}, checksum
);
CREATE TABLE claims (key TEXT PRIMARY KEY, owner TEXT NOT NULL, seen REAL NOT NULL) WITHOUT ROWID;
PRAGMA application_id = {APPLICATION};
PRAGMA user_version = {VERSION};
"""

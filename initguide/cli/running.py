"""The parser, made of the commands in `commands`, and what happens when one goes wrong."""

import argparse
import pkgutil
import sys
import warnings
from collections.abc import Sequence
from importlib import import_module

# torch takes seconds to import, and `initguide --help` must not wait for it: each command imports
# what it needs.
from initguide import __version__
from initguide.cli import commands as folder


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line.

    Parameters
    ----------
    arguments
        The words after ``initguide``; those of the process if ``None``.

    Returns
    -------
    int
        The exit status: 0, or 2 where something was wrong with what was asked for (one line on
        standard error says what). 1 if ``check`` found something worse than a note, or if some or
        all runs of ``sweep`` failed (a run that diverged has not failed). 130 after Ctrl-C, 143
        after SIGTERM, 129 after SIGHUP.
    """
    options = _parser().parse_args(arguments)
    with warnings.catch_warnings():
        # One line for users, without the file and line of our code.
        warnings.showwarning = lambda message, *_, **__: print(
            f"initguide: {message}", file=sys.stderr
        )
        try:
            return int(options.command(options) or 0)
        except (ValueError, TypeError, OSError) as error:
            print(f"initguide: error: {error}", file=sys.stderr)
            return 2
        except KeyboardInterrupt as end:
            kept = getattr(options, "store", None)
            more = f"; what was done is in {kept}, and the same command goes on from there"
            print(f"initguide: stopped{more if kept else ''}", file=sys.stderr)
            return int(getattr(end, "code", 130))  # another signal has a code of its own


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="initguide",
        description="Initialize a neural network's weights, and see whether it was done right.",
    )
    parser.add_argument("--version", action="version", version=f"initguide {__version__}")
    commands = parser.add_subparsers(required=True, metavar="command")
    # Every file of the folder is a command, so that a new one is named nowhere else.
    for file in pkgutil.iter_modules(folder.__path__):
        import_module(f"{folder.__name__}.{file.name}").add_to(commands)
    return parser

"""The command line, ``initguide``: one file a command, and the only rooms that print or exit."""

from initguide.cli.running import main

__all__ = ["main"]

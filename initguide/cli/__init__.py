"""The command line, ``initguide``: one file per command; only these modules print or exit."""

from initguide.cli.running import main

__all__ = ["main"]

"""What several tests of this folder use."""

from initguide import cli

QUICK = ("--source", "sample", "--epochs", "1", "--seeds", "1")


def _run(*words):
    """Run the command line; return its exit status, argparse's way of ending included."""
    try:
        return cli.main(words)
    except SystemExit as end:
        return end.code


def _compare(*words):
    return _run("compare", *QUICK, *words)


# sweep
def _sweep(*words):
    return _run("sweep", *QUICK, *words)

"""``initguide data``: where the images come from."""

import argparse

from initguide.cli.options import Commands, add_data_options


def add_to(commands: Commands) -> None:
    """Add the command to the parser."""
    parser = commands.add_parser(
        "data",
        help="say which images are in use, and fetch the full data set if need be",
        description="Say where Fashion-MNIST is read from. If it is not on this machine yet, "
        "download it.",
    )
    parser.set_defaults(command=run)
    add_data_options(parser)


def run(options: argparse.Namespace) -> None:
    """Say which images are used; download them if need be."""
    from initguide.data import fashion_mnist  # noqa: PLC0415  slow to import

    print(fashion_mnist(options.data, source=options.source).source)

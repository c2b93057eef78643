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
    parser.add_argument(
        "--torchvision",
        metavar="DIR",
        help="lay the files out in this folder as torchvision.datasets.FashionMNIST reads them; a "
        'notebook with root="data" then needs no network',
    )


def run(options: argparse.Namespace) -> None:
    """Say which images are used; download them if need be."""
    from initguide import data  # noqa: PLC0415  slow to import

    if options.torchvision is None:
        print(data.fashion_mnist(options.data, source=options.source).source)
        return
    laid_out = data.lay_out(options.torchvision, options.data, source=options.source)
    print(f"{laid_out.folder} holds {laid_out.source}")

"""``initguide compare``: schemes side by side."""

import argparse
from pathlib import Path

from initguide.cli.options import (
    Commands,
    add_data_options,
    add_run_options,
    check_files,
    check_picture,
    run_options,
    save_figure,
)


def add_to(commands: Commands) -> None:
    """Add the command to the parser."""
    parser = commands.add_parser(
        "compare",
        help="train the lesson's network from several schemes and compare them",
        description="Train the lesson's 784-256-128-10 network on Fashion-MNIST from each scheme "
        "and each seed, and print the table of results.",
        epilog="example: initguide compare --scheme general_rule --scheme he_normal --seeds 5",
    )
    parser.add_argument(
        "--scheme",
        action="append",
        required=True,
        metavar="NAME",
        help="a scheme, such as he_normal or 'uniform(-0.5, 0.5)'; once for each to compare",
    )
    add_run_options(parser)
    parser.add_argument("--plot", type=Path, metavar="FILE.png", help="save the loss curves")
    parser.set_defaults(command=run)
    add_data_options(parser)


def run(options: argparse.Namespace) -> None:
    """Train, print the table, and save what is asked for."""
    # Whatever can be refused is refused before the first network is trained.
    check_files(options, "store", "save", "plot")
    if options.plot is not None:
        check_picture(options.plot)

    from initguide.data import fashion_mnist  # noqa: PLC0415
    from initguide.experiments import compare_init_weights  # noqa: PLC0415  slow to import

    result = compare_init_weights(
        options.scheme,
        fashion_mnist(options.data, source=options.source),
        **run_options(options),
    )
    print(result)
    if options.save is not None:
        result.save(options.save)
    if options.plot is not None:
        from initguide import plots  # noqa: PLC0415  slow to import

        save_figure(lambda ax: plots.plot_losses(result, ax=ax), options.plot)

"""``initguide audit``: what each parameter of a network really got."""

import argparse

from initguide.cli.naming import network, one_line
from initguide.cli.options import Commands


def add_to(commands: Commands) -> None:
    """Add the command to the parser."""
    parser = commands.add_parser(
        "audit",
        help="tell what each parameter of a network of yours really got",
        description="Name the distribution of each parameter, the known rules that it fits, who "
        "wrote it last, and whether it is what was intended. The exit status is 0 if nothing worse "
        "than a note was found, 1 if something was, 2 if the audit could not be run.",
        epilog="example: initguide audit torchvision.models:resnet18 --intended "
        "'*conv*.weight' \"he_normal('fan_out')\"",
    )
    parser.add_argument(
        "model",
        metavar="MODULE:NAME",
        help="a network, or a function or class that makes one without arguments",
    )
    parser.add_argument(
        "--intended",
        nargs=2,
        action="append",
        default=[],
        metavar=("PATTERN", "SCHEME"),
        help="the parameters or modules of these names ('*' for all) should have this scheme; may "
        "be given again, and the first that fits decides",
    )
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="of every draw (0)")
    parser.add_argument("--json", action="store_true", help="print the audit as JSON")
    parser.set_defaults(command=run)


def run(options: argparse.Namespace) -> int:
    """Audit the network, and print what was found."""
    if not 0 <= options.seed < 2**63:
        raise ValueError(f"--seed is {options.seed}; it must be at least 0 and below 2^63")
    from initguide.auditing import audit  # noqa: PLC0415  slow to import
    from initguide.randomness import seeded  # noqa: PLC0415

    with seeded(options.seed), one_line(options.model), audit.watch() as writes:
        model = network(options.model)
    with one_line(options.model):
        intended = dict(options.intended) or None
        report = audit(model, intended, writes=writes, seed=options.seed)
    print(report.to_json() if options.json else report)
    return 0 if report.ok else 1

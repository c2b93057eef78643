"""The command line: ``initguide compare`` and ``initguide data``."""

import argparse
import os
import sys
import warnings
from collections.abc import Sequence
from pathlib import Path

# torch takes seconds to import, and `initguide --help` must not wait for it: each command imports
# what it needs.
from initguide import __version__

_PICTURES = (".jpg", ".pdf", ".png", ".svg", ".webp")


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
        standard error says what). 130 after Ctrl-C.
    """
    options = _parser().parse_args(arguments)
    with warnings.catch_warnings():
        warnings.showwarning = lambda message, *_, **__: print(
            f"initguide: {message}", file=sys.stderr
        )
        try:
            options.command(options)
        except (ValueError, TypeError, OSError) as error:
            print(f"initguide: error: {error}", file=sys.stderr)
            return 2
        except KeyboardInterrupt:
            print("initguide: stopped", file=sys.stderr)
            return 130
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="initguide",
        description="Initialize a neural network's weights, and see whether it was done right.",
    )
    parser.add_argument("--version", action="version", version=f"initguide {__version__}")
    commands = parser.add_subparsers(required=True, metavar="command")

    compare = commands.add_parser(
        "compare",
        help="train the lesson's network from several schemes and compare them",
        description="Train the lesson's 784-256-128-10 network on Fashion-MNIST from each scheme "
        "and each seed, and print the table of results.",
        epilog="example: initguide compare --scheme general_rule --scheme he_normal --seeds 5",
    )
    compare.add_argument(
        "--scheme",
        action="append",
        required=True,
        metavar="NAME",
        help="a scheme, such as he_normal or 'uniform(-0.5, 0.5)'; once for each to compare",
    )
    compare.add_argument("--seeds", type=int, default=5, metavar="N", help="seeds 0 to N-1 (5)")
    compare.add_argument("--epochs", type=int, default=2, metavar="N", help="(2)")
    compare.add_argument("--batch-size", type=int, default=100, metavar="N", help="(100)")
    compare.add_argument("--learning-rate", type=float, default=1e-3, metavar="X", help="(0.001)")
    compare.add_argument("--optimizer", default="adam", metavar="NAME", help="adam, sgd, momentum")
    compare.add_argument("--save", type=Path, metavar="FILE.json", help="save the comparison")
    compare.add_argument("--plot", type=Path, metavar="FILE.png", help="save the loss curves")
    compare.set_defaults(command=_compare)

    data = commands.add_parser(
        "data",
        help="say which images are in use, and fetch the full data set if need be",
        description="Say where Fashion-MNIST is read from. If it is not on this machine yet, "
        "download it.",
    )
    data.set_defaults(command=_data)
    for command in (compare, data):
        command.add_argument(
            "--data", metavar="FOLDER", help="where the files are, instead of the usual places"
        )
        command.add_argument(
            "--source", default="auto", metavar="NAME", help="auto, cache, debian, download, sample"
        )
    return parser


def _compare(options: argparse.Namespace) -> None:
    # Whatever can be refused is refused before the first network is trained.
    for name, path in (("--save", options.save), ("--plot", options.plot)):
        if path is not None:
            _check_writable(name, path)
    if options.plot is not None:
        _check_picture(options.plot)
        if options.save is not None and options.save.resolve() == options.plot.resolve():
            raise ValueError(f"--plot {options.plot} is the file of --save too; give another name")

    from initguide.comparison import compare_init_weights  # noqa: PLC0415  slow to import
    from initguide.data import fashion_mnist  # noqa: PLC0415

    result = compare_init_weights(
        options.scheme,
        fashion_mnist(options.data, source=options.source),
        epochs=options.epochs,
        batch_size=options.batch_size,
        learning_rate=options.learning_rate,
        optimizer=options.optimizer,
        seeds=options.seeds,
    )
    print(result)
    if options.save is not None:
        result.save(options.save)
    if options.plot is not None:
        import matplotlib.pyplot as plt  # noqa: PLC0415  slow to import

        plt.switch_backend("agg")  # a file is asked for, so no display is needed
        from initguide import plots  # noqa: PLC0415

        figure, ax = plots.subplots()
        plots.plot_losses(result, ax=ax)
        figure.savefig(options.plot, dpi=200)
        plt.close(figure)


def _data(options: argparse.Namespace) -> None:
    from initguide.data import fashion_mnist  # noqa: PLC0415  slow to import

    print(fashion_mnist(options.data, source=options.source).source)


def _check_writable(name: str, path: Path) -> None:
    folder = path.parent
    if path.is_dir():
        raise ValueError(f"{name} {path} is a folder; give the name of a file")
    if not folder.is_dir():
        raise ValueError(f"{name} {path}: there is no folder {folder}; make it first")
    if not os.access(path if path.exists() else folder, os.W_OK):
        raise ValueError(f"{name} {path} cannot be written; choose another folder")


def _check_picture(path: Path) -> None:
    if path.suffix.lower() not in _PICTURES:
        raise ValueError(
            f"--plot {path}: no picture format is called {path.suffix!r}; use one of "
            + ", ".join(_PICTURES)
        )


if __name__ == "__main__":
    raise SystemExit(main())

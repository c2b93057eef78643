"""Options that several commands have, and the files that they name."""

import argparse
import itertools
import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from initguide.writing import no_file

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Commands = Any  # what add_subparsers returns; argparse gives its class no public name
_PICTURES = (".jpg", ".pdf", ".png", ".svg", ".webp")


def add_data_options(command: argparse.ArgumentParser) -> None:
    """Add where the images come from."""
    command.add_argument(
        "--data", metavar="FOLDER", help="where the files are, instead of the usual places"
    )
    command.add_argument(
        "--source", default="auto", metavar="NAME", help="auto, cache, debian, download, sample"
    )


def add_run_options(command: argparse.ArgumentParser) -> None:
    """Add how a network is trained, and where the results go."""
    command.add_argument("--seeds", type=int, default=5, metavar="N", help="seeds 0 to N-1 (5)")
    command.add_argument(
        "--split",
        choices=("shared", "per-seed"),
        default="shared",
        help="whether all seeds have one split into training and validation images (shared), or "
        "each divides them anew",
    )
    command.add_argument("--epochs", type=int, default=2, metavar="N", help="(2)")
    command.add_argument("--batch-size", type=int, default=100, metavar="N", help="(100)")
    command.add_argument("--learning-rate", type=float, default=1e-3, metavar="X", help="(0.001)")
    command.add_argument("--optimizer", default="adam", metavar="NAME", help="adam, sgd, momentum")
    command.add_argument(
        "--time-limit",
        type=float,
        metavar="S",
        help="how many seconds a run may take (as long as it likes)",
    )
    command.add_argument(
        "--store",
        type=Path,
        metavar="FILE.sqlite",
        help="keep each run in this file as soon as it ends; the same command later does only what "
        "is missing",
    )
    command.add_argument("--save", type=Path, metavar="FILE.json", help="save the results")


def run_options(options: argparse.Namespace) -> dict[str, Any]:
    """Return the options of training as keyword arguments of the package."""
    return {
        "epochs": options.epochs,
        "batch_size": options.batch_size,
        "learning_rate": options.learning_rate,
        "optimizer": options.optimizer,
        "seeds": options.seeds,
        "split": options.split.replace("-", " "),
        "store": options.store,
        "time_limit": options.time_limit,
    }


def check_files(options: argparse.Namespace, *names: str) -> None:
    """Refuse files that cannot be written, or that are the same, before anything is trained."""
    given = {name: getattr(options, name) for name in names}
    given = {f"--{name}": path for name, path in given.items() if path is not None}
    # Now, since training may take hours, and a result that cannot be written is lost.
    for name, path in given.items():
        check_writable(name, path)
    for (name, path), (other, same) in itertools.combinations(given.items(), 2):
        if path.resolve() == same.resolve():
            raise ValueError(f"{other} {same} is the file of {name} too; give another name")


def check_writable(name: str, path: Path) -> None:
    """Refuse a file that cannot be written, naming the option."""
    folder = path.parent
    if (kind := no_file(path)) is not None:
        raise ValueError(f"{name} {path} is {kind}; give the name of a file")
    if not folder.is_dir():
        raise ValueError(f"{name} {path}: there is no folder {folder}; make it first")
    if not os.access(path if path.exists() else folder, os.W_OK):
        raise ValueError(f"{name} {path} cannot be written; choose another folder")


def check_picture(path: Path) -> None:
    """Refuse a picture in a format that matplotlib does not write."""
    if path.suffix.lower() not in _PICTURES:
        raise ValueError(
            f"--plot {path}: no picture format is called {path.suffix!r}; use one of "
            + ", ".join(_PICTURES)
        )


def save_figure(draw: Callable[["Axes"], object], path: Path) -> None:
    """Draw a figure of the house style and save it, with or without a display."""
    import matplotlib.pyplot as plt  # noqa: PLC0415  slow to import

    plt.switch_backend("agg")  # a file is asked for, so no display is needed
    from initguide import plots  # noqa: PLC0415

    figure, ax = plots.subplots()
    draw(ax)
    figure.savefig(path, dpi=200)
    plt.close(figure)

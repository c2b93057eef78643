"""The command line: ``initguide compare``, ``sweep``, ``check`` and ``data``."""

import argparse
import ast
import contextlib
import itertools
import math
import os
import sys
import warnings
from collections.abc import Callable, Iterator, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

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
        standard error says what). 1 if ``check`` found something worse than a note, or if some or
        all runs of ``sweep`` failed (a run that diverged has not failed). 130 after Ctrl-C.
    """
    options = _parser().parse_args(arguments)
    with warnings.catch_warnings():
        warnings.showwarning = lambda message, *_, **__: print(
            f"initguide: {message}", file=sys.stderr
        )
        try:
            return int(options.command(options) or 0)
        except (ValueError, TypeError, OSError) as error:
            print(f"initguide: error: {error}", file=sys.stderr)
            return 2
        except KeyboardInterrupt:
            kept = getattr(options, "store", None)
            more = f"; what was done is in {kept}, and the same command goes on from there"
            print(f"initguide: stopped{more if kept else ''}", file=sys.stderr)
            return 130


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
    _add_run_options(compare)
    compare.add_argument("--plot", type=Path, metavar="FILE.png", help="save the loss curves")
    compare.set_defaults(command=_compare)

    sweep = commands.add_parser(
        "sweep",
        help="train the lesson's network, or one of yours, over a grid of settings",
        description="Train a network on Fashion-MNIST with every combination of some settings and "
        "every seed, and print the table of results. In a terminal, a bar shows the runs done, "
        "their rate and the time left. The exit status is 0 if all runs were done (diverged ones "
        "are), 1 if some or all failed, 2 if the sweep could not be done.",
        epilog="example: initguide sweep --grid scheme=he_normal,general_rule "
        "--grid learning_rate=1e-4:1e-1:log:8 --seeds 5 --store runs.sqlite",
    )
    sweep.add_argument(
        "--grid",
        action="append",
        required=True,
        metavar="NAME=VALUES",
        help="a setting and its values, once for each setting: scheme, scale, learning_rate, "
        "optimizer, epochs, batch_size, seed, or a keyword of the network such as hidden_1 or "
        "dropout. Values are separated by commas, those within brackets or quotes aside; or "
        "FROM:TO:log:N or FROM:TO:linear:N",
    )
    sweep.add_argument(
        "--model",
        metavar="MODULE:NAME",
        help="a function or class that makes a network from such keywords (the lesson's network)",
    )
    sweep.add_argument(
        "--scheme", default="default", metavar="NAME", help="where it is not in the grid (default)"
    )
    _add_run_options(sweep)
    sweep.set_defaults(command=_sweep)

    check = commands.add_parser(
        "check",
        help="check whether a network of yours can be trained from the weights that it has",
        description="Run one batch forward and back through a network, and say whether its "
        "initialization is at fault, where, and what to do. The exit status is 0 if nothing worse "
        "than a note was found, 1 if something was, 2 if the check could not be run.",
        epilog="example: initguide check torchvision.models:resnet18 --input 8,3,64,64",
    )
    check.add_argument(
        "model",
        metavar="MODULE:NAME",
        help="a network, or a function or class that makes one without arguments",
    )
    batch = check.add_mutually_exclusive_group(required=True)
    batch.add_argument(
        "--input",
        metavar="N,N,...",
        help="shape of the inputs, drawn from N(0, 1), such as 8,3,64,64",
    )
    batch.add_argument(
        "--data",
        type=Path,
        metavar="FILE.pt",
        help="a batch saved by torch.save: the inputs; (inputs, targets); or a dictionary of "
        "inputs and targets, or of keyword arguments",
    )
    check.add_argument(
        "--dtype",
        default="float32",
        choices=("float32", "float64", "float16", "bfloat16", "int64"),
        help="of the drawn inputs, and of the network; int64 draws whole numbers from 0 to 9 "
        "(float32)",
    )
    check.add_argument(
        "--loss",
        metavar="NAME",
        help="a function of torch.nn.functional, such as cross_entropy, or MODULE:NAME",
    )
    check.add_argument("--seed", type=int, default=0, metavar="N", help="of every draw (0)")
    check.add_argument("--eval", action="store_true", help="check in evaluation mode")
    check.add_argument("--json", action="store_true", help="print the report as JSON")
    check.add_argument("--plot", type=Path, metavar="FILE.png", help="save a figure of the layers")
    check.set_defaults(command=_check)

    data = commands.add_parser(
        "data",
        help="say which images are in use, and fetch the full data set if need be",
        description="Say where Fashion-MNIST is read from. If it is not on this machine yet, "
        "download it.",
    )
    data.set_defaults(command=_data)
    for command in (compare, sweep, data):
        command.add_argument(
            "--data", metavar="FOLDER", help="where the files are, instead of the usual places"
        )
        command.add_argument(
            "--source", default="auto", metavar="NAME", help="auto, cache, debian, download, sample"
        )
    return parser


def _add_run_options(command: argparse.ArgumentParser) -> None:
    command.add_argument("--seeds", type=int, default=5, metavar="N", help="seeds 0 to N-1 (5)")
    command.add_argument("--epochs", type=int, default=2, metavar="N", help="(2)")
    command.add_argument("--batch-size", type=int, default=100, metavar="N", help="(100)")
    command.add_argument("--learning-rate", type=float, default=1e-3, metavar="X", help="(0.001)")
    command.add_argument("--optimizer", default="adam", metavar="NAME", help="adam, sgd, momentum")
    command.add_argument(
        "--store",
        type=Path,
        metavar="FILE.sqlite",
        help="keep each run in this file as soon as it ends; the same command later does only what "
        "is missing",
    )
    command.add_argument("--save", type=Path, metavar="FILE.json", help="save the results")


def _run_options(options: argparse.Namespace) -> dict[str, Any]:
    return {
        "epochs": options.epochs,
        "batch_size": options.batch_size,
        "learning_rate": options.learning_rate,
        "optimizer": options.optimizer,
        "seeds": options.seeds,
        "store": options.store,
    }


def _check_files(options: argparse.Namespace, *names: str) -> None:
    """Refuse files that cannot be written, or that are the same, before anything is trained."""
    given = {name: getattr(options, name) for name in names}
    given = {f"--{name}": path for name, path in given.items() if path is not None}
    for name, path in given.items():
        _check_writable(name, path)
    for (name, path), (other, same) in itertools.combinations(given.items(), 2):
        if path.resolve() == same.resolve():
            raise ValueError(f"{other} {same} is the file of {name} too; give another name")


def _sweep(options: argparse.Namespace) -> int:
    _check_files(options, "store", "save")
    grid: dict[str, list[Any]] = {}
    for text in options.grid:
        name, values = _axis(text)
        if name in grid:
            raise ValueError(f"--grid has {name} twice; give all its values at once")
        grid[name] = values

    from initguide.data import fashion_mnist  # noqa: PLC0415
    from initguide.experiments import sweep  # noqa: PLC0415  slow to import

    keywords = _run_options(options)
    if options.model is not None:
        with _one_line(options.model):
            keywords["model"] = _named(options.model, "the network")
            if not callable(keywords["model"]):
                raise TypeError("it does not make a network")
    data = fashion_mnist(options.data, source=options.source)
    result = sweep(grid, data, scheme=options.scheme, **keywords)
    print(result)
    if options.save is not None:
        result.save(options.save)
    return 1 if result.failures else 0


def _axis(text: str) -> tuple[str, list[Any]]:
    """Read one --grid: a name, and values or a range of them."""
    name, equals, values = text.partition("=")
    name = name.strip().replace("-", "_")
    if not (equals and name and values.strip()):
        raise ValueError(
            f"--grid {text!r} is not NAME=VALUES, as in scheme=he_normal,general_rule or "
            "learning_rate=1e-4:1e-1:log:8"
        )
    ends = values.split(":")
    if len(ends) > 1 and isinstance(_value(ends[0]), int | float):
        return name, _range(text, *ends)
    parts = _split(values)
    if not all(map(str.strip, parts)):
        raise ValueError(f"--grid {text!r} has an empty value; write one between all commas")
    return name, [_value(part.strip()) for part in parts]


def _split(text: str) -> list[str]:
    """Split at commas, but for those within brackets or quotes."""
    parts, depth, quote, begin = [], 0, "", 0
    for i, character in enumerate(text):
        if quote:
            quote = "" if character == quote else quote
        elif character in "'\"":
            quote = character
        elif character in "([{":
            depth += 1
        elif character in ")]}":
            depth = max(0, depth - 1)
        elif character == "," and not depth:
            parts.append(text[begin:i])
            begin = i + 1
    return [*parts, text[begin:]]


def _range(text: str, *parts: str) -> list[float]:
    remedy = "a range is FROM:TO:log:N or FROM:TO:linear:N, as in 1e-4:1e-1:log:8"
    if len(parts) != 4:
        raise ValueError(f"--grid {text!r} is half a range; {remedy}")
    first, last, kind, count = parts
    try:
        low, high, number = float(first), float(last), int(count)
    except ValueError:
        raise ValueError(f"--grid {text!r} has no numbers where they belong; {remedy}") from None
    if kind not in ("log", "linear"):
        raise ValueError(f"--grid {text!r} has the spacing {kind!r}; {remedy}")
    if number < 2 or not math.isfinite(high - low):
        raise ValueError(f"--grid {text!r} needs two finite ends and at least 2 values; {remedy}")
    if kind == "log" and min(low, high) <= 0:
        raise ValueError(f"--grid {text!r} needs ends above 0 for a logarithmic range")
    steps = [i / (number - 1) for i in range(number)]
    if kind == "linear":
        return [low + (high - low) * t for t in steps[:-1]] + [high]
    # Rounded to 12 digits, so that 1e-4:1e-1:log:4 has 0.001 and not its neighbour.
    return [low] + [float(f"{low * (high / low) ** t:.12g}") for t in steps[1:-1]] + [high]


def _value(text: str) -> Any:
    """Read a value as Python would: a number, True, False, None, a tuple or a list of them.

    Anything else is a text.
    """
    try:
        value = ast.literal_eval(text)
    except (ValueError, SyntaxError):
        return text
    return value if isinstance(value, int | float | str | tuple | list | None) else text


def _compare(options: argparse.Namespace) -> None:
    # Whatever can be refused is refused before the first network is trained.
    _check_files(options, "store", "save", "plot")
    if options.plot is not None:
        _check_picture(options.plot)

    from initguide.data import fashion_mnist  # noqa: PLC0415
    from initguide.experiments import compare_init_weights  # noqa: PLC0415  slow to import

    result = compare_init_weights(
        options.scheme,
        fashion_mnist(options.data, source=options.source),
        **_run_options(options),
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


def _check(options: argparse.Namespace) -> int:
    if options.plot is not None:
        _check_writable("--plot", options.plot)
        _check_picture(options.plot)
    if not 0 <= options.seed < 2**63:
        raise ValueError(f"--seed is {options.seed}; it must be at least 0 and below 2^63")
    shape = _shape(options.input) if options.input is not None else None

    from initguide.checkup import check_init  # noqa: PLC0415  slow to import

    model = _model(options)
    inputs, targets = _drawn(options, shape) if shape is not None else _loaded(options.data)
    loss = _loss(options.loss) if options.loss is not None else None
    with _one_line(options.model):
        report = check_init(model, inputs, targets, loss, seed=options.seed)
    print(report.to_json() if options.json else report)
    if options.plot is not None:
        import matplotlib.pyplot as plt  # noqa: PLC0415  slow to import

        plt.switch_backend("agg")
        from initguide import plots  # noqa: PLC0415

        figure, ax = plots.subplots()
        plots.plot_checkup(report, ax=ax)
        figure.savefig(options.plot, dpi=200)
        plt.close(figure)
    return 0 if report.ok else 1


def _model(options: argparse.Namespace) -> Any:
    """Import the network, or make it, in the mode and of the type that is asked for."""
    import torch  # noqa: PLC0415  slow to import

    from initguide.randomness import seeded  # noqa: PLC0415

    with seeded(options.seed), _one_line(options.model):
        model = _named(options.model, "the network")
        if not isinstance(model, torch.nn.Module):
            if not callable(model):
                kind = type(model).__name__
                raise TypeError(f"it is of type {kind}; name a network, or what makes one")
            model = model()
        if not isinstance(model, torch.nn.Module):
            raise TypeError(f"it made an object of type {type(model).__name__}, not a network")
    if options.eval:
        model.eval()
    dtype = getattr(torch, options.dtype)
    return model.to(dtype) if dtype.is_floating_point and options.input is not None else model


def _drawn(options: argparse.Namespace, shape: tuple[int, ...]) -> tuple[Any, None]:
    import torch  # noqa: PLC0415  slow to import

    generator = torch.Generator().manual_seed(options.seed)
    if options.dtype == "int64":
        return torch.randint(10, shape, generator=generator), None
    return torch.randn(shape, generator=generator).to(getattr(torch, options.dtype)), None


def _loaded(path: Path) -> tuple[Any, Any]:
    """Load a batch: the inputs, and the targets if there are any."""
    import torch  # noqa: PLC0415  slow to import

    try:
        content = torch.load(path, weights_only=True)
    except OSError as error:
        raise ValueError(f"--data {path}: {error.strerror or error}") from error
    except Exception as error:  # whatever a file that is something else makes torch say
        raise ValueError(
            f"--data {path} holds something else than tensors saved by torch.save; write it with "
            'torch.save((inputs, targets), "batch.pt")'
        ) from error
    if isinstance(content, dict) and "inputs" in content:
        return content["inputs"], content.get("targets")
    if isinstance(content, tuple | list) and len(content) == 2:
        return content[0], content[1]
    return content, None


def _loss(name: str) -> Callable[..., Any]:
    import torch.nn.functional as F  # noqa: N812, PLC0415  slow to import

    with _one_line(f"--loss {name}"):
        loss = _named(name, "the loss") if ":" in name else getattr(F, name)
        if isinstance(loss, type):
            loss = loss()
        if not callable(loss):
            raise TypeError("it is no function")
    return loss  # type: ignore[no-any-return]


@contextlib.contextmanager
def _one_line(what: str) -> Iterator[None]:
    """Tell whatever goes wrong in code that is not ours in one line."""
    try:
        yield
    except Exception as error:
        first, *_ = str(error).split("\n", maxsplit=1)
        kind = "" if isinstance(error, ValueError | TypeError) else f"{type(error).__name__}: "
        raise ValueError(f"{what}: {kind}{first or 'no reason was given'}") from error


def _named(text: str, what: str) -> Any:
    """Import the one module that a text names, and return what it has of that name."""
    module, colon, name = text.partition(":")
    if not (colon and module and name):
        raise ValueError(f"say where {what} is as MODULE:NAME, as in torchvision.models:resnet18")
    if module.endswith(".py") or "/" in module:
        stem = Path(module).stem
        raise ValueError(
            f"{module} is a file, and a module's name is wanted: in its folder, say {stem}:{name}"
        )
    here = str(Path.cwd())
    added = here not in sys.path
    if added:
        sys.path.insert(0, here)  # as `python -m` does: people's own modules lie here
    try:
        found = import_module(module)
    finally:
        if added:
            sys.path.remove(here)
    for part in name.split("."):
        found = getattr(found, part)
    return found


def _shape(text: str) -> tuple[int, ...]:
    try:
        shape = tuple(int(part) for part in text.split(","))
    except ValueError:
        shape = ()
    if not shape or min(shape) < 1:
        raise ValueError(f"--input {text!r} is no shape; give whole numbers such as 8,3,64,64")
    return shape


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

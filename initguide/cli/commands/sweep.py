"""``initguide sweep``: every combination of some settings."""

import argparse
import ast
import math
from typing import Any

from initguide.cli.naming import named, one_line
from initguide.cli.options import (
    Commands,
    add_data_options,
    add_run_options,
    check_files,
    run_options,
)


def add_to(commands: Commands) -> None:
    """Add the command to the parser."""
    parser = commands.add_parser(
        "sweep",
        help="train the lesson's network, or one of yours, over a grid of settings",
        description="Train a network on Fashion-MNIST with every combination of some settings and "
        "every seed, and print the table of results. In a terminal, a bar shows the runs done, "
        "their rate and the time left. The exit status is 0 if all runs were done (diverged ones "
        "are), 1 if some or all failed, 2 if the sweep could not be done.",
        epilog="example: initguide sweep --grid scheme=he_normal,general_rule "
        "--grid learning_rate=1e-4:1e-1:log:8 --seeds 5 --store runs.sqlite",
    )
    parser.add_argument(
        "--grid",
        action="append",
        required=True,
        metavar="NAME=VALUES",
        help="a setting and its values, once for each setting: scheme, scale, learning_rate, "
        "optimizer, epochs, batch_size, seed, or a keyword of the network such as hidden_1 or "
        "dropout. Values are separated by commas, those within brackets or quotes aside; or "
        "FROM:TO:log:N or FROM:TO:linear:N",
    )
    parser.add_argument(
        "--model",
        metavar="MODULE:NAME",
        help="a function or class that makes a network from such keywords (the lesson's network)",
    )
    parser.add_argument(
        "--scheme", default="default", metavar="NAME", help="where it is not in the grid (default)"
    )
    add_run_options(parser)
    parser.set_defaults(command=run)
    add_data_options(parser)


def run(options: argparse.Namespace) -> int:
    """Train the grid, print the table, and save it if that is asked for."""
    check_files(options, "store", "save")
    grid: dict[str, list[Any]] = {}
    for text in options.grid:
        name, values = _axis(text)
        if name in grid:
            raise ValueError(f"--grid has {name} twice; give all its values at once")
        grid[name] = values

    from initguide.data import fashion_mnist  # noqa: PLC0415
    from initguide.experiments import sweep  # noqa: PLC0415  slow to import

    keywords = run_options(options)
    if options.model is not None:
        with one_line(options.model):
            keywords["model"] = named(options.model, "the network")
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
    # A range begins with a number; a text may have colons of its own.
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
    # Both ends as given: computed, they might differ in the last digit, and a store would not find
    # them.
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

"""``initguide check``: whether a network can be trained from the weights that it has."""

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import Any

from initguide.cli.naming import from_here, named, network, one_line, place_of
from initguide.cli.options import Commands, check_picture, check_writable, save_figure


def add_to(commands: Commands) -> None:
    """Add the command to the parser."""
    parser = commands.add_parser(
        "check",
        help="check whether a network of yours can be trained from the weights that it has",
        description="Run one batch forward and back through a network, and say whether its "
        "initialization is at fault, where, and what to do. The exit status is 0 if nothing worse "
        "than a note was found, 1 if something was, 2 if the check could not be run.",
        epilog="example: initguide check torchvision.models:resnet18 --input 8,3,64,64",
    )
    parser.add_argument(
        "model",
        metavar="MODULE:NAME",
        help="a network, or a function or class that makes one without arguments",
    )
    batch = parser.add_mutually_exclusive_group(required=True)
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
    parser.add_argument(
        "--dtype",
        default="float32",
        choices=("float32", "float64", "float16", "bfloat16", "int64"),
        help="of the drawn inputs, and of the network; int64 draws whole numbers from 0 to 9 "
        "(float32)",
    )
    parser.add_argument(
        "--loss",
        metavar="NAME",
        help="a function of torch.nn.functional, such as cross_entropy, or MODULE:NAME",
    )
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="of every draw (0)")
    parser.add_argument("--eval", action="store_true", help="check in evaluation mode")
    form = parser.add_mutually_exclusive_group()
    form.add_argument("--json", action="store_true", help="print the report as JSON")
    form.add_argument(
        "--sarif",
        action="store_true",
        help="print the report as SARIF, which code hosts and editors show",
    )
    parser.add_argument("--plot", type=Path, metavar="FILE.png", help="save a figure of the layers")
    parser.set_defaults(command=run)


def run(options: argparse.Namespace) -> int:
    """Check the network, and print the report."""
    if options.plot is not None:
        check_writable("--plot", options.plot)
        check_picture(options.plot)
    if not 0 <= options.seed < 2**63:
        raise ValueError(f"--seed is {options.seed}; it must be at least 0 and below 2^63")
    # All that can be refused is refused before torch is imported, which takes seconds.
    shape = _shape(options.input) if options.input is not None else None

    from initguide.checkup import check_init  # noqa: PLC0415  slow to import

    model = _model(options)
    inputs, targets = _drawn(options, shape) if shape is not None else _loaded(options.data)
    loss = _loss(options.loss) if options.loss is not None else None
    # The forward pass, too, may be the first to import a neighbour.
    with one_line(options.model), from_here():
        report = check_init(model, inputs, targets, loss, seed=options.seed)
    print(_written(report, options))
    if options.plot is not None:
        from initguide import plots  # noqa: PLC0415  slow to import

        save_figure(lambda ax: plots.plot_checkup(report, ax=ax), options.plot)
    return 0 if report.ok else 1


def _written(report: Any, options: argparse.Namespace) -> str:
    """Write the report in the form that is asked for."""
    if options.sarif:
        from initguide.integrations import sarif  # noqa: PLC0415  slow to import

        return sarif(report, *place_of(options.model))
    return report.to_json() if options.json else str(report)


def _model(options: argparse.Namespace) -> Any:
    """Import the network, or make it, in the mode and of the type that is asked for."""
    import torch  # noqa: PLC0415  slow to import

    from initguide.randomness import seeded  # noqa: PLC0415

    with seeded(options.seed), one_line(options.model):
        model = network(options.model)
    if options.eval:
        model.eval()
    dtype = getattr(torch, options.dtype)
    # A saved batch has a type of its own; --dtype is about drawn ones.
    return model.to(dtype) if dtype.is_floating_point and options.input is not None else model


def _drawn(options: argparse.Namespace, shape: tuple[int, ...]) -> tuple[Any, None]:
    import torch  # noqa: PLC0415  slow to import

    generator = torch.Generator().manual_seed(options.seed)
    if options.dtype == "int64":
        return torch.randint(10, shape, generator=generator), None
    # Drawn in float32 and converted, so that all types are given the same inputs.
    return torch.randn(shape, generator=generator).to(getattr(torch, options.dtype)), None


def _loaded(path: Path) -> tuple[Any, Any]:
    """Load a batch: the inputs, and the targets if there are any."""
    import torch  # noqa: PLC0415  slow to import

    from initguide.checkup import split_batch  # noqa: PLC0415

    try:
        # Tensors only: any other pickle could run code.
        content = torch.load(path, weights_only=True)
    except OSError as error:
        raise ValueError(f"--data {path}: {error.strerror or error}") from error
    except Exception as error:  # whatever a file that is something else makes torch say
        raise ValueError(
            f"--data {path} holds something else than tensors saved by torch.save; write it with "
            'torch.save((inputs, targets), "batch.pt")'
        ) from error
    return split_batch(content)


def _loss(name: str) -> Callable[..., Any]:
    import torch.nn.functional as F  # noqa: N812, PLC0415  slow to import

    with one_line(f"--loss {name}"):
        loss = named(name, "the loss") if ":" in name else getattr(F, name)
        if isinstance(loss, type):
            loss = loss()
        if not callable(loss):
            raise TypeError("it is no function")
    return loss  # type: ignore[no-any-return]


def _shape(text: str) -> tuple[int, ...]:
    try:
        shape = tuple(int(part) for part in text.split(","))
    except ValueError:
        shape = ()
    if not shape or min(shape) < 1:
        raise ValueError(f"--input {text!r} is no shape; give whole numbers such as 8,3,64,64")
    return shape

"""The cheat sheet: one page to print, typeset while building, with computed and measured numbers.

``docs/cheatsheet.typ`` is the page, in the language of Typst; here its numbers are made. They come
from `initguide.theory` and from the table of the lesson's last page; the recommendations are those
of the decision table, in few words.
"""

import csv
import json
import math
from pathlib import Path
from typing import Any

import torch
import typst
import which
from sphinx.application import Sphinx
from sphinx.util import logging
from torch import nn

import initguide
from initguide import theory
from initguide.experiments import mean_interval

logger = logging.getLogger(__name__)

OUTPUT = "initguide-cheatsheet.pdf"
TABLE = Path("auto_examples/lesson/images/sphx_glr_plot_7_choose_table_1.csv")
ACTIVATIONS = {
    "ReLU": ("relu", None),
    "leaky ReLU (0.01)": ("leaky_relu", 0.01),
    "tanh": ("tanh", None),
    "sigmoid": ("sigmoid", None),
    "SELU": ("selu", None),
    "ELU": ("elu", None),
    "GELU": ("gelu", None),
    "SiLU (Swish)": ("silu", None),
    "Mish": ("mish", None),
}
SUPERSCRIPTS = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")
DECAYS = {"He": 2.0, "Xavier, LeCun": 1.0, "PyTorch's default, biases 0": 1 / 3}


def gains() -> list[list[str]]:
    """Activation, forward and backward gain, and what torch has for it."""
    rows = []
    for title, (name, parameter) in ACTIVATIONS.items():
        try:
            known = f"{nn.init.calculate_gain(name, parameter):.3f}"  # type: ignore[arg-type]
        except ValueError:
            known = "–"
        row = [f"{gain(name):.3f}" for gain in (theory.gain, theory.backward_gain)]
        rows.append([title, *row, known])
    return rows


def _power(number: float) -> str:
    exponent = math.floor(math.log10(number))
    if -3 <= exponent <= 3:
        return f"{number:.2g}"
    return f"{number / 10**exponent:.1f} · 10{str(exponent).translate(SUPERSCRIPTS)}"


def decays() -> list[list[str]]:
    """Mean square after some ReLU layers of weights of variance factor/n, relative to the first."""
    rows = []
    for title, factor in DECAYS.items():
        (step,) = theory.length_map([1.0], torch.relu, math.sqrt(factor))
        rows.append([title, *(_power(step**depth) for depth in (3, 10, 50))])
    return rows


def accuracies(table: Path) -> tuple[list[list[str]], int]:
    """Scheme, accuracy and half of its interval, in %, from the runs in a table; and the seeds."""
    runs: dict[str, list[float]] = {}
    with table.open(encoding="utf-8", newline="") as file:
        for run in csv.DictReader(file):
            runs.setdefault(run["label"], []).append(float(run["valid_accuracy"] or "nan"))
    rows = []
    for label, values in runs.items():
        mean, interval = mean_interval(values)
        half = f"{100 * (interval[1] - interval[0]) / 2:.2f}" if interval else "–"
        rows.append([label, f"{100 * mean:.2f}", half])
    return rows, max(map(len, runs.values()))


def contents(docs: Path) -> dict[str, Any]:
    """Everything that the page shows and that is not fixed."""
    table = docs / TABLE
    rows, seeds = accuracies(table) if table.exists() else ([], 0)
    return {
        "version": initguide.__version__,
        "torch": str(torch.__version__).partition("+")[0],
        "truncated": f"{theory.truncated_normal_moments(-2, 2).std:.2f}",
        "gains": gains(),
        "decay": decays(),
        "choices": which.sheet(docs),
        "accuracies": rows,
        "seeds": seeds,
    }


def write(app: Sphinx) -> None:
    """Typeset the page, once the gallery is there."""
    docs = Path(app.srcdir)
    numbers = contents(docs)
    if not numbers["accuracies"]:
        logger.info("the cheat sheet has no accuracies: %s has not run", TABLE.name)
    pdf = typst.compile(
        str(docs / "cheatsheet.typ"),
        sys_inputs={"data": json.dumps(numbers)},
        ignore_system_fonts=True,  # only those that come with Typst: the same page everywhere
    )
    target = docs / OUTPUT
    if not target.exists() or target.read_bytes() != pdf:
        target.write_bytes(pdf)


def setup(app: Sphinx) -> dict[str, bool]:
    """Run after Sphinx-Gallery, which generates the pages at priority 500."""
    app.connect("builder-inited", write, priority=700)
    return {"parallel_read_safe": True, "parallel_write_safe": True}

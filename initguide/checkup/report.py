"""What a check-up says: findings, and the report in a terminal, a notebook and as JSON."""

import html
import json
import math
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Literal

from initguide.propagation import Measurement, Record
from initguide.tables import Code, Table

Severity = Literal["error", "warning", "note"]

ORDER = {"error": 0, "warning": 1, "note": 2}
WIDTH = 100


@dataclass(frozen=True)
class Attempt:
    """A remedy that was tried on a copy of the model.

    Attributes
    ----------
    code
        Python, executed as it stands here.
    outcome
        What it did.
    kept
        Whether it is the advice.
    """

    code: str
    outcome: str
    kept: bool


@dataclass(frozen=True)
class Finding:
    """One thing that was found.

    Attributes
    ----------
    code
        From `initguide.checkup.CODES`.
    severity
        ``"error"``: it will not train; ``"warning"``: it will train worse; ``"note"``: good to
        know.
    layer
        The layer's name in ``model.named_modules()``, the first one if there are several;
        ``"inputs"`` for the inputs, ``"targets"`` for the targets.
    evidence
        What was measured, beside what is predicted or healthy.
    advice
        Python to paste; ``model``, ``inputs``, ``targets``, ``loss``, ``torch`` and ``initguide``
        are at hand. It was tried, with what stands above it in the report. Empty if nothing that
        was tried helped, or nothing was.
    tried
        What was tried, in its order.
    """

    code: str
    severity: Severity
    layer: str
    evidence: str
    advice: str
    tried: tuple[Attempt, ...] = ()


@dataclass(frozen=True, eq=False, repr=False)
class Checkup:
    """What `check_init` found: printed, a table; the same in a notebook.

    Attributes
    ----------
    findings
        What is wrong with the inputs first, for layers may only seem faulty because of it; then
        errors, warnings and notes; within these in the order of the layers.
    measurement
        All that was measured.
    remarks
        What could not be judged, and why; which loss was used.
    """

    findings: tuple[Finding, ...]
    measurement: Measurement
    remarks: tuple[str, ...] = field(default=())

    @property
    def layers(self) -> tuple[Record, ...]:
        """What each layer did, in the order in which they ran."""
        return self.measurement.layers

    @property
    def ok(self) -> bool:
        """Whether nothing worse than a note was found."""
        return all(finding.severity == "note" for finding in self.findings)

    @property
    def advice(self) -> str:
        """All advice in one piece, in the order in which it is printed; empty if there is none."""
        # Advice holds what stands above it, so the last piece holds all.
        return next((f.advice for f in reversed(self.findings) if f.advice), "")

    def to_json(self) -> str:
        """Everything as JSON: ``ok``, ``loss``, ``findings``, ``layers``, ``remarks``.

        Numbers that are not finite become ``null`` (NaN) or the words ``"inf"`` and ``"-inf"``.
        """
        layers = []
        for record in self.layers:
            numbers = asdict(replace(record, histograms={}, quantiles={}))
            del numbers["histograms"], numbers["quantiles"]
            layers.append(numbers)
        return json.dumps(
            _plain(
                {
                    "ok": self.ok,
                    "source": self.measurement.source,
                    "loss": self.measurement.loss,
                    "loss_name": self.measurement.loss_name,
                    "findings": [asdict(finding) for finding in self.findings],
                    "layers": layers,
                    "remarks": self.remarks,
                }
            ),
            ensure_ascii=False,
            allow_nan=False,
            indent=2,
        )

    @property
    def _verdict(self) -> str:
        number = len(self.layers)
        name = self.measurement.source.split(" in ", maxsplit=1)[0]
        parts = []
        for severity in ORDER:
            count = sum(finding.severity == severity for finding in self.findings)
            if count:
                parts.append(f"{count} {severity}{'s' * (count > 1)}")
        found = ", ".join(parts) or "nothing found"
        return f"{name}, {number} layer{'s' * (number > 1)}: {found}"

    def _groups(self) -> list[list[Finding]]:
        """Gather what says the same of different layers."""
        groups: dict[tuple[str, str], list[Finding]] = {}
        for finding in self.findings:
            groups.setdefault((finding.severity, finding.code), []).append(finding)
        return list(groups.values())

    def _rows(self) -> Iterator[tuple[Finding, str, str, list[str]]]:
        """Yield the first finding of each group, its layers, evidence, and code to be printed.

        The evidence is that of the first layer, which it names where there are others. Advice is
        printed so that all of it can be pasted in its order: what stands above is not repeated.
        """
        above = ""
        for group in self._groups():
            names = list(dict.fromkeys(finding.layer for finding in group))
            more = f" and {len(names) - 3} more" if len(names) > 4 else ""
            shown = names[:3] if more else names
            pieces = list(dict.fromkeys(finding.advice for finding in group if finding.advice))
            if not pieces:
                lines = _in_vain(group[0].tried, above)
            else:
                lines = [piece for advice in pieces if (piece := _below(above, advice))]
                lines = lines or ["# the advice above mends this, too"]
                above = max((above, *pieces), key=len)
            evidence = f"{names[0]}: {group[0].evidence}" if names[1:] else group[0].evidence
            yield group[0], ", ".join(shown) + more, evidence, lines

    def __str__(self) -> str:
        rule = "─" * WIDTH
        lines = [self._verdict, rule]
        indent = " " * 9
        for finding, names, evidence, advice in self._rows():
            head = f"{finding.severity:<9}{finding.code}: {names}"
            lines += textwrap.wrap(head, WIDTH, subsequent_indent=indent) or [head]
            for text in textwrap.wrap(evidence, WIDTH - 9):
                lines.append(indent + text)
            for code in advice:
                first, *rest = code.split("\n")
                lines += [f"{indent}>>> {first}", *(f"{indent}    {text}" for text in rest)]
        lines += [rule] * bool(self.findings)
        if self.advice:  # what stands above is indented, and says >>> where a piece begins
            lines.append("To paste: the attribute .advice is the code alone.")
        for remark in self.remarks:
            lines += textwrap.wrap(remark, WIDTH)
        return "\n".join(line.rstrip() for line in lines)

    __repr__ = __str__

    def _repr_html_(self) -> str:
        if not self.findings:
            notes = f'<p class="initguide-note">{html.escape(" ".join(self.remarks))}</p>'
            return f"<p><strong>{html.escape(self._verdict)}</strong></p>{notes}"
        rows = [
            {
                "finding": finding.code,
                "severity": finding.severity,
                "layer": names,
                "evidence, and what to do": Code("\n".join(advice), before=evidence),
            }
            for finding, names, evidence, advice in self._rows()
        ]
        columns = {name: [row[name] for row in rows] for name in rows[0]}
        return Table(columns, caption=self._verdict, note=" ".join(self.remarks))._repr_html_()


def _below(above: str, advice: str) -> str:
    """Return what advice adds to the advice that is printed above it."""
    if advice == above or above.startswith(f"{advice}\n"):
        return ""
    return advice.removeprefix(f"{above}\n") if above else advice


def _in_vain(tried: Sequence[Attempt], above: str) -> list[str]:
    """Comments that say what was tried without success."""
    lines = []
    for attempt in tried:
        code = _below(above, attempt.code).split("\n")
        number = len(code) - 1
        more = f" (and {number} more line{'s' * (number > 1)})" if number else ""
        lines += textwrap.wrap(f"{code[0]}{more}: {attempt.outcome}", WIDTH - 17)
    comments = ["# tried, and none of it helped:", *(f"# {line}" for line in lines)]
    return ["\n".join(comments)] if tried else []


def _plain(value: Any) -> Any:
    """Turn what JSON does not know into what it does."""
    if isinstance(value, float) and not math.isfinite(value):
        return None if math.isnan(value) else str(value)
    if isinstance(value, Mapping):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return value

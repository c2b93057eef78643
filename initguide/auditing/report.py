"""What an audit says: a line a parameter and what was found, for a terminal, a notebook, JSON."""

import dataclasses
import html
import json
import math
from dataclasses import dataclass
from typing import Any, Literal

from initguide.tables import Table

__all__ = ["Audit", "Finding", "Parameter", "Severity"]

Severity = Literal["error", "warning", "note"]


@dataclass(frozen=True)
class Finding:
    """One thing that was found about a parameter.

    Attributes
    ----------
    code
        From `initguide.auditing.CODES`.
    severity
        ``"error"``: not what was intended, or not numbers; ``"warning"``: seldom intended;
        ``"note"``: good to know.
    parameter
        Its name.
    evidence
        What was seen.
    """

    code: str
    severity: Severity
    parameter: str
    evidence: str


@dataclass(frozen=True)
class Parameter:
    """What one parameter really got.

    Attributes
    ----------
    name
        As in ``model.named_parameters()``, the first one of a tied parameter.
    shape
        Its shape.
    dtype
        Such as ``"float32"``.
    distribution
        ``"zero"``, ``"constant"``, ``"identity"``, ``"orthogonal"``, ``"uniform"``, ``"normal"``,
        ``"truncated normal"``, ``"sparse"``, ``"other"`` or ``"not finite"``; several with "or"
        between them where there are too few values to tell; ``"not read"`` if it holds no numbers.
    written
        The distribution with its numbers.
    test
        The test behind it, or why it was not read.
    mean, std
        Of all values; NaN if they are not finite or not read.
    fan_in
        Of its layer; NaN if that is unknown.
    scaled
        std × √fan-in: 1 for LeCun, √2 for He, 1/√3 for PyTorch's linear layers. Of weights only.
    rules
        The known rules that it may have been drawn by.
    intended
        The scheme that was meant for it, ``None`` if none was.
    as_intended
        Whether it is what was meant, ``None`` if nothing was.
    last_write
        Who wrote it last, if that was watched.
    """

    name: str
    shape: tuple[int, ...]
    dtype: str
    distribution: str
    written: str
    test: str
    mean: float
    std: float
    fan_in: float
    scaled: float
    rules: tuple[str, ...]
    intended: str | None = None
    as_intended: bool | None = None
    last_write: str | None = None


@dataclass(frozen=True, eq=False, repr=False)
class Audit:
    """What an audit found: printed, a table; the same in a notebook.

    Attributes
    ----------
    model
        The class of the model.
    parameters
        Each of them, in the order of ``model.named_parameters()``.
    findings
        Errors first, then warnings and notes; within these in the order of the parameters.
    false_alarm
        Bound of the rate at which a parameter is refused that was drawn from the distribution
        asked for.
    """

    model: str
    parameters: tuple[Parameter, ...]
    findings: tuple[Finding, ...]
    false_alarm: float

    @property
    def ok(self) -> bool:
        """Whether nothing worse than a note was found."""
        return all(finding.severity == "note" for finding in self.findings)

    def __getitem__(self, name: str) -> Parameter:
        """Return the parameter of a name."""
        for parameter in self.parameters:
            if parameter.name == name:
                return parameter
        known = ", ".join(parameter.name for parameter in self.parameters)
        raise KeyError(f"no parameter is called {name!r}; there are {known}")

    def table(self) -> Table:
        """One line a parameter."""
        rows = self.parameters
        columns: dict[str, list[Any]] = {
            "parameter": [p.name for p in rows],
            "shape": ["×".join(map(str, p.shape)) or "scalar" for p in rows],
            "distribution": [p.distribution for p in rows],
            "mean": [p.mean for p in rows],
            "std": [p.std for p in rows],
            "std·√fan-in": [p.scaled for p in rows],
            "rule": [_some(p.rules) for p in rows],
        }
        if any(p.intended is not None for p in rows):
            columns["as intended"] = [
                None if p.as_intended is None else "yes" if p.as_intended else "no" for p in rows
            ]
        if any(p.last_write is not None for p in rows):
            columns["written last by"] = [p.last_write for p in rows]
        bad = {f.parameter for f in self.findings if f.severity != "note"}
        return Table(
            columns,
            caption=self._verdict,
            note=f"A rule is named if no test refuses it. Each refuses {self.false_alarm:.0e} of "
            "the parameters that were drawn by it, at most.",
            formats={"mean": ".2g"},
            marked=[i for i, p in enumerate(rows) if p.name in bad],
        )

    @property
    def _verdict(self) -> str:
        counts = [
            f"{count} {severity}{'s' * (count > 1)}"
            for severity in ("error", "warning", "note")
            if (count := sum(f.severity == severity for f in self.findings))
        ]
        number = len(self.parameters)
        return (
            f"{self.model}, {number} parameter{'s' * (number != 1)}: "
            f"{', '.join(counts) or 'nothing found'}"
        )

    def _found(self) -> Table | None:
        """One line for what is said of parameters in the same words; ``None`` if nothing was."""
        groups: dict[tuple[str, str, str], list[str]] = {}
        for f in self.findings:
            groups.setdefault((f.code, f.severity, f.evidence), []).append(f.parameter)
        if not groups:
            return None
        return Table(
            {
                "finding": [code for code, _, _ in groups],
                "severity": [severity for _, severity, _ in groups],
                "parameter": [_some(names) for names in groups.values()],
                "evidence": [evidence for _, _, evidence in groups],
            },
            caption="What was found",
        )

    def __str__(self) -> str:
        found = self._found()
        return str(self.table()) + (f"\n\n{found}" if found else "")

    __repr__ = __str__

    def _repr_html_(self) -> str:
        if not self.parameters:
            return f"<p><strong>{html.escape(self._verdict)}</strong></p>"
        found = self._found()
        return self.table()._repr_html_() + (found._repr_html_() if found else "")

    def to_json(self) -> str:
        """Everything as JSON: ``ok``, ``model``, ``false_alarm``, ``findings``, ``parameters``.

        Numbers that are not finite become ``null``.
        """
        plain = {
            "ok": self.ok,
            "model": self.model,
            "false_alarm": self.false_alarm,
            "findings": [dataclasses.asdict(finding) for finding in self.findings],
            "parameters": [
                {
                    key: None if isinstance(value, float) and not math.isfinite(value) else value
                    for key, value in dataclasses.asdict(parameter).items()
                }
                for parameter in self.parameters
            ],
        }
        return json.dumps(plain, ensure_ascii=False, allow_nan=False, indent=2)


def _some(names: list[str] | tuple[str, ...]) -> str | None:
    """The first few of several names."""
    more = len(names) - 3
    shown = ", ".join(names[:3]) + (f" and {more} more" if more > 0 else "")
    return shown or None

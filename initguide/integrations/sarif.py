"""A report in SARIF 2.1.0, the format in which code hosts and editors take findings.

https://docs.oasis-open.org/sarif/sarif/v2.1.0/sarif-v2.1.0.html
"""

import json
import sys
from pathlib import Path
from typing import Any
from urllib.parse import quote

from initguide.arguments import check_whole
from initguide.checkup import CODES, Checkup, Finding

__all__ = ["sarif"]

# Importing the package's face would be a circle.
_VERSION = str(sys.modules["initguide"].__version__)
SCHEMA = "https://json.schemastore.org/sarif-2.1.0.json"


def sarif(report: Checkup, file: str | Path | None = None, line: int = 1) -> str:
    """Write a report in SARIF 2.1.0, for CI and editors.

    Parameters
    ----------
    report
        What `initguide.check_init` returned.
    file
        Where the network is made, relative to the folder of the repository: findings are shown
        there. Without it they have no place but the layer, which some hosts refuse.
    line
        Which line of that file, at least 1.

    Returns
    -------
    str
        JSON. Severities are SARIF's own levels, so ``error``, ``warning`` and ``note`` stay what
        they are; the layer is a logical location.

    Raises
    ------
    ValueError
        If ``line`` is no whole number, or below 1.

    Examples
    --------
    >>> import torch
    >>> from initguide import Net, check_init
    >>> report = check_init(Net(constant_weight=0.0), torch.randn(8, 1, 28, 28), advice=False)
    >>> log = json.loads(sarif(report, "models.py", 12))
    >>> log["runs"][0]["results"][0]["level"]
    'error'
    """
    line = check_whole("line", line, 1)
    place: dict[str, Any] = {}
    if file is not None:
        place = {
            "physicalLocation": {
                "artifactLocation": {"uri": _uri(Path(file))},
                "region": {"startLine": line},
            }
        }
    used = list(dict.fromkeys(finding.code for finding in report.findings))
    driver = {
        "name": "initguide",
        "semanticVersion": _VERSION,
        "rules": [{"id": code, "shortDescription": {"text": CODES[code]}} for code in used],
    }
    run = {
        "tool": {"driver": driver},
        "results": [_result(finding, used, place) for finding in report.findings],
        "columnKind": "unicodeCodePoints",
    }
    log = {"$schema": SCHEMA, "version": "2.1.0", "runs": [run]}
    return json.dumps(log, ensure_ascii=False, indent=2)


def _uri(path: Path) -> str:
    """A relative path with slashes; an absolute one as a file's address."""
    return path.as_uri() if path.is_absolute() else quote(path.as_posix())


def _result(finding: Finding, rules: list[str], place: dict[str, Any]) -> dict[str, Any]:
    text = f"{finding.layer}: {finding.evidence}"
    if finding.advice:
        text += f"\nAdvice that was tried:\n{finding.advice}"
    layer = {"fullyQualifiedName": finding.layer, "kind": "member"}
    return {
        "ruleId": finding.code,
        "ruleIndex": rules.index(finding.code),
        "level": finding.severity,
        "message": {"text": text},
        "locations": [{**place, "logicalLocations": [layer]}],
    }

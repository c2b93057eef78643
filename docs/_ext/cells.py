"""What a cell of a page ends with."""

import ast
from typing import Any


def value_shown(block: Any, block_vars: dict[str, Any]) -> Any:
    """Value of the expression that a cell ends with; None if it ends with something else."""
    body = ast.parse(block.content).body
    if not body or not isinstance(body[-1], ast.Expr):
        return None
    return block_vars["example_globals"].get("___")  # where Sphinx-Gallery keeps it

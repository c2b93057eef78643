"""``.. terminal::``, a command of the package and what it really prints."""

import os
import shlex
import subprocess
import sys

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.util import logging
from sphinx.util.docutils import SphinxDirective
from uses import PACKAGE

logger = logging.getLogger(__name__)

# What the installed command `initguide` does, with the interpreter that builds the site.
RUN = "import sys; sys.argv[0] = 'initguide'; from initguide.cli import main; sys.exit(main())"


class Terminal(SphinxDirective):
    """Run ``initguide …`` while building, and show the command with its output."""

    required_arguments = 1
    final_argument_whitespace = True

    def run(self) -> list[nodes.Node]:
        """Show the output; a command that fails is a warning."""
        for file in PACKAGE.rglob("*.py"):
            self.env.note_dependency(str(file))
        words = shlex.split(self.arguments[0])
        environment = {**os.environ, "COLUMNS": "84", "NO_COLOR": "1"}
        done = subprocess.run(  # noqa: S603  the words are ours
            [sys.executable, "-c", RUN, *words[1:]],
            capture_output=True,
            text=True,
            env=environment,
            check=False,
        )
        if done.returncode:
            logger.warning(
                "%r failed: %s", self.arguments[0], done.stderr, location=self.get_location()
            )
        text = f"$ {self.arguments[0]}\n{done.stdout.rstrip()}"
        return [nodes.literal_block(text, text, language="console")]


def setup(app: Sphinx) -> dict[str, bool]:
    """Register the directive."""
    app.add_directive("terminal", Terminal)
    return {"parallel_read_safe": True, "parallel_write_safe": True}

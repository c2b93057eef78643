"""Formulas as MathML, converted while building: no JavaScript and no request from the page.

The converter is the one in docutils. It knows less LaTeX than MathJax; a formula that it cannot
convert is a warning, and a warning fails the build.
"""

import re

from docutils import nodes
from docutils.utils.math import MathError
from docutils.utils.math.latex2mathml import tex2mathml
from sphinx.application import Sphinx
from sphinx.util import logging
from sphinx.util.math import get_node_equation_number
from sphinx.writers.html5 import HTML5Translator

logger = logging.getLogger(__name__)

BARE = re.compile(r"\\[td]?frac\s*[^\s{]")
ALIGN = re.compile(r"\\begin\{(align|aligned|split)\*?\}(.*?)\\end\{\1\*?\}", re.DOTALL)


def convert(latex: str, *, block: bool = False) -> str:
    r"""MathML for a formula.

    Parameters
    ----------
    latex
        The formula. ``\begin{align}`` may be written around lines that end with ``\\``; it may
        be left out too, as in Sphinx.
    block
        A displayed formula, on its own line.

    Raises
    ------
    ValueError
        If the converter does not know a command, or would misread what lacks braces.
    """
    source = ALIGN.sub(r"\2", latex).strip()
    bare = re.sub(r"\\[{}]", "", source)
    if bare.count("{") != bare.count("}"):
        raise ValueError(f"the braces do not match in the formula {latex!r}")
    if BARE.search(source):  # docutils would take 1 and 3 of "13" for one number
        raise ValueError(f"write the parts of a fraction in braces in the formula {latex!r}")
    try:
        return tex2mathml(source, as_block=block).replace("\n", "")
    except MathError as error:
        raise ValueError(f"cannot convert the formula {latex!r}: {error}") from error
    except (AttributeError, IndexError, KeyError, TypeError) as error:
        # docutils' parser trips over some input instead of refusing it, "&" in a line for one
        raise ValueError(f"cannot parse the formula {latex!r}") from error


def _convert_node(node: nodes.math | nodes.math_block, *, block: bool) -> str:
    try:
        return convert(node.astext(), block=block)
    except ValueError as error:
        logger.warning("%s", error, location=node, type="mathml")
        return f"<code>{nodes.unescape(node.astext())}</code>"


def visit_math(self: HTML5Translator, node: nodes.math) -> None:
    """Write an inline formula."""
    self.body.append(f'<span class="math">{_convert_node(node, block=False)}</span>')
    raise nodes.SkipNode


def visit_displaymath(self: HTML5Translator, node: nodes.math_block) -> None:
    """Write a displayed formula, with its number if it has one."""
    self.body.append(self.starttag(node, "div", CLASS="math"))
    self.body.append(f'<div class="math-scroll">{_convert_node(node, block=True)}</div>')
    if node["number"]:
        self.body.append(f'<span class="eqno">({get_node_equation_number(self, node)})')
        self.add_permalink_ref(node, "Link to this equation")
        self.body.append("</span>")
    self.body.append("</div>\n")
    raise nodes.SkipNode


def setup(app: Sphinx) -> dict[str, bool]:
    """Register the renderer, as ``html_math_renderer = "mathml"``."""
    app.add_html_math_renderer("mathml", (visit_math, None), (visit_displaymath, None))
    return {"parallel_read_safe": True, "parallel_write_safe": True}

"""``.. exercises::``, the exercises that the package grades, with what each of them can name."""

from collections.abc import Mapping

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective
from sphinx.util.parsing import nested_parse_to_nodes
from uses import PACKAGE

from initguide.exercises import COMMON, EXERCISES, Exercise


def _misconceptions(named: Mapping[str, str]) -> nodes.bullet_list:
    """A list: the words are set as they are, since code such as ``normal_`` is no markup."""
    bullets = nodes.bullet_list()
    for name, said in named.items():
        words = nodes.paragraph("", "", nodes.strong(text=name), nodes.Text(f": {said}."))
        bullets += nodes.list_item("", words)
    return bullets


class Exercises(SphinxDirective):
    """Show every exercise: what to write, where it belongs, and the misconceptions by name."""

    def run(self) -> list[nodes.Node]:
        """Make the list from the registry."""
        for file in (PACKAGE / "exercises").rglob("*.py"):
            self.env.note_dependency(str(file))
        shown = nodes.definition_list()
        for name, exercise in EXERCISES.items():
            term = nodes.term("", "", nodes.literal(text=name), ids=[f"exercise-{name}"])
            shown += nodes.definition_list_item("", term, self._definition(exercise))
        shown += nodes.definition_list_item(
            "",
            nodes.term(text="any of them"),
            nodes.definition("", _misconceptions(COMMON)),
        )
        return [shown]

    def _definition(self, exercise: Exercise) -> nodes.definition:
        definition = nodes.definition("", nodes.paragraph(text=exercise.task))
        link = f"An exercise of :doc:`/auto_examples/{exercise.page}`."
        definition += nested_parse_to_nodes(self.state, link, source=self.get_location())
        if exercise.misconceptions:
            definition += _misconceptions(exercise.misconceptions)
        return definition


def setup(app: Sphinx) -> dict[str, bool]:
    """Register the directive."""
    app.add_directive("exercises", Exercises)
    return {"parallel_read_safe": True, "parallel_write_safe": True}

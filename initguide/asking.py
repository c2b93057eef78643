"""Questions before a result: predict, then check what this run measured."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from initguide.sentences import Sentence, Sentences, says

__all__ = ["Question", "asks"]


@dataclass(frozen=True, repr=False)
class Question:
    """What `asks` returns. Printed, it is the question, its answers, and which is right.

    A notebook shows the last part folded, and the site does so, too.

    Attributes
    ----------
    question
        What is asked.
    answers
        What may be answered.
    right
        Which of the answers came out, counted from 0; ``None`` where none did.
    because
        What was measured.
    undecided
        Whether one of the answers is neither right nor wrong by what was measured.
    """

    question: Sentence
    answers: tuple[Sentence, ...]
    right: int | None
    because: Sentence | Sentences
    undecided: bool = False

    def __str__(self) -> str:
        answers = [f"  {letter(at)}) {answer}" for at, answer in enumerate(self.answers)]
        return "\n".join([str(self.question), *answers, f"{self.verdict} {self.because}"])

    __repr__ = __str__

    @property
    def verdict(self) -> str:
        """Which answer is right, in a sentence."""
        if self.right is None:
            return "None of them is decided." if self.undecided else "None of them came out."
        return f"The answer is {letter(self.right)}."

    def _repr_markdown_(self) -> str:
        answers = "\n".join(
            f"- **{letter(at)}**: {answer._repr_markdown_()}"
            for at, answer in enumerate(self.answers)
        )
        return (
            f"**Predict, then check.** {self.question._repr_markdown_()}\n\n{answers}\n\n"
            "<details><summary>Check your prediction</summary>\n\n"
            f"**{self.verdict}** {self.because._repr_markdown_()}\n\n</details>"
        )


def letter(at: int) -> str:
    """Return the letter of an answer: "a" for 0."""
    return "abcdefghij"[at]


def asks(
    question: str,
    answers: Sequence[str],
    right: Sequence[Any],
    because: Sentence | Sentences,
    /,
    **values: Any,
) -> Question:
    """Ask a question whose answer a measurement chooses.

    Parameters
    ----------
    question
        A sentence that ends with a question mark. It may have fields and markup, as in `says`.
    answers
        Two to ten, each different: the wrong ones are what people really believe.
    right
        For each of the answers, whether it is the right one: a comparison of numbers, or ``None``
        where an interval decides nothing. No more than one may be.
    because
        What `says` makes of the measurement.
    **values
        What the fields of the question and of the answers stand for.

    Returns
    -------
    Question
        It is shown by a cell that ends with it.

    Raises
    ------
    ValueError
        If there are too few answers, or two are the same; if ``right`` has not as many values, or
        holds for two of them; or if the question does not end with a question mark.
    TypeError
        If a value of ``right`` is no truth value, or ``because`` no sentence.

    Examples
    --------
    >>> left = 0.5**5
    >>> asks(
    ...     "What is left of the mean square behind {layers} layers?",
    ...     ["About half, as each layer halves it.", "A thirtieth: the halves multiply."],
    ...     [left > 0.4, 0.02 < left < 0.05],
    ...     says(left < 0.1, "The factors multiply: {left:.3f} is left.", "{left:.2f} is left.",
    ...          left=left),
    ...     layers=5,
    ... )
    What is left of the mean square behind 5 layers?
      a) About half, as each layer halves it.
      b) A thirtieth: the halves multiply.
    The answer is b. The factors multiply: 0.031 is left.
    """
    if not question.endswith("?"):
        raise ValueError(f"question is {question!r}; it must end with a question mark")
    if not 2 <= len(answers) <= 10 or len(set(answers)) < len(answers):
        raise ValueError(f"answers is {list(answers)!r}; give two to ten, each different")
    if len(right) != len(answers):
        raise ValueError(
            f"right has {len(right)} values for {len(answers)} answers; say of each whether it is "
            "right"
        )
    if not isinstance(because, Sentence | Sentences):
        raise TypeError(f"because is {because!r}; it must be what says(...) returns")
    # `says` knows what a truth value is, and what a field needs.
    outcomes = [says(holds, "yes", "no", "undecided").outcome for holds in right]
    found = [at for at, outcome in enumerate(outcomes) if outcome == "so"]
    if len(found) > 1:
        both = " and ".join(repr(answers[at]) for at in found[:2])
        raise ValueError(f"right holds for {both}; no more than one answer may be right")
    return Question(
        _filled(question, values),
        tuple(_filled(answer, values) for answer in answers),
        found[0] if found else None,
        because,
        "undecided" in outcomes,
    )


def _filled(text: str, values: dict[str, Any]) -> Sentence:
    return says(True, text, text, **values)

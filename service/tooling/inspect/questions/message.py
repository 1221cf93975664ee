"""Questions as text for people."""

from collections.abc import Iterable

from service.tooling.inspect.questions.question import Question


def ask_for(questions: Iterable[Question]) -> list[str]:
    """Return two lines for each question: why it is asked, and the option of the command line with the choices."""
    return [
        line
        for question in questions
        for line in (f"{question.reason}:", f"    --set {question.field}={question.options()}")
    ]

"""Questions about what goes in and comes out of a network, which its weights give the sizes of, and nothing else."""

from collections.abc import Mapping, Sequence
from typing import Any

from service.tooling.inspect.questions.question import Choice, Kind, Question, choices_of, word_of

TASK_REASON = "what the {count} of a timestep {are}: steps ahead, classes, labels or numbers"


def ask_task(plain: str, others: Sequence[str], outputs: int) -> Question:
    """Return the question for the task of a network with so many outputs."""
    one = outputs == 1
    reason = TASK_REASON.format(count="one output" if one else f"{outputs} outputs", are="is" if one else "are")
    choices = choices_of(plain, *(task for task in others if task != plain))
    return Question("task", reason, choices, kind="network")


def ask_one_hot(width: int, *, plain: bool = False) -> list[Question]:
    """Return the question whether a network over rows of numbers reads tokens as unit vectors."""
    if width < 2:
        return []
    words = [Choice("false", False), Choice("true", True)]
    reason = f"whether its {width} inputs are unit vectors of {width} tokens, such as characters, and no numbers"
    return [Question("one_hot", reason, tuple(words[::-1] if plain else words), kind="network")]


def ask_proposed(
    config: Mapping[str, Any], fields: Mapping[str, str], kind: Kind = "meaning", further: str = ""
) -> list[Question]:
    """Return a question for each of the `fields`, with its reason, whose plain choice is the proposed value."""
    questions: list[Question] = []
    for field, reason in fields.items():
        value: Any = config
        for step in field.split("."):
            value = value[step]
        questions.append(Question(field, reason, (Choice(word_of(value), value),), kind=kind, further=further or "..."))
    return questions

"""A question that the tensors of a checkpoint leave open: the field of config.json that answers it, and its choices."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

#: What an answer decides: which network is proposed, and so what else is asked; the numbers that it computes; what is
#: done in front of its inputs or behind its outputs, which vectors do not show, but is mostly plain; what the numbers
#: mean, which no vectors prove either; or what they are called.
Kind = Literal["network", "forward", "outside", "meaning", "names"]


class Choice(NamedTuple):
    """An answer: the word for it on the command line, and the value in config.json."""

    word: str
    value: object


@dataclass(frozen=True, slots=True)
class Question:
    """What is asked, why the weights cannot tell, and the choices, of which the plain one comes first.

    A proposal has the value of the plain choice. `further` stands for answers beside the choices, such as `N`.
    `answered_by` are other fields that answer the question as well. `counts_timesteps`: a number of timesteps is an
    answer. `changes_reading`: the answer decides how inputs are read, too. Without `has_plain` the first choice is an
    example only: a statement or golden vectors answer the question.
    """

    field: str
    reason: str
    choices: tuple[Choice, ...]
    kind: Kind = "forward"
    further: str = ""
    answered_by: tuple[str, ...] = ()
    counts_timesteps: bool = False
    changes_reading: bool = False
    has_plain: bool = True

    @property
    def plain(self) -> Choice:
        """The choice of a network without anything special."""
        return self.choices[0]

    def is_stated(self, settings: Mapping[str, object]) -> bool:
        """Return whether settings answer it, by its field or by an object or list that has the field."""
        fields = [self.field, *self.answered_by]
        return any(field in settings or field.partition(".")[0] in settings for field in fields)

    def choice_of(self, answer: object) -> Choice:
        """Return the choice of this word or value, or an answer that is none of the choices as one."""
        for choice in self.choices:
            if answer == choice.value or (isinstance(answer, str) and answer == choice.word):
                return choice
        return Choice(word_of(answer), answer)

    def flag(self, choice: Choice | None = None) -> tuple[str, str]:
        """Return the words of the command line that answer it, by default with the plain choice."""
        plain = self.plain.word if self.has_plain else self.further
        return "--set", f"{self.field}={plain if choice is None else choice.word}"

    def options(self) -> str:
        """Return the answers as a line."""
        words = [choice.word for choice in self.choices] if self.has_plain else []
        return " | ".join([*words, *([self.further] if self.further else [])])

    def to_dict(self) -> dict[str, Any]:
        """Return the question as JSON values."""
        return {
            "field": self.field,
            "reason": self.reason,
            "choices": [choice.word for choice in self.choices] if self.has_plain else [],
            **({"further": self.further} if self.further else {}),
        }


@dataclass(frozen=True, slots=True)
class FollowUp:
    """A question that is asked where `field` of config.json has one of `values`."""

    field: str
    values: tuple[object, ...]
    question: Question


def flags_of(settings: Mapping[str, object]) -> list[str]:
    """Return the words of the command line that state these fields of config.json."""
    return [word for field, value in settings.items() for word in ("--set", f"{field}={word_of(value)}")]


def word_of(value: object) -> str:
    """Return the word for a value of config.json."""
    return value if isinstance(value, str) else json.dumps(value)


def choices_of(*values: object, words: Mapping[str, object] | None = None) -> tuple[Choice, ...]:
    """Return the choices of `words`, and of values that are their own words."""
    named = [Choice(word, value) for word, value in (words or {}).items()]
    return (*named, *(Choice(word_of(value), value) for value in values))

"""What a translation model is asked, once the general operations are read for it."""

from dataclasses import dataclass

from service.domain.errors import InvalidRequest
from service.domain.operations import Input, OpenSession, Operation, Predict, Score
from service.tasks.inputs import require_text
from service.tasks.options import convert_options


@dataclass(frozen=True, slots=True)
class TranslateOptions:
    """How to search for translations; `max_tokens` (end included) None: twice the source's tokens and ten."""

    beam_size: int = 4
    max_tokens: int | None = None
    alternatives: int = 0
    attention: bool = False


@dataclass(frozen=True, slots=True)
class Translate:
    """Translate a text, sentence by sentence."""

    text: str
    options: TranslateOptions = TranslateOptions()


@dataclass(frozen=True, slots=True)
class ScoreTranslation:
    """Answer with the log-probability of each token of a given translation; both texts are taken as one sentence."""

    text: str
    target: str


@dataclass(frozen=True, slots=True)
class OpenTranslation:
    """Read the source sentence of a new session; the outcome's state is its state 0."""

    text: str


@dataclass(frozen=True, slots=True)
class CompletionOptions:
    """How many next words to list, and how to search for the rest of the sentence."""

    top_k: int = 5
    beam_size: int = 4
    max_tokens: int | None = None


@dataclass(frozen=True, slots=True)
class AcceptTranslation:
    """Feed accepted target words, answer with the next ones and the rest of the sentence; None: only look."""

    text: str | None
    options: CompletionOptions = CompletionOptions()


Request = Translate | ScoreTranslation | OpenTranslation | AcceptTranslation


def read_request(operation: Operation, *, in_session: bool) -> Request:
    """Return what an operation means to a translation model. Raises InvalidRequest for what it cannot mean."""
    match operation:
        case Predict() if in_session:
            return _accept(operation)
        case Predict():
            options = convert_options(operation.options, TranslateOptions, "translation")
            return Translate(_text(operation.input), options)
        case Score():
            given = require_text(operation.input)
            if given.target is None:
                raise InvalidRequest("input.target is missing: expected the translation to score", param="input.target")
            return ScoreTranslation(_text(given, target=True), given.target)
        case OpenSession():
            return OpenTranslation(_text(operation.input))
    raise InvalidRequest("the model translates and generates no free text: expected predict, score or a step")


def _accept(operation: Predict) -> AcceptTranslation:
    options = convert_options(operation.options, CompletionOptions, "a translation's session")
    return AcceptTranslation(None if operation.input is None else _text(operation.input), options)


def _text(given: Input | None, *, target: bool = False) -> str:
    found = None if given is None else require_text(given)
    if found is None or found.text is None:
        raise InvalidRequest(
            "input.text is missing: expected text, since a translation model reads no tokens or ids", param="input.text"
        )
    if found.target is not None and not target:
        raise InvalidRequest("input.target is given: expected it for score only", param="input.target")
    return found.text

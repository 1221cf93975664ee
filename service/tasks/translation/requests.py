"""Requests to a translation model, read from the operations that all tasks share."""

from dataclasses import dataclass

from service.domain.errors import InvalidRequest
from service.domain.operations import Generate, GenerateOptions, Input, OpenSession, Operation, Predict, Score
from service.tasks.inputs import require_text
from service.tasks.options import convert_options


@dataclass(frozen=True, slots=True)
class TranslateOptions:
    """The options of a translation.

    `max_tokens` counts target tokens with the end of sequence; None for twice the source's tokens and ten.
    `alternatives` is the number of further translations to return, `attention` asks for the attention weights.
    """

    beam_size: int = 4
    max_tokens: int | None = None
    alternatives: int = 0
    attention: bool = False


@dataclass(frozen=True, slots=True)
class Translate:
    """Translation of a text, sentence by sentence."""

    text: str
    options: TranslateOptions = TranslateOptions()


@dataclass(frozen=True, slots=True)
class GenerateTranslation(Translate):
    """Translation of a text, answered as a generation is."""


@dataclass(frozen=True, slots=True)
class ScoreTranslation:
    """Log-probability of each token of the translation `target`; each of the two texts is taken as one sentence."""

    text: str
    target: str


@dataclass(frozen=True, slots=True)
class OpenTranslation:
    """Encoding of the source sentence of a session; the state of the outcome is its state 0.

    The text is that of a new session; None stands for the source of the session whose state it starts from.
    """

    text: str | None


@dataclass(frozen=True, slots=True)
class CompletionOptions:
    """The options of a translator's step: `top_k` next words to list, and the search for the rest of the sentence."""

    top_k: int = 5
    beam_size: int = 4
    max_tokens: int | None = None


@dataclass(frozen=True, slots=True)
class AcceptTranslation:
    """Acceptance of target words; the next words and the rest of the sentence are predicted. None accepts no word."""

    text: str | None
    options: CompletionOptions = CompletionOptions()


Request = Translate | ScoreTranslation | OpenTranslation | AcceptTranslation


def read_request(operation: Operation, *, in_session: bool) -> Request:
    """Return an operation as a request to a translation model.

    Raises InvalidRequest for an operation, input or option that the model does not have.
    """
    match operation:
        case Predict() if in_session:
            return _accept(operation)
        case Predict():
            options = convert_options(operation.options, TranslateOptions, "translation")
            return Translate(_read_text(operation.input), options)
        case Generate() if not in_session:
            _check_generation(operation.options)
            return GenerateTranslation(
                _read_text(operation.input), TranslateOptions(max_tokens=operation.options.max_tokens)
            )
        case Score():
            text_input = require_text(operation.input)
            if text_input.target is None:
                raise InvalidRequest("input.target is missing: expected the translation to score", param="input.target")
            if not isinstance(text_input.target, str):
                raise InvalidRequest(
                    "input.target is a list or a number: expected a text, the translation to score",
                    param="input.target",
                )
            return ScoreTranslation(_read_text(text_input, with_target=True), text_input.target)
        case OpenSession():
            again = in_session and operation.input is None
            return OpenTranslation(None if again else _read_text(operation.input))
    raise InvalidRequest("the model translates and generates no free text: expected predict, score or a step")


def _check_generation(options: GenerateOptions) -> None:
    """Raise InvalidRequest for an option that the search for the best translation cannot honour."""
    neutral = {"temperature": (0, 1), "top_k": (None,), "top_p": (None, 1), "stop": ((),)}
    neutral |= {"logprobs": (None,), "echo": (False,)}
    for name, values in neutral.items():
        value = getattr(options, name)
        if value not in values:
            raise InvalidRequest(
                f"options.{name} is {value!r}: expected it to be left out, since the best translation is searched for "
                "and no token is drawn",
                param=f"options.{name}",
            )


def _accept(operation: Predict) -> AcceptTranslation:
    options = convert_options(operation.options, CompletionOptions, "a translation's session")
    return AcceptTranslation(None if operation.input is None else _read_text(operation.input), options)


def _read_text(model_input: Input | None, *, with_target: bool = False) -> str:
    text_input = None if model_input is None else require_text(model_input)
    if text_input is None or text_input.text is None:
        raise InvalidRequest(
            "input.text is missing: expected text, since a translation model reads no tokens or ids", param="input.text"
        )
    if text_input.target is not None and not with_target:
        raise InvalidRequest("input.target is given: expected it for score only", param="input.target")
    return text_input.text

"""The operations that tests ask of translation models."""

from service.domain.operations import OpenSession, Predict, PredictOptions, Score, TextInput

DEFAULT = PredictOptions()


def translate_options(
    beam_size: int = 4, max_tokens: int | None = None, alternatives: int = 0, attention: bool = False
) -> PredictOptions:
    """The options of a translation."""
    return PredictOptions(beam_size=beam_size, max_tokens=max_tokens, alternatives=alternatives, attention=attention)


def completion_options(top_k: int = 5, beam_size: int = 4, max_tokens: int | None = None) -> PredictOptions:
    """The options of a translator's step."""
    return PredictOptions(top_k=top_k, beam_size=beam_size, max_tokens=max_tokens)


def translate_request(text: str, options: PredictOptions = DEFAULT) -> Predict:
    """Translate a text; asked without a state."""
    return Predict(TextInput(text=text), options)


def score_request(text: str, target: str) -> Score:
    """Score a given translation."""
    return Score(TextInput(text=text, target=target))


def open_request(text: str) -> OpenSession:
    """Create a session with its source."""
    return OpenSession(TextInput(text=text))


def accept_request(text: str | None, options: PredictOptions = DEFAULT) -> Predict:
    """Accept target words; asked with a session's state."""
    return Predict(None if text is None else TextInput(text=text), options)

"""The operations that tests ask of translation models."""

from service.domain.operations import OpenSession, Predict, PredictOptions, Score, TextInput

DEFAULT = PredictOptions()


def TranslateOptions(  # noqa: N802
    beam_size: int = 4, max_tokens: int | None = None, alternatives: int = 0, attention: bool = False
) -> PredictOptions:
    """The options of a translation."""
    return PredictOptions(beam_size=beam_size, max_tokens=max_tokens, alternatives=alternatives, attention=attention)


def CompletionOptions(top_k: int = 5, beam_size: int = 4, max_tokens: int | None = None) -> PredictOptions:  # noqa: N802
    """The options of a translator's step."""
    return PredictOptions(top_k=top_k, beam_size=beam_size, max_tokens=max_tokens)


def Translate(text: str, options: PredictOptions = DEFAULT) -> Predict:  # noqa: N802
    """Translate a text; asked without a state."""
    return Predict(TextInput(text=text), options)


def ScoreTranslation(text: str, target: str) -> Score:  # noqa: N802
    """Score a given translation."""
    return Score(TextInput(text=text, target=target))


def OpenTranslation(text: str) -> OpenSession:  # noqa: N802
    """Create a session with its source."""
    return OpenSession(TextInput(text=text))


def AcceptTranslation(text: str | None, options: PredictOptions = DEFAULT) -> Predict:  # noqa: N802
    """Accept target words; asked with a session's state."""
    return Predict(None if text is None else TextInput(text=text), options)

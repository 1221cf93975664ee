"""Schemas of LibreTranslate. Docstrings and descriptions are published in the OpenAPI document."""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, Field, PlainValidator, WithJsonSchema

from service.domain.operations import Predict, PredictOptions, TextInput
from service.domain.visible_text import visible_text
from service.http.schemas.errors import Responses
from service.http.schemas.strict import Schema, require_unicode

MAX_TEXTS = 1024
MAX_ALTERNATIVES = 15
#: Hypotheses that a translation follows, unless more alternatives are requested.
BEAM_SIZE = 4


def _read_texts(value: object) -> str | list[str]:
    """Return one text or several. Raises ValueError."""
    if isinstance(value, str):
        return require_unicode(value)
    if not isinstance(value, list) or not 0 < len(value) <= MAX_TEXTS or not all(isinstance(t, str) for t in value):
        raise ValueError(f"expected a text, or a list of up to {MAX_TEXTS} texts")
    return [require_unicode(text) for text in value]


_TEXTS: dict[str, Any] = {
    "anyOf": [{"type": "string"}, {"type": "array", "items": {"type": "string"}, "minItems": 1, "maxItems": MAX_TEXTS}]
}
Texts = Annotated[str | list[str], PlainValidator(_read_texts), WithJsonSchema(_TEXTS)]


class TranslateBody(Schema):
    """Ask for the translation of a text, or of each of several, as clients of LibreTranslate do."""

    q: Texts = Field(description="Text to translate, or a list of texts")
    source: str = Field(min_length=1, description="Language of the text, or `auto` if one language alone is possible")
    target: str = Field(min_length=1, description="Language to translate to")
    format: Literal["text"] = Field("text", description="Plain text; markup is not kept")
    alternatives: int = Field(0, ge=0, le=MAX_ALTERNATIVES, description="How many further translations to return")
    api_key: str | None = Field(None, description="API key, if the service needs one and no header has it")

    @property
    def texts(self) -> list[str]:
        """The texts to translate."""
        return [self.q] if isinstance(self.q, str) else self.q

    def operations(self) -> list[Predict]:
        """Return the translations of the texts that have anything to translate."""
        beam_size = max(BEAM_SIZE, 1 + self.alternatives)
        options = PredictOptions(beam_size=beam_size, alternatives=self.alternatives)
        return [Predict(TextInput(text), options) for text in self.texts if not is_blank(text)]


def is_blank(text: str) -> bool:
    """Return whether a text has nothing to translate."""
    return not visible_text(text).strip()


class Translation(BaseModel):
    """A translation, or one of each text; alternatives if they were requested."""

    translatedText: str | list[str]  # noqa: N815 - the name in the protocol
    alternatives: list[str] | list[list[str]] | None = None


class Language(BaseModel):
    """A language, and those that texts in it can be translated to."""

    code: str
    name: str
    targets: list[str]


class LibreTranslateError(BaseModel):
    """What went wrong."""

    error: str


def _errors(descriptions: dict[int, str]) -> Responses:
    return {
        status: {"model": LibreTranslateError, "description": description}
        for status, description in descriptions.items()
    }


ERRORS = _errors(
    {
        400: "The request is wrong, or no model translates between these languages",
        403: "The API key is missing or wrong, or a web page that may not use this service",
        405: "The path has no such method; Allow has its methods",
        429: "This client sends too much; try again after Retry-After seconds",
        500: "The service failed, or is too busy; with Retry-After, try again after as many seconds",
    }
)

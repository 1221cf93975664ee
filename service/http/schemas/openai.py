"""Schemas of OpenAI's completions. Docstrings and descriptions are published in the OpenAPI document."""

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, Field, PlainValidator, WithJsonSchema, model_validator

from service.domain.operations import Generate, GenerateOptions, TextInput
from service.http.schemas.series import reject
from service.http.schemas.strict import Schema, require_unicode

MAX_PROMPTS = 1024
#: Generations of one request: prompts times candidates.
MAX_GENERATIONS = 1024
MAX_STOPS = 4
DEFAULT_MAX_TOKENS = 16
#: Seeds of the sampler are not negative; OpenAI's may be.
SEED_MODULUS = 2**64

Prompt = str | tuple[int, ...]


def _read_prompts(value: object) -> tuple[Prompt, ...]:
    """Return the prompts of a request. Raises ValueError."""
    if isinstance(value, list) and value and len(value) <= MAX_PROMPTS and not _is_ids(value):
        return tuple(_read_prompt(item) for item in value)
    return (_read_prompt(value),)


def _read_prompt(value: object) -> Prompt:
    if isinstance(value, str):
        return require_unicode(value)
    if isinstance(value, list) and _is_ids(value):
        return tuple(value)
    raise ValueError(f"expected a text, a list of token ids, or a list of up to {MAX_PROMPTS} of either")


def _is_ids(value: list[object]) -> bool:
    return set(map(type, value)) == {int}


def _read_stops(value: object) -> tuple[str, ...]:
    """Return the stop texts of a request. Raises ValueError."""
    stops = value if isinstance(value, list) else [] if value is None else [value]
    if len(stops) > MAX_STOPS or not all(isinstance(stop, str) and stop for stop in stops):
        raise ValueError(f"expected a text, or a list of up to {MAX_STOPS} texts, none of them empty")
    return tuple(map(require_unicode, stops))


def _require_zero(value: float | None) -> float | None:
    if value:
        raise ValueError("expected 0 or none, since the network has no penalties of tokens")
    return value


def _require_empty(value: Any) -> Any:  # noqa: ANN401 - a text or an object
    if value:
        raise ValueError("expected none, since the network cannot honour it")
    return value


_IDS = {"type": "array", "items": {"type": "integer"}}
_TEXTS = {"type": "array", "items": {"type": "string"}}
_PROMPTS = {"anyOf": [{"type": "string"}, _TEXTS, _IDS, {"type": "array", "items": _IDS}]}
_STOPS = {"anyOf": [{"type": "string"}, {**_TEXTS, "maxItems": MAX_STOPS}, {"type": "null"}]}

Penalty = Annotated[float | None, AfterValidator(_require_zero)]


class StreamOptions(Schema):
    """Options of a stream."""

    include_usage: bool | None = Field(None, description="End the stream with a chunk of the usage and no choices")
    include_obfuscation: Annotated[bool | None, AfterValidator(_require_empty)] = Field(
        None, description="Not supported"
    )


class CompletionBody(Schema):
    """Ask for completions of prompts, as OpenAI's clients do."""

    model: str = Field(min_length=1, description="A next-word model")
    prompt: Annotated[tuple[Prompt, ...], PlainValidator(_read_prompts), WithJsonSchema(_PROMPTS)] = Field(
        description="A text, token ids, or several of either. An empty text is the start of a text"
    )
    max_tokens: int | None = Field(None, ge=0, description=f"The most tokens to generate; default {DEFAULT_MAX_TOKENS}")
    temperature: float | None = Field(None, ge=0, le=2, description="0 always takes the most probable token; default 1")
    top_p: float | None = Field(None, ge=0, le=1, description="Choose among the most probable tokens of this mass")
    n: int | None = Field(None, ge=1, le=128, description="Choices for each prompt; default 1")
    best_of: int | None = Field(
        None, ge=1, le=128, description="Candidates, of which the n most probable by token are chosen; default n"
    )
    echo: bool | None = Field(None, description="Begin each choice with its prompt")
    logprobs: int | None = Field(
        None, ge=0, le=5, description="How many of the most probable tokens to list beside each token"
    )
    logit_bias: Annotated[dict[str, float] | None, AfterValidator(_require_empty)] = Field(
        None, description="Not supported: expected to be empty"
    )
    presence_penalty: Penalty = Field(None, description="Not supported: expected to be 0")
    frequency_penalty: Penalty = Field(None, description="Not supported: expected to be 0")
    seed: int | None = Field(None, ge=-(2**63), lt=2**63, description="Same seed, same choices")
    stop: Annotated[tuple[str, ...], PlainValidator(_read_stops), WithJsonSchema(_STOPS)] = Field(
        (), description="Texts that end a choice and are left out of it"
    )
    stream: bool | None = Field(None, description="Answer with events: chunks as tokens come")
    stream_options: StreamOptions | None = None
    suffix: Annotated[str | None, AfterValidator(_require_empty)] = Field(
        None, description="Not supported: expected to be empty"
    )
    user: str | None = Field(None, description="Accepted; the answer does not depend on it")

    @model_validator(mode="after")
    def _check_counts(self) -> "CompletionBody":
        count, best_of, prompts = self.n or 1, self.best_of or self.n or 1, len(self.prompt)
        if best_of < count:
            reject(best_of, f"expected at least n, which is {count}", "best_of")
        if best_of > count and self.stream:
            reject(best_of, f"expected n, {count}, of a stream", "best_of")
        if prompts * best_of > MAX_GENERATIONS:
            reject(best_of, f"expected at most {MAX_GENERATIONS} generations of {prompts} prompts together", "n")
        return self

    @model_validator(mode="after")
    def _check_combinations(self) -> "CompletionBody":
        if self.echo and self.logprobs:
            reject(self.logprobs, "expected 0 with echo, since a prompt has no other tokens in its place", "logprobs")
        if self.echo and self.stream and not self._can_stream_echo():
            reject(True, "expected prompts of text, and no logprobs, with echo in a stream", "echo")
        if self.stream_options is not None and not self.stream:
            reject(self.stream_options.model_dump(), "expected it with stream only", "stream_options")
        return self

    def _can_stream_echo(self) -> bool:
        return self.logprobs is None and all(isinstance(prompt, str) for prompt in self.prompt)

    @property
    def candidates(self) -> int:
        """The number of generations for each prompt."""
        return self.best_of or self.n or 1

    def generations(self) -> list[Generate]:
        """Return the generations of all prompts; those of one prompt are adjacent."""
        return [
            Generate(_input(prompt), self._options(candidate))
            for prompt in self.prompt
            for candidate in range(self.candidates)
        ]

    def _options(self, candidate: int) -> GenerateOptions:
        return GenerateOptions(
            max_tokens=DEFAULT_MAX_TOKENS if self.max_tokens is None else self.max_tokens,
            temperature=1.0 if self.temperature is None else float(self.temperature),
            top_p=self.top_p,
            seed=None if self.seed is None else (self.seed + candidate) % SEED_MODULUS,
            stop=self.stop,
            logprobs=self.logprobs,
            echo=bool(self.echo),
        )


def _input(prompt: Prompt) -> TextInput | None:
    if isinstance(prompt, str):
        return TextInput(text=prompt) if prompt else None
    return TextInput(ids=prompt)


class Logprobs(BaseModel):
    """Log-probabilities of tokens, of others in their place, and the places of the tokens in the text."""

    tokens: list[str]
    token_logprobs: list[float]
    top_logprobs: list[dict[str, float]]
    text_offset: list[int]


class Choice(BaseModel):
    """One completion of a prompt."""

    index: int
    text: str
    logprobs: Logprobs | None
    finish_reason: Literal["stop", "length"]


class CompletionUsage(BaseModel):
    """Tokens of the prompts and of all candidates."""

    prompt_tokens: int
    completion_tokens: int
    total_tokens: int


class Completion(BaseModel):
    """Completions of all prompts."""

    id: str
    object: Literal["text_completion"]
    created: int
    model: str
    choices: list[Choice]
    usage: CompletionUsage

"""Request bodies: what they may hold, and the domain values that they become.

Everything is strict: unknown fields, numbers in strings and numbers that are not finite are refused.
"""

from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from service.application.sessions import NewSession
from service.application.steps import Step
from service.types import Durability, Generate, GenerateOptions, Predict, PredictOptions, Score, TextInput

MAX_TTL_SECONDS = 30 * 24 * 3600
MAX_ITEMS = 1024

TtlSeconds = Annotated[int, Field(ge=1, le=MAX_TTL_SECONDS, description="Seconds without a step after which it ends")]
Version = Annotated[str, Field(min_length=1, max_length=32, description="A served version; default: the newest")]
StepCount = Annotated[int, Field(ge=0, le=2**62, description="The session's step count that this step expects")]


def _whole_characters(text: str) -> str:
    for position, character in enumerate(text):
        if "\ud800" <= character <= "\udfff":
            raise ValueError(f"lone surrogate at character {position}: expected Unicode text")
    return text


Text = Annotated[str, AfterValidator(_whole_characters)]
Key = Annotated[str, Field(min_length=1, max_length=255)]


class Schema(BaseModel):
    """Base of all request bodies."""

    model_config = ConfigDict(extra="forbid", strict=True, allow_inf_nan=False)


class Input(Schema):
    """Text in one of three forms."""

    text: Text | None = Field(None, description="Text as people type it", examples=["How are you"])
    tokens: list[Annotated[Text, Field(min_length=1)]] | None = Field(
        None, min_length=1, description="Words and marks, already separated"
    )
    ids: list[int] | None = Field(None, min_length=1, description="Ids of the model's vocabulary")
    target: Text | None = Field(None, description="Scores of translations only: the translation of `text`")

    @model_validator(mode="after")
    def _exactly_one(self) -> "Input":
        given = [name for name in ("text", "tokens", "ids") if getattr(self, name) is not None]
        if len(given) != 1:
            raise ValueError(f"{' and '.join(given) or 'nothing'} given: expected exactly one of text, tokens, ids")
        return self

    def to_domain(self) -> TextInput:
        return TextInput(
            self.text,
            None if self.tokens is None else tuple(self.tokens),
            None if self.ids is None else tuple(self.ids),
            self.target,
        )


class StepOptions(Schema):
    """What a step should answer; each task has options of its own."""

    top_k: int = Field(5, ge=1, le=100, description="How many next words to list")
    beam_size: int = Field(4, ge=1, le=16, description="Translation: how many hypotheses to follow")
    max_tokens: int | None = Field(None, ge=1, description="Translation: the longest result, end included")

    def to_domain(self) -> PredictOptions:
        return PredictOptions(**self.model_dump(), given=frozenset(self.model_fields_set))


class Options(StepOptions):
    """What a prediction should hold; each task has options of its own."""

    complete: bool = Field(False, description="Next word: the last word is unfinished, every candidate continues it")
    alternatives: int = Field(0, ge=0, le=15, description="Translation: how many further translations to return")
    attention: bool = Field(False, description="Translation: return the attention, target by source")


class GenerationOptions(Schema):
    """How to choose words."""

    max_tokens: int = Field(32, ge=1, description="The most tokens to generate")
    temperature: float = Field(1.0, ge=0, le=100, description="0 always takes the most probable token")
    top_k: int | None = Field(None, ge=1, le=2**31, description="Choose among the k most probable tokens")
    top_p: float | None = Field(None, gt=0, le=1, description="Choose among the most probable tokens of this mass")
    seed: int | None = Field(None, ge=0, lt=2**63, description="Same seed, same text")
    stop: list[Annotated[Text, Field(min_length=1)]] = Field(
        default_factory=list, max_length=16, description="Texts that end the output and are left out of it"
    )
    stream: Literal[False] = Field(False, description="Streamed answers are not served by this release")

    def to_domain(self) -> GenerateOptions:
        return GenerateOptions(
            self.max_tokens, float(self.temperature), self.top_k, self.top_p, self.seed, tuple(self.stop)
        )


class _OneOrMany(Schema):
    input: Input | None = None
    inputs: list[Input] | None = Field(None, min_length=1, max_length=MAX_ITEMS)
    version: Version | None = None

    @model_validator(mode="after")
    def _one_or_many(self) -> "_OneOrMany":
        if (self.input is None) == (self.inputs is None):
            found = "both" if self.input is not None else "neither"
            raise ValueError(f"{found} given: expected input, or inputs for several at once")
        return self


class PredictBody(_OneOrMany):
    """Ask for the next words after one input, or after each of several."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"input": {"text": "How are"}, "options": {"top_k": 3}}]})
    options: Options = Field(default_factory=Options)

    def one(self) -> Predict | None:
        return None if self.input is None else Predict(self.input.to_domain(), self.options.to_domain())

    def many(self) -> list[Predict]:
        return [Predict(one.to_domain(), self.options.to_domain()) for one in self.inputs or []]


class ScoreBody(_OneOrMany):
    """Ask how probable one text is, or each of several."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"inputs": [{"text": "I like apples."}, {"text": "I likes apples."}]}]}
    )

    def one(self) -> Score | None:
        return None if self.input is None else Score(self.input.to_domain())

    def many(self) -> list[Score]:
        return [Score(one.to_domain()) for one in self.inputs or []]


class GenerateBody(Schema):
    """Ask for a continuation of the input."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"input": {"text": "I would like"}, "options": {"temperature": 0}}]}
    )
    input: Input
    options: GenerationOptions = Field(default_factory=GenerationOptions)
    version: Version | None = None

    def to_domain(self) -> Generate:
        return Generate(self.input.to_domain(), self.options.to_domain())


class ListQuery(Schema):
    """Which sessions to list."""

    model_config = ConfigDict(strict=False)
    model: str | None = Field(None, description="Only sessions of this model")
    limit: int = Field(20, ge=1, le=1000, description="Sessions per page")
    cursor: str | None = Field(None, description="`next_cursor` of the page before")


class CreateSession(Schema):
    """A new session of a model."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"model": "next-word"}]})
    model: str = Field(min_length=1, description="Which model to run")
    version: Version | None = None
    ttl_seconds: TtlSeconds = 3600
    durability: Durability | None = Field(None, description="When a step is answered; default: the service's setting")
    kept_steps: int = Field(0, ge=0, le=64, description="How many earlier states a fork may start from")
    input: Input | None = Field(None, description="Translation only: the source sentence")

    def to_domain(self) -> NewSession:
        given = None if self.input is None else self.input.to_domain()
        return NewSession(self.model, self.version, self.ttl_seconds, self.durability, self.kept_steps, given)


class PatchSession(Schema):
    """A new time to live, counted from now."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"ttl_seconds": 86400}]})
    ttl_seconds: TtlSeconds


class StepBody(Schema):
    """The words since the last step."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"input": {"text": "How are"}, "step": 0}]})
    input: Input
    options: StepOptions = Field(default_factory=StepOptions)
    step: StepCount | None = None

    def to_domain(self, session_id: str, key: str | None) -> Step:
        return Step(session_id, Predict(self.input.to_domain(), self.options.to_domain()), self.step, key)


class StepItem(StepBody):
    """A step of one of many sessions."""

    model_config = ConfigDict(json_schema_extra={"examples": []})
    session_id: str = Field(min_length=1)
    idempotency_key: Key | None = None

    def step_of(self) -> Step:
        return self.to_domain(self.session_id, self.idempotency_key)


class StepsBody(Schema):
    """Steps of many sessions at once; those of one session are applied in their order."""

    steps: list[StepItem] = Field(min_length=1, max_length=MAX_ITEMS)


class LookBody(Schema):
    """What would come next, perhaps after some more words, without advancing the session."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"options": {"top_k": 3}}]})
    input: Input | None = None
    options: Options = Field(default_factory=Options)

    def to_domain(self) -> Predict:
        return Predict(None if self.input is None else self.input.to_domain(), self.options.to_domain())


class SessionGenerateBody(Schema):
    """A continuation from the session's state; with `commit` the session advances by it."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"options": {"max_tokens": 8, "seed": 1}}]})
    input: Input | None = None
    options: GenerationOptions = Field(default_factory=GenerationOptions)
    commit: bool = Field(True, description="Advance the session by what was generated")
    step: StepCount | None = None

    def to_domain(self) -> Generate:
        return Generate(None if self.input is None else self.input.to_domain(), self.options.to_domain())


class ForkBody(Schema):
    """An independent copy of a session."""

    model_config = ConfigDict(json_schema_extra={"examples": [{}]})
    step: StepCount | None = None
    ttl_seconds: TtlSeconds | None = None

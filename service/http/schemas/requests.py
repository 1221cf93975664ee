"""Schemas of request bodies and queries, and their conversion to domain values.

Docstrings and field descriptions are published in the OpenAPI document. `inputs.py` and `options.py` hold the parts
that several bodies share.
"""

from typing import Annotated

from fastapi import Query
from pydantic import ConfigDict, Field, model_validator

from service.application.sessions.creation import DEFAULT_TTL_SECONDS
from service.application.sessions.sessions import NewSession
from service.application.sessions.state_transfer import StateImport
from service.application.sessions.step_item import ResetStep, Step
from service.domain.operations import Generate, Predict, Reset, Score
from service.domain.sessions import Durability
from service.http.schemas.inputs import Input, LookInput
from service.http.schemas.options import GenerationOptions, Options, StepOptions
from service.http.schemas.strict import Schema

MAX_TTL_SECONDS = 30 * 24 * 3600
MAX_ITEMS = 1024

TtlSeconds = Annotated[int, Field(ge=1, le=MAX_TTL_SECONDS, description="Seconds without a step after which it ends")]
Version = Annotated[str, Field(min_length=1, max_length=32, description="A served version; default: the newest")]
StepCount = Annotated[int, Field(ge=0, le=2**62, description="The session's step count that this step expects")]
DurabilityLevel = Annotated[
    Durability | None, Field(description="When a step is answered; default: the service's setting")
]
KeptSteps = Annotated[int, Field(ge=0, le=64, description="How many earlier states a fork may start from")]
Key = Annotated[str, Field(min_length=1, max_length=255)]
TenantName = Annotated[
    str | None, Query(min_length=1, max_length=128, description="A tenant: your own; administrators: any, `*` for all")
]
FrameId = Annotated[str, Field(max_length=256)] | Annotated[int, Field(ge=-(2**62), le=2**62)]


class _OneOrMany(Schema):
    input: Input | None = None
    inputs: list[Input] | None = Field(None, min_length=1, max_length=MAX_ITEMS, fail_fast=True)
    version: Version | None = None

    @model_validator(mode="after")
    def _one_or_many(self) -> "_OneOrMany":
        if (self.input is None) == (self.inputs is None):
            count = "both" if self.input is not None else "neither"
            raise ValueError(f"{count} given: expected input, or inputs for several at once")
        return self


class PredictBody(_OneOrMany):
    """Ask for next words, a translation or a forecast of one input, or of each of several."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {"input": {"text": "How are"}, "options": {"top_k": 3}},
                {"input": {"values": [3.1, None, 3.4]}, "options": {"horizon": 12, "quantiles": [0.05, 0.95]}},
            ]
        }
    )
    options: Options = Field(default_factory=Options)

    def one(self) -> Predict | None:
        return None if self.input is None else Predict(self.input.to_domain(), self.options.to_domain())

    def many(self) -> list[Predict]:
        options = self.options.to_domain()
        return [Predict(item.to_domain(), options) for item in self.inputs or []]


class ScoreBody(_OneOrMany):
    """Ask how probable one text is, or each of several."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"inputs": [{"text": "I like apples."}, {"text": "I likes apples."}]}]}
    )

    def one(self) -> Score | None:
        return None if self.input is None else Score(self.input.to_domain())

    def many(self) -> list[Score]:
        return [Score(item.to_domain()) for item in self.inputs or []]


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


class VersionQuery(Schema):
    """Which version of a model to tell of."""

    version: str | None = Field(None, description="The newest one by default")


class ListQuery(Schema):
    """Which sessions to list."""

    model_config = ConfigDict(strict=False)
    model: str | None = Field(None, description="Only sessions of this model")
    limit: int = Field(20, ge=1, le=1000, description="Sessions per page")
    cursor: str | None = Field(None, description="`next_cursor` of the page before")
    tenant: TenantName = None


class CreateSession(Schema):
    """A new session of a model."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"model": "next-word"}]})
    model: str = Field(min_length=1, description="Which model to run")
    version: Version | None = None
    ttl_seconds: TtlSeconds = DEFAULT_TTL_SECONDS
    durability: DurabilityLevel = None
    kept_steps: KeptSteps = 0
    input: Input | None = Field(
        None, description='Translation: the source sentence. Conditioned generation: the vector, `{"vector": [...]}`'
    )

    def to_domain(self) -> NewSession:
        source = None if self.input is None else self.input.to_domain()
        return NewSession(self.model, self.version, self.ttl_seconds, self.durability, self.kept_steps, source)


class ImportQuery(Schema):
    """What is asked of a session beside its state."""

    model_config = ConfigDict(strict=False)
    ttl_seconds: TtlSeconds = DEFAULT_TTL_SECONDS
    durability: DurabilityLevel = None
    kept_steps: KeptSteps = 0

    def to_domain(self, content: bytes) -> StateImport:
        return StateImport(content, self.ttl_seconds, self.durability, self.kept_steps)


class PatchSession(Schema):
    """A new time to live, counted from now."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"ttl_seconds": 86400}]})
    ttl_seconds: TtlSeconds


NO_STEP_OPTIONS = StepOptions()


class StepBody(Schema):
    """What came since the last step: words, or observations in order of time."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"input": {"text": "How are"}, "step": 0}]})
    input: Input
    options: StepOptions = Field(default_factory=lambda: NO_STEP_OPTIONS)
    step: StepCount | None = None

    def to_domain(self, session_id: str, key: str | None) -> Step:
        return Step(session_id, Predict(self.input.to_domain(), self.options.to_domain()), self.step, key)


class StepItem(StepBody):
    """A step of one of many sessions."""

    model_config = ConfigDict(json_schema_extra={"examples": []})
    session_id: str = Field(min_length=1)
    idempotency_key: Key | None = None

    def to_step(self) -> Step:
        return self.to_domain(self.session_id, self.idempotency_key)


class StepsBody(Schema):
    """Steps of many sessions at once; those of one session are applied in their order."""

    steps: list[StepItem] = Field(min_length=1, max_length=MAX_ITEMS, fail_fast=True)


class StreamFrame(StepBody):
    """A step that is sent over the WebSocket of its session. `id` is returned with its answer."""

    model_config = ConfigDict(json_schema_extra={"examples": []})
    idempotency_key: Key | None = None
    id: FrameId | None = None


class SessionFrame(StepItem):
    """A step that is sent over a WebSocket for many sessions."""

    session_id: str = Field(min_length=1, max_length=256)
    id: FrameId | None = None


class LookBody(Schema):
    """What would come next, perhaps after some more input, without advancing the session."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"options": {"top_k": 3}}]})
    input: LookInput | None = None
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


class ResetBody(Schema):
    """Back to where the session began, or to an earlier step that it keeps."""

    model_config = ConfigDict(json_schema_extra={"examples": [{}]})
    step: Annotated[int, Field(ge=0, le=2**62, description="A step whose state the session keeps")] | None = None

    def to_domain(self, session_id: str, key: str | None) -> ResetStep:
        return ResetStep(session_id, Reset(self.step), key)


class ForkBody(Schema):
    """An independent copy of a session."""

    model_config = ConfigDict(json_schema_extra={"examples": [{}]})
    step: StepCount | None = None
    ttl_seconds: TtlSeconds | None = None

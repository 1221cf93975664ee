"""Options in request bodies. Each task has its own, and rejects those of other tasks by name."""

from functools import lru_cache
from typing import Annotated, Any, Literal, cast

from pydantic import AfterValidator, Field

from service.domain.operations import GenerateOptions, PredictOptions
from service.http.schemas.strict import Schema, Text

MAX_SAMPLES = 1000
MAX_LEVELS = 99


def _distinct_levels(levels: list[float]) -> tuple[float, ...]:
    """Return the levels as floats. Raises ValueError if one of them stands twice."""
    for index, level in enumerate(levels):
        if level in levels[:index]:
            raise ValueError(f"{level} stands twice: expected each level once")
    return tuple(map(float, levels))


Level = Annotated[float, Field(gt=0, lt=1)]
Levels = Annotated[list[Level], Field(min_length=1, max_length=MAX_LEVELS), AfterValidator(_distinct_levels)]
#: A tuple, because pydantic copies a default that is a list for every request.
DEFAULT_LEVELS = cast("list[float]", (0.1, 0.5, 0.9))


# Most requests of a client have the same options.
@lru_cache(256)
def _predict_options(given: frozenset[str], **options: Any) -> PredictOptions:  # noqa: ANN401 - each has its type
    return PredictOptions(**options, given=given)


class StepOptions(Schema):
    """What a step should answer; each task has options of its own."""

    top_k: int = Field(
        5,
        ge=1,
        le=100,
        description="Next word and translation: how many next words to list; classification: how many labels, if left "
        "out as many as there are, up to 100",
    )
    beam_size: int = Field(4, ge=1, le=16, description="Translation: how many hypotheses to follow")
    max_tokens: int | None = Field(None, ge=1, description="Translation: the longest result, end included")
    horizon: int | None = Field(
        None, ge=1, description="Forecasting: how many steps ahead; null: as many as the model can"
    )
    quantiles: Levels = Field(DEFAULT_LEVELS, description="Forecasting: levels inside (0, 1), each once")
    samples: int = Field(0, ge=0, le=MAX_SAMPLES, description="Forecasting: how many possible futures to draw")
    seed: int | None = Field(None, ge=0, lt=2**63, description="Forecasting: same seed, same samples")
    every: Literal["step", "last"] | None = Field(
        None, description="Regression and embedding: answer every step of the input, or the last one only"
    )
    steps: bool = Field(False, description="Tensors: the first axis of each has timesteps, fed in order")

    def to_domain(self) -> PredictOptions:
        return _predict_options(frozenset(self.model_fields_set), **self.__dict__)


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
    stream: bool = Field(False, description="Answer with Server-Sent Events: the tokens as they come, then the answer")

    def to_domain(self) -> GenerateOptions:
        return GenerateOptions(
            self.max_tokens, float(self.temperature), self.top_k, self.top_p, self.seed, tuple(self.stop)
        )

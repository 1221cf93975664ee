"""Schemas of the responses to predictions and steps, for the OpenAPI document and the interactive documentation only.

The names and docstrings of the classes are published there. No response passes through them.
"""

from datetime import datetime
from typing import Any, Literal

from pydantic import BaseModel

from service.http.schemas.errors import Error, Responses


class Prediction(BaseModel):
    """A candidate for the next token."""

    token: str
    id: int
    probability: float


class Observed(BaseModel):
    """How well the model foresaw the input."""

    tokens: int
    unknown: list[str]
    mean_logprob: float
    perplexity: float


class NextWords(BaseModel):
    """The most probable next tokens, most probable first."""

    predictions: list[Prediction]
    observed: Observed | None


class Translated(BaseModel):
    """One translation; the score is its log-probability divided by the number of target tokens, end included.

    `finish_reason` is `length` if a sentence was cut off at `max_tokens`; `unknown` are source words that the
    vocabulary lacks.
    """

    text: str
    score: float
    tokens: list[str]
    source_tokens: list[str]
    finish_reason: Literal["stop", "length"]
    unknown: list[str]
    attention: list[list[float]] | None = None


class Translations(BaseModel):
    """The best translation, then the alternatives asked for."""

    translations: list[Translated]


class WordPrediction(BaseModel):
    """A candidate for the translator's next word."""

    token: str
    probability: float


class Completion(BaseModel):
    """The rest of the sentence."""

    text: str
    score: float


class Suggestions(BaseModel):
    """What could follow the words that the translator has accepted."""

    predictions: list[WordPrediction]
    completion: Completion


class ObservedValues(BaseModel):
    """How far off one-step forecasts of the input were: in its units, and a score in [0, 1] for each of its rows."""

    mean_absolute_error: float | None
    anomaly_scores: list[float | None]


#: A row for each step ahead, shaped like the rows of the input: numbers, or rows of the forecast features.
Path = list[float] | list[list[float]]


class Forecast(BaseModel):
    """What comes next, in the units of the input; quantiles by level, as many sampled paths as asked for.

    `timestamps` are there if the time of the last row is known, and the time from each row to the next.
    """

    horizon: int
    features: list[str]
    mean: Path
    quantiles: dict[str, Path]
    samples: list[Path] | None = None
    timestamps: list[datetime] | None = None
    observed: ObservedValues | None


class LabelProbability(BaseModel):
    """A label and its probability."""

    label: str
    probability: float


class ObservedLabels(BaseModel):
    """How probable the labels were that turned out, and how many of them the answer chose."""

    targets: int
    correct: int
    mean_logprob: float


class Labels(BaseModel):
    """Labels of a sequence, most probable first; `observed` if the input had a target."""

    labels: list[LabelProbability]
    observed: ObservedLabels | None = None


class Tag(BaseModel):
    """The tag of a timestep; `token` if the timesteps are tokens."""

    token: str | None = None
    tag: str
    probability: float


class Tags(BaseModel):
    """The tags of the new timesteps; `observed` if the input had a target."""

    tags: list[Tag]
    observed: ObservedLabels | None = None


class ObservedNumbers(BaseModel):
    """How far off the answer was from the numbers that turned out, in their units."""

    mean_absolute_error: float


class Values(BaseModel):
    """Numbers by `names`, a row for each new timestep or for the last one; `observed` if the input had a target."""

    names: list[str]
    values: list[list[float]]
    observed: ObservedNumbers | None = None


class Embedded(BaseModel):
    """The vector of a sequence, or one of each new timestep."""

    embedding: list[float] | list[list[float]]


class Tensors(BaseModel):
    """The outputs of a graph by name, as nested lists."""

    tensors: dict[str, Any]


class Scored(BaseModel):
    """How probable each token of the input is after those before it."""

    tokens: list[str]
    logprobs: list[float]
    total_logprob: float
    perplexity: float
    unknown: list[str]


class Generated(BaseModel):
    """A continuation."""

    text: str
    tokens: list[str]
    logprobs: list[float]
    finish_reason: Literal["stop", "length"]


class Usage(BaseModel):
    """What the request cost."""

    timesteps: int
    generated_tokens: int | None = None


#: The output of a prediction, by the task of the model.
Predicted = NextWords | Translations | Forecast | Labels | Tags | Values | Embedded | Tensors


class PredictAnswer(BaseModel):
    """`output` for one input, `outputs` for several."""

    model: str
    version: str
    output: Predicted | None = None
    outputs: list[Predicted] | None = None
    usage: Usage


class ScoreAnswer(BaseModel):
    """`output` for one input, `outputs` for several."""

    model: str
    version: str
    output: Scored | None = None
    outputs: list[Scored] | None = None
    usage: Usage


class GenerateAnswer(BaseModel):
    """A generated continuation."""

    model: str
    version: str
    output: Generated
    usage: Usage


class StepResult(BaseModel):
    """The answer to a step and where the session stands after it."""

    session_id: str
    model: str
    version: str
    step: int
    timesteps: int
    output: NextWords | Suggestions | Forecast | Labels | Tags | Values | Embedded | Tensors | Generated
    expires_at: datetime


class StepResults(BaseModel):
    """The results of many steps, in their order."""

    results: list[StepResult | Error]


#: A safetensors file, as the body of a request or of a response.
STATE_FILE: dict[str, Any] = {
    "content": {"application/octet-stream": {"schema": {"type": "string", "format": "binary"}}}
}
MODEL_CARD: Responses = {
    200: {"description": "Markdown, with front matter if the file has any", "content": {"text/markdown": {}}}
}
#: The answer to a generation with `stream`. It has the status of an answer without one, which FastAPI describes.
TOKEN_EVENTS: Responses = {
    200: {
        "description": "The answer; with `stream` as events: `token` with `{token, text, logprob}` for each one, then "
        "`done` with the whole answer, or `error` with the envelope of an error",
        "content": {"text/event-stream": {}},
    }
}

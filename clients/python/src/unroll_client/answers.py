"""Answers of the service as dataclasses. docs/api.md describes their members."""

from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any, Literal

from unroll_client import arrays
from unroll_client.task_answers import Embedding, Labels, Tags, Tensors, Values

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd

Durability = Literal["memory", "replicated", "fsynced"]
FinishReason = Literal["stop", "length"]
#: One row for each step ahead: a number, or the numbers of all features.
Rows = list[float] | list[list[float]]


@dataclass(frozen=True, slots=True)
class Model:
    """A served model. `vector_size` is that of the vector which a sequence begins with, None if it begins with none.

    `retiring_versions` take no new sessions, while those that they have continue.
    """

    id: str
    task: str
    versions: list[str]
    default_version: str
    architecture: str
    cell: str
    num_layers: int
    hidden_size: int | list[int]
    parameters: int
    state_bytes: int
    fingerprint: str
    dtype: str
    verified: bool
    description: str
    metrics: dict[str, Any]
    created: int
    owned_by: str
    vector_size: int | None = None
    retiring_versions: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class TokenPrediction:
    """A candidate for the next token. Translation models give no ids."""

    token: str
    probability: float
    id: int | None = None


@dataclass(frozen=True, slots=True)
class ObservedTokens:
    """How well the model had predicted the input."""

    tokens: int
    unknown: list[str]
    mean_logprob: float
    perplexity: float


@dataclass(frozen=True, slots=True)
class NextWords:
    """The most probable next tokens, most probable first."""

    predictions: list[TokenPrediction]
    observed: ObservedTokens | None


@dataclass(frozen=True, slots=True)
class Translation:
    """One translation with its score, the log-probability per target token."""

    text: str
    score: float
    tokens: list[str]
    source_tokens: list[str]
    attention: list[list[float]] | None = None
    finish_reason: FinishReason | None = None
    unknown: list[str] | None = None


@dataclass(frozen=True, slots=True)
class Translations:
    """The best translation, then the alternatives."""

    translations: list[Translation]

    @property
    def text(self) -> str:
        """The text of the best translation."""
        return self.translations[0].text


@dataclass(frozen=True, slots=True)
class Completion:
    """The rest of a sentence."""

    text: str
    score: float


@dataclass(frozen=True, slots=True)
class Suggestions:
    """What may follow the words that a translator has accepted."""

    predictions: list[TokenPrediction]
    completion: Completion


@dataclass(frozen=True, slots=True)
class ObservedValues:
    """How well the model had predicted the input, in its units, and a score from 0 to 1 for each row."""

    mean_absolute_error: float | None
    anomaly_scores: list[float | None]


@dataclass(frozen=True, slots=True)
class Forecast:
    """A forecast in the units of the input, with one row for each step ahead."""

    horizon: int
    features: list[str]
    mean: Rows
    quantiles: dict[str, Rows]
    observed: ObservedValues | None
    samples: list[Rows] | None = None
    timestamps: list[datetime] | None = None

    def to_numpy(self) -> "np.ndarray[Any, np.dtype[np.float64]]":
        """Return the mean as an array of shape (horizon,) or (horizon, features). Requires numpy."""
        return arrays.to_numpy(self.mean)

    def to_pandas(self) -> "pd.DataFrame":
        """Return mean and quantiles as the columns of a table, indexed by time where the forecast has times.

        The columns are `mean` and the quantile levels as numbers. If there are several features, they have two levels:
        the feature, then these. Requires pandas.
        """
        return arrays.to_frame(self.mean, self.quantiles, self.features, self.timestamps)


@dataclass(frozen=True, slots=True)
class Scored:
    """The log-probability of each token of the input."""

    tokens: list[str]
    logprobs: list[float]
    total_logprob: float
    perplexity: float
    unknown: list[str]


@dataclass(frozen=True, slots=True)
class Generated:
    """A continuation."""

    text: str
    tokens: list[str]
    logprobs: list[float]
    finish_reason: FinishReason


#: The output of a prediction or a step; tasks that this release of the client does not know give JSON.
Output = (
    NextWords
    | Translations
    | Suggestions
    | Forecast
    | Labels
    | Tags
    | Values
    | Embedding
    | Tensors
    | Generated
    | dict[str, Any]
)


@dataclass(frozen=True, slots=True)
class Token:
    """A token of a stream, with the text that it adds."""

    token: str
    text: str
    logprob: float


@dataclass(frozen=True, slots=True)
class Usage:
    """The timesteps and generated tokens of a request."""

    timesteps: int
    generated_tokens: int | None = None


@dataclass(frozen=True, slots=True)
class Prediction:
    """The answer to `predict`."""

    model: str
    version: str
    output: Output
    usage: Usage


@dataclass(frozen=True, slots=True)
class Predictions:
    """The answer to `predict_many`."""

    model: str
    version: str
    outputs: list[Output]
    usage: Usage


@dataclass(frozen=True, slots=True)
class Score:
    """The answer to `score`."""

    model: str
    version: str
    output: Scored
    usage: Usage


@dataclass(frozen=True, slots=True)
class Scores:
    """The answer to `score_many`."""

    model: str
    version: str
    outputs: list[Scored]
    usage: Usage


@dataclass(frozen=True, slots=True)
class Generation:
    """The answer to `generate`."""

    model: str
    version: str
    output: Generated
    usage: Usage


@dataclass(frozen=True, slots=True)
class SessionInfo:
    """Description of a session."""

    id: str
    model: str
    version: str
    task: str
    step: int
    timesteps: int
    created_at: datetime
    expires_at: datetime
    ttl_seconds: int
    durability: Durability
    state_bytes: int


@dataclass(frozen=True, slots=True)
class SessionPage:
    """One page of sessions, newest first. `next_cursor` is None on the last page."""

    data: list[SessionInfo]
    next_cursor: str | None


@dataclass(frozen=True, slots=True)
class StepResult:
    """The answer to a step: its output, and the step count and timesteps of the session after it."""

    session_id: str
    model: str
    version: str
    step: int
    timesteps: int
    output: Output
    expires_at: datetime

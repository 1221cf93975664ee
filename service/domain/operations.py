"""Operations and their outcomes as values: inputs, options, results. Standard library only."""

import base64
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal, TypeAlias

from service.domain.tensors import Tensor

Json: TypeAlias = "bool | int | float | str | Base64 | list[Json] | dict[str, Json] | None"


class Base64:
    """Bytes in an output. In JSON they are a text in base64."""

    __slots__ = ("data",)

    def __init__(self, data: bytes) -> None:
        self.data = data

    def __str__(self) -> str:
        return base64.b64encode(self.data).decode()

    @staticmethod
    def bytes_of(value: "Base64 | str") -> bytes:
        """Return the bytes of a value of an output, or of its JSON."""
        return value.data if isinstance(value, Base64) else base64.b64decode(value)


#: Dtypes that matrix products can be computed in. States and everything else are float32.
ComputeDtype = Literal["float32", "bfloat16", "int8"]

#: Devices that networks can run on.
Device = Literal["cpu", "cuda"]

#: Marks of the first part of a word, in SentencePiece and GPT-2, which stand for a space.
WORD_MARKS = "\u2581\u0120 "

#: Maximum absolute value of an observation. It exceeds any measurement, and its square still fits a float64.
MAX_ABS = 1e30
#: Maximum absolute value of a number of a vector: what an imported state may hold of it, too.
MAX_VECTOR_NUMBER = 1e12
#: What is expected of it, for messages.
VECTOR_NUMBER = f"a number between -{MAX_VECTOR_NUMBER:g} and {MAX_VECTOR_NUMBER:g}"


#: What an output turned out to be: a text, a label or several, a number, numbers, or rows of numbers.
Target: TypeAlias = str | float | tuple[str, ...] | tuple[float | None, ...] | tuple[tuple[float | None, ...], ...]


@dataclass(frozen=True, slots=True)
class TextInput:
    """Text in exactly one of three forms, or in none where a `vector` is all of the input.

    `target` is a translation of it that is to be scored, or the label or numbers that an answer is compared with.
    `vector` is what a conditioned model reads in front of the text.
    """

    text: str | None = None
    tokens: tuple[str, ...] | None = None
    ids: tuple[int, ...] | None = None
    target: Target | None = None
    vector: tuple[float, ...] | None = None


@dataclass(frozen=True, slots=True)
class SeriesInput:
    """New observations: a row of numbers per timestep, None for a missing value.

    `values` is None if there are no new observations. `flat`: the client sent numbers instead of rows of one number,
    and gets its answer in the same form. `timestamps` are microseconds since 1970, one per row. `future` holds the
    covariates known over the horizon. `target` is the label or numbers that an answer is compared with.
    """

    values: tuple[tuple[float | None, ...], ...] | None
    flat: bool = False
    timestamps: tuple[int, ...] | None = None
    future: tuple[tuple[float, ...], ...] | None = None
    target: Target | None = None


@dataclass(frozen=True, slots=True)
class TensorInput:
    """Tensors of one timestep; with `steps` the first axis of each has a timestep after the other."""

    tensors: tuple[Tensor, ...]
    steps: bool = False


Input: TypeAlias = TextInput | SeriesInput | TensorInput


@dataclass(frozen=True, slots=True)
class PredictOptions:
    """Options of a prediction. Each task has its own and rejects those of other tasks.

    Next words: `top_k` candidates; `complete` takes the last word for an unfinished prefix of them. Translation:
    `beam_size`, `max_tokens` (end included; None: as long as the source suggests), `alternatives` and `attention`; in
    sessions `top_k` next words. Forecasting: `horizon` (timesteps; None: the model's limit), `quantiles` in (0, 1),
    `samples` paths and the `seed` of their random numbers. Classification: `top_k` labels. Regression and embedding:
    an answer for `every` step, or for the last one. Tensors: `steps` as in `TensorInput`. `given` names the options
    that the client sent, even those with default values.
    """

    top_k: int = 5
    complete: bool = False
    beam_size: int = 4
    max_tokens: int | None = None
    alternatives: int = 0
    attention: bool = False
    horizon: int | None = None
    quantiles: tuple[float, ...] = (0.1, 0.5, 0.9)
    samples: int = 0
    seed: int | None = None
    every: Literal["step", "last"] | None = None
    steps: bool = False
    given: frozenset[str] = field(default=frozenset(), compare=False)


@dataclass(frozen=True, slots=True)
class GenerateOptions:
    """Sampling options. Temperature 0 is greedy. `stop` texts end the output, which does not contain them.

    With `logprobs`, the output has for each token the text that it adds, and so many of the most probable tokens in its
    place. With `echo`, the output has the input's tokens too, and its text begins with the space that separates it from
    the input's.
    """

    max_tokens: int = 32
    temperature: float = 1.0
    top_k: int | None = None
    top_p: float | None = None
    seed: int | None = None
    stop: tuple[str, ...] = ()
    logprobs: int | None = None
    echo: bool = False


@dataclass(frozen=True, slots=True)
class Predict:
    """Feed the input and return the prediction of the task: next words, a translation, a forecast."""

    input: Input | None
    options: PredictOptions = PredictOptions()


@dataclass(frozen=True, slots=True)
class Infer(Predict):
    """A prediction of which only some outputs are needed, given by the names of the task's output tensors."""

    outputs: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Score:
    """Feed the input and return the log-probability of each of its tokens."""

    input: Input


@dataclass(frozen=True, slots=True)
class Generate:
    """Feed the input and generate token after token."""

    input: Input | None
    options: GenerateOptions = GenerateOptions()


@dataclass(frozen=True, slots=True)
class OpenSession:
    """Read the input of a new session; the state of the outcome is its state 0.

    Without an input, read that of an existing session again, a source or a vector, from whose state it starts.
    """

    input: Input | None


@dataclass(frozen=True, slots=True)
class Reset:
    """Return a session to its state 0, or to the state that it keeps of an earlier `step`."""

    step: int | None = None


Operation: TypeAlias = Predict | Score | Generate | OpenSession


@dataclass(frozen=True, slots=True)
class Observation:
    """Score of text that was fed: `logprob` is the sum over `tokens` tokens."""

    tokens: int
    logprob: float


@dataclass(frozen=True, slots=True)
class ForecastCheck:
    """Errors of one-step forecasts: absolute errors summed over `values`, and one anomaly score per scored row."""

    values: int
    absolute_error: float
    anomaly_scores: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class GeneratedToken:
    """A token of a stream: `text` is what it adds to the text of the tokens before it.

    `alternatives` are the most probable tokens in its place and their log-probabilities, if they were requested.
    `index` is that of its generation, if several share the stream.
    """

    token: str
    text: str
    logprob: float
    alternatives: tuple[tuple[str, float], ...] = ()
    index: int = 0


@dataclass(frozen=True, slots=True)
class Outcome:
    """Result of an operation: the JSON output, the state after it, and the timesteps and tokens counted."""

    output: dict[str, Json]
    state: bytes
    timesteps: int
    generated: int = 0
    observation: Observation | ForecastCheck | None = None


def align_tokens(text: str, tokens: Sequence[str], logprobs: Sequence[float]) -> list[GeneratedToken]:
    """Return tokens with the pieces of `text` that end with them. Text in which no token is found follows later."""
    start, aligned = 0, []
    for index, (token, logprob) in enumerate(zip(tokens, logprobs, strict=True)):
        word = token.lstrip(WORD_MARKS)
        found = text.find(word, start)
        end = len(text) if index == len(tokens) - 1 else start if found < 0 else found + len(word)
        aligned.append(GeneratedToken(token, text[start:end], logprob))
        start = end
    return aligned

"""The values that travel between the layers. Standard library only; every layer may import them."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import chain
from typing import Literal, TypeAlias

Json: TypeAlias = "bool | int | float | str | list[Json] | dict[str, Json] | None"
Durability = Literal["memory", "replicated", "fsynced"]
#: What matrix products are computed in; states and everything else are float32.
Arithmetic = Literal["float32", "bfloat16", "int8"]
#: Where networks run.
Device = Literal["cpu", "cuda"]
#: Observations larger than any measurement; their squares still fit a float.
LARGEST = 1e30


@dataclass(frozen=True, slots=True)
class TextInput:
    """Text in one of three forms, exactly one of which is set; `target` is the translation of it to be scored."""

    text: str | None = None
    tokens: tuple[str, ...] | None = None
    ids: tuple[int, ...] | None = None
    target: str | None = None


@dataclass(frozen=True, slots=True)
class SeriesInput:
    """New observations: one row of numbers per timestep, None where one is missing.

    `values` None: nothing new. `flat`: the client wrote numbers, not rows of one number each, and is answered alike.
    `timestamps` are microseconds since 1970, one per row. `future` holds the covariates known over the horizon.
    """

    values: tuple[tuple[float | None, ...], ...] | None
    flat: bool = False
    timestamps: tuple[int, ...] | None = None
    future: tuple[tuple[float, ...], ...] | None = None


Input: TypeAlias = TextInput | SeriesInput


@dataclass(frozen=True, slots=True)
class PredictOptions:
    """What a prediction should hold; each task has options of its own and refuses those of others.

    Next words: `top_k` candidates; `complete` takes the last word for an unfinished prefix of them. Translation:
    `beam_size`, `max_tokens` (end included; None: as long as the source suggests), `alternatives` and `attention`; in
    sessions `top_k` next words. Forecasting: `horizon` (timesteps; None: the model's limit), `quantiles` in (0, 1),
    `samples` paths and the `seed` that they follow from. `given` names what the client wrote, be it the default.
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
    given: frozenset[str] = field(default=frozenset(), compare=False)


@dataclass(frozen=True, slots=True)
class GenerateOptions:
    """How to choose generated tokens; temperature 0 is greedy, `stop` texts end the output and are left out."""

    max_tokens: int = 32
    temperature: float = 1.0
    top_k: int | None = None
    top_p: float | None = None
    seed: int | None = None
    stop: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Predict:
    """Feed the input, answer with what the task predicts from there: next words, a translation, a forecast."""

    input: Input | None
    options: PredictOptions = PredictOptions()


@dataclass(frozen=True, slots=True)
class Score:
    """Feed the input, answer with the log-probability of each of its tokens."""

    input: Input


@dataclass(frozen=True, slots=True)
class Generate:
    """Feed the input, then choose token after token."""

    input: Input | None
    options: GenerateOptions = GenerateOptions()


@dataclass(frozen=True, slots=True)
class Open:
    """Read what a session is created with; the outcome's state is its state 0."""

    input: Input


Operation: TypeAlias = Predict | Score | Generate | Open


@dataclass(frozen=True, slots=True)
class Edition:
    """What stands in a version's folder, by its fingerprint: changed in place, a version is another edition."""

    model: str
    version: str
    fingerprint: str

    @property
    def number(self) -> int:
        """Versions of one model are ordered by it."""
        return int(self.version)


@dataclass(frozen=True, slots=True)
class ModelVersion:
    """What is known of a loaded model version; `fingerprint` is 64 hexadecimal digits."""

    name: str
    version: str
    task: str
    architecture: str
    cell: str
    num_layers: int
    hidden_size: int | list[int]
    parameters: int
    state_bytes: int
    fingerprint: str
    dtype: str
    verified: bool
    created: int
    load_seconds: float
    description: str = ""
    metrics: dict[str, Json] = field(default_factory=dict)

    @property
    def edition(self) -> Edition:
        return Edition(self.name, self.version, self.fingerprint)


@dataclass(frozen=True, slots=True)
class Folder:
    """A version's folder as it was last seen: `signature` follows from its files' names, sizes and times of change.

    `fingerprint` is known where it was loaded as it stands, `broken` says that it was refused, `settled` that it kept
    still since the look before.
    """

    model: str
    version: str
    signature: str
    fingerprint: str | None = None
    broken: bool = False
    settled: bool = True


@dataclass(frozen=True, slots=True)
class Mark:
    """A version is retiring `since` milliseconds since 1970 on the store's clock; `drained`: nobody needs it any more.

    `signature` is that of its folder, by which a worker that starts knows it without loading it.
    """

    since: int
    reason: Literal["superseded", "removed"]
    signature: str = ""
    drained: bool = False


@dataclass(frozen=True, slots=True)
class Served:
    """What a worker tells of an edition: whether it takes new sessions, and whether some moved since its last look."""

    edition: Edition
    open: bool
    touched: bool = False


@dataclass(frozen=True, slots=True)
class Meeting:
    """What the workers know together at `now`, milliseconds since 1970 on the store's clock."""

    now: int = 0
    marks: dict[Edition, Mark] = field(default_factory=dict)
    workers: dict[str, tuple[Served, ...]] = field(default_factory=dict)

    @property
    def served(self) -> Iterator[Served]:
        """What all workers serve, an edition once for each of them."""
        return chain.from_iterable(self.workers.values())

    @property
    def editions(self) -> set[Edition]:
        """The editions that are served anywhere."""
        return {one.edition for one in self.served}


@dataclass(frozen=True, slots=True, order=True)
class Place:
    """Where a session stands in the index of all tenants' sessions."""

    tenant: str
    created_at: int
    session_id: str


@dataclass(frozen=True, slots=True)
class Observation:
    """How well the model foresaw its input: `logprob` is summed over `tokens` of them."""

    tokens: int
    logprob: float


@dataclass(frozen=True, slots=True)
class ForecastCheck:
    """How far one-step forecasts were off: absolute errors summed over `values`, one score per scored row."""

    values: int
    absolute_error: float
    anomaly_scores: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class Outcome:
    """What an operation gave: the JSON output, the state after it, and the tokens fed and generated."""

    output: dict[str, Json]
    state: bytes
    timesteps: int
    generated: int = 0
    observation: Observation | ForecastCheck | None = None


@dataclass(frozen=True, slots=True)
class LastStep:
    """The last applied step, kept to answer its repetition: `step` is the count that it was applied at."""

    step: int
    key: bytes
    body: bytes
    answer: bytes


@dataclass(frozen=True, slots=True)
class KeptState:
    """An earlier state that a fork may start from."""

    step: int
    timesteps: int
    state: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """What a session is and where it stands. Times are milliseconds since 1970."""

    model: str
    version: str
    fingerprint: str
    dtype: str
    step: int
    timesteps: int
    created_at: int
    expires_at: int
    ttl_seconds: int
    durability: Durability
    kept_steps: int
    indexed_until: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Record(Facts):
    """All that the store holds of one session; digests are 16 bytes.

    `token` are the stored bytes that this record was read from, for compare-and-set; empty before the first write.
    `origin` is the digest of a keyed create or fork, and random bytes behind it. `keys` are the digests of the last
    keys, newest last.
    """

    state: bytes
    origin: bytes = b""
    keys: tuple[bytes, ...] = ()
    last: LastStep | None = None
    kept: tuple[KeptState, ...] = ()
    token: bytes = b""

    @property
    def state_bytes(self) -> int:
        """The size of its state."""
        return len(self.state)


@dataclass(frozen=True, slots=True, kw_only=True)
class Listed(Facts):
    """What a listing tells of a session: what a record's first bytes hold."""

    state_bytes: int


@dataclass(frozen=True, slots=True)
class SessionPage:
    """One page of a listing, newest first; `cursor` is None on the last page."""

    sessions: list[tuple[str, Listed]]
    cursor: str | None

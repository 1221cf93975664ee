"""Metrics of a worker, except those of inference. Labels are bounded: never a session, a tenant or a text.

Workers of one supervisor share a folder of metric files (PROMETHEUS_MULTIPROC_DIR, set by the supervisor), so that any
of them can expose all.
"""

import math
import os
from collections.abc import Callable, Iterator, Sequence
from functools import cache
from itertools import chain

from prometheus_client import CollectorRegistry, Counter, Gauge, Metric, generate_latest
from prometheus_client.multiprocess import MultiProcessCollector
from prometheus_client.registry import Collector

from service import __version__
from service.domain.inference_statistics import VersionStatistics
from service.domain.models import ModelVersion
from service.domain.operations import ForecastCheck, Observation, Outcome
from service.telemetry.batching import BatchHistogram, MetricsBatch
from service.telemetry.file_metrics import FileMetrics
from service.telemetry.inference_metrics import InferenceMetrics, read_statistics
from service.telemetry.model_card_metrics import ModelCardMetrics

PER_VERSION = ("model", "version")
SECONDS_BUCKETS = (0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10)
SIZE_BUCKETS = (1, 2, 4, 8, 16, 32, 64, 128, 256)
#: Buckets of anomaly scores, denser near 1, where alarms are set.
SCORE_BUCKETS = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.99, 0.999, 1)
#: Value of a gauge whose subject is gone, below all others: the metric files of workers cannot drop a label.
SUBJECT_GONE = -math.inf


class LiveSubjects(Collector):
    """Collector that omits gauges whose subject is gone."""

    def __init__(self, collector: Collector) -> None:
        self._collector = collector

    def collect(self) -> Iterator[Metric]:
        for metric in self._collector.collect():
            metric.samples = [sample for sample in metric.samples if sample.value != SUBJECT_GONE]
            yield metric


class Metrics:
    """Observer that counts into Prometheus metrics.

    Counters and histograms are cached by their labels, because to find a series costs more than to count. What is
    counted for every request is applied once for each turn of the event loop.
    """

    def __init__(self) -> None:
        self._shared = "PROMETHEUS_MULTIPROC_DIR" in os.environ
        self._registry = CollectorRegistry()
        self._batch = MetricsBatch()
        self._make_http()
        self._make_engine()
        self._make_observations()
        self._make_sessions()
        self._make_store()
        self.inferences = InferenceMetrics(self._registry)
        self.files = FileMetrics(self._registry, SUBJECT_GONE)
        self._cards = ModelCardMetrics(self._registry, SUBJECT_GONE)
        build = self._gauge("build_info", "The running release", ("release",), "livemax")
        build.labels(__version__).set(1)

    def _make_http(self) -> None:
        self._requests = self._counter("requests", "Requests answered", ("route", "method", "code"))
        self._durations = self._histogram(
            "request_duration_seconds", "From the door and back", ("route",), SECONDS_BUCKETS
        )
        self._in_flight = self._gauge("requests_in_flight", "Requests under way", (), "livesum")
        self._websockets = self._gauge("websockets", "Open WebSockets", (), "livesum")
        self._loop_lag = BatchHistogram(
            "unroll_event_loop_lag_seconds",
            "How late the event loop ran, sampled 20 times a second",
            registry=self._registry,
            buckets=SECONDS_BUCKETS,
        )
        self._shed = self._counter("shed", "Requests refused for lack of room or time", ("reason",))

    def _make_engine(self) -> None:
        self._queue_depth = self._gauge("queue_depth", "Operations under way in the engine", (), "livesum")
        self._queue_wait = self._histogram(
            "queue_wait_seconds", "From submission to the first timestep", PER_VERSION, SECONDS_BUCKETS
        )
        self._first_token = self._histogram(
            "time_to_first_token_seconds",
            "From a request for a stream, once its body is read, to its first token",
            PER_VERSION,
            SECONDS_BUCKETS,
        )
        self._batch_size = self._histogram("batch_size", "Operations sharing a forward pass", PER_VERSION, SIZE_BUCKETS)
        self._forward = self._histogram(
            "forward_duration_seconds", "One forward pass of a batch", PER_VERSION, SECONDS_BUCKETS
        )
        self._timesteps = self._counter("timesteps", "Tokens or observations fed", PER_VERSION)
        self._generated = self._counter("generated_tokens", "Tokens generated", PER_VERSION)
        self._loaded = self._gauge("model_loaded", "A served version", (*PER_VERSION, "fingerprint"), "livemax")
        self._verified = self._gauge("model_verified", "1 if golden vectors were replayed", PER_VERSION, "livemax")
        self._load_seconds = self._gauge("model_load_seconds", "Loading and checking it", PER_VERSION, "livemax")
        self._state_bytes = self._gauge("state_bytes", "State of one session", PER_VERSION, "livemax")

    def _make_observations(self) -> None:
        # A counter cannot fall, so it sums the negative log-probabilities, in nats.
        self._logprob = self._counter("observed_logprob", "Minus the log-probability of the tokens fed", PER_VERSION)
        self._tokens = self._counter("observed_tokens", "Tokens fed and scored", PER_VERSION)
        self._absolute_error = self._counter(
            "observed_absolute_error", "How far one-step forecasts of the values fed were off", PER_VERSION
        )
        self._values = self._counter("observed_values", "Values fed and compared with their forecast", PER_VERSION)
        self._scores = self._histogram("anomaly_score", "How odd the observations fed were", PER_VERSION, SCORE_BUCKETS)

    def _make_sessions(self) -> None:
        self._created = self._counter("sessions_created", "Sessions opened, forked or imported", ("model",))
        self._ended = self._counter("sessions_ended", "Sessions that ended", ("reason",))
        self._active = self._gauge("sessions_active", "Live sessions, by the expiry index", (), "livemostrecent")
        self._cache = self._counter("session_cache", "Records read, by whether they were held ready", ("outcome",))
        self._steps = self._counter("session_steps", "Steps: applied, replayed, conflict, failed", ("outcome",))

    def _make_store(self) -> None:
        self._store_seconds = self._histogram("store_duration_seconds", "Round trips", ("operation",), SECONDS_BUCKETS)
        self._store_errors = self._counter("store_errors", "Store calls that failed", ("code",))
        self._store_up = self._gauge("store_up", "1 if the last call reached the store", (), "livemin")
        self._store_was_up: bool | None = None
        self._store_memory = self._gauge("store_memory_bytes", "Memory that the store uses", (), "livemostrecent")
        self._store_memory_limit = self._gauge(
            "store_memory_limit_bytes", "Memory beyond which the store refuses writes", (), "livemostrecent"
        )
        self._append_only = self._gauge(
            "store_append_only", "1 if every master writes its append-only file", (), "livemostrecent"
        )
        self._replicas = self._gauge("store_replicas", "Replicas of the master with the fewest", (), "livemostrecent")
        # A worker that loads large models for minutes has called the store as little as one whose server tells nothing.
        self._store_up.set(1)
        for gauge in (self._append_only, self._replicas):
            gauge._value.set(SUBJECT_GONE)  # without a time, so that what any worker is told counts

    def exposition(self) -> bytes:
        """Return the metrics of all workers in Prometheus' text format."""
        self.flush()
        return self.render()

    def render(self) -> bytes:
        """Return the metrics as they were last flushed. It may run in another thread."""
        registry = CollectorRegistry()
        registry.register(LiveSubjects(self._collector()))
        return generate_latest(registry)

    def inference_statistics(self) -> dict[tuple[str, str], VersionStatistics]:
        """Return the statistics of the inferences of all workers, by model and version. It may run in a thread."""
        return read_statistics(self._collector().collect())

    def _collector(self) -> Collector:
        return MultiProcessCollector(None) if self._shared else self._registry  # type: ignore[no-untyped-call]

    def flush(self) -> None:
        """Apply what was counted in this turn of the event loop."""
        self._batch.flush()

    def request(self, route: str, method: str, status: int, seconds: float) -> None:
        self._batch.count(self._requests(route, method, status))
        self._batch.observe(self._durations(route), seconds)

    def in_flight(self, change: int) -> None:
        self._batch.count(self._in_flight, change)

    def websocket(self, change: int) -> None:
        self._websockets.inc(change)
        self.in_flight(-change)  # an open WebSocket is no request under way

    def event_loop_lag(self, seconds: float) -> None:
        self._batch.observe(self._loop_lag, seconds)

    def shed(self, reason: str) -> None:
        self._shed(reason).inc()

    def model_loaded(self, model: ModelVersion) -> None:
        names = (model.name, model.version)
        self._loaded.labels(*names, model.fingerprint).set(1)
        self._verified.labels(*names).set(int(model.verified))
        self._load_seconds.labels(*names).set(model.load_seconds)
        self._state_bytes.labels(*names).set(model.state_bytes)
        self._cards.loaded(model)

    def model_unloaded(self, model: ModelVersion) -> None:
        names = (model.name, model.version)
        self._loaded.labels(*names, model.fingerprint).set(SUBJECT_GONE)
        for gauge in (self._verified, self._load_seconds, self._state_bytes):
            gauge.labels(*names).set(SUBJECT_GONE)
        self._cards.unloaded(model)

    def queue(self, depth: int) -> None:
        self._queue_depth.set(depth)

    def batch(self, model: str, version: str, size: int, seconds: float) -> None:
        self._batch_size(model, version).observe(size)
        self._forward(model, version).observe(seconds)

    def waited(self, model: str, version: str, seconds: float) -> None:
        self._batch.observe(self._queue_wait(model, version), seconds)

    def first_token(self, model: str, version: str, seconds: float) -> None:
        self._batch.observe(self._first_token(model, version), seconds)

    def ran(self, model: ModelVersion, outcomes: Sequence[Outcome]) -> None:
        names = (model.name, model.version)
        self._timesteps(*names).inc(sum(outcome.timesteps for outcome in outcomes))
        self._generated(*names).inc(sum(outcome.generated for outcome in outcomes))
        observations = [outcome.observation for outcome in outcomes]
        self._count_text(names, [item for item in observations if isinstance(item, Observation)])
        self._count_forecasts(names, [item for item in observations if isinstance(item, ForecastCheck)])

    def _count_text(self, names: tuple[str, str], observations: Sequence[Observation]) -> None:
        if observations:
            self._logprob(*names).inc(max(0.0, -sum(item.logprob for item in observations)))
            self._tokens(*names).inc(sum(item.tokens for item in observations))

    def _count_forecasts(self, names: tuple[str, str], checks: Sequence[ForecastCheck]) -> None:
        if checks:
            self._absolute_error(*names).inc(sum(check.absolute_error for check in checks))
            self._values(*names).inc(sum(check.values for check in checks))
            scores = self._scores(*names)
            for score in chain.from_iterable(check.anomaly_scores for check in checks):
                scores.observe(score)

    def step(self, outcome: str) -> None:
        self._batch.count(self._steps(outcome))

    def session_cache(self, outcome: str) -> None:
        self._batch.count(self._cache(outcome))

    def session_created(self, model: str) -> None:
        self._created(model).inc()

    def session_ended(self, reason: str, count: int = 1) -> None:
        self._ended(reason).inc(count)

    def sessions_active(self, count: int) -> None:
        self._active.set(count)

    def store_call(self, operation: str, seconds: float) -> None:
        self._batch.observe(self._store_seconds(operation), seconds)

    def store_error(self, code: str) -> None:
        self._store_errors(code).inc()

    def store_up(self, up: bool) -> None:
        if up != self._store_was_up:
            self._store_was_up = up
            self._store_up.set(int(up))

    def store_memory(self, used: int, limit: int) -> None:
        self._store_memory.set(used)
        self._store_memory_limit.set(limit or math.inf)

    def store_persistence(self, append_only: bool, replicas: int) -> None:
        self._append_only.set(int(append_only))
        self._replicas.set(replicas)

    def _counter(self, name: str, text: str, labels: tuple[str, ...]) -> Callable[..., Counter]:
        return cache(Counter(f"unroll_{name}", text, labels, registry=self._registry).labels)

    def _gauge(self, name: str, text: str, labels: tuple[str, ...], mode: str) -> Gauge:
        return Gauge(f"unroll_{name}", text, labels, registry=self._registry, multiprocess_mode=mode)  # type: ignore[arg-type]

    def _histogram(
        self, name: str, text: str, labels: tuple[str, ...], buckets: tuple[float, ...]
    ) -> Callable[..., BatchHistogram]:
        return cache(BatchHistogram(f"unroll_{name}", text, labels, registry=self._registry, buckets=buckets).labels)

"""Metrics of inferences over the Open Inference Protocol, and the statistics that are read from them.

Workers share their metrics, so the statistics are those of all workers of this supervisor.
"""

import time
from collections.abc import Iterable

from prometheus_client import CollectorRegistry, Counter, Gauge, Metric

from service.domain.inference_statistics import PARTS, BatchStatistics, InferenceTimes, VersionStatistics
from service.domain.models import ModelVersion

PREFIX = "unroll_open_inference"
BY_BATCH = ("model", "version", "batch_size")
BY_VERSION = ("model", "version")


class InferenceMetrics:
    """Counters of inferences by model version and batch size, which is rounded up to a power of two."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._requests = Counter(f"{PREFIX}_requests", "Inferences", BY_BATCH, registry=registry)
        self._seconds = Counter(f"{PREFIX}_seconds", "Time of inferences", (*BY_BATCH, "part"), registry=registry)
        self._rows = Counter(f"{PREFIX}_rows", "Rows of batches", BY_VERSION, registry=registry)
        self._failures = Counter(f"{PREFIX}_failures", "Inferences that failed", BY_VERSION, registry=registry)
        self._failure_seconds = Counter(
            f"{PREFIX}_failure_seconds", "Time of inferences that failed", BY_VERSION, registry=registry
        )
        self._last = Gauge(
            f"{PREFIX}_last_seconds", "Time of the last one", BY_VERSION, registry=registry, multiprocess_mode="max"
        )

    def succeeded(self, model: ModelVersion, rows: int, times: InferenceTimes) -> None:
        """Count an inference on a batch of `rows`."""
        names = (model.name, model.version)
        batch_size = str(1 << (rows - 1).bit_length())
        self._requests.labels(*names, batch_size).inc()
        self._rows.labels(*names).inc(rows)
        for part in (*PARTS, "total"):
            self._seconds.labels(*names, batch_size, part).inc(getattr(times, part))
        self._last.labels(*names).set(time.time())

    def failed(self, model: ModelVersion, seconds: float) -> None:
        """Count an inference that was refused or failed."""
        names = (model.name, model.version)
        self._failures.labels(*names).inc()
        self._failure_seconds.labels(*names).inc(seconds)


def read_statistics(metrics: Iterable[Metric]) -> dict[tuple[str, str], VersionStatistics]:
    """Return the statistics of each version, by the names of model and version."""
    statistics: dict[tuple[str, str], VersionStatistics] = {}
    for metric in metrics:
        if metric.name.startswith(PREFIX):
            for sample in metric.samples:
                key = sample.labels["model"], sample.labels["version"]
                _add(statistics.setdefault(key, VersionStatistics()), sample.name, sample.labels, sample.value)
    return statistics


def _add(statistics: VersionStatistics, name: str, labels: dict[str, str], value: float) -> None:
    match name.removeprefix(f"{PREFIX}_"):
        case "requests_total":
            _batch(statistics, labels).count = int(value)
        case "seconds_total" if labels["part"] == "total":
            _batch(statistics, labels).seconds = value
        case "seconds_total":
            _batch(statistics, labels).parts[labels["part"]] = value
        case "rows_total":
            statistics.rows = int(value)
        case "failures_total":
            statistics.failures = int(value)
        case "failure_seconds_total":
            statistics.failure_seconds = value
        case "last_seconds":
            statistics.last = value


def _batch(statistics: VersionStatistics, labels: dict[str, str]) -> BatchStatistics:
    return statistics.by_batch.setdefault(int(labels["batch_size"]), BatchStatistics())

"""Metrics of the files that a worker reads again while it runs: its certificate and its API keys."""

from functools import cached_property
from typing import Literal

from prometheus_client import CollectorRegistry, Gauge


class FileMetrics:
    """Gauges of the last reading of each file. Without such a file they are not exposed.

    `unknown` is the value of an expiry that cannot be read.
    """

    def __init__(self, registry: CollectorRegistry, unknown: float) -> None:
        self._registry = registry
        self._unknown = unknown
        self._current = Gauge(
            "unroll_last_reload_successful",
            "0 if a file has changed and could not be used",
            ("file",),
            registry=registry,
            multiprocess_mode="livemin",
        )

    @cached_property
    def _expiry(self) -> Gauge:
        # A gauge without labels has a value from its beginning on, which would hide those of other workers.
        return Gauge(
            "unroll_certificate_expiry_timestamp_seconds",
            "When the certificate expires, the first one of its chain",
            registry=self._registry,
            multiprocess_mode="livemin",
        )

    def reloaded(self, file: Literal["certificate", "api_keys"], successful: bool) -> None:
        """Record whether the contents that a file has now are in use."""
        self._current.labels(file).set(int(successful))

    def certificate(self, expires_at: float | None, successful: bool) -> None:
        """Record when the certificate in use expires, None if that is not known, and likewise for its files."""
        self._expiry.set(self._unknown if expires_at is None else expires_at)
        self.reloaded("certificate", successful)

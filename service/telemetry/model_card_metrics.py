"""Figures of the model cards as metrics, to compare what is observed with what was measured in training."""

import sys
from collections.abc import Iterator, Mapping

from prometheus_client import CollectorRegistry, Gauge

from service.domain.models import ModelVersion
from service.domain.operations import Json

#: Numbers of one card that are exposed, and characters of a name.
MAX_FIGURES = 100
MAX_NAME = 100


def card_figures(metrics: Mapping[str, Json]) -> dict[str, float]:
    """Return the numbers in the `metrics` of a card. One in a mapping has both names, such as `test_mae_at.1`."""
    figures: dict[str, float] = {}
    for name, value in _numbers(metrics):
        if len(name) <= MAX_NAME and len(figures) < MAX_FIGURES:
            figures[name] = value
    return figures


def _numbers(metrics: Mapping[str, Json], prefix: str = "") -> Iterator[tuple[str, float]]:
    for name, value in metrics.items():
        if isinstance(value, dict):
            yield from _numbers(value, f"{prefix}{name}.")
        elif isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < sys.float_info.max:
            yield f"{prefix}{name}", float(value)


class ModelCardMetrics:
    """Gauge of the figures in the model cards of the served versions. `gone` is its value for a version that is not."""

    def __init__(self, registry: CollectorRegistry, gone: float) -> None:
        self._gone = gone
        self._figures = Gauge(
            "unroll_model_card_metric",
            "A number in the model card",
            ("model", "version", "metric"),
            registry=registry,
            multiprocess_mode="livemax",
        )

    def loaded(self, model: ModelVersion) -> None:
        """Expose the figures of a version."""
        for name, value in card_figures(model.metrics).items():
            self._figures.labels(model.name, model.version, name).set(value)

    def unloaded(self, model: ModelVersion) -> None:
        """Expose them no longer."""
        for name in card_figures(model.metrics):
            self._figures.labels(model.name, model.version, name).set(self._gone)

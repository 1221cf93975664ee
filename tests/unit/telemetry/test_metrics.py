"""What outcomes of forecasts add to the metrics."""

from prometheus_client.parser import text_string_to_metric_families

from service.telemetry.metrics import Metrics
from service.types import ForecastCheck, Outcome
from tests.fakes import model_version


def reading(metrics: Metrics) -> dict[tuple[str, str], float]:
    """Every sample by name and bucket."""
    families = text_string_to_metric_families(metrics.exposition().decode())
    return {
        (one.name.removeprefix("unroll_"), one.labels.get("le", "")): one.value
        for family in families
        for one in family.samples
    }


def test_a_checked_forecast_is_counted_by_values_errors_and_scores() -> None:
    metrics, model = Metrics(), model_version("sensor")
    metrics.ran(model, Outcome({}, b"", 3, observation=ForecastCheck(5, 2.5, (0.05, 0.97))))
    metrics.ran(model, Outcome({}, b"", 1, observation=ForecastCheck(1, 0.5, (0.9995,))))
    metrics.ran(model, Outcome({}, b"", 1))
    found = reading(metrics)
    assert found["timesteps_total", ""] == 5
    assert found["observed_values_total", ""] == 6
    assert found["observed_absolute_error_total", ""] == 3
    assert found["anomaly_score_count", ""] == 3
    assert [found["anomaly_score_bucket", edge] for edge in ("0.1", "0.95", "0.99", "0.999", "1.0")] == [1, 1, 2, 2, 3]
    assert ("observed_tokens_total", "") not in found

"""Tests of the metrics of checked forecasts, of the figures of model cards, and of the gauges of unloaded versions."""

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from service.domain.operations import ForecastCheck, Outcome
from service.telemetry.metrics import Metrics
from service.telemetry.model_card_metrics import MAX_FIGURES, card_figures
from tests.fakes import model_version


def samples(metrics: Metrics) -> dict[tuple[str, str], float]:
    """Return every sample by name and bucket."""
    families = text_string_to_metric_families(metrics.exposition().decode())
    return {
        (sample.name.removeprefix("unroll_"), sample.labels.get("le", "")): sample.value
        for family in families
        for sample in family.samples
    }


def test_a_checked_forecast_is_counted_by_values_errors_and_scores() -> None:
    metrics, model = Metrics(), model_version("sensor")
    high_score, higher_score = ForecastCheck(5, 2.5, (0.05, 0.97)), ForecastCheck(1, 0.5, (0.9995,))
    metrics.ran(model, [Outcome({}, b"", 3, observation=high_score), Outcome({}, b"", 1, observation=higher_score)])
    metrics.ran(model, [Outcome({}, b"", 1)])
    values = samples(metrics)
    assert values["timesteps_total", ""] == 5
    assert values["observed_values_total", ""] == 6
    assert values["observed_absolute_error_total", ""] == 3
    assert values["anomaly_score_count", ""] == 3
    assert [values["anomaly_score_bucket", edge] for edge in ("0.1", "0.95", "0.99", "0.999", "1.0")] == [1, 1, 2, 2, 3]
    assert ("observed_tokens_total", "") not in values


def test_the_numbers_of_a_card_are_named_by_where_they_stand() -> None:
    card = {"test_mae": 2194, "test_mae_at": {"1": 860, "2": 1086.5}, "verified": True, "notes": ["x"], "by": "y"}
    assert card_figures(card) == {"test_mae": 2194, "test_mae_at.1": 860, "test_mae_at.2": 1086.5}


def test_a_card_with_countless_numbers_and_long_names_becomes_few_series() -> None:
    figures = card_figures({"n" * 101: 1, "huge": 10**400, **{f"figure_{index}": index for index in range(1000)}})
    assert list(figures) == [f"figure_{index}" for index in range(MAX_FIGURES)]


def test_the_figures_of_a_card_are_gone_with_their_version() -> None:
    metrics = Metrics()
    model = replace(model_version(), metrics={"test_perplexity": 25.89})
    metrics.model_loaded(model)
    assert samples(metrics)["model_card_metric", ""] == 25.89
    metrics.model_unloaded(model)
    assert ("model_card_metric", "") not in samples(metrics)


def test_a_store_that_was_not_called_yet_is_no_store_that_cannot_be_reached_or_keeps_nothing() -> None:
    metrics = Metrics()
    assert samples(metrics)["store_up", ""] == 1
    assert not {("store_append_only", ""), ("store_replicas", "")} & samples(metrics).keys()
    metrics.store_up(False)
    metrics.store_persistence(False, 2)
    found = samples(metrics)
    assert [found[name, ""] for name in ("store_up", "store_append_only", "store_replicas")] == [0, 0, 2]


#: One worker was told of the store's file before another starts.
LATECOMER = """
import os, sys
from service.telemetry.metrics import Metrics
if os.fork() == 0:
    Metrics().store_persistence(True, 1)
    os._exit(0)
os.wait()
sys.stdout.write("".join(line for line in Metrics().exposition().decode().splitlines(True) if "append_only " in line))
"""


def test_a_worker_that_starts_does_not_hide_what_another_was_told_of_the_store(tmp_path: Path) -> None:
    environment = os.environ | {"PROMETHEUS_MULTIPROC_DIR": str(tmp_path)}
    command = [sys.executable, "-c", LATECOMER]
    process = subprocess.run(command, env=environment, capture_output=True, text=True, check=True, cwd=Path.cwd())
    assert "unroll_store_append_only 1.0" in process.stdout.splitlines()


def test_a_service_without_certificate_and_keys_has_no_figures_of_them() -> None:
    metrics = Metrics()
    assert not {name for name, _ in samples(metrics) if name.startswith(("certificate", "last_reload"))}
    metrics.files.certificate(1.8e9, True)
    metrics.files.reloaded("api_keys", False)
    text = metrics.exposition().decode()
    assert "unroll_certificate_expiry_timestamp_seconds 1.8e+09" in text
    assert 'unroll_last_reload_successful{file="certificate"} 1.0' in text
    assert 'unroll_last_reload_successful{file="api_keys"} 0.0' in text
    metrics.files.certificate(None, True)
    assert ("certificate_expiry_timestamp_seconds", "") not in samples(metrics)


#: Two workers load versions 1 and 2; one unloads 1, the other too when it is told to.
WORKERS = """
import json, os, sys
from service.telemetry.metrics import Metrics
from tests.fakes import model_version
first, second = model_version(version="1"), model_version(version="2", fingerprint="cd" * 32)
pids = [os.fork() for _ in range(2)]
metrics = Metrics()
for version in (first, second):
    metrics.model_loaded(version)
if pids[0] or sys.argv[1] == "both":
    metrics.model_unloaded(first)
if all(pids):
    for pid in pids:
        os.waitpid(pid, 0)
    sys.stdout.buffer.write(metrics.exposition())
else:
    os._exit(0)
"""


@pytest.mark.parametrize(("unloading", "remaining"), [("one", {"1", "2"}), ("both", {"2"})])
def test_the_gauges_of_a_version_are_gone_when_no_worker_has_it(
    tmp_path: Path, unloading: str, remaining: set[str]
) -> None:
    environment = os.environ | {"PROMETHEUS_MULTIPROC_DIR": str(tmp_path)}
    command = [sys.executable, "-c", WORKERS, unloading]
    process = subprocess.run(command, env=environment, capture_output=True, text=True, check=True, cwd=Path.cwd())
    gauges = ("unroll_model_loaded", "unroll_model_verified", "unroll_model_load_seconds", "unroll_state_bytes")
    gauge_samples = [sample for family in text_string_to_metric_families(process.stdout) for sample in family.samples]
    for gauge in gauges:
        assert {sample.labels["version"] for sample in gauge_samples if sample.name == gauge} == remaining


def test_without_other_workers_the_gauges_of_an_unloaded_version_are_gone_at_once() -> None:
    metrics = Metrics()
    metrics.model_loaded(model_version())
    assert ("model_loaded", "") in samples(metrics)
    metrics.model_unloaded(model_version())
    assert not {name for name, _ in samples(metrics) if name.startswith(("model_", "state_"))}
    metrics.model_loaded(model_version())
    assert samples(metrics)["state_bytes", ""] == 8

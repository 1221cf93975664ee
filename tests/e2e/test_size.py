"""`unroll size` on a real service."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import CliRunner

from service.cli import app
from tests.folders import write_language_model
from tests.forecast_folders import write_forecaster
from tests.translation_folders import write_encoder_decoder


@pytest.mark.slow
@pytest.mark.parametrize("write", [write_language_model, write_forecaster, write_encoder_decoder])
def test_a_model_is_measured_and_a_deployment_planned(tmp_path: Path, write: Callable[..., Path]) -> None:
    folder = write(tmp_path, "measured")
    result = CliRunner().invoke(
        app, ["size", str(folder), "--sessions", "200000", "--steps-per-second", "500", "--seconds", "2", "--json"]
    )
    assert result.exit_code == 0, result.output
    report = json.loads(result.stdout)
    cost = report["measured"]
    assert cost["steps"] > 100
    assert 200 < cost["bytes_per_session"] < 100_000
    assert 1e-5 < cost["store_seconds_per_step"] < cost["worker_seconds_per_step"] < 0.1
    assert report["maxmemory"] == pytest.approx(200_000 * cost["bytes_per_session"] / 0.75, rel=1e-6)

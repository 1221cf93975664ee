"""One service of two workers for all end-to-end tests; a test that kills it finds it running again."""

from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.e2e.task_models import write_task_models
from tests.e2e.traffic import write_model
from tests.folders import write_language_model
from tests.forecast_folders import write_forecaster
from tests.server import NEW_CONNECTIONS, Server, short_folder, tiny_models
from tests.translation_folders import write_encoder_decoder


@pytest.fixture(scope="session")
def folder() -> Iterator[Path]:
    with short_folder() as path:
        yield path


@pytest.fixture(scope="session")
def models_folder(folder: Path) -> Path:
    """One model of each task, one that is exact, and two whose versions will not stay as they are."""
    models = tiny_models(folder / "models")
    for name in ("removed", "changed"):
        write_language_model(models, name, seed=4)
    write_encoder_decoder(models, "mt")
    write_model(models)
    write_forecaster(models, "sensor", calendar=["hour_of_day"], missing_indicator=True, distribution="student_t")
    write_task_models(models)
    return models


@pytest.fixture(scope="session")
def shared_server(folder: Path, models_folder: Path) -> Iterator[Server]:
    with Server(folder, models=models_folder, workers=2) as running:
        yield running


@pytest.fixture
def server(shared_server: Server) -> Server:
    """The shared service, ready, whatever the test before did to it."""
    return shared_server.ensure_ready()


@pytest.fixture
def http(server: Server) -> Iterator[httpx.Client]:
    """A client that opens a connection for every request, so that each may reach another worker."""
    with httpx.Client(base_url=server.url, timeout=30, headers=NEW_CONNECTIONS) as client:
        yield client

"""Fixtures of the client's tests: a scripted server, and the real service with one small model of each task."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from scripted_server import FAST, INFO, Answer, ScriptedServer
from tests.encoder_folders import write_encoder
from tests.folders import write_language_model
from tests.forecast_folders import write_forecaster
from tests.onnx_folders import running_sum, running_sum_config, write_onnx
from tests.server import Server, short_folder
from tests.translation_folders import write_encoder_decoder
from tests.vector_folders import write_captions
from unroll_client import Client, Session


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
def scripted() -> Iterator[ScriptedServer]:
    with ScriptedServer() as server:
        yield server
        assert not server.script, "the client sent fewer requests than the script has answers"


@pytest.fixture
def client(scripted: ScriptedServer) -> Iterator[Client]:
    """A client of the scripted server."""
    with Client(scripted.url, retry=FAST, timeout=1.0) as client:
        yield client


@pytest.fixture
def session(scripted: ScriptedServer, client: Client) -> Session:
    """A session of that client."""
    scripted.will(Answer(201, INFO))
    return client.create_session("tiny")


@pytest.fixture(scope="session")
def folder() -> Iterator[Path]:
    with short_folder() as path:
        yield path


@pytest.fixture(scope="session")
def service(folder: Path) -> Iterator[Server]:
    models = folder / "models"
    write_language_model(models, "tiny", hidden_size=32, seed=3)
    write_encoder_decoder(models, "mt")
    write_encoder(models, "mood", "classification")
    write_encoder(models, "tags", "tagging", text=False)
    write_encoder(models, "river", "regression", text=False)
    write_encoder(models, "vectors", "embedding")
    write_onnx(models, "sum", running_sum(), running_sum_config())
    write_forecaster(models, "sensor", calendar=["hour_of_day"], missing_indicator=True, distribution="student_t")
    write_captions(models)
    with Server(folder, models=models, workers=2) as running:
        yield running

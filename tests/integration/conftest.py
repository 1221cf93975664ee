"""One real service for all integration tests: two workers, three model versions, tenants and narrow limits."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.folders import write_language_model
from tests.server import ROOT, Server, short_folder, tiny_models

KEYS = {"alice": "key-of-alice", "bob": "key-of-bob", "carol": "key-of-carol"}
MAX_INPUT_TOKENS = 64
MAX_GENERATED_TOKENS = 64
MAX_BODY_BYTES = 262_144


@pytest.fixture(scope="session")
def folder() -> Iterator[Path]:
    with short_folder() as path:
        yield path


@pytest.fixture(scope="session")
def models_folder(folder: Path) -> Path:
    models = tiny_models(folder / "models")
    write_language_model(models, "pair", "1", cell="gru", seed=1)
    write_language_model(models, "pair", "2", cell="gru", seed=2)
    shutil.copytree(ROOT / "models" / "next-word", models / "next-word")
    return models


@pytest.fixture(scope="session")
def server(folder: Path, models_folder: Path) -> Iterator[Server]:
    keys = ",".join(f"{tenant}:{key}" for tenant, key in KEYS.items())
    limits = {
        "max_input_tokens": MAX_INPUT_TOKENS,
        "max_generated_tokens": MAX_GENERATED_TOKENS,
        "max_body_bytes": MAX_BODY_BYTES,
    }
    with Server(folder, models=models_folder, workers=2, grpc_port=0, api_keys=keys, **limits) as running:
        yield running


@pytest.fixture(scope="session")
def http(server: Server) -> Iterator[httpx.Client]:
    """Alice, who works here."""
    with server.client(KEYS["alice"]) as client:
        yield client


@pytest.fixture(scope="session")
def bob(server: Server) -> Iterator[httpx.Client]:
    """Another tenant."""
    with server.client(KEYS["bob"]) as client:
        yield client


@pytest.fixture(scope="session")
def carol(server: Server) -> Iterator[httpx.Client]:
    """A tenant whose sessions are counted."""
    with server.client(KEYS["carol"]) as client:
        yield client


@pytest.fixture(scope="session")
def anonymous(server: Server) -> Iterator[httpx.Client]:
    """A client without a key."""
    with server.client() as client:
        yield client

"""`unroll doctor` on real stores, model folders and ports."""

import json
import socket
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from redis import Redis
from typer.testing import CliRunner

from service.cli import app
from service.store.embedded.server import EmbeddedServer
from tests.folders import write_language_model
from tests.server import short_folder

Findings = list[dict[str, str]]
Diagnose = Callable[..., tuple[int, Findings]]


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("models")
    write_language_model(folder, "words")
    return folder


@pytest.fixture(scope="module")
def store() -> Iterator[EmbeddedServer]:
    with short_folder() as folder:
        server = EmbeddedServer(folder)
        server.start()
        yield server
        server.stop()


@pytest.fixture
def diagnose(models: Path, store: EmbeddedServer, monkeypatch: pytest.MonkeyPatch) -> Diagnose:
    """Runs the command with settings; those that a test does not name describe a healthy deployment."""

    def run(**settings: object) -> tuple[int, Findings]:
        healthy = {"UNROLL_MODELS": models, "REDIS_URL": store.url, "UNROLL_PORT": 0, "UNROLL_API_KEYS": "a:key"}
        for name, value in {**healthy, **settings}.items():
            monkeypatch.setenv(name, str(value))
        result = CliRunner().invoke(app, ["doctor", "--json"])
        report = json.loads(result.stdout)
        assert report["healthy"] is (result.exit_code == 0)
        return result.exit_code, report["findings"]

    return run


def texts(findings: Findings, level: str, part: str) -> list[str]:
    return [finding["text"] for finding in findings if (finding["level"], finding["part"]) == (level, part)]


def test_a_healthy_deployment_has_no_error_and_leaves_no_key(diagnose: Diagnose, store: EmbeddedServer) -> None:
    status, findings = diagnose()
    assert status == 0
    (model,) = texts(findings, "ok", "models")
    assert model.startswith("words 1: next-word")
    # A write may be slow while other tests run.
    product, memory, write = [finding["text"] for finding in findings if finding["part"] == "store"]
    assert "Valkey" in product or "Redis" in product
    assert "MiB of memory of" in memory
    assert write.startswith("a write of 4096 bytes at durability memory takes")
    assert texts(findings, "ok", "clock")
    assert texts(findings, "ok", "ports")
    with Redis.from_url(store.url) as client:
        assert client.keys() == []


def test_what_is_weak_is_a_warning(diagnose: Diagnose, store: EmbeddedServer) -> None:
    with Redis.from_url(store.url) as client:
        client.config_set("maxmemory-policy", "allkeys-lru")
        try:
            status, findings = diagnose(
                UNROLL_HOST="0.0.0.0",  # noqa: S104
                UNROLL_API_KEYS="",
                UNROLL_DURABILTY="fsynced",
                UNROLL_WORKERS=256,
            )
        finally:
            client.config_set("maxmemory-policy", "noeviction")
    assert status == 0
    assert texts(findings, "warning", "settings") == [
        "UNROLL_DURABILTY is no setting: found it in the environment, expected one that is documented"
    ]
    (access,) = texts(findings, "warning", "access")
    assert "0.0.0.0 without UNROLL_API_KEYS" in access
    assert any(
        "maxmemory-policy is allkeys-lru, expected noeviction" in text for text in texts(findings, "warning", "store")
    )
    assert "256 worker processes" in texts(findings, "warning", "machine")[0]


def test_a_level_that_the_store_cannot_reach_is_told(diagnose: Diagnose) -> None:
    _, findings = diagnose(UNROLL_DURABILITY="replicated")
    assert any("no replica" in text for text in texts(findings, "warning", "store"))


def test_a_store_that_is_away_is_an_error(diagnose: Diagnose) -> None:
    with socket.create_server(("127.0.0.1", 0)) as unused:
        port = unused.getsockname()[1]
    status, findings = diagnose(REDIS_URL=f"redis://:secret@127.0.0.1:{port}")
    assert status == 1
    (text,) = texts(findings, "error", "store")
    assert "no answer" in text
    assert "secret" not in json.dumps(findings)


def test_a_user_without_the_right_to_write_is_an_error(diagnose: Diagnose, store: EmbeddedServer) -> None:
    with Redis.from_url(store.url) as client:
        client.execute_command("ACL", "SETUSER", "reader", "on", ">secret", "~*", "+@all", "-@write")
    status, findings = diagnose(REDIS_URL=store.url.replace("unix://", "unix://reader:secret@"))
    assert status == 1
    (text,) = texts(findings, "error", "store")
    assert "expected the right to write" in text


def test_a_broken_model_is_an_error_and_the_others_are_checked(diagnose: Diagnose, tmp_path: Path) -> None:
    write_language_model(tmp_path, "good")
    broken = write_language_model(tmp_path, "broken")
    (broken / "config.json").write_text("{}")
    status, findings = diagnose(UNROLL_MODELS=tmp_path)
    assert status == 1
    (text,) = texts(findings, "error", "models")
    assert text.startswith("broken 1 is refused")
    assert len(texts(findings, "ok", "models")) == 1


@pytest.mark.parametrize("folder", ["empty", "missing"])
def test_a_folder_without_models_is_an_error(diagnose: Diagnose, tmp_path: Path, folder: str) -> None:
    (tmp_path / "empty").mkdir()
    status, findings = diagnose(UNROLL_MODELS=tmp_path / folder)
    assert status == 1
    assert str(tmp_path / folder) in texts(findings, "error", "models")[0]


def test_a_port_in_use_by_another_program_is_an_error(diagnose: Diagnose) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        server.settimeout(0)
        status, findings = diagnose(UNROLL_PORT=port)
    assert status == 1
    assert f"{port} is in use" in texts(findings, "error", "ports")[0]


def test_the_embedded_store_is_started_elsewhere(
    diagnose: Diagnose, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("REDIS_URL", raising=False)
    state = tmp_path / "state"
    result = CliRunner().invoke(app, ["doctor", "--state-dir", str(state), "--json"], env={"REDIS_URL": None})
    found = json.loads(result.stdout)["findings"]
    assert any(str(state) in text for text in texts(found, "ok", "store"))
    assert not state.exists()


def test_the_report_for_people_has_a_line_for_each_finding(diagnose: Diagnose) -> None:
    _, findings = diagnose()
    lines = CliRunner().invoke(app, ["doctor"]).stdout.splitlines()
    assert len(lines) == len(findings) + 1
    assert lines[-1].startswith("0 errors, ")

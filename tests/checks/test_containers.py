"""The Dockerfile and docker-compose.yml, read as text: no container engine is needed."""

import re
from typing import Any

import pytest
import yaml

from service import __version__
from service.settings import Settings
from tests.checks.places import ROOT

DOCKERFILE = (ROOT / "Dockerfile").read_text("utf-8")
COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text("utf-8"))
SERVICES: dict[str, Any] = COMPOSE["services"]


def final_stage() -> str:
    return DOCKERFILE[DOCKERFILE.rindex("\nFROM ") :]


def test_the_image_runs_as_a_user_with_a_fixed_number_and_without_a_shell_around_it() -> None:
    assert re.search(r"^USER (\d+):\1$", final_stage(), re.MULTILINE)
    assert 'ENTRYPOINT ["unroll"]\nCMD ["serve"]' in final_stage()


def test_the_image_says_which_release_it_holds() -> None:
    assert f'org.opencontainers.image.version="{__version__}"' in final_stage()


def test_the_images_settings_exist() -> None:
    names = set(re.findall(r"\bUNROLL_([A-Z_]+)", DOCKERFILE))
    assert {name.lower() for name in names} <= set(Settings.model_fields)
    assert {"HOST", "MODELS", "STATE_DIR", "LOG_FORMAT"} <= names


def test_both_stages_begin_with_the_same_base() -> None:
    bases = re.findall(r"^FROM (\S+)", DOCKERFILE, re.MULTILINE)
    assert len(bases) == 2
    assert len(set(bases)) == 1
    assert f'image.base.name="{bases[0]}"' in DOCKERFILE


def test_what_is_copied_into_the_image_is_in_its_context() -> None:
    allowed = set(re.findall(r"^!(\S+)$", (ROOT / ".dockerignore").read_text("utf-8"), re.MULTILINE))
    copied = {words.split()[0].split("/")[0] for words in re.findall(r"^COPY (?!--)(.+)$", DOCKERFILE, re.MULTILINE)}
    assert copied == allowed
    assert [name for name in sorted(copied) if not (ROOT / name).exists()] == []


def test_compose_has_the_service_its_store_and_prometheus() -> None:
    assert set(SERVICES) == {"service", "valkey", "prometheus"}
    assert SERVICES["service"]["environment"]["REDIS_URL"] == "redis://valkey:6379/0"
    assert SERVICES["service"]["depends_on"] == {"valkey": {"condition": "service_healthy"}}


@pytest.mark.parametrize(("name", "ports"), [("service", ["8000"]), ("prometheus", ["9090"]), ("valkey", [])])
def test_ports_are_open_to_this_machine_only(name: str, ports: list[str]) -> None:
    assert SERVICES[name].get("ports", []) == [f"127.0.0.1:{port}:{port}" for port in ports]


@pytest.mark.parametrize("name", ["valkey", "prometheus"])
def test_foreign_images_are_pinned_to_a_release(name: str) -> None:
    assert re.fullmatch(r"docker\.io/[\w/]+:v?\d+\.\d+[\w.-]*", SERVICES[name]["image"])


def test_the_service_is_stopped_only_after_its_grace_time() -> None:
    seconds = int(SERVICES["service"]["stop_grace_period"].removesuffix("s"))
    assert seconds > Settings.model_fields["grace_seconds"].default + 2


def test_the_service_can_write_nothing_but_temporary_files_and_gain_no_rights() -> None:
    service = SERVICES["service"]
    assert service["read_only"] is True
    assert "/tmp" in service["tmpfs"]  # noqa: S108 - a path in the container
    assert "no-new-privileges:true" in service["security_opt"]


def test_the_service_and_its_store_have_health_checks() -> None:
    asked = SERVICES["service"]["healthcheck"]["test"]
    assert asked[:2] == ["CMD", "python"]
    assert "/health/live" in asked[-1]
    assert SERVICES["valkey"]["healthcheck"]["test"] == ["CMD", "valkey-cli", "ping"]


def test_the_store_keeps_what_it_was_told_and_evicts_nothing() -> None:
    words = SERVICES["valkey"]["command"]
    settings = dict(zip(words[1::2], words[2::2], strict=True))
    assert settings["--appendonly"] == "yes"
    assert settings["--appendfsync"] == "everysec"
    assert settings["--maxmemory-policy"] == "noeviction"


def test_every_volume_is_declared_and_every_mounted_file_exists() -> None:
    sources = [mount.split(":")[0] for service in SERVICES.values() for mount in service.get("volumes", [])]
    assert {source for source in sources if not source.startswith(".")} == set(COMPOSE["volumes"])
    assert [source for source in sources if source.startswith(".") and not (ROOT / source).is_file()] == []


def test_prometheus_reads_the_services_metrics() -> None:
    (job,) = yaml.safe_load((ROOT / "deploy" / "prometheus.yml").read_text("utf-8"))["scrape_configs"]
    assert job["metrics_path"] == "/metrics"
    assert job["static_configs"] == [{"targets": ["service:8000"]}]

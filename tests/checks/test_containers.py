"""The Dockerfile and docker-compose.yml, read as text: no container engine is needed."""

import re
import subprocess
import sys
from typing import Any

import pytest
import yaml

from service import __version__
from service.settings import Settings
from tests.checks.places import ROOT

DOCKERFILE = (ROOT / "Dockerfile").read_text("utf-8")
COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text("utf-8"))
SERVICES: dict[str, Any] = COMPOSE["services"]
REPLICAS = ("service-1", "service-2")


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


def test_compose_has_two_replicas_their_proxy_and_store_and_what_watches_them() -> None:
    assert set(SERVICES) == {*REPLICAS, "haproxy", "valkey", "prometheus", "alertmanager", "grafana"}
    first, second = (SERVICES[name] for name in REPLICAS)
    assert first == second
    assert first["environment"]["REDIS_URL"] == "redis://valkey:6379/0"
    assert first["depends_on"] == {"valkey": {"condition": "service_healthy"}}


def test_compose_follows_its_schema() -> None:
    checks = pytest.importorskip("check_jsonschema", reason="make dev installs check-jsonschema")
    arguments = ["--builtin-schema", "vendor.compose-spec", str(ROOT / "docker-compose.yml")]
    done = subprocess.run(
        [sys.executable, "-m", checks.__name__, *arguments], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize(
    ("name", "ports"),
    [
        ("service-1", []),
        ("service-2", []),
        ("valkey", []),
        ("haproxy", ["8000", "8001"]),
        ("prometheus", ["9090"]),
        ("alertmanager", ["9093"]),
        ("grafana", ["3000"]),
    ],
)
def test_ports_are_open_to_this_machine_only(name: str, ports: list[str]) -> None:
    assert SERVICES[name].get("ports", []) == [f"127.0.0.1:{port}:{port}" for port in ports]


@pytest.mark.parametrize("name", sorted(SERVICES.keys() - set(REPLICAS)))
def test_foreign_images_are_pinned_to_a_release(name: str) -> None:
    assert re.fullmatch(r"docker\.io/[\w/]+:v?\d+\.\d+[\w.-]*", SERVICES[name]["image"])


@pytest.mark.parametrize("name", sorted(SERVICES))
def test_no_container_writes_outside_of_its_volumes_or_gains_rights(name: str) -> None:
    assert SERVICES[name]["read_only"] is True
    assert SERVICES[name]["security_opt"] == ["no-new-privileges:true"]
    # The store's server gives up root's rights itself, which takes some of them.
    assert SERVICES[name].get("cap_drop") == (None if name == "valkey" else ["ALL"])


def test_whoever_reaches_grafana_can_look_and_there_is_no_password_to_know() -> None:
    environment = SERVICES["grafana"]["environment"]
    assert environment["GF_AUTH_ANONYMOUS_ORG_ROLE"] == "Viewer"
    assert environment["GF_SECURITY_DISABLE_INITIAL_ADMIN_CREATION"] == "true"


def test_the_service_is_stopped_only_after_its_grace_time() -> None:
    seconds = int(SERVICES["service-1"]["stop_grace_period"].removesuffix("s"))
    assert seconds > Settings.model_fields["grace_seconds"].default + 2


def test_the_service_has_room_for_temporary_files_alone() -> None:
    assert SERVICES["service-1"]["tmpfs"] == ["/tmp", "/data"]  # noqa: S108 - paths in the container


def test_the_service_and_its_store_have_health_checks() -> None:
    asked = SERVICES["service-1"]["healthcheck"]["test"]
    assert asked[:2] == ["CMD", "python"]
    assert "/health/live" in asked[-1]
    assert SERVICES["valkey"]["healthcheck"]["test"] == ["CMD", "valkey-cli", "ping"]


def test_the_store_keeps_what_it_was_told_and_evicts_nothing() -> None:
    words = SERVICES["valkey"]["command"]
    settings = dict(zip(words[1::2], words[2::2], strict=True))
    assert settings["--appendonly"] == "yes"
    assert settings["--appendfsync"] == "everysec"
    assert settings["--maxmemory-policy"] == "noeviction"
    assert settings["--maxmemory"] == "1gb"


def test_every_volume_is_declared_and_what_is_mounted_of_the_repository_exists_and_is_read_only() -> None:
    mounts = [mount.split(":") for service in SERVICES.values() for mount in service.get("volumes", [])]
    own = [mount for mount in mounts if mount[0].startswith(".")]
    assert {mount[0] for mount in mounts if mount not in own} == set(COMPOSE["volumes"])
    assert [mount[0] for mount in own if not (ROOT / mount[0]).is_dir() or mount[2:] != ["ro"]] == []


def test_prometheus_and_the_proxy_know_every_replica() -> None:
    scraped = yaml.safe_load((ROOT / "deploy" / "prometheus" / "prometheus.yml").read_text("utf-8"))["scrape_configs"]
    (job,) = [job for job in scraped if job["job_name"] == "unroll"]
    targets = [f"{name}:8000" for name in REPLICAS]
    assert job["static_configs"] == [{"targets": targets}]
    proxy = (ROOT / "deploy" / "haproxy" / "haproxy.cfg").read_text("utf-8")
    grpc_targets = [f"{name}:{SERVICES[name]['environment']['UNROLL_GRPC_PORT']}" for name in REPLICAS]
    servers = [*zip(REPLICAS, targets, strict=True)] * 2 + [*zip(REPLICAS, grpc_targets, strict=True)] * 2
    assert re.findall(r"^    server (\S+) (\S+)", proxy, re.MULTILINE) == servers
    assert SERVICES["service-1"]["environment"]["UNROLL_ALLOWED_HOSTS"].split(",") == list(REPLICAS)


def test_the_proxy_looks_often_enough_to_leave_a_replica_that_drains() -> None:
    proxy = (ROOT / "deploy" / "haproxy" / "haproxy.cfg").read_text("utf-8")
    (times,) = set(re.findall(r"check inter (\d+)s fall (\d+)", proxy))
    (timeout,) = re.findall(r"timeout check (\d+)s", proxy)
    interval, failures = (int(number) for number in times)
    assert interval * failures + int(timeout) < int(SERVICES["service-1"]["environment"]["UNROLL_DRAIN_SECONDS"])


def test_the_settings_of_the_replicas_exist() -> None:
    names = {
        name.removeprefix("UNROLL_").lower() for name in SERVICES["service-1"]["environment"] if name != "REDIS_URL"
    }
    assert names <= set(Settings.model_fields)

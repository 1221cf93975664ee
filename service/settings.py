"""Settings of the service. No other module reads settings from the environment.

Each has a variable UNROLL_<NAME>; `REDIS_URL` is read without the prefix. The command line overrides the environment.
"""

import ipaddress
import os
import re
from pathlib import Path
from typing import Annotated, Any, Literal, get_args

from pydantic import AliasChoices, Field, ValidationError, field_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from service.domain.errors import SettingsError
from service.domain.limits import format_limits, parse_limits
from service.domain.operations import ComputeDtype, Device
from service.domain.sessions import Durability

#: Protocols that are served beside the native API, `/v1`.
Protocol = Literal["grpc", "libretranslate", "open-inference", "openai", "websocket"]


class Settings(BaseSettings):
    """Settings, read once at the start. They are frozen."""

    model_config = SettingsConfigDict(env_prefix="UNROLL_", frozen=True, extra="ignore", populate_by_name=True)

    host: str = Field("127.0.0.1", description="Address to listen on")
    port: int = Field(8000, ge=0, le=65535, description="Port to listen on; 0 takes a free one")
    grpc_port: int | None = Field(
        None,
        ge=0,
        le=65535,
        description="Port for gRPC; 0 takes a free one, unset: gRPC is not served. It needs the extra `grpc`",
    )
    tls_certificate: Path | None = Field(
        None, description="File with the certificate chain of both ports, in PEM; unset: no TLS"
    )
    tls_key: Path | None = Field(None, description="File with the key of the certificate, in PEM")
    tls_key_password: str | None = Field(None, description="Password of that key, if it has one")
    workers: int = Field(1, ge=1, le=256, description="Worker processes on the port")
    models: Path = Field(Path("models"), description="Folder of model folders, `<name>/<version>/` each")
    models_poll_seconds: float = Field(2, gt=0, le=60, description="How often a worker looks for new model versions")
    model_load_seconds: float = Field(300, gt=0, description="Longest load of a model version; then it is refused")
    model_grace_seconds: float = Field(
        3600, ge=0, description="How long sessions go on with a version that was superseded or removed"
    )
    retire_superseded: bool = Field(True, description="Retire a version when a newer one joins it")
    redis_url: str | None = Field(
        None,
        validation_alias=AliasChoices("REDIS_URL", "redis_url"),
        description="The store: `redis://`, `rediss://`, `unix://`, `redis+sentinel://` or `redis+cluster://`; unset "
        "starts a private server",
    )
    state_dir: Path = Field(Path(".unroll"), description="Where the private server keeps its data")
    store_max_bytes: int | None = Field(
        None,
        ge=8 * 2**20,
        description="Memory of the private server; unset: 45 % of what the machine or the control group has beside the "
        "workers",
    )
    store_min_free_bytes: int | None = Field(
        None,
        ge=0,
        description="Free space of the private server's disk under which it refuses writes; unset: 10 % of the disk, "
        "at most 256 MiB",
    )
    key_prefix: str = Field("unroll", min_length=1, pattern=r"^[^{}*\s]+$", description="First part of every store key")
    api_keys: Annotated[dict[str, str], NoDecode] = Field(
        default_factory=dict,
        description="`TENANT:KEY,TENANT:KEY`: who may call; a tenant sees its own sessions only. Empty: anyone, unless "
        "`api_keys_file` is set",
    )
    api_keys_file: Path | None = Field(
        None,
        description="File of further API keys, which `unroll keys` writes; workers notice when it changes",
    )
    model_admins: Annotated[tuple[str, ...], NoDecode] = Field(
        (),
        description="Tenants, separated by commas, that may load and unload models beside administrators; unset: the "
        "only one, or none of several or beside a file of keys. Without API keys anyone may",
    )
    tenant_limits: Annotated[dict[str, dict[str, int | float]], NoDecode] = Field(
        default_factory=dict,
        description="Limits of tenants: `NAME=VALUE` of each, `TENANT:NAME=VALUE` of one; NAME is requests_per_second, "
        "cost_per_second, sessions, state_bytes, ttl_seconds, kept_steps or weight",
    )
    max_wrong_keys: int = Field(30, ge=1, description="Most wrong API keys of an address within a minute; past it 429")
    public_operations: bool = Field(
        False, description="Serve `/metrics`, `/docs` and `/openapi.json` without a key where API keys are configured"
    )
    allowed_hosts: Annotated[tuple[str, ...], NoDecode] = Field(
        (),
        description="Host names, separated by commas, that requests may be sent to beside loopback names; `*` is any, "
        "`*.NAME` those below NAME. Empty: without API keys a service on a loopback address has loopback names only",
    )
    root_path: str = Field(
        "",
        pattern=r"^(/[A-Za-z0-9._~-]+)*$",
        description="Path, such as `/unroll`, under which a proxy that removes it serves the service",
    )
    trusted_proxies: Annotated[tuple[str, ...], NoDecode] = Field(
        (),
        description="Addresses and networks of proxies, separated by commas, whose `X-Forwarded-For` and "
        "`X-Forwarded-Proto` are believed; empty: none",
    )
    allowed_origins: Annotated[tuple[str, ...], NoDecode] = Field(
        (),
        description="Origins, `https://NAME` separated by commas, whose web pages may use the service; `*` is any",
    )
    protocols: Annotated[tuple[Protocol, ...], NoDecode] = Field(
        get_args(Protocol),
        description="Protocols beside the native API, separated by commas: `grpc`, `libretranslate`, "
        "`open-inference`, `openai`, `websocket`; unset: all, empty: none",
    )
    console: bool = Field(True, description="Serve the console, pages for browsers, at `/`")
    durability: Durability = Field("memory", description="Durability of sessions that name none")
    dtype: Annotated[dict[str, ComputeDtype], NoDecode] = Field(
        default_factory=dict,
        description="Arithmetic: `DTYPE` of all models or `MODEL=DTYPE,DTYPE` of some; unset: as each states itself",
    )
    device: Device = Field("cpu", description="Where the networks run; `cuda` needs a build of PyTorch for it")
    deterministic: bool = Field(
        False, description="Have operations share no forward pass: the same answer to the last bit at any load"
    )
    max_batch: int = Field(64, ge=1, le=4096, description="Most operations in one forward pass")
    max_queue: int = Field(4096, ge=1, description="Most operations under way in a worker's engine")
    max_requests: int = Field(
        1024,
        ge=1,
        description="Most requests under way in a worker; its clients share them, and past that get 429 or 503",
    )
    max_pending_bytes: int = Field(
        536_870_912,
        ge=1_048_576,
        description="Most memory of requests under way in a worker and their answers, shared likewise",
    )
    max_request_timesteps: int = Field(
        4_194_304, ge=1, description="Most timesteps of one request, over its inputs, beams and sample paths"
    )
    max_answer_numbers: int = Field(1_000_000, ge=1, description="Most numbers or tokens in the answer to one request")
    max_body_bytes: int = Field(1_048_576, ge=1024, description="Longest request body")
    min_body_bytes_per_second: int = Field(
        500, ge=1, description="Least rate at which a client sends a body or reads an answer, after the first seconds"
    )
    max_header_bytes: int = Field(16_384, ge=1024, description="Longest request line and headers together")
    max_headers: int = Field(100, ge=10, description="Most headers of a request")
    header_timeout_seconds: float = Field(
        10, gt=0, le=600, description="Longest time for request line and headers, and until the rate of a body counts"
    )
    write_timeout_seconds: float = Field(10, gt=0, le=600, description="Longest time until the rate of reading counts")
    keep_alive_seconds: float = Field(75, gt=0, description="How long an idle connection stays open")
    max_connections: int = Field(4096, ge=1, description="Most connections of a worker; past it 503")
    max_connections_per_address: int | None = Field(
        None, ge=1, description="Most of them from one address; unset: half of them"
    )
    websocket_ping_seconds: float = Field(
        20, gt=0, description="Silence after which a WebSocket gets a ping; after as much more it is closed"
    )
    max_unanswered_frames: int = Field(
        256, ge=1, description="Most frames of a WebSocket that are not answered; past it the socket is not read"
    )
    max_input_tokens: int = Field(4096, ge=1, description="Most tokens, or rows of observations, in one input")
    max_input_characters: int = Field(65_536, ge=1, description="Most characters in the text of one input")
    max_generated_tokens: int = Field(1024, ge=1, description="Largest `max_tokens` of a generation")
    request_timeout_seconds: float = Field(30, gt=0, le=600, description="A request's time, unless it names its own")
    store_timeout_seconds: float = Field(1.5, gt=0, le=60, description="Longest wait for the store")
    drain_seconds: float = Field(
        2, ge=0, description="How long a worker that stops still serves those who look for another one; inside the next"
    )
    grace_seconds: float = Field(25, gt=0, description="Time for requests under way when the service stops")
    watchdog_seconds: float = Field(
        30,
        ge=0,
        description="Time without a heartbeat of its event loop after which a worker is killed and replaced; 0: never",
    )
    worker_max_memory_bytes: int | None = Field(
        None,
        ge=0,
        description="Resident memory above which a worker drains and is replaced; unset: its part of what the machine "
        "or the control group has; 0: unlimited",
    )
    log_level: Literal["debug", "info", "warning", "error"] = Field("info", description="Least level that is logged")
    access_log: Literal["all", "errors", "off"] = Field(
        "errors", description="Requests that are logged: `all`, those answered 400 or above, or none"
    )
    log_format: Literal["json", "text", "auto"] = Field(
        "auto", description="`json`, `text`, or text on a terminal and JSON elsewhere"
    )

    traces: Literal["off", "otlp"] = Field(
        "off",
        description="Traces of requests: `otlp` sends them by OTLP over HTTP, to `OTEL_EXPORTER_OTLP_ENDPOINT`. "
        "It needs the extra `otel`",
    )

    @field_validator("api_keys", mode="before")
    @classmethod
    def _split_keys(cls, value: object) -> object:
        """Parse TENANT:KEY,TENANT:KEY to tenants by key."""
        if not isinstance(value, str):
            return value
        pairs = [pair.strip().partition(":") for pair in value.split(",") if pair.strip()]
        if any(not tenant or not key for tenant, _, key in pairs):
            raise ValueError("expected TENANT:KEY pairs separated by commas")
        if not value.isascii():
            raise ValueError("expected keys and tenants in ASCII, as headers carry them")
        if len({key for _, _, key in pairs}) < len(pairs):
            raise ValueError("one key stands twice: expected a key of its own for every entry")
        return {key: tenant for tenant, _, key in pairs}

    @field_validator("api_keys_file", mode="before")
    @classmethod
    def _read_empty_as_unset(cls, value: object) -> object:
        return None if value == "" else value

    @field_validator("model_admins", mode="before")
    @classmethod
    def _split_tenants(cls, value: object) -> object:
        if not isinstance(value, str):
            return value
        return tuple(tenant.strip() for tenant in value.split(",") if tenant.strip())

    @field_validator("allowed_hosts", "allowed_origins", "protocols", "trusted_proxies", mode="before")
    @classmethod
    def _split_names(cls, value: object) -> object:
        """Parse names that are separated by commas."""
        return (
            tuple(name.strip().lower() for name in value.split(",") if name.strip())
            if isinstance(value, str)
            else value
        )

    @field_validator("allowed_hosts")
    @classmethod
    def _check_hosts(cls, hosts: tuple[str, ...]) -> tuple[str, ...]:
        if not all(re.fullmatch(r"\*|(\*\.)?[a-z0-9._-]+|[0-9a-f:.]+", host) for host in hosts):
            raise ValueError("expected host names or addresses without ports, or *")
        return hosts

    @field_validator("trusted_proxies")
    @classmethod
    def _check_proxies(cls, proxies: tuple[str, ...]) -> tuple[str, ...]:
        for proxy in proxies:
            try:
                ipaddress.ip_network(proxy)
            except ValueError:
                raise ValueError("expected addresses, or networks such as 10.0.0.0/8") from None
        return proxies

    @field_validator("allowed_origins")
    @classmethod
    def _check_origins(cls, origins: tuple[str, ...]) -> tuple[str, ...]:
        if not all(re.fullmatch(r"\*|[a-z][a-z0-9+.-]*://[^/?#@\s*]+", origin) for origin in origins):
            raise ValueError("expected origins such as https://app.example.com, without a path, or *")
        return origins

    @field_validator("dtype", mode="before")
    @classmethod
    def _split_dtypes(cls, value: object) -> object:
        """Parse MODEL=DTYPE,DTYPE to dtypes by model; a dtype without a model has the empty name."""
        if not isinstance(value, str):
            return value
        pairs = [entry.strip().rpartition("=") for entry in value.split(",") if entry.strip()]
        dtypes = {model.strip(): dtype.strip() for model, _, dtype in pairs}
        if len(dtypes) < len(pairs):
            raise ValueError("expected one dtype for each model, and at most one without a model")
        return dtypes

    @field_validator("tenant_limits", mode="before")
    @classmethod
    def _split_limits(cls, value: object) -> object:
        return parse_limits(value) if isinstance(value, str) else value

    def dtype_of(self, model: str) -> ComputeDtype | None:
        """Return the compute dtype of a model, or None for the model's own."""
        return self.dtype.get(model, self.dtype.get(""))


def load(**options: Any) -> Settings:  # noqa: ANN401 - the command line's values, checked by pydantic
    """Load the settings; `options` that are not None override the environment. Raises SettingsError."""
    try:
        return Settings(**{name: value for name, value in options.items() if value is not None})
    except ValidationError as error:
        first = error.errors()[0]
        name = str(first["loc"][0]) if first["loc"] else "settings"
        # The message must not contain a key or a password.
        value = "as it stands" if name in {"api_keys", "redis_url", "tls_key_password"} else repr(first["input"])
        expected = first["msg"].removeprefix("Value error, ").replace("Input should", "expected it to", 1)
        raise SettingsError(f"{variable(name)} is wrong, {value}: {expected}") from None


def unknown_variables() -> list[str]:
    """Return variables that look like settings but are none: misspelt, or from another release."""
    known = {variable(name) for name in Settings.model_fields}
    return sorted(name for name in os.environ if name.startswith("UNROLL_") and name not in known)


def variable(name: str) -> str:
    """Return the environment variable of a setting."""
    return "REDIS_URL" if name.lower() == "redis_url" else f"UNROLL_{name.upper()}"


def environment_of(settings: Settings) -> dict[str, str]:
    """Return the environment of a process that loads these settings and nothing else of this process's deployment."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(("UNROLL_", "REDIS_URL"))}
    return inherited | to_environment(settings)


def to_environment(settings: Settings) -> dict[str, str]:
    """Return the variables by which another process loads the same settings."""
    values = settings.model_dump() | {
        "api_keys": ",".join(f"{name}:{key}" for key, name in settings.api_keys.items()),
        "tenant_limits": format_limits(settings.tenant_limits),
        "model_admins": ",".join(settings.model_admins),
        "allowed_hosts": ",".join(settings.allowed_hosts),
        "allowed_origins": ",".join(settings.allowed_origins),
        "trusted_proxies": ",".join(settings.trusted_proxies),
        "protocols": ",".join(settings.protocols),
        "dtype": ",".join(f"{model}={dtype}" if model else dtype for model, dtype in settings.dtype.items()),
    }
    return {variable(name): str(value) for name, value in values.items() if value is not None}

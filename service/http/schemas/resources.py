"""Schemas of models, sessions and readiness in responses, for the OpenAPI document only, as those of `responses.py`."""

from datetime import datetime
from typing import Any, Literal

from pydantic import BaseModel


class Model(BaseModel):
    """A served model; the figures are those of its newest version.

    `vector_size` is the size of the vector that a sequence begins with, left out where it begins with none.
    """

    id: str
    object: Literal["model"]
    created: int
    owned_by: str
    task: str
    versions: list[str]
    default_version: str
    architecture: str
    cell: str
    num_layers: int
    hidden_size: int | list[int]
    parameters: int
    state_bytes: int
    fingerprint: str
    dtype: str
    verified: bool
    description: str
    metrics: dict[str, Any]
    vector_size: int | None = None


class ModelList(BaseModel):
    """All served models."""

    object: Literal["list"]
    data: list[Model]


class Session(BaseModel):
    """Where a session stands. `tenant` is there if the request names one."""

    id: str
    model: str
    version: str
    task: str
    step: int
    timesteps: int
    created_at: datetime
    expires_at: datetime
    ttl_seconds: int
    durability: Literal["memory", "replicated", "fsynced"]
    state_bytes: int
    tenant: str | None = None


class SessionList(BaseModel):
    """One page of sessions, newest first."""

    object: Literal["list"]
    data: list[Session]
    next_cursor: str | None


class Limits(BaseModel):
    """Limits of a tenant; null is none. The engine serves it by its weight."""

    requests_per_second: float | None
    cost_per_second: float | None
    sessions: int | None
    state_bytes: int | None
    ttl_seconds: int | None
    kept_steps: int | None
    weight: float


class Remaining(BaseModel):
    """What the limits of a tenant leave it now; what is not limited is left out."""

    requests_per_second: float | None = None
    cost_per_second: float | None = None
    sessions: int | None = None
    state_bytes: int | None = None


class Usage(BaseModel):
    """What a tenant has over all workers: live sessions, the bytes that these reserve, and its limits."""

    object: Literal["usage"]
    tenant: str
    sessions: int
    state_bytes: int
    limits: Limits
    remaining: Remaining


class UsageList(BaseModel):
    """Usage of one tenant, or of all."""

    object: Literal["list"]
    data: list[Usage]


class Readiness(BaseModel):
    """What the parts say."""

    status: Literal["ready", "draining", "degraded", "unavailable"]
    checks: dict[str, str]

"""Serialization of sessions and step results to the JSON that clients get."""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial

from pydantic_core import PydanticSerializationError, to_json

from service.application.time_slices import TurnSlices
from service.domain.models import ModelVersion
from service.domain.operations import Base64, Json
from service.domain.sessions import Record, SessionSummary


def _text_of(value: object) -> str:
    """Return the text that stands for a value of no type of JSON. Raises TypeError."""
    if isinstance(value, Base64):
        return str(value)
    raise TypeError(f"{type(value).__name__} has no JSON")


#: Strict fallback encoder: rejects NaN, replaces lone surrogates; four times slower.
_STRICT = json.JSONEncoder(ensure_ascii=False, allow_nan=False, separators=(",", ":"), default=_text_of)
_NOT_FINITE = (b"NaN", b"Infinity")


@dataclass(frozen=True, slots=True)
class StepResponse:
    """A JSON body as bytes, because a replay must be identical byte for byte."""

    body: bytes
    replayed: bool = False


def encode(value: Json) -> bytes:
    """Return compact JSON in UTF-8. Raises ValueError for a number that is not finite."""
    try:
        encoded = to_json(value, inf_nan_mode="constants", fallback=_text_of)
    except PydanticSerializationError:
        return _encode_strict(value)
    # Someone's text may hold such a word, too.
    return _encode_strict(value) if any(word in encoded for word in _NOT_FINITE) else encoded


async def encode_with_list(
    answer: dict[str, Json], field: str, items: Sequence[Json], client: str, slices: TurnSlices
) -> bytes:
    """Return an answer to a client as JSON, in which the list `field` holds `items`, encoded one by one in `slices`.

    Raises ValueError for a number that is not finite.
    """
    parts = [await slices.run(client, partial(encode, item)) for item in items]
    # Inside a text the quotation marks would be escaped.
    head, empty, tail = encode({**answer, field: []}).partition(b'"%s":[]' % field.encode())
    return b"".join((head, empty[:-1], b",".join(parts), b"]", tail))


def _encode_strict(value: Json) -> bytes:
    return _STRICT.encode(value).encode("utf-8", "replace")


def timestamp(milliseconds: int) -> str:
    """Return milliseconds since 1970 as RFC 3339 in UTC."""
    return datetime.fromtimestamp(milliseconds / 1000, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def tasks_by_model(versions: Iterable[ModelVersion]) -> dict[str, str]:
    """Return the task of each model by its name."""
    return {version.name: version.task for version in versions}


def session_json(session_id: str, record: Record | SessionSummary, tasks: Mapping[str, str]) -> dict[str, Json]:
    """Return the Session object of a record or of a listing entry; its task is omitted if the model is unknown."""
    return {
        "id": session_id,
        "model": record.model,
        "version": record.version,
        "task": tasks.get(record.model, ""),
        "step": record.step,
        "timesteps": record.timesteps,
        "created_at": timestamp(record.created_at),
        "expires_at": timestamp(record.expires_at),
        "ttl_seconds": record.ttl_seconds,
        "durability": record.durability,
        "state_bytes": record.state_bytes,
    }


def step_result(
    session_id: str, record: Record, output: dict[str, Json], *, step: int, timesteps: int, expires_at: int
) -> bytes:
    """Return the StepResult object of a session at `step`."""
    return encode(
        {
            "session_id": session_id,
            "model": record.model,
            "version": record.version,
            "step": step,
            "timesteps": timesteps,
            "output": output,
            "expires_at": timestamp(expires_at),
        }
    )

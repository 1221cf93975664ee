"""The calls that return sessions, as flows."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from unroll_client import session_flows
from unroll_client.answers import Durability
from unroll_client.client_flows import get_session_info
from unroll_client.client_state import ClientState, SessionT
from unroll_client.flow import Flow
from unroll_client.inputs import Input, Vector, with_vector
from unroll_client.pending import new_key
from unroll_client.session_flows import parse_info
from unroll_client.transport import Request

PathLike = str | Path


def create_session(
    client: ClientState[SessionT],
    model: str,
    *,
    version: str | None = None,
    ttl_seconds: int | None = None,
    durability: Durability | None = None,
    kept_steps: int | None = None,
    input: "Input | None" = None,  # noqa: A002
    vector: "Vector | None" = None,
    idempotency_key: str | None = None,
    save_to: PathLike | None = None,
) -> Flow[SessionT]:
    """Create a session. Translation models take the source sentence as `input`, conditioned ones their `vector`.

    The same `idempotency_key` finds the same session again, also after a crash of this client. `save_to` names a file
    that always has what `resume` needs: it is written before each request that advances the session.
    """
    fields = {
        "model": model,
        "version": version,
        "ttl_seconds": ttl_seconds,
        "durability": durability,
        "kept_steps": kept_steps,
        "input": None if input is None and vector is None else with_vector(input, vector),
    }
    headers = {"Idempotency-Key": idempotency_key or new_key()}
    request = Request("POST", "/v1/sessions", _given(fields), headers=headers)
    return (yield from _open(client, request, save_to))


def import_state(
    client: ClientState[SessionT],
    content: bytes,
    *,
    ttl_seconds: int | None = None,
    durability: Durability | None = None,
    kept_steps: int | None = None,
    idempotency_key: str | None = None,
    save_to: PathLike | None = None,
) -> Flow[SessionT]:
    """Create a session from a state that `export_state` returned."""
    request = Request(
        "POST",
        "/v1/sessions/import",
        content=content,
        content_type="application/octet-stream",
        headers={"Idempotency-Key": idempotency_key or new_key()},
        params=_given({"ttl_seconds": ttl_seconds, "durability": durability, "kept_steps": kept_steps}),
    )
    return (yield from _open(client, request, save_to))


def session(client: ClientState[SessionT], session_id: str, *, save_to: PathLike | None = None) -> Flow[SessionT]:
    """Open an existing session at its present step count."""
    info = yield from get_session_info(client, session_id)
    opened = client.open(info, _path(save_to))
    yield from opened.autosave()
    return opened


def resume(
    client: ClientState[SessionT], saved: Mapping[str, Any] | PathLike, *, save_to: PathLike | None = None
) -> Flow[SessionT]:
    """Continue a saved session: what `save()` returned, or a file that `save_to` named.

    Requests that were pending are completed, so that each is applied exactly once; `recovered` has their answers.
    Without any, the session continues at the step count of the service: compare it with what you have fed. A session
    resumed from a file goes on saving to it. Raises StepConflict if the session has moved on without this client.
    """
    if isinstance(saved, str | Path):
        save_to = save_to or saved
        saved = json.loads(Path(saved).read_bytes())
    if not isinstance(saved, Mapping):
        raise ValueError(f"the saved session is {saved!r:.200}: expected a JSON object")
    resumed = client.session_class.load(client.service, saved, _path(save_to))
    if resumed.pending is None:
        yield from session_flows.resync(resumed)
    else:
        resumed.recovered = yield from session_flows.recover(resumed)
    return resumed


def _open(client: ClientState[SessionT], request: Request, save_to: PathLike | None) -> Flow[SessionT]:
    opened = client.open((yield from client.service.request(request, parse_info)), _path(save_to))
    yield from opened.autosave()
    return opened


def _path(path: PathLike | None) -> Path | None:
    return None if path is None else Path(path)


def _given(fields: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in fields.items() if value is not None}

"""What an earlier commit left behind: its store, byte by byte, and what it told its clients."""

import json
from pathlib import Path
from typing import Any

import httpx
from pydantic import BaseModel, ConfigDict

from tests.compatibility.keys import StoredKey
from tests.server import send

FOLDER = Path(__file__).resolve().parent
#: The tenant of the guarded service, with a character that keys cannot hold as it is.
TENANT, API_KEY = "team/red", "key-of-team-red"


class _Kept(BaseModel):
    """Part of a file: bytes are written as base64."""

    model_config = ConfigDict(frozen=True, extra="forbid", ser_json_bytes="base64", val_json_bytes="base64")


class Request(_Kept):
    """A request; `{id}` in its path stands for the session's id."""

    path: str
    method: str = "POST"
    body: dict[str, Any] | None = None
    #: The state file that is sent in place of a body.
    file: bytes | None = None
    #: The Idempotency-Key.
    key: str | None = None

    @property
    def repeatable(self) -> bool:
        """Whether the service promises to know it again."""
        return self.key is not None or (self.body or {}).get("step") is not None

    def send(self, http: httpx.Client, session: str = "") -> httpx.Response:
        headers = {} if self.key is None else {"Idempotency-Key": self.key}
        if self.file is not None:
            headers["Content-Type"] = "application/octet-stream"
        given = self.body if self.file is None else self.file
        return send(http, self.method, self.path.format(id=session), given, headers)


class Exchange(_Kept):
    """A step of a session, and its answer to the byte."""

    request: Request
    answer: str


class RecordedSession(_Kept):
    """A session as its client knows it: so far, and as the earlier commit itself went on with it."""

    name: str
    id: str
    #: Whether it belongs to TENANT; the others belong to the service without keys.
    guarded: bool = False
    ended: bool = False
    opening: Request
    #: The answer to GET when the store was recorded; of an ended session, the last one.
    described: dict[str, Any]
    so_far: list[Exchange]
    next: list[Exchange]
    #: The exported state at the moment of the recording, of some sessions.
    file: bytes | None = None

    @property
    def model(self) -> str:
        return str(self.described["model"])

    @property
    def kept(self) -> list[int]:
        """The steps, counted from 0, before which its state is kept."""
        wanted = (self.opening.body or {}).get("kept_steps", 0)
        return list(range(len(self.so_far)))[-wanted:] if wanted else []


class Recording(_Kept):
    """All that one commit left behind; the fingerprints are those of the models by name."""

    commit: str
    #: Milliseconds since 1970.
    recorded_at: int
    fingerprints: dict[str, str]
    store: list[StoredKey]
    #: The ids as the service without keys listed them.
    listed: list[str]
    sessions: list[RecordedSession]

    def session(self, name: str) -> RecordedSession:
        return next(session for session in self.sessions if session.name == name)

    @classmethod
    def read(cls, path: Path) -> "Recording":
        return cls.model_validate_json(path.read_bytes())

    def write(self, path: Path) -> None:
        """Write the file with a line for every key and every session."""
        told: dict[str, Any] = json.loads(self.model_dump_json(exclude_defaults=True))
        path.write_text(
            "{" + ",".join(f'\n"{name}": {_lines(value)}' for name, value in told.items()) + "\n}\n", "utf-8"
        )


def _lines(value: Any) -> str:
    if isinstance(value, list):
        return "[\n" + ",\n".join(map(_line, value)) + "\n]"
    return _line(value)


def _line(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))

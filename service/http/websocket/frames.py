"""Frames of a WebSocket: JSON that is read as strictly as the body of a request, and the answers to them."""

from dataclasses import dataclass
from functools import partial
from typing import Any

from pydantic import ValidationError

from service.application.sessions.serializers import StepResponse, encode
from service.application.sessions.step_item import Step
from service.domain.errors import InternalError, InvalidJson, UnrollError
from service.domain.runtime.fair_thread import LARGE_BODY_BYTES, run_sized
from service.http.body_sizes import SizeLimits, check_sizes
from service.http.errors import envelope
from service.http.json_body import invalid_request, parse_fast
from service.http.schemas.requests import SessionFrame, StreamFrame

#: Maximum length of the texts by which a frame is remembered.
MAX_LENGTH = 256
#: Content of a frame until it is read. There is one of it, as making an error takes longer than making a frame.
NOT_READ: UnrollError = InternalError("the frame was not read")


@dataclass(slots=True)
class Frame:
    """A frame that was read: its step, or the error for which it has none.

    `id` is the frame's JSON, empty without one. `session_id` is empty if it is not known. `step` and `key` identify a
    frame that is sent again.
    """

    size: int
    id: bytes = b""
    session_id: str = ""
    content: Step | UnrollError = NOT_READ
    step: int | None = None
    key: str | None = None


class FrameReader:
    """Reads the frames of one WebSocket. `session_id` is that of its session, or None if each frame has its own."""

    def __init__(self, client: str, limits: SizeLimits, session_id: str | None) -> None:
        self._client = client
        self._limits = limits
        self._session_id = session_id
        self._schema = SessionFrame if session_id is None else StreamFrame

    async def read(self, payload: bytes) -> Frame:
        """Return the frame that a message has."""
        return await run_sized(self._client, len(payload), partial(self._read, payload))

    def _read(self, payload: bytes) -> Frame:
        frame = Frame(len(payload), session_id=self._session_id or "")
        try:
            parsed = _parse(payload)
            if isinstance(parsed, dict):
                self._identify(frame, parsed)
            if len(payload) > LARGE_BODY_BYTES:
                check_sizes(parsed, self._limits)
            body: Any = self._schema.__pydantic_validator__.validate_python(parsed)
            frame.content = body.to_domain(frame.session_id, body.idempotency_key)
        except ValidationError as error:
            frame.content = invalid_request(error)
        except UnrollError as error:
            frame.content = error
        return frame

    def _identify(self, frame: Frame, parsed: dict[str, Any]) -> None:
        """Note what names the frame in its answer, whatever else is wrong with it."""
        if (identity := parsed.get("id")) is not None and _is_id(identity):
            frame.id = encode(identity)
        if self._session_id is None:
            frame.session_id = _short(parsed.get("session_id")) or ""
        if isinstance(step := parsed.get("step"), int):
            frame.step = step
        frame.key = _short(parsed.get("idempotency_key"))


def _is_id(value: object) -> bool:
    return _short(value) is not None or type(value) is int


def _short(value: object) -> str | None:
    """Return a value if it is a text of a length that may be remembered."""
    return value if isinstance(value, str) and len(value) <= MAX_LENGTH else None


def _parse(payload: bytes) -> Any:  # noqa: ANN401 - JSON is anything until pydantic has seen it
    """Parse a message. Raises InvalidJson."""
    try:
        return parse_fast(payload)
    except InvalidJson as error:
        raise error.with_message(error.message.replace("the body", "the frame", 1), None) from None


def answer(frame: Frame, result: StepResponse | UnrollError, *, names_session: bool) -> bytes:
    """Return the answer to a frame: a StepResult or an error envelope, with the frame's `id`.

    With `names_session`, an error envelope has the frame's `session_id` as well, as every StepResult has.
    """
    if isinstance(result, StepResponse):
        body = result.body
    else:
        if result.applied is None:
            result = result.with_applied("unknown" if isinstance(result, InternalError) else "no")
        body = encode(envelope(result))
        if names_session and frame.session_id:
            body = b'%b,"session_id":%b}' % (body[:-1], encode(frame.session_id))
    return b'%b,"id":%b}' % (body[:-1], frame.id) if frame.id else body

"""Streams of steps over one WebSocket, of one session or of many."""

import asyncio
from functools import partial
from http import HTTPStatus
from typing import Protocol

from service.application.access.principal import KEY_ENDED
from service.application.deadlines import DEPARTED
from service.application.limits.frame_admission import AdmittedFrame, FrameAdmission
from service.application.ports import RequestObserver
from service.application.sessions.serializers import StepResponse
from service.application.sessions.step_item import Step
from service.application.sessions.step_stream import StepStream, not_run
from service.application.sessions.steps import Steps
from service.application.time_slices import TimeSlices
from service.domain import errors
from service.domain.errors import STOPPED, InternalError, InvalidApiKey, ShuttingDown, UnrollError
from service.domain.operations import Json
from service.http.errors import status_of
from service.http.json_response import progress_of
from service.http.middleware.access_log import SHED_CODES
from service.http.websocket.frames import Frame, FrameReader, answer

#: Time for which the frames behind a failed one are answered, before the WebSocket is closed.
LINGER_SECONDS = 1.0
#: Number of sessions of one WebSocket whose streams may have failed. With one more, the WebSocket itself has.
MAX_FAILED_SESSIONS = 4096
#: Close codes of RFC 6455 for errors that have one. Others have 4000 and the status of the error.
CLOSE_CODES: dict[type[UnrollError], int] = {
    errors.InvalidJson: 1007,
    errors.UnsupportedMediaType: 1003,
    errors.BodyTooLarge: 1009,
    errors.ShuttingDown: 1012,
}


class Socket(Protocol):
    """Open WebSocket. Every message that is received, or whose refusal is raised, is answered once."""

    async def receive(self) -> bytes | None:
        """Return the next message, or None if no further one is received. Raises the error of a refused message."""

    def send(self, text: bytes) -> None:
        """Send an answer."""

    def end(self) -> None:
        """Receive no further message."""

    def close(self, code: int = ..., reason: str = ...) -> None:
        """Close, by default with what has ended the messages."""


class SocketStream:
    """Streams of steps of one WebSocket: answers come in order for each session.

    `window` is the number of frames that may be unanswered, before the next one is read. A frame that fails ends the
    stream of its session; if `session_id` is None there are streams of many sessions, and the others go on. The stream
    of a session begins again with the frame that failed, sent with the same step or key.
    """

    def __init__(
        self,
        socket: Socket,
        reader: FrameReader,
        admission: FrameAdmission,
        steps: Steps,
        observer: RequestObserver,
        *,
        session_id: str | None,
        window: int,
    ) -> None:
        self.failure: UnrollError | None = None
        self._steps_answered = 0
        self._last: StepResponse | None = None
        self._socket = socket
        self._reader = reader
        self._admission = admission
        self._steps = steps
        self._observer = observer
        self._session_id = session_id
        self._window = window
        self._unanswered = 0
        self._answered: asyncio.Future[None] | None = None
        self._streams: dict[str, StepStream] = {}
        #: Step and key of the frames that have ended the streams of sessions.
        self._failed: dict[str, tuple[int | None, str | None]] = {}

    async def run(self) -> None:
        """Serve the WebSocket until it is closed."""
        try:
            await self._serve()
            while self._unanswered:
                await self._next_answer()
        except asyncio.CancelledError as error:
            departed = DEPARTED in error.args
            for stream in list(self._streams.values()):
                stream.abandon(STOPPED, counted=not departed)
            if not departed:
                self.failure = ShuttingDown(STOPPED)
        if self.failure is None:
            self._socket.close()
        else:
            self._socket.close(close_code(self.failure), self.failure.code)

    def progress(self) -> dict[str, Json]:
        """Return how many steps succeeded and, of one session, where the last answer says that it stands."""
        stands = {} if self._session_id is None or self._last is None else progress_of(self._last.body)
        return {**stands, "answered": self._steps_answered}

    def end_session(self, error: UnrollError) -> None:
        """End the stream of a session that has ended. If frames are under way, they learn of it themselves."""
        if self.failure is None and not self._unanswered:
            self.failure = error
            self._socket.end()

    def end_key(self) -> None:
        """End all streams, since the API key has ended. The frames that were read are answered."""
        self._fail(InvalidApiKey(KEY_ENDED))

    async def _serve(self) -> None:
        slices = TimeSlices()
        while True:
            try:
                payload = await self._socket.receive()
            except UnrollError as error:
                self._unanswered += 1
                self._refuse(Frame(0, session_id=self._session_id or ""), error)
                continue
            if payload is None:
                return
            self._unanswered += 1
            await self._admission.start(len(payload))
            await self._take(await self._reader.read(payload))
            while self._unanswered >= self._window:
                await self._next_answer()
            await slices.pause()

    async def _take(self, frame: Frame) -> None:
        """Apply the step of a frame, or answer that it is not applied."""
        stream = self._stream_of(frame)
        if self.failure is not None or stream.failure is not None:
            self._refuse(frame, InternalError("the frame was not run"))
            return
        try:
            admitted = await self._admission.admit_behind(frame.size, self._is_last_unanswered, self._next_answer)
        except UnrollError as error:
            self._refuse(frame, error)
            return
        if isinstance(frame.content, Step):
            stream = self._stream_of(frame)  # that of before may have ended meanwhile
            stream.push(admitted.context, frame.content, partial(self._on_answer, frame, admitted))
        else:
            self._refuse(frame, frame.content, admitted)

    def _is_last_unanswered(self) -> bool:
        return self._unanswered == 1

    def _stream_of(self, frame: Frame) -> StepStream:
        """Return the stream of a frame's session; a new one if it begins again with the frame that failed."""
        session_id = frame.session_id
        stream = self._streams.get(session_id)
        again = frame.step is not None or frame.key is not None
        if stream is not None and not stream and again and self._failed.get(session_id) == (frame.step, frame.key):
            del self._failed[session_id]
            stream = None
        if stream is None:
            stream = self._streams[session_id] = self._steps.step_stream()
        return stream

    def _refuse(self, frame: Frame, error: UnrollError, admitted: AdmittedFrame | None = None) -> None:
        """Answer a frame that does not run, behind those before it. One without a session ends all streams.

        The first error of a stream stays that of all frames behind.
        """
        stream = self._stream_of(frame)
        failure = self.failure or stream.failure
        if not frame.session_id:
            self._fail(error)
        on_answer = partial(self._on_answer, frame, admitted)
        stream.refuse(error if failure is None else not_run(failure), on_answer)

    def _on_answer(self, frame: Frame, admitted: AdmittedFrame | None, result: StepResponse | UnrollError) -> None:
        self._unanswered -= 1
        self._socket.send(answer(frame, result, names_session=self._session_id is None))
        if isinstance(result, UnrollError):
            if admitted is not None:
                admitted.release(answered=status_of(result) < HTTPStatus.INTERNAL_SERVER_ERROR)
            self._note_failure(frame, result)
        else:
            self._steps_answered += 1
            self._last = result
            if admitted is not None:
                admitted.release(answered=True)
            stream = self._streams[frame.session_id]
            if self._session_id is None and not stream and stream.failure is None:
                del self._streams[frame.session_id]
        if self._answered is not None and not self._answered.done():
            self._answered.set_result(None)

    def _note_failure(self, frame: Frame, error: UnrollError) -> None:
        if self._session_id is not None:
            self._fail(error)
        elif frame.session_id not in self._failed:
            self._failed[frame.session_id] = (frame.step, frame.key)
            if error.code in SHED_CODES:
                self._observer.shed(error.code)
            if len(self._failed) > MAX_FAILED_SESSIONS:
                self._fail(error)

    def _fail(self, error: UnrollError) -> None:
        """Fail as a whole: the frames that follow are answered for a while, then the WebSocket is closed."""
        if self.failure is None:
            self.failure = error
            asyncio.get_running_loop().call_later(LINGER_SECONDS, self._socket.end)

    async def _next_answer(self) -> None:
        self._answered = asyncio.get_running_loop().create_future()
        try:
            await self._answered
        finally:
            self._answered = None


def close_code(error: UnrollError) -> int:
    """Return the code with which a WebSocket is closed that `error` has ended."""
    return CLOSE_CODES.get(type(error)) or 4000 + status_of(error)

"""WebSockets of sessions: steps as frames, of one session or of many."""

from collections.abc import Callable
from functools import partial
from http import HTTPStatus
from typing import TypeAlias

from fastapi import APIRouter, Request, Response
from starlette.types import Receive, Scope, Send

from service.application.services import Services
from service.domain.errors import NotFound, ShuttingDown, UnrollError
from service.http.dependencies import ContextDependency, ServicesDependency
from service.http.middleware.authorization.authentication import KEY_SUBPROTOCOL, offered_subprotocols
from service.http.websocket.frames import FrameReader
from service.http.websocket.stream import SocketStream

router = APIRouter(prefix="/v1", include_in_schema=False)

#: Name of the handshake in the scope of a request, as service/process/connections/handshake.py puts it there.
EXTENSION = "unroll.websocket"
#: Subprotocol of these frames.
SUBPROTOCOL = b"unroll"


#: Calls its argument with the error of a session that has ended; returns the function that ends the watch.
Watch: TypeAlias = Callable[[Callable[[UnrollError], None]], Callable[[], None]]


class StreamResponse(Response):
    """Response to the handshake of a WebSocket, which it serves until it is closed."""

    def __init__(self, services: Services, session_id: str | None, watch: Watch | None = None) -> None:
        super().__init__(status_code=HTTPStatus.SWITCHING_PROTOCOLS)
        self._services = services
        self._session_id = session_id
        self._watch = watch

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG002 - ASGI's signature
        services, state = self._services, scope["state"]
        if services.admission.draining:
            raise ShuttingDown("this worker is being stopped; another one can answer", applied="no")
        socket, headers = scope["extensions"][EXTENSION].accept()
        subprotocol = _select_subprotocol(offered_subprotocols(state["headers"]))
        if subprotocol is not None:
            headers.append((b"sec-websocket-protocol", subprotocol))
        await send({"type": "http.response.start", "status": self.status_code, "headers": headers})
        await send({"type": "http.response.body", "body": b""})
        if not socket.connected:
            return
        admission = state["frames"]
        stream = SocketStream(
            socket,
            FrameReader(admission.client, state["size_limits"], self._session_id),
            admission,
            services.steps,
            services.observer,
            session_id=self._session_id,
            window=services.max_unanswered_frames,
        )
        state["progress"] = stream
        admission.open()
        services.observer.websocket(1)
        watches = [] if self._watch is None else [self._watch(stream.end_session)]
        watches.append(admission.principal.watch(stream.end_key))
        try:
            await stream.run()
        finally:
            services.observer.websocket(-1)
            for stop_watching in watches:
                stop_watching()
            if stream.failure is not None:
                state["error_code"] = stream.failure.code


@router.get("/stream", response_model=None)
async def stream_many(request: Request, services: ServicesDependency) -> Response:
    """A WebSocket whose frames are steps of many sessions."""
    _require_handshake(request)
    return StreamResponse(services, None)


@router.get("/sessions/{session_id}/stream", response_model=None)
async def stream_one(
    session_id: str, request: Request, services: ServicesDependency, context: ContextDependency
) -> Response:
    """A WebSocket whose frames are steps of one session."""
    _require_handshake(request)
    record = await services.sessions.record(context, session_id)
    watch = partial(services.session_expiry.watch, context.tenant, session_id, record.expires_at)
    return StreamResponse(services, session_id, watch)


def _require_handshake(request: Request) -> None:
    """Raise NotFound if a request is no handshake of a WebSocket."""
    if EXTENSION not in request.scope.get("extensions", ()):
        raise NotFound(
            f"no resource at {request.url.path[:200]} but a WebSocket: expected its handshake, as RFC 6455 has it"
        )


def _select_subprotocol(offered: list[bytes]) -> bytes | None:
    """Return the subprotocol of the response: `unroll` if it is offered, else the one that is an API key.

    A browser closes a WebSocket for which it has offered subprotocols and the response names none of them.
    """
    if SUBPROTOCOL in offered:
        return SUBPROTOCOL
    return next((name for name in offered if name.startswith(KEY_SUBPROTOCOL)), None)

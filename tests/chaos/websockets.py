"""Connections that send the steps of sessions over WebSockets, and everything else as requests."""

import asyncio
import json
import re
from dataclasses import dataclass, field
from typing import Any

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import WebSocketException

from service.http.errors import STATUS
from tests.chaos.http1 import NOTHING, Connections, Reply

_STATUS_OF = {error.code: status for error, status in STATUS.items()}
_STEP_PATH = re.compile(r"/v1/sessions/([^/]+)/steps")
_MOST_IDLE = 4


@dataclass(slots=True, eq=False)
class SocketConnections(Connections):
    """As Connections. Each WebSocket has one frame under way, and is closed after an error, which ends its stream.

    Nothing tells a replay but its bytes, which are those of an answer that came before.
    """

    _idle_sockets: list[ClientConnection] = field(default_factory=list)
    _answers: set[bytes] = field(default_factory=set)

    async def send(
        self,
        method: str,
        path: str,
        body: object = None,
        *,
        key: str | None = None,
        seconds: float = 5.0,
        fresh: bool = False,
    ) -> Reply:
        step = _STEP_PATH.fullmatch(path)
        if method != "POST" or step is None or not isinstance(body, dict):
            return await Connections.send(self, method, path, body, key=key, seconds=seconds, fresh=fresh)
        keys = {} if key is None else {"idempotency_key": key}
        return await self._step({"session_id": step[1], **keys, **body}, seconds, fresh=fresh)

    async def _step(self, frame: dict[str, Any], seconds: float, *, fresh: bool) -> Reply:
        socket = self._idle_sockets.pop() if self._idle_sockets and not fresh else None
        try:
            async with asyncio.timeout(seconds):
                if socket is None:
                    headers = {"Authorization": f"Bearer {self.api_key}"} if self.api_key else {}
                    url = f"ws://127.0.0.1:{self.port}/v1/stream"
                    socket = await connect(url, additional_headers=headers, compression=None, open_timeout=None)
                await socket.send(json.dumps(frame))
                answer = await socket.recv()
        except (OSError, WebSocketException, EOFError):  # TimeoutError is an OSError
            _abort(socket)
            return NOTHING
        except BaseException:
            _abort(socket)
            raise
        data = answer.encode() if isinstance(answer, str) else answer
        error = json.loads(data).get("error")
        if error is None and len(self._idle_sockets) < _MOST_IDLE:
            self._idle_sockets.append(socket)
        else:
            _abort(socket)
        if error is not None:
            return Reply(_STATUS_OF[error["code"]], data)
        replayed = data in self._answers
        self._answers.add(data)
        return Reply(200, data, replayed)

    def close(self) -> None:
        """Close what is idle."""
        Connections.close(self)
        for socket in self._idle_sockets:
            _abort(socket)
        self._idle_sockets.clear()


def _abort(socket: ClientConnection | None) -> None:
    if socket is not None:
        socket.transport.abort()

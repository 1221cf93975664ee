"""The headers that every response carries beside its own, and its status."""

from starlette.types import Message, Send

from service.application.admission import Admission
from service.http.middleware.body import RequestBody
from service.http.middleware.response_headers import DATA_HEADERS


class ResponseStart:
    """Wraps the `send` of one request: adds X-Request-Id and `headers`, and Connection: close on a draining worker.

    `status` is 0 until the response has started.
    """

    __slots__ = ("_admission", "_body", "_send", "headers", "request_id", "status")

    def __init__(self, send: Send, request_id: bytes, body: RequestBody, admission: Admission) -> None:
        self._send = send
        self.request_id = request_id
        self._body = body
        self._admission = admission
        self.headers = DATA_HEADERS
        self.status = 0

    async def send(self, message: Message) -> None:
        """Send a message of the response."""
        if message["type"] == "http.response.start":
            self._body.release()
            self.status = message["status"]
            headers = [*message.get("headers", ()), *self.headers, (b"x-request-id", self.request_id)]
            if self._admission.draining and self._body.complete:
                # To close while the client still sends would reset the connection before it has read the response.
                headers.append((b"connection", b"close"))
            message["headers"] = headers
        await self._send(message)

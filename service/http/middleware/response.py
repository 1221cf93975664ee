"""The headers that every response carries beside its own, its status, and the parts that it is sent in."""

from starlette.types import Message, Send

from service.application.limits.admission import Admission
from service.http.middleware.body import RequestBody
from service.http.middleware.response_headers import DATA_HEADERS

#: Most bytes that are handed to the connection at once. It takes the next ones when the client has read these, so a
#: request with a long answer keeps its permit until most of the answer is read.
PART_BYTES = 131_072


class ResponseStart:
    """Wraps the `send` of one request: adds X-Request-Id and `headers`, and Connection: close on a draining worker and
    where the body is broken.

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
            if self._body.broken or (self._admission.draining and self._body.complete):
                # To close while the client still sends would reset the connection before it has read the response.
                headers.append((b"connection", b"close"))
            message["headers"] = headers
        elif len(message.get("body", b"")) > PART_BYTES:
            message = await self._send_parts(message)
        await self._send(message)

    async def _send_parts(self, message: Message) -> Message:
        """Send all parts of a long body but the last; return that."""
        body = memoryview(message["body"])
        last = (len(body) - 1) // PART_BYTES * PART_BYTES
        for start in range(0, last, PART_BYTES):
            part = bytes(body[start : start + PART_BYTES])
            await self._send({"type": message["type"], "body": part, "more_body": True})
        return {**message, "body": bytes(body[last:])}

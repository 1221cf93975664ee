"""A proxy between the client and the service that breaks requests at any point."""

import contextlib
import select
import socket
import threading
import time
from collections import deque
from enum import Enum
from types import TracebackType
from typing import Self
from urllib.parse import urlsplit

CHUNK = 65536
SECONDS = 20.0


class Fault(Enum):
    """What happens to the next request."""

    NONE = "it passes"
    BEFORE = "the connection ends before anything is forwarded"
    MID_REQUEST = "half of the request is forwarded, then both connections end"
    WORKING = "the request is forwarded, then both connections end at once"
    ANSWERED = "the service has answered, then the connection ends"
    MID_ANSWER = "half of the answer is passed on, then the connection ends"
    LATE = "the connection ends, and the request is forwarded a while later"
    SLOW = "the request is forwarded after a delay"
    REFUSED = "the proxy answers 503 itself and forwards nothing"
    BAD_GATEWAY = "the request is forwarded, and the proxy answers 502"


REFUSAL = (
    b'{"error": {"code": "overloaded", "type": "server_error", "message": "busy", "param": null, "applied": "no"}}'
)


class BreakingProxy:
    """Forwards requests one by one; the next fault befalls the next request."""

    def __init__(self, target: str) -> None:
        address = urlsplit(target)
        self._target = (address.hostname or "", address.port or 80)
        self.faults: deque[Fault] = deque()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._lates: list[threading.Thread] = []
        threading.Thread(target=self._accept, daemon=True).start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._listener.getsockname()[1]}"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._listener.close()
        self.settle()

    def settle(self) -> None:
        """Break nothing any more, and wait until every late request has arrived."""
        self.faults.clear()
        for thread in self._lates:
            thread.join()
        self._lates.clear()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        with client, contextlib.suppress(OSError):
            while request := read_message(client):
                fault = self.faults.popleft() if self.faults else Fault.NONE
                if not self._pass(client, request, fault):
                    return

    def _pass(self, client: socket.socket, request: bytes, fault: Fault) -> bool:
        """Handle one request; returns whether the connection goes on."""
        if fault is Fault.BEFORE:
            return False
        if fault is Fault.LATE:
            self._send_late(request)
            return False
        if fault is Fault.REFUSED:
            client.sendall(response(b"503 Service Unavailable", REFUSAL))
            return True
        if b"upgrade: websocket" in request.lower():
            self._tunnel(client, request)
            return False
        time.sleep(0.05 if fault is Fault.SLOW else 0.0)
        return self._forward(client, request, fault)

    def _tunnel(self, client: socket.socket, handshake: bytes) -> None:
        """Forward a WebSocket; the next fault befalls the next piece that the client sends, or its answer."""
        answer = Fault.NONE
        with contextlib.ExitStack() as stack:
            service = stack.enter_context(socket.create_connection(self._target, SECONDS))
            service.sendall(handshake)
            while True:
                for source in select.select([client, service], [], [], SECONDS)[0]:
                    if not (chunk := source.recv(CHUNK)):
                        return
                    if source is service:
                        client.sendall(chunk[: len(chunk) // 2] if answer is Fault.MID_ANSWER else chunk)
                        if answer is Fault.MID_ANSWER:
                            return
                        continue
                    fault = self.faults.popleft() if self.faults else Fault.NONE
                    if fault is Fault.LATE:
                        stack.pop_all()
                        self._later(service, chunk)
                    if fault in {Fault.BEFORE, Fault.REFUSED, Fault.LATE}:
                        return
                    time.sleep(0.05 if fault is Fault.SLOW else 0.0)
                    service.sendall(chunk[: len(chunk) // 2] if fault is Fault.MID_REQUEST else chunk)
                    if fault in {Fault.MID_REQUEST, Fault.WORKING}:
                        return
                    if fault in {Fault.ANSWERED, Fault.BAD_GATEWAY}:
                        service.recv(CHUNK)
                        return
                    answer = fault

    def _forward(self, client: socket.socket, request: bytes, fault: Fault) -> bool:
        with socket.create_connection(self._target, SECONDS) as service:
            service.sendall(request[: len(request) // 2] if fault is Fault.MID_REQUEST else request)
            if fault in {Fault.MID_REQUEST, Fault.WORKING}:
                return False
            answer = read_message(service)
        if fault is Fault.BAD_GATEWAY:
            answer = response(b"502 Bad Gateway", b"<html>Bad Gateway</html>")
        if fault is not Fault.ANSWERED:
            client.sendall(answer[: len(answer) // 2] if fault is Fault.MID_ANSWER else answer)
        return fault not in {Fault.ANSWERED, Fault.MID_ANSWER}

    def _send_late(self, request: bytes) -> None:
        self._later(socket.create_connection(self._target, SECONDS), request)

    def _later(self, service: socket.socket, chunk: bytes) -> None:
        def send() -> None:
            time.sleep(0.03)
            with contextlib.suppress(OSError), service:
                service.settimeout(1.0)
                service.sendall(chunk)
                service.recv(CHUNK)

        thread = threading.Thread(target=send, daemon=True)
        self._lates.append(thread)
        thread.start()


def response(status: bytes, content: bytes) -> bytes:
    return b"HTTP/1.1 %s\r\nContent-Length: %d\r\n\r\n%s" % (status, len(content), content)


def read_message(source: socket.socket) -> bytes:
    """A whole request or answer, by its length or its last chunk; empty at the end of the connection."""
    message = b""
    while b"\r\n\r\n" not in message:
        if not (chunk := source.recv(CHUNK)):
            return b""
        message += chunk
    head, _, _ = message.partition(b"\r\n\r\n")
    if b"\r\ntransfer-encoding: chunked" in head.lower():
        while not message.endswith(b"\r\n0\r\n\r\n"):
            message += source.recv(CHUNK)
        return message
    lengths = [line.split(b":")[1] for line in head.split(b"\r\n") if line.lower().startswith(b"content-length:")]
    while len(message) < len(head) + 4 + int(lengths[0] if lengths else 0):
        if not (chunk := source.recv(CHUNK)):
            return message
        message += chunk
    return message

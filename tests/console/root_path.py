"""A proxy that serves a service under a path: it removes the path from requests, as operators are told to."""

import contextlib
import socket
import threading
from types import TracebackType
from typing import Self
from urllib.parse import urlsplit

CHUNK = 65536


class RootPathProxy:
    """Serves `target` under `path`. Each connection carries one request, or one WebSocket."""

    def __init__(self, target: str, path: str) -> None:
        address = urlsplit(target)
        self._target = (address.hostname or "", address.port or 80)
        self._path = path.encode()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.origin = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        self.url = f"{self.origin}{path}/"
        threading.Thread(target=self._accept, daemon=True).start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        # Only a shut down listener wakes the thread that accepts.
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        with client, contextlib.suppress(OSError):
            request = b""
            while b"\r\n\r\n" not in request:
                if not (data := client.recv(CHUNK)):
                    return
                request += data
            head, _, body = request.partition(b"\r\n\r\n")
            method, path, version = head.partition(b"\r\n")[0].split(b" ", 2)
            if not path.startswith(self._path + b"/"):
                client.sendall(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
                return
            lines = [b" ".join((method, path.removeprefix(self._path), version)), *head.split(b"\r\n")[1:]]
            if b"\r\nupgrade:" not in head.lower():
                lines = [line for line in lines if not line.lower().startswith(b"connection:")] + [b"Connection: close"]
            with socket.create_connection(self._target) as service:
                service.sendall(b"\r\n".join(lines) + b"\r\n\r\n" + body)
                threading.Thread(target=_pump, args=(client, service), daemon=True).start()
                _pump(service, client)


def _pump(source: socket.socket, sink: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while data := source.recv(CHUNK):
            sink.sendall(data)
        sink.shutdown(socket.SHUT_WR)

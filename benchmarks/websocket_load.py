"""The load generator for WebSockets: consecutive steps of sessions, each with one frame under way.

    python -m benchmarks.websocket_load PORT SECONDS CONNECTIONS SESSION...

The sessions are spread over the connections: as many connections as sessions use the stream of each session, fewer ones
the stream for many. It writes one line of JSON with the results. It speaks just as much of RFC 6455 as it needs, and
masks frames with zeros, so that it takes little of the processor from the service.
"""

import json
import selectors
import socket
import statistics
import struct
import sys
import time
from dataclasses import dataclass, field

HANDSHAKE = (
    "GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
    "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"
)
#: How each StepResult begins; a session id follows.
ANSWER = b'{"session_id":"'
TIMEOUT_SECONDS = 30.0
CLOSE = 0x88


@dataclass
class Session:
    """A session: its body with two placeholders, for the word and the step."""

    line: int
    body: str
    step: int = 0
    sent_at: float = 0.0

    def frame(self) -> bytes:
        """Return the frame of the next step."""
        word = 1 + (7919 * self.step + 31 * self.line) % 9999
        payload = (self.body % (word, self.step)).encode()
        self.step += 1
        self.sent_at = time.perf_counter()
        size = len(payload)
        head = struct.pack(">BB", 0x81, 0x80 | size) if size < 126 else struct.pack(">BBH", 0x81, 0x80 | 126, size)
        return head + b"\0\0\0\0" + payload


@dataclass
class Results:
    """Seconds that each answered step took, and the number of errors."""

    seconds: list[float] = field(default_factory=list)
    errors: int = 0


class Connection:
    """A WebSocket with its sessions, by their ids."""

    def __init__(self, port: int, sessions: dict[bytes, Session], *, shared: bool) -> None:
        self._sessions = sessions
        name = next(iter(sessions)).decode()
        path = "/v1/stream" if shared else f"/v1/sessions/{name}/stream"
        self.socket = socket.create_connection(("127.0.0.1", port), TIMEOUT_SECONDS)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.socket.sendall(HANDSHAKE.format(path=path, port=port).encode())
        head = b""
        while not head.endswith(b"\r\n\r\n"):
            head += self.socket.recv(1)
        if not head.startswith(b"HTTP/1.1 101"):
            raise ConnectionError(head.decode())
        self._received = b""

    def begin(self) -> None:
        """Send the first step of each session."""
        self.socket.sendall(b"".join(session.frame() for session in self._sessions.values()))

    def read(self, results: Results) -> None:
        """Read answers, and send the next step of each session that was answered."""
        data = self._received + self.socket.recv(262_144)
        now, start, frames = time.perf_counter(), 0, []
        while (end := _frame_end(data, start)) is not None:
            payload_at, next_start = end
            session = self._answered(data, payload_at, results)
            if session is not None:
                results.seconds.append(now - session.sent_at)
                frames.append(session.frame())
            start = next_start
        self._received = data[start:]
        if frames:
            self.socket.sendall(b"".join(frames))

    def _answered(self, data: bytes, start: int, results: Results) -> Session | None:
        """Return the session whose answer begins at `start`, or None for an error."""
        if not data.startswith(ANSWER, start):
            results.errors += 1
            return None
        name_at = start + len(ANSWER)
        return self._sessions[data[name_at : data.index(b'"', name_at)]]


def _frame_end(data: bytes, start: int) -> tuple[int, int] | None:
    """Return where the payload of the frame at `start` begins, and where the next frame does, if it is complete."""
    if len(data) < start + 4:
        return None
    size, payload = data[start + 1], start + 2
    if data[start] == CLOSE:
        raise ConnectionError("the service has closed a WebSocket")
    if size == 126:
        size, payload = struct.unpack_from(">H", data, start + 2)[0], start + 4
    elif size == 127:
        raise ConnectionError("an answer is too long for a step of a word")
    return (payload, payload + size) if len(data) >= payload + size else None


def run(port: int, seconds: float, connections: int, names: list[str]) -> dict[str, float]:
    """Send steps for `seconds`. Return the rate, the latencies in milliseconds and the errors.

    The steps that are under way at the end are not counted.
    """
    shared = connections < len(names)
    open_connections = [
        Connection(port, _sessions(names, number, connections, shared), shared=shared) for number in range(connections)
    ]
    results = Results()
    with selectors.DefaultSelector() as selector:
        for connection in open_connections:
            selector.register(connection.socket, selectors.EVENT_READ, connection)
        started = time.perf_counter()
        for connection in open_connections:
            connection.begin()
        while (elapsed := time.perf_counter() - started) < seconds:
            for key, _ in selector.select(1.0):
                key.data.read(results)
    for connection in open_connections:
        connection.socket.close()
    cuts = statistics.quantiles(results.seconds, n=100)
    return {
        "rate": len(results.seconds) / elapsed,
        "p50": 1000 * cuts[49],
        "p99": 1000 * cuts[98],
        "errors": results.errors,
    }


def _sessions(names: list[str], number: int, connections: int, shared: bool) -> dict[bytes, Session]:
    """Return the sessions of one of the connections."""
    common = '"input": {"ids": [%d]}, "options": {"top_k": 5}, "step": %d}'
    return {
        name.encode(): Session(line, f'{{"session_id": "{name}", {common}' if shared else "{" + common)
        for line, name in enumerate(names)
        if line % connections == number
    }


if __name__ == "__main__":
    port_, seconds_, connections_, *names_ = sys.argv[1:]
    print(json.dumps(run(int(port_), float(seconds_), int(connections_), names_)))

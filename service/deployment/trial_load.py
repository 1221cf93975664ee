"""Load on a trial server: sessions over a connection each, whose steps feed one word or one row of numbers."""

import http.client
import json
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from service.domain.errors import InvalidRequest

CONNECTIONS = 32
TIMEOUT_SECONDS = 30.0


def one_step(example: Mapping[str, Any]) -> dict[str, Any]:
    """Return the input of a step from an example input of several words or rows: its first one."""
    first = {name: value[:1] if name in {"values", "ids"} else value for name, value in example.items()}
    if "text" in first:
        first["text"] = first["text"].split()[0]
    return first


@dataclass(slots=True)
class Client:
    """Client of one session, over a connection of its own. `fields` are what a session of the model is created with."""

    port: int
    model: str
    fields: Mapping[str, Any]
    step: Mapping[str, Any]
    steps: int = 0
    path: str = ""
    _connection: http.client.HTTPConnection | None = None

    def open(self) -> None:
        """Create a session. Raises InvalidRequest with the service's message."""
        session = self.request("/v1/sessions", {"model": self.model, **self.fields})
        self.path, self.steps = f"/v1/sessions/{session['id']}/steps", 0

    def advance(self) -> None:
        """Apply a step, which carries `step`, so that its answer is stored. Raises InvalidRequest."""
        self.request(self.path, {"input": self._input(), "step": self.steps})
        self.steps += 1

    def request(self, path: str, body: Mapping[str, Any]) -> dict[str, Any]:
        """Return the answer to a POST request. Raises InvalidRequest with the service's message for any but 2xx."""
        if self._connection is None:
            self._connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=TIMEOUT_SECONDS)
        self._connection.request("POST", path, json.dumps(body), {"Content-Type": "application/json"})
        with self._connection.getresponse() as response:
            answer: dict[str, Any] = json.loads(response.read())
        if response.status >= http.client.BAD_REQUEST:
            raise InvalidRequest(answer["error"]["message"], param=answer["error"]["param"])
        return answer

    def close(self) -> None:
        """Close the connection."""
        if self._connection is not None:
            self._connection.close()

    def _input(self) -> Mapping[str, Any]:
        """Return the input of the next step, later than the one before if it has a time."""
        times = self.step.get("timestamps")
        if times is None:
            return self.step
        start = datetime.fromisoformat(times["start"]) + timedelta(seconds=times["step_seconds"] * self.steps)
        return {**self.step, "timestamps": {**times, "start": start.isoformat()}}


def session_fields(client: Client, example: Mapping[str, Any]) -> dict[str, Any]:
    """Return what sessions of a model are created with: nothing, or an input, as translation needs one."""
    try:
        client.open()
    except InvalidRequest:
        return {"input": dict(example)}
    return {}


def run_steps(clients: list[Client], seconds: float) -> int:
    """Have the clients advance their sessions for some time; return the number of steps. Raises InvalidRequest."""
    end, failures = time.monotonic() + seconds, list[Exception]()

    def run(client: Client) -> None:
        while time.monotonic() < end and not failures:
            client.advance()

    def guarded(client: Client) -> None:
        try:
            run(client)
        except Exception as error:  # noqa: BLE001 - raised again in the thread that waits
            failures.append(error)

    before = sum(client.steps for client in clients)
    threads = [threading.Thread(target=guarded, args=[client]) for client in clients]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if failures:
        raise failures[0]
    return sum(client.steps for client in clients) - before

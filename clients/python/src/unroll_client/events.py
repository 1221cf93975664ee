"""Server-Sent Events over httpx, as commands."""

import json
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from typing import Any

import httpx

from unroll_client.error_answers import error_of
from unroll_client.errors import ConnectionFailed
from unroll_client.flow import Command, Flow, execute
from unroll_client.transport import Http, Request, request_arguments, transport_errors


@dataclass(frozen=True, slots=True)
class Event:
    """An event with its name and its data."""

    name: str
    data: Any


class EventDecoder:
    """Decodes Server-Sent Events from pieces of any size."""

    def __init__(self) -> None:
        self._rest = b""
        self._name = ""
        self._data: list[bytes] = []

    def feed(self, chunk: bytes) -> Iterator[Event]:
        """Yield the events that end in this piece. Raises ConnectionFailed if one of them is not JSON."""
        *lines, self._rest = (self._rest + chunk).split(b"\n")
        for line in lines:
            if event := self._read(line.rstrip(b"\r")):
                yield event

    def _read(self, line: bytes) -> Event | None:
        if not line:
            return self._end()
        name, _, value = line.partition(b":")
        value = value.removeprefix(b" ")
        if name == b"event":
            self._name = value.decode(errors="replace")
        elif name == b"data":
            self._data.append(value)
        return None

    def _end(self) -> Event | None:
        name, data = self._name, self._data
        self._name, self._data = "", []
        if not data:
            return None
        try:
            return Event(name or "message", json.loads(b"\n".join(data)))
        except ValueError:
            raise ConnectionFailed("an event is not JSON", applied="unknown") from None


@dataclass(slots=True)
class EventStream:
    """An open stream of events."""

    response: httpx.Response
    chunks: Iterator[bytes] | AsyncIterator[bytes]
    decoder: EventDecoder


@dataclass(frozen=True, slots=True)
class OpenEvents(Command[EventStream]):
    """Send a request whose answer is a stream of events. Raises UnrollError unless it is a success."""

    http: Http
    request: Request

    def run(self) -> EventStream:
        client, arguments = self.http.blocking_client, request_arguments(self.http, self.request)
        with transport_errors():
            response = client.send(client.build_request(**arguments), stream=True)
            if not response.is_success:
                content = response.read()
                response.close()
                raise error_of(response.status_code, response.headers, content)
            return EventStream(response, response.iter_bytes(), EventDecoder())

    async def run_async(self) -> EventStream:
        client, arguments = self.http.async_client, request_arguments(self.http, self.request)
        with transport_errors():
            response = await client.send(client.build_request(**arguments), stream=True)
            if not response.is_success:
                content = await response.aread()
                await response.aclose()
                raise error_of(response.status_code, response.headers, content)
            return EventStream(response, response.aiter_bytes(), EventDecoder())


@dataclass(frozen=True, slots=True)
class ReadEvents(Command[list[Event]]):
    """Wait for the next piece of a stream, and return the events that end in it. Raises ConnectionFailed at the end."""

    stream: EventStream

    def run(self) -> list[Event]:
        assert isinstance(self.stream.chunks, Iterator)  # noqa: S101 - for mypy
        with transport_errors():
            return self._decode(next(self.stream.chunks, b""))

    async def run_async(self) -> list[Event]:
        assert isinstance(self.stream.chunks, AsyncIterator)  # noqa: S101 - for mypy
        with transport_errors():
            return self._decode(await anext(self.stream.chunks, b""))

    def _decode(self, chunk: bytes) -> list[Event]:
        if not chunk:
            raise ConnectionFailed("the stream ended without an answer", applied="unknown")
        return list(self.stream.decoder.feed(chunk))


@dataclass(frozen=True, slots=True)
class CloseEvents(Command[None]):
    """Close a stream, which stops the work of the service."""

    stream: EventStream

    def run(self) -> None:
        self.stream.response.close()

    async def run_async(self) -> None:
        await self.stream.response.aclose()


def close_events(stream: EventStream | None) -> Flow[None]:
    """Close a stream, if there is one."""
    if stream is not None:
        yield from execute(CloseEvents(stream))

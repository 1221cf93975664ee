"""A collector of OpenTelemetry on this machine, to which a service sends its traces by OTLP over HTTP."""

import contextlib
import http.server
import threading
from collections.abc import Iterator
from typing import Any

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from service.settings import Settings
from service.store.embedded.server import EmbeddedServer
from tests.server import short_folder, tiny_models

#: The trace and the span of a client, as `traceparent` names them, and the client's API key.
TRACE, PARENT = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
KEY = "a-key-of-some-length"


@contextlib.contextmanager
def traced_settings(**further: Any) -> Iterator[Settings]:
    """Settings of a service with a tiny model, a store and traces."""
    with short_folder() as folder:
        store = EmbeddedServer(folder / "state")
        store.start()
        models = tiny_models(folder / "models")
        yield Settings(redis_url=store.url, models=models, api_keys={KEY: "shop"}, traces="otlp", **further)
        store.stop()


@contextlib.contextmanager
def collector(environment: pytest.MonkeyPatch) -> Iterator[list[bytes]]:
    """Run a collector that a service of this process sends to, and yield the bodies that it has received."""
    bodies: list[bytes] = []

    class Collector(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            bodies.append(self.rfile.read(int(self.headers["Content-Length"])))
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_: object) -> None: ...

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Collector)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    environment.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", f"http://127.0.0.1:{server.server_port}")
    environment.setenv("OTEL_EXPORTER_OTLP_COMPRESSION", "none")
    environment.setenv("NO_PROXY", "127.0.0.1")
    yield bodies
    server.shutdown()
    server.server_close()


def spans_of(bodies: list[bytes]) -> list[Span]:
    """The spans in the bodies that a collector received."""
    requests = [ExportTraceServiceRequest.FromString(body) for body in bodies]
    return [
        span
        for request in requests
        for resource in request.resource_spans
        for scope in resource.scope_spans
        for span in scope.spans
    ]


def attributes(span: Span) -> dict[str, object]:
    """The attributes of a span: texts and numbers."""
    return {item.key: getattr(item.value, item.value.WhichOneof("value") or "") for item in span.attributes}


def phases(spans: list[Span], parent: Span) -> list[str]:
    """The names of the spans below another one, in the order of their beginnings."""
    below = [span for span in spans if span.parent_span_id == parent.span_id]
    return [span.name for span in sorted(below, key=lambda span: span.start_time_unix_nano)]

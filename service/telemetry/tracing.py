"""Traces of requests by OpenTelemetry: a span for each request or call, and below it the phases of its operation.

The packages are those of the extra `otel`, imported only if traces are on. They read variables of their own, such as
OTEL_EXPORTER_OTLP_ENDPOINT, and take and pass on the context of W3C (`traceparent`).
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from typing import TYPE_CHECKING, Any, TypeAlias

from service.domain.packages import require_packages
from service.telemetry.call_trace import CallTrace
from service.telemetry.operation_trace import OperationTrace, operation_trace

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.trace import Span

Receive: TypeAlias = "Callable[[], Awaitable[MutableMapping[str, Any]]]"
Send: TypeAlias = "Callable[[MutableMapping[str, Any]], Awaitable[None]]"
#: An ASGI application.
Application: TypeAlias = "Callable[[MutableMapping[str, Any], Receive, Send], Awaitable[None]]"

#: Packages of the extra `otel`.
PACKAGES = ("opentelemetry.instrumentation.asgi", "opentelemetry.sdk", "opentelemetry.exporter.otlp.proto.http")
#: Paths without spans: machines poll them.
EXCLUDED_PATHS = "/health/,/metrics"
#: The first messages of answers.
FIRST_MESSAGES = frozenset({"http.response.start", "websocket.accept"})
#: Attributes that hold the path, which may have the id of a session, or the query.
_PATHS = ("http.target", "http.url", "url.path", "url.full", "url.query")


class Tracing:
    """Traces of a worker, which are sent in the background. Raises SettingsError if a package is missing."""

    def __init__(self) -> None:
        require_packages(PACKAGES, "otel", "UNROLL_TRACES", "otlp", "UNROLL_TRACES=off")
        self._provider = _provider()
        self._tracer = self._provider.get_tracer("unroll")

    def current(self) -> OperationTrace | None:
        """Return the trace of the request that is being served, or None if it is not sampled."""
        from opentelemetry import trace  # noqa: PLC0415 - an extra

        return operation_trace(self._tracer, trace.get_current_span())

    def call(self, route: str, metadata: Mapping[str, Any]) -> CallTrace:
        """Begin the span of a call over gRPC."""
        return CallTrace.start(self._tracer, route, metadata)

    def traced(self, app: Application) -> Application:
        """Return an ASGI application with a span around each request of `app`."""
        from opentelemetry import trace  # noqa: PLC0415 - an extra
        from opentelemetry.instrumentation.asgi import OpenTelemetryMiddleware  # noqa: PLC0415 - likewise

        async def named(scope: MutableMapping[str, Any], receive: Receive, send: Send) -> None:
            span = trace.get_current_span()

            async def send_named(message: MutableMapping[str, Any]) -> None:
                # The span ends with the answer, and the route is known when the answer begins.
                if message["type"] in FIRST_MESSAGES:
                    _name_by_route(span, scope)
                await send(message)

            await app(scope, receive, send_named)

        return OpenTelemetryMiddleware(
            named,
            excluded_urls=EXCLUDED_PATHS,
            default_span_details=lambda scope: (scope.get("method", scope["type"]), {}),
            server_request_hook=_without_path,
            tracer_provider=self._provider,
            exclude_spans=["receive", "send"],
        )

    async def aclose(self) -> None:
        """Send what is left, for some seconds at most."""
        await asyncio.to_thread(self._provider.shutdown)


def _provider() -> "TracerProvider":
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter  # noqa: PLC0415 - an extra
    from opentelemetry.sdk.resources import Resource  # noqa: PLC0415 - likewise
    from opentelemetry.sdk.trace import TracerProvider  # noqa: PLC0415 - likewise
    from opentelemetry.sdk.trace.export import BatchSpanProcessor  # noqa: PLC0415 - likewise

    resource = Resource.create()
    # Neither OTEL_SERVICE_NAME nor OTEL_RESOURCE_ATTRIBUTES names the service.
    if str(resource.attributes["service.name"]).startswith("unknown_service"):
        resource = resource.merge(Resource({"service.name": "unroll"}))
    provider = TracerProvider(resource=resource)
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    return provider


def _without_path(span: "Span", scope: Mapping[str, Any]) -> None:
    """Remove the path of a request from its span: the route, which is set later, has no id of a session."""
    for name in _PATHS:
        span.set_attribute(name, "")
    span.set_attribute("unroll.type", scope["type"])


def _name_by_route(span: "Span", scope: Mapping[str, Any]) -> None:
    """Name the span of a request by its route, and add its tenant."""
    state = scope.get("state", {})
    route = getattr(scope.get("route"), "path", "unmatched")
    span.update_name(f"{scope.get('method', scope['type'])} {route}")
    span.set_attribute("http.route", route)
    if state.get("tenant") is not None:
        span.set_attribute("unroll.tenant", state["tenant"])

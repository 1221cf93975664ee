"""Spans of gRPC: one for each call, and one for each message of a stream."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from service.telemetry.operation_trace import OperationTrace, operation_trace

if TYPE_CHECKING:
    from opentelemetry.trace import Span, Tracer

#: Statuses that are errors of a server in OpenTelemetry's conventions: UNKNOWN, DEADLINE_EXCEEDED, UNIMPLEMENTED,
#: INTERNAL, UNAVAILABLE and DATA_LOSS.
SERVER_ERRORS = frozenset({2, 4, 12, 13, 14, 15})


@dataclass(frozen=True, slots=True)
class CallTrace:
    """Span of a call, or of a message in its stream."""

    _tracer: "Tracer"
    _span: "Span"

    @classmethod
    def start(cls, tracer: "Tracer", route: str, metadata: Mapping[str, Any]) -> "CallTrace":
        """Begin the span of a call, in the trace that its metadata name."""
        from opentelemetry import propagate, trace  # noqa: PLC0415 - an extra

        name = route.lstrip("/")
        service, _, method = name.partition("/")
        attributes = {"rpc.system": "grpc", "rpc.service": service, "rpc.method": method}
        context = propagate.extract(metadata)
        return cls(tracer, tracer.start_span(name, context, kind=trace.SpanKind.SERVER, attributes=attributes))

    def message(self) -> "CallTrace":
        """Begin the span of a message of the stream."""
        from opentelemetry import trace  # noqa: PLC0415 - an extra

        return CallTrace(self._tracer, self._tracer.start_span("message", trace.set_span_in_context(self._span)))

    def operation(self) -> OperationTrace | None:
        """Return the trace of the operation, or None if the call is not sampled."""
        return operation_trace(self._tracer, self._span)

    def end(self, status: int, code: str | None = None, tenant: str | None = None) -> None:
        """End the span with a status of gRPC, and the code of the error, if it is one. Further ends change nothing."""
        from opentelemetry import trace  # noqa: PLC0415 - an extra

        span = self._span
        span.set_attribute("rpc.grpc.status_code", status)
        if code is not None:
            span.set_attribute("error.type", code)
        if tenant is not None:
            span.set_attribute("unroll.tenant", tenant)
        if status in SERVER_ERRORS:
            # Without a description: a message can have texts of users.
            span.set_status(trace.StatusCode.ERROR)
        span.end()

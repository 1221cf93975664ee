"""Spans of one operation: the phases that it passes through, one after the other."""

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from opentelemetry.context import Context
    from opentelemetry.trace import Span, Tracer


@dataclass(slots=True)
class OperationTrace:
    """Spans of the phases of one operation, children of the span of its request."""

    _tracer: "Tracer"
    _parent: "Context"
    _span: "Span | None" = field(default=None)

    def begin(self, phase: str) -> None:
        """Begin the span of a phase, and end the one before it."""
        self.end()
        self._span = self._tracer.start_span(phase, self._parent)

    def end(self) -> None:
        """End the last span."""
        if self._span is not None:
            self._span.end()
            self._span = None


def operation_trace(tracer: "Tracer", span: "Span") -> OperationTrace | None:
    """Return the trace of the operation of a request, or None if its span is not sampled."""
    from opentelemetry import trace  # noqa: PLC0415 - an extra

    return OperationTrace(tracer, trace.set_span_in_context(span)) if span.is_recording() else None

"""Log format: one JSON object per line, or coloured lines on a terminal. Logs never contain the text of users."""

import asyncio
import contextlib
import json
import logging
import sys
import traceback
from datetime import UTC, datetime
from typing import Literal, TextIO

import structlog

#: Number of innermost calls that are logged of an exception.
FRAMES = 10

#: Logger and event of requests, and the fields of their log lines.
ACCESS = ("unroll.access", "request")
ACCESS_FIELDS = (
    "request_id",
    "tenant",
    "method",
    "route",
    "model",
    "session",
    "step",
    "answered",
    "status",
    "code",
    "milliseconds",
    "phases",
)

#: Logger of what administrators do. It is written whatever the level of the log.
AUDIT = "unroll.audit"

LogFormat = Literal["json", "text", "auto"]


def configure(level: str, log_format: LogFormat) -> None:
    """Send all loggers of this process to standard error. `auto` chooses the format by whether that is a terminal."""
    text = log_format == "text" or (log_format == "auto" and sys.stderr.isatty())
    renderer: structlog.types.Processor = structlog.processors.JSONRenderer()
    if text:
        renderer = structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty(), pad_event_to=0)
    lines = structlog.stdlib.ProcessorFormatter if text else JsonLines
    formatter = lines(
        foreign_pre_chain=[
            structlog.stdlib.add_log_level,
            structlog.stdlib.ExtraAdder(),
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.CallsiteParameterAdder({structlog.processors.CallsiteParameter.PROCESS}),
        ],
        processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, _without_message, renderer],
    )
    handler = BatchingHandler(sys.stderr)
    handler.setFormatter(formatter)
    logging.basicConfig(handlers=[handler], level=level.upper(), force=True)
    # No log line names the caller or the thread, so `logging` need not determine them, as its documentation suggests.
    logging._srcfile = None
    logging.logThreads = logging.logMultiprocessing = False
    for name in ("uvicorn", "uvicorn.error", "uvicorn.access"):
        logging.getLogger(name).handlers.clear()
        logging.getLogger(name).propagate = name != "uvicorn.access"
    logging.getLogger("uvicorn.error").setLevel(logging.WARNING)
    logging.getLogger(AUDIT).setLevel(logging.INFO)


class BatchingHandler(logging.StreamHandler[TextIO]):
    """Stream handler that writes the access log lines of one turn of the event loop at once.

    A batch of steps is answered in one turn, and each write is a system call. Any other line is written immediately,
    behind the lines before it.
    """

    def __init__(self, stream: TextIO) -> None:
        super().__init__(stream)
        self._lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        """Write a line, or queue an access log line that is logged within an event loop."""
        try:
            self._lines.append(self.format(record) + self.terminator)
            if (record.name, record.msg) != ACCESS or not self._flush_soon():
                self.flush()
        except Exception:  # noqa: BLE001 - as every handler does
            self.handleError(record)

    def flush(self) -> None:
        """Write the queued lines."""
        with self.lock or contextlib.nullcontext():
            lines, self._lines = self._lines, []
            if lines:
                self.stream.write("".join(lines))
            super().flush()

    def _flush_soon(self) -> bool:
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:
            return False
        if len(self._lines) == 1:
            loop.call_soon(self.flush)
        return True


class JsonLines(structlog.stdlib.ProcessorFormatter):
    """JSON formatter that writes access log lines, one per request, in a tenth of structlog's time."""

    def format(self, record: logging.LogRecord) -> str:
        if (record.name, record.msg) != ACCESS:
            return super().format(record)
        fields = vars(record)
        line = {name: fields[name] for name in ACCESS_FIELDS if name in fields}
        timestamp = (
            datetime.fromtimestamp(record.created, UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")
        )
        level, process = record.levelname.lower(), record.process
        return json.dumps({**line, "event": record.msg, "level": level, "timestamp": timestamp, "process": process})


def _without_message(_: object, __: str, event: structlog.types.EventDict) -> structlog.types.EventDict:
    """Format type and frames of an exception without its message, which may contain the text of a user."""
    exc_info = event.pop("exc_info", None)
    error = exc_info[1] if isinstance(exc_info, tuple) else exc_info
    if isinstance(error, BaseException):
        frames = traceback.extract_tb(error.__traceback__)[-FRAMES:]
        event["error"] = type(error).__name__
        event["frames"] = [f"{frame.filename}:{frame.lineno} {frame.name}" for frame in frames]
    return event

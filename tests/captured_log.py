"""What the service writes to its log within a test."""

import io
import logging
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from service.telemetry import logs


@contextmanager
def captured_log(monkeypatch: pytest.MonkeyPatch, level: str) -> Iterator[io.StringIO]:
    """What the log writes from `level` on, in JSON; pytest's own handlers come back afterwards."""
    stream, root = io.StringIO(), logging.getLogger()
    handlers, before = root.handlers[:], root.level
    monkeypatch.setattr("sys.stderr", stream)
    for handler in handlers:
        root.removeHandler(handler)
    logs.configure(level, "json")
    yield stream
    root.handlers[:] = handlers
    root.setLevel(before)

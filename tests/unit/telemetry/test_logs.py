"""The quick lines of the access log say what the slow ones say."""

import io
import json
import logging
from collections.abc import Iterator

import pytest
import structlog

from service.telemetry import logs


@pytest.fixture
def lines(monkeypatch: pytest.MonkeyPatch) -> Iterator[io.StringIO]:
    """What the log writes, in JSON; pytest's own handlers come back afterwards."""
    stream = io.StringIO()
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    monkeypatch.setattr("sys.stderr", stream)
    for handler in handlers:
        root.removeHandler(handler)
    logs.configure("info", "json")
    yield stream
    root.handlers[:] = handlers
    root.setLevel(level)


def test_a_line_of_a_request_is_the_same_by_the_short_way(lines: io.StringIO, monkeypatch: pytest.MonkeyPatch) -> None:
    told = {
        "request_id": "req_1",
        "method": "POST",
        "route": "/v1/ü",
        "status": 200,
        "code": None,
        "milliseconds": 1.25,
    }
    logger = logging.getLogger("unroll.access")
    logger.info("request", extra=told)
    monkeypatch.setattr(logs.JsonLines, "format", structlog.stdlib.ProcessorFormatter.format)
    logger.info("request", extra=told)
    short, long = (json.loads(line) for line in lines.getvalue().splitlines())
    assert short.keys() == long.keys()
    assert len(short.pop("timestamp")) == len(long.pop("timestamp"))
    assert short == long


def test_a_crash_in_the_access_log_is_told_without_its_words(lines: io.StringIO) -> None:
    try:
        raise ValueError("what a user wrote")
    except ValueError as error:
        logging.getLogger("unroll.access").error("request crashed", extra={"request_id": "req_1"}, exc_info=error)
    told = json.loads(lines.getvalue())
    assert (told["event"], told["error"], told["request_id"]) == ("request crashed", "ValueError", "req_1")
    assert "a user wrote" not in lines.getvalue()

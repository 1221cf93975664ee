"""The quick lines of the access log say what the slow ones say."""

import asyncio
import io
import json
import logging
from collections.abc import Iterator

import pytest
import structlog

from service.application.access.audit import audit
from service.application.access.principal import Principal
from service.telemetry import logs
from tests.captured_log import captured_log


@pytest.fixture
def lines(monkeypatch: pytest.MonkeyPatch) -> Iterator[io.StringIO]:
    with captured_log(monkeypatch, "info") as stream:
        yield stream


def test_a_line_of_a_request_is_the_same_by_the_short_way(lines: io.StringIO, monkeypatch: pytest.MonkeyPatch) -> None:
    told = {
        "request_id": "req_1",
        "tenant": "alice",
        "method": "POST",
        "route": "/v1/ü",
        "model": "next-word",
        "session": None,
        "step": 7,
        "status": 200,
        "code": None,
        "milliseconds": 1.25,
        "phases": {"queue": 0.5, "run": 0.25},
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


class CountedStream(io.StringIO):
    """A stream that counts its writes."""

    writes = 0

    def write(self, text: str) -> int:
        self.writes += 1
        return super().write(text)


def log_request(number: int) -> None:
    told = {"request_id": f"req_{number}", "method": "GET", "route": "/", "status": 200, "code": None}
    logging.getLogger("unroll.access").info("request", extra={**told, "milliseconds": 1.0})


def log_handler() -> logs.BatchingHandler:
    """Return the handler of the log, which is not the only one: pytest may add its own."""
    (handler,) = (handler for handler in logging.getLogger().handlers if isinstance(handler, logs.BatchingHandler))
    return handler


def batching_handler(lines: io.StringIO) -> CountedStream:
    """Have the log's handler write to a stream that counts."""
    handler = log_handler()
    assert handler.stream is lines
    handler.setStream(stream := CountedStream())
    return stream


def names(stream: io.StringIO) -> list[str]:
    logged = [json.loads(line) for line in stream.getvalue().splitlines()]
    return [line.get("request_id", line["event"]) for line in logged]


async def test_the_requests_of_one_turn_are_written_at_once(lines: io.StringIO) -> None:
    stream = batching_handler(lines)
    for turn in range(2):
        for number in range(5):
            log_request(5 * turn + number)
        await asyncio.sleep(0)
    assert stream.writes == 2
    assert names(stream) == [f"req_{number}" for number in range(10)]


async def test_any_other_line_is_written_at_once_behind_the_requests_before_it(lines: io.StringIO) -> None:
    stream = batching_handler(lines)
    log_request(1)
    logging.getLogger("service").warning("trouble")
    assert names(stream) == ["req_1", "trouble"]


def test_a_request_that_ends_outside_of_a_loop_or_with_it_is_logged(lines: io.StringIO) -> None:
    stream = batching_handler(lines)
    log_request(1)
    assert names(stream) == ["req_1"]

    async def last_request() -> None:
        log_request(2)

    asyncio.run(last_request())
    log_handler().flush()  # as logging does at exit
    assert names(stream) == ["req_1", "req_2"]


def test_audit_events_are_written_whatever_the_level_of_the_log(lines: io.StringIO) -> None:
    logging.getLogger().setLevel("ERROR")  # as `configure` sets it
    logging.getLogger("unroll.access").warning("request")
    audit("session.end", Principal("ops", "key_1"), session="ses_1")
    (line,) = [json.loads(line) for line in lines.getvalue().splitlines()]
    told = {name: line[name] for name in ("event", "action", "tenant", "key", "session")}
    assert told == {"event": "audit", "action": "session.end", "tenant": "ops", "key": "key_1", "session": "ses_1"}

"""What one client sends, or does not read, costs a worker little and reaches nobody else; refusals are envelopes."""

import contextlib
import itertools
import json
import os
import resource
import time
from pathlib import Path

import pytest

from tests.integration.process.attacks import (
    IDLE_SECONDS,
    MAX_CONNECTIONS,
    MAX_HEADER_BYTES,
    MAX_HEADERS,
    SLACK_SECONDS,
    WRITE_SECONDS,
    ask,
    open_connections,
    predict,
    request,
    shed,
)
from tests.raw_connection import RawConnection, exchange
from tests.server import Server, eventually

pytestmark = pytest.mark.usefixtures("innocent")


@pytest.mark.parametrize(
    "data",
    [
        request(b"A: " + b"x" * 2 * MAX_HEADER_BYTES, method=b"GET"),
        request(b"A: " + b"x" * 8_000_000, method=b"GET"),
        b"GET /" + b"x" * 8_000_000,
        b"x" * 8_000_000,
        b"GET / HTTP/1.1\r\n" + b"A: b\r\n" * 1_000_000,
        b"\r\n" * 1_000_000,
    ],
    ids=["header", "endless header", "endless path", "endless method", "endless lines", "endless empty lines"],
)
def test_a_head_has_a_bound(small: Server, data: bytes) -> None:
    answer = exchange(small.url, data)
    assert (answer.status, answer.error["code"]) == (400, "invalid_request")


def test_a_head_of_the_longest_length_is_read(small: Server) -> None:
    head = request(b"Connection: close", b"A: ", method=b"GET", path=b"/v1/models")
    longest = head.replace(b"A: ", b"A: " + b"x" * (MAX_HEADER_BYTES - len(head)))
    assert exchange(small.url, longest).status == 200
    assert exchange(small.url, longest.replace(b"A: ", b"A: x")).status == 400


def test_headers_have_a_number(small: Server) -> None:
    most = [b"A: b"] * (MAX_HEADERS - 3) + [b"Connection: close"]
    assert exchange(small.url, request(*most, method=b"GET", path=b"/v1/models")).status == 200
    answer = exchange(small.url, request(*most, b"A: b", method=b"GET", path=b"/v1/models"))
    assert str(MAX_HEADERS) in answer.error["message"]


def test_a_head_that_is_sent_slowly_is_answered_in_time(small: Server) -> None:
    parts = itertools.chain([b"GET /v1/models HTTP/1.1\r\nA: "], itertools.repeat(b"x"))
    with open_connections(small, 8) as connections:
        for connection in connections:
            connection.send(b"GET / HTTP/1.1\r\nA: b")
        connections[0].send_slowly(parts, 0.1)
        for answer in [connection.answer() for connection in connections]:
            assert (answer.status, answer.error["code"]) == (503, "deadline_exceeded")
            assert answer.headers["retry-after"]
    assert shed(small, "header_timeout") >= 8


def test_a_body_that_stays_away_is_answered_in_time(small: Server) -> None:
    with open_connections(small, 4) as connections:
        for connection in connections:
            connection.send(request(b"Content-Length: 100", b"X-Request-Timeout-Ms: 600000", body=b"{"))
        for connection in connections:
            answer = connection.answer()
            assert (answer.status, answer.error["code"]) == (503, "deadline_exceeded")
            assert "1000" in answer.error["message"]
            assert answer.headers["connection"] == "close"
            assert connection.is_closed()


def test_a_body_that_comes_slowly_is_answered_in_time_and_one_that_comes_steadily_is_read(small: Server) -> None:
    head = request(b"Content-Length: 10000", b"X-Request-Timeout-Ms: 600000")
    with open_connections(small, 2) as (slow, steady):
        slow.send(head)
        slow.send_slowly(itertools.repeat(b"x" * 10), 0.1)
        assert slow.answer().error["code"] == "deadline_exceeded"
        steady.send(head)
        steady.send_slowly(itertools.chain(itertools.repeat(b" " * 400, 24), [b" " * 400]), 0.1)
        assert steady.answer().error["code"] == "invalid_json"


def test_a_body_that_nobody_needs_is_not_awaited_for_long(small: Server) -> None:
    with open_connections(small, 1) as (connection,):
        connection.send(request(b"Content-Length: 1000000000000"))
        assert connection.answer().error["code"] == "body_too_large"
        connection.send_slowly(itertools.repeat(b"x" * 100), 0.1)
        assert connection.is_closed()


def test_idle_connections_are_closed(small: Server) -> None:
    with open_connections(small, 2) as (fresh, used):
        used.send(predict())
        assert used.answer().status == 200
        assert fresh.seconds_until_closed() < IDLE_SECONDS + SLACK_SECONDS
        assert used.seconds_until_closed() < IDLE_SECONDS + SLACK_SECONDS


def test_answers_that_are_not_read_are_dropped_with_their_connection(small: Server) -> None:
    before = shed(small, "unread_answer")
    with open_connections(small, 8, receive_buffer=4096) as connections:
        for connection in connections:
            connection.socket.setblocking(False)
            with contextlib.suppress(BlockingIOError):
                connection.socket.send(request(method=b"GET", path=b"/openapi.json") * 500)
        eventually(lambda: shed(small, "unread_answer") == before + 8, WRITE_SECONDS + SLACK_SECONDS)


def test_an_answer_that_is_read_late_arrives_whole(small: Server) -> None:
    body = json.dumps({"inputs": [{"text": "the dog"}] * 1024, "options": {"top_k": 100}}).encode()
    with open_connections(small, 1, receive_buffer=4096) as (connection,):
        connection.send(predict(body) + predict())
        assert len(json.loads(connection.answer().body)["outputs"]) == 1024
        assert connection.answer().status == 200


def test_connections_beyond_the_limit_are_told_so_and_health_is_answered(small: Server) -> None:
    with open_connections(small, MAX_CONNECTIONS // 2) as mine:
        assert {ask(connection, b"/v1/models").status for connection in mine} == {200}
        answer = exchange(small.url, request(method=b"GET", path=b"/v1/models"))
        assert (answer.status, answer.error["code"]) == (503, "overloaded")
        assert answer.headers["retry-after"]
        other = [RawConnection(small.url, source=f"127.0.0.{number}") for number in range(2, 2 + MAX_CONNECTIONS // 2)]
        with contextlib.ExitStack() as stack:
            for connection in other:
                stack.callback(connection.close)
            assert {ask(connection, b"/v1/models").status for connection in other} == {200}
            for path, status in ((b"/health/live", 200), (b"/health/ready", 200), (b"/v1/models", 503)):
                answer = exchange(small.url, request(method=b"GET", path=path), source="127.0.0.200")
                assert answer.status == status
            assert {ask(connection, b"/v1/models").status for connection in mine} == {200}
    assert shed(small, "connections") >= 2


def test_liveness_is_answered_while_a_client_opens_connections_without_end(small: Server) -> None:
    with contextlib.ExitStack() as stack:
        for count in range(600):
            connection = stack.enter_context(contextlib.closing(RawConnection(small.url)))
            connection.send(b"GET / HTTP/1.1\r\nA: b")
            if count % 20 == 19:
                assert exchange(small.url, request(method=b"GET", path=b"/health/live")).status == 200
        eventually(
            lambda: exchange(small.url, request(b"Connection: close", method=b"GET", path=b"/v1/models")).status == 200
        )


def test_a_worker_without_free_files_serves_its_connections_and_accepts_again_later(small: Server) -> None:
    (worker,) = small.worker_pids()
    soft, hard = resource.prlimit(worker, resource.RLIMIT_NOFILE)
    assert soft == hard, "a worker raises its limit"
    with open_connections(small, 1) as (mine,):
        assert ask(mine, b"/v1/models").status == 200
        files = len(list(Path(f"/proc/{worker}/fd").iterdir()))
        resource.prlimit(worker, resource.RLIMIT_NOFILE, (files + 3, hard))
        try:
            with open_connections(small, 16):
                started = processor_seconds(worker)
                time.sleep(1.0)
                assert processor_seconds(worker) - started < 0.5
                assert ask(mine, b"/v1/models").status == 200
        finally:
            resource.prlimit(worker, resource.RLIMIT_NOFILE, (soft, hard))


def processor_seconds(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

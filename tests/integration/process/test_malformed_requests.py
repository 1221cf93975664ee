"""Requests that cannot be read are refused with an envelope; others are answered, in whatever pieces they come."""

import httpx
import pytest

from tests.integration.process.attacks import PREDICTION, open_connections, predict, request, shed
from tests.metrics import Metrics
from tests.raw_connection import exchange
from tests.server import NEW_CONNECTIONS, Server, eventually

pytestmark = pytest.mark.usefixtures("innocent")

BAD_REQUESTS = {
    "nonsense": (b"nonsense\r\n\r\n", "Invalid method"),
    "TLS": (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(32), "Invalid method"),
    "HTTP/2": (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "PRI"),
    "HTTP/2 in the request line": (b"GET /v1/models HTTP/2.0\r\n\r\n", "2.0"),
    "HTTP/0.9": (b"GET /v1/models\r\n\r\n", "0.9"),
    "lone line feeds": (b"GET /v1/models HTTP/1.1\nHost: x\n\n", "CRLF"),
    "NUL in a header": (request(b"A: b\0c", method=b"GET"), "header value"),
    "space in a header's name": (request(b"A b: c", method=b"GET"), "header token"),
    "folded header": (request(b"A: b\r\n c", method=b"GET"), "whitespace"),
    "no name": (request(b": c", method=b"GET"), "header token"),
    "negative length": (request(b"Content-Length: -1"), "Content-Length"),
    "length of words": (request(b"Content-Length: ten"), "Content-Length"),
    "length too long": (request(b"Content-Length: 99999999999999999999999999"), "Content-Length"),
    "two lengths": (request(b"Content-Length: 1", b"Content-Length: 2"), "Content-Length"),
    "length and chunks": (request(b"Content-Length: 5", b"Transfer-Encoding: chunked", body=b"0\r\n\r\n"), "Transfer"),
    "chunks and length": (request(b"Transfer-Encoding: chunked", b"Content-Length: 5", body=b"0\r\n\r\n"), "Transfer"),
    "bytes in the path": (b"GET /\xff HTTP/1.1\r\nHost: x\r\n\r\n", "url"),
    "no path": (b"CONNECT example.com:443 HTTP/1.1\r\nHost: x\r\n\r\n", "url"),
    "upgrade with a body": (
        request(b"Connection: Upgrade", b"Upgrade: h2c", b"Content-Length: 2", body=b"{}"),
        "Upgrade",
    ),
}
BAD_BODIES = {
    "no chunk size": b"\r\n{}\r\n",
    "chunk size of words": b"zz\r\n{}\r\n",
    "chunk size too large": b"fffffffffffffffff\r\n{}",
    "chunk longer than its size": b"1\r\n{}\r\n0\r\n\r\n",
    "endless extension": b"2;" + b"x" * 40_000 + b"\r\n{}\r\n0\r\n\r\n",
    "endless trailer": b"2\r\n{}\r\n0\r\nA: " + b"x" * 40_000 + b"\r\n\r\n",
    "many trailers": b"2\r\n{}\r\n0\r\n" + b"A: b\r\n" * 4000 + b"\r\n",
}


@pytest.mark.parametrize("name", BAD_REQUESTS)
def test_what_is_no_request_is_answered_400_and_says_why(small: Server, name: str) -> None:
    data, reason = BAD_REQUESTS[name]
    before = shed(small, "malformed_request")
    answer = exchange(small.url, data)
    assert (answer.status, answer.error["code"]) == (400, "invalid_request")
    assert reason in answer.error["message"]
    assert shed(small, "malformed_request") == before + 1


@pytest.mark.parametrize("name", BAD_BODIES)
def test_a_body_that_cannot_be_read_is_answered_400(small: Server, name: str) -> None:
    answer = exchange(small.url, request(b"Transfer-Encoding: chunked", body=BAD_BODIES[name]))
    assert (answer.status, answer.error["code"]) == (400, "invalid_json")


def test_a_step_whose_body_cannot_be_read_was_not_applied(small: Server) -> None:
    path = b"/v1/sessions/ses_x/steps"
    answer = exchange(small.url, request(b"Transfer-Encoding: chunked", path=path, body=b"zz\r\n"))
    assert answer.error["applied"] == "no"


def test_a_refused_request_keeps_its_id(small: Server) -> None:
    answer = exchange(small.url, request(b"X-Request-Id: mine", b"Content-Length: x"))
    assert answer.headers["x-request-id"] == "mine"


def test_refusals_are_logged_and_counted_as_requests(small: Server) -> None:
    with httpx.Client(base_url=small.url, timeout=30, headers=NEW_CONNECTIONS) as http:
        before = Metrics(http).value("requests_total", route="unmatched", method="other", code="400")
        exchange(small.url, request(b"X-Request-Id: in-the-log", b"Content-Length: x"))
        assert Metrics(http).value("requests_total", route="unmatched", method="other", code="400") == before + 1
        eventually(lambda: '"request_id": "in-the-log"' in small.log)


@pytest.mark.parametrize("size", [1, 2, 3, 5, 7])
def test_requests_in_pieces_are_answered_in_order(small: Server, size: int) -> None:
    chunked = request(
        b"Transfer-Encoding: chunked", body=b"%x;a=b\r\n%b\r\n0\r\nA: b\r\n\r\n" % (len(PREDICTION), PREDICTION)
    )
    data = predict() + request(method=b"GET", path=b"/v1/models") + b"\r\n" + predict() + chunked
    with open_connections(small, 1) as (connection,):
        for start in range(0, len(data), size):
            connection.send(data[start : start + size])
        assert [connection.answer().status for _ in range(4)] == [200] * 4


def test_requests_that_come_at_once_are_answered_in_order(small: Server) -> None:
    count = 100
    with open_connections(small, 1) as (connection,):
        connection.send((predict() + request(b"X-Request-Id: 7", method=b"GET", path=b"/v1/models")) * count)
        answers = [connection.answer() for _ in range(2 * count)]
    assert {answer.status for answer in answers} == {200}
    assert [answer.headers["x-request-id"] == "7" for answer in answers] == [False, True] * count


def test_trailers_are_no_headers(small: Server) -> None:
    body = b"%x\r\n%b\r\n0\r\nX-Request-Id: mine\r\n\r\n" % (len(PREDICTION), PREDICTION)
    answer = exchange(small.url, request(b"Connection: close", b"Transfer-Encoding: chunked", body=body))
    assert answer.status == 200
    assert answer.headers["x-request-id"] != "mine"


def test_an_upgrade_is_answered_without_it(small: Server) -> None:
    headers = [b"Connection: Upgrade", b"Upgrade: websocket", b"Sec-WebSocket-Version: 13", b"Sec-WebSocket-Key: eA=="]
    with open_connections(small, 1) as (connection,):
        connection.send(request(*headers, method=b"GET", path=b"/v1/sessions/ses_x/stream"))
        assert connection.answer().error["code"] == "not_found"
        connection.send(predict())
        assert connection.answer().status == 200

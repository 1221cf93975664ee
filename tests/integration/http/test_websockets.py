"""Steps over WebSockets: order, failures, close codes, keys, and what is refused."""

import contextlib
import json
import socket as sockets
import struct
import time
from collections.abc import Iterator

import httpx
import pytest
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection, connect

from tests.integration.conftest import KEYS, MAX_BODY_BYTES
from tests.metrics import Metrics
from tests.server import Server, answered, eventually, look_up, new_session, short_folder, step, tiny_models
from tests.sockets import (
    close_of,
    error_of,
    open_socket,
    receive,
    received,
    refused_handshake,
    send,
    stream_of,
    words,
)

ALICE = KEYS["alice"]


@pytest.fixture
def session(http: httpx.Client) -> str:
    return new_session(http)


@pytest.fixture(scope="module")
def narrow() -> Iterator[Server]:
    """A service without keys, in which little is waited for."""
    with short_folder() as folder:
        limits = {"max_unanswered_frames": 4, "websocket_ping_seconds": 1, "max_connections_per_address": 24}
        with Server(folder, models=tiny_models(folder / "models"), **limits) as server:
            yield server


def test_the_steps_of_a_session_are_answered_in_order_with_their_ids(server: Server, session: str) -> None:
    with open_socket(server, stream_of(session), ALICE) as socket:
        send(socket, *(words("the", step=number, id=f"frame {number}") for number in range(40)))
        answers = received(socket, 40)
    assert [answer["step"] for answer in answers] == list(range(1, 41))
    assert [answer["id"] for answer in answers] == [f"frame {number}" for number in range(40)]
    assert {answer["session_id"] for answer in answers} == {session}


def test_a_frame_without_an_id_is_answered_as_a_request_is(server: Server, http: httpx.Client) -> None:
    first, second = new_session(http), new_session(http)
    with open_socket(server, stream_of(first), ALICE) as socket:
        send(socket, words("the cat"))
        over_websocket = receive(socket)
    over_http = answered(step(http, second, "the cat", options={"top_k": 1}))
    expected = over_http | {"session_id": first, "expires_at": over_websocket["expires_at"]}
    assert over_websocket == expected


@pytest.mark.parametrize("identity", [0, -7, 2**53, "", "x" * 256, 'with "quotes" and ü'])
def test_an_id_is_returned_as_it_is(server: Server, session: str, identity: object) -> None:
    with open_socket(server, stream_of(session), ALICE) as socket:
        send(socket, words("the", id=identity))
        assert receive(socket)["id"] == identity


def test_a_repeated_step_gets_its_stored_answer(server: Server, session: str) -> None:
    with open_socket(server, stream_of(session), ALICE) as socket:
        send(socket, words("the", step=0, idempotency_key="k", id=1), words("the", step=0, idempotency_key="k", id=2))
        first, second = received(socket, 2)
    assert first | {"id": 2} == second


@pytest.mark.parametrize(
    ("frame", "status", "code", "closing"),
    [
        ('{"input"', 400, "invalid_json", 1007),
        (b'{"input": {"text": "\xff"}}'.decode("latin-1").encode("latin-1"), 415, "unsupported_media_type", 1003),
        (words("the", step=7), 409, "step_conflict", 4409),
        (words("the", surprise=1), 422, "invalid_request", 4422),
        ({"input": {"ids": [10**6]}}, 422, "out_of_vocabulary", 4422),
        ({"input": {"text": "the " * 100}}, 413, "input_too_long", 4413),
        ([1], 422, "invalid_request", 4422),
        (json.dumps(words("the"))[:-1] + ', "options": {"top_k": NaN}}', 400, "invalid_json", 1007),
    ],
)
def test_a_frame_that_fails_ends_the_stream(
    server: Server, http: httpx.Client, session: str, frame: object, status: int, code: str, closing: int
) -> None:
    with open_socket(server, stream_of(session), ALICE) as socket:
        send(socket, words("the", step=0), frame, words("cat", step=1, id="behind"))
        assert receive(socket)["step"] == 1
        assert error_of(receive(socket), status, code)["applied"] == "no"
        behind = receive(socket)
        assert error_of(behind, status, code, "was not run")["applied"] == "no"
        assert behind["id"] == "behind"
        assert close_of(socket) == (closing, code)
    assert look_up(http, session)["step"] == 1


def test_an_error_has_the_id_of_a_frame_that_is_otherwise_wrong(server: Server, session: str) -> None:
    with open_socket(server, stream_of(session), ALICE) as socket:
        send(socket, {"id": 7, "input": 3})
        assert receive(socket)["id"] == 7


def test_an_oversized_frame_is_refused_behind_the_answers_to_those_before_it(
    server: Server, http: httpx.Client, session: str
) -> None:
    with open_socket(server, stream_of(session), ALICE) as socket:
        send(socket, *(words("the", step=number) for number in range(5)), "x" * (MAX_BODY_BYTES + 1))
        assert [answer["step"] for answer in received(socket, 5)] == [1, 2, 3, 4, 5]
        assert error_of(receive(socket), 413, "body_too_large", str(MAX_BODY_BYTES))["applied"] == "no"
        assert close_of(socket) == (1009, "body_too_large")
    assert look_up(http, session)["step"] == 5


def test_a_fragmented_frame_is_read_whole(server: Server, session: str) -> None:
    text = json.dumps(words("the cat", step=0))
    with open_socket(server, stream_of(session), ALICE) as socket:
        socket.send(iter([text[:3], text[3:20], text[20:]]))
        assert receive(socket)["step"] == 1


def test_a_large_frame_is_read(server: Server, session: str) -> None:
    with open_socket(server, stream_of(session), ALICE) as socket:
        send(socket, json.dumps(words("the", step=0)) + " " * 100_000)
        assert receive(socket)["step"] == 1


def test_many_sessions_share_a_connection(server: Server, http: httpx.Client) -> None:
    sessions = [new_session(http) for _ in range(5)]
    with open_socket(server, "/v1/stream", ALICE) as socket:
        for number in range(4):
            send(socket, *(words("the", session_id=session, step=number, id=number) for session in sessions))
        answers = received(socket, 20)
    for session in sessions:
        own = [answer for answer in answers if answer["session_id"] == session]
        assert [(answer["step"], answer["id"]) for answer in own] == [(1, 0), (2, 1), (3, 2), (4, 3)]


def test_a_session_that_fails_leaves_the_others_of_its_connection_alone(server: Server, http: httpx.Client) -> None:
    good, bad = new_session(http), new_session(http)
    with open_socket(server, "/v1/stream", ALICE) as socket:
        send(
            socket, words("the", session_id=bad, step=5, id="wrong"), words("the", session_id=bad, step=0, id="behind")
        )
        send(socket, words("the", session_id=good, step=0))
        answers = received(socket, 3)
        failed = [answer for answer in answers if answer["session_id"] == bad]
        assert [answer["id"] for answer in failed] == ["wrong", "behind"]
        assert {answer["error"]["applied"] for answer in failed} == {"no"}
        send(socket, words("the", session_id=bad, step=0), words("the", session_id=good, step=1))
        after = {answer["session_id"]: answer for answer in received(socket, 2)}
        error_of(after[bad], 409, "step_conflict", "was not run")
        assert after[good]["step"] == 2


def test_a_failed_stream_begins_again_with_the_frame_that_failed(server: Server, http: httpx.Client) -> None:
    session = new_session(http)
    with open_socket(server, "/v1/stream", ALICE) as socket:
        send(socket, words("the", session_id=session, step=1, id=1), words("the", session_id=session, step=2, id=2))
        assert [answer["id"] for answer in received(socket, 2) if "error" in answer] == [1, 2]
        answered(step(http, session, "the"))
        send(socket, words("cat", session_id=session, step=1), words("cat", session_id=session, step=2))
        assert [answer["step"] for answer in received(socket, 2)] == [2, 3]


@pytest.mark.parametrize("frame", ["[", {"input": {"text": "the"}}, b"\x00", {"session_id": "x" * 257, "input": {}}])
def test_a_frame_without_a_session_ends_all_streams_of_its_connection(
    server: Server, session: str, frame: object
) -> None:
    with open_socket(server, "/v1/stream", ALICE) as socket:
        send(socket, words("the", session_id=session, step=0))
        assert receive(socket)["step"] == 1
        send(socket, frame, words("the", session_id=session, step=1, id="behind"))
        assert {answer["error"]["applied"] for answer in received(socket, 2)} == {"no"}
        assert close_of(socket)[0] in {1003, 1007, 4422}


@pytest.mark.parametrize("offered", [["bearer." + ALICE], ["unroll", "bearer." + ALICE]])
def test_a_key_may_be_a_subprotocol(server: Server, session: str, offered: list[str]) -> None:
    with open_socket(server, stream_of(session), subprotocols=offered) as socket:
        assert socket.subprotocol == offered[0]
        send(socket, words("the"))
        assert receive(socket)["step"] == 1


def test_a_handshake_that_may_not_be_gets_the_response_of_a_request(
    server: Server, http: httpx.Client, bob: httpx.Client, session: str
) -> None:
    ended = new_session(http)
    http.delete(f"/v1/sessions/{ended}")
    refusals = [
        (refused_handshake(server, "/v1/stream"), 401, "missing_api_key"),
        (refused_handshake(server, "/v1/stream", "wrong"), 401, "invalid_api_key"),
        (refused_handshake(server, "/v1/stream", subprotocols=["bearer.wrong"]), 401, "invalid_api_key"),
        (refused_handshake(server, stream_of(session), KEYS["bob"]), 404, "session_not_found"),
        (refused_handshake(server, stream_of(ended), ALICE), 410, "session_ended"),
    ]
    for (status, error), expected, code in refusals:
        assert (status, error["code"]) == (expected, code)
    assert bob.get("/v1/stream").status_code == 404


def test_a_session_that_ends_closes_its_stream(server: Server, http: httpx.Client, session: str) -> None:
    with open_socket(server, stream_of(session), ALICE) as socket:
        send(socket, words("the"))
        receive(socket)
        http.delete(f"/v1/sessions/{session}")
        send(socket, words("the"))
        error_of(receive(socket), 410, "session_ended")
        assert close_of(socket) == (4410, "session_ended")


def test_an_idle_stream_is_closed_when_its_session_expires(server: Server, http: httpx.Client) -> None:
    session = new_session(http, ttl_seconds=2)
    with open_socket(server, stream_of(session), ALICE) as socket:
        assert close_of(socket) == (4410, "session_expired")


def test_frames_that_were_sent_are_answered_before_the_client_closes(
    server: Server, http: httpx.Client, session: str
) -> None:
    with open_socket(server, stream_of(session), ALICE) as socket:
        send(socket, *(words("the", step=number) for number in range(10)))
        receive(socket)
        socket.close()
    eventually(lambda: look_up(http, session)["step"] == 10)


def test_a_page_of_another_origin_opens_no_websocket(narrow: Server) -> None:
    status, error = refused_handshake(narrow, "/v1/stream", origin="https://elsewhere.example")
    assert (status, error["code"]) == (403, "not_allowed")


def test_a_window_of_frames_is_read_and_no_more(narrow: Server) -> None:
    with narrow.client() as http:
        session = new_session(http)
    with open_socket(narrow, stream_of(session)) as socket:
        send(socket, *(words("the", step=number) for number in range(200)))
        assert [answer["step"] for answer in received(socket, 200)] == list(range(1, 201))


def test_an_idle_websocket_stays_open_while_its_client_answers_pings(narrow: Server) -> None:
    with narrow.client() as http, open_socket(narrow, stream_of(new_session(http)), ping_interval=None) as socket:
        time.sleep(3.5)
        send(socket, words("the"))
        assert receive(socket)["step"] == 1


def raw_websocket(server: Server, path: str) -> sockets.socket:
    """A WebSocket whose client does nothing by itself."""
    host, port = server.url.removeprefix("http://").split(":")
    raw = sockets.create_connection((host, int(port)), 20)
    lines = [f"GET {path} HTTP/1.1", f"Host: {host}:{port}", "Connection: Upgrade", "Upgrade: websocket"]
    lines += ["Sec-WebSocket-Version: 13", "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA=="]
    raw.sendall("\r\n".join([*lines, "", ""]).encode())
    head = b""
    while not head.endswith(b"\r\n\r\n"):
        head += raw.recv(1)
    if not head.startswith(b"HTTP/1.1 101 "):
        raw.close()
        raise ConnectionRefusedError(head.decode())
    return raw


def closed(raw: sockets.socket) -> bytes:
    """What arrives until the service closes a connection."""
    data = b""
    try:
        while part := raw.recv(65_536):
            data += part
    except ConnectionError:
        pass
    return data


def test_a_client_that_answers_no_ping_is_disconnected(narrow: Server) -> None:
    with raw_websocket(narrow, "/v1/stream") as raw:
        assert closed(raw) == b"\x89\x00"
    with narrow.client() as http:
        assert Metrics(http).value("shed_total", reason="unanswered_ping") >= 1


def test_frames_of_another_protocol_are_refused(narrow: Server) -> None:
    compressed = b"\xc1\x85\x00\x00\x00\x00\x00\x00\x00\x00\x00"
    for frame in (compressed, b"\x81\x01x", b"\x83\x80\x00\x00\x00\x00"):
        with raw_websocket(narrow, "/v1/stream") as raw:
            raw.sendall(frame)
            answer = closed(raw)
            assert answer[0] == 0x88
            assert struct.unpack(">H", answer[2:4]) == (1002,)


def test_idle_websockets_of_an_address_are_bounded_and_make_room(narrow: Server) -> None:
    first = [raw_websocket(narrow, "/v1/stream") for _ in range(24)]
    try:
        with pytest.raises(ConnectionRefusedError, match="503"):
            raw_websocket(narrow, "/v1/stream")
    finally:
        for raw in first:
            raw.close()

    def served() -> bool:
        with narrow.client() as http:
            return http.get("/v1/models").status_code == 200

    eventually(served)


def test_a_client_that_disconnects_leaves_nothing(narrow: Server) -> None:
    with narrow.client() as http:
        session = new_session(http)
        raw = raw_websocket(narrow, stream_of(session))
        raw.close()
        eventually(lambda: Metrics(http).value("websockets") == 0)
        assert Metrics(http).value("requests_in_flight") == 1


def remaining(socket: ClientConnection) -> Iterator[str | bytes]:
    """The messages until a WebSocket is closed."""
    with contextlib.suppress(ConnectionClosed):
        while True:
            yield socket.recv(20)


def test_websockets_can_be_switched_off() -> None:
    with short_folder() as folder, Server(folder, models=tiny_models(folder / "models"), protocols="openai") as server:
        assert refused_handshake(server, "/v1/stream")[1]["code"] == "not_found"


def test_a_drained_websocket_is_closed_when_all_that_was_read_is_answered() -> None:
    with short_folder() as folder, Server(folder, models=tiny_models(folder / "models")) as server:
        with server.client() as http:
            session = new_session(http)
        url = server.url.replace("http", "ws", 1) + stream_of(session)
        with connect(url, compression=None) as socket:
            send(socket, *(words("the", step=number) for number in range(500)))
            steps = [receive(socket)["step"]]
            server.terminate()
            steps += [json.loads(message)["step"] for message in remaining(socket)]
            assert close_of(socket) == (1012, "shutting_down")
        assert steps == list(range(1, len(steps) + 1))
        server.restart()
        with server.client() as http:
            assert look_up(http, session)["step"] == len(steps)

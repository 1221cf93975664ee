"""Streams that end early: by their client, their deadline, another step, or a worker that stops."""

import contextlib
import json
import threading
import time
from collections.abc import Iterator

import httpx
import pytest
from httpx_sse import EventSource, connect_sse

from tests.event_streams import stream, streaming
from tests.folders import WORDS, write_language_model
from tests.metrics import Metrics
from tests.raw_connection import RawConnection
from tests.server import Body, Server, answered, eventually, look_up, new_session, post, refusal, short_folder, step

TOKENS = 1024
#: Takes seconds; without a symbol for the end of a sequence nothing ends it early.
LONG = streaming(max_tokens=TOKENS)
STATELESS = {"input": {"text": "the"}, **LONG}


@pytest.fixture(scope="module")
def models() -> Iterator[str]:
    with short_folder() as folder:
        words = [word for word in WORDS if word != "<s>"]
        write_language_model(folder, "slow", words=words, hidden_size=768)
        # Its words are so long that a few answers fill the buffers of a connection.
        long_words = [*words, *(f"{index}{'-' * 400}" for index in range(1000))]
        write_language_model(folder, "verbose", words=long_words, hidden_size=8)
        yield str(folder)


@pytest.fixture(scope="module")
def service(models: str) -> Iterator[Server]:
    with short_folder() as folder, Server(folder, models=models, write_timeout_seconds=1) as running:
        yield running


@contextlib.contextmanager
def begun(http: httpx.Client, path: str, body: Body = LONG, **headers: str) -> Iterator[EventSource]:
    """A stream of which the first token has come."""
    with connect_sse(http, "POST", path, json=body, headers=headers) as source:
        events = source.iter_sse()
        assert next(events).event == "token"
        source.rest = events  # type: ignore[attr-defined]
        yield source


def last_event(source: EventSource) -> tuple[str, Body]:
    *_, last = source.rest  # type: ignore[attr-defined]
    return last.event, json.loads(last.data)


def test_a_stream_stops_when_its_client_goes_and_its_session_stays_where_it_was(service: Server) -> None:
    with service.client() as http, service.client() as leaver:
        session = new_session(http, "slow")
        answered(step(http, session, "a", step=0))
        gone = Metrics(http).value("requests_total", code="499")
        generated = Metrics(http).value("generated_tokens_total")
        with begun(leaver, f"/v1/sessions/{session}/generate", LONG | {"step": 1}, **{"X-Request-Id": "leaver"}):
            assert Metrics(http).value("queue_depth") == 1
        eventually(lambda: Metrics(http).value("queue_depth") == 0, 2)
        eventually(lambda: Metrics(http).value("requests_total", code="499") == gone + 1)
        assert Metrics(http).value("generated_tokens_total") == generated
        assert Metrics(http).value("session_steps_total", outcome="failed") == 0
        assert look_up(http, session)["step"] == 1
        assert answered(step(http, session, "dog", step=1))["step"] == 2
        line = eventually(lambda: next((line for line in service.log.splitlines() if '"leaver"' in line), None))
        assert json.loads(line)["status"] == 499
        assert '"level": "error"' not in service.log


def test_a_stream_without_a_session_stops_when_its_client_goes(service: Server) -> None:
    with service.client() as http, service.client() as leaver:
        with begun(leaver, "/v1/models/slow/generate", STATELESS):
            pass
        eventually(lambda: Metrics(http).value("queue_depth") == 0, 2)
        eventually(lambda: Metrics(http).value("requests_in_flight") <= 1)


def test_a_stream_that_is_late_ends_with_an_error_that_says_that_nothing_was_applied(service: Server) -> None:
    with service.client() as http:
        session = new_session(http, "slow")
        failed = Metrics(http).value("session_steps_total", outcome="failed")
        path, deadline = f"/v1/sessions/{session}/generate", {"X-Request-Timeout-Ms": "400"}
        streamed = stream(http, path, LONG, **deadline)
        assert streamed.tokens
        assert streamed.error is not None
        assert (streamed.error["code"], streamed.error["applied"]) == ("deadline_exceeded", "no")
        assert look_up(http, session)["step"] == 0
        assert Metrics(http).value("session_steps_total", outcome="failed") == failed + 1
        streamed = stream(http, "/v1/models/slow/generate", STATELESS, **deadline)
        assert streamed.error is not None
        assert streamed.error["code"] == "deadline_exceeded"


def test_steps_wait_for_a_stream_of_their_session(service: Server) -> None:
    with service.client() as http, service.client() as other:
        session = new_session(http, "slow")
        with begun(http, f"/v1/sessions/{session}/generate", streaming(max_tokens=50)) as source:
            answers: list[Body] = []
            waiting = threading.Thread(target=lambda: answers.append(answered(step(other, session, "a"))))
            waiting.start()
            name, answer = last_event(source)
        waiting.join()
        assert (name, answer["step"], answers[0]["step"]) == ("done", 1, 2)


def test_a_client_that_does_not_read_its_streams_is_cut_off(service: Server) -> None:
    content = json.dumps(STATELESS).encode()
    head = b"POST /v1/models/verbose/generate HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
    with service.client() as http:
        before = Metrics(http).value("shed_total", reason="unread_answer")
        raw = RawConnection(service.url, receive_buffer=2048)
        # An answer may fit the buffers of the system; those of several in turn do not.
        raw.send((head + b"Content-Length: %d\r\n\r\n" % len(content) + content) * 64)
        with contextlib.closing(raw):
            eventually(lambda: Metrics(http).value("shed_total", reason="unread_answer") > before, 120)
            eventually(lambda: Metrics(http).value("queue_depth") == 0, 2)


def test_a_worker_that_stops_ends_its_streams_with_an_error_that_says_what_was_applied(models: str) -> None:
    with (
        short_folder() as folder,
        Server(folder, models=models, grace_seconds=1, workers=1) as server,
        server.client() as http,
        server.client() as other,
    ):
        session = new_session(http, "slow")
        with (
            begun(http, f"/v1/sessions/{session}/generate", LONG | {"step": 0}) as source,
            begun(other, "/v1/models/slow/generate", STATELESS) as stateless,
        ):
            stopping = threading.Thread(target=server.terminate)
            stopping.start()
            name, body = last_event(source)
            assert (name, body["error"]["code"], body["error"]["applied"]) == ("error", "shutting_down", "no")
            name, body = last_event(stateless)
            assert (name, body["error"]["code"]) == ("error", "shutting_down")
            stopping.join()
        server.restart()
        with server.client() as again:
            assert look_up(again, session)["step"] == 0
            assert stream(again, f"/v1/sessions/{session}/generate", streaming({"step": 0})).answer["step"] == 1


def test_a_stream_ends_in_time_while_its_worker_drains(models: str) -> None:
    with short_folder() as folder, Server(folder, models=models, grace_seconds=20) as server, server.client() as http:
        session = new_session(http, "slow")
        with begun(http, f"/v1/sessions/{session}/generate", streaming(max_tokens=100)) as source:
            stopping = threading.Thread(target=server.terminate)
            stopping.start()
            name, body = last_event(source)
            assert (name, body["step"]) == ("done", 1)
            stopping.join()


def test_a_stream_whose_session_another_worker_advances_is_a_conflict(models: str) -> None:
    with short_folder() as folder, Server(folder, models=models, workers=2) as server, server.client() as http:
        session = new_session(http, "slow")
        with begun(http, f"/v1/sessions/{session}/generate", streaming(max_tokens=300)) as source:
            _step_on_another_worker(server, session)
            name, body = last_event(source)
        assert (name, body["error"]["code"]) == ("error", "step_conflict")
        assert (body["error"]["applied"], body["error"]["step"]) == ("no", 1)
        assert look_up(http, session)["step"] == 1


def _step_on_another_worker(server: Server, session: str) -> None:
    """Apply a step on the worker that does not stream: on the other one it would wait for the stream."""
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        with server.client() as http:
            response = post(
                http,
                f"/v1/sessions/{session}/steps",
                {"input": {"text": "a"}, "step": 0},
                **{"X-Request-Timeout-Ms": "200"},
            )
            if response.status_code == 200:
                return
            refusal(response, 503, "deadline_exceeded")
    pytest.fail("no worker took the step")

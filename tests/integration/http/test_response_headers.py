"""Every answer tells browsers and caches what not to do with it."""

import re
import socket
from collections.abc import Callable

import httpx
import pytest

from service.http.app import create_api
from tests.integration.conftest import KEYS, MAX_BODY_BYTES
from tests.server import Server, answered, new_session, post, step

NOTHING_ELSE = "default-src 'none'; frame-ancestors 'none'"

Ask = Callable[[httpx.Client], httpx.Response]


def replayed(http: httpx.Client) -> httpx.Response:
    session = new_session(http)
    for _ in range(2):
        response = step(http, session, "the", key="k")
    assert response.headers["unroll-replayed"] == "true"
    return response


def ended(http: httpx.Client) -> httpx.Response:
    return http.delete(f"/v1/sessions/{new_session(http)}")


ANSWERS: list[tuple[int, Ask]] = [
    (200, lambda http: http.get("/v1/models")),
    (200, lambda http: post(http, "/v1/models/tiny/predict", {"input": {"text": "the"}})),
    (201, lambda http: post(http, "/v1/sessions", {"model": "tiny"})),
    (200, lambda http: step(http, new_session(http), "the")),
    (200, replayed),
    (204, ended),
    (200, lambda http: http.get(f"/v1/sessions/{new_session(http)}/state")),
    (400, lambda http: post(http, "/v1/sessions", b"{")),
    (401, lambda http: http.get("/v1/models", headers={"Authorization": ""})),
    (404, lambda http: http.get("/nothing")),
    (405, lambda http: http.put("/v1/models")),
    (413, lambda http: post(http, "/v1/sessions", b" " * (MAX_BODY_BYTES + 1))),
    (415, lambda http: http.post("/v1/sessions", content=b"{}")),
    (422, lambda http: post(http, "/v1/sessions", {})),
    (200, lambda http: http.get("/health/live")),
    (200, lambda http: http.head("/health/ready")),
    (200, lambda http: http.get("/metrics")),
    (200, lambda http: http.get("/openapi.json")),
]


@pytest.mark.parametrize(("status", "ask"), ANSWERS)
def test_an_answer_is_neither_stored_nor_guessed_nor_framed(http: httpx.Client, status: int, ask: Ask) -> None:
    response = ask(http)
    assert response.status_code == status, response.text
    assert response.headers.get_list("x-content-type-options") == ["nosniff"]
    assert response.headers.get_list("cache-control") == ["no-store"]
    assert response.headers.get_list("content-security-policy") == [NOTHING_ELSE]


def test_an_answer_to_a_request_that_timed_out_has_the_headers(http: httpx.Client) -> None:
    many = {"inputs": [{"text": "dog " * 64}] * 256}
    response = post(http, "/v1/models/next-word/score", many, **{"X-Request-Timeout-Ms": "20"})
    assert response.status_code == 503
    assert response.headers["x-content-type-options"] == "nosniff"


def test_the_documentation_may_load_swagger_ui_and_run_its_own_script_only(http: httpx.Client) -> None:
    response = http.get("/docs")
    assert response.headers["content-type"] == "text/html; charset=utf-8"
    (policy,) = response.headers.get_list("content-security-policy")
    sources = dict(directive.split(" ", 1) for directive in policy.split("; "))
    assert sources["default-src"] == sources["frame-ancestors"] == "'none'"
    assert "unsafe" not in sources["script-src"]
    assert "http" not in policy
    loaded = re.findall(r'(?:src|href)="(docs/[^"]+)"', response.text)
    assert len(loaded) == 2
    for path in loaded:
        file = http.get(f"/{path}")
        assert file.status_code == 200
        again = http.get(f"/{path}", headers={"If-None-Match": file.headers["etag"]})
        assert (again.status_code, again.content) == (304, b"")
    assert len(re.findall("<script>", response.text)) == sources["script-src"].count("'sha256-") == 1


def test_the_contract_is_served_as_it_is_published(http: httpx.Client) -> None:
    assert answered(http.get("/openapi.json")) == create_api().openapi()


def test_headers_are_written_once_each(server: Server) -> None:
    url = httpx.URL(server.url)
    with socket.create_connection((url.host, url.port or 80), timeout=5) as connection:
        connection.sendall(f"GET /v1/models HTTP/1.1\r\nHost: x\r\nX-Api-Key: {KEYS['alice']}\r\n\r\n".encode())
        head = connection.recv(65_536).partition(b"\r\n\r\n")[0].decode()
    names = [line.partition(":")[0] for line in head.split("\r\n")[1:]]
    assert len(names) == len(set(names)), head


def test_a_refusal_of_what_is_no_request_has_the_headers(server: Server) -> None:
    url = httpx.URL(server.url)
    with socket.create_connection((url.host, url.port or 80), timeout=5) as connection:
        connection.sendall(b"nonsense\r\n\r\n")
        head = connection.recv(65_536).partition(b"\r\n\r\n")[0].decode().lower()
    assert head.startswith("http/1.1 400 ")
    for line in (
        "x-content-type-options: nosniff",
        "cache-control: no-store",
        f"content-security-policy: {NOTHING_ELSE}",
    ):
        assert head.count(f"\r\n{line}") == 1, head

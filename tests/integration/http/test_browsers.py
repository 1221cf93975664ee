"""Web pages cannot use a service that requires no API key, unless the operator allows their origin."""

import contextlib
from collections.abc import Iterator

import httpx
import pytest

from tests.server import Server, answered, new_session, post, refusal, short_folder, step, tiny_models

APP = "https://app.example"
PREFLIGHT = {"Origin": APP, "Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "content-type"}
#: Paths of each kind.
PATHS = ["/v1/models", "/v1/sessions", "/v1/nothing", "/metrics", "/docs", "/openapi.json", "/nothing"]


@contextlib.contextmanager
def serving(**settings: object) -> Iterator[httpx.Client]:
    """A service of its own, and a client without a key."""
    with (
        short_folder() as folder,
        Server(folder, models=tiny_models(folder / "models"), **settings) as server,  # type: ignore[arg-type]
        server.client() as client,
    ):
        yield client


@pytest.fixture(scope="module")
def local() -> Iterator[httpx.Client]:
    """A service without keys, as `unroll serve` starts it."""
    with serving() as client:
        yield client


@pytest.fixture(scope="module")
def allowing() -> Iterator[httpx.Client]:
    """A service without keys whose operator allows two origins and a host."""
    with serving(allowed_origins=f"{APP},http://localhost:3000", allowed_hosts="unroll.example") as client:
        yield client


@pytest.fixture(scope="module")
def guarded() -> Iterator[httpx.Client]:
    """A service with keys whose metrics are public and whose operator allows an origin."""
    with serving(api_keys="alice:key", allowed_origins=APP, public_operations=True, max_wrong_keys=3) as client:
        yield client


def port(http: httpx.Client) -> int:
    assert http.base_url.port is not None
    return http.base_url.port


# Hosts.


@pytest.mark.parametrize("name", ["localhost", "127.0.0.1", "127.9.9.9", "[::1]", "tenant.localhost"])
def test_a_loopback_name_is_answered(local: httpx.Client, name: str) -> None:
    for host in (name, f"{name}:{port(local)}", f"{name}:9"):
        assert local.get("/v1/models", headers={"Host": host}).status_code == 200


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("host", ["evil.example", "evil.example:8000", "localhost.evil.example", "192.168.1.7", "é"])
def test_another_name_is_refused_on_loopback(local: httpx.Client, path: str, host: str) -> None:
    response = local.get(path, headers={"Host": host.encode("latin-1")})
    error = refusal(response, 403, "not_allowed", repr(host), "localhost", "UNROLL_ALLOWED_HOSTS")
    assert error["param"] == "Host"


@pytest.mark.parametrize("path", ["/health/live", "/health/ready"])
def test_health_is_answered_under_any_name(local: httpx.Client, path: str) -> None:
    headers = {"Host": "evil.example", "Origin": "http://evil.example", "Sec-Fetch-Site": "cross-site"}
    assert local.get(path, headers=headers).status_code == 200


def test_a_step_under_another_name_is_not_applied(local: httpx.Client) -> None:
    session = new_session(local)
    response = post(local, f"/v1/sessions/{session}/steps", {"input": {"text": "the"}}, Host="evil.example")
    assert refusal(response, 403, "not_allowed")["applied"] == "no"
    assert answered(step(local, session, "the"))["step"] == 1


def test_the_operators_names_are_answered_beside_loopback_names(allowing: httpx.Client) -> None:
    for host in ("unroll.example", "unroll.example:443", "localhost"):
        assert allowing.get("/v1/models", headers={"Host": host}).status_code == 200
    refusal(allowing.get("/v1/models", headers={"Host": "evil.example"}), 403, "not_allowed", "unroll.example")


def test_a_service_that_listens_on_all_addresses_is_answered_under_any_name() -> None:
    with serving(host="0.0.0.0") as http:  # noqa: S104
        assert http.get("/v1/models", headers={"Host": "any.example"}).status_code == 200
        refusal(http.get("/v1/models", headers={"Origin": "http://evil.example"}), 403, "not_allowed")


def test_any_name_is_answered_where_keys_are_required(http: httpx.Client) -> None:
    assert http.get("/v1/models", headers={"Host": "any.example", "Origin": "http://page.example"}).status_code == 200


# Origins.


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("origin", ["null", "http://evil.example", "http://localhost:1", "https://localhost"])
def test_a_page_of_another_origin_is_refused(local: httpx.Client, path: str, origin: str) -> None:
    error = refusal(local.get(path, headers={"Origin": origin}), 403, "not_allowed", repr(origin))
    assert error["param"] == "Origin"


@pytest.mark.parametrize("content_type", [None, "text/plain", "application/x-www-form-urlencoded", "application/json"])
def test_a_page_of_another_origin_can_create_nothing(local: httpx.Client, content_type: str | None) -> None:
    before = len(answered(local.get("/v1/sessions", params={"limit": 1000}))["data"])
    headers = {"Origin": "http://evil.example"} | ({} if content_type is None else {"Content-Type": content_type})
    refusal(local.post("/v1/sessions", content=b'{"model": "tiny"}', headers=headers), 403, "not_allowed")
    assert len(answered(local.get("/v1/sessions", params={"limit": 1000}))["data"]) == before


def test_a_page_of_the_service_itself_is_answered(local: httpx.Client) -> None:
    headers = {"Origin": f"http://127.0.0.1:{port(local)}", "Sec-Fetch-Site": "same-origin"}
    answered(post(local, "/v1/sessions", {"model": "tiny"}, **headers), 201)


@pytest.mark.parametrize("path", ["/v1/models", "/metrics"])
def test_a_cross_site_request_without_an_origin_is_refused(local: httpx.Client, path: str) -> None:
    refusal(local.get(path, headers={"Sec-Fetch-Site": "cross-site"}), 403, "not_allowed", "Sec-Fetch-Site")


def test_a_link_on_another_site_opens_the_documentation(local: httpx.Client) -> None:
    headers = {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "document"}
    assert local.get("/docs", headers=headers).status_code == 200


def test_a_preflight_of_another_origin_is_refused(local: httpx.Client) -> None:
    response = local.options("/v1/sessions", headers=PREFLIGHT)
    refusal(response, 403, "not_allowed")
    assert "access-control-allow-origin" not in response.headers


# Allowed origins.


@pytest.mark.parametrize("path", ["/v1/sessions", "/v1/sessions/ses_x/steps", "/metrics", "/health/live"])
def test_a_preflight_of_an_allowed_origin_is_answered(allowing: httpx.Client, guarded: httpx.Client, path: str) -> None:
    for http in (allowing, guarded):
        response = http.options(path, headers=PREFLIGHT)
        assert (response.status_code, response.content) == (204, b"")
        assert response.headers["access-control-allow-origin"] == APP
        assert "POST" in response.headers["access-control-allow-methods"]
        assert "content-type" in response.headers["access-control-allow-headers"].lower()
        assert response.headers["vary"] == "Origin"
        assert response.headers["x-request-id"]


def test_a_page_of_an_allowed_origin_reads_answers_and_errors(allowing: httpx.Client) -> None:
    page = {"Origin": APP, "Sec-Fetch-Site": "cross-site"}
    responses = [
        (post(allowing, "/v1/sessions", {"model": "tiny"}, **page), 201),
        (allowing.get("/v1/nothing", headers=page), 404),
        (allowing.put("/v1/models", headers=page), 405),
        (post(allowing, "/v1/sessions", b"{", **page), 400),
        (allowing.get("/health/live", headers=page), 200),
    ]
    for response, status in responses:
        assert (response.status_code, response.headers["access-control-allow-origin"]) == (status, APP)
        assert "X-Request-Id" in response.headers["access-control-expose-headers"]


def test_a_page_of_an_origin_that_is_not_allowed_is_still_refused(allowing: httpx.Client) -> None:
    response = allowing.get("/v1/models", headers={"Origin": "http://localhost:3001"})
    refusal(response, 403, "not_allowed")
    assert "access-control-allow-origin" not in response.headers


def test_a_page_with_a_key_is_answered_and_may_read_only_from_an_allowed_origin(guarded: httpx.Client) -> None:
    for origin, readable in ((APP, True), ("https://other.example", False)):
        response = guarded.get("/v1/models", headers={"Origin": origin, "X-Api-Key": "key"})
        assert response.status_code == 200
        assert ("access-control-allow-origin" in response.headers) is readable


def test_a_page_of_an_allowed_origin_reads_that_it_needs_a_key(guarded: httpx.Client) -> None:
    response = guarded.get("/v1/models", headers={"Origin": APP})
    refusal(response, 401, "missing_api_key")
    assert response.headers["access-control-allow-origin"] == APP


# Keys.


@pytest.mark.parametrize("path", ["/metrics", "/docs", "/openapi.json"])
def test_the_operator_can_open_metrics_and_documentation(guarded: httpx.Client, path: str) -> None:
    assert guarded.get(path).status_code == 200
    refusal(guarded.get("/v1/models"), 401, "missing_api_key")


def test_wrong_keys_are_limited_and_right_ones_are_not(guarded: httpx.Client) -> None:
    answers = [guarded.get("/v1/models", headers={"X-Api-Key": f"wrong-{number}"}) for number in range(8)]
    for response in answers[:3]:
        refusal(response, 401, "invalid_api_key")
    for response in answers[3:]:
        refusal(response, 429, "rate_limited", "wrong API keys", "UNROLL_MAX_WRONG_KEYS")
        assert 1 <= int(response.headers["retry-after"]) <= 60
        assert "wrong-" not in response.text
    answered(guarded.get("/v1/models", headers={"X-Api-Key": "key"}))
    refusal(guarded.get("/v1/models"), 401, "missing_api_key")
    assert 'unroll_shed_total{reason="rate_limited"}' in guarded.get("/metrics").text

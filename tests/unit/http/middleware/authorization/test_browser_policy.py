"""Which hosts requests may name, and from which web pages they may come."""

from typing import Any

import pytest

from service.domain.errors import NotAllowed
from service.http.middleware.authorization.browser_policy import MAX_KNOWN_HOSTS, BrowserPolicy, BrowserSettings
from service.http.middleware.authorization.host_names import is_wildcard

LOCAL = BrowserSettings(loopback_hosts=True, same_origin=True)
HOST = b"localhost:8000"


def allowed(
    settings: BrowserSettings, headers: dict[bytes, bytes], *, server: object = ("127.0.0.1", 8000), **scope: Any
) -> bool:
    """Whether a request, which is a GET of /v1/models unless told, is allowed."""
    try:
        BrowserPolicy(settings).check(request(headers, server=server, **scope), headers)
    except NotAllowed:
        return False
    return True


def request(known: dict[bytes, bytes], **scope: Any) -> dict[str, Any]:
    """The scope of a GET of /v1/models on a loopback address, unless told."""
    usual = {"type": "http", "method": "GET", "path": "/v1/models", "server": ("127.0.0.1", 8000)}
    return usual | {"headers": list(known.items())} | scope


# Hosts.

LOOPBACK_HOSTS = [
    b"localhost", b"localhost:8000", b"LocalHost:1", b"localhost.", b"app.localhost:3000", b"127.0.0.1",
    b"127.0.0.1:8000", b"127.255.3.4", b"[::1]", b"[::1]:8000", b"[0:0:0:0:0:0:0:1]", b"[::ffff:127.0.0.1]:8000",
]  # fmt: skip
FOREIGN_HOSTS = [
    None, b"", b"evil.example", b"evil.example:8000", b"localhost.evil.example", b"evillocalhost",
    b"127.0.0.1.evil.example", b"128.0.0.1", b"0.0.0.0", b"10.0.0.1:8000", b"[::]", b"[::2]", b"[fe80::1]", b"::1",
    b"127.1", b"0x7f000001", b"2130706433", b"localhost:", b"localhost:x", b"localhost:123456",
    b"localhost@evil.example", b"evil.example/localhost", b"localhost, evil", b"\xff", b"[::1", b"x" * 5000,
]  # fmt: skip


@pytest.mark.parametrize("server", [("127.0.0.1", 8000), ("::1", 8000), ("127.0.1.1", 8000)])
@pytest.mark.parametrize("host", LOOPBACK_HOSTS)
def test_loopback_names_are_accepted_on_a_loopback_address(host: bytes, server: object) -> None:
    assert allowed(LOCAL, {b"host": host}, server=server)


@pytest.mark.parametrize("host", FOREIGN_HOSTS)
def test_other_names_are_refused_on_a_loopback_address(host: bytes | None) -> None:
    assert not allowed(LOCAL, {} if host is None else {b"host": host})


@pytest.mark.parametrize("server", [("192.168.1.5", 8000), ("172.17.0.2", 8000), ("2001:db8::1", 8000), None])
@pytest.mark.parametrize("host", FOREIGN_HOSTS)
def test_any_name_is_accepted_on_another_address(host: bytes | None, server: object) -> None:
    assert allowed(LOCAL, {} if host is None else {b"host": host}, server=server)


def test_any_name_is_accepted_where_loopback_names_are_not_required() -> None:
    assert allowed(BrowserSettings(same_origin=True), {b"host": b"evil.example"})


@pytest.mark.parametrize(
    ("host", "accepted"),
    [(b"unroll.example", True), (b"UNROLL.example:443", True), (b"a.b.example", True), (b"b.example", False),
     (b"xb.example", False), (b"evil.example", False), (b"localhost", True), (b"[2001:db8::7]:8000", True)],
)  # fmt: skip
@pytest.mark.parametrize("server", [("127.0.0.1", 8000), ("172.17.0.2", 8000), None])
def test_the_operators_names_are_required_on_all_addresses(host: bytes, accepted: bool, server: object) -> None:
    settings = BrowserSettings(hosts=("unroll.example", "*.b.example", "2001:db8::7"))
    assert allowed(settings, {b"host": host}, server=server) is accepted


def test_an_asterisk_accepts_any_name() -> None:
    assert allowed(BrowserSettings(loopback_hosts=True, hosts=("*",)), {b"host": b"evil.example"})


def test_a_refusal_names_the_host_and_what_was_expected() -> None:
    headers = {b"host": b"evil.example:80"}
    with pytest.raises(NotAllowed, match=r"'evil\.example:80': expected .*localhost.*UNROLL_ALLOWED_HOSTS") as refused:
        BrowserPolicy(LOCAL).check(request(headers), headers)
    assert (refused.value.param, refused.value.code) == ("Host", "not_allowed")


@pytest.mark.parametrize("hosts", [(b"evil.example", b"localhost"), (b"localhost", b"localhost")])
def test_a_host_that_is_there_twice_is_refused_also_if_its_last_value_is_known(hosts: tuple[bytes, bytes]) -> None:
    policy = BrowserPolicy(LOCAL)
    headers = {b"host": b"localhost"}
    policy.check(request(headers), headers)
    with pytest.raises(NotAllowed, match="more than once"):
        policy.check(request(headers, headers=[(b"host", host) for host in hosts]), headers)


def test_another_header_may_be_there_twice() -> None:
    headers = {b"host": b"localhost", b"x": b"2"}
    BrowserPolicy(LOCAL).check(request(headers, headers=[(b"x", b"1"), *headers.items()]), headers)


def test_only_so_many_accepted_names_are_remembered() -> None:
    policy = BrowserPolicy(LOCAL)
    for port in range(MAX_KNOWN_HOSTS * 2):
        headers = {b"host": b"localhost:%d" % port}
        policy.check(request(headers), headers)
    assert len(policy._known_hosts) == MAX_KNOWN_HOSTS


@pytest.mark.parametrize(
    ("host", "wildcard"),
    [("0.0.0.0", True), ("::", True), ("0", True), ("", True), ("127.0.0.1", False), ("::1", False), ("name", False)],  # noqa: S104
)  # fmt: skip
def test_an_address_that_stands_for_all_is_known(host: str, wildcard: bool) -> None:
    assert is_wildcard(host) is wildcard


# Origins.


@pytest.mark.parametrize(
    ("origin", "host"),
    [
        (b"http://localhost:8000", HOST),
        (b"HTTP://LOCALHOST:8000", HOST),
        (b"http://localhost", b"localhost"),
        (b"http://localhost", b"localhost:80"),
        (b"https://unroll.example", b"unroll.example"),
        (b"https://unroll.example", b"unroll.example:443"),
        (b"http://[::1]:8000", b"[::1]:8000"),
    ],
)
def test_a_page_of_the_service_itself_is_accepted(origin: bytes, host: bytes) -> None:
    assert allowed(BrowserSettings(same_origin=True), {b"host": host, b"origin": origin})


FOREIGN_ORIGINS = [
    b"null", b"", b"http://evil.example", b"http://localhost:3000", b"http://127.0.0.1:8000", b"http://localhost",
    b"https://localhost", b"file://", b"chrome-extension://abc", b"http://localhost:8000.evil.example",
    b"localhost:8000", b"http://localhost:8000/", b"http://x@localhost:8000", b"\xff", b"http://",
]  # fmt: skip


@pytest.mark.parametrize("origin", FOREIGN_ORIGINS)
@pytest.mark.parametrize("kind", ["http", "websocket"])
def test_a_page_of_another_origin_is_refused(origin: bytes, kind: str) -> None:
    assert not allowed(LOCAL, {b"host": HOST, b"origin": origin}, type=kind)


def test_a_page_is_refused_where_the_host_is_missing() -> None:
    assert not allowed(BrowserSettings(same_origin=True), {b"origin": b"http://localhost"})


@pytest.mark.parametrize("origin", [b"null", b"http://evil.example"])
def test_pages_of_any_origin_are_accepted_where_api_keys_are_required(origin: bytes) -> None:
    assert allowed(BrowserSettings(), {b"host": HOST, b"origin": origin, b"sec-fetch-site": b"cross-site"})


def test_a_page_of_an_allowed_origin_is_accepted() -> None:
    settings = BrowserSettings(same_origin=True, origins=("http://localhost:3000",))
    page = {b"host": HOST, b"sec-fetch-site": b"cross-site"}
    assert allowed(settings, page | {b"origin": b"http://localhost:3000"})
    assert not allowed(settings, page | {b"origin": b"http://localhost:3001"})


@pytest.mark.parametrize(
    ("site", "accepted"), [(b"cross-site", False), (b"same-site", True), (b"same-origin", True), (b"none", True)]
)
def test_a_cross_site_request_without_an_origin_is_refused(site: bytes, accepted: bool) -> None:
    assert allowed(LOCAL, {b"host": HOST, b"sec-fetch-site": site}) is accepted


@pytest.mark.parametrize(("path", "accepted"), [("/docs", True), ("/openapi.json", True), ("/v1/sessions", False)])
def test_a_link_on_another_site_may_open_the_documentation_only(path: str, accepted: bool) -> None:
    link = {b"host": HOST, b"sec-fetch-site": b"cross-site", b"sec-fetch-dest": b"document"}
    assert allowed(LOCAL, link, path=path) is accepted


# Answers to allowed origins.

PREFLIGHT = {b"host": HOST, b"origin": b"http://app.example", b"access-control-request-method": b"POST"}


def cors_headers(settings: BrowserSettings, headers: dict[bytes, bytes], method: str = "GET") -> dict[bytes, bytes]:
    return dict(BrowserPolicy(settings).cors_headers({"type": "http", "method": method, "path": "/v1"}, headers))


@pytest.mark.parametrize("origins", [("http://app.example",), ("*",)])
def test_a_page_of_an_allowed_origin_may_read_the_response(origins: tuple[str, ...]) -> None:
    headers = cors_headers(BrowserSettings(origins=origins), {b"origin": b"http://app.example"})
    assert headers[b"access-control-allow-origin"] == b"http://app.example"
    assert headers[b"vary"] == b"Origin"
    assert b"X-Request-Id" in headers[b"access-control-expose-headers"]


@pytest.mark.parametrize("origin", [b"http://evil.example", b"null", b"http://app.example.evil.example"])
def test_a_page_of_another_origin_may_not_read_the_response(origin: bytes) -> None:
    headers = cors_headers(BrowserSettings(origins=("http://app.example",)), {b"origin": origin})
    assert b"access-control-allow-origin" not in headers


def test_a_preflight_of_an_allowed_origin_is_told_methods_and_headers() -> None:
    headers = cors_headers(BrowserSettings(origins=("http://app.example",)), PREFLIGHT, "OPTIONS")
    assert b"PATCH" in headers[b"access-control-allow-methods"]
    assert b"Idempotency-Key" in headers[b"access-control-allow-headers"]


@pytest.mark.parametrize(
    ("origins", "method", "headers", "answered"),
    [
        (("http://app.example",), "OPTIONS", PREFLIGHT, True),
        (("http://other.example",), "OPTIONS", PREFLIGHT, False),
        ((), "OPTIONS", PREFLIGHT, False),
        (("http://app.example",), "POST", PREFLIGHT, False),
        (("http://app.example",), "OPTIONS", {b"origin": b"http://app.example"}, False),
    ],
)
def test_only_preflights_of_allowed_origins_are_answered(
    origins: tuple[str, ...], method: str, headers: dict[bytes, bytes], answered: bool
) -> None:
    scope = {"type": "http", "method": method, "path": "/v1/models"}
    assert BrowserPolicy(BrowserSettings(origins=origins)).allows_preflight(scope, headers) is answered

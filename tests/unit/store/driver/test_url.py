"""REDIS_URL: every form that it may have, and refusals that name what is wrong and never a password."""

import ssl
from pathlib import Path

import pytest
from redis.asyncio.connection import UnixDomainSocketConnection

from service.domain.errors import SettingsError
from service.store.driver.tls import TlsConnection
from service.store.driver.url import StoreUrl

SECRET = "s3cr3t"  # noqa: S105 - not to be seen again


def test_one_server_with_user_password_and_database() -> None:
    parsed = StoreUrl.parse("redis://user:p%40ss%2F%3F@store:6380/2?client_name=unroll")
    assert (parsed.kind, parsed.hosts) == ("single", (("store", 6380),))
    assert parsed.options == {"username": "user", "password": "p@ss/?", "db": 2, "client_name": "unroll"}


@pytest.mark.parametrize(
    ("url", "host"),
    [
        ("redis://", ("localhost", 6379)),
        ("redis:///1", ("localhost", 6379)),
        ("redis://store", ("store", 6379)),
        ("redis://[::1]:7/", ("::1", 7)),
    ],
)
def test_what_a_url_of_one_server_leaves_out_is_the_usual(url: str, host: tuple[str, int]) -> None:
    assert StoreUrl.parse(url).hosts == (host,)


def test_a_socket() -> None:
    parsed = StoreUrl.parse("unix://user:word@/run/a%20store.sock?db=1")
    assert (parsed.kind, parsed.hosts) == ("single", ())
    assert parsed.options == {
        "username": "user",
        "password": "word",
        "path": "/run/a store.sock",
        "db": 1,
        "connection_class": UnixDomainSocketConnection,
    }


def test_sentinels_have_a_master_a_database_and_a_password_of_their_own() -> None:
    parsed = StoreUrl.parse(f"redis+sentinel://user:word@one,two:26380/main/3?sentinel_password={SECRET}")
    assert (parsed.kind, parsed.master) == ("sentinel", "main")
    assert parsed.hosts == (("one", 26379), ("two", 26380))
    assert parsed.options == {"username": "user", "password": "word", "db": 3}
    assert parsed.sentinel_options == {"password": SECRET}


def test_a_cluster_is_named_by_any_of_its_servers() -> None:
    parsed = StoreUrl.parse("redis+cluster://:word@one:7000,two")
    assert (parsed.kind, parsed.hosts) == ("cluster", (("one", 7000), ("two", 6379)))
    assert parsed.options == {"password": "word"}


@pytest.mark.parametrize("url", ["rediss://store", "rediss+sentinel://one/main", "rediss+cluster://one"])
def test_tls_has_its_options_and_reaches_the_sentinels_too(url: str) -> None:
    parsed = StoreUrl.parse(f"{url}?ssl_cert_reqs=none&ssl_check_hostname=false")
    options = dict(parsed.options)
    context = options.pop("context").get()
    assert (context.verify_mode, context.check_hostname) == (ssl.CERT_NONE, False)
    assert options == {"connection_class": TlsConnection, "ssl_cert_reqs": "none", "ssl_check_hostname": False}
    assert parsed.sentinel_options.get("context") == (parsed.options["context"] if parsed.kind == "sentinel" else None)


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("", "no scheme: expected one of redis, rediss, unix, redis+sentinel"),
        ("/path", "no scheme"),
        (f"http://:{SECRET}@host", "the scheme 'http': expected one of redis"),
        (f"{SECRET}://host", "another scheme"),
        (f"redis://:{SECRET}@host:port", "wrong port (host 1): expected a number up to 65535"),
        (f"redis://:{SECRET}@host:99999", "wrong port"),
        (f"redis://:{SECRET}@one,two", "several hosts: expected one, or redis+sentinel"),
        (f"redis://:{SECRET}@host/word", "expected /db, a number"),
        (f"redis://:{SECRET}@host/0/1", "expected /db, a number"),
        (f"redis://:a/{SECRET}@host", "must be written %3A, %2F"),
        (f"redis://:a?{SECRET}=x@host", "must be written %3A, %2F"),
        (f"redis://:a#{SECRET}@host", "must be written %3A, %2F"),
        (f"redis://:{SECRET}@host?socket_timeout=5", "the option 'socket_timeout'"),
        (f"redis://host?{SECRET}=x", "another option"),
        ("redis://host?db=word", "cannot be read (ValueError)"),
        ("redis://host?db", "cannot be read (ValueError)"),
        ("redis://[::1", "cannot be read (ValueError)"),
        ("redis://host?ssl_ca_certs=x", "the option 'ssl_ca_certs'"),
        (f"redis+sentinel://:{SECRET}@host", "expected /master or /master/db"),
        ("redis+sentinel://one,,two/main", "no name for host 2"),
        ("redis+sentinel:///main", "no name for host 1"),
        ("redis+cluster://one/0", "expected nothing behind the hosts"),
        ("redis+cluster://one?db=1", "the option 'db'"),
        ("unix://", "names no socket"),
        ("unix://host/path", "names no socket"),
        ("rediss://host?ssl_ca_certs=/nowhere/ca.pem", "ssl_ca_certs '/nowhere/ca.pem', which is not there"),
        ("rediss://host?ssl_cert_reqs=perhaps", "cannot be read (RedisError)"),
    ],
)
def test_a_wrong_url_is_refused_by_what_is_wrong_and_never_shows_a_password(url: str, message: str) -> None:
    with pytest.raises(SettingsError) as refusal:
        StoreUrl.parse(url)
    assert "REDIS_URL" in str(refusal.value)
    assert message in str(refusal.value)
    assert SECRET not in str(refusal.value)


def test_a_certificate_that_is_none_is_refused_at_the_start(tmp_path: Path) -> None:
    (tmp_path / "ca.pem").write_text("no certificate")
    with pytest.raises(SettingsError, match=r"do not work \(SSLError\), ssl_ca_certs"):
        StoreUrl.parse(f"rediss://host?ssl_ca_certs={tmp_path / 'ca.pem'}")


def test_a_parsed_url_does_not_print_its_passwords() -> None:
    assert SECRET not in repr(StoreUrl.parse(f"redis+sentinel://:{SECRET}@one/main?sentinel_password={SECRET}"))

"""Parsing of REDIS_URL: the kind of deployment, its servers and their connection options.

    redis://[user:password@]host[:port][/db]          one server; rediss:// in this and the next two: over TLS
    redis+sentinel://[user:password@]host[:port],.../name[/db]         the master called `name`, found by sentinels
    redis+cluster://[user:password@]host[:port],...                    a cluster, found by any of its servers
    unix://[user:password@]/path[?db=db]              one server at a Unix socket

No error message repeats what may be part of a password.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias
from urllib.parse import SplitResult, parse_qs, unquote, urlencode, urlsplit

from redis.asyncio.connection import parse_url
from redis.exceptions import RedisError

from service.domain.errors import SettingsError
from service.store.driver.tls import OPTIONS as TLS_OPTIONS
from service.store.driver.tls import read as read_tls

Kind: TypeAlias = Literal["single", "sentinel", "cluster"]
Host: TypeAlias = tuple[str, int]

_FORMS: dict[str, Kind] = {
    "redis": "single",
    "rediss": "single",
    "unix": "single",
    "redis+sentinel": "sentinel",
    "rediss+sentinel": "sentinel",
    "redis+cluster": "cluster",
    "rediss+cluster": "cluster",
}
_PORTS: dict[Kind, int] = {"single": 6379, "sentinel": 26379, "cluster": 6379}
_PATHS: dict[Kind, str] = {
    "single": "/db, a number",
    "sentinel": "/master or /master/db, a number",
    "cluster": "nothing",
}
_SENTINEL_OPTIONS = ("sentinel_username", "sentinel_password")
_ENCODE = "':', '/', '?', '#' and '@' in a user name or password must be written %3A, %2F, %3F, %23 and %40"


@dataclass(frozen=True, slots=True)
class StoreUrl:
    """Parsed REDIS_URL. `hosts` is empty for a socket. `options` are the driver's options for a connection."""

    kind: Kind
    hosts: tuple[Host, ...]
    options: Mapping[str, Any] = field(repr=False)
    master: str = ""
    sentinel_options: Mapping[str, Any] = field(default_factory=dict, repr=False)

    @classmethod
    def parse(cls, url: str) -> "StoreUrl":
        """Parse `url`. Raises SettingsError, whose message never contains a password."""
        scheme, separator, _ = url.partition("://")
        if not separator or scheme not in _FORMS:
            raise _wrong(f"has {_named(scheme) if separator else 'no scheme'}", f"one of {', '.join(_FORMS)}")
        try:
            return _read(urlsplit(url), _FORMS[scheme])
        except (ValueError, TypeError, RedisError) as error:
            raise _wrong(f"cannot be read ({type(error).__name__})", f"{scheme}://...; {_ENCODE}") from None


def _read(url: SplitResult, kind: Kind) -> StoreUrl:
    if url.fragment or "@" in url.path + url.query:
        raise _wrong("has '#', or '@' behind its hosts", _ENCODE)
    tls = url.scheme.startswith("rediss")
    query = _query(url.query, kind, tls)
    if url.scheme == "unix":
        return StoreUrl(kind, (), _socket_options(url, query))
    names = [name for name in _SENTINEL_OPTIONS if name in query]
    sentinel_options: dict[str, Any] = {name.removeprefix("sentinel_"): query.pop(name) for name in names}
    userinfo, separator, hosts = url.netloc.rpartition("@")
    master, db = _path(url.path, kind)
    options = {**parse_url(f"redis{'s' * tls}://{userinfo}{separator}host/{db}?{urlencode(query)}")}
    for name in ("host", "port", "connection_class"):
        options.pop(name, None)
    transport = read_tls(options) if tls else {}
    if kind == "sentinel":
        sentinel_options |= transport
    return StoreUrl(kind, tuple(_hosts(hosts, kind)), options | transport, master, sentinel_options)


def _socket_options(url: SplitResult, query: Mapping[str, str]) -> Mapping[str, Any]:
    userinfo, separator, host = url.netloc.rpartition("@")
    if host or not url.path.strip("/"):
        raise _wrong("names no socket", "unix:///path/to/socket")
    return parse_url(f"unix://{userinfo}{separator}{url.path}?{urlencode(query)}")


def _query(text: str, kind: Kind, tls: bool) -> dict[str, str]:
    known = ["client_name", *(["db"] if kind == "single" else []), *(TLS_OPTIONS if tls else [])]
    known += _SENTINEL_OPTIONS if kind == "sentinel" else ()
    query = parse_qs(text, strict_parsing=bool(text))
    for name, values in query.items():
        if name not in known or len(values) > 1:
            allowed = ", ".join(known) + ("" if tls else ", and with rediss those of TLS")
            raise _wrong(f"has {_named(name, 'option')} that it cannot have, or twice", f"only {allowed}")
    return {name: values[0] for name, values in query.items()}


def _path(path: str, kind: Kind) -> tuple[str, str]:
    """Return the master's name and the database."""
    match kind, [unquote(part) for part in path.strip("/").split("/")]:
        case ("single", [db]) if _is_database(db):
            return "", db
        case ("sentinel", [master]) if master:
            return master, ""
        case ("sentinel", [master, db]) if master and _is_database(db):
            return master, db
        case ("cluster", [""]):
            return "", ""
    raise _wrong("has another path than it can have", f"{_PATHS[kind]} behind the hosts")


def _is_database(text: str) -> bool:
    return not text or text.isdecimal()


def _hosts(text: str, kind: Kind) -> Iterator[Host]:
    if kind == "single" and "," in text:
        raise _wrong("names several hosts", "one, or redis+sentinel:// or redis+cluster://")
    for number, host in enumerate(text.split(","), start=1):
        split = urlsplit(f"//{host}")
        try:
            port = split.port or _PORTS[kind]
        except ValueError:
            raise _wrong(f"has a wrong port (host {number})", f"a number up to 65535; {_ENCODE}") from None
        if not split.hostname and kind != "single":
            raise _wrong(f"has no name for host {number}", "host:port,host:port")
        yield unquote(split.hostname or "localhost"), port


def _named(name: str, what: str = "scheme") -> str:
    """Describe a name; it is quoted only if it cannot be part of a password that was not percent-encoded."""
    article = "the" if re.fullmatch(r"[a-z][a-z_+]{1,24}", name) else "another"
    return f"the {what} {name!r}" if article == "the" else f"another {what}"


def _wrong(problem: str, expected: str) -> SettingsError:
    return SettingsError(f"REDIS_URL {problem}: expected {expected}")

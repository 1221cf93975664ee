"""Checks of who may use the service, whether others can read what its clients send, and of its certificate."""

import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

from service import certificates
from service.deployment.finding import Finding
from service.domain.access.api_keys import KEYS_SETTING, read_keys
from service.domain.errors import SettingsError
from service.http.middleware.authorization.host_names import is_loopback
from service.settings import Settings

#: A certificate that expires within this time is a warning, as the first alert tells of it.
RENEWAL_SECONDS = 14 * 86_400


def check_access(settings: Settings) -> Iterator[Finding]:
    """Yield findings about keys, TLS and the certificate."""
    yield _check_keys(settings)
    yield from _check_transport(settings)
    yield from _check_certificate(settings)


def _check_keys(settings: Settings) -> Finding:
    if settings.api_keys_file is not None:
        return _check_file(settings, settings.api_keys_file)
    if settings.api_keys:
        return _keys_of(set(settings.api_keys.values()))
    if is_loopback(settings.host):
        return Finding.ok("access", f"no API keys; {settings.host} can be reached from this machine alone")
    return Finding.warning(
        "access",
        f"no API keys: found UNROLL_HOST {settings.host} without UNROLL_API_KEYS_FILE or UNROLL_API_KEYS, expected "
        "keys, since whoever reaches the port may use the service",
    )


def _check_file(settings: Settings, path: Path) -> Finding:
    """Return a finding about the file of API keys, and those of the environment beside it."""
    try:
        keys = read_keys(path)
    except SettingsError as error:
        return Finding.error("access", str(error))
    now = int(time.time() * 1000)
    tenants = {key.tenant for key in keys if key.is_valid(now)} | set(settings.api_keys.values())
    if not tenants:
        return Finding.warning(
            "access", f"{KEYS_SETTING}: found no valid key in {path}, expected one, since nobody may use the service"
        )
    return _keys_of(tenants)


def _keys_of(tenants: set[str]) -> Finding:
    return Finding.ok(
        "access", f"API keys of {len(tenants)} {'tenant' if len(tenants) == 1 else 'tenants'} are configured"
    )


def _check_transport(settings: Settings) -> Iterator[Finding]:
    """Yield a warning if keys cross a network as everybody can read them. A trusted proxy is taken to end TLS."""
    has_keys = settings.api_keys_file is not None or bool(settings.api_keys)
    encrypted = settings.tls_certificate is not None or bool(settings.trusted_proxies)
    if has_keys and not encrypted and not is_loopback(settings.host):
        yield Finding.warning(
            "access",
            f"keys and texts are not encrypted: found UNROLL_HOST {settings.host} without UNROLL_TLS_CERTIFICATE, "
            "expected that, or a proxy that ends TLS and is named in UNROLL_TRUSTED_PROXIES",
        )


def _check_certificate(settings: Settings) -> Iterator[Finding]:
    try:
        certificate = certificates.load(settings)
    except SettingsError as error:
        yield Finding.error("settings", str(error))
        return
    if certificate is None:
        return
    yield Finding.ok("settings", "certificate and key fit together (UNROLL_TLS_CERTIFICATE, UNROLL_TLS_KEY)")
    expires_at = certificate.expires_at
    if expires_at is not None:
        yield _check_expiry(settings, expires_at, time.time())


def _check_expiry(settings: Settings, expires_at: float, now: float) -> Finding:
    end = datetime.fromtimestamp(expires_at, UTC).strftime("%Y-%m-%d %H:%M UTC")
    if expires_at <= now:
        return Finding.error(
            "settings",
            f"{settings.tls_certificate} expired at {end}: expected one that is valid, since clients refuse this one",
        )
    if expires_at - now < RENEWAL_SECONDS:
        return Finding.warning(
            "settings",
            f"{settings.tls_certificate} expires at {end}: expected a renewal, at least {RENEWAL_SECONDS // 86_400} "
            "days before",
        )
    return Finding.ok("settings", f"the certificate is valid until {end}")

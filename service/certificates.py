"""Certificate of the service's ports: a chain and its key from two files, read again when these change."""

import asyncio
import logging
import ssl
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from service.domain.access.certificate_expiry import expiry_of
from service.domain.errors import ReloadedFileError, SettingsError
from service.settings import Settings

log = logging.getLogger(__name__)

#: Interval at which the files are read. Contents that two readings have found take effect.
POLL_SECONDS = 2.0
#: Ciphers of TLS 1.2: forward secrecy and authenticated encryption, as TLS 1.3 always has them.
CIPHERS: Final = "ECDHE+AESGCM:ECDHE+CHACHA20"
EXPECTED: Final = "expected a certificate chain and its key, both in PEM"
#: What the names in OpenSSL's messages mean here.
REASONS: Final = {
    "KEY_VALUES_MISMATCH": "the key is not that of the certificate",
    "KEY_TYPE_MISMATCH": "the key is not that of the certificate",
    "PEM lib": "one of them is not in PEM",
    "NO_START_LINE": "one of them is not in PEM",
}


class CertificateError(ReloadedFileError):
    """The files of a certificate cannot be used."""

    subject = "certificate"


@dataclass(frozen=True, slots=True)
class Pem:
    """Contents of the two files."""

    chain: bytes
    key: bytes


class Certificate:
    """Certificate of the service. `context` and `pem` are those of the last pair of files that fit together.

    `current` is whether the files, as they are now, are that pair.

    Raises CertificateError if the first pair does not.
    """

    def __init__(self, chain: Path, key: Path, password: str | None = None) -> None:
        self._chain, self._key, self._password = chain, key, password
        self.pem, self.context = self._load(self._read())
        self._seen: Pem | str = self.pem
        self._tried: Pem | str = self.pem
        self.current = True

    @property
    def expires_at(self) -> float | None:
        """The time, in seconds since 1970, at which the first one of the chain expires; None if that is not known."""
        return expiry_of(self.pem.chain)

    async def watch(self, report: Callable[[float | None, bool], None]) -> None:
        """Follow the files until cancelled. `report` gets `expires_at` and `current`, also at once."""
        while True:
            report(self.expires_at, self.current)
            await asyncio.sleep(POLL_SECONDS)
            await asyncio.to_thread(self.refresh)

    def refresh(self) -> None:
        """Read the files. New contents that the reading before has found, too, replace the certificate if they fit."""
        found: Pem | str
        try:
            found = self._read()
        except CertificateError as error:
            found = str(error)
        settled, self._seen = found == self._seen, found
        if not settled or found == self._tried:
            return
        self._tried = found
        try:
            if isinstance(found, str):
                raise CertificateError(found)
            self.pem, self.context = self._load(found)
        except CertificateError as error:
            self.current = False
            log.error("certificate not renewed; the one before stays", extra={"reason": str(error)})
        else:
            self.current = True
            log.info("certificate renewed", extra={"file": str(self._chain)})

    def _read(self) -> Pem:
        try:
            return Pem(self._chain.read_bytes(), self._key.read_bytes())
        except OSError as error:
            raise self._error(f"{error.filename}: {error.strerror}") from None

    def _load(self, found: Pem) -> tuple[Pem, ssl.SSLContext]:
        """Return contents with a context of them: one that failed would have half of the new pair."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        context.options |= ssl.OP_NO_RENEGOTIATION | ssl.OP_NO_COMPRESSION
        context.set_ciphers(CIPHERS)
        context.set_alpn_protocols(["http/1.1"])
        self._asked = False
        try:
            context.load_cert_chain(self._chain, self._key, self._give_password)
        except ssl.SSLError as error:
            raise self._error(_explain(error, with_password=self._asked)) from None
        except OSError as error:
            raise self._error(str(error.strerror)) from None
        if self._read() != found:
            raise self._error("they changed meanwhile")
        return found, context

    def _give_password(self) -> str:
        """Return the password of a key that has one; OpenSSL would ask the terminal for it."""
        if self._password is None:
            raise self._error("the key is encrypted, and UNROLL_TLS_KEY_PASSWORD is not set")
        self._asked = True
        return self._password

    def _error(self, what: str) -> CertificateError:
        return CertificateError(
            f"UNROLL_TLS_CERTIFICATE is {self._chain}, and UNROLL_TLS_KEY is {self._key}: {what}: {EXPECTED}"
        )


def _explain(error: ssl.SSLError, *, with_password: bool) -> str:
    """Return what is wrong with a pair, of which OpenSSL tells in many ways if a password does not open the key."""
    message = str(error)
    if with_password and "MISMATCH" not in message:
        return "UNROLL_TLS_KEY_PASSWORD does not open the key"
    return next((text for name, text in REASONS.items() if name in message), message)


def load(settings: Settings) -> Certificate | None:
    """Return the certificate that the settings name, or None. Raises SettingsError."""
    chain, key, password = settings.tls_certificate, settings.tls_key, settings.tls_key_password
    if chain is None and key is None:
        return None
    if chain is None or key is None:
        raise SettingsError(
            f"UNROLL_TLS_CERTIFICATE is {chain or 'not set'}, and UNROLL_TLS_KEY is {key or 'not set'}: expected both, "
            "or none of them"
        )
    if password is not None and settings.grpc_port is not None and "grpc" in settings.protocols:
        raise SettingsError(
            f"UNROLL_GRPC_PORT is {settings.grpc_port}, and UNROLL_TLS_KEY_PASSWORD is set: gRPC reads no encrypted "
            "keys: expected a key without a password, or no UNROLL_GRPC_PORT"
        )
    return Certificate(chain, key, password)

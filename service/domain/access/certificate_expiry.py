"""When a certificate expires. The standard library tells it of a peer's certificate, not of one in a file."""

import binascii
import re
from datetime import datetime

_PEM = re.compile(rb"-----BEGIN (?:X509 |TRUSTED )?CERTIFICATE-----(.*?)-----END", re.DOTALL)
#: Tags of DER (X.690), and the formats of times, which are all in UTC (RFC 5280, 4.1.2.5).
_VERSION, _UTC_TIME = 0xA0, 0x17
_SHORT_YEAR, _LONG_YEAR = "%y%m%d%H%M%S%z", "%Y%m%d%H%M%S%z"


def expiry_of(chain: bytes) -> float | None:
    """Return the time, in seconds since 1970, at which the first of the certificates of a PEM file expires.

    None if the file has no certificate, or one whose time cannot be read.
    """
    try:
        return min((_not_after(binascii.a2b_base64(block)) for block in _PEM.findall(chain)), default=None)
    except (ValueError, IndexError):
        return None


def _not_after(der: bytes) -> float:
    """Return the end of a certificate's validity. Raises ValueError and IndexError."""
    _, at, _ = _element(der, 0)
    _, at, _ = _element(der, at)  # what is signed
    tag, _, end = _element(der, at)
    at = end if tag == _VERSION else at
    for _ in ("serial number", "algorithm", "issuer"):
        _, _, at = _element(der, at)
    _, at, _ = _element(der, at)  # the validity
    _, _, at = _element(der, at)  # its beginning
    tag, begin, end = _element(der, at)
    time = der[begin:end].decode("ascii")
    return datetime.strptime(time, _SHORT_YEAR if tag == _UTC_TIME else _LONG_YEAR).timestamp()  # noqa: DTZ007 - %z


def _element(der: bytes, at: int) -> tuple[int, int, int]:
    """Return the tag of the element at an offset, and where its contents begin and end."""
    tag, length, begin = der[at], der[at + 1], at + 2
    if length & 0x80:
        size = length & 0x7F
        length, begin = int.from_bytes(der[begin : begin + size], "big"), begin + size
    return tag, begin, begin + length

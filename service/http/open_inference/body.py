"""Bodies of the Open Inference Protocol: JSON, and the bytes of tensors behind it, perhaps compressed."""

import re
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from fastapi import Request

from service.domain.errors import BodyTooLarge, InvalidJson, UnsupportedMediaType
from service.domain.runtime.fair_thread import run_sized
from service.http.middleware.headers import Headers

ResultT = TypeVar("ResultT")

#: Header with the length of the JSON before the bytes of tensors, in the body as it is before compression.
JSON_LENGTH = b"inference-header-content-length"
#: Media types of bodies; clients of Triton send none. Those of forms, which any web page can send, are refused.
MEDIA_TYPES = frozenset({b"", b"application/json", b"application/octet-stream"})
_DIGITS = re.compile(rb"[0-9]{1,12}")
#: Window size by which zlib recognises gzip and zlib by their headers.
_GZIP_OR_ZLIB = 32 + zlib.MAX_WBITS
#: How many bytes a byte of DEFLATE may become at the most (https://zlib.net/zlib_tech.html).
MAX_INFLATION = 1032
_CODINGS = frozenset({b"gzip", b"deflate"})


@dataclass(frozen=True, slots=True)
class Body:
    """The JSON of a body, None if the body is the content of one tensor alone, and the bytes behind it."""

    json: bytes | None
    tensors: bytes


def read_body(content: bytes, headers: Headers, max_bytes: int) -> Body:
    """Return the parts of a body.

    Raises UnsupportedMediaType for another type or compression, BodyTooLarge if it has more than `max_bytes` when
    inflated, InvalidJson if it is not what its headers announce.
    """
    media_type = headers.get(b"content-type", b"").partition(b";")[0].strip().lower()
    if media_type not in MEDIA_TYPES:
        raise UnsupportedMediaType(
            f"Content-Type is {media_type[:100].decode('latin-1')!r}: expected application/json, "
            "application/octet-stream, or none"
        )
    content = _inflate(content, headers.get(b"content-encoding", b"identity").strip().lower(), max_bytes)
    length = headers.get(JSON_LENGTH)
    if length is None:
        return Body(content, b"")
    if not _DIGITS.fullmatch(length) or int(length) > len(content):
        raise InvalidJson(
            f"Inference-Header-Content-Length is {length[:40].decode('latin-1')!r}: expected the length of the JSON, "
            f"at most {len(content)} bytes, which the body has"
        )
    if int(length) == 0:
        return Body(None, content)
    return Body(content[: int(length)], content[int(length) :])


async def run_reader(request: Request, content: bytes, read: Callable[[], ResultT]) -> ResultT:
    """Return what `read` makes of a body with `read_body`.

    A large or compressed body is read in a thread, and what it may inflate to is accounted.
    Raises as `read`, and RateLimited or Overloaded if there is no memory for it.
    """
    cost, size = request.state.context.cost, len(content)
    if b"content-encoding" in request.state.headers:
        size = min(request.state.size_limits.body_bytes, MAX_INFLATION * size)
        cost.add_memory(size)
    return await run_sized(cost.client, size, read)


def _inflate(content: bytes, coding: bytes, max_bytes: int) -> bytes:
    if coding in {b"identity", b""}:
        return content
    if coding not in _CODINGS:
        raise UnsupportedMediaType(
            f"Content-Encoding is {coding[:100].decode('latin-1')!r}: expected gzip, deflate or none"
        )
    decompressor = zlib.decompressobj(_GZIP_OR_ZLIB)
    try:
        inflated = decompressor.decompress(content, max_bytes + 1)
    except zlib.error as error:
        raise InvalidJson(f"the body is not compressed as Content-Encoding says: {error}") from None
    if len(inflated) > max_bytes:
        raise BodyTooLarge(f"the body has more than {max_bytes} bytes when inflated: expected at most so many")
    if not decompressor.eof or decompressor.unused_data:
        raise InvalidJson("the body is compressed and cut off, or has bytes behind its end: expected one whole stream")
    return inflated


def compress(content: bytes, accepted: bytes) -> tuple[bytes, bytes | None]:
    """Return a response's body and its coding, None if the client did not ask for exactly one that is known."""
    if accepted not in _CODINGS:
        return content, None
    bits = 16 + zlib.MAX_WBITS if accepted == b"gzip" else zlib.MAX_WBITS
    compressor = zlib.compressobj(1, zlib.DEFLATED, bits)
    return compressor.compress(content) + compressor.flush(), accepted

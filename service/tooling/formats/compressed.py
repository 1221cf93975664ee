"""The first bytes of what a compressed file contains, which tell what it is."""

import bz2
import lzma
import zlib
from collections.abc import Callable
from typing import Protocol

from service.tooling.formats.source import Source

GZIP, BZIP2, XZ = b"\x1f\x8b", b"BZh", b"\xfd7zXZ"
#: How files start that joblib and zlib compress.
ZLIB = (b"x\x01", b"x^", b"x\x9c", b"x\xda")
#: Bytes of the file that are read, which hold a whole block of bzip2, and bytes of its content.
READ_BYTES = 2**20
CONTENT_BYTES = 2**16
_LZMA_MEMORY_BYTES = 2**27


class _Decompressor(Protocol):
    def decompress(self, data: bytes, max_length: int, /) -> bytes: ...


_DECOMPRESSORS: tuple[tuple[tuple[bytes, ...], Callable[[], _Decompressor]], ...] = (
    ((GZIP,), lambda: zlib.decompressobj(wbits=31)),
    (ZLIB, zlib.decompressobj),
    ((BZIP2,), bz2.BZ2Decompressor),
    ((XZ,), lambda: lzma.LZMADecompressor(memlimit=_LZMA_MEMORY_BYTES)),
)


def content_of(source: Source) -> bytes:
    """Return the first bytes of the content of a compressed file; none of another file, or of a damaged one."""
    make = next((make for starts, make in _DECOMPRESSORS if source.head.startswith(starts)), None)
    if make is None:
        return b""
    try:
        return make().decompress(source.rewound().read(READ_BYTES), CONTENT_BYTES)
    except (zlib.error, lzma.LZMAError, OSError, EOFError, ValueError):
        return b""


def is_tar(start: bytes) -> bool:
    """Return whether a file that starts so is a tar archive."""
    return start[257:262] == b"ustar"

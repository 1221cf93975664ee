"""Hostile HTTP/2 on the port of gRPC: frames that lie, that come without an end, and messages that are none."""

import asyncio
import gzip
import itertools
import random
import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from tests import http2
from tests.attack.attackers.base import FAILURES, Tally, Target
from tests.attack.attackers.damage import damaged_bytes
from tests.http2 import frame

_PRIORITY = 2
_CONNECTIONS = 8
_ANSWER_SECONDS = 0.2
_MANY = 300
_BOMB = gzip.compress(bytes(20_000_000), 9, mtime=0)


@dataclass(frozen=True)
class HostileHttp2:
    """Connections by the seed, each with a few frames."""

    name: str = "http2"
    family: str = "malformed"

    async def run(self, target: Target, tally: Tally) -> None:
        numbers = itertools.islice(itertools.count(), target.count)
        async with asyncio.TaskGroup() as group:
            for _ in range(_CONNECTIONS):
                group.create_task(self._send(target, tally, numbers))

    async def _send(self, target: Target, tally: Tally, numbers: Iterator[int]) -> None:
        for number in numbers:
            if not tally.running():
                break
            content = connection(random.Random(f"{self.name} {target.seed} {number}"), target.key)
            tally.labels["requests"] += 1
            try:
                reader, writer = await target.connect(target.grpc_port)
            except FAILURES as error:
                tally.fail(error)
                continue
            try:
                writer.write(content)
                while await asyncio.wait_for(reader.read(65_536), _ANSWER_SECONDS):
                    tally.labels["answers"] += 1
            except (*FAILURES, TimeoutError):
                pass
            finally:
                writer.transport.abort()


def connection(choose: random.Random, key: str) -> bytes:
    """Return what a client sends on one connection."""
    kinds = [choose.choice(_KINDS) for _ in range(choose.choice([1, 1, 2, 4]))]
    frames = [kind(choose, key, 1 + 2 * number * _MANY) for number, kind in enumerate(kinds)]
    content = http2.PREFACE + frame(http2.SETTINGS) + b"".join(frames)
    return damaged_bytes(choose, content) if choose.random() < 0.1 else content


def _call(choose: random.Random, key: str, stream: int) -> bytes:
    """A call whose message is none, or longer or shorter than it says, or compressed and large."""
    length = choose.choice([0, 1, 5, 2**20, 2**31, 2**32 - 1])
    messages = [
        struct.pack(">BI", choose.choice([0, 1, 2, 255]), length) + choose.randbytes(choose.choice([0, 5, 300])),
        struct.pack(">BI", 1, len(_BOMB)) + _BOMB[:16_000],
        choose.randbytes(choose.choice([1, 4, 5, 100])),
    ]
    encoding = choose.choice(["gzip", "identity", "deflate", "nothing", ""])
    timeout = choose.choice(["1S", "-1S", "9" * 30, "x"])
    head = http2.call(stream, "ModelInfer", key, grpc_encoding=encoding, grpc_timeout=timeout)
    return head + frame(http2.DATA, http2.END_STREAM, stream, choose.choice(messages))


def _rapid_resets(choose: random.Random, key: str, stream: int) -> bytes:
    code = struct.pack(">I", choose.choice([0, 8, 2**32 - 1]))
    streams = range(stream, stream + 2 * _MANY, 2)
    return b"".join(http2.call(one, "ModelInfer", key) + frame(http2.RST_STREAM, 0, one, code) for one in streams)


def _endless_headers(choose: random.Random, key: str, stream: int) -> bytes:
    piece = http2.fields([("x-a", "y" * choose.choice([0, 100, 8000]))])
    start = frame(http2.HEADERS, 0, stream, http2.fields([(":method", "POST"), ("authorization", f"Bearer {key}")]))
    return start + frame(http2.CONTINUATION, 0, stream, piece) * _MANY


def _large_headers(choose: random.Random, key: str, stream: int) -> bytes:
    """One long field is added to the table of the connection, and named again and again by a byte each time."""
    long = b"\x40" + http2.fields([("n" * 120, "v" * 3500)])[1:]
    again = b"\xbe" * choose.choice([10, 8000])
    return frame(http2.HEADERS, http2.END_HEADERS, stream, http2.fields([(":method", "POST")]) + long + again)


def _flood(choose: random.Random, key: str, stream: int) -> bytes:
    frames = [
        frame(http2.PING, 0, 0, bytes(8)),
        frame(http2.SETTINGS, 0, 0, struct.pack(">HI", choose.randrange(8), choose.choice([0, 1, 2**31, 2**32 - 1]))),
        frame(http2.WINDOW_UPDATE, 0, 0, struct.pack(">I", choose.choice([0, 1, 2**31 - 1]))),
        frame(_PRIORITY, 0, stream, struct.pack(">IB", stream, 255)),
        frame(http2.DATA, 0, stream),
        frame(http2.GOAWAY, 0, 0, bytes(8)),
    ]
    return choose.choice(frames) * choose.choice([1, 10, _MANY])


def _odd(choose: random.Random, key: str, stream: int) -> bytes:
    """A frame of any kind, with any flags, on any stream, of a length that may be a lie."""
    payload = choose.randbytes(choose.choice([0, 1, 4, 8, 100, 17_000]))
    stream = choose.choice([0, stream, 2, 2**31 - 1, 2**31])
    made = frame(choose.randrange(12), choose.randrange(256), stream, payload)
    lie = choose.choice([b"", b"", b"\x00\x00\x00", b"\x00\x40\x01", b"\xff\xff\xff"])
    return lie + made[len(lie) :]


_KINDS: list[Callable[[random.Random, str, int], bytes]] = [
    _call,
    _call,
    _call,
    _rapid_resets,
    _endless_headers,
    _large_headers,
    _flood,
    _odd,
]

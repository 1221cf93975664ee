"""Malformed frames of WebSockets: frames that RFC 6455 forbids, and well-formed ones with damaged steps."""

import asyncio
import itertools
import random
import struct
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from websockets.frames import Opcode

from tests.attack.attackers.base import FAILURES, Tally, Target, create_session
from tests.attack.attackers.damage import damaged, damaged_bytes
from tests.attack.attackers.websockets import open_websocket

_CONNECTIONS = 8
#: Frames that one connection sends at most; most of them end it.
_MOST_FRAMES = 12
_ANSWER_SECONDS = 0.3
_BOMB = zlib.compress(bytes(20_000_000), 9)[2:-4]
_CLOSE_CODES = [0, 999, 1000, 1005, 1006, 1015, 2999, 4999, 65535]


@dataclass(frozen=True)
class MalformedFrames:
    """Opens WebSockets of one session and of many, and sends each a few frames by the seed."""

    name: str = "frames"
    family: str = "malformed"

    async def run(self, target: Target, tally: Tally) -> None:
        session = await create_session(target, tally, kept_steps=2) or "ses_none"
        numbers = itertools.islice(itertools.count(), target.count)
        async with asyncio.TaskGroup() as group:
            for _ in range(_CONNECTIONS):
                group.create_task(_send(target, tally, numbers, session))

    def frames(self, choose: random.Random, session: str) -> list[bytes]:
        """Return the frames of one connection."""
        return [choose.choice(_FRAMES)(choose, session) for _ in range(choose.randrange(1, _MOST_FRAMES))]


async def _send(target: Target, tally: Tally, numbers: Iterator[int], session: str) -> None:
    for number in numbers:
        if not tally.running():
            break
        choose = random.Random(f"frames {target.seed} {number}")
        path = choose.choice(["/v1/stream", f"/v1/sessions/{session}/stream"])
        frames = MalformedFrames().frames(choose, session)
        # Those that are sent behind its first frame come for nothing.
        for _ in itertools.islice(numbers, len(frames) - 1):
            pass
        tally.labels["requests"] += len(frames)
        streams = None
        try:
            async with asyncio.timeout(5.0):
                streams = await target.connect()
                if await open_websocket(streams, target, tally, path):
                    streams[1].write(b"".join(frames))
                    await _read(streams[0], tally, f"frames {number}: {[one[:100] for one in frames]}")
        except FAILURES as error:
            tally.fail(error)
        finally:
            if streams is not None:
                streams[1].transport.abort()


async def _read(reader: asyncio.StreamReader, tally: Tally, request: str) -> None:
    """Read answers until nothing comes any more."""
    received = b""
    try:
        while data := await asyncio.wait_for(reader.read(65_536), _ANSWER_SECONDS):
            received += data
    except TimeoutError:
        pass
    tally.labels["answers"] += received.count(b'"error"') + received.count(b'"output"')
    if b'"internal_error"' in received:
        tally.labels["500 internal_error"] += 1
        tally.examples.setdefault("500 internal_error", f"{request[:600]} -> {received[:300]!r}")


def frame(data: bytes, opcode: int = Opcode.TEXT, *, fin: bool = True, compressed: bool = False) -> bytes:
    """Return a masked frame, well-formed or not."""
    first = opcode | (0x80 if fin else 0) | (0x40 if compressed else 0)
    size = len(data)
    if size < 126:
        head = struct.pack(">BB", first, 0x80 | size)
    elif size < 2**16:
        head = struct.pack(">BBH", first, 0xFE, size)
    else:
        head = struct.pack(">BBQ", first, 0xFF, size)
    return head + bytes(4) + data


def _step(choose: random.Random, session: str) -> bytes:
    step = {
        "session_id": session,
        "input": choose.choice([{"text": "tea"}, {"tokens": ["tea"]}, {"ids": [5]}]),
        "options": {"top_k": 3},
        "idempotency_key": choose.choice(["a", "b"]),
    }
    for name in choose.sample(list(step), choose.randrange(3)):
        del step[name]
    return damaged(choose, step)


def _text(choose: random.Random, session: str) -> bytes:
    return frame(_step(choose, session))


def _fragments(choose: random.Random, session: str) -> bytes:
    content = _step(choose, session)
    place = choose.randrange(len(content) + 1)
    between = choose.choice(
        [b"", frame(b"x" * choose.choice([0, 126]), Opcode.PING), frame(b"{}"), frame(b"", Opcode.PONG)]
    )
    return frame(content[:place], fin=False) + between + frame(content[place:], Opcode.CONT)


def _odd_opcode(choose: random.Random, session: str) -> bytes:
    content = _step(choose, session)[:70_000]
    first = choose.randrange(256)
    return _raw(choose, first, content, len(content))


def _false_length(choose: random.Random, session: str) -> bytes:
    length = choose.choice([0, 125, 126, 127, 65_535, 65_536, 2**20, 2**32, 2**63 - 1, 2**63, 2**64 - 1])
    return _raw(choose, 0x81, _step(choose, session)[:1000], length)


def _raw(choose: random.Random, first: int, content: bytes, length: int) -> bytes:
    """Return a frame with a length that may be a lie or longer than need be; it is not masked at times."""
    masked = 0 if choose.random() < 0.1 else 0x80
    sizes = [struct.pack(">BB", first, masked | min(length, 125))]
    if length < 2**16:
        sizes.append(struct.pack(">BBH", first, masked | 126, length))
    sizes.append(struct.pack(">BBQ", first, masked | 127, length))
    return choose.choice(sizes) + (bytes(4) if masked else b"") + content


def _binary(choose: random.Random, session: str) -> bytes:
    return frame(_step(choose, session), Opcode.BINARY)


def _no_utf8(choose: random.Random, session: str) -> bytes:
    return frame(choose.choice([b"\xff", b'{"input":{"text":"\xed\xa0\x80"}}', b"\xc3", b"\xf4\x90\x80\x80"]))


def _bomb(choose: random.Random, session: str) -> bytes:
    """A compressed message, although no extension was agreed on."""
    content = _BOMB[: choose.choice([10, 10_000, len(_BOMB)])]
    return frame(content, compressed=True)


def _close(choose: random.Random, session: str) -> bytes:
    code = struct.pack(">H", choose.choice(_CLOSE_CODES))
    return frame(choose.choice([b"", b"\x03", code, code + b"\xff", code + b"x" * 123]), Opcode.CLOSE)


def _control(choose: random.Random, session: str) -> bytes:
    opcode = choose.choice([Opcode.PING, Opcode.PONG])
    size = choose.choice([0, 1, 125, 126, 70_000])
    return frame(b"x" * size, opcode, fin=choose.random() < 0.8) * choose.choice([1, 1, 300])


def _garbage(choose: random.Random, session: str) -> bytes:
    return damaged_bytes(choose, _text(choose, session)[:70_000])


_FRAMES: list[Callable[[random.Random, str], bytes]] = [
    _text,
    _text,
    _text,
    _text,
    _fragments,
    _fragments,
    _odd_opcode,
    _false_length,
    _binary,
    _no_utf8,
    _bomb,
    _close,
    _control,
    _garbage,
]

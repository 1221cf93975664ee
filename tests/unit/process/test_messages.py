"""How the frames of a WebSocket become messages."""

import random

import pytest
from websockets.frames import Close, Frame, Opcode

from service.domain.errors import BodyTooLarge, DeadlineExceeded, UnsupportedMediaType
from service.process.connections.messages import MessageParser, text_frame

LIMIT = 1000


def masked(opcode: Opcode, data: bytes, *, fin: bool = True) -> bytes:
    return bytes(Frame(opcode, data, fin).serialize(mask=True))


def parsed(*frames: bytes, pieces: int = 1, limit: int = LIMIT) -> tuple[MessageParser, list[bytes]]:
    """A parser that has received frames, in so many pieces, and what it writes for them."""
    parser, writes, data = MessageParser(limit), [], b"".join(frames)
    size = max(1, -(-len(data) // pieces))
    for start in range(0, len(data), size):
        parser.received += data[start : start + size]
        while parser.received and not parser.finished:
            writes += parser.parse_slice()
    return parser, writes


@pytest.mark.parametrize("pieces", [1, 7, 400])
def test_messages_are_read_in_whatever_pieces_they_arrive(pieces: int) -> None:
    frames = [masked(Opcode.TEXT, b"x" * size) for size in (0, 1, 125, 126, LIMIT)]
    frames += [masked(Opcode.TEXT, b"a", fin=False), masked(Opcode.PING, b"?"), masked(Opcode.CONT, b"b", fin=True)]
    parser, writes = parsed(*frames, pieces=pieces)
    assert list(parser.messages) == [b"x" * size for size in (0, 1, 125, 126, LIMIT)] + [b"ab"]
    assert writes == [b"\x8a\x01?"]
    assert parser.incomplete_bytes == 0


def test_messages_are_the_same_however_their_frames_are_mixed_and_cut() -> None:
    choose = random.Random(11)
    for _ in range(300):
        frames, messages = [], []
        for _ in range(choose.randint(1, 12)):
            text = choose.randbytes(choose.choice((0, 3, 125, 126, 700)))
            kind = choose.choice(("whole", "whole", "whole", "fragments", "long length", "pong"))
            if kind == "whole":
                frames.append(masked(Opcode.TEXT, text))
            elif kind == "fragments":
                frames += [masked(Opcode.TEXT, text, fin=False), masked(Opcode.PONG, b""), masked(Opcode.CONT, text)]
                text += text
            elif kind == "long length":  # in more bytes than it needs
                frames.append(b"\x81\xff" + len(text).to_bytes(8, "big") + b"\0\0\0\0" + text)
            else:
                frames.append(masked(Opcode.PONG, text[:125]))
            if kind != "pong":
                messages.append(text)
        parser, _ = parsed(*frames, pieces=choose.choice((1, 2, 5, 40)), limit=2 * 700)
        assert list(parser.messages) == messages
        assert (parser.incomplete_bytes, parser.finished) == (0, False)


def test_whole_texts_are_read_without_the_package_unless_it_is_in_the_middle_of_a_frame(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    texts = [masked(Opcode.TEXT, b"x" * size) for size in (5, 126, 5)]
    parser, _ = parsed(texts[0][:3])  # half of a frame, which the package has begun
    parser.received += texts[0][3:]
    parser.parse_slice()
    monkeypatch.setattr(Frame, "parse", None)
    parser.received += texts[1] + texts[2]
    parser.parse_slice()
    assert [len(message) for message in parser.messages if isinstance(message, bytes)] == [5, 126, 5]


def test_a_binary_message_is_refused_and_those_behind_it_are_read() -> None:
    parser, _ = parsed(masked(Opcode.BINARY, b"x", fin=False), masked(Opcode.CONT, b"y"), masked(Opcode.TEXT, b"z"))
    refusal, message = parser.messages
    assert isinstance(refusal, UnsupportedMediaType)
    assert message == b"z"


@pytest.mark.parametrize(
    "frames",
    [
        [masked(Opcode.TEXT, b"x" * (LIMIT + 1))],
        [masked(Opcode.TEXT, b"x" * LIMIT, fin=False), masked(Opcode.CONT, b"x")],
        [masked(Opcode.TEXT, b"")[:1] + b"\xff" + b"\x7f" * 8],
    ],
)
def test_a_long_message_is_refused_as_soon_as_its_length_is_known(frames: list[bytes]) -> None:
    parser, _ = parsed(masked(Opcode.TEXT, b"first"), *frames)
    first, refusal = parser.messages
    assert first == b"first"
    assert isinstance(refusal, BodyTooLarge)
    assert parser.finished
    assert parser.incomplete_bytes <= LIMIT
    assert parser.close(1009, "body_too_large") == [b"\x88\x10" + Close(1009, "body_too_large").serialize()]


@pytest.mark.parametrize(
    "data",
    [
        b"\x81\x01x",  # not masked
        b"\xc1\x80\0\0\0\0",  # compressed
        b"\x83\x80\0\0\0\0",  # an opcode that is not defined
        b"\x80\x80\0\0\0\0",  # a continuation of nothing
        b"\x89\xfe\x00\x7e\0\0\0\0" + b"x" * 126,  # a long ping
        b"\x88\x81\0\0\0\0x",  # half a close code
    ],
)
def test_frames_that_break_the_protocol_end_it_with_its_own_code(data: bytes) -> None:
    parser, _ = parsed(masked(Opcode.TEXT, b"first"), data)
    assert list(parser.messages) == [b"first"]
    assert parser.finished
    assert b"".join(parser.close(1012, "shutting_down"))[2:4] == (1002).to_bytes(2, "big")


def test_the_clients_close_is_returned_behind_its_messages() -> None:
    parser, writes = parsed(masked(Opcode.TEXT, b"x"), masked(Opcode.CLOSE, Close(1000, "bye").serialize()))
    assert (list(parser.messages), writes, parser.client_closed) == ([b"x"], [], True)
    assert b"".join(parser.close(1012, "shutting_down")) == b"\x88\x05" + Close(1000, "bye").serialize()


def test_a_message_that_is_late_is_refused_behind_those_that_have_come() -> None:
    parser, _ = parsed(masked(Opcode.TEXT, b"x"), masked(Opcode.TEXT, b"y" * 100)[:50])
    assert parser.incomplete_bytes > 0
    parser.refuse(DeadlineExceeded("late"))
    assert [type(message).__name__ for message in parser.messages] == ["bytes", "DeadlineExceeded"]
    assert parser.incomplete_bytes == 0


def test_frames_without_messages_are_counted_until_there_is_one() -> None:
    parser, _ = parsed(*[masked(Opcode.PONG, b"")] * 10, masked(Opcode.TEXT, b"", fin=False))
    assert parser.idle_frames == 11
    parser.received += masked(Opcode.CONT, b"")
    parser.parse_slice()
    assert parser.idle_frames == 0


def test_the_clients_close_is_found_behind_frames_that_nobody_wants() -> None:
    parser, _ = parsed()
    parser.close(1012, "shutting_down")
    parser.discard(masked(Opcode.TEXT, b"late") + masked(Opcode.CLOSE, b""))
    assert parser.client_closed


def test_any_bytes_end_in_messages_or_in_a_close() -> None:
    choose = random.Random(7)
    for _ in range(300):
        parser, _ = parsed(choose.randbytes(choose.randint(1, 200)), pieces=choose.randint(1, 5))
        assert parser.incomplete_bytes <= LIMIT + 14


@pytest.mark.parametrize("size", [0, 125, 126, 65_535, 65_536])
def test_a_text_has_the_frame_of_the_standard(size: int) -> None:
    text = b"x" * size
    assert b"".join(text_frame(text)) == Frame(Opcode.TEXT, text).serialize(mask=False)

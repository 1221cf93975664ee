"""Changes to files: of bytes, and of what the bytes mean: zip files, headers, pickles and JSON."""

import io
import json
import pickletools
import zipfile
from collections.abc import Callable
from random import Random
from typing import Any

Mutation = Callable[[Random, bytes], bytes]

NUMBERS = (-1, 0, 1, 2**15, 2**31 - 1, 2**31, 2**32 - 1, 2**40, 2**62, 2**63 - 1, 2**64 - 1)
#: Instructions of pickles that call, refer to themselves, nest, or state lengths that are not there.
INSTRUCTIONS = (
    b"cos\nsystem\n(S'touch /tmp/x'\ntR",
    b"cbuiltins\nexec\nX\x06\x00\x00\x00import\x85R",
    b"ctorch\nload\n)R",
    b"c__main__\nNetwork\n)\x81}b",
    b"\x8c\x02os\x8c\x06system\x93\x8c\x01x\x85R",
    b"(i__builtin__\neval\n",
    b"]q\x07h\x07a",
    b"}q\x07X\x01\x00\x00\x00ah\x07s",
    b"q\x00",
    b"h\x00",
    b"r\xff\xff\xff\x7f",
    b"j\xff\xff\xff\x7f",
    b"\x94" * 50,
    b"(" * 300 + b"t" * 300,
    b"]" * 300 + b"a" * 299,
    b"X\xff\xff\xff\x7f",
    b"\x8d\xff\xff\xff\xff\xff\xff\xff\x7f",
    b"\x8e\xff\xff\xff\xff\xff\xff\xff\xff",
    b"\x8b\xff\xff\xff\x7f",
    b"\x96\xff\xff\xff\xff\xff\xff\xff\x7f",
    b"\x95\xff\xff\xff\xff\xff\xff\xff\xff",
    b"\x97\x98",
    b"I" + b"9" * 5000 + b"\n",
    b"Fnan\n",
    b"2" * 40,
    b"0",
    b"1",
    b"e",
    b"u",
    b"s",
    b"b",
    b"R",
    b"o",
    b"\x81",
    b"\x92",
    b"\x91",
    b"Q",
    b"Pkey\n",
    b".",
    b"\x82\x01",
    b"S'\\x'\n",
    b"V\\ud800\n",
)


def of_bytes(random: Random, content: bytes) -> bytes:
    """Change single bytes, cut, repeat or insert a piece, or write an extreme number over others."""
    data = bytearray(content)
    for _ in range(random.randint(1, 4)):
        place, size = random.randrange(len(data) + 1), random.choice((1, 2, 4, 8, 64))
        match random.randrange(7):
            case 0 if place < len(data):
                data[place] ^= 1 << random.randrange(8)
            case 1:
                data[place : place + size] = random.randbytes(size)
            case 2:
                del data[place : place + size]
            case 3:
                data[place:place] = data[place : place + size] * random.randint(1, 3)
            case 4:
                number = random.choice(NUMBERS) % 2**64
                data[place : place + 8] = number.to_bytes(8, random.choice(("little", "big")))
            case 5:
                data[place:place] = random.choice(
                    (b"\x00" * 100, b"[" * 5000, b"\xff\xfe", b"\xf0\x9f\x98\x80", b"\n" * 50)
                )
            case _ if random.random() < 0.3:
                del data[place:]
    return bytes(data)


def of_pickle(random: Random, content: bytes) -> bytes:
    """Insert, repeat or remove instructions between those of a pickle."""
    try:
        places = [place or 0 for _, _, place in pickletools.genops(content)]
    except Exception:  # noqa: BLE001 - one that was changed before
        return of_bytes(random, content)
    data = bytearray(content)
    for _ in range(random.randint(1, 3)):
        place, other = random.choice(places), random.choice(places)
        match random.randrange(4):
            case 0 | 1:
                data[place:place] = random.choice(INSTRUCTIONS)
            case 2:
                data[place:place] = content[min(place, other) : max(place, other)][:500]
            case _:
                del data[min(place, other) : min(place, other) + random.randint(1, 12)]
    return bytes(data)


def of_json(random: Random, content: bytes) -> bytes:
    """Replace, remove, repeat or nest values of a JSON document."""
    try:
        value = json.loads(content)
    except ValueError:
        return of_bytes(random, content)
    for _ in range(random.randint(1, 3)):
        value = _changed(random, value)
    text = json.dumps(value)
    if random.random() < 0.1:
        text = text.replace("{", random.choice(('{"a": 1, "a": 2, ', '{"name": [], "name": 1, ')), 1)
    if random.random() < 0.05:
        depth = random.choice((30, 1000, 100_000))
        text = text.replace("1", "[" * depth + "]" * depth, 1)
    return text.encode()


def _changed(random: Random, value: Any) -> Any:
    """Return a value in which one place differs."""
    if isinstance(value, dict) and value and random.random() < 0.9:
        key = random.choice([*value])
        other = random.choice((key, key, key, "x", ""))
        changed = {name: item for name, item in value.items() if name != key or random.random() < 0.95}
        return {**changed, other: _changed(random, value[key])}
    if isinstance(value, list) and value and random.random() < 0.8:
        place = random.randrange(len(value))
        changed_list = [*value]
        changed_list[place] = _changed(random, value[place])
        return changed_list * random.choice((1, 1, 1, 1, 2))
    return random.choice(
        (
            None,
            True,
            -1,
            0,
            1,
            2**31,
            2**53,
            2**70,
            10**400,
            1e308,
            -0.5,
            "",
            "x" * 300,
            "\ud800",
            "\0",
            [],
            [[]],
            {},
            {"": []},
            value,
        )
    )


def of_header(random: Random, content: bytes) -> bytes:
    """Change the JSON header of a safetensors file, or its length."""
    size = int.from_bytes(content[:8], "little")
    header = of_json(random, content[8 : 8 + size])
    stated = len(header) if random.random() < 0.9 else random.choice(NUMBERS) % 2**64
    return stated.to_bytes(8, "little") + header + content[8 + size :]


def of_zip(random: Random, content: bytes) -> bytes:
    """Change, swap, repeat, rename, compress or blow up the members of a zip file."""
    if not content.startswith(b"PK"):
        return of_bytes(random, content)
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        members = [(name, archive.read(name)) for name in archive.namelist()]
    place, other = random.randrange(len(members)), random.randrange(len(members))
    name, data = members[place]
    match random.randrange(8):
        case 0 | 1 | 2:
            members[place] = name, _member(name)(random, data)
        case 3:
            members[place] = name, members[other][1]
        case 4:
            members.insert(other, (name, _member(name)(random, data)))
        case 5:
            members[place] = random.choice((f"../{name}", name.upper(), "\u00e9", f"{name}/", "/" + name)), data
        case 6:
            members[place] = name, bytes(random.choice((10**4, 10**6, 2 * 10**7)))
        case _:
            del members[place]
    file, method = io.BytesIO(), random.choice((0, 0, 0, zipfile.ZIP_DEFLATED))
    with zipfile.ZipFile(file, "w", method) as archive:
        for name, data in members:
            archive.writestr(zipfile.ZipInfo(name), data, method)
    whole = file.getvalue()
    return of_bytes(random, whole) if random.random() < 0.2 else whole


def _member(name: str) -> Mutation:
    """Return the change for a member of this name."""
    return of_pickle if name.endswith(".pkl") else of_json if name.endswith(".json") else of_bytes

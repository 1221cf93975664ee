"""Hostile and damaged model folders and checkpoints, small, each made from a good one by one change.

Each function changes a folder that `write_language_model` or `write_forecaster` wrote. The text beside it is part of
the reason for which the folder is refused.
"""

import json
import os
import pickle
import socket
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from tests.state_files import put_together

Spoil = Callable[[Path], object]
Make = Callable[[Path], object]

WEIGHTS, CONFIG, CARD = "model.safetensors", "config.json", "README.md"
TOKENIZER, GOLDEN, PREPROCESSOR = "tokenizer.json", "golden.safetensors", "preprocessor.json"


def content(name: str, data: bytes | str) -> Spoil:
    """Replace the content of a file."""
    return lambda folder: (folder / name).write_bytes(data if isinstance(data, bytes) else data.encode())


def fields(name: str = CONFIG, **changes: Any) -> Spoil:
    """Change fields of a JSON file."""

    def spoil(folder: Path) -> None:
        path = folder / name
        path.write_text(json.dumps(json.loads(path.read_bytes()) | changes))

    return spoil


def text(name: str, change: Callable[[str], str]) -> Spoil:
    """Change the text of a file."""
    return lambda folder: (folder / name).write_text(change((folder / name).read_text()))


def link(name: str, target: str) -> Spoil:
    """Replace a file by a link."""

    def spoil(folder: Path) -> None:
        (folder / name).unlink()
        (folder / name).symlink_to(target)

    return spoil


def replaced(name: str, make: Make) -> Spoil:
    """Replace a file by what `make` makes at its path."""

    def spoil(folder: Path) -> None:
        (folder / name).unlink()
        make(folder / name)

    return spoil


def listen(path: Path) -> None:
    """Make a socket; its path may be longer than an address."""
    server, here = socket.socket(socket.AF_UNIX), Path.cwd()
    os.chdir(path.parent)
    try:
        server.bind(path.name)
    finally:
        os.chdir(here)
        server.close()


def tensors(name: str, entries: dict[str, Any] | bytes, data: bytes = b"") -> Spoil:
    """Replace a safetensors file by one of this header and data."""
    return content(name, put_together(entries, data))


def entry(dtype: str = "F32", shape: Any = (1,), offsets: Any = (0, 4)) -> dict[str, Any]:
    """An entry of a safetensors header."""
    return {"dtype": dtype, "shape": shape, "data_offsets": offsets}


def sparse(name: str, size: int) -> Spoil:
    """Make a file as long as `size` without using the disk."""
    return lambda folder: os.truncate(folder / name, size)


def header_entry(name: str, **changes: Any) -> Spoil:
    """Change each entry of the header of a safetensors file."""

    def spoil(folder: Path) -> None:
        raw = (folder / name).read_bytes()
        end = 8 + int.from_bytes(raw[:8], "little")
        header = json.loads(raw[8:end])
        for key in header.keys() - {"__metadata__"}:
            header[key] |= changes
        (folder / name).write_bytes(put_together(header, raw[end:]))

    return spoil


def front(matter: str) -> Spoil:
    """Replace the front matter of the model card."""
    return content(CARD, f"---\n{matter}\n---\n# Card\n")


def tokenizer(**parts: Any) -> Spoil:
    """Change parts of the tokenizer."""
    return fields(TOKENIZER, **parts)


def split(pattern: str) -> Spoil:
    """Let the tokenizer split texts by a regular expression."""
    part = {"type": "Split", "pattern": {"Regex": pattern}, "behavior": "Isolated", "invert": False}
    return tokenizer(pre_tokenizer=part)


def growing(times: int) -> Spoil:
    """Let the tokenizer replace a letter by ten, and each of these by ten."""
    part = {"type": "Replace", "pattern": {"String": "a"}, "content": "a" * 10}
    return tokenizer(normalizer={"type": "Sequence", "normalizers": [part] * times})


PADDING = {"direction": "Right", "pad_id": 0, "pad_type_id": 0, "pad_token": "<unk>", "pad_to_multiple_of": None}
BOMB = "metrics:\n  a0: &a0 [1]\n" + "".join(f"  a{i}: &a{i} [*a{i - 1}, *a{i - 1}]\n" for i in range(1, 40))
DEEP = 100_000
LARGEST_STATE = [
    *({"name": name, "shape": [2**24], "dtype": "float32"} for name in ("h_l0", "c_l0", "h_l1", "c_l1")),
    {"name": "log_normaliser", "shape": [1], "dtype": "float32"},
]
REGULAR = "expected a regular file"

FOLDERS: dict[str, tuple[Spoil, str]] = {
    # Files of other kinds.
    "weights are a pipe": (replaced(WEIGHTS, os.mkfifo), f"{WEIGHTS}: found a named pipe, {REGULAR}"),
    "config is a pipe": (replaced(CONFIG, os.mkfifo), f"{CONFIG}: found a named pipe, {REGULAR}"),
    "tokenizer is a pipe": (replaced(TOKENIZER, os.mkfifo), f"{TOKENIZER}: found a named pipe, {REGULAR}"),
    "golden vectors are a pipe": (replaced(GOLDEN, os.mkfifo), f"{GOLDEN}: found a named pipe, {REGULAR}"),
    "card is a pipe": (replaced(CARD, os.mkfifo), f"{CARD}: found a named pipe, {REGULAR}"),
    "weights are a socket": (replaced(WEIGHTS, listen), f"{WEIGHTS}: found a socket, {REGULAR}"),
    "weights are a folder": (replaced(WEIGHTS, Path.mkdir), f"{WEIGHTS}: cannot be read: Is a directory"),
    "config is a folder": (replaced(CONFIG, Path.mkdir), f"{CONFIG}: cannot be read: Is a directory"),
    "card is a folder": (replaced(CARD, Path.mkdir), f"{CARD}: cannot be read: Is a directory"),
    "tokenizer is a folder": (replaced(TOKENIZER, Path.mkdir), f"{TOKENIZER}: cannot be read: Is a directory"),
    "weights link to a device": (link(WEIGHTS, "/dev/zero"), f"{WEIGHTS}: found a device, {REGULAR}"),
    "config links to a device": (link(CONFIG, "/dev/zero"), f"{CONFIG}: found a device, {REGULAR}"),
    "card links to a device": (link(CARD, "/dev/zero"), f"{CARD}: found a device, {REGULAR}"),
    "weights link to themselves": (link(WEIGHTS, WEIGHTS), "Too many levels of symbolic links"),
    "weights link nowhere": (link(WEIGHTS, "none"), "No such file"),
    "config links nowhere": (link(CONFIG, "none"), "No such file"),
    "weights link into the kernel": (link(WEIGHTS, "/proc/self/status"), "its header has"),
    "config links into the kernel": (link(CONFIG, "/proc/self/status"), "changes while it is read"),
    "weights are gone": (lambda folder: (folder / WEIGHTS).unlink(), "No such file"),
    # Sizes.
    "config of a gigabyte": (sparse(CONFIG, 2**30), f"{CONFIG}: found {2**30} bytes, expected at most"),
    "card of a gigabyte": (sparse(CARD, 2**30), f"{CARD}: found {2**30} bytes, expected at most"),
    "tokenizer of a gigabyte": (sparse(TOKENIZER, 2**30), f"{TOKENIZER}: found {2**30} bytes, expected at most"),
    "weights with a tail of 64 GB": (sparse(WEIGHTS, 2**36), "the last offset is wrong"),
    "weights of 64 GB": (
        lambda folder: (
            tensors(WEIGHTS, {"a": entry("U8", [2**36], [0, 2**36])})(folder),
            os.truncate(folder / WEIGHTS, (folder / WEIGHTS).stat().st_size + 2**36),
        ),
        "found no such tensor",
    ),
    "golden vectors of 64 GB": (
        lambda folder: (
            tensors(GOLDEN, {"inputs.ids": entry("U8", [2**36], [0, 2**36])})(folder),
            os.truncate(folder / GOLDEN, (folder / GOLDEN).stat().st_size + 2**36),
        ),
        f"found {2**36} bytes of tensors",
    ),
    "empty config": (content(CONFIG, b""), "found no readable JSON"),
    "empty weights": (content(WEIGHTS, b""), "found an empty file"),
    "empty tokenizer": (content(TOKENIZER, b""), "not a Hugging Face tokenizers file"),
    "empty golden vectors": (content(GOLDEN, b""), "found an empty file"),
    "half of the weights": (lambda folder: os.truncate(folder / WEIGHTS, 2000), "offset is wrong"),
    # JSON.
    "deep config": (content(CONFIG, b'{"a":' * DEEP + b"1" + b"}" * DEEP), "more than 32 levels"),
    "deep list in the config": (content(CONFIG, b'{"a":' + b"[" * 900 + b"]" * 900 + b"}"), "more than 32 levels"),
    "unfinished config": (content(CONFIG, b'{"a":'), "found no readable JSON"),
    "config in UTF-16 that ends early": (content(CONFIG, '{"a'.encode("utf-16")), "found no readable JSON"),
    "config is no text": (content(CONFIG, b"\xff\xfe\x00\xd8"), "found no readable JSON"),
    "config is a list": (content(CONFIG, "[]"), "expected a JSON object"),
    "a field stands twice": (text(CONFIG, lambda raw: '{"task": "next-word",' + raw[1:]), "'task' stands twice"),
    "NaN in the config": (fields(hidden_size=float("nan")), "NaN is no number of JSON"),
    "Infinity in the config": (fields(hidden_size=float("inf")), "Infinity is no number of JSON"),
    "10,000 digits": (text(CONFIG, lambda raw: raw.replace("16", "1" * 10_000)), "is out of range"),
    "half a character": (fields(task="\ud800"), "half of a surrogate pair"),
    "many unknown fields": (fields(**{f"f{number}": 1 for number in range(20_000)}), "more"),
    # Numbers and lists of the config.
    "a billion hidden units": (fields(hidden_size=10**9, input_size=10**9), "input_size: found 1000000000"),
    "the largest sizes": (fields(hidden_size=2**24, vocab_size=2**24, state=LARGEST_STATE), "found shape"),
    "a million layers": (fields(num_layers=10**6), "num_layers: found 1000000"),
    "100,000 hidden sizes": (fields(hidden_size=[1] * 100_000), "found 100000 sizes"),
    "10,000 linear layers": (fields(head=[{"size": 1}] * 10_000), "head: found"),
    "100,000 state tensors": (fields(state=[{"name": "h", "shape": [1], "dtype": "float32"}] * 10_000), "state: found"),
    "a negative size": (fields(hidden_size=-1), "hidden_size: found -1"),
    "a size as text": (fields(hidden_size="16"), 'hidden_size: found "16"'),
    "a size as a fraction": (fields(hidden_size=16.5), "hidden_size: found 16.5"),
    "a size of null": (fields(vocab_size=None), "vocab_size: found null"),
    "a boolean size": (fields(hidden_size=True), "hidden_size: found true"),
    "a task as an object": (fields(task={"a": 1}), "task: found"),
    # The header of the weights.
    "a header without end": (content(WEIGHTS, b"\xff" * 8 + b"{}"), "its header has"),
    "a header of 16 MB": (tensors(WEIGHTS, b"{}".ljust(2**24)), "expected at most"),
    "a deep header": (tensors(WEIGHTS, b'{"a":' * DEEP + b"1" + b"}" * DEEP), "more than 32 levels"),
    "a header of zeros": (tensors(WEIGHTS, b"\0" * 100), "is no JSON object"),
    "a shape that overflows": (tensors(WEIGHTS, {"a": entry(shape=[2**40, 2**40])}, b"1234"), "overflows"),
    "a shape of nothing that overflows": (tensors(WEIGHTS, {"a": entry(shape=[0, 2**62, 2**62])}), "overflows"),
    "a negative shape": (tensors(WEIGHTS, {"a": entry(shape=[-1])}, b"1234"), "numbers of 0 or above"),
    "a shape of fractions": (tensors(WEIGHTS, {"a": entry(shape=[1.0])}, b"1234"), "numbers of 0 or above"),
    "a shape of booleans": (tensors(WEIGHTS, {"a": entry(shape=[True])}, b"1234"), "numbers of 0 or above"),
    "100 dimensions": (tensors(WEIGHTS, {"a": entry(shape=[1] * 100)}, b"1234"), "at most 32"),
    "offsets backwards": (tensors(WEIGHTS, {"a": entry(offsets=[4, 0])}, b"1234"), "span -4 bytes"),
    "huge offsets": (tensors(WEIGHTS, {"a": entry(offsets=[2**62, 2**62 + 4])}, b"1234"), "offset"),
    "one offset": (tensors(WEIGHTS, {"a": entry(offsets=[0])}, b"1234"), "expected two numbers"),
    "overlapping tensors": (tensors(WEIGHTS, {"a": entry(), "b": entry()}, b"1234"), "expected 4"),
    "a gap between tensors": (tensors(WEIGHTS, {"a": entry(offsets=[4, 8])}, b"12345678"), "expected 0"),
    "a tensor twice": (tensors(WEIGHTS, b'{"a":%s,"a":%s}' % ((json.dumps(entry()).encode(),) * 2), b"1234"), "twice"),
    "an unknown dtype": (tensors(WEIGHTS, {"a": entry("F8_E4M3", [4])}, b"1234"), "found dtype F8_E4M3"),
    "a dtype as a list": (tensors(WEIGHTS, {"a": entry(dtype=["F32"])}, b"1234"), "found dtype"),  # type: ignore[arg-type]
    "metadata of numbers": (tensors(WEIGHTS, {"__metadata__": {"a": 1}, "a": entry()}, b"1234"), "expected a string"),
    "a name of a megabyte": (tensors(WEIGHTS, {"a" * 2**20: entry()}, b"1234"), "a name has"),
    "half a character as a name": (tensors(WEIGHTS, {"\ud800": entry()}, b"1234"), "half of a surrogate pair"),
    "weights as integers": (header_entry(WEIGHTS, dtype="U8"), "the offsets span"),
    "a Git LFS pointer": (content(WEIGHTS, "version https://git-lfs.github.com/spec/v1\n" * 3), "a Git LFS pointer"),
    "a pickle as weights": (content(WEIGHTS, pickle.dumps([1])), "a pickle"),
    # The model card.
    "aliases without end": (front(BOMB), "anchors and aliases"),
    "an anchor": (front("description: &a text"), "anchors and aliases"),
    "deep front matter": (front("metrics: " + "[" * 3000 + "]" * 3000), "more than 16 levels"),
    "long front matter": (front("description: " + "x" * 100_000), "characters, expected at most"),
    "many tokens": (front("metrics: {a: [" + "1," * 20_000 + "]}"), "more than 10000 tokens"),
    "a Python object": (front("description: !!python/object/apply:os.getcwd []"), "broken YAML"),
    "a date that does not exist": (front("description: 2024-13-45"), "month must be in"),
    "an integer of 10,000 digits": (front("metrics: {a: " + "9" * 10_000 + "}"), "broken YAML"),
    "an integer of hexadecimal digits": (front("metrics: {a: 0x" + "f" * 10_000 + "}"), "metrics: found"),
    "a metric that is not finite": (front("metrics: {a: .inf}"), "metrics: found"),
    "bytes as a metric": (front("metrics: {a: !!binary aGk=}"), "metrics: found"),
    "half a character in the description": (front('description: "\\ud800"'), "half of a surrogate pair"),
    "half a character in the metrics": (front('metrics: {"\\ud800": 1}'), "half of a surrogate pair"),
    "a card in UTF-16": (content(CARD, "---\n---\n".encode("utf-16")), "in UTF-8"),
    "a card without end": (content(CARD, "---\ndescription: x"), "no closing line"),
    # The tokenizer.
    "a deep tokenizer": (content(TOKENIZER, b"[" * DEEP), "not a Hugging Face tokenizers file"),
    "a tokenizer of null": (content(TOKENIZER, "null"), "not a Hugging Face tokenizers file"),
    "a pattern that takes exponential time": (split("(a+)+$"), "retry-limit"),
    "a broken pattern": (split("("), "not a Hugging Face tokenizers file"),
    "a text that grows": (growing(5), "it makes a normalized text of"),
    "a text that grows without bound": (growing(12), "its trial ended"),
    "padding without bound": (tokenizer(padding={"strategy": {"Fixed": 2**40}, **PADDING}), "its trial ended"),
    "a stride as long as the text": (
        tokenizer(truncation={"max_length": 1, "strategy": "LongestFirst", "stride": 1, "direction": "Right"}),
        "stride",
    ),
    "a table of characters that is none": (
        tokenizer(normalizer={"type": "Precompiled", "precompiled_charsmap": "AAAA"}),
        "Precompiled",
    ),
    "a table of characters that points outside": (
        tokenizer(normalizer={"type": "Precompiled", "precompiled_charsmap": "BAAAAP////8="}),
        "index out of bounds",
    ),
    "ids beyond the vocabulary": (
        tokenizer(model={"type": "WordLevel", "vocab": {"<unk>": 2**32 - 1, "<s>": 0}, "unk_token": "<unk>"}),
        "expected each id from 0",
    ),
    # Golden vectors.
    "other golden vectors": (tensors(GOLDEN, {"a": entry()}, b"1234"), "found no such tensor"),
    "long golden vectors": (
        tensors(GOLDEN, {"inputs.ids": entry("I64", [1, 2**17], [0, 2**20])}, bytes(2**20)),
        "found 131072 timesteps",
    ),
    "many golden vectors": (
        tensors(GOLDEN, {"inputs.ids": entry("U8", [2**11, 2**11], [0, 2**22])}, bytes(2**22)),
        "multiplications",
    ),
    "golden vectors of another dtype": (header_entry(GOLDEN, dtype="U8"), "the offsets span"),
    "golden vectors as a pickle": (content(GOLDEN, pickle.dumps([1])), "a pickle"),
}

FORECASTERS: dict[str, tuple[Spoil, str]] = {
    "preprocessor is a pipe": (replaced(PREPROCESSOR, os.mkfifo), f"{PREPROCESSOR}: found a named pipe, {REGULAR}"),
    "preprocessor of a gigabyte": (sparse(PREPROCESSOR, 2**30), f"{PREPROCESSOR}: found {2**30} bytes"),
    "deep preprocessor": (content(PREPROCESSOR, b"[" * DEEP), "more than 32 levels"),
    "empty preprocessor": (content(PREPROCESSOR, b""), "found no readable JSON"),
    "NaN in the preprocessor": (fields(PREPROCESSOR, mean=[float("nan")]), "NaN is no number of JSON"),
    "a mean beyond float64": (text(PREPROCESSOR, lambda raw: raw.replace('"mean": [', '"mean": [1e999, ')), "mean"),
    "a huge scale": (fields(PREPROCESSOR, scale=[1e300]), "scale: found 1e+300"),
    "a tiny scale": (fields(PREPROCESSOR, scale=[1e-300]), "scale: found 1e-300"),
    "a huge mean": (fields(PREPROCESSOR, mean=[-1e300]), "mean: found 1e+300"),
    "a long mean": (fields(PREPROCESSOR, mean=[1.0] * 100_000), "mean: found"),
    "a horizon of a billion": (fields(horizon=10**9), "horizon: found 1000000000"),
    "a season of a billion": (fields(season=10**9), "season: found 1000000000"),
    "100,000 features": (fields(features=[f"f{number}" for number in range(20_000)]), "features: found"),
    "100,000 targets": (fields(target=[f"f{number}" for number in range(20_000)]), "target: found"),
    "100,000 quantiles": (
        fields(distribution="quantiles", quantiles=[number / 20_001 for number in range(1, 20_001)]),
        "quantiles: found",
    ),
    "the largest output layer": (
        fields(
            horizon=65536, hidden_size=2**24, distribution="quantiles", quantiles=[n / 1025 for n in range(1, 1025)]
        ),
        "found",
    ),
    "a context of a billion": (fields(context={"size": 10**9, "activation": "none"}), "context.size: found 1000000000"),
}


class Foreign:
    """Runs code when a pickle of it is opened."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> Any:
        return os.mkdir, (str(self.path),)


class Huge:
    """Allocates memory when a pickle of it is opened."""

    def __reduce__(self) -> Any:
        return bytearray, (2**36,)


def archive(pickled: bytes, compression: int = zipfile.ZIP_STORED, *, copies: int = 1) -> Make:
    """A zip file as torch.save writes it, of this pickle."""

    def make(path: Path) -> None:
        with zipfile.ZipFile(path, "w", compression) as file:
            for number in range(copies):
                file.writestr(f"archive{number or ''}/data.pkl", pickled)
            file.writestr("archive/version", "3\n")

    return make


def cut_storage(path: Path) -> None:
    """A file of torch.save of which a storage ends within a number."""
    whole = path.with_name("whole.pt")
    torch.save({"a": torch.zeros(8)}, whole)
    with zipfile.ZipFile(whole) as old, zipfile.ZipFile(path, "w") as new:
        for name in old.namelist():
            new.writestr(name, old.read(name)[: 30 if "/data/" in name else None])


def raw(data: bytes) -> Make:
    """A file of these bytes."""
    return lambda path: path.write_bytes(data)


def saved(value: object) -> Make:
    """A file of torch.save."""
    return lambda path: torch.save(value, path)


def nested(levels: int) -> dict[str, Any]:
    """Dictionaries that each contain the next one twice."""
    value: dict[str, Any] = {"w": torch.zeros(1)}
    for _ in range(levels):
        value = {"a": value, "b": value}
    return value


CHECKPOINTS: dict[str, tuple[Make, str]] = {
    "a pipe": (os.mkfifo, "found a named pipe"),
    "a folder": (Path.mkdir, "Is a directory"),
    "a link to a device": (lambda path: path.symlink_to("/dev/zero"), "found a device"),
    "a link to itself": (lambda path: path.symlink_to(path.name), "Too many levels"),
    "a socket": (listen, "found a socket"),
    "an empty file": (raw(b""), "found an empty file"),
    "random bytes": (raw(bytes(range(256)) * 400), "a file of no known format"),
    "64 GB of zeros": (lambda path: (path.touch(), os.truncate(path, 2**36)), "MiB to load, expected at most"),
    "a compressed bomb": (archive(b"\x80\x02" + b"N0" * 2**22 + b"N.", zipfile.ZIP_DEFLATED), "a compressed member"),
    "a pickle of many instructions": (archive(b"\x80\x02" + b"N0" * 2**21 + b"N."), "instructions"),
    "many instructions in a file of the old format": (
        raw(pickle.dumps(0x1950A86A20F9469CFC6C, 2) + b"\x80\x02" + b"N0" * 2**21 + b"N."),
        "instructions",
    ),
    "a long pickle": (
        lambda path: (path.write_bytes(b"\x80\x02X" + struct.pack("<I", 2**26)), os.truncate(path, 2**26 + 9)),
        "a damaged pickle",
    ),
    "a long pickle in an archive": (archive(b"\x80\x02X" + struct.pack("<I", 2**26) + bytes(2**26)), "bytes, expected"),
    "a text longer than the file": (raw(b"\x80\x02X\xff\xff\xff\xff"), "a pickle of more than"),
    "deep tuples": (raw(b"\x80\x02}" + b"N" + b"\x85" * 10**6 + b"K\x01s."), "a key of more than"),
    "deep lists": (
        raw(b"\x80\x02" + b"]" * 10**5 + b"a" * (10**5 - 1) + b"."),
        "dictionaries, expected a state dict",
    ),
    "an index of the memo without end": (raw(b"\x80\x02Nr\xff\xff\xff\x7f."), "found None"),
    "a key that takes long": (
        raw(b"\x80\x02}(" + b"K\x01" * 1000 + b"tq\x000" + (b"h\x00K\x01s" * 1000) + b"."),
        "a key",
    ),
    "values that are copied again and again": (
        raw(b"\x80\x02](" + b"N" * 10**5 + b"eq\x00" + b"c__builtin__\nlist\nh\x00\x85R0" * 100 + b"."),
        "instructions",
    ),
    "a storage that ends within a number": (cut_storage, "expected a multiple of 4"),
    "a tensor larger than its storage": (saved({"a": torch.zeros(1).expand(2**40)}), "that are stored"),
    "a tensor without values": (saved({"a": torch.empty(2**40, device="meta")}), "a tensor without values"),
    "a sparse tensor": (saved({"a": torch.eye(3).to_sparse()}), "a sparse tensor"),
    "half a character as a name": (saved({"\ud800": torch.zeros(1)}), "found the name"),
    "a name of 10,000 digits": (saved({"9" * 10_000: torch.zeros(1)}), "found the name"),
    "a list": (saved([torch.zeros(1)]), "found a list"),
    "nothing": (saved(None), "found None"),
    "foreign code": (lambda path: torch.save({"a": Foreign(path.with_name("ran"))}, path), "found a dict"),
    "foreign code in a plain pickle": (
        lambda path: path.write_bytes(pickle.dumps(Foreign(path.with_name("ran")), protocol=0)),
        "found an object of posix.mkdir",
    ),
    "half of an archive": (
        lambda path: (torch.save({"a": torch.zeros(1000)}, path), os.truncate(path, path.stat().st_size // 2)),
        "a damaged zip file",
    ),
    "a shape that overflows": (raw(put_together({"a": entry(shape=[2**40, 2**40])}, b"1234")), "overflows"),
    "a deep header": (raw(put_together(b'{"a":' * DEEP + b"1" + b"}" * DEEP, b"")), "more than 32 levels"),
}

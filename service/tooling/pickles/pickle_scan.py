"""Scan of the pickles in a `torch.save` file: their imports, and bounds on what loading them can take.

The instructions are read and not run. Loading runs the same instructions, so it takes no more than the scan allows.
"""

import pickletools
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any, BinaryIO, cast

from service.domain.errors import ModelFolderError
from service.domain.files import file_size

#: Bytes and instructions of all pickles in a file. The weights themselves are outside of them.
MAX_PICKLE_BYTES = 2**25
MAX_INSTRUCTIONS = 2**21
#: Levels of nested tuples. Python computes the hash of a tuple by recursion, without a limit.
MAX_TUPLE_DEPTH = 1000
MAX_MEMBERS = 2**17
#: A file in the format before zip files begins with so many pickles, and the weights follow.
LEGACY_PICKLES = 5
ZIP = b"PK\x03\x04"

_TUPLES = {"TUPLE": 0, "TUPLE1": 1, "TUPLE2": 2, "TUPLE3": 3}
_MARK = -1


def scan_pickles(path: Path, file: BinaryIO) -> list[str]:
    """Return `module.name` of every import in the pickles of a file whose protocol is 2 or newer, in their order.

    Raises ModelFolderError for pickles and zip files that take much more memory or time than their size suggests. The
    end of a damaged file is ignored.
    """
    imports: list[str] = []
    amounts = _Amounts(path)
    try:
        file.seek(0)
        if file.read(len(ZIP)) == ZIP:
            for member in _members(path, file):
                imports += _imports(amounts, member)
        else:
            file.seek(0)
            for _ in range(LEGACY_PICKLES):
                imports += _imports(amounts, file)
    except (ValueError, zipfile.BadZipFile, OSError, RuntimeError, LookupError, EOFError, NotImplementedError):
        # The rest of the file is damaged; the names read so far are valid.
        pass
    finally:
        file.seek(0)
    return imports


def _members(path: Path, file: BinaryIO) -> Iterator[BinaryIO]:
    """Yield the pickles of a zip file. Raises ModelFolderError for compressed or overlapping members."""
    with zipfile.ZipFile(file) as archive:
        members = archive.infolist()
        if len(members) > MAX_MEMBERS:
            raise ModelFolderError(f"{path}: found {len(members)} members, expected at most {MAX_MEMBERS}")
        for member in members:
            if member.compress_type != zipfile.ZIP_STORED or member.file_size != member.compress_size:
                raise ModelFolderError(
                    f"{path}: {member.filename[:80]!r}: found a compressed member of {member.file_size} bytes, "
                    "expected members that are stored as torch.save writes them"
                )
        total, size = sum(member.file_size for member in members), file_size(file)
        if total > size:
            raise ModelFolderError(f"{path}: found members of {total} bytes, expected at most {size}, the file's own")
        for member in members:
            if member.filename.endswith("data.pkl"):
                with archive.open(member) as content:
                    yield content  # type: ignore[misc]  # ZipExtFile reads as BinaryIO does


def _imports(amounts: "_Amounts", pickle: BinaryIO) -> Iterator[str]:
    """Yield the imports of one pickle."""
    texts: list[str] = []
    binary = False  # a text that is no pickle at all looks like one of protocol 0
    depths = _TupleDepths(amounts.path)
    for opcode, argument, _ in pickletools.genops(cast("IO[bytes]", _BoundedReader(amounts, pickle))):
        amounts.count_instruction()
        depths.follow(opcode, argument)
        if opcode.name == "PROTO":
            binary = True
        elif opcode.name == "GLOBAL" and binary:
            yield str(argument).replace(" ", ".")
        elif opcode.name == "STACK_GLOBAL" and len(texts) > 1:
            yield f"{texts[-2]}.{texts[-1]}"
        elif isinstance(argument, str):
            texts = [*texts[-1:], argument]


class _Amounts:
    """Instructions and bytes of all pickles of a file. Raises ModelFolderError above a limit."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._instructions = 0
        self._bytes = 0

    def count_instruction(self) -> None:
        self._instructions += 1
        if self._instructions > MAX_INSTRUCTIONS:
            raise ModelFolderError(
                f"{self.path}: found a pickle of more than {MAX_INSTRUCTIONS} instructions, expected names with tensors"
            )

    def count_bytes(self, count: int) -> None:
        self._bytes += count
        if self._bytes > MAX_PICKLE_BYTES:
            raise ModelFolderError(
                f"{self.path}: found a pickle of more than {MAX_PICKLE_BYTES} bytes, expected names with tensors"
            )


class _BoundedReader:
    """Reader of a pickle that counts what is read, before it is read."""

    def __init__(self, amounts: _Amounts, file: BinaryIO) -> None:
        self._amounts = amounts
        self._file = file

    def read(self, size: int) -> bytes:
        self._amounts.count_bytes(size)
        return self._file.read(size)

    def readline(self) -> bytes:
        line = self._file.readline(MAX_PICKLE_BYTES)
        self._amounts.count_bytes(len(line))
        return line


class _TupleDepths:
    """Depths of nested tuples on the stack of an unpickler. All other values count as 0."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._stack: list[int] = []
        self._memo: dict[int, int] = {}

    def follow(self, opcode: pickletools.OpcodeInfo, argument: Any) -> None:  # noqa: ANN401 - as genops yields it
        """Follow an instruction. Raises LookupError for one that finds too few values, as an unpickler does."""
        name = opcode.name
        if name in _TUPLES:
            items = self._pop_to_mark() if name == "TUPLE" else self._pop(_TUPLES[name])
            self._push_tuple(items)
        elif name in {"PUT", "BINPUT", "LONG_BINPUT", "MEMOIZE"}:
            self._memo[len(self._memo) if argument is None else argument] = self._stack[-1]
        elif name in {"GET", "BINGET", "LONG_BINGET"}:
            self._stack.append(self._memo[argument])
        elif name == "DUP":
            self._stack.append(self._stack[-1])
        else:
            self._replace(opcode)

    def _replace(self, opcode: pickletools.OpcodeInfo) -> None:
        """Pop what any other instruction reads, and push what it leaves."""
        reads, leaves = opcode.stack_before, opcode.stack_after
        if pickletools.markobject in reads:
            self._pop_to_mark()
            reads = reads[: reads.index(pickletools.markobject)]
        self._pop(len(reads))
        self._stack += [_MARK if item is pickletools.markobject else 0 for item in leaves]

    def _push_tuple(self, items: list[int]) -> None:
        depth = 1 + max(items, default=0)
        if depth > MAX_TUPLE_DEPTH:
            raise ModelFolderError(
                f"{self._path}: found tuples nested more than {MAX_TUPLE_DEPTH} times, expected names with tensors"
            )
        self._stack.append(depth)

    def _pop(self, count: int) -> list[int]:
        if count > len(self._stack):
            raise LookupError("the stack is empty")
        items = self._stack[len(self._stack) - count :]
        del self._stack[len(self._stack) - count :]
        return items

    def _pop_to_mark(self) -> list[int]:
        items: list[int] = []
        while (depth := self._stack.pop()) != _MARK:
            items.append(depth)
        return items

r"""Runs the console blocks of a Markdown file against a real server, and compares what they print.

A block is fenced and tagged `console`. A line `$ command` is run (a backslash at its end continues it), the lines up
to the next `$` are what it must print, both output streams together:

- `...` stands for any text within a line, and alone on a line for any number of lines; in JSON also for any value,
  and for the rest of an array or of an object's members;
- JSON is compared by value, whatever its spacing; numbers with a fraction may differ by a thousandth of themselves;
- a command that shows no output must print nothing and succeed.

All blocks share one bash, so its variables last. `make serve` starts the server of this module, `WORKERS=` included,
on a free port that replaces localhost:8000 everywhere. A block tagged `console restart` finds that server killed
(SIGKILL) and started again on the same state directory; `kill -9` and `make serve` in it are there for the reader.
"""

import json
import math
import os
import re
import select
import shlex
import signal
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Protocol, Self

ANY = "..."
TOLERANCE = 1e-3
COMMAND_SECONDS = 60.0
ADDRESS = re.compile(r"\b(?:localhost|127\.0\.0\.1):8000\b")
NUMBER = r"-?\d+(?:\.\d+)?(?:[eE][-+]?\d+)?"
TEXT_PARTS = re.compile(r"(\.\.\.|(?<![\w.])-?\d+\.\d+(?:[eE][-+]?\d+)?(?!\w|\.\w))")
JSON_PARTS = re.compile(r'"(?:[^"\\]|\\.)*"|\.\.\.|[\[\]{}:,]|[^"\[\]{}:,.]+|\.')


@dataclass(frozen=True)
class Command:
    """A command with the number of its line, and the text that it must print."""

    line: int
    text: str
    expected: str


@dataclass(frozen=True)
class Block:
    """The commands of one fenced block; `restart` if the server is killed and started before them."""

    restart: bool
    commands: tuple[Command, ...]


class Server(Protocol):
    """The server that the commands talk to."""

    @property
    def address(self) -> str:
        """Its host and port."""

    def start(self, workers: int = 1) -> None:
        """Start it unless it runs; returns when it is ready."""

    def restart(self) -> None:
        """Kill it and start it again on what it left behind."""


def parse(markdown: str) -> list[Block]:
    """The console blocks of a document, in order."""
    blocks, lines = [], enumerate(markdown.splitlines(), 1)
    for _, line in lines:
        if opening := re.fullmatch(r"\s*(```+|~~~+)\s*(.*?)\s*", line):
            fence, tags = opening[1], opening[2].split()
            body = [(number, text) for number, text in _until(fence, lines)]
            if tags[:1] == ["console"]:
                blocks.append(Block("restart" in tags, tuple(_commands(body))))
    return blocks


def _until(fence: str, lines: Iterator[tuple[int, str]]) -> Iterator[tuple[int, str]]:
    for number, line in lines:
        if line.strip().startswith(fence) and not line.strip().strip(fence[0]):
            return
        yield number, line
    raise ValueError(f"a block is not closed: expected a line {fence}")


def _commands(body: list[tuple[int, str]]) -> Iterator[Command]:
    rest = list(body)
    while rest:
        number, line = rest.pop(0)
        if not line.startswith("$ "):
            raise ValueError(f"line {number} is {line!r}: expected a console block to begin with `$ command`")
        text = [line[2:]]
        while text[-1].endswith("\\") and rest:
            text.append(rest.pop(0)[1])
        output: list[str] = []
        while rest and not rest[0][1].startswith("$ "):
            output.append(rest.pop(0)[1])
        yield Command(number, "\n".join(text), "\n".join(output).strip("\n"))


def matches(expected: str, actual: str) -> bool:
    """Whether a command printed what its document shows."""
    actual = actual.strip("\r\n")
    return _json_matches(expected, actual) or _lines_match(
        [line.rstrip() for line in expected.splitlines()], [line.rstrip() for line in actual.splitlines()]
    )


def _lines_match(expected: list[str], actual: list[str]) -> bool:
    if not expected:
        return not actual
    if expected[0].strip() == ANY:
        return any(_lines_match(expected[1:], actual[skipped:]) for skipped in range(len(actual) + 1))
    return bool(actual) and _line_matches(expected[0], actual[0]) and _lines_match(expected[1:], actual[1:])


def _line_matches(expected: str, actual: str) -> bool:
    return _json_matches(expected, actual) or _text_matches(expected, actual)


def _text_matches(expected: str, actual: str) -> bool:
    """Compare piece by piece: text as it is, `...` with anything, numbers with a fraction by value."""
    pattern, numbers = "", []
    for part in TEXT_PARTS.split(expected):
        if part == ANY:
            pattern += ".*?"
        elif TEXT_PARTS.fullmatch(part):
            pattern += rf"(?<![\d.])({NUMBER})(?![\d.])"
            numbers.append(float(part))
        else:
            pattern += re.escape(part)
    found = re.fullmatch(pattern, actual)
    return found is not None and all(_close(a, float(b)) for a, b in zip(numbers, found.groups(), strict=True))


def _json_matches(expected: str, actual: str) -> bool:
    try:
        found, shown = json.loads(actual), json.loads(_with_placeholders(expected))
    except ValueError:
        return False
    return _values_match(shown, found)


def _with_placeholders(text: str) -> str:
    """Make JSON of JSON with `...` in it: a string as value or element, a member of its own among members."""
    pieces: list[str] = []
    open_brackets: list[str] = []
    before = ""
    for piece in JSON_PARTS.findall(text):
        if piece == ANY:
            members = open_brackets[-1:] == ["{"] and before != ":"
            pieces.append(f'"{ANY}": "{ANY}"' if members else f'"{ANY}"')
        else:
            pieces.append(piece)
        if piece in ("[", "{"):
            open_brackets.append(piece)
        elif piece in ("]", "}") and open_brackets:
            open_brackets.pop()
        before = piece if piece.strip() else before
    return "".join(pieces)


def _values_match(expected: Any, actual: Any) -> bool:
    if expected == ANY:
        return True
    if isinstance(expected, dict):
        return isinstance(actual, dict) and _members_match(expected, actual)
    if isinstance(expected, list):
        return isinstance(actual, list) and _elements_match(expected, actual)
    if isinstance(expected, str):
        pattern = ".*".join(re.escape(part) for part in expected.split(ANY))
        return isinstance(actual, str) and re.fullmatch(pattern, actual, re.DOTALL) is not None
    if isinstance(expected, float) and isinstance(actual, int | float) and not isinstance(actual, bool):
        return _close(expected, actual)
    return type(expected) is type(actual) and bool(expected == actual)


def _members_match(expected: dict[str, Any], actual: dict[str, Any]) -> bool:
    names = expected.keys() - {ANY}
    complete = ANY in expected or names == actual.keys()
    return complete and all(name in actual and _values_match(expected[name], actual[name]) for name in names)


def _elements_match(expected: list[Any], actual: list[Any]) -> bool:
    if not expected:
        return not actual
    if expected[0] == ANY:
        return any(_elements_match(expected[1:], actual[skipped:]) for skipped in range(len(actual) + 1))
    return bool(actual) and _values_match(expected[0], actual[0]) and _elements_match(expected[1:], actual[1:])


def _close(expected: float, actual: float) -> bool:
    return math.isclose(expected, actual, rel_tol=TOLERANCE, abs_tol=1e-6)


@dataclass
class Shell:
    """One bash that runs commands one after the other, in `folder`, with its variables kept between them."""

    folder: Path
    environment: dict[str, str] = field(default_factory=lambda: dict(os.environ))
    seconds: float = COMMAND_SECONDS

    def __enter__(self) -> Self:
        self._process = subprocess.Popen(
            ["bash", "--noprofile", "--norc"],
            cwd=self.folder,
            env=self.environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        os.killpg(self._process.pid, signal.SIGKILL)  # a session of its own: what it left running goes with it
        self._process.communicate()

    def run(self, command: str) -> tuple[str, int]:
        """Run a command; what it printed on both streams, and its status. Raises TimeoutError."""
        assert self._process.stdin is not None
        mark = f"[{os.urandom(8).hex()}]"
        script = f"{{ {command}\n}} </dev/null\necho '{mark}'$?\n"
        self._process.stdin.write(script.encode())
        self._process.stdin.flush()
        output, _, status = self._read_until(mark, command).partition(mark)
        return output, int(status)

    def _read_until(self, mark: str, command: str) -> str:
        assert self._process.stdout is not None
        pipe, read, deadline = self._process.stdout.fileno(), b"", time.monotonic() + self.seconds
        ending = re.compile(re.escape(mark.encode()) + rb"\d+\n")
        while not ending.search(read):
            readable, _, _ = select.select([pipe], [], [], max(0.0, deadline - time.monotonic()))
            chunk = os.read(pipe, 65536) if readable else b""
            if not chunk:
                raise TimeoutError(
                    f"{command!r} did not end in {self.seconds:g} s or ended the shell; printed {read!r}"
                )
            read += chunk
        return read.decode(errors="replace")


def run(markdown: str, shell: Shell, server: Server) -> list[str]:
    """Run all blocks; what went otherwise than the document says, one text for each command."""
    failures = []
    for block in parse(markdown):
        if block.restart:
            server.restart()
        for command in block.commands:
            if command.text.startswith("make serve"):
                server.start(_workers(command.text))
            elif command.text.startswith(("kill ", "pkill ", "killall ")):
                if not block.restart:
                    failures.append(f"line {command.line}: {command.text}: only a block `console restart` may kill")
            elif failure := _run_command(command, shell, server.address):
                failures.append(failure)
    return failures


def _workers(command: str) -> int:
    given = dict(word.partition("=")[::2] for word in shlex.split(command))
    return int(given.get("WORKERS", "1"))


def _run_command(command: Command, shell: Shell, address: str) -> str | None:
    text, expected = ADDRESS.sub(address, command.text), ADDRESS.sub(address, command.expected)
    output, status = shell.run(text)
    if matches(expected, output) and (expected or status == 0):
        return None
    return f"line {command.line}: $ {text}\nexpected:\n{expected}\nprinted (status {status}):\n{output}"

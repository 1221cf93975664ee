"""The runner of the README's blocks, on small examples."""

from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tests.readme_blocks import Block, Command, Shell, matches, parse, run


@dataclass
class RecordingServer:
    """A server that only says what it was asked."""

    address: str = "localhost:4711"
    calls: list[str] = field(default_factory=list)

    def start(self, workers: int = 1) -> None:
        self.calls.append(f"start {workers}")

    def restart(self) -> None:
        self.calls.append("restart")


def document(*lines: str, tags: str = "console") -> str:
    return "\n".join(["# Title", "", f"```{tags}", *lines, "```", "", "The end."])


def test_a_block_is_cut_into_commands_and_what_they_print() -> None:
    text = document("$ echo a \\", "    b", "a b", "$ true", "$ echo c", "c")
    commands = (Command(4, "echo a \\\n    b", "a b"), Command(7, "true", ""), Command(8, "echo c", "c"))
    assert parse(text) == [Block(False, commands)]


def test_only_blocks_tagged_console_are_taken() -> None:
    assert parse(document("$ rm -rf x", tags="sh") + "\n" + document("$ rm -rf x", tags="")) == []
    (block,) = parse(document("$ true", tags="console restart"))
    assert block.restart


def test_a_console_block_inside_a_longer_fence_is_an_example_only() -> None:
    assert parse("````markdown\n" + document("$ false") + "\n````") == []


@pytest.mark.parametrize("text", ["```console\n$ true", document("output before any command")])
def test_a_malformed_block_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="expected"):
        parse(text)


@pytest.mark.parametrize(
    ("expected", "actual"),
    [
        ("", ""),
        ("a b", "a b\n"),
        ("a ... d", "a b c d"),
        ("first\n...\nlast", "first\n1\n2\nlast\n"),
        ("first\n...\nlast", "first\nlast"),
        ("0.1234  the", "0.12341  the"),
        ("HTTP/1.1 200 OK", "HTTP/1.1 200 OK\r\n"),
        ('{"a": 1,  "b": [2]}', '{"b":[2],"a":1}'),
        ('{"a":\n 1}', '{"a":1}'),
        ('{"p": 0.5}', '{"p":0.50001}'),
        ('{"p": 1.0}', '{"p":1}'),
        ('{"id": "ses_...", "b": 1}', '{"id":"ses_xyz","b":1}'),
        ('{"id": ..., "b": 1}', '{"id":{"c":2},"b":1}'),
        ('{"id": "x", ...}', '{"id":"x","b":1,"c":[1]}'),
        ('{"data": [{"a": 1, ...}, ...]}', '{"data":[{"a":1,"b":2},{"a":3}]}'),
        ('HTTP/1.1 201 Created\n...\n\n{"a": 0.3}', 'HTTP/1.1 201 Created\r\nx: y\r\n\r\n{"a":0.3}'),
        ('data: {"logprob": -1.25, "t": "..."}', 'data: {"logprob": -1.2501, "t": "x"}'),
    ],
)
def test_output_that_agrees_matches(expected: str, actual: str) -> None:
    assert matches(expected, actual)


@pytest.mark.parametrize(
    ("expected", "actual"),
    [
        ("", "surprise"),
        ("a", ""),
        ("a", "a\nb"),
        ("a ... d", "a b c"),
        ("0.1234", "0.1250"),
        ("12 words", "13 words"),
        ('{"a": 1}', '{"a":2}'),
        ('{"a": 1}', '{"a":1,"b":2}'),
        ('{"a": 1}', '{"a":true}'),
        ('{"a": 1, ...}', '{"b":1}'),
        ('{"p": 0.5}', '{"p":0.51}'),
        ('{"a": [1, 2]}', '{"a":[2,1]}'),
        ('{"id": "ses_..."}', '{"id":"req_1"}'),
        ('{"a": "..."}', "no json"),
    ],
)
def test_output_that_differs_does_not_match(expected: str, actual: str) -> None:
    assert not matches(expected, actual)


def test_commands_share_their_variables_and_talk_to_the_servers_own_address(tmp_path: Path) -> None:
    text = document("$ make serve WORKERS=2", "$ url=http://localhost:8000/v1") + document("$ echo $url", "...:4711/v1")
    server = RecordingServer()
    with Shell(tmp_path) as shell:
        assert run(text, shell, server) == []
    assert server.calls == ["start 2"]


def test_a_restart_block_restarts_the_server_and_kills_nothing_itself(tmp_path: Path) -> None:
    text = document("$ kill -9 1", "$ make serve", "$ echo back", "back", tags="console restart")
    server = RecordingServer()
    with Shell(tmp_path) as shell:
        assert run(text, shell, server) == []
    assert server.calls == ["restart", "start 1"]


def test_killing_outside_of_a_restart_block_is_refused(tmp_path: Path) -> None:
    with Shell(tmp_path) as shell:
        (failure,) = run(document("$ kill -9 1"), shell, RecordingServer())
    assert "console restart" in failure


def test_every_command_that_goes_wrong_is_told_with_its_line(tmp_path: Path) -> None:
    with Shell(tmp_path) as shell:
        first, second = run(document("$ echo a", "b", "$ false", "$ echo c", "c"), shell, RecordingServer())
    assert first.startswith("line 4")
    assert second.startswith("line 6")
    assert "status 1" in second


def test_a_command_may_fail_if_the_document_shows_what_it_says(tmp_path: Path) -> None:
    with Shell(tmp_path) as shell:
        assert run(document("$ (echo no such thing >&2; false)", "no such thing"), shell, RecordingServer()) == []


def test_a_command_that_never_ends_is_given_up(tmp_path: Path) -> None:
    with Shell(tmp_path, seconds=0.2) as shell, pytest.raises(TimeoutError, match="did not end"):
        shell.run("read -r line < <(tail -f /dev/null)")

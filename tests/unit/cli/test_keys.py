"""`unroll keys`: what is printed, what is written, and that no other command gets in between."""

import json
import stat
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from service.cli import app
from service.cli.keys_file import changing
from service.domain.access.api_keys import ApiKey, digest_of, read_keys


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "keys.json"


def keys(*arguments: str, file: Path | None = None, status: int = 0) -> Result:
    option = () if file is None else ("--file", str(file))
    result = CliRunner().invoke(app, ["keys", *arguments, *option], env={"UNROLL_API_KEYS_FILE": ""})
    assert result.exit_code == status, result.output
    return result


def test_a_key_is_printed_once_and_its_digest_is_kept(path: Path) -> None:
    created = keys("create", "--tenant", "alice", file=path)
    secret = created.stdout.strip()
    (entry,) = read_keys(path)
    assert len(secret) == len("unroll_") + 43
    assert entry.digest == digest_of(secret.encode())
    assert (entry.tenant, entry.role, entry.models, entry.expires_at) == ("alice", "client", None, None)
    assert secret not in path.read_text()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    for listed in (keys("list", file=path), keys("list", "--json", file=path)):
        assert entry.id in listed.stdout
        assert secret not in listed.output
        assert entry.digest.hex() not in listed.output


def test_a_key_has_what_its_options_say(path: Path) -> None:
    options = ["--model", "tiny", "--model", "pair", "--limit", "sessions=5", "--limit", "weight=2", "--expires", "90d"]
    made = json.loads(keys("create", "--tenant", "bob", *options, "--note", "nightly", "--json", file=path).stdout)
    (entry,) = read_keys(path)
    assert entry.digest == digest_of(made["key"].encode())
    assert (entry.id, entry.models, entry.limits) == (made["id"], ("tiny", "pair"), {"sessions": 5, "weight": 2.0})
    assert (entry.expires_at or 0) - entry.created_at == 90 * 86_400_000
    assert entry.note == "nightly"


def test_a_revoked_key_is_gone_and_the_others_stay_in_their_order(path: Path) -> None:
    for tenant in ("a", "b", "c"):
        keys("create", "--tenant", tenant, "--role", "admin", file=path)
    before = read_keys(path)
    keys("revoke", before[1].id, file=path)
    assert read_keys(path) == (before[0], before[2])


@pytest.mark.parametrize(
    ("arguments", "status", "message"),
    [
        (["create", "--tenant", "*"], 1, 'tenant is "*": expected 1 to 128 letters'),
        (["create", "--tenant", "a", "--role", "admin", "--model", "tiny"], 1, "expected none of an admin"),
        (["create", "--tenant", "a", "--expires", "soon"], 2, "--expires soon: expected a time to come"),
        (["create", "--tenant", "a", "--expires", "2020-01-01T00:00:00Z"], 2, "expected a time to come"),
        (["create", "--tenant", "a", "--limit", "speed=1"], 2, "--limit speed=1: expected NAME=VALUE"),
        (["create", "--tenant", "a", "--limit", "sessions=x"], 2, "--limit sessions=x: expected a whole number"),
        (["revoke", "key_0"], 1, "ID is 'key_0': expected the id of a key"),
        (["list"], 1, "No such file"),
    ],
)
def test_what_is_wrong_is_told_and_nothing_is_written(
    path: Path, arguments: list[str], status: int, message: str
) -> None:
    refused = keys(*arguments, file=path, status=status)
    assert message in " ".join(refused.output.replace("│", " ").split())
    assert not path.exists()


def test_a_broken_file_is_not_written_over(path: Path) -> None:
    path.write_text('{"keys": [{"id": "k"}]}')
    refused = keys("create", "--tenant", "a", file=path, status=1)
    assert "keys[0].tenant is missing" in refused.output
    assert path.read_text() == '{"keys": [{"id": "k"}]}'


def test_without_a_file_the_command_says_how_to_name_one() -> None:
    assert "expected --file, or UNROLL_API_KEYS_FILE" in keys("list", status=1).output


def test_a_link_to_the_file_stays_one(path: Path, tmp_path: Path) -> None:
    keys("create", "--tenant", "a", file=path)
    link = tmp_path / "link"
    link.symlink_to(path)
    keys("create", "--tenant", "b", file=link)
    assert link.is_symlink()
    assert [key.tenant for key in read_keys(path)] == ["a", "b"]


def _add(path: Path, number: int) -> None:
    with changing(path) as present:
        present.append(ApiKey(f"k{number}", "a", digest_of(b"%d" % number), 0))


def test_commands_that_run_at_once_lose_no_key(path: Path) -> None:
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(partial(_add, path), range(8)))
    assert {key.id for key in read_keys(path)} == {f"k{number}" for number in range(8)}

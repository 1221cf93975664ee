"""What `unroll doctor` says of the settings: who may use the service."""

from dataclasses import replace
from pathlib import Path

import pytest

from service import settings
from service.deployment.process_checks import check_settings
from service.domain.access.api_keys import ApiKey, digest_of, format_keys

KEY = ApiKey("k1", "alice", digest_of(b"one"), 0)


def access(**options: object) -> tuple[str, str]:
    """Level and text of the finding about access."""
    (finding,) = [one for one in check_settings(settings.load(**options)) if one.part == "access"]
    return finding.level, finding.text


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "keys.json"


def test_valid_keys_of_the_file_and_of_the_environment_are_counted_by_tenant(path: Path) -> None:
    keys = [KEY, replace(KEY, id="k2", digest=digest_of(b"two")), replace(KEY, id="k3", tenant="bob", digest=b"3" * 32)]
    path.write_bytes(format_keys([*keys, replace(KEY, id="k4", tenant="eve", digest=b"4" * 32, expires_at=1)]))
    assert access(api_keys_file=path) == ("ok", "API keys of 2 tenants are configured")
    assert access(api_keys_file=path, api_keys="carol:key") == ("ok", "API keys of 3 tenants are configured")


def test_a_file_without_a_valid_key_is_a_warning(path: Path) -> None:
    path.write_bytes(format_keys([replace(KEY, expires_at=1)]))
    level, text = access(api_keys_file=path)
    assert (level, "found no valid key" in text) == ("warning", True)


def test_a_broken_file_is_an_error_that_names_the_entry(path: Path) -> None:
    path.write_text('{"keys": [{"id": "k1"}]}')
    level, text = access(api_keys_file=path)
    assert level == "error"
    assert "keys[0].tenant is missing: expected" in text

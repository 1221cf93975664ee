"""Settings are read once, checked, and passed on whole."""

from pathlib import Path

import pytest

from service import settings
from service.domain.errors import SettingsError


@pytest.fixture(autouse=True)
def _no_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in settings.Settings.model_fields:
        monkeypatch.delenv(settings.variable(name), raising=False)


def test_the_command_line_wins_over_the_environment_and_that_over_the_defaults(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("UNROLL_PORT", "9001")
    monkeypatch.setenv("UNROLL_WORKERS", "3")
    monkeypatch.setenv("REDIS_URL", "redis://store:6379/0")
    found = settings.load(port=9002, host=None)
    assert (found.port, found.workers, found.host, found.redis_url) == (9002, 3, "127.0.0.1", "redis://store:6379/0")


@pytest.mark.parametrize(
    ("variable", "value", "message"),
    [
        ("UNROLL_PORT", "70000", "UNROLL_PORT is wrong, '70000': expected it to be less than or equal to 65535"),
        ("UNROLL_WORKERS", "many", "UNROLL_WORKERS is wrong, 'many': expected it to be a valid integer"),
        ("UNROLL_DURABILITY", "disk", "UNROLL_DURABILITY is wrong, 'disk': expected it to be 'memory'"),
        ("UNROLL_DTYPE", "int4", "UNROLL_DTYPE is wrong, 'int4': expected it to be 'float32', 'bfloat16' or 'int8'"),
        ("UNROLL_DTYPE", "next-word=", "UNROLL_DTYPE is wrong, '': expected it to be 'float32'"),
        ("UNROLL_DTYPE", "int8,float32", "UNROLL_DTYPE is wrong, 'int8,float32': expected one dtype for each model"),
        ("UNROLL_API_KEYS", "secret-without-tenant", "UNROLL_API_KEYS is wrong, as it stands: expected TENANT:KEY"),
        ("UNROLL_API_KEYS", "a:k,b:k", "one key stands twice"),
        ("UNROLL_KEY_PREFIX", "{x}", "UNROLL_KEY_PREFIX is wrong, '{x}'"),
        ("UNROLL_TENANT_LIMITS", "alice:weight=0", "alice:weight=0 has no valid value: expected a number above 0"),
    ],
)
def test_a_wrong_setting_is_named_with_its_value_and_what_was_expected(
    monkeypatch: pytest.MonkeyPatch, variable: str, value: str, message: str
) -> None:
    monkeypatch.setenv(variable, value)
    with pytest.raises(SettingsError) as refusal:
        settings.load()
    assert message in str(refusal.value)
    assert "secret" not in str(refusal.value)


def test_another_process_reads_the_same_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    given = settings.load(
        port=9003,
        models=Path("elsewhere"),
        api_keys="alice:k1,bob:k2",
        redis_url="unix:///s",
        dtype="a=int8,float32",
        deterministic=True,
        allowed_hosts="a.example,*.b.example",
        allowed_origins="https://a.example",
        api_keys_file=Path("keys.json"),
        root_path="/unroll",
        trusted_proxies="10.0.0.0/8,::1",
        protocols="openai,websocket",
        public_operations=True,
    )
    for name, value in settings.to_environment(given).items():
        monkeypatch.setenv(name, value)
    assert settings.load() == given


@pytest.mark.parametrize(
    ("value", "next_word", "others"),
    [
        ("", None, None),
        ("bfloat16", "bfloat16", "bfloat16"),
        ("next-word=int8", "int8", None),
        (" next-word = int8 , float32", "int8", "float32"),
    ],
)
def test_a_dtype_holds_for_all_models_or_for_the_one_that_it_names(
    value: str, next_word: str | None, others: str | None
) -> None:
    found = settings.load(dtype=value)
    assert (found.dtype_of("next-word"), found.dtype_of("sensor")) == (next_word, others)


def test_variables_that_are_no_settings_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("UNROLL_WORKER", "4")
    assert "UNROLL_WORKER" in settings.unknown_variables()


@pytest.mark.parametrize(
    ("variable", "value", "message"),
    [
        ("UNROLL_ALLOWED_HOSTS", "a.example:8000", "expected host names or addresses without ports"),
        ("UNROLL_ALLOWED_HOSTS", "http://a.example", "expected host names"),
        ("UNROLL_ALLOWED_HOSTS", "a.*.example", "expected host names"),
        ("UNROLL_ALLOWED_ORIGINS", "app.example", "expected origins such as https://app.example.com, without a path"),
        ("UNROLL_ALLOWED_ORIGINS", "https://app.example/", "without a path"),
        ("UNROLL_ALLOWED_ORIGINS", "https://*.example", "expected origins"),
        ("UNROLL_ALLOWED_ORIGINS", "null", "expected origins"),
        ("UNROLL_TRUSTED_PROXIES", "*", "expected addresses, or networks such as 10.0.0.0/8"),
        ("UNROLL_TRUSTED_PROXIES", "10.0.0.1/8", "expected addresses"),
        ("UNROLL_TRUSTED_PROXIES", "proxy.example", "expected addresses"),
        ("UNROLL_ROOT_PATH", "unroll", "UNROLL_ROOT_PATH is wrong, 'unroll'"),
        ("UNROLL_ROOT_PATH", "/unroll/", "UNROLL_ROOT_PATH is wrong"),
    ],
)
def test_a_wrong_host_or_origin_is_refused(
    monkeypatch: pytest.MonkeyPatch, variable: str, value: str, message: str
) -> None:
    monkeypatch.setenv(variable, value)
    with pytest.raises(SettingsError, match=variable) as refusal:
        settings.load()
    assert message in str(refusal.value)


def test_hosts_and_origins_are_lists_in_lower_case() -> None:
    found = settings.load(allowed_hosts=" A.example, *.b.example ,::1,*", allowed_origins="https://App.example:8443")
    assert found.allowed_hosts == ("a.example", "*.b.example", "::1", "*")
    assert found.allowed_origins == ("https://app.example:8443",)
    assert settings.load().allowed_hosts == ()


def test_protocols_are_named_one_by_one_and_none_of_them_need_be_served(monkeypatch: pytest.MonkeyPatch) -> None:
    assert settings.load().protocols == ("grpc", "libretranslate", "open-inference", "openai", "websocket")
    assert settings.load(protocols="openai, open-inference").protocols == ("openai", "open-inference")
    monkeypatch.setenv("UNROLL_PROTOCOLS", "")
    assert settings.load().protocols == ()
    with pytest.raises(SettingsError, match="UNROLL_PROTOCOLS is wrong, 'thrift'"):
        settings.load(protocols="thrift")

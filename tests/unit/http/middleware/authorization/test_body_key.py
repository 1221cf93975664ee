"""API keys in the bodies of LibreTranslate's clients."""

import time

import pytest

from service.http.middleware.authorization.body_key import find_body_key, may_have_body_key


@pytest.mark.parametrize(
    ("content", "key"),
    [
        (b'{"q": "x", "api_key": "secret"}', b"secret"),
        (b' \n{"api_key": "secret"}', b"secret"),
        (b'{"api_key": "' + b"k" * 20_000 + b'"}', b"k" * 20_000),
        (b"q=a+b&api_key=s%26t", b"s&t"),
        (b"api_key=first&api_key=second", b"second"),
        (b'{"api_key": 1}', b""),
        (b'{"api_key": null}', b""),
        (b'{"api_key": "\xc4\x80"}', b"?"),
        (b'{"api_key"', b""),
        (b'["api_key"]', b""),
        (b"{" * 10_000, b""),
        (b"\xff\x00", b""),
        (b"", b""),
    ],
)
async def test_the_key_is_that_of_the_object_or_of_the_form(content: bytes, key: bytes) -> None:
    assert await find_body_key("someone", content) == key


async def test_a_number_of_very_many_digits_takes_no_time() -> None:
    started = time.process_time()
    assert await find_body_key("someone", b'{"api_key": ' + b"9" * 2_000_000 + b"}") == b""
    assert await find_body_key("someone", b"&".join([b"a=1"] * 100_000)) == b""
    assert time.process_time() - started < 1


@pytest.mark.parametrize(
    ("path", "headers", "looked_for"),
    [
        ("/translate", {}, True),
        ("/languages", {b"content-type": b"application/json"}, True),
        ("/detect", {}, True),
        ("/translate", {b"x-api-key": b"k"}, False),
        ("/translate", {b"authorization": b"Bearer k"}, False),
        ("/v1/sessions", {}, False),
        ("/translate/more", {}, False),
    ],
)
def test_a_key_is_looked_for_where_no_header_has_one(path: str, headers: dict[bytes, bytes], looked_for: bool) -> None:
    assert may_have_body_key({"type": "http", "path": path}, headers) is looked_for

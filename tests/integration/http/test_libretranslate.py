"""LibreTranslate by the real `libretranslatepy` package, and what it refuses."""

import json
import shutil
import urllib.error
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlencode

import httpx
import pytest
from libretranslatepy import LibreTranslateAPI

from tests.folders import write_language_model
from tests.server import ROOT, Server, answered, post, short_folder
from tests.translation_folders import write_encoder_decoder

KEYS = {"alice": "key-of-alice", "bob": "key-of-bob"}
TEXT = "Where is the station?"
PAIR = {"source": "en", "target": "fr"}
FORM = "application/x-www-form-urlencoded"


@pytest.fixture(scope="module")
def service() -> Iterator[Server]:
    with short_folder() as folder:
        models = folder / "models"
        shutil.copytree(ROOT / "models" / "translate-en-fr", models / "translate-en-fr")
        write_encoder_decoder(models, "unnamed")
        german = write_encoder_decoder(models, "german")
        (german / "README.md").write_text("---\nsource_language: en\ntarget_language: de\n---\n")
        words = write_language_model(models, "words")
        (words / "README.md").write_text("---\nsource_language: en\ntarget_language: es\n---\n")
        keys = ",".join(f"{tenant}:{key}" for tenant, key in KEYS.items())
        with Server(folder, models=models, workers=1, api_keys=keys, max_body_bytes=100_000) as server:
            yield server


@pytest.fixture(scope="module")
def http(service: Server) -> Iterator[httpx.Client]:
    with service.client(KEYS["alice"]) as client:
        yield client


@pytest.fixture(scope="module")
def anonymous(service: Server) -> Iterator[httpx.Client]:
    with service.client() as client:
        yield client


def native(http: httpx.Client, text: str, **options: Any) -> list[str]:
    body = {"input": {"text": text}, "options": options}
    output = answered(post(http, "/v1/models/translate-en-fr/predict", body))["output"]
    return [translation["text"] for translation in output["translations"]]


def refused(response: httpx.Response, status: int, *mentions: str) -> None:
    """The error has a message with all of `mentions`, and no other field."""
    assert response.status_code == status, response.text
    body = response.json()
    assert set(body) == {"error"}
    assert [word for word in mentions if word not in body["error"]] == [], body


# The package.


def test_the_package_translates_and_lists_languages(service: Server, http: httpx.Client) -> None:
    client = LibreTranslateAPI(service.url, api_key=KEYS["bob"])
    assert client.translate(TEXT, "en", "fr") == native(http, TEXT)[0]
    assert client.translate("J'ai été là: <b>&</b> \u2603.", "en", "fr")
    assert client.languages() == [
        {"code": "de", "name": "German", "targets": []},
        {"code": "en", "name": "English", "targets": ["de", "fr"]},
        {"code": "fr", "name": "French", "targets": []},
    ]


@pytest.mark.parametrize("key", ["wrong", "", None])
def test_the_package_is_told_of_a_key_that_is_wrong_or_missing(service: Server, key: str | None) -> None:
    client = LibreTranslateAPI(service.url, api_key=key)
    for call in (lambda: client.translate(TEXT, "en", "fr"), client.languages):
        with pytest.raises(urllib.error.HTTPError) as error:
            call()
        with error.value as response:
            assert (response.code, "API key" in json.load(response)["error"]) == (403, True)


def test_the_package_is_told_that_no_language_is_detected(service: Server) -> None:
    with pytest.raises(urllib.error.HTTPError) as error:
        LibreTranslateAPI(service.url, api_key=KEYS["bob"]).detect(TEXT)
    with error.value as response:
        assert (response.code, "detect is not supported" in json.load(response)["error"]) == (400, True)


# JSON and forms.


def test_texts_are_translated_in_their_order(http: httpx.Client) -> None:
    texts = [TEXT, "I am hungry.", "  ", "\u200b", "Go away."]
    body = answered(post(http, "/translate", {"q": texts, **PAIR}))
    expected = [text if text in {"  ", "\u200b"} else native(http, text)[0] for text in texts]
    assert body == {"translatedText": expected}


def test_alternatives_come_beside_the_translation(http: httpx.Client) -> None:
    best, *others = native(http, TEXT, alternatives=2)
    one = answered(post(http, "/translate", {"q": TEXT, **PAIR, "alternatives": 2}))
    assert one == {"translatedText": best, "alternatives": others}
    several = answered(post(http, "/translate", {"q": [TEXT, " "], **PAIR, "alternatives": 2}))
    assert several == {"translatedText": [best, " "], "alternatives": [others, []]}
    assert len(answered(post(http, "/translate", {"q": TEXT, **PAIR, "alternatives": 9}))["alternatives"]) > 2


def test_a_form_has_texts_and_numbers(http: httpx.Client) -> None:
    best, *others = native(http, TEXT, alternatives=1)
    form = {"q": TEXT, **PAIR, "format": "text", "alternatives": "1", "api_key": ""}
    assert answered(http.post("/translate", data=form)) == {"translatedText": best, "alternatives": others}
    pairs = [("q", TEXT), ("q", "I am hungry."), *PAIR.items()]
    response = http.post("/translate", content=urlencode(pairs), headers={"Content-Type": FORM})
    assert answered(response)["translatedText"] == [best, native(http, "I am hungry.")[0]]


def test_the_source_may_be_left_to_the_target(http: httpx.Client) -> None:
    body = {"q": TEXT, "source": "auto", "target": "fr"}
    assert answered(post(http, "/translate", body)) == {"translatedText": native(http, TEXT)[0]}


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"q": None}, "q is null"),
        ({"q": []}, "q is []: expected a text, or a list of up to 1024 texts"),
        ({"q": [1]}, "q is [1]"),
        ({"q": "\ud800"}, "lone surrogate"),
        ({"source": "xx"}, "source is 'xx': expected one of ['en'] for target 'fr'"),
        ({"target": "en"}, "target is 'en': expected one of ['de', 'fr']"),
        ({"target": 1}, "target is 1"),
        ({"format": "html"}, "format is"),
        ({"alternatives": 16}, "alternatives is 16"),
        ({"alternatives": "many"}, "alternatives is"),
        ({"more": 1}, "more is not a field"),
        ({"q": "a " * 40_000}, "q has 80000 characters"),
    ],
)
def test_what_is_wrong_is_refused_by_name(http: httpx.Client, changes: dict[str, Any], named: str) -> None:
    refused(post(http, "/translate", {"q": TEXT, **PAIR, **changes}), 400, named)


def test_what_is_missing_is_asked_for(http: httpx.Client) -> None:
    for field in ("q", "source", "target"):
        body = {name: value for name, value in {"q": TEXT, **PAIR}.items() if name != field}
        refused(post(http, "/translate", body), 400, f"{field} is missing")
        refused(http.post("/translate", data=body), 400, f"{field} is missing")


def test_what_cannot_be_read_is_refused(http: httpx.Client) -> None:
    refused(post(http, "/translate", b"{"), 400, "not JSON")
    refused(post(http, "/translate", b"[1]"), 400)
    refused(http.post("/translate", content=b"q=x"), 400, "Content-Type is missing")
    refused(http.post("/translate", content=b"x", headers={"Content-Type": "text/plain"}), 400, "'text/plain'")
    refused(http.post("/translate", content=b"q=%ff", headers={"Content-Type": FORM}), 400, "form cannot be read")
    refused(http.post("/translate", content=b"&".join([b"a=1"] * 3000), headers={"Content-Type": FORM}), 400)
    refused(post(http, "/translate", {"q": "x" * 110_000, **PAIR}), 400, "expected at most 100000 bytes")
    refused(http.get("/translate"), 405, "GET")


# Keys in bodies.


def test_a_key_may_be_in_the_body_or_in_a_header(anonymous: httpx.Client, http: httpx.Client) -> None:
    body = {"q": TEXT, **PAIR, "api_key": KEYS["bob"]}
    translated = {"translatedText": native(http, TEXT)[0]}
    assert answered(post(anonymous, "/translate", body)) == translated
    assert answered(anonymous.post("/translate", data=body)) == translated
    large = post(anonymous, "/translate", {**body, "q": [TEXT, " " * 20_000]})
    assert answered(large)["translatedText"][0] == translated["translatedText"]
    in_a_header = post(anonymous, "/translate", body | {"api_key": "wrong"}, **{"X-Api-Key": KEYS["bob"]})
    assert answered(in_a_header) == translated


@pytest.mark.parametrize(
    "content", [b"", b"{", b"{}", b'{"api_key": 1}', b"api_key", b"\xff", b"[]", b'{"api_key": "\xc3\xbc"}']
)
def test_a_body_without_a_right_key_is_refused(anonymous: httpx.Client, content: bytes) -> None:
    response = anonymous.post("/translate", content=content, headers={"Content-Type": "application/json"})
    refused(response, 403, "API key")


def test_a_key_in_the_body_is_for_these_paths_only(anonymous: httpx.Client) -> None:
    body = {"input": {"text": "the"}, "api_key": KEYS["bob"]}
    assert post(anonymous, "/v1/models/words/predict", body).status_code == 401


def test_a_body_that_is_too_large_is_refused_before_its_key_is_looked_for(anonymous: httpx.Client) -> None:
    refused(post(anonymous, "/translate", {"q": "x" * 110_000, **PAIR, "api_key": KEYS["bob"]}), 400, "100000 bytes")

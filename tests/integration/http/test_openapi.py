"""The published contract lists what the routes answer: errors, their envelope, and API keys."""

from typing import Any

import httpx
import pytest
from pydantic import BaseModel

from service.http.app import create_api
from service.http.errors import LIBRETRANSLATE_PATHS
from service.http.schemas.errors import Error
from service.http.schemas.libretranslate import LibreTranslateError
from service.http.schemas.open_inference import OpenInferenceError
from tests.integration.conftest import KEYS, MAX_BODY_BYTES

DOCUMENT: dict[str, Any] = create_api().openapi()
OPERATIONS = [(method, path) for path, item in DOCUMENT["paths"].items() for method in item]
GUARDED = [(method, path) for method, path in OPERATIONS if not path.startswith(("/health", "/v2/health"))]
UNDER_V1 = [(method, path) for method, path in OPERATIONS if path.startswith("/v1")]
WITH_BODY = [(method, path) for method, path in UNDER_V1 if "requestBody" in DOCUMENT["paths"][path][method]]
JSON_BODY = [(method, path) for method, path in WITH_BODY if path != "/v1/sessions/import"]


def ask(http: httpx.Client, method: str, path: str, **request: Any) -> httpx.Response:
    """Send a request whose path parameters are those of nothing."""
    return http.request(method, path.replace("{model}", "nothing").replace("{session_id}", "ses_nothing"), **request)


def assert_documented(response: httpx.Response, method: str, path: str, status: int) -> None:
    """The response has the status, and the contract lists it for this operation with the envelope it has."""
    assert response.status_code == status, response.text
    documented = DOCUMENT["paths"][path][method]["responses"]
    assert str(status) in documented
    assert documented[str(status)]["content"]["application/json"]["schema"] == schema_of_errors(path)
    schema_of(path).model_validate_json(response.content, strict=True, extra="forbid")


def schema_of(path: str) -> type[BaseModel]:
    if path in LIBRETRANSLATE_PATHS:
        return LibreTranslateError
    return OpenInferenceError if path.startswith("/v2") else Error


def schema_of_errors(path: str) -> dict[str, str]:
    return {"$ref": f"#/components/schemas/{schema_of(path).__name__}"}


@pytest.mark.parametrize(("method", "path"), GUARDED)
def test_a_missing_key_is_answered_as_documented(anonymous: httpx.Client, method: str, path: str) -> None:
    status = 403 if path in LIBRETRANSLATE_PATHS else 401
    assert_documented(ask(anonymous, method, path), method, path, status)


@pytest.mark.parametrize(("method", "path"), OPERATIONS)
def test_a_wrong_method_is_answered_as_documented(http: httpx.Client, method: str, path: str) -> None:
    other = "put"
    assert other not in DOCUMENT["paths"][path]
    assert_documented(ask(http, other, path), method, path, 405)


@pytest.mark.parametrize(("method", "path"), WITH_BODY)
def test_a_body_that_is_too_large_is_answered_as_documented(http: httpx.Client, method: str, path: str) -> None:
    assert_documented(ask(http, method, path, content=b" " * (MAX_BODY_BYTES + 1)), method, path, 413)


@pytest.mark.parametrize(("method", "path"), WITH_BODY)
def test_a_body_of_another_type_is_answered_as_documented(http: httpx.Client, method: str, path: str) -> None:
    response = ask(http, method, path, content=b"{}", headers={"Content-Type": "text/plain"})
    assert_documented(response, method, path, 415)


@pytest.mark.parametrize(("method", "path"), JSON_BODY)
def test_a_body_that_is_no_json_is_answered_as_documented(http: httpx.Client, method: str, path: str) -> None:
    response = ask(http, method, path, content=b"{", headers={"Content-Type": "application/json"})
    assert_documented(response, method, path, 400)


@pytest.mark.parametrize(("method", "path"), UNDER_V1)
def test_a_wrong_header_is_answered_as_documented(http: httpx.Client, method: str, path: str) -> None:
    response = ask(http, method, path, headers={"X-Request-Timeout-Ms": "soon"})
    assert_documented(response, method, path, 422)


@pytest.mark.parametrize(("method", "path"), GUARDED)
def test_what_no_request_here_provokes_is_documented_in_the_envelope(method: str, path: str) -> None:
    responses = DOCUMENT["paths"][path][method]["responses"]
    statuses = {"403", "429", "500"} | ({"503"} if path.startswith("/v1") else set())
    assert statuses <= responses.keys()
    for status in statuses:
        schema = responses[status]["content"]["application/json"]["schema"]
        assert schema == schema_of_errors(path)


@pytest.mark.parametrize(("method", "path"), [item for item in UNDER_V1 if item not in WITH_BODY])
def test_an_operation_without_a_body_lists_no_error_about_one(method: str, path: str) -> None:
    assert not {"400", "415"} & DOCUMENT["paths"][path][method]["responses"].keys()


@pytest.mark.parametrize(("method", "path"), OPERATIONS)
def test_an_operation_lists_either_kind_of_key_if_it_may_need_one(method: str, path: str) -> None:
    schemes = DOCUMENT["components"]["securitySchemes"]
    assert (schemes["bearer"]["type"], schemes["bearer"]["scheme"]) == ("http", "bearer")
    assert (schemes["apiKey"]["in"], schemes["apiKey"]["name"]) == ("header", "X-Api-Key")
    security = DOCUMENT["paths"][path][method].get("security")
    assert security == ([{"bearer": []}, {"apiKey": []}, {}] if (method, path) in GUARDED else None)


@pytest.mark.parametrize("headers", [{"Authorization": f"Bearer {KEYS['alice']}"}, {"X-Api-Key": KEYS["alice"]}])
def test_the_documented_keys_are_those_that_are_accepted(anonymous: httpx.Client, headers: dict[str, str]) -> None:
    assert anonymous.get("/v1/models", headers=headers).status_code == 200

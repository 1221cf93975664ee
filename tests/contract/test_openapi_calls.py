"""Schemathesis calls every operation of the OpenAPI document: no answer is a 500, and each is as documented."""

import json
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest
import schemathesis
from hypothesis import HealthCheck, settings
from schemathesis.checks import CHECKS, load_all_checks
from schemathesis.config import SchemathesisConfig

from service.http.openapi import openapi_document
from tests.forecast_folders import write_forecaster
from tests.server import Body, Server, answered, post, short_folder, tiny_models
from tests.translation_folders import write_encoder_decoder

KEY = "a-key"
HEADERS = {"Authorization": f"Bearer {KEY}"}
MAX_EXAMPLES = 12
#: Placeholders in the document, each for a live session of that model.
SESSIONS = {f"session-of-{model}": model for model in ("tiny", "mt", "sensor")}
NAMES: dict[str, list[str]] = {
    "model": ["tiny", "mt", "sensor"],
    "version": ["1"],
    "session_id": [*SESSIONS],
}
#: A model of its own, so that the others stay loaded.
UNLOAD = "/v2/repository/models/{model}/unload"

load_all_checks()
AS_DOCUMENTED = CHECKS.get_by_names(
    ["status_code_conformance", "content_type_conformance", "response_headers_conformance",
     "response_schema_conformance"]
)  # fmt: skip


def document() -> Body:
    """Return the OpenAPI document in which the names of models, versions and sessions are those that there are."""
    described: Body = json.loads(openapi_document())
    for path, item in described["paths"].items():
        for operation in item.values():
            for parameter in operation.get("parameters", ()):
                names = ["spare"] if path == UNLOAD else NAMES.get(parameter["name"])
                if parameter["in"] == "path" and names:
                    parameter["schema"] = {"type": "string", "enum": names}
    return described


CONFIG = SchemathesisConfig.from_dict(
    {
        "seed": 1,
        "generation": {"deterministic": True},
        "phases": {
            "coverage": {"enabled": False},
            "fuzzing": {"extra-data-sources": {"responses": False}, "error-feedback": {"enabled": False}},
        },
    }
)
SCHEMA = schemathesis.openapi.from_dict(document(), config=CONFIG)


@pytest.fixture(scope="module")
def http() -> Iterator[httpx.Client]:
    with short_folder() as folder:
        models = tiny_models(folder / "models")
        write_encoder_decoder(models, "mt")
        write_forecaster(models, "sensor")
        tiny_models(folder / "spare")
        (folder / "spare" / "tiny").rename(models / "spare")
        options = {"api_keys": f"tenant:{KEY}", "models_poll_seconds": 0.1, "max_wrong_keys": 1_000_000}
        with Server(folder, models=models, **options) as server, server.client(KEY) as client:
            yield client


@pytest.fixture(scope="module")
def live(http: httpx.Client) -> Callable[[str], str]:
    """Return the id of a live session by its placeholder."""
    ids: dict[str, str] = {}

    def find(name: str) -> str:
        if name not in SESSIONS:
            return name
        if name not in ids or http.get(f"/v1/sessions/{ids[name]}").status_code != 200:
            source = {"input": {"text": "a b"}} if SESSIONS[name] == "mt" else {}
            ids[name] = answered(post(http, "/v1/sessions", {"model": SESSIONS[name], **source}), 201)["id"]
        return ids[name]

    return find


@SCHEMA.parametrize()
@settings(max_examples=MAX_EXAMPLES, deadline=None, database=None, suppress_health_check=list(HealthCheck))
def test_every_answer_is_as_documented(case: Any, http: httpx.Client, live: Callable[[str], str]) -> None:
    if "session_id" in case.path_parameters:
        case.path_parameters["session_id"] = live(case.path_parameters["session_id"])
    response = case.call(base_url=str(http.base_url), headers=HEADERS)
    assert response.status_code != 500, response.text
    case.validate_response(response, checks=AS_DOCUMENTED)


@pytest.mark.parametrize("headers", [{}, {"Authorization": "Bearer wrong"}], ids=["no key", "a wrong key"])
def test_every_refusal_of_a_key_is_as_documented(http: httpx.Client, headers: dict[str, str]) -> None:
    for operation in [result.ok() for result in SCHEMA.get_all_operations()]:
        path = {name: names[0] for name, names in NAMES.items() if f"{{{name}}}" in operation.path}
        case = operation.Case(path_parameters=path, body={}, media_type="application/json")
        response = case.call(base_url=str(http.base_url), headers=headers)
        keyless = operation.path.startswith(("/health", "/v2/health"))
        assert (response.status_code in {401, 403}) != keyless, (operation.label, response.text)
        case.validate_response(response, checks=AS_DOCUMENTED)

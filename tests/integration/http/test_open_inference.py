"""The Open Inference Protocol under /v2: health, metadata and errors."""

import httpx
import pytest

from tests.server import answered


def refused(response: httpx.Response, status: int, *mentions: str) -> str:
    """The message of an error under /v2, which has no other field."""
    assert response.status_code == status, response.text
    body = response.json()
    assert set(body) == {"error"}
    message: str = body["error"]
    assert [word for word in mentions if word not in message] == []
    return message


@pytest.mark.parametrize("path", ["/v2/health/live", "/v2/health/ready"])
def test_health_needs_no_key(anonymous: httpx.Client, path: str) -> None:
    assert anonymous.get(path).status_code == 200


@pytest.mark.parametrize("path", ["/v2", "/v2/models/tiny/ready"])
def test_everything_else_needs_a_key(anonymous: httpx.Client, path: str) -> None:
    refused(anonymous.get(path), 401, "no API key")


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("tiny/ready", 200),
        ("tiny/versions/1/ready", 200),
        ("tiny/versions/9/ready", 503),
        ("nothing/ready", 503),
    ],
)
def test_a_model_is_ready_if_it_is_served(http: httpx.Client, path: str, status: int) -> None:
    assert http.get(f"/v2/models/{path}").status_code == status


def test_the_server_tells_its_name_and_extensions(http: httpx.Client) -> None:
    body = answered(http.get("/v2"))
    assert (body["name"], set(body)) == ("unroll", {"name", "version", "extensions"})


def test_errors_are_one_text(http: httpx.Client) -> None:
    refused(http.get("/v2/nothing"), 404, "no resource")
    refused(http.delete("/v2"), 405, "DELETE")
    refused(http.get("/v2", headers={"X-Request-Timeout-Ms": "soon"}), 422, "soon")

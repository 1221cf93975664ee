"""One line and one set of metrics for each request."""

import logging
from types import SimpleNamespace
from typing import Any

import pytest
from starlette.routing import Route
from starlette.types import Message

from service.application.deadlines import DeadlineSweeper
from service.application.limits.admission import Admission
from service.http.middleware.access_log import AccessLog, report
from service.http.middleware.body import BodyLimits, RequestBody
from service.http.middleware.response import ResponseStart
from tests.fakes import CountingObserver, ManualClock

SESSION = "ses_AbCdEfGhIjKlMnOpQrStUvWx"


async def _no_receive() -> Message:
    raise AssertionError("nothing is received here")


async def _no_send(_message: Message) -> None:
    raise AssertionError("nothing is sent here")


def _report(
    route: str | Route,
    status: int,
    code: str | None = None,
    method: str = "POST",
    access_log: AccessLog = "all",
    tenant: str | None = None,
    path: str = "",
) -> CountingObserver:
    observer = CountingObserver()
    sweeper = DeadlineSweeper(ManualClock().monotonic, RequestBody.expire)
    response = ResponseStart(_no_send, b"req_1", RequestBody(_no_receive, {}, BodyLimits(0), sweeper, {}), Admission(1))
    response.status = status
    known = SimpleNamespace(path=route) if isinstance(route, str) else route
    scope: dict[str, Any] = {"method": method, "path": path, "route": known, "state": {"error_code": code}}
    if tenant is not None:
        scope["state"]["tenant"] = tenant
    report(observer, scope, response, 0.0123456, access_log)
    return observer


@pytest.mark.parametrize(
    ("route", "status", "code", "level"),
    [
        ("/v1/models", 200, None, logging.INFO),
        ("/v1/models", 404, "not_found", logging.INFO),
        ("/v1/models", 499, None, logging.INFO),
        ("/v1/models", 500, "internal_error", logging.WARNING),
        ("/v1/models", 503, "shutting_down", logging.WARNING),
        ("/v1/models", 503, "overloaded", logging.DEBUG),
        ("/health/ready", 503, None, logging.DEBUG),
        ("/metrics", 200, None, logging.DEBUG),
    ],
)
def test_the_level_of_a_line_follows_route_and_outcome(
    caplog: pytest.LogCaptureFixture, route: str, status: int, code: str | None, level: int
) -> None:
    caplog.set_level("DEBUG", logger="unroll.access")
    _report(route, status, code)
    (line,) = caplog.records
    assert (line.message, line.levelno) == ("request", level)


def test_a_line_has_the_documented_fields(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("DEBUG", logger="unroll.access")
    _report("/v1/models", 404, "not_found", tenant="alice")
    fields = ("request_id", "tenant", "method", "route", "status", "code", "milliseconds")
    values = ("req_1", "alice", "POST", "/v1/models", 404, "not_found", 12.346)
    assert tuple(getattr(caplog.records[0], name) for name in fields) == values


@pytest.mark.parametrize(
    ("path", "route", "status", "subject"),
    [
        ("/v1/models/next-word/predict", "/v1/models/{model}/predict", 200, ("next-word", None)),
        (f"/v1/sessions/{SESSION}/steps", "/v1/sessions/{session_id}/steps", 409, (None, "ses_AbCdEfGh")),
        ("/v1/models/any text/predict", "/v1/models/{model}/predict", 404, (None, None)),
        ("/v1/models", "/v1/models", 200, (None, None)),
    ],
)
def test_a_line_has_the_model_and_the_beginning_of_the_session_id_of_its_path(
    caplog: pytest.LogCaptureFixture, path: str, route: str, status: int, subject: tuple[str | None, str | None]
) -> None:
    caplog.set_level("DEBUG", logger="unroll.access")
    _report(Route(route, _no_send), status, path=path)
    record = caplog.records[0].__dict__
    assert (record["model"], record["session"]) == subject
    assert SESSION not in str(record)


def test_a_request_that_was_refused_before_its_tenant_was_known_is_logged_without_one(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level("DEBUG", logger="unroll.access")
    _report("/v1/models", 401, "missing_api_key")
    assert caplog.records[0].__dict__["tenant"] is None


@pytest.mark.parametrize("code", ["overloaded", "shutting_down", "deadline_exceeded", "rate_limited"])
def test_a_request_refused_for_lack_of_room_or_time_is_counted_as_shed(code: str) -> None:
    assert _report("/v1/models", 503, code).counts[f"shed {code}"] == 1


def test_another_failure_is_not_counted_as_shed() -> None:
    assert not any(name.startswith("shed") for name in _report("/v1/models", 503, "store_full").counts)


def test_a_method_of_the_clients_own_is_not_logged_by_its_name(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("DEBUG", logger="unroll.access")
    _report("/v1/models", 405, "method_not_allowed", method="BREW")
    assert caplog.records[0].__dict__["method"] == "other"


@pytest.mark.parametrize(
    ("access_log", "logged"),
    [("all", [200, 399, 400, 500]), ("errors", [400, 500]), ("off", [])],
)
def test_the_setting_chooses_which_requests_are_logged(
    access_log: AccessLog, logged: list[int], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("DEBUG", logger="unroll.access")
    for status in (200, 399, 400, 500):
        observer = _report("/v1/models", status, access_log=access_log)
        assert observer.counts[f"request /v1/models {status}"] == 1
    assert [record.__dict__["status"] for record in caplog.records] == logged

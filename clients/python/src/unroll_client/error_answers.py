"""Conversion of error answers to exceptions."""

import email.utils
import json
import time
from collections.abc import Mapping
from typing import Any

from unroll_client.errors import CODES, STATUSES, InvalidRequest, ServerError, UnrollError


def error_of(status: int, headers: Mapping[str, str], content: bytes) -> UnrollError:
    """Return the exception of an answer that is no success; also of one that a proxy wrote."""
    retry_after = _seconds(headers.get("Retry-After"))
    return error_of_envelope(_json(content), status, headers.get("X-Request-Id"), retry_after)


def error_of_envelope(
    body: object, status: int | None = None, request_id: str | None = None, retry_after: float | None = None
) -> UnrollError:
    """Return the exception of an error envelope, `{"error": {...}}`."""
    error = body.get("error") if isinstance(body, dict) else None
    fields: dict[str, Any] = error if isinstance(error, dict) else {}
    code = fields.get("code")
    return _class_of(code, status)(
        str(fields.get("message") or f"the service answered with status {status}"),
        code=code,
        status=status,
        param=fields.get("param"),
        applied=fields.get("applied"),
        step=fields.get("step"),
        request_id=request_id,
        retry_after=retry_after,
    )


def _class_of(code: object, status: int | None) -> type[UnrollError]:
    if isinstance(code, str) and code in CODES:
        return CODES[code]
    if status is None:
        return ServerError if code == "internal_error" else InvalidRequest
    return STATUSES.get(status, InvalidRequest if 400 <= status < 500 else ServerError)


def _json(content: bytes) -> object:
    try:
        return json.loads(content)
    except ValueError:
        return None


def _seconds(retry_after: str | None) -> float | None:
    """Read a Retry-After header: seconds, or a date as proxies send it."""
    if not retry_after:
        return None
    try:
        return max(0.0, float(retry_after))
    except ValueError:
        pass
    try:
        return max(0.0, email.utils.parsedate_to_datetime(retry_after).timestamp() - time.time())
    except ValueError:
        return None

"""Responses to errors that no route has answered, such as those of the middleware itself."""

import asyncio
import logging

from starlette.requests import ClientDisconnect
from starlette.types import Scope

from service.domain.errors import CRASHED, STOPPED, InternalError, ShuttingDown, UnrollError
from service.http import errors
from service.http.middleware.body import RequestBody
from service.http.middleware.response import ResponseStart

log = logging.getLogger("unroll.access")

#: The status under which nginx, too, counts a client that disconnected before the response.
CLIENT_GONE = 499


async def respond(
    error: BaseException, scope: Scope, body: RequestBody, response: ResponseStart, *, draining: bool
) -> None:
    """Answer a request with the envelope of `error`, unless its response has started or its client has disconnected."""
    if isinstance(error, ClientDisconnect) or (isinstance(error, asyncio.CancelledError) and body.client_gone):
        response.status = CLIENT_GONE
        return
    domain_error = _to_domain(error, scope, response.request_id)
    if response.status:
        return
    if draining:
        await body.discard()
    await errors.error_response(domain_error, scope)(scope, body.receive, response.send)


def _to_domain(error: BaseException, scope: Scope, request_id: bytes) -> UnrollError:
    if isinstance(error, UnrollError):
        return error
    if isinstance(error, asyncio.CancelledError):
        # A worker that stops cancels the request wherever it is, so it is not known what took effect.
        return ShuttingDown(STOPPED, applied="unknown")
    request = {"request_id": request_id.decode(), "tenant": scope["state"].get("tenant")}
    log.error("request crashed", extra=request, exc_info=error)
    return InternalError(CRASHED)

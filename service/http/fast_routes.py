"""Fast paths to the most frequent routes, which bypass FastAPI's routing and dependency injection.

Both take longer than a step of a small network. A valid request is passed straight to its route's function. Any other
request is passed on to FastAPI, which alone responds to invalid ones.
"""

from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from functools import partial
from typing import Any

from fastapi import APIRouter, Response
from fastapi.routing import APIRoute
from pydantic import ValidationError
from pydantic_core import from_json
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from service.application.services import Services
from service.domain.runtime.fair_thread import LARGE_BODY_BYTES, run_sized
from service.http.body_sizes import check_sizes
from service.http.json_body import LONG_INTEGER, invalid_request
from service.http.middleware.headers import Headers
from service.http.routes import models, sessions
from service.http.schemas import requests
from service.http.schemas.strict import Schema

#: Valid lengths of an Idempotency-Key, as the routes declare them.
KEY_LENGTHS = range(1, 256)
JSON = b"application/json"

Endpoint = Callable[..., Coroutine[Any, Any, Response]]


@dataclass(frozen=True, slots=True)
class FastRoute:
    """A POST route whose function takes path parameters, `body`, `services`, `context` and, if `takes_key`, `key`."""

    route: APIRoute
    schema: type[Schema]
    takes_key: bool

    @classmethod
    def to(cls, router: APIRouter, endpoint: Endpoint, schema: type[Schema], *, takes_key: bool = False) -> "FastRoute":
        """Return the fast path to the route of `endpoint` in `router`."""
        api_routes = (route for route in router.routes if isinstance(route, APIRoute))
        return cls(next(route for route in api_routes if route.endpoint is endpoint), schema, takes_key)

    def arguments(self, content: bytes, scope: Scope) -> dict[str, Any] | None:
        """Return the arguments that a request brings for the route's function, or None if one of them is invalid.

        Raises InvalidRequest and InputTooLong for a large body.
        """
        headers: Headers = scope["state"]["headers"]
        if headers.get(b"content-type") != JSON or LONG_INTEGER.search(content):
            return None
        try:
            body = self._body(content, scope)
        except ValueError:  # of which pydantic's ValidationError is one
            return None
        if not self.takes_key:
            return {"body": body}
        if b"idempotency-key" not in headers:
            return {"body": body, "key": None}
        key = next(value for name, value in scope["headers"] if name == b"idempotency-key")  # FastAPI takes the first
        return {"body": body, "key": key.decode("latin-1")} if len(key) in KEY_LENGTHS else None

    def _body(self, content: bytes, scope: Scope) -> Schema:
        """Return the validated body. Raises ValueError, for a large body InvalidRequest and InputTooLong."""
        parsed = from_json(content, allow_inf_nan=False)
        # `model_validate` takes a fifth longer, to handle arguments that are not used here.
        validator = self.schema.__pydantic_validator__
        if len(content) <= LARGE_BODY_BYTES:
            body: Schema = validator.validate_python(parsed)
            return body
        check_sizes(parsed, scope["state"]["size_limits"])
        try:
            body = validator.validate_python(parsed)
        except ValidationError as error:  # FastAPI would validate it again on the event loop
            raise invalid_request(error) from None
        return body


class FastRouteMiddleware:
    """ASGI middleware that calls the functions of the fast routes itself, and FastAPI for everything else."""

    def __init__(self, api: ASGIApp, services: Services) -> None:
        self._api = api
        self._services = services
        self._routes = (
            FastRoute.to(sessions.router, sessions.step, requests.StepBody, takes_key=True),
            FastRoute.to(sessions.router, sessions.step_many, requests.StepsBody),
            FastRoute.to(models.router, models.predict, requests.PredictBody),
            FastRoute.to(models.router, models.score, requests.ScoreBody),
        )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and scope["method"] == "POST":
            for fast_route in self._routes:
                match = fast_route.route.path_regex.match(scope["path"])
                if match:
                    await self._call(fast_route, match.groupdict(), scope, receive, send)
                    return
        await self._api(scope, receive, send)

    async def _call(
        self, fast_route: FastRoute, path: dict[str, str], scope: Scope, receive: Receive, send: Send
    ) -> None:
        content = await _read_body(receive)
        read = partial(fast_route.arguments, content, scope)
        arguments = await run_sized(scope["state"]["context"].cost.client, len(content), read)
        if arguments is None:
            await self._api(scope, _replaying(content, receive), send)
            return
        scope["route"] = fast_route.route
        context = scope["state"]["context"]
        endpoint: Endpoint = fast_route.route.endpoint
        response = await endpoint(**path, **arguments, services=self._services, context=context)
        await response(scope, receive, send)


async def _read_body(receive: Receive) -> bytes:
    parts: list[bytes] = []
    more = True
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise ClientDisconnect
        parts.append(message.get("body", b""))
        more = message.get("more_body", False)
    return b"".join(parts)


def _replaying(content: bytes, receive: Receive) -> Receive:
    """Return a `receive` that yields a body again that was already read."""
    unread = [content]

    async def receive_again() -> Message:
        return {"type": "http.request", "body": unread.pop()} if unread else await receive()

    return receive_again

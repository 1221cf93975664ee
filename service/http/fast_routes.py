"""Fast paths to the most frequent routes, which bypass FastAPI's routing and dependency injection.

Both take longer than a step of a small network. A valid request is passed straight to its route's function. Any other
request is passed on to FastAPI, which alone responds to invalid ones.
"""

import contextlib
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
from service.application.time_slices import TurnSlices
from service.domain.runtime.fair_thread import LARGE_BODY_BYTES, LARGE_BODY_REST, THREAD
from service.http.body_sizes import SizeLimits, check_sizes
from service.http.json_body import LONG_INTEGER, validate, validate_items
from service.http.middleware.headers import Headers
from service.http.routes import models, sessions
from service.http.schemas import requests
from service.http.schemas.inputs import Input
from service.http.schemas.strict import Schema

#: Valid lengths of an Idempotency-Key, as the routes declare them.
KEY_LENGTHS = range(1, 256)
JSON = b"application/json"
#: Size of a body that takes a tenth of a millisecond. Larger ones are read in slices of time.
SMALL_BODY_BYTES = 2048

Endpoint = Callable[..., Coroutine[Any, Any, Response]]


@dataclass(frozen=True, slots=True)
class FastRoute:
    """A POST route whose function takes path parameters, `body`, `services`, `context` and, if `takes_key`, `key`.

    `items` names the list in its body that may be long, and the schema of what it holds.
    """

    route: APIRoute
    schema: type[Schema]
    items: tuple[str, type[Schema]] | None
    takes_key: bool

    @classmethod
    def to(
        cls,
        router: APIRouter,
        endpoint: Endpoint,
        schema: type[Schema],
        *,
        items: tuple[str, type[Schema]] | None = None,
        takes_key: bool = False,
    ) -> "FastRoute":
        """Return the fast path to the route of `endpoint` in `router`."""
        api_routes = (route for route in router.routes if isinstance(route, APIRoute))
        route = next(route for route in api_routes if route.endpoint is endpoint)
        return cls(route, schema, items, takes_key)

    def arguments(self, content: bytes, scope: Scope) -> dict[str, Any] | None:
        """Return the arguments that a request brings for the route's function, or None if one of them is invalid."""
        try:
            parsed = _parse(content, scope)
            if parsed is None:
                return None
            # `model_validate` takes a fifth longer, to handle arguments that are not used here.
            return self._arguments(self.schema.__pydantic_validator__.validate_python(parsed), scope)
        except ValueError:  # of which pydantic's ValidationError is one
            return None

    async def large_arguments(self, content: bytes, scope: Scope, slices: TurnSlices) -> dict[str, Any] | None:
        """Return the arguments of a request with a large body, or None if it is no object or its headers are invalid.

        Raises InvalidRequest and InputTooLong. pydantic is not interrupted by other threads, so that the event loop
        would wait for it within each forward pass. Therefore the items of the body's list are validated on the event
        loop, between the passes.
        """
        client, limits = scope["state"]["context"].cost.client, scope["state"]["size_limits"]
        async with THREAD.turn(client, rest=LARGE_BODY_REST) as turn:
            parsed = await turn.run(partial(_parse_large, content, scope, limits))
            if not isinstance(parsed, dict):
                return None
            body = await self._with_validated_items(parsed, client, slices)
            if body is None:
                body = await turn.run(partial(validate, parsed, self.schema))
        return self._arguments(body, scope)

    async def _with_validated_items(self, parsed: dict[str, Any], client: str, slices: TurnSlices) -> Schema | None:
        """Return the body whose items are validated one by one, or None if it is invalid or has none."""
        if self.items is None:
            return None
        field, schema = self.items
        items = await validate_items(parsed.get(field), schema, client, slices)
        if items is None:
            return None
        with contextlib.suppress(ValidationError):
            body: Schema = self.schema.__pydantic_validator__.validate_python(parsed | {field: items})
            return body
        return None

    def _arguments(self, body: Schema, scope: Scope) -> dict[str, Any] | None:
        if not self.takes_key:
            return {"body": body}
        if b"idempotency-key" not in scope["state"]["headers"]:
            return {"body": body, "key": None}
        key = next(value for name, value in scope["headers"] if name == b"idempotency-key")  # FastAPI takes the first
        return {"body": body, "key": key.decode("latin-1")} if len(key) in KEY_LENGTHS else None


def _parse(content: bytes, scope: Scope) -> Any:  # noqa: ANN401 - JSON is anything until pydantic has seen it
    """Return the parsed body; None if FastAPI has to read it. Raises ValueError."""
    headers: Headers = scope["state"]["headers"]
    if headers.get(b"content-type") != JSON or LONG_INTEGER.search(content):
        return None
    return from_json(content, allow_inf_nan=False)


def _parse_large(content: bytes, scope: Scope, limits: SizeLimits) -> Any:  # noqa: ANN401 - likewise
    """Return the parsed body, its sizes checked; None if FastAPI reads it. Raises InvalidRequest, InputTooLong."""
    try:
        parsed = _parse(content, scope)
    except ValueError:
        return None
    if parsed is not None:
        check_sizes(parsed, limits)
    return parsed


class FastRouteMiddleware:
    """ASGI middleware that calls the functions of the fast routes itself, and FastAPI for everything else."""

    def __init__(self, api: ASGIApp, services: Services) -> None:
        self._api = api
        self._services = services
        inputs = ("inputs", Input)
        self._routes = (
            FastRoute.to(sessions.router, sessions.step, requests.StepBody, takes_key=True),
            FastRoute.to(sessions.router, sessions.step_many, requests.StepsBody, items=("steps", requests.StepItem)),
            FastRoute.to(models.router, models.predict, requests.PredictBody, items=inputs),
            FastRoute.to(models.router, models.score, requests.ScoreBody, items=inputs),
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
        if len(content) <= SMALL_BODY_BYTES:
            arguments = fast_route.arguments(content, scope)
        else:
            arguments = await self._read_sliced(fast_route, content, scope)
        if arguments is None:
            await self._api(scope, _replaying(content, receive), send)
            return
        scope["route"] = fast_route.route
        context = scope["state"]["context"]
        endpoint: Endpoint = fast_route.route.endpoint
        response = await endpoint(**path, **arguments, services=self._services, context=context)
        await response(scope, receive, send)

    async def _read_sliced(self, fast_route: FastRoute, content: bytes, scope: Scope) -> dict[str, Any] | None:
        """Return the arguments of a request whose body takes longer to read, in slices of time."""
        slices = self._services.slices
        if len(content) > LARGE_BODY_BYTES:
            return await fast_route.large_arguments(content, scope, slices)
        client = scope["state"]["context"].cost.client
        return await slices.run(client, partial(fast_route.arguments, content, scope))


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

"""A short way for the calls that come most often, past FastAPI's routing and resolving of dependencies, which take
longer than the step of a small network.

A request that is well-formed goes straight to its route's function. Any other goes FastAPI's way, which tells what is
wrong with it, so that there is one place for that and the contract stays FastAPI's.
"""

from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Any

from fastapi import APIRouter, Response
from fastapi.routing import APIRoute
from pydantic import ValidationError
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from service.domain.errors import InvalidJson, UnsupportedMediaType
from service.http.dependencies import Services
from service.http.json_body import StrictRequest
from service.http.routes import models, sessions
from service.http.schemas import requests
from service.http.schemas.strict import Schema

#: As long as the contract allows an Idempotency-Key to be.
KEY_LENGTHS = range(1, 256)

Endpoint = Callable[..., Coroutine[Any, Any, Response]]


@dataclass(frozen=True, slots=True)
class FastRoute:
    """A POST route to a function of its path's parameters, a `body`, the use cases, the caller, and perhaps a `key`."""

    route: APIRoute
    schema: type[Schema]
    takes_key: bool

    @classmethod
    def to(cls, router: APIRouter, endpoint: Endpoint, schema: type[Schema], *, takes_key: bool = False) -> "FastRoute":
        """Return the shortcut to a router's route."""
        every = (route for route in router.routes if isinstance(route, APIRoute))
        return cls(next(route for route in every if route.endpoint is endpoint), schema, takes_key)

    async def arguments(self, request: StrictRequest) -> dict[str, Any] | None:
        """Return what the function takes from the request, or None where that is not well-formed."""
        try:
            arguments: dict[str, Any] = {"body": self.schema.model_validate(await request.json())}
        except (InvalidJson, UnsupportedMediaType, ValidationError):
            return None
        if self.takes_key:
            arguments["key"] = key = request.headers.get("idempotency-key")
            if key is not None and len(key) not in KEY_LENGTHS:
                return None
        return arguments


class FastRouteMiddleware:
    """ASGI middleware in front of FastAPI."""

    def __init__(self, api: ASGIApp, services: Services) -> None:
        self._api = api
        self._services = services
        self._every = (
            FastRoute.to(sessions.router, sessions.step, requests.StepBody, takes_key=True),
            FastRoute.to(sessions.router, sessions.step_many, requests.StepsBody),
            FastRoute.to(models.router, models.predict, requests.PredictBody),
        )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and scope["method"] == "POST":
            for shortcut in self._every:
                found = shortcut.route.path_regex.match(scope["path"])
                if found:
                    await self._take(shortcut, found.groupdict(), scope, receive, send)
                    return
        await self._api(scope, receive, send)

    async def _take(
        self, shortcut: FastRoute, path: dict[str, str], scope: Scope, receive: Receive, send: Send
    ) -> None:
        request = StrictRequest(scope, receive)
        content = await request.body()
        arguments = await shortcut.arguments(request)
        if arguments is None:
            await self._api(scope, _replaying(content, receive), send)
            return
        scope["route"] = shortcut.route
        asking = scope["state"]["context"]
        response: Response = await shortcut.route.endpoint(**path, **arguments, wired=self._services, asking=asking)
        await response(scope, receive, send)


def _replaying(content: bytes, receive: Receive) -> Receive:
    """Return a `receive` that gives a body which was read once more."""
    unread = [content]

    async def again() -> Message:
        return {"type": "http.request", "body": unread.pop()} if unread else await receive()

    return again

"""The ASGI application: routes, error handlers and middleware."""

from collections.abc import Collection
from itertools import chain

from fastapi import APIRouter, Request, Response
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.routing import Match

from service import __version__
from service.application.services import Services
from service.domain.errors import CRASHED, InternalError, InvalidRequest, MethodNotAllowed, NotFound, UnrollError
from service.http import errors
from service.http.api import Api
from service.http.fast_routes import FastRouteMiddleware
from service.http.json_body import invalid_request
from service.http.middleware.request import RequestMiddleware, RequestSettings
from service.http.routes import (
    console,
    libretranslate,
    models,
    open_inference,
    openai,
    operations,
    sessions,
    usage,
    websocket,
)

DESCRIPTION = """
Serves recurrent networks. Predictions without a session are answered from the model's initial state; a session keeps
the network's hidden state in the store, so that a stream continues at any time, on any worker, after any crash, with
every step applied exactly once.
"""

ROUTERS = (models.router, sessions.router, usage.router, operations.router)
#: The routers of the console, and of the protocols beside the native API by their names in UNROLL_PROTOCOLS.
OPTIONAL_ROUTERS: dict[str, tuple[APIRouter, ...]] = {
    "console": (console.router,),
    "libretranslate": (libretranslate.router,),
    "open-inference": open_inference.ROUTERS,
    "openai": openai.ROUTERS,
    "websocket": (websocket.router,),
}


def _routers(optional: Collection[str]) -> list[APIRouter]:
    """Return the routers of the native API and those that `optional` names."""
    return [*ROUTERS, *chain.from_iterable(OPTIONAL_ROUTERS.get(name, ()) for name in optional)]


def create_api(optional: Collection[str] = OPTIONAL_ROUTERS.keys(), root_path: str = "") -> Api:
    """Return the FastAPI application with its routes and those that `optional` names; `create_app` adds the use cases.

    `root_path` is where a proxy serves it, which the OpenAPI document tells.
    """
    api = Api(
        title="Unroll",
        version=__version__,
        description=DESCRIPTION,
        openapi_url=None,
        strict_content_type=False,
        servers=[{"url": root_path}] if root_path else None,
    )
    api.router.redirect_slashes = False
    for router in _routers(optional):
        api.include_router(router)
    api.state.optional_routers = optional
    api.add_exception_handler(UnrollError, _on_domain_error)
    api.add_exception_handler(RequestValidationError, _on_domain_error)
    api.add_exception_handler(HTTPException, _on_domain_error)
    api.add_exception_handler(Exception, _on_domain_error)
    return api


def create_app(
    services: Services, settings: RequestSettings, optional: Collection[str] = OPTIONAL_ROUTERS.keys()
) -> RequestMiddleware:
    """Return the whole application: the routes over the use cases, behind the request middleware."""
    api = create_api(optional, services.root_path)
    api.state.services = services
    return RequestMiddleware(
        FastRouteMiddleware(api, services),
        settings,
        services.admission,
        services.observer,
        services.clock,
        rate_limits=services.rate_limits,
        trace=services.trace,
    )


async def _on_domain_error(request: Request, error: Exception) -> Response:
    domain_error = _to_domain(error, request)
    response = errors.error_response(domain_error, request.scope)
    if isinstance(domain_error, MethodNotAllowed):
        response.headers["allow"] = ", ".join(_methods(request))
    return response


def _methods(request: Request) -> list[str]:
    """Return the methods that the path of `request` allows."""
    all_routes = [route for router in _routers(request.app.state.optional_routers) for route in router.routes]
    routes = [route for route in all_routes if route.matches(request.scope)[0] is not Match.NONE]
    return sorted({method for route in routes for method in getattr(route, "methods", None) or ()})


def _to_domain(error: Exception, request: Request) -> UnrollError:
    if isinstance(error, UnrollError):
        return error
    if isinstance(error, RequestValidationError):
        return invalid_request(error)
    if not isinstance(error, HTTPException):
        return InternalError(f"{CRASHED} (X-Request-Id)")
    method, path, status = request.method, request.url.path, error.status_code
    if status == 404:
        return NotFound(f"no resource at {path[:200]}: expected a path of /openapi.json")
    if status == 405:
        return MethodNotAllowed(f"method {method} at {path[:200]}: expected one of those in the header Allow")
    return InvalidRequest(f"the request cannot be read: {error.detail}")

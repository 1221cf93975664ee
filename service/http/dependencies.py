"""Dependencies of the routes: the application's use cases, and the context of the request.

The functions are coroutines because FastAPI runs plain functions in a thread pool.
"""

from typing import Annotated

from fastapi import Depends, Request

from service.application.request_context import RequestContext
from service.application.services import Services


async def get_services(request: Request) -> Services:
    """Return the use cases that `create_app` was given."""
    services: Services = request.app.state.services
    return services


async def get_request_context(request: Request) -> RequestContext:
    """Return the tenant and the deadline that the request middleware has determined."""
    context: RequestContext = request.state.context
    return context


ServicesDependency = Annotated[Services, Depends(get_services)]
ContextDependency = Annotated[RequestContext, Depends(get_request_context)]

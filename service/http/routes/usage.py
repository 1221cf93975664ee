"""/v1/usage: what tenants have, and what their limits leave them."""

from fastapi import APIRouter, Response

from service.application.sessions.serializers import encode
from service.http.dependencies import ContextDependency, ServicesDependency
from service.http.json_body import StrictRoute
from service.http.json_response import JsonResponse
from service.http.schemas import errors, requests, resources

router = APIRouter(prefix="/v1/usage", tags=["usage"], route_class=StrictRoute, responses=errors.ERRORS)


@router.get("", response_model=resources.UsageList, response_model_exclude_unset=True, summary="Usage and limits")
async def usage(
    services: ServicesDependency, context: ContextDependency, tenant: requests.TenantName = None
) -> Response:
    """Live sessions of your tenant, the bytes that they reserve, your limits, and what is left of them.

    An administrator may ask for another tenant, or with `*` for all.
    """
    return JsonResponse(encode(await services.usage.of(context, tenant)))

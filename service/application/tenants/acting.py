"""Requests on behalf of a tenant that they name: their own one, or for administrators any."""

from dataclasses import replace
from typing import Final

from service.application.access.audit import audit
from service.application.request_context import RequestContext
from service.domain.errors import NotAllowed

#: Stands for all tenants.
ALL_TENANTS: Final = "*"


def require_tenant(context: RequestContext, tenant: str, action: str, **subject: object) -> None:
    """Log what an administrator does on a tenant. Raises NotAllowed for a tenant other than the client's own."""
    principal = context.principal
    if principal.is_admin:
        audit(action, principal, of_tenant=tenant, **subject)
    elif tenant != principal.tenant:
        raise NotAllowed(
            f"tenant is {tenant[:128]!r}: expected your own, {principal.tenant!r}, or the key of an administrator",
            param="tenant",
        )


def acting_on(context: RequestContext, tenant: str) -> RequestContext:
    """Return the context of a request for a tenant."""
    return context if tenant == context.tenant else replace(context, tenant=tenant)

"""Sessions of any tenant, which administrators list, read and end."""

import base64
import binascii
import json
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import dropwhile

from pydantic_core import from_json

from service.application.ports import StateStore
from service.application.request_context import RequestContext
from service.application.sessions.ids import unknown_session
from service.application.sessions.sessions import Sessions
from service.application.tenants.acting import ALL_TENANTS, acting_on, require_tenant
from service.domain.errors import InvalidRequest
from service.domain.operations import Json

#: Number of tenants that one page looks at. Its cursor continues behind them.
MAX_TENANTS = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionsOfTenants:
    """Use cases of sessions whose requests may name a tenant, or ALL_TENANTS; None is the client's own, as ever.

    Raises NotAllowed for another tenant than the client's own, unless the client is an administrator.
    """

    sessions: Sessions
    store: StateStore

    async def list(
        self, context: RequestContext, tenant: str | None, model: str | None, limit: int, cursor: str | None
    ) -> dict[str, Json]:
        """Return one page of sessions, newest first; those of all tenants by the names of their tenants."""
        if tenant is None:
            return await self.sessions.list(context, model, limit, cursor)
        require_tenant(context, tenant, "session.list")
        if tenant == ALL_TENANTS:
            return await self._list_all(context, model, limit, cursor)
        data, following = await self._page(context, tenant, model, limit, cursor)
        return {"object": "list", "data": [*data], "next_cursor": following}

    async def get(self, context: RequestContext, tenant: str | None, session_id: str) -> dict[str, Json]:
        """Return the Session object, with its tenant if the request names one."""
        if tenant is None:
            return await self.sessions.get(context, session_id)
        acting = await self._acting(context, tenant, "session.read", session_id)
        return {**await self.sessions.get(acting, session_id), "tenant": acting.tenant}

    async def end(self, context: RequestContext, tenant: str | None, session_id: str) -> None:
        """End a session. Raises SessionEnded if it has ended already."""
        acting = context if tenant is None else await self._acting(context, tenant, "session.end", session_id)
        await self.sessions.end(acting, session_id)

    async def _acting(self, context: RequestContext, tenant: str, action: str, session_id: str) -> RequestContext:
        """Return the context of a request on a session. Raises SessionNotFound if it is one of no tenant."""
        require_tenant(context, tenant, action, session=session_id[:80])
        if tenant != ALL_TENANTS:
            return acting_on(context, tenant)
        async with context.deadline.enforce():
            ids, tenants = await self.sessions.creations.ids(), await self.store.tenants()
        owner = ids.owner(tenants, session_id)
        if owner is None:
            raise unknown_session(session_id)
        return acting_on(context, owner)

    async def _page(
        self, context: RequestContext, tenant: str, model: str | None, limit: int, cursor: str | None
    ) -> tuple[Sequence[Json], str | None]:
        page = await self.sessions.page(acting_on(context, tenant), model, limit, cursor)
        return [{**view, "tenant": tenant} for view in self.sessions.views(page)], page.cursor

    async def _list_all(
        self, context: RequestContext, model: str | None, limit: int, cursor: str | None
    ) -> dict[str, Json]:
        first, inner = ("", None) if cursor is None else _parse(cursor)
        async with context.deadline.enforce():
            names = list(dropwhile(lambda name: name < first, await self.store.tenants()))
        data: list[Json] = []
        following = None
        for looked, name in enumerate(names):
            if len(data) == limit or looked == MAX_TENANTS:
                following = _cursor(name, None)
                break
            after = inner if name == first else None
            found, rest = await self._page(context, name, model, limit - len(data), after)
            data += found
            if rest is not None:
                following = _cursor(name, rest)
                break
        return {"object": "list", "data": data, "next_cursor": following}


def _cursor(tenant: str, inner: str | None) -> str:
    """Return the position in the listing of all tenants as opaque text."""
    return base64.urlsafe_b64encode(json.dumps([tenant, inner]).encode()).rstrip(b"=").decode()


def _parse(cursor: str) -> tuple[str, str | None]:
    """Parse a cursor to a tenant, and a cursor of its listing. Raises InvalidRequest."""
    try:
        padded = cursor.encode("ascii") + b"=" * (-len(cursor) % 4)
        tenant, inner = from_json(base64.b64decode(padded, altchars=b"-_", validate=True))
    except (ValueError, TypeError, binascii.Error):
        tenant = inner = 0
    if not isinstance(tenant, str) or not isinstance(inner, str | None):
        raise InvalidRequest(f"cursor is {cursor[:100]!r}, expected one from an earlier page", param="cursor")
    return tenant, inner

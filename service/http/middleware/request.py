"""The outermost ASGI middleware: it admits, authenticates, bounds, answers and logs every request."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from http import HTTPStatus

from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from service.application.access.authenticator import Authenticator
from service.application.access.key_ring import KeyRing
from service.application.access.principal import Principal
from service.application.deadlines import Deadline, DeadlineSweeper
from service.application.limits.admission import Admission
from service.application.limits.frame_admission import FrameAdmission
from service.application.limits.rate_limits import RateLimits, Rates
from service.application.limits.request_bounds import RequestBounds
from service.application.limits.request_cost import CostBudget, CostLimits
from service.application.limits.turn_quota import TurnQuota
from service.application.phase_times import PhaseTimes
from service.application.ports import Clock, RequestObserver, Trace
from service.application.request_context import RequestContext
from service.application.services import no_trace
from service.domain.errors import NotAllowed, UnrollError
from service.http.body_sizes import SizeLimits
from service.http.documentation import DOCS_HEADERS, DOCS_PATH
from service.http.middleware import access_log, error_responses
from service.http.middleware.access_log import AccessLog
from service.http.middleware.admission_rules import (
    METRICS_PATH,
    is_exempt,
    is_health,
    is_page,
    opens_session,
)
from service.http.middleware.authorization.addresses import client_address
from service.http.middleware.authorization.authentication import request_key
from service.http.middleware.authorization.body_key import find_body_key, may_have_body_key
from service.http.middleware.authorization.browser_policy import BrowserPolicy, BrowserSettings
from service.http.middleware.body import BodyLimits, RequestBody
from service.http.middleware.headers import Headers, request_id, timeout
from service.http.middleware.response import ResponseStart
from service.http.page_files import CONSOLE_HEADERS


@dataclass(frozen=True, slots=True)
class RequestSettings:
    """Limits of a request, and who may send one.

    `keys` are the API keys, if any are required. `public_operations` serves metrics and documentation without one in
    any case. `max_wrong_keys` bounds the wrong keys of an address within a minute.
    """

    max_body_bytes: int
    request_timeout_seconds: float
    keys: KeyRing = field(default_factory=KeyRing)
    access_log: AccessLog = "errors"
    browser: BrowserSettings = field(default_factory=BrowserSettings)
    public_operations: bool = False
    max_wrong_keys: int = 30
    min_body_bytes_per_second: int = 500
    body_grace_seconds: float = 10.0
    cost_limits: CostLimits = field(default_factory=CostLimits)
    size_limits: SizeLimits = field(default_factory=SizeLimits)


class RequestMiddleware:
    """ASGI middleware around the whole application. Each request is answered, counted and logged exactly once."""

    def __init__(
        self,
        app: ASGIApp,
        settings: RequestSettings,
        admission: Admission,
        observer: RequestObserver,
        clock: Clock,
        *,
        rate_limits: RateLimits | None = None,
        trace: Callable[[], Trace | None] = no_trace,
    ) -> None:
        self.app = app
        self._trace = trace
        self.settings = settings
        self._measures = settings.access_log == "all"
        self.observer = observer
        self.clock = clock
        #: Those of the requests of other protocols, too.
        self.bounds = RequestBounds(
            has_keys=settings.keys.required,
            authenticator=Authenticator(settings.keys, settings.max_wrong_keys, clock.monotonic),
            admission=admission,
            budget=CostBudget(settings.cost_limits),
            quota=TurnQuota(clock.monotonic),
            rate_limits=rate_limits,
        )
        self._body_limits = BodyLimits(
            settings.max_body_bytes, settings.min_body_bytes_per_second, settings.body_grace_seconds
        )
        self._sweeper = DeadlineSweeper(clock.monotonic, RequestBody.expire)
        self._browser_policy = BrowserPolicy(settings.browser)
        self._allows_origins = bool(settings.browser.origins)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        started = self.clock.monotonic()
        headers: Headers = dict(scope["headers"])
        scope.setdefault("state", {})["headers"] = headers
        body = RequestBody(receive, headers, self._body_limits, self._sweeper, scope["state"])
        response = ResponseStart(send, request_id(headers), body, self.bounds.admission)
        self.observer.in_flight(1)
        try:
            if self._allows_origins:
                response.headers += self._browser_policy.cors_headers(scope, headers)
            if is_exempt(scope) or (self._allows_origins and self._browser_policy.allows_preflight(scope, headers)):
                await self._serve_exempt(scope, receive, headers, response)
            else:
                self._browser_policy.check(scope, headers)
                await self._admit(scope, headers, body, response)
        except (Exception, asyncio.CancelledError) as error:  # noqa: BLE001 - whatever it is, the client gets an envelope
            await error_responses.respond(error, scope, body, response, draining=self.bounds.admission.draining)
        finally:
            body.release()
            self.observer.in_flight(-1)
            seconds = self.clock.monotonic() - started
            access_log.report(self.observer, scope, response, seconds, self.settings.access_log)

    async def _serve_exempt(self, scope: Scope, receive: Receive, headers: Headers, response: ResponseStart) -> None:
        """Serve a request that needs neither permit nor deadline: health, operations, or the preflight of another."""
        if not is_health(scope):
            self._browser_policy.check(scope, headers)
        if self._browser_policy.allows_preflight(scope, headers):
            await Response(status_code=HTTPStatus.NO_CONTENT)(scope, receive, response.send)
            return
        if is_page(scope):
            response.headers = CONSOLE_HEADERS
        elif not (is_health(scope) or self.settings.public_operations):
            _require_all_models(scope, await self._authenticate(scope, headers))
        if scope["path"] == DOCS_PATH:
            response.headers = DOCS_HEADERS
        await self.app(scope, receive, response.send)

    async def _admit(self, scope: Scope, headers: Headers, body: RequestBody, response: ResponseStart) -> None:
        """Run the application under a permit, on behalf of the request's tenant and until its deadline."""
        client_seconds = timeout(headers)
        if self.bounds.has_keys and not body.complete and may_have_body_key(scope, headers):
            headers = await self._with_body_key(scope, headers, body, client_seconds)
        principal = await self._authenticate(scope, headers)
        tenant = principal.tenant
        client = tenant if self.bounds.has_keys else client_address(scope)
        try:
            permit = self.bounds.admission.acquire(
                client, client_seconds, opens_session=opens_session(scope), has_body=not body.complete
            )
        except UnrollError:
            await self.bounds.quota.start(client)  # a refusal takes as long as a small request
            raise
        cost = self.bounds.budget.request(client)
        try:
            rates = self.bounds.rates_of(tenant)
            if rates is not None:
                await self._check_rates(rates, response)
                cost.charge = rates.charge
            seconds = self._seconds(client_seconds)
            deadline = Deadline.after(self.clock, seconds)
            trace = self._trace()
            if self._measures:
                trace = scope["state"]["phases"] = PhaseTimes(self.clock.monotonic, trace)
            scope["state"]["context"] = RequestContext(tenant, deadline, cost, trace, principal)
            scope["state"]["size_limits"] = self.settings.size_limits
            if "extensions" in scope:
                scope["state"]["frames"] = FrameAdmission(
                    client,
                    principal,
                    seconds,
                    client_seconds,
                    handshake=permit,
                    clock=self.clock,
                    bounds=self.bounds,
                )
            body.bound(deadline, permit, cost)
            await self.bounds.quota.start(client, body.declared_bytes)
            await self.app(scope, body.receive, response.send)
        finally:
            cost.release()
            permit.release(answered=HTTPStatus.OK <= response.status < HTTPStatus.INTERNAL_SERVER_ERROR)

    def _seconds(self, client_seconds: float | None) -> float:
        """Return the time limit of a request, whose client may have set one."""
        return self.settings.request_timeout_seconds if client_seconds is None else client_seconds

    async def _with_body_key(
        self, scope: Scope, headers: Headers, body: RequestBody, client_seconds: float | None
    ) -> Headers:
        """Return the headers with the API key that the body has.

        The body is read under the bounds of a client without a key, by its address, and received again later.
        """
        client = client_address(scope)
        permit = self.bounds.admission.acquire(client, client_seconds, opens_session=False, has_body=True)
        cost = self.bounds.budget.request(client)
        try:
            body.bound(Deadline.after(self.clock, self._seconds(client_seconds)), permit, cost)
            await self.bounds.quota.start(client, body.declared_bytes)
            content = await body.read()
            body.unread(content)
            key = await find_body_key(client, content)
        finally:
            cost.release()
            permit.release(answered=False)
        return {**headers, b"x-api-key": key}

    async def _authenticate(self, scope: Scope, headers: Headers) -> Principal:
        """Find and return the sender of a request. Raises as `Authenticator.authenticate`."""
        principal = await self.bounds.authenticator.admit(request_key(headers), client_address(scope))
        scope["state"]["tenant"] = principal.tenant
        return principal

    async def _check_rates(self, rates: Rates, response: ResponseStart) -> None:
        """Spend one request of a tenant, and show in the response what is left. Raises RateLimited."""
        try:
            await rates.admit()
        finally:
            response.headers = (*response.headers, *rates.headers())


def _require_all_models(scope: Scope, principal: Principal) -> None:
    """Raise NotAllowed if a request asks for metrics, which name all models, and its sender may not use all."""
    if scope["path"] == METRICS_PATH and principal.models is not None:
        raise NotAllowed("the metrics are those of all models: expected an API key that may use all models")

"""Runs every call: authenticates, admits and bounds it, sends its answers, counts and logs it once."""

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal, TypeAlias

from google.protobuf.message import DecodeError

from service.application.access.client_addresses import NO_PROXIES, TrustedProxies
from service.application.deadlines import DEPARTED, Deadline
from service.application.limits.frame_admission import FrameAdmission
from service.application.limits.rate_limits import Rates
from service.application.limits.request_bounds import RequestBounds
from service.application.limits.request_cost import RequestCost
from service.application.phase_times import PhaseTimes
from service.application.ports import CallTrace, Clock, RequestObserver, Trace
from service.application.request_context import RequestContext
from service.domain.errors import CRASHED, STOPPED, InternalError, InvalidRequest, ShuttingDown, UnrollError
from service.domain.runtime.fair_thread import run_sized
from service.domain.shares import Shares
from service.grpc import access_log
from service.grpc.call import Call
from service.grpc.connections import Connections
from service.grpc.errors import end_trace, http_status_of

log = logging.getLogger("unroll.access")

#: The setting of `max_calls`.
MAX_CALLS = "UNROLL_MAX_REQUESTS"
#: Calls without permit at a time, such as those for health, which any client may make.
MAX_EXEMPT_CALLS = 256
#: Calls beside the limit of requests: for health, and those that are refused.
SPARE_CALLS = 512
#: The longest wait for the message of such a call.
EXEMPT_SECONDS = 5.0
#: A message that is not there by then holds the memory of the longest one, since its beginning may be that long.
PROMPT_SECONDS = 0.1

#: Begins the trace of a call by its route and metadata.
TraceCall: TypeAlias = Callable[[str, Mapping[str, Any]], CallTrace]
#: Serves a call.
Serve: TypeAlias = Callable[[Call], Coroutine[Any, Any, None]]
#: Answers the message of an admitted call.
Answer: TypeAlias = Callable[[RequestContext, Any], Awaitable[Any]]


@dataclass(frozen=True, slots=True)
class CallSettings:
    """Limits of calls, and trusted proxies; each is described with the setting of its name in `service/settings.py`."""

    request_seconds: float
    write_seconds: float
    max_calls: int
    max_streams: int
    max_message_bytes: int
    window: int
    access_log: Literal["all", "errors", "off"]
    public_operations: bool
    proxies: TrustedProxies = NO_PROXIES


class CallRunner:
    """Runs the calls of a worker, whose bounds `bounds` they share with its HTTP requests.

    `stopping` is set when the worker stops: streams end then. `trace_call` begins traces, if there are any.
    """

    def __init__(
        self,
        bounds: RequestBounds,
        observer: RequestObserver,
        clock: Clock,
        settings: CallSettings,
        connections: Connections,
        *,
        trace_call: TraceCall | None = None,
    ) -> None:
        self.stopping = asyncio.Event()
        self.settings = settings
        self._connections = connections
        self._trace_call = trace_call
        self._bounds = bounds
        self._observer = observer
        self._clock = clock
        self._calls: set[asyncio.Task[None]] = set()
        self._running = 0
        self._under_way = Shares(settings.max_calls + SPARE_CALLS)
        self._exempt = Shares(MAX_EXEMPT_CALLS)
        self._streams = Shares(settings.max_streams)

    @property
    def running(self) -> int:
        """The number of calls under way, until the client has their end."""
        return self._running

    async def cancel(self, seconds: float) -> None:
        """Cancel all calls, and wait for their ends."""
        calls = list(self._calls)
        for call in calls:
            call.cancel()
        if calls:
            log.warning("grace time over; cancelling calls", extra={"calls": len(calls)})
            await asyncio.wait(calls, timeout=seconds)

    async def run(self, context: Any, route: str, serve: Serve) -> None:  # noqa: ANN401 - grpc has no types
        """Serve a call. Raises grpc.aio.AbortError if it fails."""
        self._running += 1
        try:
            await self._run(context, route, serve)
        finally:
            self._running -= 1

    async def _run(self, context: Any, route: str, serve: Serve) -> None:  # noqa: ANN401 - likewise
        started, error = self._clock.monotonic(), None
        call = Call(context, route, self.settings.proxies)
        self._observer.in_flight(1)
        try:
            with self._connections.calling(call.peer), self._held(self._under_way, call, "calls are under way"):
                await self._finish(call, serve)
        except UnrollError as failure:
            error = failure.with_traceback(None)  # which refers to this call, and the call to the error
        finally:
            self._observer.in_flight(-1)
            seconds = self._clock.monotonic() - started
            if call.trace is not None:
                end_trace(call.trace, error, call.tenant or None, departed=call.departed)
            access_log.report(self._observer, call, error, seconds, self.settings.access_log)
        if call.unread:
            # What was sent stays in memory until the connection ends, and so would the end of the call.
            await self._connections.close(call.peer)
        if error is not None:
            await call.abort(error)
        call.finish()

    async def _finish(self, call: Call, serve: Serve) -> None:
        """Serve a call to its end. Raises its error, and CancelledError if its client has gone."""
        task = asyncio.get_running_loop().create_task(serve(call))
        self._calls.add(task)
        task.add_done_callback(self._calls.discard)
        try:
            await asyncio.wait([task])
        except asyncio.CancelledError:
            call.departed = True
            task.cancel(DEPARTED)
            raise
        try:
            task.result()
        except UnrollError:
            raise
        except asyncio.CancelledError:
            if call.departed:
                raise
            # A worker that stops cancels the call wherever it is, so it is not known what took effect.
            raise ShuttingDown(STOPPED, applied="unknown") from None
        except Exception as error:
            request = {"request_id": call.request_id, "tenant": call.tenant or None}
            log.error("request crashed", extra=request, exc_info=error)
            raise InternalError(CRASHED) from None

    async def unary(self, call: Call, message: Any, answer: Answer) -> None:  # noqa: ANN401 - likewise
        """Serve a call with one message of the class `message`, under a permit and until its deadline."""
        self._begin_trace(call)
        bounds, seconds = self._bounds, call.client_seconds
        client = await self.authenticate(call)
        permit = bounds.admission.acquire(client, seconds, has_body=True)
        cost, answered = bounds.budget.request(client), False
        try:
            rates = await self._admit_rates(call)
            cost.charge = None if rates is None else rates.charge
            deadline = Deadline.after(self._clock, self.settings.request_seconds if seconds is None else seconds)
            trace = self._operation_trace(call)
            context = RequestContext(call.tenant, deadline, cost, trace, call.principal)
            async with deadline.enforce():
                content = await self._read_message(call, cost)
                permit.run()
                await bounds.quota.start(client, len(content))
            request = await run_sized(client, len(content), partial(parse, message, content))
            call.compress()
            response = await answer(context, request)
            if call.phases is not None:
                access_log.note_answer(call, response)
            await call.write(response.SerializeToString(), self.settings.write_seconds)
            answered = True
        except UnrollError as error:
            answered = http_status_of(error) < 500
            raise
        finally:
            cost.release()
            permit.release(answered=answered)

    async def _read_message(self, call: Call, cost: RequestCost) -> bytes:
        """Return the only message of a call, whose memory is held. Raises RateLimited, Overloaded."""
        loop, task, late = asyncio.get_running_loop(), asyncio.current_task(), list[UnrollError | None]()

        def hold_longest() -> None:
            try:
                cost.add_memory(self.settings.max_message_bytes)
                late.append(None)
            except UnrollError as error:
                late.append(error)
                if task is not None:
                    task.cancel()

        timer = loop.call_later(PROMPT_SECONDS, hold_longest)
        try:
            content = await read_message(call)
        except asyncio.CancelledError:
            if not late or late[0] is None or task is None:
                raise
            task.uncancel()
            raise late[0] from None
        finally:
            timer.cancel()
        if not late:
            cost.add_memory(len(content))
        return content

    @asynccontextmanager
    async def stream(self, call: Call) -> AsyncIterator[FrameAdmission]:
        """Admit a stream, and yield the admission of its messages, each of which is bounded as a request is."""
        self._begin_trace(call)
        bounds, settings = self._bounds, self.settings
        client = await self.authenticate(call)
        handshake = bounds.admission.acquire(client, opens_session=True)
        try:
            if not self._streams.acquire(client):
                setting = (
                    "UNROLL_MAX_PENDING_BYTES" if self.settings.max_streams < self.settings.max_calls else MAX_CALLS
                )
                raise self._streams.refusal(client, "streams are open", setting, "this worker")
        finally:
            handshake.release()
        try:
            yield FrameAdmission(
                client,
                call.principal,
                settings.request_seconds,
                None,
                handshake=handshake,
                clock=self._clock,
                bounds=bounds,
            )
        finally:
            self._streams.release(client)

    def _begin_trace(self, call: Call) -> None:
        """Begin the trace of a call. Calls for health and reflection have none: machines poll them."""
        if self._trace_call is not None:
            call.trace = self._trace_call(call.route, call.metadata)

    def _operation_trace(self, call: Call) -> Trace | None:
        """Return the trace of the operation of a call; with lines for all calls in the log, it measures the phases."""
        trace = None if call.trace is None else call.trace.operation()
        if self.settings.access_log != "all":
            return trace
        call.phases = PhaseTimes(self._clock.monotonic, trace)
        return call.phases

    async def exempt(self, call: Call, serve: Serve) -> None:
        """Serve a call that needs no permit."""
        with self._held(self._exempt, call, "calls for health are under way"):
            await serve(call)

    @contextmanager
    def _held(self, shares: Shares, call: Call, subject: str) -> Iterator[None]:
        """Hold a part of a capacity that the addresses of clients share. Raises RateLimited, Overloaded."""
        if not shares.acquire(call.address):
            raise shares.refusal(call.address, subject, MAX_CALLS, "this worker")
        try:
            yield
        finally:
            shares.release(call.address)

    async def authenticate(self, call: Call) -> str:
        """Find the tenant of a call, and return its client: the tenant, or its address if there are no keys."""
        call.principal = await self._bounds.authenticator.admit(call.key, call.address)
        call.tenant = call.principal.tenant
        return call.tenant if self._bounds.has_keys else call.address

    async def _admit_rates(self, call: Call) -> Rates | None:
        """Spend one request of a tenant, and show in the metadata what is left. Raises RateLimited."""
        rates = self._bounds.rates_of(call.tenant)
        if rates is not None:
            try:
                await rates.admit()
            finally:
                call.trailers += tuple((name.decode(), value.decode()) for name, value in rates.headers())
        return rates


async def read_message(call: Call) -> bytes:
    """Return the only message of a call. Raises InvalidRequest if there is none."""
    content = await call.read()
    if content is None:
        raise InvalidRequest("the call has no message, or one that is too long: expected one message")
    return content


def parse(message: Any, content: bytes) -> Any:  # noqa: ANN401 - protobuf has no types
    """Return a message of a class that its bytes hold. Raises InvalidRequest."""
    try:
        return message.FromString(content)
    except DecodeError as error:
        raise InvalidRequest(f"the {len(content)} bytes are no {message.DESCRIPTOR.name}: {error}") from None

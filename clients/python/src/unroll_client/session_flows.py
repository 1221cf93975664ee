"""The calls of a session, as flows."""

import contextlib
from functools import partial
from pathlib import Path
from typing import Any, TypeVar, Unpack, cast

from unroll_client.answers import SessionInfo, StepResult
from unroll_client.decoding import decode
from unroll_client.errors import SessionEnded, StepConflict, UnrollError
from unroll_client.flow import Flow
from unroll_client.inputs import GenerateOptions, Input, PredictOptions, to_input, to_options
from unroll_client.pending import Advance, Kind, PendingRequest, new_key
from unroll_client.retry import Attempts
from unroll_client.session_state import SessionState
from unroll_client.transport import Request, Response

SessionT = TypeVar("SessionT", bound=SessionState)


def parse_info(response: Response) -> SessionInfo:
    """Return the session of an answer."""
    return decode(SessionInfo, response.json())


def parse_step(response: Response) -> StepResult:
    """Return the result of an answer."""
    return decode(StepResult, response.json())


def step(session: SessionState, input: "Input", **options: Unpack[PredictOptions]) -> Flow[StepResult]:  # noqa: A002
    """Feed input to the session, and return what comes next.

    The step is applied exactly once, however often it is sent. Raises StepConflict if the session is at another step,
    and other errors with `applied`. Unless that is `no`, the same call again, `recover()` or a resumed session
    completes the step.
    """
    body = {"input": to_input(input), "step": session.step_count, **to_options(options)}
    return cast("StepResult", (yield from advance(session, "steps", body)))


def generate(session: SessionState, *, commit: bool = True, **options: Unpack[GenerateOptions]) -> Flow[StepResult]:
    """Generate text from the session's state. With `commit` the session advances by it, as one step."""
    body = {"step": session.step_count, **to_options(options)}
    if commit:
        return cast("StepResult", (yield from advance(session, "generate", body)))
    request = Request("POST", f"{session.path}/generate", {**to_options(options), "commit": False})
    return (yield from session.service.request(request, parse_step))


def reset(session: SessionState, step: int | None = None) -> Flow[SessionInfo]:
    """Take the session back to its initial state, or to a kept earlier step. The step count grows by one."""
    body = {} if step is None else {"step": step}
    return cast("SessionInfo", (yield from advance(session, "reset", body)))


def advance(session: SessionState, kind: Kind, body: dict[str, Any]) -> Flow[Advance]:
    """Send a request that advances the session, until its outcome is known or the attempts are used up."""
    with session.exclusive():
        pending = session.begin(kind, body)
        attempts = session.attempts(pending)
        yield from session.autosave()
        answer = yield from complete(session, pending, attempts)
        assert answer is not None  # noqa: S101 - for mypy: no request follows it
        return answer


def complete(session: SessionState, pending: PendingRequest, attempts: Attempts) -> Flow[Advance | None]:
    """Send the first request, until its outcome is known or the attempts are used up.

    Returns None if it was applied, and others behind it, so that the service does not have its answer any more.
    """
    try:
        request, parse = pending.request(session.id), partial(pending.parse, session.id)
        answer = yield from session.service.attempt(request, parse, attempts)
    except UnrollError as error:
        if isinstance(error, StepConflict) and error.applied == "yes" and len(session.requests) > 1:
            session.skip()
            return None
        yield from session.fail(error, attempts)
        raise
    session.succeed(answer)
    return answer


def recover(session: SessionState) -> Flow[list[Advance]]:
    """Complete the pending requests and return their answers.

    Only a stream of steps leaves several. If the service has applied several of them, it has the answer of the last one
    only.
    """
    answers = []
    with session.exclusive():
        yield from session.autosave()
        while (pending := session.pending) is not None:
            answer = yield from complete(session, pending, session.attempts(pending))
            if answer is not None:
                answers.append(answer)
    return answers


def resync(session: SessionState) -> Flow[SessionInfo]:
    """Forget the pending requests, and continue from the step count that the service reports.

    A forgotten step cannot be applied after the next one, because both expect the same step count.
    """
    with session.exclusive():
        description = yield from info(session)
        yield from session.resynchronise(description)
        return description


def info(session: SessionState) -> Flow[SessionInfo]:
    """Describe the session."""
    return (yield from session.service.request(Request("GET", session.path), parse_info))


def peek(
    session: SessionState,
    input: "Input | None" = None,  # noqa: A002
    **options: Unpack[PredictOptions],
) -> Flow[StepResult]:
    """Return what a step would answer, without advancing the session."""
    body = {} if input is None else {"input": to_input(input)}
    request = Request("POST", f"{session.path}/predict", body | to_options(options))
    return (yield from session.service.request(request, parse_step))


def renew(session: SessionState, ttl_seconds: int) -> Flow[SessionInfo]:
    """Set the time to live, counted from now."""
    request = Request("PATCH", session.path, {"ttl_seconds": ttl_seconds})
    return (yield from session.service.request(request, parse_info))


def delete(session: SessionState) -> Flow[None]:
    """End the session. It is no error if it has been ended already."""
    with contextlib.suppress(SessionEnded):
        yield from session.service.request(Request("DELETE", session.path), lambda _: None)
    session.requests.clear()


def export_state(session: SessionState) -> Flow[bytes]:
    """Return the state of the session as a safetensors file, which `import_state` continues."""
    request = Request("GET", f"{session.path}/state")
    return (yield from session.service.request(request, lambda response: response.content))


def fork(
    session: SessionT, *, step: int | None = None, ttl_seconds: int | None = None, save_to: str | Path | None = None
) -> Flow[SessionT]:
    """Create an independent copy of the session, at its present step or at a kept earlier one."""
    fields = {"step": step, "ttl_seconds": ttl_seconds}
    body = {name: value for name, value in fields.items() if value is not None}
    # The key makes repetitions find the same copy.
    request = Request("POST", f"{session.path}/fork", body, headers={"Idempotency-Key": new_key()})
    info = yield from session.service.request(request, parse_info)
    copy = type(session).of(session.service, info, None if save_to is None else Path(save_to))
    yield from copy.autosave()
    return copy

"""Steps of many sessions by one request."""

import copy
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from unroll_client.answers import StepResult
from unroll_client.commands import Sleep
from unroll_client.error_answers import error_of_envelope
from unroll_client.errors import InvalidRequest, StepConflict, UnrollError
from unroll_client.flow import Flow, execute
from unroll_client.pending import AnswerLost, PendingRequest
from unroll_client.retry import Attempts, Service, unexpected
from unroll_client.session_state import SessionState
from unroll_client.transport import Request, Send

#: The most steps of a request.
MAX_ITEMS = 1024
_ITEM_OF_PARAM = re.compile(r"steps\[(\d+)\]")
Result = StepResult | AnswerLost | UnrollError


@dataclass(slots=True)
class Item:
    """The step of one session, and the attempts at it."""

    name: str
    session: SessionState
    pending: PendingRequest
    attempts: Attempts = field(init=False)

    def __post_init__(self) -> None:
        self.attempts = self.session.attempts(self.pending)

    def body(self) -> dict[str, Any]:
        """Return the step as a part of a request."""
        return {**self.pending.body, "session_id": self.session.id, "idempotency_key": self.pending.key}

    def read(self, answer: object) -> StepResult | UnrollError:
        """Return the result in an answer, or its error."""
        if isinstance(answer, dict) and "error" in answer:
            return error_of_envelope(answer)
        try:
            return self.pending.parse_step(self.session.id, answer)
        except UnrollError as error:
            return error

    def settle(self, result: StepResult | UnrollError) -> Flow[float | Result]:
        """Note a result. Returns the seconds until the next attempt, or the outcome if it is final."""
        if isinstance(result, StepResult):
            self.session.succeed(result)
            return result
        if isinstance(result, StepConflict) and result.applied == "yes" and len(self.session.requests) > 1:
            self.session.skip()
            return AnswerLost(self.session.id, self.session.step_count)
        self.attempts.fail(result)
        delay = self.attempts.delay(result)
        if delay is not None:
            return delay
        yield from self.session.fail(result, self.attempts)
        return result


def complete(service: Service, items: Sequence[Item]) -> Flow[dict[str, Result]]:
    """Send steps until the outcome of each is known or its attempts are used up."""
    outcomes: dict[str, Result] = {}
    for item in items:
        yield from item.session.autosave()
    while items:
        again, delays = [], []
        for start in range(0, len(items), MAX_ITEMS):
            batch = items[start : start + MAX_ITEMS]
            for item, result in zip(batch, (yield from _send(service, batch)), strict=True):
                outcome = 0.0 if result is None else (yield from item.settle(result))
                if isinstance(outcome, float):
                    again.append(item)
                    delays.append(outcome)
                else:
                    outcomes[item.name] = outcome
        items = again
        if items:
            yield from execute(Sleep(max(delays)))
    return outcomes


def _send(service: Service, items: Sequence[Item]) -> Flow[list[StepResult | UnrollError | None]]:
    """Send steps once, and return the result of each; None for one that was refused because of another."""
    request = Request("POST", "/v1/sessions/steps", {"steps": [item.body() for item in items]})
    try:
        body = (yield from execute(Send(service.http, request))).json()
        results = body.get("results") if isinstance(body, dict) else None
        if not isinstance(results, list) or len(results) != len(items):
            raise unexpected(f"it has other results than those of {len(items)} steps")
    except UnrollError as error:
        invalid = _invalid_item(error)
        return [copy.copy(error) if invalid in {None, index} else None for index in range(len(items))]
    return [item.read(result) for item, result in zip(items, results, strict=True)]


def _invalid_item(error: UnrollError) -> int | None:
    """Return the number of the step that made the service refuse the whole request, if it was a certain one."""
    found = _ITEM_OF_PARAM.match(error.param or "") if isinstance(error, InvalidRequest) else None
    return None if found is None else int(found[1])

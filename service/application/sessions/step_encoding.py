"""Answers and next records of steps that have run."""

from dataclasses import replace

from service.application.sessions import serializers
from service.application.sessions.idempotency import next_record
from service.application.sessions.step_item import StepItem
from service.domain.errors import InternalError
from service.domain.operations import Outcome, Reset
from service.domain.sessions import Record


def encode_step(item: StepItem, outcome: Outcome, now: int) -> None:
    """Set the answer and the next record of a step whose outcome came at `now`, in milliseconds since 1970.

    Raises InternalError for an outcome with a number that is not finite.
    """
    record, model = item.record, item.model
    assert record is not None and model is not None  # noqa: S101, PT018 - set before the operation ran
    expires_at = now + 1000 * record.ttl_seconds
    if isinstance(item.operation, Reset):
        # A source that was read again is no timestep of the session.
        outcome = Outcome({}, outcome.state, timesteps=0)
        item.answer = _session_after(item, record, model.task, outcome.state, expires_at)
    else:
        item.answer = _step_result(item, record, outcome, expires_at)
    item.next_record = next_record(
        record, model.dtype, outcome, item.identity, answer=item.answer, expires_at=expires_at
    )


def _step_result(item: StepItem, record: Record, outcome: Outcome, expires_at: int) -> bytes:
    progress = {"step": record.step + 1, "timesteps": record.timesteps + outcome.timesteps}
    try:
        return serializers.step_result(item.session[1], record, outcome.output, **progress, expires_at=expires_at)
    except ValueError:
        raise InternalError("the network answered with a number that is not finite", applied="no") from None


def _session_after(item: StepItem, record: Record, task: str, state: bytes, expires_at: int) -> bytes:
    """Return the Session object after a reset."""
    after = replace(record, step=record.step + 1, expires_at=expires_at, state=state)
    return serializers.encode(serializers.session_json(item.session[1], after, {record.model: task}))

"""Exactly-once rules: whether a request is a new step, a repetition or a conflict."""

from dataclasses import dataclass

from service.domain.errors import Applied, IdempotencyKeyReused, StepConflict
from service.domain.operations import Outcome
from service.domain.sessions import KeptStep, LastStep, Record

REMEMBERED_KEYS = 32


@dataclass(frozen=True, slots=True)
class RequestIdentity:
    """Identity of a request: the step that it expects, and digests of its key (empty without one) and its body."""

    step: int | None
    key: bytes
    body: bytes

    @property
    def kept(self) -> bool:
        """Return whether the request can be repeated, so that its answer must be stored."""
        return bool(self.key) or self.step is not None


def find_replay(record: Record, identity: RequestIdentity) -> bytes | None:
    """Return the stored answer if the request is a repetition, or None if it is a step to apply.

    Raises IdempotencyKeyReused when the last key came with another body, StepConflict when an older key came back or
    the session does not stand where the request expects it.
    """
    last = record.last
    if identity.key:
        if last is not None and last.key_digest == identity.key:
            if last.body_digest == identity.body:
                return last.answer
            raise IdempotencyKeyReused(
                "Idempotency-Key was used for the session's last step with another body: expected the same body, or a "
                "new key for a new step",
                param="Idempotency-Key",
                applied="no",
                step=record.step,
            )
        if identity.key in record.keys:
            raise StepConflict(
                f"Idempotency-Key belongs to an earlier step, which was applied; the session is at step {record.step}",
                param="Idempotency-Key",
                applied="yes",
                step=record.step,
            )
    elif last is not None and last.step == identity.step and last.body_digest == identity.body:
        return last.answer
    require_expected_step(record, identity)
    return None


def is_new_step(record: Record, identity: RequestIdentity) -> bool:
    """Return whether the request is a step to apply to `record`, neither a repetition nor a conflict."""
    if not identity.kept:
        return True
    try:
        return find_replay(record, identity) is None
    except (StepConflict, IdempotencyKeyReused):
        return False


def require_expected_step(record: Record, identity: RequestIdentity) -> None:
    """Raise StepConflict if the session is not at the step that the request expects."""
    if identity.step is not None and identity.step != record.step:
        raise StepConflict(
            f"step is {identity.step}: expected {record.step}, where the session stands",
            param="step",
            applied=_was_applied(record, identity),
            step=record.step,
        )


def _was_applied(record: Record, identity: RequestIdentity) -> Applied:
    """Return whether a request that expects another step took effect before, as far as the record shows."""
    if identity.step is None or identity.step >= record.step:
        return "no"
    if identity.key and record.step - identity.step <= REMEMBERED_KEYS:
        return "no"
    if record.last is not None and record.last.step == identity.step:
        return "no"
    return "unknown"


def next_record(
    record: Record, dtype: str, outcome: Outcome, identity: RequestIdentity, *, answer: bytes, expires_at: int
) -> Record:
    """Return the record after a step in `dtype`, with its answer if the request can be repeated."""
    kept = (*record.kept, KeptStep(record.step, record.timesteps, record.state)) if record.kept_steps else ()
    # Not by `replace`, which takes longer than the forward pass of a small network.
    return Record(
        model=record.model,
        version=record.version,
        fingerprint=record.fingerprint,
        dtype=dtype,
        step=record.step + 1,
        timesteps=record.timesteps + outcome.timesteps,
        created_at=record.created_at,
        expires_at=expires_at,
        ttl_seconds=record.ttl_seconds,
        durability=record.durability,
        kept_steps=record.kept_steps,
        indexed_until=record.indexed_until,
        state=outcome.state,
        origin=record.origin,
        keys=(*record.keys, identity.key)[-REMEMBERED_KEYS:] if identity.key else record.keys,
        last=LastStep(record.step, identity.key, identity.body, answer) if identity.kept else None,
        kept=kept[-record.kept_steps :],
        token=record.token,
    )

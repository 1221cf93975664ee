"""Records from their summaries."""

from service.domain.sessions import KeptStep, LastStep, Record, SessionSummary


def record_of(
    summary: SessionSummary,
    *,
    token: bytes,
    state: bytes,
    origin: bytes,
    keys: tuple[bytes, ...],
    last: LastStep | None,
    kept: tuple[KeptStep, ...],
) -> Record:
    """Return the record of a summary and of the parts of its body."""
    return Record(
        model=summary.model,
        version=summary.version,
        fingerprint=summary.fingerprint,
        dtype=summary.dtype,
        step=summary.step,
        timesteps=summary.timesteps,
        created_at=summary.created_at,
        expires_at=summary.expires_at,
        ttl_seconds=summary.ttl_seconds,
        durability=summary.durability,
        kept_steps=summary.kept_steps,
        indexed_until=summary.indexed_until,
        token=token,
        state=state,
        origin=origin,
        keys=keys,
        last=last,
        kept=kept,
    )

"""The audit log: what administrators did, and which keys changed. It names keys by their ids."""

import logging
from typing import Final

from service.application.access.principal import Principal

#: Always logged, whatever the level of the log.
AUDIT: Final = "unroll.audit"
log = logging.getLogger(AUDIT)


def audit(action: str, principal: Principal | None, **subject: object) -> None:
    """Log an action on a subject, by a principal if a request caused it."""
    actor = {} if principal is None else {"tenant": principal.tenant, "key": principal.key_id or None}
    log.info("audit", extra={"action": action, **actor, **subject})

"""The kinds of attempts over HTTP, and which is next by the seed."""

import random
from collections.abc import Callable

from tests.attack.foreign import other_kinds, session_kinds
from tests.attack.foreign.known import Known
from tests.attack.foreign.template import Attempt

#: The kinds by their share of the attempts.
KINDS: list[tuple[Callable[[random.Random, Known], Attempt], float]] = [
    (session_kinds.session_call, 0.40),
    (session_kinds.guess, 0.10),
    (session_kinds.replay, 0.06),
    (session_kinds.many, 0.05),
    (session_kinds.odd_path, 0.04),
    (other_kinds.as_administrator, 0.06),
    (session_kinds.as_everyone, 0.02),
    (session_kinds.sequence, 0.06),
    (other_kinds.model, 0.06),
    (other_kinds.listing, 0.02),
    (other_kinds.own, 0.02),
    (other_kinds.creation, 0.02),
    (other_kinds.imported, 0.02),
    (other_kinds.metrics, 0.01),
    (other_kinds.key, 0.01),
]


def choose_attempt(choose: random.Random, known: Known) -> Attempt:
    """Return the next attempt that follows from the seed, and from what the others have at the moment."""
    (kind,) = choose.choices([kind for kind, _ in KINDS], [share for _, share in KINDS])
    return kind(choose, known)

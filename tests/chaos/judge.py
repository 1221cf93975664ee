"""All sessions of a run before the judge; a session of a swapped model before each of the model's variants."""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from tests.chaos.automaton import Automaton
from tests.chaos.journal import Session
from tests.chaos.oracle import Replay
from tests.chaos.replay import Bundled, Exact, Network
from tests.chaos.risks import Risks


def judge(sessions: Sequence[Session], risks: Risks, models: Path, variants: int) -> tuple[list[str], Counter[str]]:
    """Every violation, and what was counted on the way."""
    networks: dict[str, list[Network]] = {
        "adder": [Exact(Automaton())],
        "swapped": [Exact(Automaton(variant)) for variant in range(variants)],
    }
    violations, counts = [], Counter[str]()
    for session in sessions:
        if not session.id:
            violations.append(f"client {session.client} could not open a session: {session.excerpt(0)}")
            continue
        if session.model not in networks:
            networks[session.model] = [Bundled.load(models / session.model / "1")]
        found, replay = _best(session, networks[session.model], risks)
        violations += found
        counts += replay.ledger.counts
        counts["sessions"] += 1
    return violations, counts


def _best(session: Session, networks: list[Network], risks: Risks) -> tuple[list[str], Replay]:
    """The verdict under the one network that the session can have been on."""
    verdicts = []
    for network in networks:
        replay = Replay(session, network, risks)
        verdicts.append((replay.verdict(), replay))
    return min(verdicts, key=lambda one: (len(one[0]), -len(one[1].ledger.steps)))

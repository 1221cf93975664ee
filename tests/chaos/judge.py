"""All sessions of a run before the judge; a session of a swapped model before each of the model's variants."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tests.chaos.automaton import Automaton
from tests.chaos.checksum import Checksum
from tests.chaos.journal import Session
from tests.chaos.oracle import Beginning, Replay
from tests.chaos.replay import Bundled, Exact, Network
from tests.chaos.risks import Risks


@dataclass(slots=True)
class Judge:
    """Knows the networks; `models` is the models folder, `variants` how many networks `swapped` was so far."""

    models: Path
    risks: Risks
    _bundled: dict[str, Network] = field(default_factory=dict)

    def verdict(self, sessions: Sequence[Session], variants: int) -> tuple[list[str], Counter[str]]:
        """Every violation, and what was counted on the way. Parents come before what was forked from them."""
        violations, counts, beginnings = [], Counter[str](), dict[str, Beginning]()
        for session in sessions:
            if not session.id:
                violations.append(f"client {session.client} could not open a session: {session.excerpt(0)}")
                continue
            if session.parent is not None and session.id not in beginnings:
                counts["forks not followed: where their parent stood is not known"] += 1
                continue
            found, replay = self._best(session, self._networks(session.model, variants), beginnings.get(session.id))
            violations += found
            counts += replay.ledger.counts
            counts["sessions"] += 1
            beginnings |= replay.children
        return violations, counts

    def _networks(self, model: str, variants: int) -> list[Network]:
        if model == "adder":
            return [Exact(Automaton())]
        if model == "swapped":
            return [Exact(Automaton(variant)) for variant in range(variants)]
        if model == "checksum":
            return [Checksum()]
        if model not in self._bundled:
            self._bundled[model] = Bundled.load(self.models / model / "1", model)
        return [self._bundled[model]]

    def _best(self, session: Session, networks: list[Network], beginning: Beginning | None) -> tuple[list[str], Replay]:
        """The verdict under the one network that the session can have been on."""
        verdicts = []
        for network in networks:
            replay = Replay(session, network, self.risks, beginning)
            verdicts.append((replay.verdict(), replay))
        return min(verdicts, key=lambda one: (len(one[0]), -len(one[1].ledger.steps)))

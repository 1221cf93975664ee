"""Who works: the kinds of clients, again and again."""

from dataclasses import dataclass

from service.domain.sessions import Durability
from tests.chaos import conditioned, encoders

#: Sessions that live for less expire during a pause.
SHORT_LIVED = 60
_SHORT = 2
_LEAVES_OUT: dict[str, frozenset[str]] = {
    "swapped": frozenset({"fork", "reopen"}),  # the replay takes a session to be of one variant from its creation on
    "taxi-forecast": frozenset({"group", "queue"}),  # observations come in order of time
}


@dataclass(frozen=True, slots=True)
class Role:
    """One kind of client: its model, how durable its sessions are, how long they live, how many it has at once.

    `pause` is the time between two of its acts, on the average. With `websocket` it sends single steps over WebSockets.
    `package` is the client package that it uses, if it is none of the suite's own; packages/ has them.
    """

    model: str
    durability: Durability = "memory"
    ttl: int = 3600
    fleet: int = 1
    pause: float = 0.05
    websocket: bool = False
    package: str = ""

    @property
    def never(self) -> frozenset[str]:
        """What it does not do."""
        ends = frozenset({"reopen"}) if self.ttl < SHORT_LIVED else frozenset({"pause"})
        return _LEAVES_OUT.get(self.model, frozenset()) | ends


#: Most clients count exactly; what waits for the disk waits for a second, and so comes in fleets.
CLIENTS = (
    Role("adder"),
    Role("adder", ttl=_SHORT),
    Role("adder", fleet=8),
    Role("adder", "replicated"),
    Role("swapped", fleet=2),
    Role("adder", "fsynced", fleet=8),
    Role("adder", "replicated", fleet=6),
    Role("next-word", pause=0.3),
    Role("adder", websocket=True),
    Role("adder", ttl=_SHORT, fleet=4),
    Role("adder", "fsynced", fleet=3),
    Role("translate-en-fr", pause=0.6),
    Role("adder", "replicated", ttl=_SHORT),
    Role("taxi-forecast", fleet=3, pause=0.4),
    Role("swapped", "replicated", websocket=True),
    Role("next-word", "fsynced", fleet=2, pause=0.3),
    Role(encoders.CLASSIFICATION, fleet=2, pause=0.4),
    Role(encoders.TAGGING, pause=0.4),
    Role(encoders.REGRESSION, "replicated", fleet=2, pause=0.4),
    Role(encoders.EMBEDDING, pause=0.4, websocket=True),
    Role("adder", package="python"),
    Role("adder", "replicated", package="python-async"),
    Role("adder", "replicated", package="python", websocket=True),
    Role("adder", package="python-async", websocket=True),
    Role("adder", package="tritonclient"),
    Role("adder", package="openai"),
    Role("next-word", package="openai", pause=0.3),
    Role("checksum", fleet=2),
    Role("checksum", "replicated", websocket=True),
    Role("checksum", package="tritonclient"),
    Role("adder", package="tritonclient-grpc"),
    Role("checksum", package="tritonclient-grpc"),
    Role("adder", package="tritonclient-stream"),
    Role(conditioned.BY_STATE, fleet=2, pause=0.4),
    Role(conditioned.BY_INPUT, "replicated", pause=0.4),
    Role(conditioned.BY_STATE, package="tritonclient-grpc", pause=0.4),
)
MODELS = tuple(dict.fromkeys(role.model for role in CLIENTS))
